"""Bad and odd inputs: one folder a case, its input beside what must come of it."""

import datetime as dt
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import fields
from pathlib import Path

import pytest
from bad_input_case import CASES, CHECKED, STEPPED, folder_of, prepare
from typer.testing import CliRunner

from bayesseg.cli import app
from bayesseg.customers import summarise
from bayesseg.errors import BayessegError
from bayesseg.ingest import Options, read_purchases
from bayesseg.readiness import require_ready

TODAY = dt.date(2026, 1, 1)
CATALOGUE = range(1, 104)
"""The numbers every release must answer for; later ones were found on the way."""
IMPOSSIBLE = {99: "nothing writes into a table of somebody else's yet, so no schema can be wrong"}


def settings(args):
    """``["--max-bad", "0.1", "--dedupe"]`` as ``{"max_bad": 0.1, "dedupe": True}``."""
    defaults = {f.name: f.default for f in fields(Options)}
    found, words = {}, iter(args)
    for word in words:
        name = word.removeprefix("--").replace("-", "_")
        kind = type(defaults.get(name))
        if name == "keep_id":
            found[name] = (*found.get(name, ()), next(words))
        elif name in ("rates", "min_date"):
            found[name] = {"rates": Path, "min_date": dt.date.fromisoformat}[name](next(words))
        else:
            found[name] = (
                True if kind is bool else kind(next(words)) if kind is float else next(words)
            )
    return found


def read(name):
    """Customers and cautions of a case."""
    folder = folder_of(name)
    given = settings(word.replace("{here}", str(folder)) for word in CHECKED[name]["args"])
    as_of = given.pop("as_of", None)
    [source] = folder.glob("input.*")
    with read_purchases(source, Options(**given), today=TODAY) as purchases:
        customers = summarise(purchases, as_of)
    return customers, require_ready(customers)


@pytest.mark.parametrize("name", [name for name, case in CHECKED.items() if case["exit"]])
def test_refused(name):
    with pytest.raises(BayessegError) as caught:
        read(name)
    error = caught.value
    assert CHECKED[name]["exit"] == error.exit_code, str(error)
    assert re.search(CHECKED[name]["message"], str(error), re.DOTALL), str(error)
    assert error.fix


@pytest.mark.parametrize("name", [name for name, case in CHECKED.items() if not case["exit"]])
def test_accepted(name):
    customers, cautions = read(name)
    assert CHECKED[name]["rows"] == customers.provenance["rows"]
    assert CHECKED[name]["customers"] == len(customers)
    said = [f["message"] for f in customers.provenance["findings"]] + [g.message for g in cautions]
    assert re.search(CHECKED[name].get("message", ""), "\n".join(said)), said
    # nothing of a customer may reach what is stored with a run
    stored = json.dumps(customers.provenance)
    assert [i for i in customers.ids if len(i) > 4 and json.dumps(i)[1:-1] in stored] == []


@pytest.fixture(scope="session")
def fitted(tmp_path_factory):
    """A folder with a small log and the run fitted to it; cases work on copies."""
    folder = tmp_path_factory.mktemp("fitted")
    prepare(folder)
    return folder


def call(step):
    """Exit code and everything said of one step in the working folder."""
    if "run" in step:
        done = CliRunner().invoke(app, shlex.split(step["run"]))
        return done.exit_code, done.output
    scripts = sysconfig.get_path("scripts")
    done = subprocess.run(
        ["sh", "-c", step["sh"]],
        env={**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        check=False,
        timeout=600,
    )
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def stepped(slow):
    return [
        pytest.param(
            name,
            marks=[pytest.mark.slow] * slow
            + [pytest.mark.skipif(sys.platform != "linux", reason="the scripts need GNU tools")]
            * any("sh" in step for step in case["steps"]),
        )
        for name, case in STEPPED.items()
        if case.get("slow", False) == slow
    ]


@pytest.mark.parametrize("name", [*stepped(False), *stepped(True)])
def test_steps(name, fitted, tmp_path, monkeypatch):
    for source in (fitted, folder_of(name)):
        shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for step in CASES[name]["steps"]:
        code, said = call(step)
        assert step.get("exit", 0) == code, said
        assert re.search(step.get("message", ""), said, re.DOTALL), said
        assert "Traceback" not in said
        assert "internal error" not in said
        if "run" in step and code not in (0, 4):
            assert "fix:" in said
        assert [path for path in step.get("absent", ()) if Path(path).exists()] == []


def test_every_number_of_the_catalogue_has_a_case():
    there = {int(name[:3]) for name in CASES}
    assert set(CATALOGUE) - there == set(IMPOSSIBLE)
