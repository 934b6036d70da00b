"""The needed columns of a source in one table ``raw``, and SQL that gives each its type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from bayesseg.errors import InputRejected
from bayesseg.ingest.columns import Roles, Terms
from bayesseg.ingest.currencies import Currency, settle
from bayesseg.ingest.dates import as_day, as_epoch, date_format, given_format
from bayesseg.ingest.ids import as_id
from bayesseg.ingest.numbers import as_decimal, bare, decimal_mark, is_missing, thousands, trimmed
from bayesseg.ingest.options import Options, flag
from bayesseg.ingest.refusals import collected, together
from bayesseg.ingest.session import identifier
from bayesseg.ingest.source import Relation, fingerprint

TEXT = "VARCHAR"
WHOLE = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$|DECIMAL\(\d+,\s*0\)$")
NUMBER = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?$|DECIMAL\(|FLOAT$|DOUBLE$")

EXACT = "DECIMAL(18,4)"
"""Money: sums are exact, whatever the order of the rows and the number of threads."""
WIDE = "DECIMAL(38,6)"
"""What DuckDB multiplies and adds in without an overflow: of 18 digits it makes 18 again."""
_FACTOR = "DECIMAL(18,6)"
_POINTED = "DECIMAL(38,10)"
_LONGEST = 60


_HIDDEN = r"[\x00-\x1f\x7f-\x{9F}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2064}\x{FEFF}]"
_HIDDEN_HERE = re.compile(
    re.sub(r"\\x\{(\w+)\}", lambda found: f"\\U{found[1]:0>8}", _HIDDEN) + r"|[\ud800-\udfff]"
)
_LONGEST_ID = 256


@dataclass(frozen=True, slots=True)
class Typed:
    """SQL of the typed values over ``raw`` with ``joins``, NULL where a text cannot be read.

    Each distinct text is read once, in tables ``read_c``, ``read_d``, ``read_a0``, ...; those of ids
    carry a ``code``, which orders as the texts do.
    ``carried`` holds what the lines bring along besides, by name: ``cost``, and ``s0, s1, ...`` of
    shares. ``currency`` and ``dialect`` are what was found on the way.
    """

    day: str
    amount: str
    day_missing: str
    amount_missing: str
    cost_missing: str
    carried: Mapping[str, str]
    joins: str
    currency: Currency
    dialect: Mapping[str, tuple[str, str, str]]


def load(relation: Relation, roles: Roles, options: Options) -> dict[str, str]:
    """Copy the needed columns into ``raw``, numbered in source order; name in raw -> in source."""
    columns = {"c": roles.customer_id, "d": roles.date}
    columns |= {f"a{i}": name for i, name in enumerate(roles.amounts)}
    columns |= {"o": roles.order_id} if roles.order_id else {}
    columns |= {"e": roles.extract} if roles.extract else {}
    columns |= {"u": roles.currency} if roles.currency else {}
    columns |= {"g": roles.group} if roles.group else {}
    columns |= {f"s{i}": name for i, name in enumerate(roles.shares)}
    types, chosen = relation.types, []
    for short, name in columns.items():
        sql = identifier(name)
        if short[0] in "oeus":
            sql = f"CAST({sql} AS VARCHAR)"
        elif short in "cg":
            option = "--customer-id" if short == "c" else "--group"
            sql = id_column(sql, name, types[name], relation.unfit.get(name), option)
        elif short == "d":
            sql = _day(sql, name, types[name], options.tz or relation.zones.get(name))
        elif name in relation.pointed:
            sql = f"TRY_CAST({sql} AS {_POINTED})"
        elif types[name] != TEXT and not NUMBER.match(types[name]):
            raise _wrong_type("--amount", name, types[name], "numbers")
        chosen.append(f"{sql} AS {short}")
    made = (
        f"SELECT row_number() OVER () AS record, {', '.join(chosen)}, "
        f"{fingerprint(list(types))} AS f FROM {relation.sql}"
    )
    if roles.group:  # whoever belongs to a group is its customer; own ids stay for people to see
        whose = f"CASE WHEN {is_missing('g')} THEN c ELSE {trimmed('g')} END"
        made = f"SELECT * REPLACE ({whose} AS c), c AS own FROM ({made})"
    relation.connection.execute(f"CREATE TABLE raw AS {made}")
    if relation.connection.execute("SELECT record FROM raw LIMIT 1").fetchone() is None:
        raise InputRejected("the source has no rows", fix="give the purchases", code="no_rows")
    return columns


def _wrong_type(option: str, name: str, kind: str, wanted: str) -> InputRejected:
    return InputRejected(
        f"column {name!r} holds {kind}, not {wanted}",
        fix=f"convert it in the source, or choose another column by {option}",
        code="column_type",
    )


def id_column(
    sql: str, name: str, kind: str, unfit: str | None = None, option: str = "--customer-id"
) -> str:
    """SQL of an id as text; refuses types in which ids have been lost already."""
    if unfit is not None:
        raise InputRejected(
            f"the ids in {name!r} are not ids: {unfit}",
            fix=f"write the ids as text in the source, or choose another column by {option}",
            code="id_type",
        )
    if kind in ("FLOAT", "DOUBLE", "BOOLEAN"):
        raise InputRejected(
            f"the ids in {name!r} are {kind}: what they were has been lost on the way",
            fix=f'read the ids as text, or convert whole numbers by frame["{name}"].astype("Int64")',
            code="id_type",
        )
    if kind not in (TEXT, "UUID") and not WHOLE.match(kind):
        raise _wrong_type(option, name, kind, "ids")
    return f"CAST({sql} AS VARCHAR)"


def unusable(column: str) -> str:
    """SQL: whether an id drives terminals, hides, or is too long for one."""
    return f"(length({column}) > {_LONGEST_ID} OR regexp_matches({column}, '{_HIDDEN}'))"


def is_unusable(text: str) -> bool:
    """The same of a text at hand, which may also hold half a letter (a lone surrogate)."""
    return len(text) > _LONGEST_ID or _HIDDEN_HERE.search(text) is not None


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
    read_id = as_id("v", options)
    reads = {"c": (f"CASE WHEN {trimmed('v')} <> '' THEN {read_id} END", unusable(read_id))}
    dialect: dict[str, tuple[str, str, str]] = {}
    refused: list[InputRejected] = []
    if "d" in texts and options.epoch:
        dialect["epoch"] = options.epoch, "", "given"
        reads["d"] = as_epoch("v", options.epoch, options.tz), is_missing("v")
    elif "d" in texts:
        with collected(refused):
            dialect["date_format"] = _settled(
                options.date_format and given_format(options.date_format),
                lambda: date_format(connection, "texts_d", options.tz),
            )
            reads["d"] = as_day("v", dialect["date_format"][0], options.tz), is_missing("v")
    if money := [short for short in amounts if short in texts]:
        tables = {columns[short]: f"texts_{short}" for short in money}
        number = bare("v", options.currency_symbol, accounting=options.accounting_negatives)
        with collected(refused):
            dialect["decimal"] = _settled(
                options.decimal, lambda: decimal_mark(connection, tables, options.max_bad, number)
            )
            mark = dialect["decimal"][0]
            if parted := thousands(connection, list(tables.values()), mark, number):
                dialect["thousands"] = *parted, "inferred"
            read = as_decimal(number, mark, _FACTOR), is_missing("v")
            reads |= dict.fromkeys(money, read)
    with collected(refused):
        currency = settle(connection, roles.currency, options)
    if refused:
        raise together(refused)
    for short, (value, mark_of) in reads.items():
        # ids are numbered in the order of their texts: numbers group and join in half the time
        number = ", CAST(dense_rank() OVER (ORDER BY value) AS INTEGER) AS code"
        connection.execute(
            f"CREATE TABLE read_{short} AS SELECT *{number if short == 'c' else ''} FROM "
            f"(SELECT v, {value} AS value, {mark_of} AS mark FROM texts_{short})"
        )
    factors, gaps = {}, {}
    for short in amounts:
        own = f"TRY_CAST(raw.{short} AS {_FACTOR})"
        gap = f"raw.{short} IS NULL OR isnan(raw.{short}::DOUBLE)"
        factors[columns[short]] = f"read_{short}.value" if short in money else own
        gaps[columns[short]] = f"read_{short}.mark" if short in money else f"({gap})"
    carried = {"cost": f"TRY_CAST({_sum(roles.cost, factors)} AS {EXACT})"} if roles.cost else {}
    carried |= {f"s{i}": _level(f"raw.s{i}") for i in range(len(roles.shares))}
    return Typed(
        day="read_d.value" if "d" in texts else "raw.d",
        amount=_sum(roles.terms, factors),
        day_missing="read_d.mark" if "d" in texts else "raw.d IS NULL",
        amount_missing=_any(roles.terms, gaps),
        cost_missing=_any(roles.cost, gaps),
        carried=carried,
        joins=" ".join(
            f"JOIN read_{short} ON raw.{short} IS NOT DISTINCT FROM read_{short}.v"
            for short in reads
        ),
        dialect=dialect,
        currency=currency,
    )


def _settled(given: str | None, infer_it: Any) -> tuple[str, str, str]:
    if given:
        return given, "", "given"
    value, why = infer_it()
    return value, why, "inferred"


def _any(terms: Terms, gaps: Mapping[str, str]) -> str:
    """Whether a column of the expression is missing."""
    return " OR ".join(dict.fromkeys(gaps[name] for _, names in terms for name in names))


def _level(column: str) -> str:
    """A level of a share; no text that a person could not read or would not call a level."""
    text = trimmed(column)
    fine = f"length({text}) BETWEEN 1 AND {_LONGEST} AND NOT regexp_matches({text}, '{_HIDDEN}')"
    return f"CASE WHEN {fine} THEN {text} END"


def _sum(terms_of: Terms, factors: Mapping[str, str]) -> str:
    """An expression: products rounded to six decimals one by one, then added."""
    terms = []
    for sign, names in terms_of:
        product = factors[names[0]]
        for name in names[1:]:
            product = f"TRY_CAST(CAST({product} AS {WIDE}) * {factors[name]} AS {_FACTOR})"
        product = f"CAST({product} AS {WIDE})" if len(terms_of) > 1 else product
        terms.append(f"{'-' if sign < 0 else '+'} {product}")
    return f"({' '.join(terms)})"


def shown(dialect: Mapping[str, tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    """Dialect entries as JSON: value, evidence, origin and the flag that overrides."""
    settled_by = {"thousands": "decimal"}  # the other mark, or a space: nothing is left to say
    return {
        name: {
            "value": value,
            "evidence": why,
            "origin": origin,
            "flag": flag(settled_by.get(name, name)),
        }
        for name, (value, why, origin) in dialect.items()
    }
