"""Scores by lookup: what a warehouse joins is what the kernel computes."""

import datetime as dt
import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import report_case
import sqlglot
from postgres_case import fill as fill_postgres
from snowflake_case import ask as ask_snowflake
from sqlglot import exp
from summary_case import sample_frame
from typer.testing import CliRunner

from bayesseg import sql
from bayesseg._types import Draws
from bayesseg.cli import app, scorefile
from bayesseg.errors import InputRejected, UsageError
from bayesseg.families import FAMILIES
from bayesseg.ingest.ids import NOBODY
from bayesseg.scoring import Settings, lookup, score
from bayesseg.scoring.plan import plan_of
from bayesseg.spec import CovariatesSpec
from bayesseg.summary import read_histories, read_summary

DAYS = ("1998-06-30", "1998-07-01")
TABLES = sql.Summed("shop.customers", "shop.lookup", "shop.lookup_spend")
PURCHASES = ("p_alive", "p_churn", "expected_purchases")
MONEY = ("clv", "residual_value", "value_at_risk", "win_back_value")
SETTINGS = Settings(margin=0.3, horizon_days=60, predictive=False)
FLAGS = ("--margin", "0.3", "--horizon", "60d")


@dataclass(frozen=True)
class Day:
    """The tables of a warehouse on one day, and the scores the kernel gives of it."""

    customers: pd.DataFrame
    lookup: Path
    scores: pd.DataFrame

    @property
    def spend(self):
        return self.lookup.with_name("lookup.spend.parquet")


def call(*words, env=None):
    return CliRunner(env=env).invoke(app, list(map(str, words)))


def asked(text, **tables):
    """What DuckDB answers over ``tables``."""
    with duckdb.connect() as connection:
        connection.execute("CREATE SCHEMA shop")
        for name, table in tables.items():
            table = pq.read_table(table) if isinstance(table, Path) else table
            connection.register("given", table)
            connection.execute(f"CREATE TABLE shop.{name} AS FROM given")
        return connection.execute(text).df()


@pytest.fixture(scope="module")
def posterior(cdnow_sample):
    found = report_case.posterior(report_case.customers(cdnow_sample))
    trained = found.manifest["trained_on"] | {"max_x": 20}  # some bought more often
    return replace(found, manifest=found.manifest | {"trained_on": trained})


@pytest.fixture(scope="module")
def run(posterior, tmp_path_factory):
    return report_case.saved(posterior, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def days(posterior, run, cdnow_sample, tmp_path_factory):
    """Each day as a warehouse makes it: summary, distinct histories, their scores; and the kernel's."""
    lines = sample_frame(cdnow_sample)
    lines["date"] = pd.to_datetime(lines["date"], format="%Y%m%d").dt.date
    log = sql.Log("shop.orders", "customer_id", "date", "amount", nobody=tuple(NOBODY))
    found = {}
    for day in DAYS:
        text = sql.statement(log, dt.date.fromisoformat(day), "duckdb", dbt=False)
        customers = asked(text, orders=lines)
        text = sql.statement_over(TABLES, "duckdb", "histories", dbt=False)
        folder = tmp_path_factory.mktemp(day)
        asked(text, customers=customers).to_parquet(folder / "distinct.parquet")
        out = folder / "lookup.parquet"
        done = call("score", run, "--table", folder / "distinct.parquet", *FLAGS, "-o", out)
        assert done.exit_code == 0, done.output
        scores = score(posterior, read_summary(customers), SETTINGS).table
        found[day] = Day(customers, out, scores.set_index("customer_id"))
    return found


def _duckdb(_, day, text):
    return asked(text, customers=day.customers, lookup=day.lookup, lookup_spend=day.spend)


def _postgres(dsn, day, text):
    from adbc_driver_postgresql import dbapi

    fill_postgres(dsn, "customers", day.customers, "shop")
    for name, path in (("lookup", day.lookup), ("lookup_spend", day.spend)):
        fill_postgres(dsn, name, pd.read_parquet(path), "shop")
    with dbapi.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetch_df()


def _spark(session, day, text):
    session.sql("CREATE DATABASE IF NOT EXISTS shop")
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        day.customers.to_parquet(file.name, index=False, coerce_timestamps="us")
        files = {"customers": file.name, "lookup": day.lookup, "lookup_spend": day.spend}
        for name, path in files.items():
            written = session.read.parquet(str(path)).write.mode("overwrite")
            written.saveAsTable(f"shop.{name}")
    found = session.sql(text)
    return pd.DataFrame([tuple(row) for row in found.collect()], columns=found.columns)


def _snowflake(process, day, text):
    tables = {
        "customers": day.customers,
        "lookup": pd.read_parquet(day.lookup),
        "lookup_spend": pd.read_parquet(day.spend),
    }
    for name, frame in tables.items():
        ask_snowflake(process, frame, "SELECT 1 AS ONE", name)
    names, rows = ask_snowflake(process, day.customers, text, "customers")
    return pd.DataFrame(rows, columns=[name.lower() for name in names])


RUN = {"duckdb": _duckdb, "postgres": _postgres, "spark": _spark, "snowflake": _snowflake}
SLOW = {"snowflake": pytest.mark.slow}


@pytest.fixture(params=[pytest.param(name, marks=SLOW.get(name, ())) for name in RUN])
def engine(request):
    """A dialect, and ``ask(day, kind)``: what its engine answers over the tables of a day."""
    server = None if request.param == "duckdb" else request.getfixturevalue(request.param)

    def ask(day, kind):
        text = sql.statement_over(TABLES, request.param, kind, dbt=False)
        return RUN[request.param](server, day, text)

    return ask


def by_id(found, like):
    assert sorted(found["customer_id"]) == sorted(like.index)
    return found.set_index("customer_id").loc[like.index]


def per_draw(posterior, customers):
    """By value, the purchases of each customer under each draw, (S, N); and the spend."""
    plan = plan_of(posterior, SETTINGS)
    columns = read_summary(customers).columns(posterior.spec.unit_days)
    parts = {
        name: quantity.fn(plan.purchase[0], columns, plan.clock)
        for name, quantity in FAMILIES["mbgnbd"].quantities.items()
    }
    spend = FAMILIES["gammagamma"].quantities["expected_spend"]
    alive, stayed = parts["p_alive"], parts["stayed_purchases"]
    discounted = parts["discounted_purchases"]
    bought = {
        "clv": alive * discounted,
        "residual_value": alive * parts["residual_purchases"],
        "value_at_risk": alive * (stayed - discounted),
        "win_back_value": (1 - alive) * stayed,
    }
    return bought, plan.factor * spend.fn(plan.spend[0], columns, plan.clock)


def test_a_warehouse_that_joins_gives_the_scores_of_the_kernel(engine, days, posterior):
    """Purchases to the digit; money is the product of the two means, the kernel's that of the draws."""
    day = days[DAYS[0]]
    found = by_id(engine(day, "scores"), day.scores)
    for name in (*PURCHASES, "expected_spend"):
        np.testing.assert_allclose(found[name].astype(float), day.scores[name], rtol=1e-12)
    some = day.customers.sort_values("customer_id").iloc[::23]
    bought, worth = per_draw(posterior, some)
    for name in MONEY:
        own = found.loc[some["customer_id"], name].to_numpy(float)
        paired = day.scores.loc[some["customer_id"], name].to_numpy()
        np.testing.assert_allclose(own, bought[name].mean(0) * worth.mean(0), rtol=1e-12)
        error = bought[name].std(0) * worth.std(0) / np.sqrt(len(worth))
        assert (np.abs(paired - own) / error).max() < 4.5
    flagged = ["extrapolated" in words for words in day.scores["flags"]]
    assert flagged == found["extrapolated"].tolist()
    assert 0 < sum(flagged) < len(flagged)
    assert set(found["model_id"]) == {posterior.manifest["model_id"]}


def test_where_all_customers_spend_alike_money_is_the_kernels_too(posterior, days):
    """One draw of spend, repeated: the mean of products is then the product of means."""
    day = days[DAYS[0]]
    values = {n: np.full_like(v, v[0, 0]) for n, v in posterior.parts["spend"].values.items()}
    known = replace(posterior, parts={**posterior.parts, "spend": Draws(values, {}, {})})
    scores = score(known, read_summary(day.customers), SETTINGS).table.set_index("customer_id")
    text = sql.statement_over(TABLES, "duckdb", "scores", dbt=False)
    rows, spend = tables(known, read_histories(day.customers))
    found = by_id(asked(text, customers=day.customers, lookup=rows, lookup_spend=spend), day.scores)
    for name in MONEY:
        np.testing.assert_allclose(found[name], scores[name], rtol=1e-12)


def tables(posterior, histories, settings=SETTINGS, **how):
    kernel = lookup.lookup_of(posterior, histories, settings)
    rows = pa.Table.from_batches(lookup.rows(kernel, histories, **how))
    return rows, pa.Table.from_batches([lookup.spend(kernel, int(histories.x.max()))])


def test_a_model_of_purchases_alone_is_looked_up_and_its_customers_have_no_money(days):
    """BG/NBD, to whom nobody who came once is lost; purchases are the kernel's in every family."""
    day = days[DAYS[0]]
    made = report_case.posterior(read_summary(day.customers), "bgnbd")
    part = {"purchase": made.spec.parts["purchase"]}
    draws = {"purchase": made.parts["purchase"]}
    alone = replace(made, spec=replace(made.spec, parts=part), parts=draws)
    rows, spend = tables(alone, read_histories(day.customers))
    assert spend.column("worth").null_count == spend.num_rows
    given = {"customers": day.customers, "lookup": rows, "lookup_spend": spend}
    found = by_id(
        asked(sql.statement_over(TABLES, "duckdb", "scores", dbt=False), **given), day.scores
    )
    scores = score(alone, read_summary(day.customers), SETTINGS).table.set_index("customer_id")
    for name in PURCHASES:
        np.testing.assert_allclose(found[name], scores[name], rtol=1e-12)
    assert (found["p_alive"] == 1).sum() == (day.customers["x"] == 0).sum()
    account = asked(sql.statement_over(TABLES, "duckdb", "account", dbt=False), **given)
    assert counted(account) == {"spend_undefined": len(found), "scored_again": 0}


def test_the_next_day_is_scored_by_the_table_of_the_next_day(days):
    """Yesterday's lacks the histories that are new, says so, and has no number wrong."""
    text = {kind: sql.statement_over(TABLES, "duckdb", kind, dbt=False) for kind in SAID}
    old, new = (days[day] for day in DAYS)
    fresh = {name: _duckdb(None, new, text[name]) for name in SAID}
    mixed = Day(new.customers, old.lookup, new.scores)
    stale = {name: _duckdb(None, mixed, text[name]) for name in SAID}
    assert counted(fresh["account"]) == {"scored": len(new.customers), "scored_again": 0}
    for found in (fresh, stale):
        own = by_id(found["scores"], new.scores)
        own = own[own["p_alive"].notna()]
        np.testing.assert_allclose(own["p_alive"], new.scores.loc[own.index, "p_alive"], rtol=1e-12)
    missing = stale["scores"]["clv"].isna()
    account = counted(stale["account"])
    assert account["history_missing"] == missing.sum() > 0
    assert account["scored"] == (~missing).sum() > 0


SAID = ("scores", "account")


def counted(account):
    return dict(zip(account["reason"], map(int, account["n_customers"]), strict=True))


def test_nobody_is_dropped_and_the_account_says_why_somebody_has_no_score(engine, days):
    day = days[DAYS[0]]
    rows, spend = (pq.read_table(path).to_pandas() for path in (day.lookup, day.spend))
    gone = rows.iloc[:1]  # one purchase, the largest number of customers
    folder = Path(tempfile.mkdtemp())
    rows.iloc[1:].to_parquet(folder / "lookup.parquet")
    spend[spend["x_paid"] != 2].to_parquet(folder / "lookup.spend.parquet")
    broken = replace(day, lookup=folder / "lookup.parquet")
    lost = day.customers[["x", "t_x", "t_end"]].to_numpy() == gone[["x", "t_x", "t_end"]].to_numpy()
    without = int(lost.all(axis=1).sum())
    two = int((day.customers["x_paid"] == 2).sum())
    expected = {"history_missing": without, "spend_missing": two, "scored_again": 0}
    assert counted(engine(broken, "account")) == {
        "scored": len(day.customers) - without - two,
        **expected,
    }
    found = engine(broken, "scores")
    assert len(found) == len(day.customers)
    assert found["clv"].isna().sum() == without + two


def test_a_table_loaded_twice_is_told(days):
    day = days[DAYS[0]]
    twice = pa.concat_tables([pq.read_table(day.lookup)] * 2)
    text = sql.statement_over(TABLES, "duckdb", "account", dbt=False)
    account = asked(text, customers=day.customers, lookup=twice, lookup_spend=day.spend)
    assert counted(account)["scored_again"] == len(day.customers)


@pytest.mark.parametrize(
    "odd", [{"model_id": "another"}, {"money": "margin"}], ids=["model", "money"]
)
def test_spend_of_another_kind_is_not_found(odd, days):
    day = days[DAYS[0]]
    spend = pd.read_parquet(day.spend).assign(**odd)
    text = sql.statement_over(TABLES, "duckdb", "account", dbt=False)
    account = asked(text, customers=day.customers, lookup=day.lookup, lookup_spend=spend)
    assert counted(account) == {"spend_missing": len(day.customers), "scored_again": 0}


def test_the_numbers_are_the_same_for_any_order_chunk_and_threads(posterior, days):
    customers = days[DAYS[0]].customers
    shuffled = customers.sample(frac=1, random_state=1)
    one, other = (read_histories(frame) for frame in (customers, shuffled))
    wanted = tables(posterior, one)
    small = replace(SETTINGS, chunk=7)
    assert wanted == tables(posterior, other, small, threads=1)
    assert wanted[0].num_rows == len(customers[["x", "t_x", "t_end"]].drop_duplicates())
    assert int(one.n.sum()) == len(customers)


def test_a_csv_holds_the_numbers_of_the_parquet_file(run, days, tmp_path):
    day = days[DAYS[0]]
    source = day.lookup.with_name("distinct.parquet")
    done = call("score", run, "--table", source, *FLAGS, "-o", tmp_path / "lookup.csv")
    assert done.exit_code == 0, done.output
    for name, path in (("lookup.csv", day.lookup), ("lookup.spend.csv", day.spend)):
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / name), pd.read_parquet(path))


def test_a_table_of_customers_is_taken_for_histories_and_that_is_said(run, days, tmp_path):
    """And where the spend of the lookup is; of distinct histories nothing is to be warned of."""
    day, said = days[DAYS[0]], "takes the distinct histories in it"
    day.customers.to_parquet(tmp_path / "customers.parquet")
    out = tmp_path / "lookup.parquet"
    done = call("score", run, "--table", tmp_path / "customers.parquet", *FLAGS, "-o", out)
    assert (done.exit_code, said in done.stderr) == (0, True), done.stderr
    assert "--spend TABLE" in done.stderr
    distinct = day.lookup.with_name("distinct.parquet")
    done = call(
        "score", run, "--table", distinct, *FLAGS, "-o", out, "--force", "--reason", "again"
    )
    assert (done.exit_code, said in done.stderr) == (0, False), done.stderr


def test_a_server_is_asked_for_its_histories(run, days, postgres, tmp_path):
    day = days[DAYS[0]]
    fill_postgres(postgres, "customers", day.customers, "shop")
    (tmp_path / "q.sql").write_text(sql.statement_over(TABLES, "postgres", "histories", dbt=False))
    words = ("--table", "env:SHOP", "--query-file", tmp_path / "q.sql", *FLAGS)
    done = call("score", run, *words, "-o", tmp_path / "a.parquet", env={"SHOP": postgres})
    assert done.exit_code == 0, done.output
    assert postgres not in done.output
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "a.parquet"), pd.read_parquet(day.lookup)
    )


def test_the_document_says_what_the_tables_hold(run, days):
    path = days[DAYS[0]].lookup
    document = json.loads(path.with_suffix(".json").read_text())
    assert scorefile.intact(document)
    assert document["settings"]["margin"] == 0.3
    assert (document["as_of"], document["money"]) == (DAYS[0], "margin")
    assert document["customers"] == len(days[DAYS[0]].customers)
    for file in (path, days[DAYS[0]].spend):
        for field in pq.read_schema(file):
            said = field.metadata
            assert said[b"description"].decode() == document["columns"][field.name]
            assert said[b"unit"].decode() == document["units"].get(field.name, "")


def test_a_spend_without_a_mean_is_null_and_counted(posterior, days):
    """q of 1 or less in one draw: nobody who never paid again has an expected spend."""
    day = days[DAYS[0]]
    values = {name: each.copy() for name, each in posterior.parts["spend"].values.items()}
    values["q"][...] = 0.9
    heavy = replace(posterior, parts={**posterior.parts, "spend": Draws(values, {}, {})})
    rows, spend = tables(heavy, read_histories(day.customers))
    assert spend.column("spend_base").to_pylist()[0] is None
    assert spend.column("spend_base").null_count == 1
    text = sql.statement_over(TABLES, "duckdb", "account", dbt=False)
    account = counted(asked(text, customers=day.customers, lookup=rows, lookup_spend=spend))
    assert account["spend_undefined"] == (day.customers["x_paid"] == 0).sum()


def test_a_point_has_no_ends_and_no_discount_no_value_without_a_horizon(posterior, days):
    one = {
        part: Draws({n: v[:1, :1] for n, v in draws.values.items()}, {}, draws.info)
        for part, draws in posterior.parts.items()
    }
    flat = replace(SETTINGS, annual_discount=0.0)
    rows, _ = tables(replace(posterior, parts=one), read_histories(days[DAYS[0]].customers), flat)
    empty = {n for n in rows.column_names if rows.column(n).null_count == rows.num_rows}
    ends = {f"{name}_{end}" for name in ("p_churn", "expected_purchases") for end in ("lo", "hi")}
    assert empty == {*ends, "residual_purchases"}


def test_what_failed_its_gates_is_blank_until_somebody_answers_for_it(posterior, days, tmp_path):
    bad = report_case.failed(posterior)
    missed = {"passed": False, "verdict": "failed"}
    gates = [{**g, **(missed if g["part"] == "spend" else {})} for g in bad.manifest["gates"]]
    run = report_case.saved(replace(bad, manifest={**bad.manifest, "gates": gates}), tmp_path / "r")
    source = days[DAYS[0]].lookup.with_name("distinct.parquet")
    words = ("score", run, "--table", source, "-o", tmp_path / "a.parquet")
    done = call(*words)
    assert done.exit_code == 4, done.output
    spend = pq.read_table(tmp_path / "a.untrusted.spend.parquet")
    assert spend.column("spend_base").null_count == spend.num_rows
    assert pq.read_table(tmp_path / "a.untrusted.parquet").column("p_alive").null_count == 0
    done = call(*words, "--force", "--reason", "seen by the board")
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "a.untrusted.json").read_text())
    assert document["released"] == {"spend": "seen by the board"}


def test_a_model_in_which_histories_do_not_decide_is_refused(posterior, days):
    histories = read_histories(days[DAYS[0]].customers)
    part = posterior.spec.parts["purchase"]
    ages = CovariatesSpec(rate=("age",), dropout=(), effect=part.priors["r"])
    parts = {**posterior.spec.parts, "purchase": replace(part, covariates=ages)}
    linked = replace(posterior, spec=replace(posterior.spec, parts=parts))
    with pytest.raises(UsageError, match="customers of one history differ"):
        lookup.lookup_of(linked, histories, SETTINGS)
    clients = report_case.posterior(report_case.clients(), "segments")
    with pytest.raises(UsageError, match="reads no purchases"):
        lookup.lookup_of(clients, histories, SETTINGS)


def test_histories_that_end_before_the_fit_are_refused(posterior, days):
    histories = read_histories(days[DAYS[0]].customers.drop(columns="as_of"), as_of="1998-06-29")
    with pytest.raises(InputRejected, match="fitted on data to 1998-06-30"):
        lookup.lookup_of(posterior, histories, SETTINGS)


GOOD = {"x": [0, 2], "t_x": [0, 9], "t_end": [5, 9], "n": [3, 1], "as_of": "1998-06-30"}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x": [1, 2]}, InputRejected, "x is 0 but t_x is not"),
        ({"t_end": [5, 8]}, InputRejected, "after the end of observation"),
        ({"t_end": [5, 10**6]}, InputRejected, "before the year 1 in 1 rows (first in row 2)"),
        ({"x": [0, 10]}, InputRejected, "more purchase days than days"),
        ({"x": [0, 1.5]}, InputRejected, "x is no whole number"),
        ({"n": [0, 1]}, InputRejected, "n is below 1"),
        ({"t_x": [None, 9]}, InputRejected, "t_x is missing in 1 rows (first in row 1)"),
        ({"t_x": ["a", "b"]}, InputRejected, "t_x is text"),
        ({"as_of": ["1998-06-30", "1998-07-01"]}, InputRejected, "as_of differs"),
        ({"money": ["revenue", "margin"]}, InputRejected, "money differs"),
        ({"x": None}, InputRejected, "no table of histories: x missing"),
        ({"as_of": None}, UsageError, "does not say its last day"),
    ],
)
def test_no_history_is_taken_on_trust(changes, error, message):
    columns = {name: values for name, values in {**GOOD, **changes}.items() if values is not None}
    with pytest.raises(error) as refused:
        read_histories(pd.DataFrame(columns))
    assert message in refused.value.message


def test_rows_of_one_history_are_one():
    frame = pd.DataFrame({**GOOD, "repeat_spend": 1.0})
    found = read_histories(pd.concat([frame, frame.iloc[:1]]))
    assert [found.x.tolist(), found.t_end.tolist(), found.n.tolist()] == [[0, 2], [5, 9], [6, 1]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--table", "no.parquet", "-o", "a.parquet"], "no.parquet is no file"),
        (["--table", "d.parquet", "-o", "-"], "-o - is about customers"),
        (["--table", "d.parquet", "--cost", "c", "-o", "a.csv"], "--cost is about customers"),
        (["--table", "d.parquet", "--attributes", "f", "-o", "a.csv"], "--attributes is about"),
        (["--table", "d.parquet", "--as-of", "1999-01-01", "-o", "a.csv"], "as of 1998-06-30"),
        (["--table", "d.parquet", "--engine", "spark", "-o", "a.csv"], "--engine is about"),
        (["--table", "d.parquet", "--time-unit", "day", "-o", "a.csv"], "--time-unit is about"),
    ],
)
def test_what_a_lookup_has_no_use_for_is_refused(words, message, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame(GOOD).to_parquet("d.parquet")
    done = call("score", run, *words)
    assert (done.exit_code, message in done.stderr) == (2, True), done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"d.parquet"}


def test_what_is_there_is_not_written_over(run, tmp_path):
    pd.DataFrame(GOOD).to_parquet(tmp_path / "d.parquet")
    (tmp_path / "a.spend.parquet").write_text("mine")
    words = ("score", run, "--table", tmp_path / "d.parquet", "-o", tmp_path / "a.parquet")
    assert call(*words).exit_code == 2
    assert (tmp_path / "a.spend.parquet").read_text() == "mine"
    assert not (tmp_path / "a.parquet").exists()


@pytest.mark.parametrize("dialect", sql.DIALECTS)
@pytest.mark.parametrize("kind", [*SAID, *sql.COUNTED])
def test_the_text_over_a_summary_is_one_select_of_the_tables_named(kind, dialect):
    named = sql.Summed('a."My Customers"', "a.b", 'c."d FROM customers"')
    (one,) = sqlglot.parse(sql.statement_over(named, dialect, kind, dbt=False), read=dialect)
    assert isinstance(one, exp.Query)
    read = {table.name for table in one.find_all(exp.Table)} - {"bayesseg_priced"}
    fold = str.upper if dialect == "snowflake" else str
    joined = {fold("b"), "d FROM customers"} if kind in SAID else set()
    assert read == {"My Customers", *joined}


def test_a_dbt_model_of_the_scores_names_its_tables():
    text = sql.statement_over(sql.Summed("c", "l", "s.t"), "bigquery", "scores", dbt=True)
    for name in ("ref('c')", "ref('l')", "source('s', 't')"):
        assert text.count(f"{{{{ {name} }}}}") == 1


def test_the_histories_of_lines_are_those_of_their_summary(days, cdnow_sample):
    lines = sample_frame(cdnow_sample)
    lines["date"] = pd.to_datetime(lines["date"], format="%Y%m%d").dt.date
    log = sql.Log("shop.orders", "customer_id", "date", "amount", nobody=tuple(NOBODY))
    text = sql.statement(log, dt.date.fromisoformat(DAYS[0]), "duckdb", "histories", dbt=False)
    found = asked(text, orders=lines)
    path = days[DAYS[0]].lookup.with_name("distinct.parquet")
    key = ["x", "t_x", "t_end"]
    one, other = (
        each.sort_values(key).reset_index(drop=True) for each in (found, pd.read_parquet(path))
    )
    pd.testing.assert_frame_equal(one, other, check_dtype=False)
    assert one["n"].sum() == 2357


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--summary", "c"], "--summary alone says nothing new"),
        (["--summary", "c", "--account"], "--summary alone says nothing new"),
        (["--summary", "c", "--lookup", "l", "--histories"], "without --lookup"),
        (
            ["--summary", "c", "--lookup", "l", "--order-id", "o"],
            "--order-id is about purchase lines",
        ),
        (["--lookup", "l"], "--lookup goes with --summary"),
        (["--summary", "", "--histories"], "--summary '' is no table"),
        (["--summary", "c", "--lookup", "a.b.c.d"], "--lookup 'a.b.c.d' is no table"),
        (["--summary", "c", "--lookup", "l", "--spend", ""], "--spend '' is no table"),
        (
            ["--summary", "a.b.c", "--histories", "--dbt"],
            "--summary 'a.b.c' cannot be named in dbt",
        ),
        (["--table", "t", "--amount", "a"], "--customer-id, --date, --as-of missing"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(words, message):
    done = call("sql", "--dialect", "postgres", *words)
    assert (done.exit_code, message in done.stderr) == (2, True), done.stderr


def test_the_spend_table_has_the_name_of_the_lookup_unless_another_is_given():
    words = ("sql", "--dialect", "duckdb", "--summary", "c", "--lookup")
    assert 'JOIN "l_spend" AS' in call(*words, "l").stdout
    assert 'JOIN "My L_spend" AS' in call(*words, '"My L"').stdout
    assert 'JOIN "s" AS' in call(*words, "l", "--spend", "s").stdout
