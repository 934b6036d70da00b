"""Every row of ``raw`` is used or gets exactly one reason; refunds go to their orders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from bayesseg import sql
from bayesseg.errors import InputRejected
from bayesseg.ingest.currencies import currency_of
from bayesseg.ingest.findings import finding, many, records
from bayesseg.ingest.ids import as_id, find_nobody, folded, placeholders
from bayesseg.ingest.numbers import trimmed
from bayesseg.ingest.objections import left_out, object_to, unmet
from bayesseg.ingest.options import Options, flag
from bayesseg.ingest.raw import EXACT, WIDE, Typed
from bayesseg.ingest.refusals import collected, together

FIXES: Mapping[str, str] = {
    "id_missing": "fill in the ids, or give --drop-missing-id",
    "id_unusable": "ids may not hold control or invisible characters, nor over 256 characters",
    "date_missing": "fill in the dates",
    "date_unreadable": "correct the dates, or give --date-format",
    "date_too_early": "correct the dates, or give --min-date if they are meant",
    "date_in_future": "correct the dates, or the clock of this machine",
    "amount_missing": "fill in the amounts (0 for a free order)",
    "amount_unreadable": "write amounts as plain numbers, or give --decimal",
    "cost_missing": "fill in the costs (0 where there is none)",
    "cost_unreadable": "write costs as plain numbers, or give --decimal",
    "currency_missing": "fill in the currencies",
    "rate_missing": "add rates from the first day of each currency on to the file of --rates",
}
"""Reasons that make a row bad, in the order in which they are tried, and what to do."""


_COMMON = 0.01
"""A smaller share of exact copies is what happens where a customer buys the same twice."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The accounting of one source: ``rows_in = rows_used + sum(excluded.values())``.

    ``refused`` is what stands in the way of using it, all at once.
    """

    rows_in: int
    rows_used: int
    excluded: Mapping[str, int]
    findings: tuple[Mapping[str, Any], ...]
    refused: tuple[InputRejected, ...]


def clean(
    connection: duckdb.DuckDBPyConnection, typed: Typed, options: Options, today: date
) -> Cleaned:
    """Turn ``raw`` into ``rows`` (typed, with a reason or NULL), ``bayesseg_source`` and its ids.

    Too many bad rows and refunds where none are allowed are left to the caller, in ``refused``.

    Raises:
        InputRejected: no row can be used.
    """
    refused: list[InputRejected] = []
    rows_in = _count(connection, "FROM raw")
    find_nobody(connection, options)
    _find_objectors(connection, options)
    _type_rows(connection, typed, options, today)
    _find_copies(connection, dedupe=options.dedupe)
    findings = []
    if options.extract:
        with collected(refused):
            findings = _extracts(connection)
    findings.append(_duplicates(connection, dedupe=options.dedupe))
    excluded = dict(
        connection.execute(
            "SELECT reason, count(*) FROM rows WHERE reason IS NOT NULL GROUP BY reason "
            "ORDER BY reason"
        ).fetchall()
    )
    used = _count(connection, "FROM rows WHERE reason IS NULL")
    if rows_in != used + sum(excluded.values()):
        raise AssertionError(f"{rows_in} rows in, {used} used, {excluded} set aside")
    bad, excess = _bad_rows(connection, rows_in, excluded, options)
    findings += [*bad, *placeholders(connection), *typed.currency.findings]
    if options.suppress is not None:
        count = excluded.get("suppressed", 0)
        findings.append(left_out(count, len(options.suppress), unmet(connection)))
    refused += excess
    if used == 0:
        none = InputRejected("no row can be used", fix="see the reasons above", code="no_rows")
        raise together(refused or [none])
    with collected(refused):
        findings.append(_refunds(connection, options))
    findings += _warnings(connection)
    findings += _costs(connection, typed)
    _write_source(connection, typed, options)
    kept = tuple(one for one in findings if one["count"])
    return Cleaned(rows_in, used, excluded, kept, tuple(refused))


def _count(connection: duckdb.DuckDBPyConnection, tail: str) -> int:
    row = connection.execute(f"SELECT count(*) {tail}").fetchone()
    assert row is not None
    return int(row[0])


def _find_objectors(connection: duckdb.DuckDBPyConnection, options: Options) -> None:
    """Make ``objected`` of the ids, of groups and of accounts in them, that are to be left out."""
    if options.suppress is not None:
        whose = "c" if options.group is None else "unnest([c, own])"
        ids = f"SELECT DISTINCT {as_id('v', options)} AS id FROM (SELECT {whose} AS v FROM raw)"
        object_to(connection, ids, options.suppress)


def _objects(options: Options) -> str:
    """SQL: whether the customer, or the account of the row, is to be left out."""
    if options.suppress is None:
        return "false"
    ids = ["read_c.value", *([as_id("raw.own", options)] if options.group else [])]
    return " OR ".join(f"coalesce({one} IN (SELECT id FROM objected), false)" for one in ids)


def _type_rows(
    connection: duckdb.DuckDBPyConnection, typed: Typed, options: Options, today: date
) -> None:
    order = f"CASE WHEN {trimmed('raw.o')} <> '' THEN raw.o END" if options.order_id else "NULL"
    currency, worth, read, unrated = "", "amount", "read", ""
    extra, carried, uncosted = "", list(typed.carried), ""
    if typed.currency.converted:
        currency = f", {currency_of('raw.u')} AS currency"
        worth = f"TRY_CAST(CAST(amount AS {WIDE}) * rate AS {EXACT})"
        read = (
            "(SELECT read.*, rate FROM read ASOF LEFT JOIN rates "
            "ON read.currency = rates.currency AND read.day >= rates.since)"
        )
        unrated = (
            "WHEN currency IS NULL THEN 'currency_missing' WHEN rate IS NULL THEN 'rate_missing' "
            f"WHEN {worth} IS NULL THEN 'amount_unreadable' "
        )
        carried = [
            f"TRY_CAST(CAST(cost AS {WIDE}) * rate AS {EXACT}) AS cost" if n == "cost" else n
            for n in carried
        ]
    if typed.cost_missing:
        extra = f", {typed.cost_missing} AS no_cost"
        uncosted = "WHEN no_cost THEN 'cost_missing' WHEN cost IS NULL THEN 'cost_unreadable' "
    extra += "".join(f", {value} AS {name}" for name, value in typed.carried.items())
    if options.extract:
        extra, carried = f"{extra}, raw.e AS extract_name", [*carried, "extract_name"]
    connection.execute(
        f"CREATE TABLE rows AS WITH read AS (SELECT raw.record, raw.f, "
        f"{_objects(options)} AS objects, "
        "CASE WHEN read_c.value IS NOT NULL THEN read_c.code END AS customer_id, "
        f"read_c.mark AS unusable, {typed.day} AS day, "
        f"{typed.day_missing} AS no_day, {typed.amount} AS fine, "
        f"TRY_CAST({typed.amount} AS {EXACT}) AS amount, {typed.amount_missing} AS no_amount, "
        f"{order} AS order_id{currency}{extra} FROM raw {typed.joins}) "
        f"SELECT {', '.join(['record', 'f', 'customer_id', 'day', *carried])}, "
        f"{worth} AS amount, fine <> amount AS rounded, order_id, "
        "CASE WHEN objects THEN 'suppressed' "
        "WHEN customer_id IS NULL THEN 'id_missing' WHEN unusable THEN 'id_unusable' "
        "WHEN customer_id IN (FROM nobody SELECT code) THEN 'placeholder' "
        "WHEN no_day THEN 'date_missing' WHEN day IS NULL THEN 'date_unreadable' "
        "WHEN day < $least THEN 'date_too_early' WHEN day > $today THEN 'date_in_future' "
        "WHEN no_amount THEN 'amount_missing' WHEN amount IS NULL THEN 'amount_unreadable' "
        f"{uncosted}{unrated}WHEN amount < 0 AND $drop THEN 'refund_dropped' END AS reason FROM {read}",
        {"least": options.min_date, "today": today, "drop": options.refunds == "drop"},
    )


def _find_copies(connection: duckdb.DuckDBPyConnection, *, dedupe: bool) -> None:
    """Make ``copies`` of all but the first of exactly equal rows; to be dropped, whatever they are."""
    connection.execute(
        "CREATE TEMP TABLE copies AS SELECT rows.record, amount FROM rows JOIN (SELECT f, customer_id, "
        "day, min(record) AS first FROM rows WHERE reason IS DISTINCT FROM 'suppressed' "
        "GROUP BY ALL HAVING count(*) > 1) AS twice "
        "ON rows.f = twice.f AND rows.customer_id IS NOT DISTINCT FROM twice.customer_id "
        "AND rows.day IS NOT DISTINCT FROM twice.day WHERE record > first"
    )
    if dedupe:
        _set_aside(connection, "duplicate", "FROM copies")


def _set_aside(connection: duckdb.DuckDBPyConnection, reason: str, which: str) -> None:
    connection.execute(
        f"UPDATE rows SET reason = '{reason}' WHERE record IN (SELECT record {which})"
    )


def _duplicates(connection: duckdb.DuckDBPyConnection, *, dedupe: bool) -> dict[str, Any]:
    """Exact copies: dropped, or kept as far as they can be used."""
    if not dedupe:
        connection.execute(
            "DELETE FROM copies WHERE record IN (SELECT record FROM rows WHERE reason IS NOT NULL)"
        )
    row = connection.execute("SELECT count(*), coalesce(sum(amount), 0) FROM copies").fetchone()
    assert row is not None
    count, worth = int(row[0]), float(row[1])
    if dedupe:
        return finding(
            "duplicate", "note", count, f"{many(count, 'row')} dropped as exact copies of another"
        )
    return finding(
        "duplicate",
        "note" if count < _COMMON * _count(connection, "FROM rows") else "warning",
        count,
        f"{many(count, 'row')} kept though exact copies of another, adding {worth:,.2f} to the spend",
        "if they are faults of the export, give --dedupe",
        records(connection, "FROM copies"),
    )


def _extracts(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Set aside the lines of orders that another extract holds as well, and more fully.

    Raises:
        InputRejected: no row has an order id by which extracts could be compared.
    """
    loose = "FROM rows WHERE reason IS NULL AND order_id IS NULL"
    alone = _count(connection, loose)
    if _count(connection, "FROM rows WHERE order_id IS NOT NULL") == 0:
        raise InputRejected(
            "no row has an order id, and extracts are compared by orders",
            fix="give the column of orders as --order-id, or one extract without --extract",
            code="orders_missing",
        )
    # only orders of several extracts are sorted; an extract without a name is one too
    connection.execute(
        "CREATE TEMP VIEW bayesseg_read AS SELECT record, order_id, customer_id, day AS recorded_day, "
        "amount, extract_name FROM rows WHERE coalesce(reason, '') NOT IN ('suppressed', 'duplicate') "
        "AND order_id IN "
        "(SELECT order_id FROM rows WHERE order_id IS NOT NULL GROUP BY order_id "
        "HAVING min(extract_name) <> max(extract_name) OR count(extract_name) < count(*))"
    )
    connection.execute(f"CREATE TEMP TABLE told AS {sql.told()}")
    connection.execute("DROP VIEW bayesseg_read")
    _set_aside(connection, "other_extract", "FROM told WHERE place > 1")
    # the part of an order that a shorter extract holds is worth less: that is no contradiction
    differ = _count(
        connection,
        "FROM (SELECT order_id FROM (SELECT order_id, customer_id, recorded_day, of_order, "
        "sum(amount) AS worth FROM told "
        "GROUP BY order_id, customer_id, recorded_day, of_order, extract_name) "
        "GROUP BY order_id, customer_id, recorded_day, of_order HAVING min(worth) <> max(worth))",
    )
    return [
        finding(
            "extract_without_order",
            "warning",
            alone,
            f"{many(alone, 'row')} without an order id used from every extract, for nothing tells "
            "whether another holds them too",
            "fill in the order ids, or take these rows out of all extracts but one",
            records(connection, loose),
        ),
        finding(
            "extracts_differ",
            "note",
            differ,
            f"{many(differ, 'order')} with as many lines in another extract but other amounts: taken "
            "from the extract whose name comes first",
            "if the later extract is the corrected one, take these orders out of the earlier",
        ),
    ]


def _bad_rows(
    connection: duckdb.DuckDBPyConnection,
    rows_in: int,
    excluded: Mapping[str, int],
    options: Options,
) -> tuple[list[dict[str, Any]], list[InputRejected]]:
    bad = {reason: excluded[reason] for reason in FIXES if reason in excluded}
    findings = []
    for reason, count in bad.items():
        found = records(connection, f"FROM rows WHERE reason = '{reason}'")
        first = ", ".join(map(str, found)) + ("" if count <= len(found) else ", …")
        message = f"{reason.replace('_', ' ')} in {many(count, 'row')} ({first})"
        wanted = reason == "id_missing" and options.drop_missing_id
        level = "note" if wanted else "warning"
        fix = "" if wanted else FIXES[reason]
        fix = f"{_written(connection)}{fix}" if reason == "amount_unreadable" else fix
        findings.append(finding(reason, level, count, message, fix, found))
    counted = {r: n for r, n in bad.items() if r != "id_missing" or not options.drop_missing_id}
    share = sum(counted.values()) / rows_in
    if share <= options.max_bad:
        return findings, []
    reasons = [f for f in findings if f["code"] in counted]
    refusal = InputRejected(
        f"{sum(counted.values()):,} of {rows_in:,} rows ({share:.1%}) cannot be used: "
        + "; ".join(f["message"] for f in reasons),
        fix="; ".join(f["fix"] for f in reasons)
        + (
            f"; or set more aside by {flag('max_bad')} (now {options.max_bad:g})"
            if share < 0.5
            else ""
        ),
        code="too_many_bad_rows",
        details={"rows_in": rows_in, "excluded": counted, "findings": reasons},
    )
    return findings, [refusal]


def _written(connection: duckdb.DuckDBPyConnection) -> str:
    """The flags that would read what stands in the unreadable amounts."""
    columns = [name for name, *_ in connection.execute("DESCRIBE raw").fetchall()]
    texts = " || ' ' || ".join(f"coalesce(raw.{c}::VARCHAR, '')" for c in columns if c[0] == "a")
    row = connection.execute(
        f"SELECT max(regexp_extract(w, '[€$£¥₹]|\\b(EUR|USD|GBP|CHF)\\b')), "
        "bool_or(regexp_matches(w, '\\([^()]*\\d\\s*\\)|\\d\\s*-(\\s|$)')) "
        f"FROM (SELECT {texts} AS w FROM rows JOIN raw USING (record) "
        "WHERE reason = 'amount_unreadable')"
    ).fetchone()
    assert row is not None
    flags = [f"--currency-symbol {row[0]}"] if row[0] else []
    flags += ["--accounting-negatives"] if row[1] else []
    return f"give {' and '.join(flags)}, or " if flags else ""


def _refunds(connection: duckdb.DuckDBPyConnection, options: Options) -> dict[str, Any]:
    row = connection.execute(
        "SELECT count(*), coalesce(sum(amount), 0) FROM rows WHERE reason IS NULL AND amount < 0"
    ).fetchone()
    assert row is not None
    count, worth = int(row[0]), float(row[1])
    if count and options.refunds == "refuse":
        first = records(connection, "FROM rows WHERE reason IS NULL AND amount < 0")
        raise InputRejected(
            f"{many(count, 'negative amount')} (rows {', '.join(map(str, first))})",
            fix="give --refunds net or --refunds drop",
            code="refunds",
        )
    own = "its" if count == 1 else "their"
    where = f"{own} order, else the day" if options.order_id else "the day"
    return finding(
        "refund",
        "note",
        count,
        f"{many(count, 'negative amount')} ({worth:,.2f}) netted within {where}",
        "" if options.order_id else "give --order-id to net a refund against its own order",
    )


def _warnings(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    connection.execute(
        "CREATE TABLE seen AS SELECT customer_id, value AS id, free, rounded FROM (SELECT "
        "customer_id, count(*) FILTER (amount = 0) AS free, count(*) FILTER (rounded) AS rounded "
        "FROM rows WHERE reason IS NULL GROUP BY customer_id) "
        "JOIN (SELECT DISTINCT code, value FROM read_c) ON customer_id = code"
    )
    row = connection.execute(
        f"SELECT count(*), count(DISTINCT {folded('id')}), sum(free), sum(rounded) FROM seen"
    ).fetchone()
    assert row is not None
    ids, different, zero, rounded = map(int, row)
    alike = (
        f"FROM rows WHERE reason IS NULL AND customer_id IN (SELECT customer_id FROM seen "
        f"QUALIFY count(*) OVER (PARTITION BY {folded('id')}) > 1)"
    )
    return [
        finding(
            "amount_zero",
            "note",
            zero,
            f"{many(zero, 'free row')} counted as {'a purchase' if zero == 1 else 'purchases'}, not as "
            "spend",
        ),
        finding(
            "amount_rounded",
            "warning",
            rounded,
            f"{many(rounded, 'amount')} rounded to 4 decimals",
            "",
            records(connection, "FROM rows WHERE reason IS NULL AND rounded") if rounded else (),
        ),
        finding(
            "id_near_duplicates",
            "warning",
            ids - different,
            f"{many(ids - different, 'id')} told from another only by case, blanks, accents, leading "
            "zeros or .0",
            "if they are the same customers, give --id-trim (blanks), --id-normalize NFC (accents), or "
            "unify the ids in the source",
            records(connection, alike) if ids > different else (),
        ),
    ]


def _costs(connection: duckdb.DuckDBPyConnection, typed: Typed) -> list[dict[str, Any]]:
    """Lines that cost something while money went back, or the reverse."""
    if not typed.cost_missing:
        return []
    tail = "FROM rows WHERE reason IS NULL AND sign(amount) * sign(cost) < 0"
    count = _count(connection, tail)
    message = f"{many(count, 'row')} whose cost has the other sign than the amount"
    fix = 'a refund takes its cost back: give the cost of the line, such as --cost "Quantity * UnitCost"'
    found = records(connection, tail)
    return [finding("cost_sign", "warning", count, message, fix, found)]


def _write_source(connection: duckdb.DuckDBPyConnection, typed: Typed, options: Options) -> None:
    lines = ", ".join(["customer_id, day AS recorded_day, order_id, amount", *typed.carried])
    connection.execute(
        f"CREATE TEMP VIEW bayesseg_lines AS SELECT {lines} FROM rows WHERE reason IS NULL"
    )
    made = sql.source(orders=options.order_id is not None, carried=tuple(typed.carried))
    connection.execute(f"CREATE TABLE bayesseg_source AS {made}")
    connection.execute("DROP VIEW bayesseg_lines")
    connection.execute("CREATE TABLE bayesseg_ids AS SELECT customer_id, id FROM seen")
