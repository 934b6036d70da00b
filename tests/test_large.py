"""Scores on disk: the same table as in memory, in bounds, and nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import report_case
from typer.testing import CliRunner

from bayesseg import roster
from bayesseg._files import workplace
from bayesseg.cli import app
from bayesseg.cli.shell import Shell
from bayesseg.cli.steps import large as large_step
from bayesseg.cli.steps.scoring import write_batches, write_scores
from bayesseg.customers import Customers, summarise
from bayesseg.errors import BayessegError, InputRejected, Locked, ResourcesMissing, UsageError
from bayesseg.ingest import Key, pseudonyms, read_purchases
from bayesseg.posterior import load
from bayesseg.roster import even, ranks, roster_of, summary_of
from bayesseg.scoring import Settings, score
from bayesseg.scoring.large import PART, score_large
from bayesseg.scoring.table import ranks as in_memory
from bayesseg.scoring.workers import shared_out
from bayesseg.summary import read_summary

SETTINGS = Settings(draws=100)
KEY = Key(b"0123456789abcdef0123456789abcdef")
REALISED = ("pred_lo", "pred_hi", "widened_lo", "widened_hi")


@pytest.fixture(scope="module")
def log(cdnow_sample):
    return report_case.purchases(cdnow_sample).sample(frac=1, random_state=3)


@pytest.fixture(scope="module")
def posterior(cdnow_sample):
    return report_case.posterior(report_case.customers(cdnow_sample))


@pytest.fixture(scope="module")
def whole(log, posterior):
    customers = summarise(read_purchases(log), as_of="1998-06-30")
    return score(posterior, customers, SETTINGS)


@pytest.fixture(scope="module")
def large(log, posterior, tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    roster = roster_of(read_purchases(log), folder, "1998-06-30", group=500)
    found = score_large(posterior, roster, SETTINGS, folder, cores=4, part=700)
    return replace(found, parts=iter(list(found.parts))), roster


@pytest.fixture(scope="module")
def table(large):
    found, _ = large
    parts = list(found.parts)
    return pa.Table.from_batches(parts, found.schema), [len(part) for part in parts]


def test_scores_on_disk_are_the_scores_in_memory(table, whole):
    frame = table[0].to_pandas()
    assert list(frame) == list(whole.table)
    for name in whole.table.columns.drop(["flags", "scored_at"]):
        expected, actual = whole.table[name], frame[name]
        if pd.api.types.is_float_dtype(expected):
            np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-12, err_msg=name)
        else:
            assert actual.astype("str").tolist() == expected.astype("str").tolist(), name
    assert frame["flags"].map(tuple).tolist() == whole.table["flags"].tolist()


def test_scores_on_disk_come_in_even_parts(table, whole):
    assert table[1] == [700, 700, 700, len(whole.table) - 2100]


def test_the_document_is_that_of_scores_in_memory(large, whole):
    def numbers(item, path=()):
        if isinstance(item, dict):
            for name, value in item.items():
                if name not in ("scored_at", *REALISED):
                    yield from numbers(value, (*path, name))
        elif isinstance(item, list):
            for i, value in enumerate(item):
                yield from numbers(value, (*path, i))
        else:
            yield path, item

    expected, actual = dict(numbers(whole.document)), dict(numbers(large[0].document))
    assert actual.keys() == expected.keys()
    for path, value in expected.items():
        assert actual[path] == (pytest.approx(value, rel=1e-9) if _is_number(value) else value), (
            path
        )


def inside(folder):
    return sorted(path.name for path in folder.iterdir())


def _is_number(value):
    return isinstance(value, int | float)


def test_totals_realised_differ_by_monte_carlo_error_alone(large, whole):
    for name, expected in whole.document["totals"].items():
        actual = large[0].document["totals"][name]
        for end in set(REALISED) & set(expected):
            width = expected["pred_hi"] - expected["pred_lo"]
            assert abs(actual[end] - expected[end]) < 0.25 * width


def test_a_roster_of_a_log_has_its_provenance(large, log):
    expected = summarise(read_purchases(log), as_of="1998-06-30").provenance
    assert large[1].provenance == expected


def test_a_roster_lays_like_histories_side_by_side(large):
    rows = pq.read_table(large[1].path).to_pandas()
    order = ["x", "t_end", "t_x", "x_paid", "repeat_spend", "place"]
    assert rows[order].equals(rows[order].sort_values(order, ignore_index=True))
    assert rows.sort_values("customer_id")["place"].tolist() == list(range(len(rows)))


def test_pseudonyms_are_in_their_own_order_and_ranks_are_those_of_ids(
    log, posterior, whole, tmp_path
):
    roster = roster_of(read_purchases(log), tmp_path, "1998-06-30", KEY, group=1000)
    found = score_large(posterior, roster, replace(SETTINGS, predictive=False), tmp_path, part=900)
    frame = pa.Table.from_batches(found.parts, found.schema).to_pandas()
    named = whole.table.assign(customer_id=pseudonyms(whole.table["customer_id"], KEY))
    expected = named.sort_values("customer_id", ignore_index=True)
    columns = ["customer_id", "frequency", "clv", "priority_rank"]
    pd.testing.assert_frame_equal(expected[columns], frame[columns], check_dtype=False, rtol=1e-12)


@pytest.mark.parametrize("unit", [None, "week"])
def test_a_roster_of_a_summary_holds_what_is_read_into_memory(unit, cdnow_sample, tmp_path):
    customers = report_case.customers(cdnow_sample)
    frame = summary_frame(customers, unit)
    said = {"as_of": "1998-06-30", "money": "revenue", "time_unit": unit}
    expected = read_summary(frame, **said)
    roster = summary_of(frame, lambda _: tmp_path, least=1, group=800, **said)
    rows = pq.read_table(roster.path).to_pandas().sort_values("place")
    assert roster.provenance == expected.provenance
    assert (len(roster), roster.groups, roster.as_of) == (2357, 3, expected.as_of)
    assert rows["customer_id"].tolist() == expected.ids.tolist()
    for name in ("x", "t_x", "t_end", "x_paid", "n_orders", "repeat_spend", "first_spend"):
        np.testing.assert_array_equal(rows[name], getattr(expected, name), err_msg=name)


def summary_frame(customers, unit=None):
    ids = customers.ids[::-1]
    if unit is None:
        names = ("x", "t_x", "t_end", "x_paid", "repeat_spend", "first_spend", "n_orders")
        return pd.DataFrame({"id": ids} | {name: getattr(customers, name)[::-1] for name in names})
    mean = customers.repeat_spend / np.maximum(customers.x, 1)
    columns = {"frequency": customers.x, "recency": customers.t_x / 7, "T": customers.t_end / 7}
    columns["monetary_value"] = mean
    return pd.DataFrame({"id": ids} | {name: values[::-1] for name, values in columns.items()})


def test_a_small_summary_stays_in_memory(cdnow_sample, tmp_path):
    frame = summary_frame(report_case.customers(cdnow_sample))
    found = summary_of(frame, lambda _: tmp_path, as_of="1998-06-30", money="revenue")
    assert isinstance(found, Customers)
    assert inside(tmp_path) == []


def test_two_days_are_seen_behind_many_spellings_of_the_first(cdnow_sample, tmp_path):
    frame = summary_frame(report_case.customers(cdnow_sample)).assign(money="revenue")
    days = [f"1998-06-29 0{hour}:00" for hour in range(8)] + ["1998-06-30 00:00"]
    frame["as_of"] = np.resize(days, len(frame))
    with pytest.raises(InputRejected, match="as_of differs between rows: 1998-06-29, 1998-06-30"):
        summary_of(frame, lambda _: tmp_path, least=1)
    assert inside(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "row", "value", "message"),
    [
        ("x", 1500, -1, "x is no whole number"),
        ("t_x", 7, None, "t_x is missing"),
        ("t_end", 7, 0, "the last purchase is after the end"),
        ("repeat_spend", 3, -5.0, "spend is negative"),
        ("id", 3, "", "1 row without an id"),
        ("id", 3, "a\u202eb", "invisible characters"),
        ("as_of", 2000, "1998-06-29", "as_of differs between rows: 1998-06-29, 1998-06-30"),
        ("money", 2000, "margin", "money differs between rows: margin, revenue"),
    ],
)
def test_a_large_summary_is_refused_as_a_small_one(
    name, row, value, message, cdnow_sample, tmp_path
):
    frame = summary_frame(report_case.customers(cdnow_sample)).astype({"t_x": "float64"})
    frame = frame.assign(as_of="1998-06-30", money="revenue").astype({"id": "object"})
    frame.loc[7, ["x", "t_x", "x_paid", "repeat_spend"]] = 1, 1, 0, 0
    frame.loc[row, name] = value
    for read in (read_summary, lambda given: summary_of(given, lambda _: tmp_path, least=1)):
        with pytest.raises(InputRejected, match=message):
            read(frame)


def test_ranks_on_disk_are_those_in_memory(tmp_path):
    rng = np.random.default_rng(5)
    value = rng.integers(-5, 5, 10_000) / 4
    value[rng.random(10_000) < 0.1] = np.nan
    value[:50] *= -0.0
    line = rng.permutation(10_000)
    rows = pa.RecordBatch.from_pydict(
        {"line": line, "place": np.arange(10_000), "value_at_risk": value}
    )
    reader = pa.RecordBatchReader.from_batches(rows.schema, [rows])
    found = list(ranks(reader, tmp_path, 3000))
    assert list(map(len, found)) == [3000, 3000, 3000, 1000]
    assert np.concatenate(found)[line].tolist() == in_memory(value).tolist()


def test_rows_are_cut_evenly_whatever_they_come_in():
    batches = [pa.RecordBatch.from_pydict({"a": np.arange(n)}) for n in (3, 0, 10, 1)]
    assert [len(table) for table in even(batches, 4)] == [4, 4, 4, 2]


def _square(place):
    if place == 3:
        time.sleep(0.5)
    return place * place, os.getpid()


def test_work_is_shared_out_and_comes_back_in_order():
    found = list(shared_out(_square, 6, 2, lambda: None))
    assert [square for square, _ in found] == [0, 1, 4, 9, 16, 25]
    assert len({pid for _, pid in found}) == 2


def _killed(place):
    if place == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return place


def test_a_killed_process_is_an_error_that_says_so():
    with pytest.raises(ResourcesMissing, match="a scoring process was killed"):
        list(shared_out(_killed, 4, 2, lambda: None))


FULL = Path("/dev/full")


def _full(place):
    with FULL.open("wb", buffering=0) as file:
        file.write(b"no room")


def _vast(place):
    np.zeros(2**55)


@pytest.mark.parametrize(
    ("work", "message"),
    [
        pytest.param(
            _full,
            "no room to write: No space left",
            marks=pytest.mark.skipif(not FULL.exists(), reason="no /dev/full"),
        ),
        (_vast, "out of memory"),
    ],
)
def test_what_a_process_has_no_room_for_is_said_as_by_its_parent(work, message):
    with pytest.raises(ResourcesMissing, match=message) as caught:
        list(shared_out(work, 1, 1, lambda: None))
    assert caught.value.exit_code == 9
    assert caught.value.fix


def _refused(place):
    raise InputRejected(f"row {place} cannot be", code="impossible_history")


def _broken(place):
    raise ZeroDivisionError("by zero")


def test_an_error_of_a_process_is_raised_here():
    with pytest.raises(InputRejected, match="row 0 cannot be"):
        list(shared_out(_refused, 1, 2, lambda: None))
    with pytest.raises(BayessegError, match="ZeroDivisionError: by zero"):
        list(shared_out(_broken, 1, 2, lambda: None))


def test_a_workplace_is_held_alone_and_a_dead_one_is_cleared(tmp_path):
    target = tmp_path / "scores.parquet"
    dead = tmp_path / ".scores.parquet.work"
    dead.mkdir()
    (dead / "old").write_text("left")
    with workplace(target) as folder:
        assert inside(folder) == []
        with pytest.raises(Locked), workplace(target):
            pass
    assert inside(tmp_path) == []


def test_an_error_of_the_work_is_not_one_of_its_workplace(tmp_path):
    with pytest.raises(PermissionError), workplace(tmp_path / "a"):
        raise PermissionError(13, "Permission denied", "another file")
    assert inside(tmp_path) == []


def test_a_workplace_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"), workplace(tmp_path / "file" / "a"):
        pass


def test_ids_that_are_not_to_be_seen_are_worked_on_apart(log, run, tmp_path, monkeypatch):
    """Under a key nothing but pseudonyms is ever beside the target; the folder is its owner's alone."""
    seen = {}

    def looked_at(folder, *others):
        seen[folder] = (folder / "staged").exists(), folder.stat().st_mode & 0o777
        return staged(folder, *others)

    staged = roster._staged
    monkeypatch.setattr(roster, "_staged", looked_at)
    monkeypatch.setattr(roster, "LARGE", 1)
    monkeypatch.setenv("HELD", "0123456789abcdef" * 4)
    log.to_csv(tmp_path / "log.csv", index=False)
    words = ["score", str(run), str(tmp_path / "log.csv"), "--draws", "100", "--no-predictive"]
    for more in ([], ["--pseudonymise", "env:HELD"]):
        out = tmp_path / f"{len(more)}.csv"
        done = CliRunner().invoke(app, [*words, *more, "-o", str(out)])
        assert done.exit_code == 0, done.output
    beside, apart = seen
    assert list(seen.values()) == [(True, 0o700)] * 2
    assert (beside.parent, apart.parent != tmp_path) == (tmp_path, True)


def test_room_is_looked_for_where_the_work_is(tmp_path):
    with (
        pytest.raises(ResourcesMissing, match=r"bayesseg-.*are free"),
        large_step._folder(None, 2**60),
    ):
        pass


@pytest.mark.parametrize("name", ["scores.csv", "scores.json"])
def test_what_came_while_scores_were_made_is_not_written_over(name, whole, tmp_path):
    target = str(tmp_path / "scores.csv")
    (tmp_path / name).write_text("of somebody else")
    schema = pa.schema([("customer_id", pa.string())])
    for write in (
        lambda: write_batches([], schema, {"customers": 1}, target, "csv", Shell()),
        lambda: write_scores(whole, target, "csv", Shell()),
    ):
        with pytest.raises(UsageError, match="exists already"):
            write()
        assert inside(tmp_path) == [name]
        assert (tmp_path / name).read_text() == "of somebody else"


def test_no_room_is_said_before_anything_is_done(tmp_path):
    with pytest.raises(ResourcesMissing, match="are free"), workplace(tmp_path / "a", 2**60):
        pass
    assert inside(tmp_path) == []


# ---------------------------------------------------------------- the command line, above the limit

MANY = 201_000
PATIENCE = 300


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A run without segments and a summary of more customers than are held in memory."""
    folder = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(7)
    t_end = rng.integers(1, 500, MANY)
    x = np.minimum(rng.geometric(0.6, MANY) - 1, t_end)
    t_x = np.where(x > 0, rng.integers(np.maximum(x, 1), t_end + 1), 0)
    frame = pd.DataFrame({"customer_id": [f"c{i:06}" for i in rng.permutation(MANY)]})
    frame = frame.assign(x=x, t_x=t_x, t_end=t_end, x_paid=x, repeat_spend=np.round(35.0 * x, 2))
    frame.assign(as_of="1998-06-30", money="revenue").to_parquet(folder / "many.parquet")
    return folder


@pytest.fixture(scope="module")
def run(many, cdnow_sample):
    good = report_case.posterior(report_case.customers(cdnow_sample), "bgnbd")
    report_case.saved(good, many / "run")
    return many / "run"


def words(run, out, *more):
    source = ["--summary", str(run.parent / "many.parquet")]
    flags = ["--no-predictive", "--draws", "100", *more]
    return [sys.executable, "-m", "bayesseg", "score", str(run), *source, *flags, "-o", str(out)]


def test_many_customers_are_scored_on_disk_as_in_memory(run, many, tmp_path):
    out = tmp_path / "scores.parquet"
    done = subprocess.run(words(run, out), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "201,000 customers in" in done.stderr
    assert inside(tmp_path) == ["scores.json", "scores.parquet"]
    file = pq.ParquetFile(out, page_checksum_verification=True)
    assert file.num_row_groups == -(-MANY // PART)
    frame = file.read().to_pandas()
    settings = Settings(draws=100, predictive=False)
    expected = score(load(run), read_summary(many / "many.parquet"), settings).table
    assert frame["customer_id"].tolist() == expected["customer_id"].tolist()
    assert frame["priority_rank"].tolist() == expected["priority_rank"].tolist()
    for name in ("p_churn", "clv", "clv_mean_lo", "value_at_risk", "residual_value"):
        np.testing.assert_allclose(frame[name], expected[name], rtol=1e-12, err_msg=name)
    document = json.loads(out.with_suffix(".json").read_text())
    assert document["table"]["rows"] == MANY
    assert b"currency within the value horizon" in file.schema_arrow.field("clv").metadata[b"unit"]


@pytest.mark.slow
def test_scores_on_stdout_are_those_of_the_file(run, tmp_path):
    done = subprocess.run(words(run, "-", "--format", "csv"), capture_output=True, check=True)
    lines = done.stdout.decode().splitlines()
    assert lines[0].startswith("customer_id,frequency")
    assert [line.split(",")[0] for line in lines[1:]] == [f"c{i:06}" for i in range(MANY)]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_stopped_leaves_no_scores_no_process_and_is_cleared_by_the_next(
    how, run, tmp_path
):
    out, work = tmp_path / "scores.parquet", tmp_path / ".scores.parquet.work"
    held = [sys.executable, str(Path(__file__).with_name("held_case.py")), *words(run, out)[3:]]
    with (tmp_path / "said").open("wb") as said:
        child = subprocess.Popen(held, stderr=said, start_new_session=True)
    try:
        # both processes hold: the first has been asked for another piece, so one is done and was told
        wait_for(lambda: len(list(work.glob("held-*"))) == 2, child, said)
        assert (work / "0.arrow").exists()
        os.kill(child.pid, how)
        assert child.wait(PATIENCE) == (-signal.SIGKILL if how == signal.SIGKILL else 130)
    finally:
        child.kill()
    Path(said.name).unlink()
    wait_for(lambda: not session(child.pid))
    assert not out.exists()
    assert work.exists() == (how == signal.SIGKILL)
    subprocess.run(words(run, out), check=True, capture_output=True)
    assert inside(tmp_path) == ["scores.json", "scores.parquet"]


def session(leader):
    """Processes of a session that still run."""
    found = subprocess.run(["ps", "-o", "pid=,stat=", "-s", str(leader)], capture_output=True)
    return [line for line in found.stdout.decode().splitlines() if " Z" not in line]


def wait_for(true, child=None, said=None):
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end
        assert child is None or child.poll() is None, Path(said.name).read_text()
        time.sleep(0.02)
