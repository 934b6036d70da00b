"""The nightly scripts: what they call exists, and each exit code leads where the README says."""

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cli_reference
import pytest
from cli_reference import COMMANDS

from bayesseg.cli.demo import cdnow_csv
from bayesseg.push.ledger import COLUMNS

HERE = Path(__file__).parent.parent / "examples" / "automation"
NIGHTLY = (HERE / "nightly.sh").read_text(encoding="utf-8")
README = (HERE / "README.md").read_text(encoding="utf-8")
SCHEDULERS = ("airflow_dag.py", "prefect_flow.py")
FLAGS = {name: {o for p in c.params for o in p.opts} for name, c in COMMANDS.items()}

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="needs a POSIX shell")


def load(name):
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


exits = load("exits")


# --- what they call ------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["sh", "bash", "dash"])
@pytest.mark.parametrize("script", sorted(HERE.rglob("*.sh")), ids=lambda path: path.name)
def test_every_script_parses_in_every_shell(shell, script):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    assert subprocess.run([shell, "-n", script], capture_output=True, check=False).stderr == b""


def test_every_flag_of_the_script_is_one_of_its_verb():
    whole = NIGHTLY.replace("\\\n", " ")
    calls = re.findall(r"attempt bayesseg (\w+) ([^\n]*)", whole)
    assert [verb for verb, _ in calls] == ["fit", "score", "push"]
    for verb, words in calls:
        assert {w for w in re.findall(r"(?<!\S)--?[a-z-]+", words) if w != "--"} <= FLAGS[verb]


def called(path):
    """The verb and the constant words of each call of bayesseg in a Python file, by tuples too."""
    tree = ast.parse((HERE / path).read_text(encoding="utf-8"))
    tuples = {
        node.targets[0].id: node.value.elts
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
        and isinstance(node.targets[0], ast.Name)
    }  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("call", "bayesseg"):
            words = []
            for argument in node.args:
                starred = isinstance(argument, ast.Starred)
                words += tuples.get(argument.value.id, []) if starred else [argument]
            texts = [one.value for one in words if isinstance(one, ast.Constant)]
            if texts:
                yield texts[0], texts[1:]


@pytest.mark.parametrize("path", SCHEDULERS)
def test_every_flag_of_a_schedule_is_one_of_its_verb(path):
    calls = [*called(path)]
    assert {verb for verb, _ in calls} == {"fit", "score", "push"}
    for verb, words in calls:
        assert {word for word in words if word.startswith("-")} <= FLAGS[verb]


@pytest.mark.parametrize("path", SCHEDULERS)
def test_schedules_decide_by_the_same_module(path):
    imported = {
        name.name
        for node in ast.walk(ast.parse((HERE / path).read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "exits"
        for name in node.names
    }
    assert {"call", "RETRY", "STOP"} <= imported


def test_the_readme_and_the_crontab_name_the_settings_of_the_script():
    settings = set(re.findall(r'"\$\{([A-Z_]+):[=?]', NIGHTLY))
    told = re.findall(r"^\| ((?:`[A-Z_]+`(?:, )?)+) \|", README, re.MULTILINE)
    assert set(re.findall(r"`([A-Z_]+)`", " ".join(told))) == settings
    lines = [
        line
        for line in (HERE / "crontab").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert {line.partition("=")[0] for line in lines[:-1]} <= {"PATH", *settings}
    assert re.match(r"\d+ \d+ \* \* \* ", lines[-1])


def test_the_dbt_model_is_what_its_script_makes(tmp_path):
    work = tmp_path / "dbt"
    shutil.copytree(HERE / "dbt", work)
    subprocess.run(["sh", work / "customer_summary.sh"], env=environment(), check=True)
    name = Path("models", "customer_summary.sql")
    assert (work / name).read_text() == (HERE / "dbt" / name).read_text()


def test_the_dbt_test_reads_columns_that_pushes_write():
    text = (HERE / "dbt" / "tests" / "scores_are_fresh.sql").read_text(encoding="utf-8")
    assert {"action", "as_of", "table_name"} <= set(re.findall(r"[a-z_]+", text))
    assert {"action", "as_of", "table_name"} <= {column.name for column in COLUMNS}


# --- what they do about exit codes ---------------------------------------------------------------


def environment(**more):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, **more}


def test_every_exit_code_has_an_act_and_a_row_in_the_readme():
    codes = set(cli_reference.meanings())
    assert set(exits.ACTS) == codes
    cells = re.findall(r"^\| ([\d, ]+) \|", README, re.MULTILINE)
    assert {int(code) for cell in cells for code in cell.split(",")} == codes


def test_a_real_call_is_acted_upon(tmp_path, monkeypatch, capfd):
    (tmp_path / "orders.csv").write_text(cdnow_csv())
    (tmp_path / "bad.csv").write_text("customer_id,date,amount\n1,someday,3\n2,never,4\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", environment()["PATH"])
    done = [exits.call("check", name) for name in ("orders.csv", "bad.csv", "absent.csv")]
    assert [(one.code, one.act) for one in done] == [(0, "go on"), (3, "stop"), (2, "stop")]
    assert done[0].document["exit_code"] == 0
    assert "absent.csv" in done[2].why
    assert all(json.loads(line)["level"] for line in capfd.readouterr().err.splitlines())


def test_a_killed_call_is_told_from_a_failed_one(tmp_path, monkeypatch):
    (tmp_path / "bayesseg").write_text("#!/bin/sh\nkill -TERM $$\n")
    (tmp_path / "bayesseg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    done = exits.call("score")
    assert (done.code, done.act, done.why) == (143, "retry", "terminated")


STAND_IN = """#!{python}
import json, os, sys
from pathlib import Path
plan = Path(os.environ["PLAN"])
codes = json.loads(plan.read_text())
verb, words = sys.argv[1], sys.argv[2:]
code = codes[verb].pop(0) if codes.get(verb) else 0
plan.write_text(json.dumps(codes))
with Path(os.environ["CALLS"]).open("a") as calls:
    print(" ".join([verb, *words]), file=calls)
if "-o" in words:
    target = words[words.index("-o") + 1]
    if verb == "fit" and code in (0, 4):
        folder = Path(target + ".untrusted" * (code == 4))
        folder.mkdir()
        (folder / "spec.toml").write_text(os.environ["SPEC"])
    elif code == 0:
        Path(target).touch()
        Path(target).with_suffix(".json").touch()
if verb == "push":
    print(json.dumps({{"error": {{"code": os.environ["SAID"]}}}}))
sys.exit(code)
"""


def night(folder, day="2025-06-23", spec="[segments]\n", said="", **codes):
    """One night with a stand-in that exits as planned; the exit code, the calls, what was said."""
    bin_ = folder / "bin"
    bin_.mkdir(exist_ok=True)
    (bin_ / "bayesseg").write_text(STAND_IN.format(python=sys.executable))
    (bin_ / "bayesseg").chmod(0o755)
    (folder / "plan").write_text(json.dumps(codes))
    (folder / "calls").write_text("")
    given = environment(
        DATA="my orders.csv", RUNS=f"{folder}/runs", SCORES=f"{folder}/scores", DAY=day, PAUSE="0",
        PLAN=str(folder / "plan"), CALLS=str(folder / "calls"), SCORE_FLAGS="--margin 0.3", SPEC=spec,
        SAID=said,
    )  # fmt: skip
    given["PATH"] = f"{bin_}{os.pathsep}{given['PATH']}"
    done = subprocess.run(
        ["sh", HERE / "nightly.sh"], env=given, capture_output=True, text=True, check=False
    )
    said = [json.loads(line)["message"] for line in done.stderr.splitlines()]
    return done.returncode, (folder / "calls").read_text().splitlines(), said


def verbs(calls):
    return [call.split()[0] for call in calls]


def test_a_night_fits_scores_and_pushes(tmp_path):
    code, calls, _ = night(tmp_path)
    assert (code, verbs(calls)) == (0, ["fit", "score", "push"])
    run = f"{tmp_path}/runs/2025-W26"
    assert calls[0] == f"fit my orders.csv --as-of 2025-06-23 --model retail -o {run} --force"
    assert calls[1].endswith("--margin 0.3")


def test_the_same_night_again_only_pushes(tmp_path):
    night(tmp_path)
    assert verbs(night(tmp_path)[1]) == ["push"]


def test_scores_that_a_kill_left_without_their_document_are_made_again(tmp_path):
    night(tmp_path)
    (tmp_path / "scores" / "2025-06-23.json").unlink()
    _, calls, _ = night(tmp_path)
    assert verbs(calls) == ["score", "push"]
    assert " --force" in calls[0]


@pytest.mark.parametrize(
    ("code", "words"),
    [("older_run", "newer scores than those of"), ("blast_radius", "a gate failed")],
)
def test_newer_scores_that_stand_there_are_told_from_a_gate(tmp_path, code, words):
    found, _, said = night(tmp_path, said=code, push=[4])
    assert (found, said[-1].startswith(words)) == (4, True)


def test_a_week_is_fitted_once_and_goes_on_from_the_last(tmp_path):
    night(tmp_path)
    assert verbs(night(tmp_path, "2025-06-24")[1]) == ["score", "push"]
    _, calls, _ = night(tmp_path, "2025-06-30")
    assert f"--previous {tmp_path}/runs/2025-W26" in calls[0]


def test_a_model_without_segments_has_nothing_to_go_on_from(tmp_path):
    night(tmp_path, spec="[purchase]\n")
    assert "--previous" not in night(tmp_path, "2025-06-30")[1][0]


def test_last_week_s_run_serves_where_this_week_s_is_not_trusted(tmp_path):
    night(tmp_path)
    code, calls, _ = night(tmp_path, "2025-06-30", fit=[4])
    assert (code, verbs(calls)) == (4, ["fit", "score", "push"])
    assert calls[1].startswith(f"score {tmp_path}/runs/2025-W26 ")
    code, calls, _ = night(tmp_path, "2025-07-01")
    assert (code, verbs(calls)) == (0, ["score", "push"])


def test_a_first_run_that_is_not_trusted_serves_nobody(tmp_path):
    code, calls, _ = night(tmp_path, fit=[4])
    assert (code, verbs(calls)) == (4, ["fit"])


@pytest.mark.parametrize("code", [1, 2, 3, 5, 7, 9, 143])
@pytest.mark.parametrize("verb", ["fit", "score", "push"])
def test_what_no_second_attempt_mends_stops_the_night(tmp_path, verb, code):
    order = ["fit", "score", "push"]
    found, calls, said = night(tmp_path, **{verb: [code]})
    assert (found, verbs(calls)) == (code, order[: order.index(verb) + 1])
    assert said


@pytest.mark.parametrize("code", [6, 8])
def test_what_passes_is_tried_again_and_then_given_up(tmp_path, code):
    found, calls, _ = night(tmp_path, push=[code, code])
    assert (found, verbs(calls)) == (0, ["fit", "score", "push", "push", "push"])
    found, calls, _ = night(tmp_path, push=[code] * 9)
    assert (found, verbs(calls)) == (code, ["push"] * 4)
