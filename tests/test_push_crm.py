"""``push --to hubspot`` and ``--to salesforce``: only what is news, and what was told is remembered."""

import hashlib
import json
import shutil
from pathlib import Path

import crm_servers
import pandas as pd
import pytest
from push_case import GATE, scores, write
from typer.testing import CliRunner

from bayesseg._files import sha256_of
from bayesseg.cli import app, scorefile
from bayesseg.feed import COLUMNS
from bayesseg.feed.targets import TARGETS

SERVERS = {"hubspot": crm_servers.hubspot, "salesforce": crm_servers.salesforce}
KEYS = {"hubspot": "customer_id", "salesforce": "Customer_Id__c"}
EMPTY = {"hubspot": "", "salesforce": None}
MANY = [f"c{i:05d}" for i in range(250)]


class Place:
    """A CRM here, and ``push(SCORES, ...)`` to it as the verb does it."""

    def __init__(self, to):
        self.to, self.key, self.empty = to, KEYS[to], EMPTY[to]
        names = (*COLUMNS, "segment_name")
        self.served = crm_servers.Crm(fields=(self.key, *map(self.name, names)), busy_polls=0)

    def name(self, column):
        return self.key if column == "customer_id" else TARGETS[self.to].name(column)

    def held(self, column):
        """What the CRM holds, id to text."""
        name = self.name(column)
        return {one: str(row.get(name)) for one, row in self.served.records.items()}

    def push(self, *words, address=None, state="told.parquet", mapping="crm.toml"):
        where = ("--to", self.to, "--address", address or self.address, "--state", state)
        where += ("--map", mapping) if mapping else ()
        given = ["push", *(str(word) for word in words), *where, "--json"]
        done = CliRunner().invoke(app, given)
        assert self.served.token not in done.output
        self.stderr = done.stderr
        return done.exit_code, json.loads(done.stdout)

    def mapped(self, *columns):
        lines = [f'{one} = "{self.name(one)}"' for one in ("customer_id", *columns)]
        Path("crm.toml").write_text("\n".join(["[columns]", *lines]))


@pytest.fixture(params=sorted(SERVERS))
def crm(request, tmp_path, monkeypatch):
    place = Place(request.param)
    for name in ("HUBSPOT_TOKEN", "SALESFORCE_TOKEN"):
        monkeypatch.setenv(name, place.served.token)
    monkeypatch.chdir(tmp_path)
    place.mapped("clv", "value_band")
    with crm_servers.serving(place.served, SERVERS[request.param]) as place.address:
        yield place


def made(folder, name, day=0, *, ids=None, values=0, segment=None):
    """Scores of a day with the numbers of the day ``values``."""
    table, document = scores(day, ids=ids)
    told, _ = scores(values, ids=ids)
    table = told.assign(scored_at=table["scored_at"])
    if segment is not None:
        table = table.assign(segment=segment, segment_probability=0.9, segment_name="Gold")
        document["verdicts"]["segments"] = document["verdicts"]["purchase"]
        document["gates"].append(GATE | {"part": "segments"})
    path = folder / f"{name}.parquet"
    path.write_bytes(scorefile.encoded(table, "parquet"))
    document["table"]["sha256"] = sha256_of(path)
    path.with_suffix(".json").write_text(json.dumps(document))
    return path


def state(path="told.parquet"):
    return pd.read_parquet(path).set_index("customer_id")


# --- what is news --------------------------------------------------------------------------------


def test_a_second_push_of_the_same_scores_asks_nothing(crm, tmp_path):
    path = write(tmp_path)
    code, document = crm.push(path)
    assert (code, document["inserted"], len(crm.served.records)) == (0, 40, 40)
    crm.served.asked.clear()
    code, document = crm.push(path)
    assert (code, document["unchanged"], crm.served.asked) == (0, 40, [])


def test_without_a_map_every_column_is_told(crm, tmp_path):
    code, document = crm.push(write(tmp_path), mapping=None)
    assert (code, document["inserted"]) == (0, 40)
    assert set(crm.held("p_churn").values()) == {"0.2"}


def test_a_dry_run_asks_nothing_and_remembers_nothing(crm, tmp_path, monkeypatch):
    for name in ("HUBSPOT_TOKEN", "SALESFORCE_TOKEN"):
        monkeypatch.delenv(name)
    code, document = crm.push(write(tmp_path), "--dry-run")
    assert (code, document["inserted"], crm.served.asked) == (0, 40, [])
    assert not (tmp_path / "told.parquet").exists()


def test_refused_rows_are_listed_and_told_again(crm, tmp_path):
    crm.served.bad = {"c00003": "not today"}
    path = write(tmp_path)
    code, document = crm.push(path)
    assert (code, document["refused"], len(crm.served.records)) == (7, 1, 39)
    listed = pd.read_csv(tmp_path / "told.rejects.csv")
    assert listed["customer_id"].tolist() == ["c00003"]
    assert listed["reason"].str.contains("not today").all()
    crm.served.bad = {}
    code, document = crm.push(path)
    assert (code, document["inserted"], len(crm.served.records)) == (0, 1, 40)
    assert not (tmp_path / "told.rejects.csv").exists()


def test_ids_that_the_crm_cannot_hold_are_set_aside_and_the_others_told(crm, tmp_path):
    odd = {"hubspot": "", "salesforce": "#N/A"}[crm.to]
    code, document = crm.push(write(tmp_path, ids=["a", odd, "b"]))
    assert (code, document["refused"], [*crm.served.records]) == (7, 1, ["a", "b"])
    listed = pd.read_csv(tmp_path / "told.rejects.csv", keep_default_na=False)
    assert listed["customer_id"].tolist() == [odd]


def test_names_of_segments_may_be_mapped(crm, tmp_path):
    crm.mapped("segment", "segment_name")
    code, _ = crm.push(made(tmp_path, "scores", segment="S1"))
    assert (code, {*crm.held("segment_name").values()}) == (0, {"Gold"})


def test_a_column_that_the_scores_lost_is_emptied(crm, tmp_path):
    """Else the segment of one scoring stands beside the time of another."""
    crm.push(made(tmp_path, "one", segment="S1"), mapping=None)
    code, document = crm.push(made(tmp_path, "two", 1), mapping=None)
    assert (code, document["updated"]) == (0, 40)
    assert {*crm.held("segment").values()} == {str(crm.empty)}
    assert crm.push(made(tmp_path, "three", 2), mapping=None)[1]["unchanged"] == 40


def test_columns_added_to_the_map_are_told_of_everybody(crm, tmp_path):
    path = write(tmp_path)
    crm.push(path)
    crm.mapped("clv", "value_band", "p_churn")
    code, document = crm.push(path)
    assert (code, document["updated"]) == (0, 40)
    assert {*crm.held("p_churn").values()} == {"0.2"}
    assert crm.push(path)[1]["unchanged"] == 40


def test_a_hold_out_outlives_pushes_without_a_campaign(crm, tmp_path):
    path, june = write(tmp_path), ("--campaign", "june", "--holdout", "0.5")
    crm.push(path, *june, mapping=None)
    before = crm.held("holdout")
    assert crm.push(path, mapping=None)[1]["unchanged"] == 40
    assert crm.push(path, *june, mapping=None)[1]["unchanged"] == 40
    assert (crm.held("holdout"), len({*before.values()})) == (before, 2)


# --- what breaks off -----------------------------------------------------------------------------


def test_rows_on_their_way_when_a_push_broke_off_are_told_again(crm, tmp_path):
    """Night 1 is told, night 2 breaks off after some rows, night 3 says what night 1 said."""
    crm.push(made(tmp_path, "one", ids=MANY))
    want = crm.held("clv")
    crm.served.quota = len(crm.served.asked) + {"hubspot": 1, "salesforce": 3}[crm.to]
    assert crm.push(made(tmp_path, "two", 1, ids=MANY, values=1))[0] == 6
    for job in crm.served.jobs.values():
        crm_servers.worked_off(crm.served, job)
    assert sum(crm.held("clv")[one] != want[one] for one in MANY) >= 100
    assert state()["unknown"].all()
    crm.served.quota = 1_000_000
    code, document = crm.push(made(tmp_path, "three", 2, ids=MANY))
    assert (code, document["updated"], crm.held("clv")) == (0, 250, want)
    assert not state()["unknown"].any()


def test_after_a_push_that_broke_off_older_scores_are_still_refused(crm, tmp_path):
    crm.push(write(tmp_path))
    crm.served.spent = True
    crm.push(write(tmp_path, "new.parquet", 2))
    crm.served.spent = False
    assert crm.push(write(tmp_path, "old.parquet", 1))[1]["error"]["code"] == "older_run"


def test_without_a_login_nothing_counts_as_on_its_way(crm, tmp_path, monkeypatch):
    crm.push(write(tmp_path))
    for name in ("HUBSPOT_TOKEN", "SALESFORCE_TOKEN"):
        monkeypatch.delenv(name)
    assert crm.push(write(tmp_path, "new.parquet", 1))[0] == 2
    assert not state()["unknown"].any()


def test_a_refused_token_is_not_said_and_everybody_is_told_afterwards(crm, tmp_path, monkeypatch):
    for name in ("HUBSPOT_TOKEN", "SALESFORCE_TOKEN"):
        monkeypatch.setenv(name, "wrong-token-1234")
    code, document = crm.push(write(tmp_path))
    assert (code, "1234" in f"{document}{crm.stderr}") == (9, False)
    for name in ("HUBSPOT_TOKEN", "SALESFORCE_TOKEN"):
        monkeypatch.setenv(name, crm.served.token)
    code, document = crm.push(write(tmp_path))
    assert (code, document["inserted"], len(crm.served.records)) == (0, 40, 40)


# --- what is refused -----------------------------------------------------------------------------


def test_older_scores_and_too_much_at_once_are_refused(crm, tmp_path):
    new, old, few = (
        write(tmp_path, f"{name}.parquet", day, n)
        for name, day, n in (("new", 2, 40), ("old", 1, 40), ("few", 3, 20))
    )
    crm.push(new)
    assert [crm.push(path)[1]["error"]["code"] for path in (old, few)] == [
        "older_run",
        "blast_radius",
    ]
    code, document = crm.push(old, "--force", "--reason", "the new one was wrong")
    assert (code, document["updated"], [*document["overruled"]]) == (0, 40, ["older_run"])
    assert "the new one was wrong" in crm.stderr
    assert b"the new one was wrong" in (tmp_path / "told.parquet").read_bytes()


def test_an_earlier_last_day_is_older_whenever_it_was_scored(crm, tmp_path):
    crm.push(write(tmp_path, "new.parquet", 5))
    table, document = scores(1)
    at = "2026-02-01T00:00:00+00:00"
    path = tmp_path / "old.parquet"
    path.write_bytes(scorefile.encoded(table.assign(scored_at=pd.Timestamp(at)), "parquet"))
    document |= {"scored_at": at, "table": {"sha256": sha256_of(path)}}
    path.with_suffix(".json").write_text(json.dumps(document))
    assert crm.push(path)[1]["error"]["code"] == "older_run"


def test_a_state_is_of_one_destination(crm, tmp_path):
    path = write(tmp_path)
    crm.push(path)
    with crm_servers.serving(crm_servers.Crm(), SERVERS[crm.to]) as other:
        code, document = crm.push(path, address=other)
    assert (code, other in document["error"]["message"]) == (2, True)
    crm.key = "Another__c" if crm.to == "salesforce" else "another"
    crm.mapped("clv")
    assert crm.push(path)[0] == 2
    assert crm.push(path, address=f"{crm.address}/", state="another.parquet")[0] == 6


def broken():
    """Each way that a state can be damaged."""
    table, path = pd.read_parquet("told.parquet"), Path("told.parquet")
    yield "cut off", lambda: path.write_bytes(path.read_bytes()[:300])
    yield "no Parquet", lambda: path.write_bytes(b"junk")
    yield "no note", lambda: table.to_parquet("told.parquet")
    for what, changed in {
        "without scored_at": table.drop(columns="scored_at"),
        "with text for scored_at": table.assign(scored_at="yesterday"),
        "with text for a number": table.assign(clv="much"),
        "with an id twice": pd.concat([table, table.head(1)]),
        "with an id missing": table.assign(customer_id=None),
    }.items():
        yield what, lambda changed=changed: noted(changed)


def noted(table):
    """A table in place of the one of a state, with the note of that state."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = pq.read_schema("told.parquet").metadata
    rows = pa.Table.from_pandas(table, preserve_index=False)
    pq.write_table(rows.replace_schema_metadata(metadata), "told.parquet")


def test_a_damaged_state_is_refused_with_what_to_do(crm, tmp_path):
    path = write(tmp_path)
    crm.push(path)
    shutil.copy("told.parquet", "whole.parquet")
    for what, damage in broken():
        damage()
        code, document = crm.push(path)
        assert (code, document["error"]["code"]) == (5, "artefact_bad"), what
        assert "told again" in document["error"]["fix"], what
        shutil.copy("whole.parquet", "told.parquet")
    (tmp_path / "manifest.json").write_text('{"files": []}')
    assert crm.push(path)[0] == 0


# --- who objects ---------------------------------------------------------------------------------


def emptied(crm, one, *columns):
    """The record of somebody of whom nothing is left."""
    return {crm.key: one, **dict.fromkeys(map(crm.name, columns), crm.empty)}


def test_of_who_objects_the_columns_are_emptied(crm, tmp_path):
    crm.push(write(tmp_path))
    (tmp_path / "no.txt").write_text("c00007\n")
    code, document = crm.push(write(tmp_path, "next.parquet"), "--suppress-list", "no.txt")
    assert (code, document["removed"], document["updated"]) == (0, 1, 0)
    assert crm.served.records["c00007"] == emptied(crm, "c00007", "clv", "value_band")
    assert len(state()) == 39


def test_who_left_the_scores_and_objects_later_is_emptied(crm, tmp_path):
    others = [f"c{i:05d}" for i in range(1, 40)]
    crm.push(write(tmp_path))
    crm.push(write(tmp_path, "next.parquet", 1, ids=others))
    assert state()["active"].value_counts().to_dict() == {True: 39, False: 1}
    (tmp_path / "no.txt").write_text("c00000\n")
    late = write(tmp_path, "late.parquet", 2, ids=others)
    code, document = crm.push(late, "--suppress-list", "no.txt")
    assert (code, document["removed"]) == (0, 1)
    assert crm.served.records["c00000"] == emptied(crm, "c00000", "clv", "value_band")
    assert len(state()) == 39


def test_columns_no_longer_mapped_are_emptied_too(crm, tmp_path):
    crm.push(write(tmp_path))
    crm.mapped("clv")
    crm.push(write(tmp_path))
    (tmp_path / "no.txt").write_text("c00000\n")
    crm.push(write(tmp_path), "--suppress-list", "no.txt")
    assert crm.served.records["c00000"] == emptied(crm, "c00000", "clv", "value_band")


def test_who_was_deleted_there_and_objects_is_not_made_again(crm, tmp_path):
    path = write(tmp_path)
    crm.push(path)
    del crm.served.records["c00000"]
    (tmp_path / "no.txt").write_text("c00000\n")
    code, document = crm.push(path, "--suppress-list", "no.txt")
    assert (code, document["inserted"], document["removed"]) == (0, 0, 1)
    assert "c00000" not in crm.served.records


def test_who_was_erased_under_another_key_is_emptied(crm, tmp_path):
    for name in ("k1", "k2"):
        (tmp_path / name).write_text(hashlib.sha256(name.encode()).hexdigest())
    path = write(tmp_path)
    crm.push(path, "--pseudonymise", "k1")
    shutil.copy(path, tmp_path / "e.parquet")
    shutil.copy(path.with_suffix(".json"), tmp_path / "e.json")
    (tmp_path / "ids").write_text("c00003\n")
    words = ["erase", "ids", "e.parquet", "--tombstones", "tomb", "--key", "k2"]
    assert CliRunner().invoke(app, words).exit_code == 0
    lists = ("--suppress-list", "tomb", "--suppress-key", "k2")
    code, document = crm.push(path, "--pseudonymise", "k1", *lists)
    assert (code, document["removed"]) == (0, 1)
    assert sum(value in ("", "None") for value in crm.held("clv").values()) == 1
    assert "another key" in crm.stderr
