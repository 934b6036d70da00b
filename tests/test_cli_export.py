"""``bayesseg export``: the right files, whole or not at all, and only what is news."""

import csv
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feed_case import IDS, document, scores, written
from typer.testing import CliRunner

from bayesseg import _files, posterior
from bayesseg.cli import app, scorefile
from bayesseg.cli.steps import exporting
from bayesseg.decide.holdout import held
from bayesseg.errors import UsageError
from bayesseg.feed import feed
from bayesseg.feed.targets import TARGETS

GOLDEN = Path(__file__).parent / "golden/export"
FILES = {
    "salesforce": "customers-001.csv",
    "hubspot": "customers.ndjson",
    "klaviyo": "customers.ndjson",
    "braze": "customers-001.csv",
    "warehouse": "customers.parquet",
    "csv": "customers-001.csv",
}


FAILED = {
    "computation": "failed",
    "forecast": "not-assessed",
    "reasons": ["the gamma is off"],
}


def run(*words, code=0):
    done = CliRunner().invoke(app, ["export", *map(str, words)])
    assert done.exit_code == code, done.stderr
    return done


def rows(path):
    with path.open(newline="", encoding="utf-8") as handle:
        return [*csv.reader(handle)]


@pytest.fixture
def path(tmp_path):
    return written(tmp_path, scores())


@pytest.mark.parametrize("to", TARGETS)
def test_every_destination_gets_everybody_once_and_a_manifest_of_what_is_there(path, tmp_path, to):
    out = tmp_path / to
    run(path, "--to", to, "-o", out)
    manifest = json.loads((out / "manifest.json").read_text())
    listed = {one["name"]: one for one in manifest["files"]}
    assert {file.name for file in out.iterdir()} == {*listed, "manifest.json"}
    for name, one in listed.items():
        content = (out / name).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (one["sha256"], one["bytes"])
    assert listed[FILES[to]]["rows"] == listed["feed.parquet"]["rows"] == len(IDS)
    assert (manifest["model_id"], manifest["as_of"]) == ("ab12" * 16, "2026-01-04")
    assert pd.read_parquet(out / "feed.parquet")["customer_id"].tolist() == sorted(IDS)


@pytest.mark.parametrize("to", [to for to in TARGETS if to != "warehouse"])
def test_one_customer_is_written_letter_by_letter_like_this(tmp_path, to):
    one = scores(1).assign(
        customer_id='=1+1, "x"',
        segment="S2",
        segment_probability=0.7123,
        membership_S1=0.2877,
        membership_S2=0.7123,
        p_churn=0.3579,
        expected_purchases=1.77,
        clv=244.9,
        clv_pred_hi=1199.9,
        value_at_risk=float("nan"),
        model_id="m",
    )
    run(written(tmp_path, one), "--to", to, "-o", tmp_path / "out")
    golden = GOLDEN / f"{to}-{FILES[to]}"
    assert golden.read_bytes() == (tmp_path / "out" / FILES[to]).read_bytes()


def test_machines_get_ids_as_they_are_and_people_no_formula(path, tmp_path):
    run(path, "--to", "salesforce", "-o", tmp_path / "crm")
    run(path, "--to", "csv", "-o", tmp_path / "people")
    raw = [row[0] for row in rows(tmp_path / "crm/customers-001.csv")[1:]]
    assert raw == sorted(IDS)
    safe = [row[0] for row in rows(tmp_path / "people/customers-001.csv")[1:]]
    assert safe == [f"'{one}" if one.startswith("=") else one for one in sorted(IDS)]
    whole = (tmp_path / "crm/customers-001.csv").read_bytes()
    assert b"\r" not in whole
    assert whole.decode("utf-8").splitlines()[0].startswith("Customer_Id__c,Segment__c,")


def test_a_withheld_part_clears_its_fields_at_salesforce_and_says_nothing_to_braze(tmp_path):
    path = written(tmp_path, scores().assign(clv=None, value_at_risk=float("nan")))
    for to, nothing in (("salesforce", "#N/A"), ("braze", "")):
        run(path, "--to", to, "-o", tmp_path / to)
        head, *body = rows(tmp_path / to / "customers-001.csv")
        clv = head.index(TARGETS[to].name("clv"))
        assert {row[clv] for row in body} == {nothing}
        assert not {"nan", "NaN", "inf", "None"} & {cell for row in body for cell in row}


def test_files_are_cut_where_the_destination_says_each_with_its_header():
    found = exporting.news(scores(60), document(), "salesforce", None, None, exact=False)
    small = replace(found, target=replace(found.target, size=4000))
    pieces = [file for _, file in exporting.native("customers", small.feed, small)]
    assert len(pieces) > 2
    assert max(len(piece.content) for piece in pieces) <= 4000
    lines = [piece.content.decode().splitlines() for piece in pieces]
    assert len({some[0] for some in lines}) == 1
    assert [len(some) - 1 for some in lines] == [piece.rows for piece in pieces]
    assert sum(piece.rows for piece in pieces) == 60


def test_a_record_with_line_ends_in_it_stays_whole():
    table = scores(40).assign(segment_name='a\nb\r\n"c"')
    asked = ["segment_name", "p_churn"]
    found = exporting.news(table, document(), "salesforce", None, None, exact=False)
    whole = feed(table, document(), columns=asked)
    names = {"customer_id": "Id__c", "segment_name": "Kind__c", "p_churn": "Churn__c"}
    small = replace(found, target=replace(found.target, size=300), names=names)
    pieces = [file for _, file in exporting.native("customers", whole, small)]
    read = [[*csv.reader(io.StringIO(one.content.decode(), newline=""))] for one in pieces]
    assert [len(some) - 1 for some in read] == [one.rows for one in pieces]
    assert {len(row) for some in read for row in some} == {3}
    assert [row[0] for some in read for row in some[1:]] == whole["customer_id"].tolist()


def test_a_second_export_of_the_same_scores_says_nothing(path, tmp_path):
    run(path, "--to", "braze", "-o", tmp_path / "one")
    run(path, "--to", "braze", "--changed-since", tmp_path / "one", "-o", tmp_path / "two")
    manifest = json.loads((tmp_path / "two/manifest.json").read_text())
    assert manifest["counts"] == {
        "customers": 6,
        "changed": 0,
        "entered": 0,
        "left": 0,
        "unchanged": 6,
        "moved": 0,
        "refused": 0,
    }
    assert len(rows(tmp_path / "two/changed-001.csv")) == 1
    one, two = (pd.read_parquet(tmp_path / name / "feed.parquet") for name in ("one", "two"))
    pd.testing.assert_frame_equal(one, two)


def test_news_is_who_changed_who_entered_who_left_and_who_moved(tmp_path):
    before = written(tmp_path, scores(50))
    table = scores(54).iloc[3:].reset_index(drop=True)
    table.loc[5, "clv"] *= 10
    table.loc[7, ["membership_S1", "membership_S2"]] = (
        [1, 0] if table.loc[7, "segment"] == "S2" else [0, 1]
    )
    table.loc[7, "segment"] = "S1" if table.loc[7, "segment"] == "S2" else "S2"
    now = written(tmp_path, table, "now.parquet")
    run(before, "--to", "warehouse", "-o", tmp_path / "one")
    done = run(
        now, "--to", "warehouse", "--changed-since", tmp_path / "one", "-o", tmp_path / "two"
    )
    found = {
        name: pd.read_parquet(tmp_path / f"two/{name}.parquet")["customer_id"].tolist()
        for name in ("changed", "entered", "left")
    }
    assert found == {
        "changed": sorted(table.loc[[5, 7], "customer_id"]),
        "entered": ["c00044", "c00045", "c00046", "c00047"],
        "left": sorted(IDS[:3]),
    }
    assert "1 moved from" in done.stderr
    assert [row[2] for row in rows(tmp_path / "two/moved.csv")] == ["customers", "1"]


@pytest.mark.parametrize("since", ["crm", "crm/feed.parquet"])
def test_news_never_take_the_place_of_those_that_may_not_be_sent_yet(path, tmp_path, since):
    out = tmp_path / "crm"
    run(path, "--to", "csv", "-o", out)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    words = (path, "--to", "csv", "--changed-since", tmp_path / since, "-o", out, "--force")
    assert "before it is sent" in run(*words, code=2).stderr
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before


def test_force_replaces_an_export_and_no_folder_that_holds_anything_else(path, tmp_path):
    run(path, "--to", "csv", "-o", tmp_path / "crm")
    run(path, "--to", "csv", "-o", tmp_path / "crm", code=2)
    run(path, "--to", "braze", "-o", tmp_path / "crm", "--force")
    (tmp_path / "crm/notes.txt").write_text("ours")
    for out in (tmp_path / "crm", tmp_path):
        said = run(path, "--to", "csv", "-o", out, "--force", code=2).stderr
        assert "is not an export, or holds more than one" in said
    assert (tmp_path / "crm/notes.txt").read_text() == "ours"
    assert path.exists()


def test_a_run_is_no_export_and_an_export_no_run(path, tmp_path):
    run(path, "--to", "csv", "-o", tmp_path / "crm")
    with pytest.raises(UsageError, match="is not a run"):
        posterior.reserve(tmp_path / "crm", force=True)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/manifest.json").write_text('{"files": {"spec.toml": {}}}')
    (tmp_path / "run/spec.toml").write_text("")
    run(path, "--to", "csv", "-o", tmp_path / "run", "--force", code=2)


def test_too_much_news_writes_nothing_without_force_and_a_reason(tmp_path):
    before, now = written(tmp_path, scores(50)), written(tmp_path, scores(30), "now.parquet")
    run(before, "--to", "csv", "-o", tmp_path / "one")
    words = (now, "--to", "csv", "--changed-since", tmp_path / "one", "-o", tmp_path / "two")
    done = run(*words, code=4)
    assert "40% of customers disappear" in done.stderr
    assert not (tmp_path / "two").exists()
    run(*words, "--force", "--reason", "the shop was sold")
    manifest = json.loads((tmp_path / "two/manifest.json").read_text())
    assert manifest["radius"]["reason"] == "the shop was sold"


def test_a_failed_part_leaves_only_by_force_and_reason_under_another_name(tmp_path):
    failed = FAILED
    verdicts = document()["verdicts"] | {"spend": failed}
    held = written(tmp_path, scores(), "held.parquet", verdicts=verdicts)
    let = written(tmp_path, scores(), "let.parquet", verdicts=verdicts, released={"spend": "x"})
    (tmp_path / "map").write_text('[columns]\nvalue_band = "band"\np_churn = "p"\n')
    named = ("--to", "csv", "--map", tmp_path / "map", "-o", tmp_path / "out")
    said = run(held, *named, code=4).stderr
    assert "spend part of this model failed" in said
    assert "fix: fit that part again; it was judged: the gamma is off" in said
    forced = ("--force", "--reason", "a rehearsal")
    assert "blank" in run(held, *named, *forced, code=2).stderr
    run(let, *named, *forced)
    manifest = json.loads((tmp_path / "out.untrusted/manifest.json").read_text())
    assert manifest["released"] == {"spend": "a rehearsal"}
    assert not (tmp_path / "out").exists()


def test_a_failed_part_is_left_out_and_never_holds_up_the_others(path, tmp_path):
    lost = ("clv", "clv_pred_lo", "clv_pred_hi", "value_at_risk", "value_band")
    run(path, "--to", "warehouse", "-o", tmp_path / "one")
    for part, gone in (("spend", lost), ("segments", ("segment", "segment_probability"))):
        blank = scores().assign(**dict.fromkeys(gone[:-1], np.nan))
        if part == "segments":
            blank = blank.assign(segment=None)
        verdicts = document()["verdicts"] | {part: FAILED}
        now = written(tmp_path, blank, f"{part}.parquet", verdicts=verdicts)
        done = run(now, "--to", "warehouse", "-o", tmp_path / part)
        assert f"{part} failed the gates and is left out" in done.stderr
        there = pd.read_parquet(tmp_path / part / "customers.parquet")
        whole = pd.read_parquet(tmp_path / "one/customers.parquet")
        assert [*there] == [name for name in whole if name not in gone]
        pd.testing.assert_frame_equal(there, whole[[*there]])
        since = ("--changed-since", tmp_path / "one", "-o", tmp_path / f"{part}-news")
        run(now, "--to", "warehouse", *since)
        news = pd.read_parquet(tmp_path / f"{part}-news/changed.parquet")
        assert news[[*gone]].isna().all(axis=None)
        assert news["p_churn"].tolist() == whole["p_churn"].tolist()


def test_where_every_part_failed_nothing_leaves(tmp_path):
    verdicts = dict.fromkeys(document()["verdicts"], FAILED)
    now = written(tmp_path, scores(), verdicts=verdicts)
    said = run(now, "--to", "csv", "--dry-run", code=4).stderr
    assert "the purchase and spend and segments part" in said


# --- what the destination holds ------------------------------------------------------------------


def test_another_destination_is_not_told_the_news_of_this_one(path, tmp_path):
    (tmp_path / "key").write_text("0123456789abcdef" * 4)
    run(path, "--to", "hubspot", "-o", tmp_path / "one")
    since = ("--changed-since", tmp_path / "one", "--dry-run")
    assert "says what hubspot" in run(path, "--to", "klaviyo", *since, code=2).stderr
    other = ("--to", "hubspot", "--pseudonymise", tmp_path / "key")
    assert "pseudonyms of key" in run(path, *other, *since, code=2).stderr


@pytest.mark.parametrize("more", ['clv = "b"', 'scored_at = "b"', 'risk_tier = "b"'])
def test_a_column_that_is_new_there_or_has_another_name_is_news_of_everybody(path, tmp_path, more):
    maps = {"one": 'p_churn = "a"', "two": f'p_churn = "a"\n{more}', "three": 'p_churn = "c"'}
    for name, lines in maps.items():
        (tmp_path / f"{name}.toml").write_text(f"[columns]\n{lines}\n")

    def changed(name, since):
        words = ("--map", tmp_path / f"{name}.toml", "--changed-since", tmp_path / since)
        run(path, "--to", "csv", *words, "-o", tmp_path / f"{since}-{name}")
        manifest = json.loads((tmp_path / f"{since}-{name}/manifest.json").read_text())
        return manifest["counts"]["changed"]

    run(path, "--to", "csv", "--map", tmp_path / "one.toml", "-o", tmp_path / "a")
    assert [changed(name, "a") for name in maps] == [0, 6, 6]
    assert [changed(name, "a-two") for name in maps] == [0, 0, 6]


def test_a_column_left_out_for_a_night_is_told_again_only_where_it_has_changed_since(tmp_path):
    (tmp_path / "less.toml").write_text('[columns]\np_churn = "p_churn"\n')
    one, table = written(tmp_path, scores()), scores()
    table.loc[2, "clv"] *= 10
    two = written(tmp_path, table, "two.parquet")
    run(one, "--to", "csv", "-o", tmp_path / "a")
    less = ("--map", tmp_path / "less.toml", "--changed-since", tmp_path / "a")
    run(two, "--to", "csv", *less, "-o", tmp_path / "b")
    assert len(rows(tmp_path / "b/changed-001.csv")) == 1
    run(two, "--to", "csv", "--changed-since", tmp_path / "b", "-o", tmp_path / "c")
    assert [row[0] for row in rows(tmp_path / "c/changed-001.csv")[1:]] == [IDS[2]]


def test_older_scores_do_not_take_the_place_of_newer_ones(path, tmp_path):
    run(path, "--to", "csv", "-o", tmp_path / "one")
    older = written(
        tmp_path,
        scores().assign(clv=1.0),
        "older.parquet",
        as_of="2026-01-03",
        scored_at="2026-01-06T10:00:00+00:00",
    )
    words = (older, "--to", "csv", "--changed-since", tmp_path / "one", "--dry-run")
    assert "older than those that stand there" in run(*words, code=4).stderr
    assert "overruled (a mistake)" in run(*words, "--force", "--reason", "a mistake").stderr


def test_a_hold_out_outlives_exports_without_a_campaign(path, tmp_path):
    campaign = ("--campaign", "june", "--holdout", "0.5")
    run(path, "--to", "braze", *campaign, "-o", tmp_path / "one")
    words = (path, "--to", "braze", "--changed-since", tmp_path / "one", "--dry-run")
    for more in ((), campaign):
        said = run(*words, *more).stderr
        assert "6 unchanged" in said
        assert ("who is held out stays as last told" in said) == (not more)


@pytest.mark.parametrize("to", ["salesforce", "hubspot", "klaviyo", "braze"])
def test_of_who_objects_the_destination_is_emptied_once_also_long_after_they_left(tmp_path, to):
    whole, less = written(tmp_path, scores(50)), written(tmp_path, scores(49), "less.parquet")
    last = scores(50)["customer_id"].iloc[-1]
    (tmp_path / "no.txt").write_text(f"{last}\nZ\n")
    run(whole, "--to", to, "-o", tmp_path / "0")
    run(less, "--to", to, "--changed-since", tmp_path / "0", "-o", tmp_path / "1")
    no = ("--suppress-list", tmp_path / "no.txt")
    run(less, "--to", to, *no, "--changed-since", tmp_path / "1", "-o", tmp_path / "2")
    run(less, "--to", to, *no, "--changed-since", tmp_path / "2", "-o", tmp_path / "3")
    found = [*(tmp_path / "2").glob("cleared*")]
    if to == "hubspot":
        inputs = json.loads(found[0].read_text())["inputs"]
        assert {one["id"] for one in inputs} == {"Z", last}
        assert {
            v for one in inputs for k, v in one["properties"].items() if k != "customer_id"
        } == {""}
    else:
        body = rows(found[0])[1:]
        assert {row[0] for row in body} == {"Z", last}
        assert {cell for row in body for cell in row[1:]} == (
            {"#N/A"} if to == "salesforce" else set()
        )
    assert [*(tmp_path / "1").glob("cleared*")] == [*(tmp_path / "3").glob("cleared*")] == []


@pytest.mark.parametrize(("to", "said"), [("klaviyo", True), ("braze", True), ("hubspot", False)])
def test_a_number_that_is_gone_is_said_where_it_cannot_be_told(path, tmp_path, to, said):
    run(path, "--to", to, "-o", tmp_path / "one")
    table = scores()
    table.loc[:1, "clv"] = np.nan
    now = written(tmp_path, table, "now.parquet")
    done = run(now, "--to", to, "--changed-since", tmp_path / "one", "--dry-run")
    assert ("of 2 customers something told before is no longer known" in done.stderr) is said


@pytest.mark.parametrize(
    "damage",
    [
        lambda table: table.assign(p_churn="x"),
        lambda table: table.assign(scored_at="2026"),
        lambda table: table.assign(segment=1),
        lambda table: table.assign(customer_id="Z"),
        lambda table: table.drop(columns="scored_at"),
    ],
)
def test_a_feed_of_other_types_is_refused(path, tmp_path, damage):
    run(path, "--to", "csv", "-o", tmp_path / "one")
    file = pq.read_table(tmp_path / "one/feed.parquet")
    touched = pa.Table.from_pandas(damage(file.to_pandas()), preserve_index=False)
    note = {**touched.schema.metadata, b"bayesseg": file.schema.metadata[b"bayesseg"]}
    pq.write_table(touched.replace_schema_metadata(note), tmp_path / "alone.parquet")
    words = ("--to", "csv", "--changed-since", tmp_path / "alone.parquet", "--dry-run")
    assert "is no feed of an export" in run(path, *words, code=5).stderr


def test_a_score_table_is_no_feed(path):
    words = ("--to", "csv", "--changed-since", path, "--dry-run")
    assert "is no feed of an export" in run(path, *words, code=5).stderr


# --- who and what --------------------------------------------------------------------------------


def test_who_objected_is_not_handed_on_and_leaves_where_they_were(path, tmp_path):
    run(path, "--to", "csv", "-o", tmp_path / "one")
    (tmp_path / "no.txt").write_text("Z\n")
    run(
        *(path, "--to", "csv", "-o", tmp_path / "two", "--changed-since", tmp_path / "one"),
        *("--suppress-list", tmp_path / "no.txt"),
    )
    manifest = json.loads((tmp_path / "two/manifest.json").read_text())
    assert manifest["suppressed"] == {"count": 1, "entries": 1, "unknown": 0}
    assert rows(tmp_path / "two/left.csv") == [["customer_id"], ["Z"]]


def test_pseudonyms_leave_in_place_of_ids_and_nothing_tells_the_id(path, tmp_path):
    (tmp_path / "key").write_text("0123456789abcdef" * 4)
    out = tmp_path / "out"
    run(path, "--to", "salesforce", "-o", out, "--pseudonymise", tmp_path / "key")
    written_ids = [row[0] for row in rows(out / "customers-001.csv")[1:]]
    assert all(len(one) == 33 and one.startswith("p") for one in written_ids)
    for file in out.iterdir():
        assert b"quoted" not in file.read_bytes()


def test_the_hold_out_is_that_of_the_campaign_whatever_the_id_is_called(path, tmp_path):
    (tmp_path / "key").write_text("0123456789abcdef" * 4)
    words = (path, "--to", "braze", "--campaign", "june", "--holdout", "0.5")
    run(*words, "-o", tmp_path / "plain")
    run(*words, "-o", tmp_path / "hidden", "--pseudonymise", tmp_path / "key")
    head, *body = rows(tmp_path / "plain/customers-001.csv")
    at = head.index("holdout")
    marked = {row[0] for row in body if row[at] == "true"}
    expected = held(pd.Series(IDS).to_numpy(dtype=object), "june", 0.5)
    assert marked == {one for one, is_held in zip(IDS, expected, strict=True) if is_held}
    assert {row[at] for row in body} == {"true", "false"}
    hidden = rows(tmp_path / "hidden/customers-001.csv")[1:]
    assert sum(row[at] == "true" for row in hidden) == len(marked)


def test_an_id_that_cannot_be_held_there_is_set_aside_and_said(tmp_path):
    long = scores().assign(customer_id=[*IDS[:5], "x" * 256])
    path = written(tmp_path, long)
    done = run(path, "--to", "salesforce", "-o", tmp_path / "out", code=7)
    assert "left out: 1 of 6" in done.stderr
    assert [row[0] for row in rows(tmp_path / "out/rejects.csv")] == ["customer_id", "x" * 256]
    assert len(rows(tmp_path / "out/customers-001.csv")) == 6


def test_a_dry_run_shows_counts_and_rows_and_writes_nothing(path, tmp_path):
    before = sorted(tmp_path.iterdir())
    done = run(path, "--to", "salesforce", "--dry-run", "-o", tmp_path / "out")
    assert "6 customers, 0 changed, 6 entered" in done.stderr
    assert "Churn_Probability__c" in done.stdout
    assert sorted(tmp_path.iterdir()) == before


def test_the_schema_is_printed_and_nothing_is_written(path, tmp_path):
    done = run(path, "--to", "hubspot", "--schema")
    assert json.loads(done.stdout)["inputs"][0]["name"] == "customer_id"
    assert run(path, "--to", "warehouse", "--schema").stdout.count("MERGE INTO") == 4


def test_a_map_chooses_and_may_add_columns(path, tmp_path):
    (tmp_path / "crm.toml").write_text(
        '[columns]\ncustomer_id = "Number__c"\np_alive = "Alive__c"\nsegment_name = "Kind__c"\n'
    )
    words = (path, "--to", "salesforce", "--map", tmp_path / "crm.toml")
    run(*words, "-o", tmp_path / "out")
    head, *body = rows(tmp_path / "out/customers-001.csv")
    assert head == ["Number__c", "Alive__c", "Kind__c"]
    assert {row[2] for row in body} <= {"champions", "drifting"}
    run(*words, "--changed-since", tmp_path / "out", "-o", tmp_path / "again")
    assert len(rows(tmp_path / "again/changed-001.csv")) == 1


def test_the_star_is_five_tables_and_what_their_keys_are(path, tmp_path):
    run(path, "--to", "bi", "-o", tmp_path / "bi")
    names = ("runs", "segments", "customers", "membership", "forecasts")
    for name in names:
        assert f"| {name} |" in (tmp_path / "bi/README.md").read_text()
        assert len(pd.read_parquet(tmp_path / f"bi/{name}.parquet")) > 0
    words = ("--map", "x", "--exact", "--campaign", "june", "--holdout", "0.1", "--dry-run")
    said = run(path, "--to", "bi", *words, code=2).stderr
    assert "--map, --exact, --campaign, --holdout says nothing there" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "fax", "--dry-run"), "no destination is called 'fax'"),
        (("--to", "csv"), "nowhere to write"),
        (("--to", "csv", "--dry-run", "--holdout", "0.1"), "go together"),
        (("--to", "csv", "--dry-run", "--changed-since", "gone"), "gone does not exist"),
    ],
)
def test_what_makes_no_sense_is_refused(path, words, said):
    assert said in run(path, *words, code=2).stderr


@pytest.mark.parametrize("damage", [b"", b"PAR1", None])
def test_an_earlier_feed_that_was_touched_is_refused(path, tmp_path, damage):
    run(path, "--to", "csv", "-o", tmp_path / "one")
    file = tmp_path / "one/feed.parquet"
    table = pd.read_parquet(file)
    file.write_bytes(scorefile.encoded(table.head(2), "parquet") if damage is None else damage)
    words = ("--to", "csv", "--changed-since", tmp_path / "one", "--dry-run")
    assert "feed.parquet" in run(path, *words, code=5).stderr


def test_people_are_not_erased_from_what_a_destination_was_told(path, tmp_path):
    """Nobody would know then whom to empty there."""
    run(path, "--to", "hubspot", "-o", tmp_path / "out")
    (tmp_path / "ids").write_text(IDS[0])
    (tmp_path / "key").write_bytes(b"0123456789abcdef0123456789abcdef")
    feed_file = tmp_path / "out/feed.parquet"
    was = feed_file.read_bytes()
    words = ("erase", tmp_path / "ids", feed_file, "--tombstones", tmp_path / "t", "--key")
    done = CliRunner().invoke(app, [*map(str, words), str(tmp_path / "key")])
    assert (done.exit_code, "with --suppress-list" in done.stderr) == (2, True)
    assert feed_file.read_bytes() == was
    assert not (tmp_path / "t").exists()


def test_json_is_the_manifest(path, tmp_path):
    done = run(path, "--to", "csv", "-o", tmp_path / "out", "--json")
    said = json.loads(done.stdout)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert {name: said[name] for name in manifest if name != "schema_version"} == {
        name: value for name, value in manifest.items() if name != "schema_version"
    }


def test_an_export_that_breaks_off_leaves_what_was_there(path, tmp_path, monkeypatch):
    out = tmp_path / "out"
    run(path, "--to", "csv", "-o", out)
    before = {file.name: file.read_bytes() for file in out.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_files, "_put", full)
    run(path, "--to", "braze", "-o", out, "--force", code=9)
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


def test_what_is_written_is_what_the_feed_says(path, tmp_path):
    run(path, "--to", "warehouse", "-o", tmp_path / "out")
    found = pd.read_parquet(tmp_path / "out/customers.parquet")
    pd.testing.assert_frame_equal(found, feed(scores(), document()), check_dtype=False)
