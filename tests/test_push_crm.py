"""``push --to hubspot`` and ``--to salesforce``: only what is news, and what was told is remembered."""

import json

import crm_servers
import pandas as pd
import pytest
from push_case import write
from typer.testing import CliRunner

from bayesseg.cli import app

SERVERS = {"hubspot": crm_servers.hubspot, "salesforce": crm_servers.salesforce}
MAPS = {"hubspot": ("customer_id", "clv", "band"), "salesforce": ("Id__c", "Clv__c", "Band__c")}


@pytest.fixture(params=sorted(SERVERS))
def crm(request, tmp_path, monkeypatch):
    """A server, and ``push(SCORES, ...)`` to it with three columns mapped."""
    names = MAPS[request.param]
    served = crm_servers.Crm(fields=names)
    columns = dict(zip(("customer_id", "clv", "value_band"), names, strict=True))
    lines = [f'{column} = "{name}"' for column, name in columns.items()]
    (tmp_path / "crm.toml").write_text("\n".join(["[columns]", *lines]))
    monkeypatch.setenv("HUBSPOT_TOKEN", served.token)
    monkeypatch.setenv("SALESFORCE_TOKEN", served.token)
    monkeypatch.chdir(tmp_path)
    with crm_servers.serving(served, SERVERS[request.param]) as address:

        def push(*words):
            where = ("--to", request.param, "--address", address, "--state", "told.parquet")
            given = ["push", *map(str, words), *where, "--map", "crm.toml", "--json"]
            done = CliRunner().invoke(app, given)
            assert served.token not in done.output
            return done.exit_code, json.loads(done.stdout)

        served.busy_polls = 0
        yield served, push


def test_a_second_push_of_the_same_scores_asks_nothing(crm, tmp_path):
    served, push = crm
    path = write(tmp_path)
    code, document = push(path)
    assert (code, document["inserted"], len(served.records)) == (0, 40, 40)
    served.asked.clear()
    code, document = push(path)
    assert (code, document["unchanged"], served.asked) == (0, 40, [])


def test_a_dry_run_asks_nothing_and_remembers_nothing(crm, tmp_path):
    served, push = crm
    code, document = push(write(tmp_path), "--dry-run")
    assert (code, document["inserted"], served.asked) == (0, 40, [])
    assert not (tmp_path / "told.parquet").exists()


def test_refused_rows_are_listed_and_told_again(crm, tmp_path):
    served, push = crm
    served.bad = {"c00003": "not today"}
    path = write(tmp_path)
    code, document = push(path)
    assert (code, document["refused"], len(served.records)) == (7, 1, 39)
    listed = pd.read_csv(tmp_path / "told.rejects.csv")
    assert listed["customer_id"].tolist() == ["c00003"]
    assert listed["reason"].str.contains("not today").all()
    served.bad = {}
    code, document = push(path)
    assert (code, document["inserted"], len(served.records)) == (0, 1, 40)


def test_older_scores_and_too_much_at_once_are_refused(crm, tmp_path):
    _, push = crm
    new, old, few = (
        write(tmp_path, f"{name}.parquet", day, n)
        for name, day, n in (("new", 2, 40), ("old", 1, 40), ("few", 3, 20))
    )
    push(new)
    assert [push(path)[1]["error"]["code"] for path in (old, few)] == ["older_run", "blast_radius"]
    code, document = push(old, "--force", "--reason", "the new one was wrong")
    assert (code, document["updated"]) == (0, 40)


def test_of_who_objects_the_columns_are_emptied(crm, tmp_path):
    served, push = crm
    push(write(tmp_path))
    (tmp_path / "no.txt").write_text("c00007\n")
    code, document = push(write(tmp_path, "next.parquet"), "--suppress-list", "no.txt")
    assert (code, document["removed"]) == (0, 1)
    assert {
        str(v) for k, v in served.records["c00007"].items() if k not in MAPS["hubspot"][:1]
    } <= {
        "",
        "None",
        "#N/A",
        "c00007",
    }
    assert len(pd.read_parquet(tmp_path / "told.parquet")) == 39
