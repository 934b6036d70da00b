"""Amounts written as text: which mark is the decimal one, and SQL that reads them exactly."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import duckdb

from bayesseg.errors import InputRejected
from bayesseg.ingest.session import literal

_NAMES = {
    "\u0020": "space",
    "\u00a0": "no-break space",
    "\u202f": "narrow no-break space",
    "\u2009": "thin space",
}
SPACES = "".join(_NAMES)
_PARTING = f"{SPACES}'\u2019"
"""Thousands separators, beside the mark that is not the decimal one."""
_MINUS = "\u2212"

MISSING = ("", "na", "n/a", "nan", "null", "none", "-")
"""Texts that stand for no amount, whatever their case."""


def trimmed(column: str) -> str:
    """SQL: the text without blanks at its ends."""
    return f"trim({column}, {literal(SPACES + chr(9))})"


def signed(column: str) -> str:
    """SQL: the text with the minus sign of typography written as the one of keyboards."""
    return f"replace({column}, '{_MINUS}', '-')"


def is_missing(column: str) -> str:
    """SQL: the text stands for nothing."""
    words = ", ".join(literal(word) for word in MISSING)
    return f"({column} IS NULL OR lower({trimmed(column)}) IN ({words}))"


def bare(column: str, symbol: str | None, *, accounting: bool) -> str:
    """SQL: the text without its currency sign; ``accounting`` makes ``-5`` of ``(5)`` and ``5-``."""

    def without(text: str) -> str:
        if symbol is None:
            return text
        sign = re.escape(symbol.strip())
        text = f"regexp_replace({text}, {literal(rf'^([-+]?)[{SPACES}]*{sign}[{SPACES}]*')}, '\\1')"
        return f"regexp_replace({text}, {literal(rf'[{SPACES}]*{sign}(-?)$')}, '\\1')"

    text = without(signed(trimmed(column)))
    if accounting:
        pattern = literal(rf"^(?:\(([^()]*)\)|([^-()]*[^-()\s])[{SPACES}]*-)$")
        text = without(f"regexp_replace({text}, {pattern}, '-\\1\\2')")
    return text


def decimal_mark(
    connection: duckdb.DuckDBPyConnection,
    tables: Mapping[str, str],
    max_bad: float,
    column: str = "v",
    *,
    mixed: str = "give --decimal . or --decimal , and the other rows are set aside",
) -> tuple[str, str]:
    """The decimal mark of the texts ``v`` (each ``n`` times) of ``tables``, and the evidence.

    ``tables`` are by the name of the column they hold, ``column`` is SQL that makes a number's text of
    ``v``, ``mixed`` is what to do where both marks are proved.

    A mark is proved decimal by a value in which it cannot part thousands (``12,5``, ``0.125``,
    ``1.234,56``). ``10,500`` alone proves nothing, nor do other columns prove what parts thousands in
    one that holds nothing else.

    Raises:
        InputRejected: nothing proves either mark, both are proved, or a column stays open.
    """
    proof = dict.fromkeys(".,", 0)
    open_cases = dict.fromkeys(".,", 0)
    by_column: dict[str, tuple[int, int]] = {}
    unproved: list[tuple[str, str, int]] = []
    for name, table in tables.items():
        text = f"regexp_replace({signed(column)}, {literal(f'[{_PARTING}]')}, '', 'g')"
        counts = ", ".join(
            f"coalesce(sum(n) FILTER (regexp_full_match(w, {literal(pattern)})), 0)"
            for mark, other in ((".", ","), (",", "."))
            for pattern in _patterns(mark, other)
        )
        row = connection.execute(
            f"SELECT {counts}, coalesce(sum(n), 0) FROM (SELECT {text} AS w, n FROM {table} "
            f"WHERE NOT {is_missing('v')})"
        ).fetchone()
        assert row is not None
        *counted, texts = map(int, row)
        by_column[name] = counted[0], counted[2]
        for mark, proved, unclear in zip(".,", counted[::2], counted[1::2], strict=True):
            proof[mark] += proved
            open_cases[mark] += unclear
            if 0 < unclear == texts:
                unproved.append((name, mark, unclear))
    total, least = sum(proof.values()), min(proof.values())
    best = max(proof, key=lambda mark: proof[mark])
    if total and least <= max_bad * total:
        for name, mark, count in unproved:
            if mark != best:
                raise InputRejected(
                    f"each of the {count:,} values in {name!r} looks like 10{mark}500, and elsewhere "
                    f"the decimal mark is {best!r}: ten and a half or ten thousand?",
                    fix=f"give --decimal {best} if it is ten thousand; else write 10{best}5",
                    code="decimal_ambiguous",
                )
        return best, f"{proof[best]:,} values can be read in no other way"
    if total:
        both = [name for name, marks in by_column.items() if min(marks)]
        names = ", ".join(map(repr, both or [n for n, marks in by_column.items() if max(marks)]))
        raise InputRejected(
            f"{names} {'uses' if len(both) == 1 else 'use'} both marks as the decimal one "
            f"({proof['.']:,} values with a point, {proof[',']:,} with a comma)",
            fix=mixed,
            code="decimal_mixed",
        )
    if undecided := [mark for mark in ".," if open_cases[mark]]:
        mark = undecided[0]
        other = "," if mark == "." else "."
        raise InputRejected(
            f"{open_cases[mark]:,} values look like 10{mark}500: ten and a half or ten thousand?",
            fix=f"give --decimal {mark} if it is ten and a half, --decimal {other} if ten thousand",
            code="decimal_ambiguous",
        )
    return ".", "no value has decimals"


def thousands(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[str], decimal: str, column: str = "v"
) -> tuple[str, str] | None:
    """The sign that most often parts thousands in the texts ``v``, and how often; None where none."""
    other = "," if decimal == "." else "."
    grouped = literal(
        rf"[-+]?\d{{1,3}}([{other}{_PARTING}])\d{{3}}([{other}{_PARTING}]\d{{3}})*([{decimal}]\d*)?"
    )
    texts = " UNION ALL ".join(f"SELECT {column} AS w, n FROM {table}" for table in tables)
    row = connection.execute(
        f"SELECT regexp_extract(w, {grouped}, 1) AS sign, sum(n) AS found FROM ({texts}) "
        f"WHERE regexp_full_match(w, {grouped}) GROUP BY sign ORDER BY found DESC, sign LIMIT 1"
    ).fetchone()
    if row is None:
        return None
    return _NAMES.get(row[0], row[0]), f"{int(row[1]):,} values"


def _patterns(mark: str, other: str) -> tuple[str, str]:
    m, o = f"[{mark}]", f"[{other}]"
    proved = (
        rf"[-+]?(\d*{m}\d{{0,2}}|\d*{m}\d{{4,}}|0*{m}\d*|0\d*{m}\d*|\d{{4,}}{m}\d{{3}}"
        rf"|\d{{1,3}}({o}\d{{3}})+{m}\d*|\d{{1,3}}({o}\d{{3}}){{2,}}"
        rf"|\d*{m}\d*[eE][-+]?\d{{1,3}})"
    )
    return proved, rf"[-+]?[1-9]\d{{0,2}}{m}\d{{3}}"


def as_decimal(column: str, mark: str, kind: str) -> str:
    """SQL that reads a text as ``kind`` (``DECIMAL(18,6)``, ``DOUBLE``); NULL where it cannot."""
    other = "," if mark == "." else "."
    grouped = rf"[-+]?\d{{1,3}}([{other}{_PARTING}]\d{{3}})+([{mark}]\d*)?"
    simple = rf"[-+]?(\d+([{mark}]\d*)?|[{mark}]\d+)([eE][-+]?\d{{1,3}})?"
    text = signed(trimmed(column))
    joined = f"regexp_replace({text}, {literal(f'[{other}{_PARTING}]')}, '', 'g')"
    pointed = joined if mark == "." else f"replace({joined}, ',', '.')"
    return (
        f"CASE WHEN regexp_full_match({text}, {literal(f'{simple}|{grouped}')}) "
        f"THEN TRY_CAST({pointed} AS {kind}) END"
    )
