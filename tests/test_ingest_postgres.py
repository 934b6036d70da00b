"""Rows of a real PostgreSQL server: streamed, exact, read-only, and no secret said."""

import re

import pytest
from test_ingest_reading import EXPECTED, TABLE, seen

from bayesseg.customers import read_attributes, summarise
from bayesseg.errors import InputRejected, ResourcesMissing, UsageError
from bayesseg.ingest import Options, read_purchases

dbapi = pytest.importorskip("adbc_driver_postgresql.dbapi")

TABLES = """
CREATE SCHEMA sales;
CREATE TABLE sales.orders (client_id text, order_date date, montant numeric(12, 3));
CREATE TABLE public."Odd.Name" (client numeric(20, 0), date timestamptz, amount numeric);
INSERT INTO public."Odd.Name" VALUES
    (9007199254740993, '2024-01-02 23:30+00', 1.125), (42, '2024-01-03 00:00+00', 0.1);
CREATE TABLE public.paid (client text, date date, amount money);
INSERT INTO public.paid VALUES ('a', '2024-01-02', 3.5);
CREATE TABLE public.long AS
    SELECT 'c' || i % 1000 AS client, date '2024-01-01' + i % 300 AS date, 0.1 AS amount
    FROM generate_series(1, 50000) i;
CREATE SEQUENCE counter;
CREATE TABLE public.clients AS SELECT 'a' AS client, 31 AS age, 1.250::numeric AS income;
"""


def ask(address, *statements):
    with dbapi.connect(address, autocommit=True) as connection, connection.cursor() as cursor:
        for one in statements:
            cursor.execute(one)


@pytest.fixture(scope="session")
def shop(postgres):
    """The address of a server with orders in it."""
    ask(postgres, *filter(str.strip, TABLES.split(";")))
    rows = ", ".join(
        f"('{r['client_id']}', '{r['order_date']}', {r['montant']})" for r in TABLE.to_pylist()
    )
    ask(postgres, f"INSERT INTO sales.orders VALUES {rows}")
    return postgres


@pytest.mark.parametrize(
    "how",
    [
        {"table": "sales.orders"},
        {"query": "SELECT * FROM sales.orders -- all of it"},
        {"query": "WITH o AS (TABLE sales.orders) SELECT * FROM o;\n"},
    ],
)
def test_a_table_and_a_query_give_the_same_customers(how, shop):
    assert seen(shop, Options(**how)) == EXPECTED


def test_numeric_is_exact_and_so_are_ids(shop):
    with read_purchases(shop, Options(table='"Odd.Name"')) as purchases:
        customers = summarise(purchases, "2024-02-01")
    assert customers.ids.tolist() == ["42", "9007199254740993"]
    assert customers.first_spend.tolist() == [0.1, 1.125]
    assert purchases.provenance["policies"]["day"] == "UTC"


def test_a_day_is_that_of_the_zone_asked_for(shop):
    with read_purchases(shop, Options(table='"Odd.Name"', tz="Europe/Paris")) as purchases:
        assert purchases.provenance["days"] == {
            "first": "2024-01-03",
            "last": "2024-01-03",
            "distinct": 1,
        }


def test_many_rows_are_streamed_whole(shop):
    with read_purchases(shop, Options(table="long")) as purchases:
        assert purchases.provenance["rows"]["used"] == 50_000
        customers = summarise(purchases, "2024-12-01")
    assert float((customers.first_spend + customers.repeat_spend).sum()) == pytest.approx(5_000)


def test_facts_about_customers_are_read_too(shop):
    found = read_attributes(shop, table="clients")
    assert (found.columns["age"].tolist(), found.columns["income"].tolist()) == ([31.0], [1.25])


def test_nothing_of_the_server_is_recorded(shop):
    provenance = read_purchases(shop, Options(table="sales.orders")).provenance
    assert provenance["source"] == {
        "kind": "postgres",
        "table": "sales.orders",
        "sha256": None,
        "bytes": None,
    }
    assert "127.0.0.1" not in str(provenance)


REST = "current_date AS date, 1 AS amount"
SERIES = "generate_series(1, 10000) AS series(i)"


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("DELETE FROM sales.orders RETURNING *", "syntax error"),
        ("SELECT 1; DROP TABLE sales.orders", "syntax error"),
        ("SELECT 1) AS q; DROP TABLE sales.orders; SELECT (1", "multiple commands"),
        ("COPY sales.orders TO '/tmp/never'", "syntax error"),
        (f"SELECT nextval('counter') AS client, {REST}", "in a read-only transaction"),
        (
            f"SELECT set_config('transaction_read_only', 'off', true) AS client, {REST}",
            "transaction read-write mode",
        ),
        ("SELECT nothing FROM sales.orders", 'column "nothing" does not exist'),
        ("SELECT 'Helene'::int", "invalid input syntax for type integer: …"),
        (
            f"SELECT ('Helene' || client)::int AS client, {REST} FROM long",
            "invalid input syntax for type integer: …",
        ),
        (
            f"SELECT CASE WHEN i > 9999 THEN 1 / 0 END AS client, {REST} FROM {SERIES}",
            "division by zero",
        ),
        (
            f"SELECT CASE WHEN i > 9999 THEN ('Helene' || i)::int END AS client, {REST} FROM {SERIES}",
            "invalid input syntax for type integer: …",
        ),
        ("", "syntax error"),
    ],
)
def test_a_query_that_does_not_only_read_is_refused(query, why, shop):
    with pytest.raises(InputRejected, match=why) as caught:
        read_purchases(shop, Options(query=query))
    assert "Helene" not in str(caught.value)
    assert seen(shop, Options(table="sales.orders")) == EXPECTED


def test_a_table_that_is_not_there_is_refused(shop):
    for table in ("sales.order", "nowhere.orders", "SALES.ORDERS"):
        with pytest.raises(InputRejected, match="the server has no table"):
            read_purchases(shop, Options(table=table))


def test_money_is_refused_for_its_unit_is_unknown(shop):
    with pytest.raises(InputRejected, match="'amount' is of type money") as caught:
        read_purchases(shop, Options(table="paid"))
    assert "::numeric" in caught.value.fix


@pytest.mark.parametrize("how", [{}, {"table": "a", "query": "b"}, {"sheet": "x"}])
def test_a_server_is_asked_one_thing(how, shop):
    with pytest.raises(UsageError):
        read_purchases(shop, Options(**how))


SECRET = "s3cr3t@x/y"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ((r":[^:@]+@", f":{SECRET}@"), "its host is unknown|the address is malformed"),
        ((r":[^:@]+@", ":s3cr3t@"), "it refuses the user or the password"),
        ((r":\d+/", ":1/"), "nothing answers"),
        ((r"/postgres$", "/s3cr3t"), "it has no such database"),
        ((r"127.0.0.1", "s3cr3t.invalid"), "its host is unknown"),
        ((r"//.*", "//%zz s3cr3t"), "the address is malformed"),
    ],
)
def test_a_server_out_of_reach_is_told_in_words_without_its_address(change, why, shop):
    with pytest.raises(ResourcesMissing, match=why) as caught:
        read_purchases(re.sub(*change, shop), Options(table="sales.orders"))
    error = caught.value
    assert (error.exit_code, error.__cause__, error.__context__) == (9, None, None)
    assert "s3cr3t" not in str(error)
