"""One text, many engines: DuckDB, PostgreSQL and Spark against customers counted with pandas."""

import datetime as dt
import functools
import tempfile
from dataclasses import replace
from importlib.resources import files

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
import sqlglot
import transpiled
from sqlglot import exp
from summary_case import by_pandas, in_cents, in_mills, master_frame, retail_lines, sample_frame

from bayesseg import sql
from bayesseg.customers import summarise
from bayesseg.errors import UsageError
from bayesseg.ingest import Options, read_purchases
from bayesseg.ingest.ids import NOBODY

DAY = dt.date(2024, 6, 1)
LOG = sql.Log("shop.orders", "customer_id", "date", "amount", nobody=tuple(NOBODY))
NAMES = ("ids", "x", "t_x", "t_end", "x_paid", "repeat_spend", "first_spend", "n_orders")

# What is hard: ids that look like numbers, free days, refunds within the day, of an earlier order,
# before their order, of an unknown one, a day after the end, lines that cannot be used.
HARD = pd.DataFrame(
    [
        ("1", "2024-01-01", 10.0, "a"),
        ("1", "2024-01-01", 5.0, "b"),
        ("1", "2024-02-01", 20.0, "c"),
        ("1", "2024-03-01", 8.0, "d"),
        ("1", "2024-03-01", -8.0, "d"),
        ("2", "2024-01-05", 7.0, None),
        ("2", "2024-03-01", 0.0, "e"),
        ("2", "2024-04-01", -7.0, "f"),
        ("00042", "2024-01-02", 1.0, "g"),
        ("00042", "2024-01-09", 2.25, " "),
        ("00042", "2024-02-09", -1.0, "g"),
        ("00042", "2024-05-31", 0.1, "h"),
        ("00042", "2024-05-31", 0.2, "h"),
        ("00042", "2024-06-01", 100.0, "i"),
        ("00042", "2024-06-02", 5.0, "j"),
        ("d'Aÿ", "2024-02-29", 3.0, "k"),
        ("d'Aÿ", "2024-03-01", 30.0, "l"),
        ("d'Aÿ", "2024-02-28", -3.0, "l"),
        ("  ", "2024-03-01", 1.0, "m"),
        (None, "2024-03-01", 1.0, "n"),
        ("3", None, 1.0, "o"),
        ("3", "1970-01-01", 1.0, "o"),
        ("3", "2024-01-01", None, "o"),
        (" Guest", "2024-01-01", 1.0, "p"),
    ],
    columns=["customer_id", "date", "amount", "order_id"],
)
BY_DAY = {
    "00042": (3, 151, 151, 3, 102.55, 1.0, 4),
    "1": (1, 31, 152, 1, 20.0, 15.0, 2),
    "2": (1, 56, 148, 0, 0.0, 7.0, 2),
    "d'Aÿ": (1, 1, 93, 1, 30.0, 3.0, 2),
}
BY_ORDER = {
    "00042": (2, 144, 144, 2, 100.3, 2.25, 3),
    "1": (1, 31, 152, 1, 20.0, 15.0, 3),
    "2": (1, 56, 148, 0, 0.0, 7.0, 2),
    "d'Aÿ": (1, 1, 93, 1, 30.0, 3.0, 2),
}


def _duckdb(_, frame, text):
    with duckdb.connect() as connection:
        connection.register("given", frame)
        connection.execute("CREATE SCHEMA shop; CREATE TABLE shop.orders AS FROM given")
        return connection.execute(text).df()


def _postgres(dsn, frame, text):
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA IF NOT EXISTS shop")
        table = pa.Table.from_pandas(frame, preserve_index=False)
        cursor.adbc_ingest("orders", table, mode="replace", db_schema_name="shop")
        cursor.execute(text)
        return cursor.fetch_df()


def _spark(session, frame, text):
    session.sql("CREATE DATABASE IF NOT EXISTS shop")
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        frame.to_parquet(file.name, index=False, coerce_timestamps="us")
        session.read.parquet(file.name).write.mode("overwrite").saveAsTable("shop.orders")
    found = session.sql(text)
    return pd.DataFrame([tuple(row) for row in found.collect()], columns=found.columns)


RUN = {"duckdb": _duckdb, "postgres": _postgres, "spark": _spark}


@pytest.fixture(params=RUN)
def engine(request):
    """A dialect, and ``run(frame, text)``: what its engine answers about ``shop.orders``."""
    name = request.param
    server = None if name == "duckdb" else request.getfixturevalue(name)
    return name, functools.partial(RUN[name], server)


def rows(found):
    """One tuple a customer, by id, with plain numbers."""
    found = found.rename(columns={"customer_id": "ids"})[list(NAMES)]
    return {
        row[0]: (*map(int, row[1:5]), float(row[5]), float(row[6]), int(row[7]))
        for row in found.itertuples(index=False)
    }


def listed(table):
    """The same of a table by name of column."""
    return {row[0]: row[1:] for row in zip(*(table[name] for name in NAMES), strict=True)}


def hard_log():
    return HARD.assign(date=pd.to_datetime(HARD["date"]))


@pytest.mark.parametrize("dialect", sql.WAREHOUSES)
def test_the_text_of_a_warehouse_is_that_of_duckdb(dialect):
    stored = files(sql).joinpath(f"{dialect}.sql").read_text(encoding="utf-8")
    assert transpiled.transpiled(dialect) == stored


@pytest.mark.parametrize(("order", "expected"), [(None, BY_DAY), ("order_id", BY_ORDER)])
def test_the_hard_log_gives_the_customers_counted_by_hand(order, expected, engine):
    dialect, run = engine
    frame = hard_log()
    text = sql.statement(replace(LOG, order_id=order), DAY, dialect, dbt=False)
    found = run(frame, text)
    assert expected == rows(found)
    assert {DAY} == {pd.Timestamp(day).date() for day in found["as_of"]}


@pytest.mark.parametrize(("order", "expected"), [(None, BY_DAY), ("order_id", BY_ORDER)])
def test_what_a_file_gives_is_what_the_text_gives(order, expected):
    """The steps that ingest runs one by one are those of the statement."""
    purchases = read_purchases(HARD, Options(order_id=order, max_bad=1))
    customers = summarise(purchases, DAY)
    assert expected == listed({name: getattr(customers, name).tolist() for name in NAMES})


def test_an_id_that_looks_like_nobody_can_be_kept(engine):
    dialect, run = engine
    log = replace(LOG, keep_ids=(" Guest", "d'Aÿ"))
    found = rows(run(hard_log(), sql.statement(log, DAY, dialect, dbt=False)))
    assert found.pop(" Guest") == (0, 0, 152, 0, 0.0, 1.0, 1)
    assert found == BY_DAY


def test_every_line_has_one_reason(engine):
    dialect, run = engine
    frame = hard_log()
    found = run(frame, sql.statement(LOG, DAY, dialect, "account", dbt=False))
    assert dict(zip(found["reason"], map(int, found["n_rows"]), strict=True)) == {
        "used": 17,
        "id_missing": 2,
        "date_missing": 1,
        "date_too_early": 1,
        "amount_missing": 1,
        "placeholder": 1,
        "after_as_of": 1,
    }


def test_the_policies_of_ingest_can_be_asked_for(engine):
    dialect, run = engine
    frame = pd.concat([hard_log()] * 2)
    log = replace(LOG, drop_refunds=True, dedupe=True)
    found = rows(run(frame, sql.statement(log, DAY, dialect, dbt=False)))
    assert found["1"] == (2, 60, 152, 2, 28.0, 15.0, 3)
    assert found["d'Aÿ"] == BY_DAY["d'Aÿ"]


def test_a_moment_falls_on_the_day_it_has_in_the_zone_given(engine):
    """Half past eleven at night in London is the next day in Paris, whatever the session thinks."""
    dialect, run = engine
    moments = ["2024-01-01T23:30", "2024-03-31T00:30", "2024-07-01T21:59", "2024-07-01T22:00"]
    frame = pd.DataFrame({"customer_id": list("abcd"), "amount": 1.0})
    frame["date"] = pd.to_datetime(moments, utc=True)
    days = {}
    for zone in ("Europe/Paris", "America/New_York"):
        text = sql.statement(replace(LOG, zone=zone), dt.date(2024, 7, 2), dialect, dbt=False)
        days[zone] = [ages[2] for _, ages in sorted(rows(run(frame, text)).items())]
    assert days == {"Europe/Paris": [182, 93, 1, 0], "America/New_York": [183, 94, 1, 1]}


def test_the_histogram_is_the_summary_without_ids(engine):
    dialect, run = engine
    frame = hard_log().iloc[:18]
    frame = pd.concat([frame.assign(customer_id=frame["customer_id"] + end) for end in ("", "x")])
    found = run(frame, sql.statement(LOG, DAY, dialect, "histogram", dbt=False))
    found = found.drop(columns="as_of").astype(float).values.tolist()
    assert {(*map(float, row[:5]), 2.0) for row in BY_DAY.values()} == set(map(tuple, found))


CDNOW = {"sample": sample_frame, "master": master_frame}


@pytest.mark.parametrize(
    ("log", "as_of"),
    [("sample", "1997-09-30"), ("sample", "1998-06-30"), ("master", "1998-06-30")],
)
def test_cdnow_is_the_same_digit_for_digit_on_every_engine(log, as_of, engine, request):
    dialect, run = engine
    frame = CDNOW[log](request.getfixturevalue(f"cdnow_{log}"))
    frame["date"] = pd.to_datetime(frame["date"], format="%Y%m%d").dt.date
    found = run(frame, sql.statement(LOG, dt.date.fromisoformat(as_of), dialect, dbt=False))
    assert listed(by_pandas(in_cents(frame), as_of)) == rows(found)


@pytest.fixture(scope="module")
def retail(shared):
    return retail_lines(shared)


@pytest.mark.slow
def test_online_retail_is_the_same_digit_for_digit_on_every_engine(engine, retail):
    """Both sheets: 1,044,847 lines, of which some have no customer."""
    dialect, run = engine
    log = sql.Log(
        "shop.orders", '"CustomerID"', '"InvoiceDate"', '"Quantity" * "UnitPrice"', '"InvoiceNo"'
    )
    as_of = dt.date(2011, 12, 9)
    frame = retail[["CustomerID", "InvoiceDate", "Quantity", "UnitPrice", "InvoiceNo"]]
    found = rows(run(frame, sql.statement(log, as_of, dialect, dbt=False)))
    account = run(frame, sql.statement(log, as_of, dialect, "account", dbt=False))
    assert listed(by_pandas(in_mills(retail), "2011-12-09", unit=1000)) == found
    assert (len(found), int(account["n_rows"].sum())) == (5_867, 1_044_847)
    assert retail["CustomerID"].nunique() == 5_942


@pytest.mark.parametrize("dialect", sql.DIALECTS)
def test_names_are_quoted_and_nothing_else_is_interpolated(dialect):
    log = sql.Log('shop."My.Orders"', "d'achat; DROP TABLE x --", "day", '"a-b" * price - "a b"')
    text = sql.statement(log, DAY, dialect, dbt=False)
    mark = "`" if dialect in ("bigquery", "databricks", "spark") else '"'
    fold = str.upper if dialect == "snowflake" else str
    for name in (fold("shop"), "My.Orders", fold("d'achat; DROP TABLE x --"), "a-b", "a b"):
        assert f"{mark}{name}{mark}" in text
    one = sqlglot.parse(text, read=dialect)
    assert [exp.Select] == [type(statement) for statement in one]


@pytest.mark.parametrize(
    "log",
    [
        {"table": "a.b.c.d"},
        {"table": "a..b"},
        {"table": ""},
        {"table": "a`b"},
        {"customer_id": 'a"b'},
        {"customer_id": "{{ x }}"},
        {"date": "a\\b"},
        {"date": "a\nb"},
        {"amount": "a / b"},
        {"amount": "a *"},
        {"amount": "a * * b"},
        {"amount": "-"},
        {"zone": "Europe/Nowhere"},
        {"zone": "UTC' OR '1"},
        {"zone": "../../etc"},
    ],
)
def test_what_cannot_be_said_safely_is_refused(log):
    with pytest.raises(UsageError):
        sql.statement(replace(LOG, **log), DAY, "postgres", dbt=False)


def test_a_dbt_model_names_its_table_and_takes_its_last_day():
    text = sql.statement(LOG, DAY, "snowflake", dbt=True)
    assert "FROM {{ source('shop', 'orders') }}" in text
    assert 5 == text.count("2024-06-01") == text.count('{{ var("as_of", "2024-06-01") }}')
    assert "FROM {{ ref('orders') }}" in sql.statement(
        replace(LOG, table="orders"), DAY, "snowflake", dbt=True
    )
    with pytest.raises(UsageError, match="cannot be named in dbt"):
        sql.statement(replace(LOG, table="a.b.c"), DAY, "snowflake", dbt=True)
