"""Amounts in several currencies: refused, or turned into one by dated rates."""

from __future__ import annotations

import csv
import datetime as dt
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import duckdb

from bayesseg.errors import InputRejected, UsageError
from bayesseg.ingest.findings import finding, many, records
from bayesseg.ingest.numbers import trimmed
from bayesseg.ingest.options import Options

HEADER = ("date", "currency", "rate")
_RATE = "DECIMAL(18,8)"


@dataclass(frozen=True, slots=True)
class Currency:
    """In what amounts are: ``name`` is None where nothing says so; ``converted`` by table ``rates``."""

    name: str | None = None
    converted: bool = False
    findings: tuple[dict[str, Any], ...] = ()


def currency_of(column: str) -> str:
    """SQL: the currency as compared, NULL where there is none."""
    return f"NULLIF(upper({trimmed(column)}), '')"


def settle(connection: duckdb.DuckDBPyConnection, column: str | None, options: Options) -> Currency:
    """The one currency of the amounts; ``column``, if any, stands in ``raw.u``.

    Of several currencies one may lack rates: it is the one wanted. A rate holds from its day to the
    next one of its currency.

    Raises:
        InputRejected: several currencies without rates, or the file of rates is faulty or incomplete.
        UsageError: rates without a column of currencies, or no such file.
    """
    if column is None:
        if options.rates is not None:
            raise UsageError(
                "--rates turns currencies into one, and no column says which they are",
                fix="give --currency COLUMN as well",
            )
        return Currency()
    counts = connection.execute(
        f"SELECT {currency_of('u')} AS name, count(*) AS n FROM raw GROUP BY name ORDER BY n DESC"
    ).fetchall()
    names = [name for name, _ in counts if name]
    if options.rates is None:
        return _one(connection, names, sum(n for name, n in counts if not name), column)
    rates = read_rates(options.rates)
    if len(lacking := sorted(set(names) - {name for _, name, _ in rates})) > 1:
        raise InputRejected(
            f"{options.rates} has no rates of {', '.join(lacking)}",
            fix="add them; one currency may lack rates, the one that is wanted",
            code="rates_missing",
        )
    first = dt.date(1, 1, 1)
    connection.execute(f"CREATE TABLE rates (since DATE, currency VARCHAR, rate {_RATE})")
    connection.executemany(
        "INSERT INTO rates VALUES (?, ?, ?)", [*rates, *((first, one, 1) for one in lacking)]
    )
    units = {name for _, name, rate in rates if rate == 1} | set(lacking)
    said = f"amounts in {', '.join(names)} turned into {lacking[0] if lacking else 'one'} by dated rates"
    return Currency(
        next(iter(units)) if len(units) == 1 else None,
        converted=True,
        findings=(finding("currency_converted", "note", len(names), said),),
    )


def _one(
    connection: duckdb.DuckDBPyConnection, names: list[str], blank: int, column: str
) -> Currency:
    if len(names) > 1:
        listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise InputRejected(
            f"the amounts are in {len(names)} currencies ({listed}, column {column!r})",
            fix="give --rates FILE (date,currency,rate), or --currency none if the amounts are in "
            "one currency already",
            code="currencies_mixed",
        )
    if not names or not blank:
        return Currency(names[0] if names else None)
    said = f"{many(blank, 'row')} without a currency taken as {names[0]} like all others"
    found = records(connection, f"FROM raw WHERE {currency_of('u')} IS NULL")
    return Currency(names[0], findings=(finding("currency_blank", "note", blank, said, "", found),))


def read_rates(path: Path) -> list[tuple[dt.date, str, Decimal]]:
    """Rows of ``date,currency,rate``: from that day on one unit is worth ``rate``.

    Raises:
        InputRejected: a line is no day, currency and positive rate, or a day stands twice.
        UsageError: there is no such file.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"--rates {path} cannot be read: {error.strerror}", fix="check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise _faulty(path, "is not UTF-8") from error
    mark = ";" if ";" in text.partition("\n")[0] else ","
    lines = csv.DictReader(text.splitlines(), delimiter=mark)
    names = {name.strip().lower(): name for name in lines.fieldnames or ()}
    if set(HEADER) - set(names):
        raise _faulty(path, f"has no header {','.join(HEADER)}")
    found: dict[tuple[dt.date, str], Decimal] = {}
    for number, line in enumerate(lines, start=2):
        day, name, rate = ((line[names[key]] or "").strip() for key in HEADER)
        try:
            key = dt.date.fromisoformat(day), name.upper()
            value = Decimal(rate.replace(",", ".") if mark == ";" else rate)
        except (ValueError, InvalidOperation) as error:
            raise _faulty(path, f"line {number} is not a day, a currency and a rate") from error
        if not name or not value.is_finite() or not Decimal("1e-8") <= value < Decimal("1e9"):
            raise _faulty(path, f"line {number} has no currency or no positive rate")
        if key in found:
            raise _faulty(path, f"line {number} names a day and currency again")
        found[key] = value
    return [(day, name, rate) for (day, name), rate in found.items()]


def _faulty(path: Path, what: str) -> InputRejected:
    return InputRejected(
        f"--rates {path} {what}",
        fix="write lines like 2024-01-31,USD,0.92, in the order of the header date,currency,rate",
        code="rates_faulty",
    )
