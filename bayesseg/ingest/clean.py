"""Every row of ``raw`` is used or gets exactly one reason; refunds go to their orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb

from bayesseg.errors import InputRejected
from bayesseg.ingest.numbers import trimmed
from bayesseg.ingest.options import Options, flag
from bayesseg.ingest.raw import EXACT, Typed

FIXES: Mapping[str, str] = {
    "id_missing": "fill in the ids, or give --drop-missing-id",
    "id_unusable": "ids may not hold control or invisible characters, nor over 256 characters",
    "date_missing": "fill in the dates",
    "date_unreadable": "correct the dates, or give --date-format",
    "date_too_early": "correct the dates: they are too long ago to be meant",
    "date_in_future": "correct the dates, or the clock of this machine",
    "amount_missing": "fill in the amounts (0 for a free order)",
    "amount_unreadable": "write amounts as plain numbers, or give --decimal",
}
"""Reasons that make a row bad, in the order in which they are tried, and what to do."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The accounting of one source: ``rows_in = rows_used + sum(excluded.values())``."""

    rows_in: int
    rows_used: int
    excluded: Mapping[str, int]
    findings: tuple[Mapping[str, Any], ...]


def clean(
    connection: duckdb.DuckDBPyConnection, typed: Typed, options: Options, today: date
) -> Cleaned:
    """Turn ``raw`` into ``rows`` (typed, with a reason or NULL), ``bayesseg_source`` and its ids.

    Raises:
        InputRejected: too many bad rows, no usable row, or a refund where none is allowed.
    """
    rows_in = _count(connection, "FROM raw")
    _type_rows(connection, typed, options, today)
    findings = [_duplicates(connection, dedupe=options.dedupe)]
    excluded = dict(
        connection.execute(
            "SELECT reason, count(*) FROM rows WHERE reason IS NOT NULL GROUP BY reason "
            "ORDER BY reason"
        ).fetchall()
    )
    used = _count(connection, "FROM rows WHERE reason IS NULL")
    if rows_in != used + sum(excluded.values()):
        raise AssertionError(f"{rows_in} rows in, {used} used, {excluded} set aside")
    findings += _bad_rows(connection, rows_in, excluded, options)
    if used == 0:
        raise InputRejected("no row can be used", fix="see the reasons above", code="no_rows")
    findings += [_refunds(connection, options), *_warnings(connection, used)]
    _write_source(connection, options)
    return Cleaned(rows_in, used, excluded, tuple(f for f in findings if f["count"]))


def finding(
    code: str, level: str, count: int, message: str, fix: str = "", records: Sequence[int] = ()
) -> dict[str, Any]:
    """One observation about the data (JSON-able): ``level`` is ``note``, ``warning`` or ``reject``."""
    return {
        "code": code,
        "level": level,
        "count": count,
        "message": message,
        "fix": fix,
        "records": list(records),
    }


def many(count: int, noun: str) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def _count(connection: duckdb.DuckDBPyConnection, tail: str) -> int:
    row = connection.execute(f"SELECT count(*) {tail}").fetchone()
    assert row is not None
    return int(row[0])


def _type_rows(
    connection: duckdb.DuckDBPyConnection, typed: Typed, options: Options, today: date
) -> None:
    order = f"CASE WHEN {trimmed('raw.o')} <> '' THEN raw.o END" if options.order_id else "NULL"
    overlap, join = "false", ""
    if options.extract:
        # An order is one customer's id on one day; numbers that start again each year stay apart.
        connection.execute(
            "CREATE TEMP TABLE kept AS SELECT o, c, d, e FROM (SELECT o, c, d, e, row_number() "
            "OVER (PARTITION BY o, c, d ORDER BY count(*) DESC, e) AS place FROM raw "
            "WHERE o IS NOT NULL GROUP BY o, c, d, e) WHERE place = 1"
        )
        join = (
            "LEFT JOIN kept ON raw.o = kept.o AND raw.c IS NOT DISTINCT FROM kept.c "
            "AND raw.d IS NOT DISTINCT FROM kept.d"
        )
        overlap = "raw.o IS NOT NULL AND raw.e IS DISTINCT FROM kept.e"
    connection.execute(
        f"CREATE TABLE rows AS WITH read AS (SELECT raw.record, raw.f, {overlap} AS overlap, "
        "CASE WHEN read_c.value IS NOT NULL THEN read_c.code END AS customer_id, "
        f"read_c.mark AS unusable, {typed.day} AS day, "
        f"{typed.day_missing} AS no_day, {typed.amount} AS fine, "
        f"TRY_CAST({typed.amount} AS {EXACT}) AS amount, {typed.amount_missing} AS no_amount, "
        f"{order} AS order_id FROM raw {typed.joins} {join}) "
        "SELECT record, f, customer_id, day, amount, fine <> amount AS rounded, order_id, CASE "
        "WHEN overlap THEN 'other_extract' "
        "WHEN customer_id IS NULL THEN 'id_missing' WHEN unusable THEN 'id_unusable' "
        "WHEN no_day THEN 'date_missing' WHEN day IS NULL THEN 'date_unreadable' "
        "WHEN day < $least THEN 'date_too_early' WHEN day > $today THEN 'date_in_future' "
        "WHEN no_amount THEN 'amount_missing' WHEN amount IS NULL THEN 'amount_unreadable' "
        "WHEN amount < 0 AND $drop THEN 'refund_dropped' END AS reason FROM read",
        {"least": options.min_date, "today": today, "drop": options.refunds == "drop"},
    )


def _duplicates(connection: duckdb.DuckDBPyConnection, *, dedupe: bool) -> dict[str, Any]:
    """Exact copies of a row: all but the first count as copies."""
    connection.execute(
        "CREATE TEMP TABLE copies AS SELECT rows.record, rows.amount FROM rows JOIN (SELECT f, "
        "customer_id, day, amount, min(record) AS first FROM rows WHERE reason IS NULL "
        "GROUP BY ALL HAVING count(*) > 1) AS twice USING (f, customer_id, day, amount) "
        "WHERE reason IS NULL AND record > first"
    )
    row = connection.execute("SELECT count(*), coalesce(sum(amount), 0) FROM copies").fetchone()
    assert row is not None
    count, worth = int(row[0]), float(row[1])
    if dedupe:
        connection.execute(
            "UPDATE rows SET reason = 'duplicate' WHERE record IN (SELECT record FROM copies)"
        )
        return finding(
            "duplicate", "note", count, f"{many(count, 'row')} dropped as exact copies of another"
        )
    return finding(
        "duplicate",
        "warning",
        count,
        f"{many(count, 'row')} kept though exact copies of another, adding {worth:,.2f} to the spend",
        "if they are faults of the export, give --dedupe",
        _records(connection, "FROM copies"),
    )


def _records(connection: duckdb.DuckDBPyConnection, tail: str) -> list[int]:
    rows = connection.execute(f"SELECT record {tail} ORDER BY record LIMIT 5").fetchall()
    return [int(record) for (record,) in rows]


def _bad_rows(
    connection: duckdb.DuckDBPyConnection,
    rows_in: int,
    excluded: Mapping[str, int],
    options: Options,
) -> list[dict[str, Any]]:
    bad = {reason: excluded[reason] for reason in FIXES if reason in excluded}
    findings = []
    for reason, count in bad.items():
        records = _records(connection, f"FROM rows WHERE reason = '{reason}'")
        first = ", ".join(map(str, records)) + ("" if count <= len(records) else ", …")
        message = f"{reason.replace('_', ' ')} in {many(count, 'row')} ({first})"
        wanted = reason == "id_missing" and options.drop_missing_id
        level = "note" if wanted else "warning"
        findings.append(finding(reason, level, count, message, FIXES[reason], records))
    counted = {r: n for r, n in bad.items() if r != "id_missing" or not options.drop_missing_id}
    share = sum(counted.values()) / rows_in
    if share > options.max_bad:
        reasons = [f for f in findings if f["code"] in counted]
        raise InputRejected(
            f"{sum(counted.values()):,} of {rows_in:,} rows ({share:.1%}) cannot be used: "
            + "; ".join(f["message"] for f in reasons),
            fix="; ".join(f["fix"] for f in reasons)
            + f"; or set more aside by {flag('max_bad')} (now {options.max_bad:g})",
            code="too_many_bad_rows",
            details={"rows_in": rows_in, "excluded": counted, "findings": reasons},
        )
    return findings


def _refunds(connection: duckdb.DuckDBPyConnection, options: Options) -> dict[str, Any]:
    row = connection.execute(
        "SELECT count(*), coalesce(sum(amount), 0) FROM rows WHERE reason IS NULL AND amount < 0"
    ).fetchone()
    assert row is not None
    count, worth = int(row[0]), float(row[1])
    if count and options.refunds == "refuse":
        records = _records(connection, "FROM rows WHERE reason IS NULL AND amount < 0")
        raise InputRejected(
            f"{many(count, 'negative amount')} (rows {', '.join(map(str, records))})",
            fix="give --refunds net or --refunds drop",
            code="refunds",
        )
    where = "its order, else the day" if options.order_id else "the day"
    return finding(
        "refund",
        "note",
        count,
        f"{many(count, 'negative amount')} ({worth:,.2f}) netted within {where}",
        "" if options.order_id else "give --order-id to net a refund against its own order",
    )


def _warnings(connection: duckdb.DuckDBPyConnection, used: int) -> list[dict[str, Any]]:
    connection.execute(
        "CREATE TABLE seen AS SELECT customer_id, value AS id, n, free, rounded FROM (SELECT "
        "customer_id, count(*) AS n, count(*) FILTER (amount = 0) AS free, "
        "count(*) FILTER (rounded) AS rounded FROM rows WHERE reason IS NULL GROUP BY customer_id) "
        "JOIN read_c ON customer_id = code"
    )
    row = connection.execute(
        "SELECT count(*), count(DISTINCT ltrim(lower(nfc_normalize(trim(id))), '0')), "
        "max(n), sum(free), sum(rounded) FROM seen"
    ).fetchone()
    assert row is not None
    ids, folded, largest, zero, rounded = map(int, row)
    heavy = largest if used >= 1000 and largest >= 0.3 * used else 0
    return [
        finding(
            "amount_zero",
            "note",
            zero,
            f"{many(zero, 'free row')} counted as purchases, not as spend",
        ),
        finding(
            "amount_rounded", "warning", rounded, f"{many(rounded, 'amount')} rounded to 4 decimals"
        ),
        finding(
            "id_near_duplicates",
            "warning",
            ids - folded,
            f"{many(ids - folded, 'id')} told from another only by case, blanks or leading zeros",
            "if they are the same customers, unify the ids in the source",
        ),
        finding(
            "placeholder_suspected",
            "warning",
            heavy,
            f"one id has {heavy:,} of {used:,} rows: a placeholder such as 'guest'?",
            "if it is no customer, empty the id and give --drop-missing-id",
        ),
    ]


def _write_source(connection: duckdb.DuckDBPyConnection, options: Options) -> None:
    """A refund is dated at its order's first day, but known from its own (``recorded_day``)."""
    day = "day"
    if options.order_id:
        ordered = "min(day) FILTER (amount >= 0) OVER (PARTITION BY customer_id, order_id)"
        day = (
            "CASE WHEN amount < 0 AND order_id IS NOT NULL "
            f"THEN least(day, coalesce({ordered}, day)) ELSE day END"
        )
    connection.execute(
        f"CREATE TABLE bayesseg_source AS SELECT customer_id, {day} AS purchase_day, "
        f"day AS recorded_day, order_id, amount FROM rows WHERE reason IS NULL"
    )
    connection.execute("CREATE TABLE bayesseg_ids AS SELECT customer_id, id FROM seen")
