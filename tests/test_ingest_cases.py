"""Bad and odd inputs: one folder a case, its input beside what must come of it.

``expected.toml``: ``args`` as on the command line (``{here}`` is the folder), ``exit`` code, ``message``
(a pattern in the error, or in a finding where the input is accepted), and the accounting of rows.
"""

import datetime as dt
import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from bayesseg.customers import summarise
from bayesseg.errors import BayessegError
from bayesseg.ingest import Options, read_purchases
from bayesseg.readiness import require_ready

CASES = {path.parent.name: path.parent for path in Path(__file__).parent.glob("cases/*/*.toml")}
EXPECTED = {
    name: tomllib.loads((folder / "expected.toml").read_text(encoding="utf-8"))
    for name, folder in sorted(CASES.items())
}
TODAY = dt.date(2026, 1, 1)


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
    given = settings(word.replace("{here}", str(CASES[name])) for word in EXPECTED[name]["args"])
    as_of = given.pop("as_of", None)
    [source] = CASES[name].glob("input.*")
    with read_purchases(source, Options(**given), today=TODAY) as purchases:
        customers = summarise(purchases, as_of)
    return customers, require_ready(customers)


@pytest.mark.parametrize("name", [name for name, e in EXPECTED.items() if e["exit"]])
def test_refused(name):
    with pytest.raises(BayessegError) as caught:
        read(name)
    error = caught.value
    assert EXPECTED[name]["exit"] == error.exit_code, str(error)
    assert re.search(EXPECTED[name]["message"], str(error), re.DOTALL), str(error)
    assert error.fix


@pytest.mark.parametrize("name", [name for name, e in EXPECTED.items() if not e["exit"]])
def test_accepted(name):
    customers, cautions = read(name)
    assert EXPECTED[name]["rows"] == customers.provenance["rows"]
    assert EXPECTED[name]["customers"] == len(customers)
    said = [f["message"] for f in customers.provenance["findings"]] + [g.message for g in cautions]
    assert re.search(EXPECTED[name].get("message", ""), "\n".join(said)), said
    # nothing of a customer may reach what is stored with a run
    stored = json.dumps(customers.provenance)
    assert [i for i in customers.ids if len(i) > 4 and json.dumps(i)[1:-1] in stored] == []
