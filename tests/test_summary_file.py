"""Customers summed up elsewhere: the same posterior as from the log, and nothing taken on trust."""

import datetime as dt
import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from postgres_case import fill as fill_postgres
from summary_case import sample_frame
from typer.testing import CliRunner

from bayesseg import fitting, population, sql
from bayesseg.cli import app
from bayesseg.cli.said import accounting
from bayesseg.customers import Attributes, money_of, summarise, with_attributes
from bayesseg.errors import InputRejected, ResourcesMissing, UsageError
from bayesseg.ingest import read_purchases
from bayesseg.ingest.attributes import table_of
from bayesseg.ingest.ids import NOBODY
from bayesseg.ingest.numbers import MISSING
from bayesseg.posterior import load
from bayesseg.priors import Prior
from bayesseg.readiness import readiness
from bayesseg.scoring import score
from bayesseg.spec import CohortsSpec, load_spec, with_engine
from bayesseg.summary import OURS, read_histories, read_summary

DAY = dt.date(1997, 9, 30)
ARRAYS = ("x", "t_x", "t_end", "x_paid", "repeat_spend", "first_spend", "n_orders")


def queried(frame, kind):
    """What the query for DuckDB says of ``frame``."""
    log = sql.Log("orders", "customer_id", "date", "amount")
    with duckdb.connect() as connection:
        connection.register("given", frame)
        connection.execute(
            "CREATE TABLE orders AS SELECT * REPLACE (strptime(date, '%Y%m%d') AS date) FROM given"
        )
        return connection.execute(sql.statement(log, DAY, "duckdb", kind, dbt=False)).df()


@pytest.fixture(scope="module")
def orders(cdnow_sample):
    return sample_frame(cdnow_sample)


@pytest.fixture(scope="module")
def from_log(orders):
    return summarise(read_purchases(orders), DAY)


@pytest.fixture(scope="module")
def files(orders, tmp_path_factory):
    """The summary and the histogram as files."""
    folder = tmp_path_factory.mktemp("summary")
    table, histogram = queried(orders, "customers"), queried(orders, "histogram")
    shuffled = table.sample(frac=1, random_state=1)
    shuffled.to_parquet(folder / "customers.parquet", index=False)
    shuffled.rename(columns=str.upper).to_csv(folder / "customers.csv", index=False)
    histogram.to_parquet(folder / "histogram.parquet", index=False)
    theirs = {"x": "frequency", "t_x": "recency", "t_end": "T"}
    mean = (table["repeat_spend"] / table["x"].clip(lower=1)).round(4)
    weeks = table.rename(columns=theirs).assign(monetary_value=mean)
    weeks[["recency", "T"]] = (weeks[["recency", "T"]] / 7).round(2)
    names = ["customer_id", *theirs.values(), "monetary_value"]
    weeks[names].to_csv(folder / "weeks.csv", index=False)
    return folder


@pytest.mark.parametrize("name", ["customers.parquet", "customers.csv"])
def test_a_summary_gives_the_customers_of_its_log(name, files, from_log):
    read = read_summary(files / name)
    assert from_log.ids.tolist() == read.ids.tolist()
    for column in ARRAYS:
        np.testing.assert_array_equal(getattr(from_log, column), getattr(read, column), column)
    assert (read.as_of, read.provenance["as_of_origin"]) == (DAY, "column as_of")
    assert read.provenance["days"] == {"first": "1997-01-01", "last": "1997-09-30"}


def test_customers_without_an_order_are_refused(files):
    frame = pd.read_parquet(files / "customers.parquet").reset_index(drop=True)
    with pytest.raises(InputRejected, match="n_orders is below 1 in 1 rows"):
        read_summary(frame.assign(n_orders=frame["n_orders"].where(frame.index > 0, 0)))


def test_a_table_in_weeks_with_two_decimals_gives_whole_days(files, from_log):
    read = read_summary(files / "weeks.csv", as_of=DAY, time_unit="week", money="revenue")
    for column in ("x", "t_x", "t_end", "n_orders"):
        np.testing.assert_array_equal(getattr(from_log, column), getattr(read, column), column)
    assert not read.first_known
    codes = [one["code"] for one in read.provenance["findings"]]
    assert codes == ["no_log", "paid_assumed", "first_spend_unknown"]


@pytest.fixture(scope="module")
def posterior(from_log):
    return fitted(from_log)


def fitted(customers):
    return fitting.fit(customers, with_engine(load_spec("bgnbd"), "laplace"), seed=1)


def bits(posterior, part):
    return {name: values.tobytes() for name, values in posterior.parts[part].values.items()}


@pytest.mark.parametrize("name", ["customers.csv", "customers.parquet", "histogram.parquet"])
def test_the_posterior_is_that_of_the_log_to_the_bit(name, files, posterior):
    read = fitted(read_summary(files / name))
    assert bits(posterior, "purchase") == bits(read, "purchase")
    assert bits(posterior, "spend") == bits(read, "spend")
    assert posterior.manifest["fingerprint"] == read.manifest["fingerprint"]
    assert read.manifest["verdicts"]["purchase"]["forecast"] == "not-assessed"


@pytest.fixture(scope="module", params=["customers.csv", "histogram.parquet"])
def counted(request, files):
    """Distinct histories with their numbers, of a table with ids and of one without."""
    return read_summary(files / request.param, people=False)


def repeated(customers):
    """The same customers, one row each."""
    many = customers.take(np.repeat(np.arange(len(customers)), customers.n))
    return replace(many, n=None)


def test_people_not_told_apart_are_counted(counted, from_log):
    assert len(counted) < len(from_log) == counted.total
    assert not any(counted.ids)
    kinds = [
        sorted(zip(*(getattr(c, n) for n in ARRAYS[:5]), strict=True))
        for c in (repeated(counted), from_log)
    ]
    assert kinds[0] == kinds[1]


def test_a_fit_of_counted_histories_says_what_a_fit_of_all_customers_says(counted, posterior):
    read = fitted(counted)
    for part in posterior.parts:
        assert bits(posterior, part) == bits(read, part)
    for name in ("fingerprint", "scales", "customers", "trained_on", "paid_share"):
        assert posterior.manifest[name] == read.manifest[name]
    near(posterior.manifest["facts"], read.manifest["facts"])
    near(posterior.manifest["gates"], read.manifest["gates"])
    weekless = {**posterior.summary, "weekly": None}
    near(weekless, read.summary)


def near(expected, actual):
    """Equal but for the last bits of numbers."""
    if isinstance(expected, dict):
        assert list(expected) == list(actual)
        expected, actual = list(expected.values()), list(actual.values())
    if isinstance(expected, list | tuple):
        assert len(expected) == len(actual)
        for one, other in zip(expected, actual, strict=True):
            near(one, other)
    else:
        assert (
            pytest.approx(expected, rel=1e-12) if isinstance(expected, float) else expected
        ) == actual


def test_counted_histories_are_as_ready_as_their_customers(counted, from_log):
    near(*([asdict(gate) for gate in readiness(c)] for c in (from_log, counted)))


def test_cohorts_of_counted_histories_are_those_of_their_customers(counted, from_log):
    part = replace(
        load_spec("bgnbd").parts["purchase"],
        cohorts=CohortsSpec(
            by="month",
            early="auto",
            spread=Prior("HalfNormal", {"sd": 0.5}),
            apart=Prior("Normal", {"mean": 0.0, "sd": 1.0}),
        ),
    )
    found = [population.learn(part, c) for c in (from_log, counted)]
    assert found[0] == found[1]
    tables = [
        population.likelihood(part, state, c, 7.0)[2]
        for state, c in zip(found, (from_log, counted), strict=True)
    ]
    assert (tables[0].rows, tables[0].customers) == (tables[1].rows, tables[1].customers)
    for name, values in tables[0].arrays.items():
        np.testing.assert_array_equal(values, tables[1].arrays[name], name)
    assert population.early(from_log) == population.early(counted)


def test_the_documented_query_rounds_histories_to_weeks(files, from_log):
    text = (Path(__file__).parents[1] / "docs" / "scale.md").read_text(encoding="utf-8")
    query = re.findall(r"```sql\n(SELECT.*?FROM histogram.*?)```", text, re.DOTALL)[0]
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE histogram AS FROM '{files / 'histogram.parquet'}'")
        table = connection.execute(query).df()
    weeks = read_summary(table)
    assert (from_log.total, len(from_log.x[from_log.x > 0])) == (
        weeks.total,
        weeks.n[weeks.x > 0].sum(),
    )
    assert ((weeks.t_x % 7 == 0) | (weeks.t_x == weeks.x)).all()
    assert ((weeks.t_end % 7 == 0) | (weeks.t_end == weeks.t_x)).all()
    repeat = repeated(weeks)
    for name in ("t_x", "t_end"):
        days = np.sort(getattr(from_log, name)) - np.sort(getattr(repeat, name))
        assert np.abs(days).max() <= 3


def test_counted_histories_are_nobodys(counted, posterior):
    with pytest.raises(InputRejected, match="has no ids: whose scores"):
        score(posterior, counted)
    facts = Attributes(
        np.array(["1"], dtype=object),
        {"age": np.array([30.0])},
        {"columns": {"customer_id": {"value": "customer_id"}}},
    )
    with pytest.raises(InputRejected, match="joined by id, and the summary has none"):
        with_attributes(counted, facts)


TABLE = {
    "customer_id": ["a", "b", "c"],
    "x": [2, 0, 1],
    "t_x": [20, 0, 5],
    "t_end": [30, 20, 16],
    "x_paid": [2, 0, 1],
    "repeat_spend": [20.0, 0.0, 7.5],
    "first_spend": [1.0, 2.0, 3.0],
    "as_of": ["2024-06-01"] * 3,
    "money": ["revenue"] * 3,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"t_x": [40, 0, 5]}, "after the end of observation"),
        ({"t_x": [0, 0, 5]}, "x is 0 but t_x is not, or the reverse"),
        ({"t_x": [20, 1, 5]}, "x is 0 but t_x is not, or the reverse"),
        ({"t_end": [30, 20, 10**6]}, r"before the year 1 in 1 rows \(first in row 3\)"),
        ({"x": [21, 0, 1]}, "more purchase days than days"),
        ({"x": [2.5, 0, 1]}, r"x is no whole number in 1 rows \(first in row 1\)"),
        ({"x": [2, -1, 1]}, r"x is no whole number in 1 rows \(first in row 2\)"),
        ({"x": [2, None, 1]}, "x is missing in 1 rows"),
        ({"x": ["2", "many", "1"]}, "x is text"),
        ({"x_paid": [3, 0, 1]}, "x_paid is outside 0..x"),
        ({"t_end": [30, 20, float("nan")]}, "t_end is missing"),
        ({"repeat_spend": [20.0, 0.0, float("inf")]}, "infinite number"),
        ({"repeat_spend": [20.0, 0.0, float("nan")]}, "repeat_spend is missing"),
        ({"repeat_spend": [20.0, 0.0, -1.0]}, "spend is negative"),
        ({"customer_id": ["a", "b", "a"]}, "the id of another row"),
        ({"customer_id": ["a", None, "b"]}, "without an id"),
        ({"n": [2, 1, 1]}, "a row has an id, and n customers"),
        ({"n": [0, 1, 1]}, "n is below 1"),
        ({"as_of": ["2024-06-01", "2024-06-02", "2024-06-01"]}, "as_of differs"),
        (
            {"money": ["revenue", "margin", "revenue"]},
            "money differs between rows: margin, revenue",
        ),
        ({"money": ["turnover"] * 3}, "column money says 'turnover'"),
    ],
)
@pytest.mark.parametrize("people", [True, False])
def test_what_no_history_has_is_refused(changes, message, people):
    with pytest.raises(InputRejected, match=message):
        read_summary(pd.DataFrame(TABLE | changes), people=people)


MANY_WAYS = [f"2024-06-01 0{hour}:00" for hour in range(8)]


@pytest.mark.parametrize("people", [True, False])
@pytest.mark.parametrize(
    ("column", "spellings", "other", "message"),
    [
        ("as_of", MANY_WAYS, "2024-06-02", "as_of differs between rows: 2024-06-01, 2024-06-02"),
        (
            "money",
            ["MARGIN", "MARGIN ", "Margin", "Margin\t", "mArgin", "margin"],
            "revenue",
            "money differs between rows: margin, revenue",
        ),
    ],
)
def test_many_spellings_are_one_and_hide_no_other(column, spellings, other, message, people):
    def table(values):
        rows = pd.DataFrame(TABLE).iloc[[0] * len(values)].assign(**{column: values})
        return rows.assign(customer_id=[f"c{i}" for i in range(len(values))])

    assert read_summary(table(spellings), people=people).total == len(spellings)
    with pytest.raises(InputRejected, match=message):
        read_summary(table([*spellings, other]), people=people)
    with pytest.raises(InputRejected, match=message):
        read_histories(table([*spellings, other]))


def test_memory_that_runs_out_while_a_summary_is_read_is_said():
    with (
        pytest.raises(ResourcesMissing, match="while the table of customers was read"),
        table_of(pd.DataFrame(TABLE)) as table,
    ):
        table.connection.execute("SELECT len(list(range)) FROM range(100_000_000)").fetchall()


def test_what_is_said_of_a_histogram_names_its_customers(counted, from_log):
    said = accounting(counted.provenance)
    rows = counted.provenance["rows"]["used"]
    assert said == f"{rows:,} rows in = {rows:,} used ({len(from_log):,} customers)"


def test_first_spend_is_refused_or_not_read_at_all():
    frame = pd.DataFrame(TABLE | {"first_spend": [20.0, None, 1.0]})
    with pytest.raises(InputRejected, match="first_spend is missing"):
        read_summary(frame)
    assert not read_summary(frame, people=False).first_known


@pytest.mark.parametrize("column", OURS)
def test_a_missing_column_is_named(column):
    with pytest.raises(InputRejected, match=f"no customer summary: {column} missing"):
        read_summary(pd.DataFrame(TABLE).drop(columns=column))


def test_a_summary_without_rows_is_refused():
    with pytest.raises(InputRejected, match="no rows"):
        read_summary(pd.DataFrame(TABLE).iloc[:0])


THEIRS = {
    "frequency": [2, 0],
    "recency": [2.0, 0.0],
    "T": [3.0, 2.0],
    "monetary_value": [5.0, None],
}


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (THEIRS, {"as_of": DAY}, "days or weeks"),
        (THEIRS, {"time_unit": "week"}, "does not say its last day"),
        (THEIRS, {"time_unit": "fortnight", "as_of": DAY}, "unknown"),
        (THEIRS, {"time_unit": "day", "as_of": "2999-01-01"}, "in the future"),
        (TABLE, {"time_unit": "week"}, "t_x and t_end are days"),
        (TABLE, {"as_of": "2024-05-01"}, "the summary is as of 2024-06-01"),
        (TABLE, {"money": "margin"}, "--money margin, but the summary says revenue"),
        (TABLE, {"money": "profit"}, "--money 'profit' is unknown"),
        (THEIRS, {"time_unit": "day", "as_of": DAY}, "whether its money is revenue or margin"),
    ],
)
def test_nothing_is_taken_on_trust(frame, options, message):
    with pytest.raises(UsageError, match=message):
        read_summary(pd.DataFrame(frame), **options)


def test_times_that_are_no_whole_days_are_refused():
    frame = pd.DataFrame(THEIRS | {"recency": [2.07, 0.0]})
    with pytest.raises(InputRejected, match="recency is no whole number of days in 1 rows"):
        read_summary(frame, as_of=DAY, time_unit="week", money="revenue")


def test_the_names_of_lifetimes_are_read():
    read = read_summary(pd.DataFrame(THEIRS), as_of=DAY, time_unit="week", money="margin")
    actual = [getattr(read, name).tolist() for name in ARRAYS[:5]]
    assert actual == [[2, 0], [14, 0], [21, 14], [2, 0], [10.0, 0.0]]


def test_a_summary_says_what_its_money_is():
    said = pd.DataFrame(TABLE | {"money": ["Margin "] * 3})
    assert money_of(read_summary(said).provenance) == "margin"
    unsaid = read_summary(pd.DataFrame(TABLE).drop(columns="money"), money="margin")
    assert money_of(unsaid.provenance) == "margin"


def test_segments_are_refused_where_the_first_spend_is_unknown(from_log, files):
    read = read_summary(files / "weeks.csv", as_of=DAY, time_unit="week", money="revenue")
    with pytest.raises(InputRejected, match="segments need the spend of the first day"):
        fitting.fit(read, load_spec("retail"), seed=1)


def test_segments_are_refused_where_rows_are_histories_of_several(files):
    read = read_summary(files / "histogram.parquet")
    with pytest.raises(InputRejected, match="segments are made of customers"):
        fitting.fit(read, load_spec("retail"), seed=1)


def test_a_summary_is_fitted_and_scored(files, tmp_path, monkeypatch):
    """The whole way: a run says what it lacks, scores have the ids of the summary."""
    monkeypatch.chdir(tmp_path)
    words = ["fit", "--summary", str(files / "customers.csv"), "-o", "run", "--json"]
    done = CliRunner().invoke(app, [*words, "--model", "bgnbd", "--engine", "laplace"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["verdicts"]["purchase"]["forecast"] == "not-assessed"
    assert "no backtests" in done.stderr
    words = ["score", "run", "--summary", str(files / "customers.parquet"), "--no-predictive"]
    done = CliRunner().invoke(app, [*words, "-o", "scores.parquet"])
    assert done.exit_code == 0, done.output
    scores = pd.read_parquet("scores.parquet")
    expected = pd.read_parquet(files / "customers.parquet")["customer_id"]
    assert sorted(expected) == scores["customer_id"].tolist()
    nobody = ["--summary", str(files / "histogram.parquet"), "-o", "nobody.csv"]
    for verb in (["score", "run"], ["run", "--model", "bgnbd"]):
        done = CliRunner().invoke(app, [*verb, *nobody])
        assert (done.exit_code, "has no ids" in done.stderr) == (3, True), done.stderr


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_a_fit_asks_the_warehouse_for_its_summary(engine, orders, posterior, tmp_path, request):
    """The printed query goes back in: no purchase leaves the server, and the posterior is the same."""
    frame = orders.assign(
        date=pd.to_datetime(orders["date"]), amount=orders["amount"].astype(float)
    )
    if engine == "postgres":
        where = request.getfixturevalue("postgres")
        fill_postgres(where, "cdnow", frame)
    else:
        where = str(tmp_path / "shop.duckdb")
        with duckdb.connect(where) as connection:
            connection.register("given", frame)
            connection.execute("CREATE TABLE cdnow AS FROM given")
    words = "--table cdnow --customer-id customer_id --date date --amount amount --as-of 1997-09-30"
    asked = CliRunner().invoke(app, ["sql", "--dialect", engine, *words.split()])
    (tmp_path / "q.sql").write_text(asked.stdout)
    words = ["fit", "--summary", "env:SHOP", "--query-file", str(tmp_path / "q.sql")]
    words += ["-o", str(tmp_path / "run"), "--model", "bgnbd", "--engine", "laplace"]
    done = CliRunner(env={"SHOP": where}).invoke(app, words)
    assert done.exit_code == 0, done.output
    assert bits(posterior, "purchase") == bits(load(tmp_path / "run"), "purchase")


QUERY = "--dialect spark --table t --customer-id c --date d --amount a --as-of 2024-01-31"
SQL = QUERY.split()


def test_the_query_goes_to_stdout_and_its_caveats_elsewhere():
    done = CliRunner().invoke(app, ["sql", *SQL])
    log = sql.Log("t", "c", "d", "a", nobody=tuple(NOBODY), nothing=MISSING)
    assert done.stdout == sql.statement(log, dt.date(2024, 1, 31), "spark", dbt=False) + "\n"
    assert "give --tz" in done.stderr
    done = CliRunner().invoke(app, ["sql", *SQL, "--json", "--histogram", "--tz", "Asia/Tokyo"])
    document = json.loads(done.stdout)
    assert (document["dialect"], document["kind"]) == ("spark", "histogram")
    assert "CONVERT_TIMEZONE('Asia/Tokyo'" in document["sql"]
    assert "for instants (timestamptz): for local times leave it out" in done.stderr


def test_the_help_of_sql_imports_nothing_heavy():
    code = "import sys, bayesseg.cli.verbs.sql; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"duckdb", "numpy", "pandas", "sqlglot"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit", "-o", "r"], "there is no DATA"),
        (["fit", "x.csv", "--summary", "s.csv", "-o", "r"], "DATA and --summary are both given"),
        (["fit", "x.csv", "--time-unit", "day", "-o", "r"], "--time-unit is about --summary"),
        (["fit", "x.csv", "--money", "margin", "-o", "r"], "--money is about --summary"),
        (["fit", "--summary", "env:NOWHERE", "-o", "r"], "no variable 'NOWHERE'"),
        (["sql", *SQL, "--shares", "shop"], "give it to fit and score as --attributes"),
        (["sql", *SQL, "--rates", "r.csv"], "convert all amounts to one currency in a view"),
        (["sql", *SQL, "--extract", "sheet"], "give --order-id"),
        (["fit", "--summary", "s.csv", "--dedupe", "-o", "r"], "--dedupe is about a purchase log"),
        (["fit", "--summary", "s.csv", "--model", "segments", "-o", "r"], "reads no purchases"),
        (["sql", *SQL, "--refunds", "refuse"], "cannot be asked of a warehouse"),
        (["sql", *SQL, "--histogram", "--account"], "two queries"),
    ],
)
def test_what_makes_no_sense_is_said(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, message in done.stderr) == (2, True), done.stderr
