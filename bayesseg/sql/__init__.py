"""The one audited text that turns purchase lines into customers, here and in warehouses. L2.

``duckdb.sql`` holds its steps; the texts of the other dialects are transpiled from it. Locally the steps
run one by one, for later ones are asked again and again; for a warehouse they are one statement.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bayesseg.errors import UsageError

WAREHOUSES = ("postgres", "redshift", "snowflake", "bigquery", "databricks", "spark")
DIALECTS = ("duckdb", *WAREHOUSES)
EXECUTED, EMULATED = ("duckdb", "postgres", "spark"), ("snowflake",)
"""Engines that the tests ask, and one whose emulator they ask; other texts are transpiled only."""

_DAY, _MONEY, _AMOUNT = "0001-01-01", "revenue", "amount_and_carried"
_NEVER = dt.date.min.isoformat()
DAYS = 5
"""How often the first day of year 1 stands in a text for the last day observed."""
_STEP = re.compile(r"^-- step: (\S+)\n", re.MULTILINE)
_CUSTOMERS = ("bayesseg_source", "daily", "held", "bought", "customers")
_TICKS = ("bigquery", "databricks", "spark")


def steps(text: str) -> dict[str, str]:
    """The named steps of a text of ``bayesseg/sql/``."""
    _, *parts = _STEP.split(text)
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


def source(*, orders: bool, carried: tuple[str, ...] = ()) -> str:
    """``bayesseg_source(customer_id, purchase_day, recorded_day, amount[, order_id])`` over lines.

    It reads ``bayesseg_lines(customer_id, recorded_day, amount[, order_id])``, and with them whatever
    columns are to be ``carried`` along behind the amount, such as ``cost``.
    """
    ((_, text),) = _named(("bayesseg_source",), "duckdb", _NEVER, orders=orders, carried=carried)
    return text


def told() -> str:
    """``bayesseg_read`` with ``of_order`` and ``place``: 1 where an order's extract is the fullest.

    It reads ``bayesseg_read(order_id, customer_id, recorded_day, extract_name)`` and whatever columns
    stand beside them; ``of_order`` counts the lines an extract holds of the order.
    """
    ((_, text),) = _named(("bayesseg_told",), "duckdb", _NEVER)
    return text


def bought(as_of: dt.date, *, orders: bool, costs: bool) -> str:
    """``bought(customer_id, purchase_day, net, loss, row_count, orders, first_day)`` as of a day.

    Without ``orders`` no row has an order id: counting them, which takes as long as all the rest, is
    left out. With ``costs`` ``net`` is margin, never below 0, and ``loss`` what is missing to 0. It
    reads what the text of :func:`source` makes.
    """
    return _chain(("daily", "held", "bought"), as_of, orders=orders, costs=costs)


def summary(as_of: dt.date) -> str:
    """One row a customer, over a table ``bought`` made by the text of :func:`bought`."""
    return _chain(("customers",), as_of)


def of_lines(dialect: str) -> str:
    """``daily(customer_id, purchase_day, net, lowest, row_count, orders)`` of all lines without orders.

    It reads ``bayesseg_source(customer_id, purchase_day, recorded_day, amount)``. Two such rows of one
    day add up: net and row_count by their sum, lowest by the smaller, orders by the larger.
    """
    ((_, text),) = _named(("daily",), dialect, dt.date.max.isoformat())
    return text


def of_days(daily: str, as_of: dt.date, dialect: str) -> str:
    """One row a customer, over the SELECT ``daily`` of rows as :func:`of_lines` makes them."""
    *chain, (_, end) = _named(("held", "bought", "customers"), dialect, as_of.isoformat())
    return _with([("daily", daily), *chain], end)


@dataclass(frozen=True, slots=True)
class Log:
    """A table of purchase lines in a warehouse, and the policies that ingest has as well.

    Names are taken as they are typed; Snowflake folds those without double quotes to capitals, as it
    does itself.

    Attributes:
        table: ``orders``, ``sales.orders`` or ``"My Shop".sales.orders``.
        customer_id: column of the customer.
        date: column of the day: a date, or a moment.
        amount: column of the money, or columns joined by ``*``, ``+`` and ``-``.
        order_id: column that groups lines into orders; refunds are dated at their order.
        cost: column of what the line cost, or an expression as for ``amount``: money is then margin.
        group: column of what several accounts belong to, which becomes the customer.
        extract: column naming the extract a line stands in; an order is kept from the fullest.
        zone: where days begin and end, for moments that are instants; without it ``date`` is cast to a
            day as it is written.
        drop_refunds: leave negative amounts out instead of netting them.
        dedupe: keep one of several exactly equal lines.
        min_date: lines of days before it are left out as faults.
        nobody: words, in small letters, that as an id stand for no customer.
        keep_ids: ids that are customers although they are such a word.
        nothing: words, in small letters, that as a group stand for none.
    """

    table: str
    customer_id: str
    date: str
    amount: str
    order_id: str | None = None
    cost: str | None = None
    group: str | None = None
    extract: str | None = None
    zone: str | None = None
    drop_refunds: bool = False
    dedupe: bool = False
    min_date: dt.date = dt.date(1980, 1, 1)
    nobody: tuple[str, ...] = ()
    keep_ids: tuple[str, ...] = ()
    nothing: tuple[str, ...] = ("",)


KINDS: Mapping[str, str] = {
    "customers": "the customer summary: one row a customer",
    "histogram": "distinct customers, each with its number n, without ids",
    "histories": "distinct histories of purchases, each with its number n of customers",
    "account": "how many lines are used, and how many are left out for which reason",
}
"""What a statement can make."""


def statement(log: Log, as_of: dt.date, dialect: str, kind: str = "customers", *, dbt: bool) -> str:
    """The text for a warehouse, whole: one SELECT over ``log`` with its policies in sight.

    With ``dbt`` it is a model: the table by ``ref`` or ``source``, the last day as a variable
    ``as_of`` whose default is ``as_of``.

    Raises:
        UsageError: an unknown dialect, a name that cannot be quoted, an unknown time zone, extracts
            without orders.
    """
    _known(dialect)
    last = f'{{{{ var("as_of", "{as_of}") }}}}' if dbt else as_of.isoformat()
    own = _read(log, dialect, last, dbt=dbt)
    if kind == "account":
        del own["bayesseg_lines"]
        tail = "SELECT reason, COUNT(*) AS n_rows FROM bayesseg_typed GROUP BY reason"
        if log.dedupe:
            table = _relation(log.table, dialect, dbt=dbt)
            tail += (
                f"\nUNION ALL SELECT 'duplicate', (SELECT COUNT(*) FROM {table}) -\n"
                "  (SELECT COUNT(*) FROM bayesseg_typed)"
            )
    else:
        names = _CUSTOMERS if kind == "customers" else (*_CUSTOMERS, kind)
        *chain, (_, tail) = _named(
            names,
            dialect,
            last,
            orders=log.order_id is not None,
            costs=log.cost is not None,
            carried=("cost",) if log.cost else (),
        )
        own |= dict(chain)
    config = "{{ config(materialized='table') }}\n" if dbt else ""
    return config + "\n".join(_head(log, dialect, last, kind)) + "\n" + _with(own.items(), tail)


@dataclass(frozen=True, slots=True)
class Summed:
    """Tables in a warehouse that hold customers, or their scores, already; named as in ``Log``.

    Attributes:
        summary: what the text of kind ``customers`` made.
        lookup: the table of histories that ``score --table`` wrote.
        spend: the table of spend that it wrote beside it.
    """

    summary: str
    lookup: str | None = None
    spend: str | None = None


COUNTED = ("histogram", "histories")
"""Kinds that a summary gives without a lookup."""
_JOINED: Mapping[str, tuple[str, str]] = {
    "scores": ("scores", "customers with their scores by lookup, null where none is found"),
    "account": ("found", "how many customers the lookup scores, and why not the others"),
}
_OF_LOOKUP = re.compile(r"(FROM|JOIN) (customers|bayesseg_lookup|bayesseg_spend)\b")


def statement_over(tables: Summed, dialect: str, kind: str, *, dbt: bool) -> str:
    """The text for a warehouse that holds the summary, one SELECT.

    A ``kind`` is one of ``COUNTED``, or ``scores`` or ``account``, which need the tables of the
    lookup. Joins are by whole numbers and the model's id alone.

    Raises:
        UsageError: an unknown dialect, a name that cannot be quoted.
    """
    _known(dialect)
    own, said = _JOINED.get(kind) or (kind, KINDS[kind])
    names = (own,) if kind in COUNTED else ("bayesseg_priced", own)
    *chain, (_, tail) = _named(names, dialect, _NEVER)
    given = {
        "customers": ("--summary", tables.summary),
        "bayesseg_lookup": ("--lookup", tables.lookup),
        "bayesseg_spend": ("--spend", tables.spend),
    }

    def named(found: re.Match[str]) -> str:
        option, table = given[found[2]]
        return f"{found[1]} {_relation(table or '', dialect, option, dbt=dbt)}"

    config = "{{ config(materialized='table') }}\n" if dbt else ""
    text = _OF_LOOKUP.sub(named, _with(chain, tail))
    return f"{config}-- bayesseg, {dialect}: {said}.\n{text}"


def _known(dialect: str) -> None:
    if dialect not in DIALECTS:
        raise UsageError(f"--dialect {dialect} is unknown", fix=f"choose {', '.join(DIALECTS)}")


def _chain(
    names: Iterable[str], as_of: dt.date, *, orders: bool = False, costs: bool = False
) -> str:
    found = _named(names, "duckdb", as_of.isoformat(), orders=orders, costs=costs)
    *chain, (_, end) = found
    return _with(chain, end)


def _with(ctes: Iterable[tuple[str, str]], end: str) -> str:
    """The steps before as common table expressions, the last one as it is."""
    parts = [f"{name} AS (\n{body}\n)" for name, body in ctes]
    return f"WITH {', '.join(parts)}\n{end}" if parts else end


def _named(
    names: Iterable[str],
    dialect: str,
    last: str,
    *,
    orders: bool = False,
    costs: bool = False,
    carried: tuple[str, ...] = (),
) -> list[tuple[str, str]]:
    text = files(__package__).joinpath(f"{dialect}.sql").read_text(encoding="utf-8")
    found = steps(text)
    held = ["".join(found.values()).count(f"'{word}'") for word in (_DAY, _MONEY)]
    if held != [DAYS, 1]:
        raise AssertionError(f"{dialect}.sql does not hold its {DAYS} days and one kind of money")
    found = {
        name: step.replace(f"'{_DAY}'", f"'{last}'").replace(
            _AMOUNT, ", ".join(("amount", *carried))
        )
        for name, step in found.items()
    }
    if costs:
        found["customers"] = found["customers"].replace(f"'{_MONEY}'", "'margin'")
    variants = [variant for variant, on in (("/orders", orders), ("/cost", costs)) if on]
    return [
        (name, next((found[name + v] for v in variants if name + v in found), found[name]))
        for name in names
    ]


def _read(log: Log, dialect: str, last: str, *, dbt: bool) -> dict[str, str]:
    """The table as typed lines with a reason to leave each out, and those that have none."""
    columns = {
        "customer_id": _customer(log, dialect),
        "recorded_day": _local_day(_name(log.date, dialect), log.zone, dialect),
        "amount": _decimal(_amount(log.amount, dialect), 4, dialect),
    }
    if log.cost is not None:
        columns["cost"] = _decimal(_amount(log.cost, dialect, "--cost"), 4, dialect)
    if log.order_id is not None:
        order = _as_text(log.order_id, dialect)
        columns["order_id"] = f"CASE WHEN TRIM({order}) <> '' THEN {order} END"
    table = _relation(log.table, dialect, dbt=dbt)
    reasons = [
        *([("other_extract", "place > 1")] if log.extract else []),
        ("id_missing", "customer_id IS NULL OR TRIM(customer_id) = ''"),
        *([("placeholder", _placeholder(log))] if log.nobody else []),
        ("date_missing", "recorded_day IS NULL"),
        ("date_too_early", f"recorded_day < CAST('{log.min_date}' AS DATE)"),
        ("amount_missing", "amount IS NULL"),
        *([("cost_missing", "cost IS NULL")] if log.cost else []),
        *([("refund_dropped", "amount < 0")] if log.drop_refunds else []),
        ("after_as_of", f"recorded_day > CAST('{last}' AS DATE)"),
    ]
    cases = "\n".join(f"    WHEN {test} THEN '{reason}'" for reason, test in reasons)
    read = dict(columns)
    if log.extract is not None:
        if log.order_id is None:
            raise UsageError(
                "--extract needs orders to tell which are twice", fix="give --order-id"
            )
        read["extract_name"] = _as_text(log.extract, dialect)
    chosen = ",\n".join(f"  {sql} AS {name}" for name, sql in read.items())
    lines = f"(SELECT DISTINCT * FROM {table}) AS distinct_lines" if log.dedupe else table
    told = _named(("bayesseg_told",), dialect, last) if log.extract else []
    return {
        "bayesseg_read": f"SELECT\n{chosen}\nFROM {lines}",
        **dict(told),
        "bayesseg_typed": f"SELECT {', '.join(columns)},\n  CASE\n{cases}\n    ELSE 'used'\n  END "
        f"AS reason\nFROM {'bayesseg_told' if told else 'bayesseg_read'}",
        "bayesseg_lines": f"SELECT {', '.join(columns)} FROM bayesseg_typed WHERE reason = 'used'",
    }


def _as_text(column: str, dialect: str) -> str:
    text = {"bigquery": "STRING", "databricks": "STRING", "spark": "STRING"}.get(dialect, "VARCHAR")
    return f"CAST({_name(column, dialect)} AS {'VARCHAR(256)' if dialect == 'redshift' else text})"


def _customer(log: Log, dialect: str) -> str:
    """The id, or of an account that belongs to a group the group's."""
    own = _as_text(log.customer_id, dialect)
    if log.group is None:
        return own
    group, words = _as_text(log.group, dialect), ", ".join(f"'{word}'" for word in log.nothing)
    return f"CASE WHEN LOWER(TRIM({group})) NOT IN ({words}) THEN TRIM({group}) ELSE {own} END"


def _placeholder(log: Log) -> str:
    """An id that is a word for nobody and not one to keep; words hold no quotes."""
    words = ", ".join(f"'{word}'" for word in log.nobody)
    kept = [f"'{name}'" for name in log.keep_ids if name.strip().lower() in log.nobody]
    besides = f" AND customer_id NOT IN ({', '.join(kept)})" if kept else ""
    return f"LOWER(TRIM(customer_id)) IN ({words}){besides}"


def _local_day(column: str, zone: str | None, dialect: str) -> str:
    """The day of a date or moment; of an instant, the day it has in ``zone``, whatever the session's."""
    if zone is None:
        return f"CAST({column} AS DATE)"
    known_zone(zone)
    if dialect == "bigquery":
        return f"DATE({column}, '{zone}')"
    if dialect == "snowflake":
        return f"CAST(CONVERT_TIMEZONE('{zone}', {column}) AS DATE)"
    if dialect in ("databricks", "spark"):
        return f"CAST(CONVERT_TIMEZONE('{zone}', CAST({column} AS TIMESTAMP_NTZ)) AS DATE)"
    return f"CAST({column} AT TIME ZONE '{zone}' AS DATE)"


def known_zone(zone: str) -> None:
    """Refuse a ``zone`` that is none, or could not stand in a text (UsageError)."""
    try:
        ZoneInfo(zone)
        known = re.fullmatch(r"[A-Za-z0-9_+\-]+(/[A-Za-z0-9_+\-]+)*", zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = None
    if not known:
        raise UsageError(f"--tz {zone!r} is no time zone", fix="write it as Europe/Paris")


def _decimal(sql: str, digits: int, dialect: str) -> str:
    if dialect == "bigquery":  # it takes no precision in a cast
        return f"ROUND(CAST({sql} AS NUMERIC), {digits})"
    return f"CAST({sql} AS DECIMAL(18, {digits}))"


def _amount(text: str, dialect: str, option: str = "--amount") -> str:
    """An expression of money as ingest computes it: each product rounded to six decimals, then added."""
    words = [word.strip() for word in re.findall(r'"[^"]*"|[-+*]|[^-+*"]+', text) if word.strip()]
    signs = [word in ("-", "+", "*") for word in words]
    odd = any(set(word) & set("/()") for word in words if not word.startswith('"'))
    if odd or signs != [i % 2 == 1 for i in range(len(words))] or len(words) % 2 == 0:
        raise UsageError(
            f"{option} {text!r} is not made of columns joined by *, + and -",
            fix='for example "Quantity * UnitPrice"; other names in double quotes',
        )
    terms = [_decimal(_name(words[0], dialect), 6, dialect)]
    for sign, name in zip(words[1::2], words[2::2], strict=True):
        factor = _decimal(_name(name, dialect), 6, dialect)
        if sign == "*":
            terms[-1] = _decimal(f"{terms[-1]} * {factor}", 6, dialect)
        else:
            terms += [sign, factor]
    return " ".join(terms)


def _relation(table: str, dialect: str, option: str = "--table", *, dbt: bool) -> str:
    parts = [(quoted or plain, bool(quoted)) for quoted, plain in _PART.findall(table)]
    if not parts or len(parts) > 3 or not _TABLE.fullmatch(table):
        raise UsageError(f"{option} {table!r} is no table", fix="write it as sales.orders")
    if not dbt:
        return ".".join(_quoted(name, dialect, exact=exact) for name, exact in parts)
    if len(parts) == 3 or not all(re.fullmatch(r"\w+", name) for name, _ in parts):
        raise UsageError(
            f"{option} {table!r} cannot be named in dbt",
            fix="give the model as orders, or its source as sales.orders",
        )
    names = ", ".join(f"'{name}'" for name, _ in parts)
    return f"{{{{ {'ref' if len(parts) == 1 else 'source'}({names}) }}}}"


_PART = re.compile(r'"([^"]+)"|([^".]+)')
_TABLE = re.compile(r'("[^"]+"|[^".]+)(\.("[^"]+"|[^".]+))*')


def _name(column: str, dialect: str) -> str:
    exact = re.fullmatch(r'"([^"]+)"', column)
    return _quoted(exact[1] if exact else column, dialect, exact=bool(exact))


def _quoted(name: str, dialect: str, *, exact: bool) -> str:
    """``name`` as an identifier of ``dialect``; what no catalogue should hold is refused."""
    if not name.strip() or not name.isprintable() or re.search(r'["`\\]|\{[{%#]', name):
        raise UsageError(
            f"{name!r} cannot be quoted as a name", fix="rename the column or table in a view"
        )
    name = name.upper() if dialect == "snowflake" and not exact else name
    return f"`{name}`" if dialect in _TICKS else f'"{name}"'


def _head(log: Log, dialect: str, last: str, kind: str) -> list[str]:
    refund = "left out" if log.drop_refunds else "netted within the day"
    if log.order_id is not None and not log.drop_refunds:
        refund = "netted within their order's last day before them"
    copies = "kept once" if log.dedupe else "kept"
    costs = log.cost is not None
    money = "amount less cost, at least nothing a day" if costs else "revenue"
    fields = "customer, day, amount or cost" if costs else "customer, day or amount"
    days = ["-- Days are as the date column has them."]
    if log.zone:
        days = [
            f"-- Days are those of {log.zone}: the date column must hold",
            "-- instants (timestamptz); for local times leave --tz out.",
        ]
    extracts = [
        "-- Of several extracts an order is kept from the fullest; lines without an order id are not",
        "-- compared, and used from all of them.",
    ]
    return [
        f"-- bayesseg, {dialect}: {KINDS[kind]}.",
        f"-- As of {last}, inclusive. Money is {money}.",
        *days,
        *(["-- Customers are groups; who has none is one alone."] if log.group else []),
        *(extracts if log.extract else []),
        f"-- Refunds are {refund}; exact copies are {copies}.",
        f"-- Lines without {fields}, of days before {log.min_date}, or of an id",
        "-- that is a word for nobody (guest), are left out: bayesseg sql --account counts them.",
        "-- Whether an id 0, or one with three tenths of all lines, is somebody is for you to judge.",
        "-- A purchase is a day that nets to more than nothing, or is free; times are whole days.",
    ]
