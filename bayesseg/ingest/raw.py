"""The needed columns of a source in one table ``raw``, and SQL that gives each its type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from bayesseg.errors import InputRejected
from bayesseg.ingest.columns import Roles
from bayesseg.ingest.dates import as_day, date_format, given_format
from bayesseg.ingest.numbers import as_decimal, decimal_mark, is_missing, trimmed
from bayesseg.ingest.options import Options, flag
from bayesseg.ingest.session import identifier
from bayesseg.ingest.source import Relation, fingerprint

TEXT = "VARCHAR"
WHOLE = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$|DECIMAL\(\d+,\s*0\)$")
NUMBER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$|DECIMAL\(|FLOAT$|DOUBLE$")

EXACT = "DECIMAL(18,4)"
"""Money: sums are exact, whatever the order of the rows and the number of threads."""
_FACTOR = "DECIMAL(18,6)"


_HIDDEN = r"[\x00-\x1f\x7f\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2064}\x{FEFF}]"


@dataclass(frozen=True, slots=True)
class Typed:
    """SQL of the typed values over ``raw`` with ``joins``, NULL where a text cannot be read.

    Each distinct text is read once, in tables ``read_c``, ``read_d``, ``read_a0``, ...; those of ids
    carry a ``code``, which orders as the texts do.
    ``dialect`` is what was found on the way.
    """

    day: str
    amount: str
    day_missing: str
    amount_missing: str
    joins: str
    dialect: Mapping[str, tuple[str, str, str]]


def load(relation: Relation, roles: Roles) -> dict[str, str]:
    """Copy the needed columns into ``raw``, numbered in source order; name in raw -> in source."""
    columns = {"c": roles.customer_id, "d": roles.date}
    columns |= {f"a{i}": name for i, name in enumerate(roles.amounts)}
    columns |= {"o": roles.order_id} if roles.order_id else {}
    columns |= {"e": roles.extract} if roles.extract else {}
    types, chosen = relation.types, []
    for short, name in columns.items():
        sql = identifier(name)
        if short in "oe":
            sql = f"CAST({sql} AS VARCHAR)"
        elif short == "c":
            sql = id_column(sql, name, types[name])
        elif short == "d":
            sql = _day(sql, name, types[name], relation.zones.get(name))
        elif types[name] != TEXT and not NUMBER.match(types[name]):
            raise _wrong_type("--amount", name, types[name], "numbers")
        chosen.append(f"{sql} AS {short}")
    relation.connection.execute(
        f"CREATE TABLE raw AS SELECT row_number() OVER () AS record, {', '.join(chosen)}, "
        f"{fingerprint(list(types))} AS f FROM {relation.sql}"
    )
    if relation.connection.execute("SELECT record FROM raw LIMIT 1").fetchone() is None:
        raise InputRejected("the source has no rows", fix="give the purchases", code="no_rows")
    return columns


def _wrong_type(option: str, name: str, kind: str, wanted: str) -> InputRejected:
    return InputRejected(
        f"column {name!r} holds {kind}, not {wanted}",
        fix=f"convert it in the source, or choose another column by {option}",
        code="column_type",
    )


def id_column(sql: str, name: str, kind: str) -> str:
    """SQL of an id as text; refuses types in which ids have been lost already."""
    if kind in ("FLOAT", "DOUBLE", "BOOLEAN"):
        raise InputRejected(
            f"the ids in {name!r} are {kind}: what they were has been lost on the way",
            fix=f'read the ids as text, or convert whole numbers by frame["{name}"].astype("Int64")',
            code="id_type",
        )
    if kind not in (TEXT, "UUID") and not WHOLE.match(kind):
        raise _wrong_type("--customer-id", name, kind, "ids")
    return f"CAST({sql} AS VARCHAR)"


def _day(sql: str, name: str, kind: str, zone: str | None) -> str:
    if kind == "TIMESTAMP WITH TIME ZONE":
        zone = zone if re.fullmatch(r"[A-Za-z_]+(/[A-Za-z_+\-0-9]+)*", zone or "") else "UTC"
        return f"CAST({sql} AT TIME ZONE '{zone}' AS DATE)"
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return f"CAST({sql} AS DATE)"
    if kind == TEXT or WHOLE.match(kind):
        return f"CAST({sql} AS VARCHAR)"
    raise _wrong_type("--date", name, kind, "dates")


def infer(
    connection: duckdb.DuckDBPyConnection,
    roles: Roles,
    columns: Mapping[str, str],
    options: Options,
) -> Typed:
    """Settle the date format and the decimal mark; read every distinct text once."""
    types = {name: str(kind) for name, kind, *_ in connection.execute("DESCRIBE raw").fetchall()}
    amounts = [short for short in columns if short.startswith("a")]
    texts = ["c", *(short for short in ("d", *amounts) if types[short] == TEXT)]
    for short in texts:
        connection.execute(
            f"CREATE TABLE texts_{short} AS SELECT {short} AS v, count(*) AS n FROM raw GROUP BY v"
        )
    hidden = f"length(v) > 256 OR regexp_matches(v, '{_HIDDEN}')"
    reads = {"c": (f"CASE WHEN {trimmed('v')} <> '' THEN v END", hidden)}
    dialect: dict[str, tuple[str, str, str]] = {}
    if "d" in texts:
        dialect["date_format"] = _settled(
            options.date_format and given_format(options.date_format),
            lambda: date_format(connection, "texts_d"),
        )
        reads["d"] = as_day("v", dialect["date_format"][0]), is_missing("v")
    if money := [short for short in amounts if short in texts]:
        tables = [f"texts_{short}" for short in money]
        dialect["decimal"] = _settled(
            options.decimal, lambda: decimal_mark(connection, tables, options.max_bad)
        )
        mark = dialect["decimal"][0]
        reads |= {short: (as_decimal("v", mark, _FACTOR), is_missing("v")) for short in money}
    for short, (value, mark_of) in reads.items():
        # ids are numbered in the order of their texts: numbers group and join in half the time
        number = ", CAST(row_number() OVER (ORDER BY value) AS INTEGER) AS code"
        connection.execute(
            f"CREATE TABLE read_{short} AS SELECT *{number if short == 'c' else ''} FROM "
            f"(SELECT v, {value} AS value, {mark_of} AS mark FROM texts_{short})"
        )
    factors, gaps = {}, []
    for short in amounts:
        own = f"TRY_CAST(raw.{short} AS {_FACTOR})"
        gap = f"raw.{short} IS NULL OR isnan(raw.{short}::DOUBLE)"
        factors[columns[short]] = f"read_{short}.value" if short in money else own
        gaps.append(f"read_{short}.mark" if short in money else f"({gap})")
    return Typed(
        day="read_d.value" if "d" in texts else "raw.d",
        amount=_sum(roles, factors),
        day_missing="read_d.mark" if "d" in texts else "raw.d IS NULL",
        amount_missing=" OR ".join(gaps),
        joins=" ".join(
            f"JOIN read_{short} ON raw.{short} IS NOT DISTINCT FROM read_{short}.v"
            for short in reads
        ),
        dialect=dialect,
    )


def _settled(given: str | None, infer_it: Any) -> tuple[str, str, str]:
    if given:
        return given, "", "given"
    value, why = infer_it()
    return value, why, "inferred"


def _sum(roles: Roles, factors: Mapping[str, str]) -> str:
    """The amount expression: products rounded to six decimals one by one, then added."""
    terms = []
    for sign, names in roles.terms:
        product = factors[names[0]]
        for name in names[1:]:
            product = f"TRY_CAST({product} * {factors[name]} AS {_FACTOR})"
        terms.append(f"{'-' if sign < 0 else '+'} {product}")
    return f"({' '.join(terms)})"


def shown(dialect: Mapping[str, tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    """Dialect entries as JSON: value, evidence, origin and the flag that overrides."""
    return {
        name: {"value": value, "evidence": why, "origin": origin, "flag": flag(name)}
        for name, (value, why, origin) in dialect.items()
    }
