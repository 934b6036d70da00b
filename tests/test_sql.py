"""One text, many engines: DuckDB, PostgreSQL and Spark against customers counted with pandas."""

import datetime as dt
import functools
import tempfile
from dataclasses import replace
from importlib.resources import files

import duckdb
import pandas as pd
import pytest
import sqlglot
import transpiled
from postgres_case import fill as fill_postgres
from snowflake_case import ask as ask_snowflake
from sqlglot import exp
from summary_case import (
    by_pandas,
    each_order_once,
    in_cents,
    in_mills,
    master_frame,
    retail_lines,
    sample_frame,
)

from bayesseg import sql
from bayesseg.customers import summarise
from bayesseg.errors import UsageError
from bayesseg.ingest import Options, read_purchases
from bayesseg.ingest.ids import NOBODY
from bayesseg.ingest.numbers import MISSING

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

    fill_postgres(dsn, "orders", frame, "shop")
    with dbapi.connect(dsn, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetch_df()


def _spark(session, frame, text):
    session.sql("CREATE DATABASE IF NOT EXISTS shop")
    with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
        frame.to_parquet(file.name, index=False, coerce_timestamps="us")
        session.read.parquet(file.name).write.mode("overwrite").saveAsTable("shop.orders")
    found = session.sql(text)
    return pd.DataFrame([tuple(row) for row in found.collect()], columns=found.columns)


def _snowflake(process, frame, text):
    """The emulator adds doubles where Snowflake adds decimals: money is right to its four decimals."""
    names, rows = ask_snowflake(process, frame, text)
    found = pd.DataFrame(rows, columns=[name.lower() for name in names])
    return found.round({"repeat_spend": 4, "first_spend": 4})


RUN = {"duckdb": _duckdb, "postgres": _postgres, "spark": _spark, "snowflake": _snowflake}
SLOW = {"snowflake": pytest.mark.slow}


@pytest.fixture(params=[pytest.param(name, marks=SLOW.get(name, ())) for name in RUN])
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


FEATURED = pd.DataFrame(
    [
        ("a", "2024-01-01", 10.0, 4.0, "o1", "east", "ACME"),
        ("a", "2024-01-01", 10.0, 4.0, "o1", "west", "ACME"),
        ("a", "2024-01-01", 5.0, 7.5, "o1", "west", "ACME"),
        ("b", "2024-02-01", 20.0, 5.5, "o2", "east", " ACME "),
        ("b", "2024-02-01", 20.0, 5.5, "o2", "east", " ACME "),
        ("b", "2024-02-01 10:30:00", 20.0, 5.5, "o2", "west", " ACME "),
        ("b", "2024-03-01", 8.0, 9.25, "o3", "west", "ACME"),
        ("c", "2024-01-05", 7.0, 1.0, None, "east", "n/a"),
        ("c", "2024-01-05", 7.0, 1.0, None, "west", None),
        ("c", "2024-04-01", 6.0, 2.0, " ", "west", ""),
        ("c", "2024-04-02", 6.0, None, "o4", "west", ""),
        ("c", "2024-04-03", -6.0, -2.0, "o5", "west", ""),
        ("d", "1999-04-03", 6.0, 2.0, "o6", "west", ""),
        ("d", "2024-04-03", 1.0, 2.0, "o7", None, None),
        ("d", "2024-05-03", 3.0, 2.0, "o7", None, None),
        (None, "2024-05-04", 3.0, 2.0, "o8", "east", None),
        (None, "2024-05-04", 3.0, 2.0, "o8", "east", None),
    ],
    columns=["customer_id", "date", "amount", "cost", "order_id", "extract", "company"],
)
ASKED = {"cost": "cost", "group": "company", "extract": "extract", "order_id": "order_id"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"cost": "cost"},
            {"c": (1, 87, 148, 1, 4.0, 12.0, 2), "b": (1, 29, 121, 0, 0.0, 43.5, 2)},
        ),
        ({"group": "company"}, {"ACME": (2, 60, 152, 2, 68.0, 25.0, 3)}),
        ({"extract": "extract", "order_id": "order_id"}, {"a": (0, 0, 152, 0, 0.0, 15.0, 1)}),
        ({**ASKED, "dedupe": True}, {}),
        ({**ASKED, "drop_refunds": True, "min_date": dt.date(1990, 1, 1)}, {}),
    ],
)
def test_what_can_be_asked_of_a_file_can_be_asked_of_a_warehouse(given, expected, engine):
    """Margin, groups, extracts: what ingest makes of the file, and some rows counted by hand."""
    dialect, run = engine
    frame = FEATURED.assign(date=pd.to_datetime(FEATURED["date"], format="ISO8601"))
    log = replace(LOG, nothing=MISSING, **({"min_date": dt.date(2000, 1, 1)} | given))
    found = run(frame, sql.statement(log, DAY, dialect, dbt=False))
    policies = {name: value for name, value in given.items() if name != "drop_refunds"}
    options = Options(
        **({"min_date": dt.date(2000, 1, 1)} | policies),
        refunds="drop" if "drop_refunds" in given else "net",
        max_bad=1,
    )
    purchases = read_purchases(FEATURED, options)
    customers = summarise(purchases, DAY)
    assert listed({name: getattr(customers, name).tolist() for name in NAMES}) == rows(found)
    assert {"margin" if "cost" in given else "revenue"} == set(found["money"])
    assert expected.items() <= rows(found).items()
    account = run(frame, sql.statement(log, DAY, dialect, "account", dbt=False))
    counted = dict(zip(account["reason"], map(int, account["n_rows"]), strict=True))
    assert counted.pop("used") == purchases.provenance["rows"]["used"]
    assert purchases.provenance["rows"]["excluded"] == {r: n for r, n in counted.items() if n}


RESTARTED = pd.DataFrame(
    [
        ("1", "2023-01-05", 10.0, "7"),
        ("1", "2023-02-05", 4.0, "8"),
        ("1", "2024-01-05", 10.0, "7"),
        ("1", "2024-01-20", -10.0, "7"),
        ("2", "2024-01-10", -3.0, "9"),
        ("2", "2024-01-12", -2.0, "9"),
        ("2", "2024-01-12", 5.0, "9"),
        ("2", "2024-01-14", 1.0, "9"),
    ],
    columns=["customer_id", "date", "amount", "order_id"],
)


def test_a_refund_counts_on_the_last_day_of_its_order_before_it(engine):
    """Order numbers start again each year: the order of the year before keeps its money."""
    dialect, run = engine
    frame = RESTARTED.assign(date=pd.to_datetime(RESTARTED["date"]))
    text = sql.statement(replace(LOG, order_id="order_id"), DAY, dialect, dbt=False)
    expected = {"1": (1, 31, 513, 1, 4.0, 10.0, 2), "2": (1, 2, 141, 1, 1.0, 3.0, 2)}
    assert expected == rows(run(frame, text))
    customers = summarise(read_purchases(RESTARTED, Options(order_id="order_id")), DAY)
    assert expected == listed({name: getattr(customers, name).tolist() for name in NAMES})


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
    found = found.drop(columns=["as_of", "money"]).astype(float).values.tolist()
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
    """Both sheets, overlapping orders once: 1,044,847 lines, of which some have no customer."""
    dialect, run = engine
    if dialect == "snowflake":
        pytest.skip("a million lines are too many for the emulator: CDNOW is asked of it")
    log = sql.Log(
        "shop.orders",
        '"CustomerID"',
        '"InvoiceDate"',
        '"Quantity" * "UnitPrice"',
        '"InvoiceNo"',
        extract='"sheet"',
    )
    as_of = dt.date(2011, 12, 9)
    once = each_order_once(retail)
    frame = retail[["CustomerID", "InvoiceDate", "Quantity", "UnitPrice", "InvoiceNo", "sheet"]]
    found = rows(run(frame, sql.statement(log, as_of, dialect, dbt=False)))
    account = run(frame, sql.statement(log, as_of, dialect, "account", dbt=False))
    lines = dict(zip(account["reason"], map(int, account["n_rows"]), strict=True))
    assert listed(by_pandas(in_mills(once), "2011-12-09", unit=1000)) == found
    assert (lines.pop("other_extract"), sum(lines.values())) == (22_523, 1_044_847)
    assert (len(once), len(found), once["CustomerID"].nunique()) == (1_044_847, 5_867, 5_942)


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
        {"cost": "a / b"},
        {"extract": "sheet"},
        {"group": "a`b"},
        {"zone": "Europe/Nowhere"},
        {"zone": "UTC' OR '1"},
        {"zone": "../../etc"},
    ],
)
def test_what_cannot_be_said_safely_is_refused(log):
    with pytest.raises(UsageError):
        sql.statement(replace(LOG, **log), DAY, "postgres", dbt=False)


def test_the_head_says_what_is_left_out_and_what_the_date_must_be():
    zoned = replace(
        LOG, zone="America/Argentina/ComodRivadavia", cost="cost", order_id="o", extract="e"
    )
    (plain, asked) = (
        [
            line
            for line in sql.statement(log, DAY, "databricks", dbt=False).splitlines()
            if "--" in line
        ]
        for log in (LOG, zoned)
    )
    assert max(map(len, plain + asked)) <= 100
    assert "must hold instants (timestamptz); for local times leave --tz out" in _said(asked)
    assert "lines without an order id are not compared" in _said(asked)
    assert "Lines without customer, day, amount or cost, of days before 1980-01-01" in _said(asked)
    assert "Days are as the date column has them" in _said(plain)
    assert "Lines without customer, day or amount, of days" in _said(plain)
    assert "three tenths of all lines" in _said(plain)


def _said(head):
    return " ".join(line.removeprefix("-- ") for line in head)


def test_a_dbt_model_names_its_table_and_takes_its_last_day():
    text = sql.statement(LOG, DAY, "snowflake", dbt=True)
    assert "FROM {{ source('shop', 'orders') }}" in text
    assert 5 == text.count("2024-06-01") == text.count('{{ var("as_of", "2024-06-01") }}')
    assert "FROM {{ ref('orders') }}" in sql.statement(
        replace(LOG, table="orders"), DAY, "snowflake", dbt=True
    )
    with pytest.raises(UsageError, match="cannot be named in dbt"):
        sql.statement(replace(LOG, table="a.b.c"), DAY, "snowflake", dbt=True)
