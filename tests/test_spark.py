"""Spark: its summary and its scores are those of one machine, whoever is killed on the way."""

import contextlib
import datetime as dt
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import report_case
from summary_case import by_pandas, in_cents, master_frame
from typer.testing import CliRunner

from bayesseg import scoring
from bayesseg.cli import app
from bayesseg.errors import InputRejected, ResourcesMissing, UsageError
from bayesseg.posterior import load
from bayesseg.scoring.sample import lowest
from bayesseg.spark import collected, score, scored, start, summary
from bayesseg.spark import scores as engine
from bayesseg.spark.session import configured
from bayesseg.summary import read_summary

DAY = dt.date(1998, 6, 30)
ROLES = {"customer_id": "customer_id", "date": "date", "amount": "amount"}
NAMES = ("x", "t_x", "t_end", "x_paid", "repeat_spend", "first_spend", "n_orders")
SETTINGS = scoring.Settings(draws=100, predictive=False)
ZONE, ANSI = "spark.sql.session.timeZone", "spark.sql.ansi.enabled"
ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch"


def table(spark_session, frame):
    return spark_session.createDataFrame(pa.Table.from_pandas(frame, preserve_index=False))


@pytest.fixture(scope="module")
def master(cdnow_master):
    frame = master_frame(cdnow_master)
    return frame.assign(date=pd.to_datetime(frame["date"], format="%Y%m%d").dt.date)


@pytest.fixture(scope="module")
def made(spark, master):
    found = _summary(table(spark, master))
    yield replace(found, customers=found.customers.persist(), distinct=found.distinct.persist())
    found.customers.unpersist()
    found.distinct.unpersist()


def _summary(lines, **policies):
    return summary(lines, **({**ROLES, "as_of": DAY} | policies))


@pytest.fixture(scope="module")
def customers(made):
    """The customers of the CDNOW master as one machine has them."""
    return collected(made, weighted=False)


@pytest.fixture(scope="module")
def posterior(cdnow_sample):
    return report_case.posterior(report_case.customers(cdnow_sample))


@pytest.fixture(scope="module")
def here(posterior, customers):
    return scoring.score(posterior, customers, SETTINGS)


@pytest.fixture(scope="module")
def there(posterior, made):
    with scored(made, posterior, SETTINGS) as found:
        yield found, pa.Table.from_batches(found.batches())


def same(expected, found):
    """The score tables agree: numbers to 1e-12, everything else exactly."""
    assert list(expected.columns) == found.column_names
    for name, column in expected.items():
        own = found[name].to_pandas()
        if name == "flags":
            assert [*column] == [*map(tuple, own)]
        elif column.dtype.kind == "f":
            np.testing.assert_allclose(own, column, rtol=1e-12, atol=1e-12, err_msg=name)
        elif name == "as_of":
            assert {DAY} == {*own}
        elif name != "scored_at":
            assert [*column] == [*own], name


# ---------------------------------------------------------------- summary


def test_the_summary_is_that_of_pandas_digit_for_digit(made, cdnow_master):
    expected = by_pandas(in_cents(master_frame(cdnow_master)), str(DAY))
    found = made.customers.orderBy("customer_id").toArrow().to_pydict()
    assert [*expected["ids"]] == found["customer_id"]
    for name in NAMES:
        assert [*expected[name]] == found[name], name


def test_the_weighted_table_is_the_customers_counted(made, customers):
    keys = ["x", "t_x", "t_end", "x_paid", "repeat_spend"]
    everybody = pd.DataFrame({name: getattr(customers, name) for name in keys})
    expected = everybody.value_counts().to_dict()
    found = made.distinct.toArrow().to_pandas().set_index(keys)["n"].to_dict()
    assert expected == found


HARD = pd.DataFrame(
    [
        ("a", "2024-01-01T23:30:00Z", "10"),
        ("a", "2024-02-01T12:00:00Z", "20.5"),
        ("b", "2024-03-31T21:30:00Z", "5"),
        ("guest", "2024-03-31T21:30:00Z", "5"),
        (None, "2024-03-01T12:00:00Z", "1"),
        ("c", "yesterday", "1"),
        ("c", "1970-01-01T12:00:00Z", "1"),
        ("c", "2024-01-05T12:00:00Z", "a lot"),
        ("c", "2024-06-02T12:00:00Z", "1"),
    ],
    columns=["customer_id", "date", "amount"],
)


def test_every_line_has_one_reason_and_what_cannot_be_read_breaks_nothing_off(spark):
    found = _summary(table(spark, HARD), as_of="2024-06-01", tz="Europe/Paris", max_bad=1.0)
    assert found.account == {
        "used": 3,
        "placeholder": 1,
        "id_missing": 1,
        "date_missing": 1,
        "date_too_early": 1,
        "amount_missing": 1,
        "after_as_of": 1,
    }
    assert len(HARD) == sum(found.account.values()) == found.provenance["rows"]["in"]


def test_instants_fall_on_the_days_of_their_zone_and_the_session_keeps_its_own(spark):
    before = {name: spark.conf.get(name) for name in (ZONE, ANSI)}
    days = {}
    for zone in ("Europe/Paris", "America/New_York"):
        made = _summary(table(spark, HARD), as_of="2024-06-01", tz=zone, max_bad=1.0)
        rows = made.customers.orderBy("customer_id").collect()
        days[zone] = [(row["customer_id"], row["t_x"], row["t_end"]) for row in rows]
    assert days == {
        "Europe/Paris": [("a", 30, 151), ("b", 0, 62)],
        "America/New_York": [("a", 31, 152), ("b", 0, 62)],
    }
    assert before == {name: spark.conf.get(name) for name in (ZONE, ANSI)}
    assert [view.name for view in spark.catalog.listTables() if "bayesseg" in view.name] == []


def test_instants_without_a_zone_are_refused(spark):
    moments = table(spark, HARD.iloc[:3]).selectExpr("*", "CAST(date AS TIMESTAMP) AS moment")
    with pytest.raises(UsageError, match="depends on the zone"):
        _summary(moments, date="moment", as_of="2024-06-01")


WRITTEN = pd.DataFrame(
    {"customer_id": [*"abcd"], "date": ["2024", "2024-02", " 2024-2-3", "12:30"], "amount": "1"}
)


@pytest.mark.parametrize("zone", [None, "Europe/Paris"])
def test_a_year_or_a_month_is_no_day(spark, zone):
    found = _summary(table(spark, WRITTEN), as_of="2024-06-01", tz=zone, max_bad=1.0)
    assert found.account == {"date_missing": 3, "used": 1}


@pytest.mark.parametrize("role", ["customer_id", "group", "order_id"])
@pytest.mark.parametrize("kind", ["DOUBLE", "FLOAT", "BOOLEAN", "DATE"])
def test_ids_that_a_type_has_garbled_are_refused(spark, role, kind):
    frame = table(spark, WRITTEN).selectExpr("*", f"CAST(NULL AS {kind}) AS Other")
    said = "holds DATE, not ids" if kind == "DATE" else f"ids in 'Other' are {kind}: what they were"
    with pytest.raises(InputRejected, match=said):
        _summary(frame, as_of="2024-06-01", **{role: "other"})


@pytest.mark.parametrize(
    ("policies", "said"),
    [
        ({"tz": "Mars/X"}, "--tz 'Mars/X' is no time zone"),
        ({"max_bad": 7}, "--max-bad 7 is not a share"),
        ({"max_bad": float("nan")}, "--max-bad nan is not a share"),
    ],
)
def test_policies_that_make_no_sense_are_refused(spark, policies, said):
    with pytest.raises(UsageError, match=said):
        _summary(table(spark, WRITTEN), **policies)


def test_too_many_bad_lines_are_refused_with_their_reasons(spark):
    with pytest.raises(InputRejected, match=r"4 of 9 rows \(44.4%\) cannot be used") as raised:
        _summary(table(spark, HARD), as_of="2024-06-01", tz="Europe/Paris")
    expected = {"id_missing": 1, "date_missing": 1, "date_too_early": 1, "amount_missing": 1}
    assert expected == raised.value.details["excluded"]


# ---------------------------------------------------------------- scores


def test_spark_scores_cdnow_as_one_machine_does(here, there):
    same(here.table, there[1])


def test_the_totals_of_spark_are_those_of_one_machine(here, there):
    ours, theirs = here.document, there[0].document
    assert ours.keys() == theirs.keys()
    for name, total in ours["totals"].items():
        for end in ("mean", "lo", "hi"):
            assert theirs["totals"][name][end] == pytest.approx(total[end], rel=1e-12)
    assert ours["customers"] == theirs["customers"] == 23_570
    assert ours["notes"] == theirs["notes"]
    for one, other in zip(ours["segments"], theirs["segments"], strict=True):
        assert one["customers"] == pytest.approx(other["customers"], rel=1e-12)
        assert one["medians"].keys() == other["medians"].keys()


def test_ranks_are_of_the_whole_file_whatever_the_buckets(here, there, monkeypatch):
    monkeypatch.setattr(engine, "BUCKET", 1_000)
    ranked = engine._ranked(there[0].table, 23_570).select("customer_id", "priority_rank")
    found = dict(tuple(row) for row in ranked.collect())
    expected = here.table.set_index("customer_id")["priority_rank"].to_dict()
    assert expected == found


@pytest.mark.parametrize("size", [100, 5_000, 23_570])
def test_the_sample_is_that_of_any_other_engine(spark, customers, size, monkeypatch):
    monkeypatch.setattr(engine, "SAMPLE", size)
    monkeypatch.setattr(
        engine, "sample_of", lambda data, seed: data.take(lowest(data.ids, seed, size))
    )
    batch = pa.Table.from_batches([scoring.kernel.batch_of(customers)])
    found = engine._sampled(spark.createDataFrame(batch).repartition(3), 7, len(customers), DAY)
    assert [*customers.ids[lowest(customers.ids, 7, size)]] == [*found.ids]


def workers():
    """The Python workers of Spark: children of its daemon."""
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                words = (path / "cmdline").read_bytes()
                parent = (path / "stat").read_text().rpartition(")")[2].split()[1]
                found[path.name] = (b"pyspark.daemon" in words, parent)
    mine = {str(os.getpid())}
    for _ in range(4):
        mine |= {pid for pid, (_, parent) in found.items() if parent in mine}
    daemons = {pid for pid in mine if pid in found and found[pid][0]}
    return [int(pid) for pid in daemons if found[pid][1] in daemons]


def failed_tasks(session):
    found = session.sparkContext._jsc.sc().statusStore().executorList(True)
    return sum(found.apply(i).failedTasks() for i in range(found.size()))


@pytest.mark.skipif(sys.platform != "linux", reason="workers are found through /proc")
def test_killed_workers_change_nothing(spark, made, posterior, here):
    """Every worker is killed as soon as it has worked for a moment, four times over."""
    before, stop, killed = failed_tasks(spark), threading.Event(), []

    def kill():
        while not stop.is_set() and len(killed) < 4:
            time.sleep(0.5)
            for pid in workers()[:1]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with scored(made, posterior, SETTINGS) as found:
            rows = pa.Table.from_batches(found.batches())
    finally:
        stop.set()
        killer.join()
    assert failed_tasks(spark) > before
    same(here.table, rows)
    assert found.document["totals"]["clv"]["mean"] == pytest.approx(
        here.document["totals"]["clv"]["mean"], rel=1e-12
    )


CUSTOMERS = pd.DataFrame(
    {
        "customer_id": ["1", "2", "3"],
        "x": [2, 0, 1],
        "t_x": [20, 0, 5],
        "t_end": [40, 30, 30],
        "x_paid": [2, 0, 1],
        "repeat_spend": [20.0, 0.0, 5.0],
    }
)
KNOWN = {"as_of": DAY, "money": "revenue"}
LARGEST = float("inf")


@pytest.mark.parametrize(
    ("change", "known", "said"),
    [
        ({"x": [2.5, 0, 1]}, KNOWN, "1 customers cannot be: a count or day is no whole number"),
        ({"x": [None, 0, 1]}, KNOWN, "1 customers cannot be: a count, a day or spend is missing"),
        ({"t_x": [50, 0, 5]}, KNOWN, "1 customers cannot be: the last purchase is after the end"),
        ({"repeat_spend": [20.0, 0.0, -1.0]}, KNOWN, "spend is negative"),
        ({"customer_id": ["1", "1", "3"]}, KNOWN, "1 rows of an id that is there already"),
        ({"customer_id": ["1", " ", "3"]}, KNOWN, "1 customers without an id"),
        ({"first_spend": [1.0, None, 2.0]}, KNOWN, "first_spend is there of 2 customers of 3"),
        ({"as_of": ["1998-06-30", "1998-07-01", "1998-06-30"]}, KNOWN, "as_of is 1998-06-30 and"),
        ({"as_of": ["1998-06-30", None, None]}, KNOWN, "as_of is there of 1 customers of 3"),
        ({"money": ["revenue", None, "revenue"]}, KNOWN, "money is there of 2 customers of 3"),
        ({"customer_id": [1.0, 2.0, 3.0]}, KNOWN, "ids in 'customer_id' are DOUBLE"),
        ({"x": ["2", "0", "many"]}, KNOWN, "1 customers cannot be: a count, a day or spend is"),
        ({"t_end": [40, LARGEST, 30]}, KNOWN, "1 customers cannot be: a count or day is no whole"),
        ({"t_end": [40, 30, 999_999]}, KNOWN, "the first purchase is before the year 1"),
        ({"n_orders": [3, 0, 2]}, KNOWN, "1 customers cannot be: n_orders is below 1"),
        ({"n_orders": [3, 2.0**63, 2]}, KNOWN, "1 customers cannot be: a count or day is no whole"),
        ({"a.b": [1, 2, 3]}, KNOWN, "Spark cannot use the column 'a.b'"),
        ({}, {"money": "revenue"}, "nothing says the as_of"),
        ({}, {"as_of": DAY}, "nothing says the money"),
        ({}, {**KNOWN, "as_of": "1997-01-01"}, "the data end on 1997-01-01"),
    ],
)
def test_customers_that_cannot_be_are_refused(spark, posterior, change, known, said):
    frame = CUSTOMERS.assign(**change)
    with pytest.raises((InputRejected, UsageError), match=said):
        score(table(spark, frame), posterior, SETTINGS, **known)


def kept(session):
    """Tables that Spark keeps."""
    return {*session.sparkContext._jsc.getPersistentRDDs()}


def test_spark_keeps_nothing_afterwards_whatever_became_of_it(spark, posterior, monkeypatch):
    """Nor of scores that were given back, of customers refused, or where a worker refuses them."""
    before, good = kept(spark), table(spark, CUSTOMERS)
    with scored(good, posterior, SETTINGS, **KNOWN) as found:
        assert [*found.table.columns] == found.schema.names
        assert len(kept(spark) - before) == 1
    assert kept(spark) == before
    with pytest.raises(InputRejected, match="x is 0 but t_x is not"):
        score(good.withColumn("x", good.x * 0), posterior, SETTINGS, **KNOWN)
    assert kept(spark) == before

    def refuse(kernel, schema, batches):  # in here, for workers do not have this module
        raise InputRejected("these cannot be scored", fix="give others")

    monkeypatch.setattr(engine, "_score", refuse)
    with pytest.raises(InputRejected, match="these cannot be scored") as raised:
        score(good, posterior, SETTINGS, **KNOWN)
    assert (raised.value.fix, kept(spark)) == ("give others", before)


def test_what_the_data_break_is_no_reason_to_try_again(spark, posterior):
    """A view that fails on a line of its own is bad data (exit 3), not a lack of means (exit 9)."""
    with configured(spark, {ANSI: "true"}):
        frame = table(spark, CUSTOMERS).selectExpr("* EXCEPT (x)", "CAST('many' || x AS INT) AS x")
    with pytest.raises(InputRejected, match="CAST_INVALID_INPUT"):
        score(frame, posterior, SETTINGS, **KNOWN)


def test_a_small_log_is_summed_up_in_few_pieces(spark, posterior, monkeypatch):
    """However many pieces Spark is set up for: two hundred are its usual number."""
    monkeypatch.setattr(engine, "_checked", lambda frame, *_, **__: _give(frame))
    with configured(spark, {"spark.sql.shuffle.partitions": "200"}):
        made = _summary(table(spark, HARD), as_of="2024-06-01", tz="Europe/Paris", max_bad=1.0)
        with pytest.raises(UsageError, match="in 2 pieces"):
            score(made, posterior, SETTINGS)


def _give(frame):
    raise UsageError(f"in {frame.rdd.getNumPartitions()} pieces")


def test_a_table_that_is_no_summary_is_refused(spark, posterior):
    with pytest.raises(InputRejected, match="no customer summary: t_end missing"):
        score(table(spark, CUSTOMERS.drop(columns="t_end")), posterior, SETTINGS)


def test_without_java_it_is_said_at_once():
    script = "from bayesseg.spark import start; start('local[1]')"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={"PATH": ""}
    )
    assert "ResourcesMissing: Spark does not start: there is no Java" in done.stderr


def test_without_pyspark_the_way_to_install_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(ResourcesMissing, match=r"pip install 'bayesseg\[spark\]'"):
        start()


# ---------------------------------------------------------------- command line


def run(*words, code=0):
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == code, done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory, posterior, master):
    where = tmp_path_factory.mktemp("spark")
    report_case.saved(posterior, where / "run")
    master.assign(amount=master["amount"].astype(float)).to_parquet(where / "orders.parquet")
    return where


def test_the_command_line_writes_one_file_that_other_verbs_take(spark, folder, here):
    """One score file in the order of ids, its sealed document beside it."""
    scores = folder / "scores.parquet"
    asked = ("--as-of", DAY, "--draws", 100, "--no-predictive", "--engine", "spark")
    run("score", folder / "run", folder / "orders.parquet", *asked, "-o", scores)
    same(here.table, pq.read_table(scores))
    assert pq.read_schema(scores).field("clv").metadata[b"unit"].startswith(b"currency")
    run("prioritise", scores, "-o", folder / "list.csv")
    assert len((folder / "list.csv").read_text().splitlines()) > 100


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--engine", "spark"), "the last day observed is not given"),
        (("--engine", "spark", "--as-of", DAY, "--pseudonymise", "env:KEY"), "--pseudonymise"),
        (("--engine", "dask"), "--engine 'dask' is unknown"),
        (("--master", "local[2]"), "--master is about Spark"),
    ],
)
def test_what_spark_cannot_do_is_refused(spark, folder, words, said):
    scored = ("score", folder / "run", folder / "orders.parquet", *words, "-o", folder / "no.csv")
    assert said in run(*scored, code=2).stderr


def test_a_table_that_is_not_there_is_said(spark, folder):
    words = ("--engine", "spark", "--as-of", DAY, "-o", folder / "no.csv")
    for name in (folder / "absent.parquet", "absent_table"):
        done = run("score", folder / "run", name, *words, code=2)
        assert f"{name} does not exist" in done.stderr


def test_a_fit_by_spark_is_that_of_its_summary(spark, folder, made):
    """The weighted table of Spark and the customers in a file make the same run."""
    pq.write_table(made.customers.drop("row_count").toArrow(), folder / "customers.parquet")
    fit = ("fit", "--model", "bgnbd", "--engine", "map", "-o")
    given = (folder / "orders.parquet", "--engine", "spark", "--as-of", DAY)
    run(*fit, folder / "there", *given)
    run(*fit, folder / "here", "--summary", folder / "customers.parquet")
    here, there = (load(folder / name) for name in ("here", "there"))
    for name, values in here.parts["purchase"].values.items():
        np.testing.assert_allclose(there.parts["purchase"].values[name], values, rtol=1e-6)
    assert there.manifest["customers"]["all"] == here.manifest["customers"]["all"] == 23_570
    assert there.manifest["accounting"]["rows"] == {"in": 69_659, "used": 69_659, "excluded": {}}
    verdict = there.manifest["verdicts"]["purchase"]
    assert verdict["forecast"] == "not-assessed"


def simulated(count):
    """So many customers of two years: days and cents, no two files alike in their order."""
    rng = np.random.default_rng(8)
    age = rng.integers(0, 730, count)
    x = np.minimum(rng.negative_binomial(0.4, 0.1, count), age)
    t_x = np.where(x > 0, x + np.floor(rng.uniform(size=count) * (age - x + 1)), 0).astype(int)
    paid = rng.binomial(x, 0.98)
    return pa.table(
        {
            "customer_id": [f"c{i:07}" for i in rng.permutation(count)],
            "x": x,
            "t_x": t_x,
            "t_end": age,
            "x_paid": paid,
            "repeat_spend": np.round(paid * rng.gamma(6.0, 6.0, count), 2),
        }
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="executors are found through /proc")
def test_a_killed_executor_changes_nothing(spark, made, posterior, folder, tmp_path, customers):
    """A cluster of two executors, one of which dies while it works: all columns, futures included."""
    pq.write_table(made.customers.drop("row_count").toArrow(), tmp_path / "customers.parquet")
    script = Path(__file__).with_name("spark_cluster.py")
    words = [tmp_path / "customers.parquet", folder / "run", tmp_path / "scores.parquet"]
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True)
    assert "killed 1, lost 1" in done.stdout, done.stderr
    here = scoring.score(posterior, customers, scoring.Settings(draws=100))
    same(here.table, pq.read_table(tmp_path / "scores.parquet"))


@pytest.mark.slow
def test_a_million_customers_are_scored_as_one_machine_does(spark, posterior, tmp_path):
    frame = simulated(1_000_000)
    pq.write_table(frame, tmp_path / "customers.parquet")
    known = {"as_of": DAY, "money": "revenue"}
    with scored(spark.read.parquet(f"{tmp_path}"), posterior, SETTINGS, **known) as found:
        rows = pa.Table.from_batches(found.batches())
    same(scoring.score(posterior, read_summary(frame, **known), SETTINGS).table, rows)
