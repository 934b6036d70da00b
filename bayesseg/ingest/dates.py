"""Days written as text: every format is tried on the whole column."""

from __future__ import annotations

import re
from dataclasses import dataclass

import duckdb

from bayesseg.errors import InputRejected, UsageError
from bayesseg.ingest.numbers import is_missing, trimmed
from bayesseg.ingest.options import EPOCHS
from bayesseg.ingest.session import literal

_CLOCK = (
    r"[T ]\s*\d{1,2}[:hH]\d{2}(:\d{2}([.,]\d+)?)?\s*([AaPp][Mm])?\s*(Z|UTC|[-+]\d{2}(:?\d{2})?)?$"
)
_ZONE = r"[T ].*\d\s*(?:[AaPp][Mm])?\s*(Z|UTC|[-+]\d{2}(?::?\d{2})?)$"
_PARTS = (
    r"[T ]\s*(\d{1,2})[:hH](\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*(?i:([ap])m)?\s*"
    r"(?:Z|UTC|([-+])(\d{2}):?(\d{2})?)$"
)


_MONTHS = {
    "janv(ier)?": "January",
    "f[ée]vr?(ier)?": "February",
    "mars": "March",
    "avr(il)?": "April",
    "mai": "May",
    "juin": "June",
    "juil(let)?": "July",
    "ao[uû]t": "August",
    "sept(embre)?": "September",
    "oct(obre)?": "October",
    "nov(embre)?": "November",
    "d[ée]c(embre)?": "December",
}
"""French months, whole or cut short."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """Texts that match ``pattern`` are read by one of ``formats``."""

    pattern: str
    formats: tuple[str, ...]


def _shapes() -> tuple[_Shape, ...]:
    marks = [_Shape(r"\d{8}", ("%Y%m%d",))]
    for mark in "-/.":
        m = re.escape(mark) if mark == "." else mark
        marks += [
            _Shape(rf"\d{{4}}{m}\d{{1,2}}{m}\d{{1,2}}", (f"%Y{mark}%m{mark}%d",)),
            _Shape(
                rf"\d{{1,2}}{m}\d{{1,2}}{m}\d{{4}}",
                (f"%d{mark}%m{mark}%Y", f"%m{mark}%d{mark}%Y"),
            ),
            _Shape(
                rf"\d{{1,2}}{m}\d{{1,2}}{m}\d{{2}}",
                (f"%d{mark}%m{mark}%y", f"%m{mark}%d{mark}%y"),
            ),
        ]
    for mark in "- ":
        marks += [
            _Shape(rf"\d{{1,2}}{mark}[A-Za-z]{{3}}{mark}\d{{4}}", (f"%d{mark}%b{mark}%Y",)),
            _Shape(rf"\d{{1,2}}{mark}[A-Za-z]{{3}}{mark}\d{{2}}", (f"%d{mark}%b{mark}%y",)),
            _Shape(rf"\d{{1,2}}{mark}[A-Za-z]{{3,}}{mark}\d{{4}}", (f"%d{mark}%B{mark}%Y",)),
        ]
    marks += [
        _Shape(r"[A-Za-z]{3} \d{1,2}, \d{4}", ("%b %d, %Y",)),
        _Shape(r"[A-Za-z]{3,} \d{1,2}, \d{4}", ("%B %d, %Y",)),
    ]
    return tuple(marks)


SHAPES = _shapes()


def as_day(column: str, form: str, zone: str | None = None) -> str:
    """SQL that reads a text as a DATE by one strptime format; NULL where it cannot.

    Without ``zone`` the time of day is cut off first, so the day is the one that was written. With it a
    time that carries an offset from UTC becomes the day it was in ``zone``.
    """
    text, own_clock = trimmed(column), re.search(r"%[HIcXT]", form)
    plain = text if own_clock else f"regexp_replace({text}, {literal(_CLOCK)}, '')"
    plain = _english(plain, form)
    parsed = f"TRY_STRPTIME({plain}, {literal(form)})"
    if "%z" in form:
        return f"CAST({parsed} AT TIME ZONE {literal(zone or 'UTC')} AS DATE)"
    if shape := next((s.pattern for s in SHAPES if form in s.formats), None):
        # strptime reads 31/01/24 by %Y as the year 24; the shape does not
        parsed = f"CASE WHEN regexp_full_match({plain}, {literal(shape)}) THEN {parsed} END"
    if zone is None or own_clock:
        return f"CAST({parsed} AS DATE)"
    there = in_zone(f"{parsed} + {_since_midnight(text)}", zone)
    aware = f"regexp_matches({text}, {literal(_ZONE)})"
    return f"CAST(CASE WHEN {aware} THEN {there} ELSE {parsed} END AS DATE)"


def _english(text: str, form: str) -> str:
    """SQL: French names of months, whole or cut short, as strptime reads them."""
    if not re.search("%[bB]", form):
        return text
    for french, english in _MONTHS.items():
        name = english if "%B" in form else english[:3]
        text = f"regexp_replace({text}, '(?i)\\b{french}\\b[.]?', '{name}')"
    return f"regexp_replace({text}, '^1er ', '1 ')"


def in_zone(moment: str, zone: str) -> str:
    """SQL: a TIMESTAMP of UTC as a TIMESTAMP of ``zone``."""
    return f"({moment}) AT TIME ZONE 'UTC' AT TIME ZONE {literal(zone)}"


def as_epoch(column: str, unit: str, zone: str | None) -> str:
    """SQL that reads a whole number of ``unit`` since 1970 as a DATE of ``zone`` (UTC if None)."""
    digits, micro = EPOCHS[unit]
    text = f"regexp_extract({trimmed(column)}, '^-?\\d{{1,{digits}}}$')"
    moment = f"make_timestamp({micro} * TRY_CAST(NULLIF({text}, '') AS BIGINT))"
    return f"CAST({in_zone(moment, zone or 'UTC')} AS DATE)"


def _since_midnight(text: str) -> str:
    """SQL: from midnight UTC of the day written to the moment written, an INTERVAL."""
    hour, minute, second, half, sign, ahead, past = (
        f"regexp_extract({text}, {literal(_PARTS)}, {group})" for group in range(1, 8)
    )
    of_day = f"CASE WHEN {half} = '' THEN {_whole(hour)} ELSE {_whole(hour)} % 12 END + "
    of_day += f"CASE WHEN lower({half}) = 'p' THEN 12 ELSE 0 END"
    offset = f"CASE WHEN {sign} = '-' THEN -1 ELSE 1 END * (60 * {_whole(ahead)} + {_whole(past)})"
    return (
        f"to_minutes(60 * ({of_day}) + {_whole(minute)} - {offset}) + to_seconds({_whole(second)})"
    )


def _whole(text: str) -> str:
    return f"coalesce(TRY_CAST(NULLIF({text}, '') AS INTEGER), 0)"


def given_format(text: str) -> str:
    """A strptime format from ``--date-format``; ``dd/mm/yyyy`` is understood too."""
    form = text
    if "%" not in text:
        for words, code in (("yyyy|aaaa", "%Y"), ("yy|aa", "%y"), ("mm", "%m"), ("dd|jj", "%d")):
            form = re.sub(words, code, form, flags=re.IGNORECASE)
    if not all(re.search(part, form) for part in (r"%[Yy]", r"%[mbB]", r"%d")):
        raise UsageError(
            f"--date-format {text!r} does not name a day, a month and a year",
            fix="for example --date-format %d/%m/%Y or --date-format dd/mm/yyyy",
        )
    return form


def date_format(
    connection: duckdb.DuckDBPyConnection, table: str, zone: str | None = None
) -> tuple[str, str]:
    """The format that reads the texts ``v`` (each ``n`` times) of ``table``, and the evidence.

    What the format of the majority cannot read is a bad row, counted as such later.

    Raises:
        InputRejected: no format reads most of the column, two do, or two are mixed in it; times carry
            more than one zone and ``zone``, that of business days, is not given; or only some have one.
    """
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE written AS SELECT regexp_replace({trimmed('v')}, "
        f"{literal(_CLOCK)}, '') AS d, sum(n) AS n FROM {table} "
        f"WHERE NOT {is_missing('v')} GROUP BY ALL"
    )
    formats = [form for shape in SHAPES for form in shape.formats]
    reads = ", ".join(
        f"coalesce(sum(n) FILTER ({as_day('d', form)} IS NOT NULL), 0)" for form in formats
    )
    row = connection.execute(f"SELECT coalesce(sum(n), 0), {reads} FROM written").fetchone()
    assert row is not None
    total, hits = int(row[0]), dict(zip(formats, map(int, row[1:]), strict=True))
    offset = _one_zone(connection, table, zone)
    as_written = f"; all of offset {offset}, days as written (else --tz)" if offset else ""
    best = max(hits, key=lambda form: hits[form])
    if 2 * hits[best] <= total:
        raise _unreadable(connection, hits, total)
    twin = next((f for s in SHAPES if best in s.formats for f in s.formats if f != best), None)
    if twin is None:
        return best, f"{hits[best]:,} of {total:,} values{as_written}"
    if hits[twin] == hits[best]:
        raise InputRejected(
            f"every date reads day first and month first ({best} and {twin})"
            if best.startswith("%d")
            else f"every date reads by {best} and by {twin}",
            fix=f"give --date-format {best} or --date-format {twin}",
            code="date_ambiguous",
        )
    only = connection.execute(
        f"SELECT coalesce(sum(n), 0) FROM written "
        f"WHERE {as_day('d', best)} IS NULL AND {as_day('d', twin)} IS NOT NULL"
    ).fetchone()
    assert only is not None
    if only[0]:
        raise InputRejected(
            f"the dates mix {best} and {twin}: {int(only[0]):,} read only by the second",
            fix="export the dates in one form, or give --date-format: other rows are set aside",
            code="date_mixed",
        )
    return best, f"{hits[best] - hits[twin]:,} of {total:,} values cannot be {twin}{as_written}"


def _one_zone(connection: duckdb.DuckDBPyConnection, table: str, zone: str | None) -> str | None:
    """The offset that all times carry where ``zone`` is None; times of unclear days are refused."""
    rows = connection.execute(
        f"SELECT regexp_extract({trimmed('v')}, {literal(_ZONE)}, 1) AS offset_, sum(n) FROM {table} "
        f"WHERE NOT {is_missing('v')} GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    names = [name for name, _ in rows if name]
    if names and not rows[0][0]:
        raise InputRejected(
            f"{int(rows[0][1]):,} dates carry no offset from UTC and the others do "
            f"({', '.join(names[:4])}): the day is unclear",
            fix="write all of them with an offset, or all as local days (2024-01-31)",
            code="time_zones_mixed",
        )
    if len(names) > 1 and zone is None:
        raise InputRejected(
            f"the times carry {len(names)} offsets ({', '.join(names[:4])}): the day is unclear",
            fix="give the zone of your business days, for example --tz Europe/Paris",
            code="time_zones_mixed",
        )
    return names[0] if names and zone is None else None


def _unreadable(
    connection: duckdb.DuckDBPyConnection, hits: dict[str, int], total: int
) -> InputRejected:
    fix = "write days as 2024-01-31, or give --date-format"
    row = connection.execute(
        "SELECT count(*) FILTER (regexp_full_match(d, '[12]\\d{9}(\\d{3})?')), "
        "count(*) FILTER (regexp_full_match(d, '[1-6]\\d{4}([.]\\d+)?')), count(*), max(length(d)) "
        "FROM written"
    ).fetchone()
    assert row is not None
    if row[2] and row[0] == row[2]:
        what = "are seconds or milliseconds since 1970"
        unit = "s" if row[3] == 10 else "ms"
        fix = f"give --epoch {unit}, and --tz for the zone of your business days"
    elif row[2] and row[1] == row[2]:
        what = "are Excel's serial numbers of days"
    elif twins := [form for form, n in hits.items() if n][:3]:
        most = ", ".join(f"{form} reads {hits[form]:,}" for form in twins)
        return InputRejected(
            f"no one format reads the dates: of {total:,}, {most}",
            fix="export the dates in one form, or give --date-format and --max-bad",
            code="date_mixed",
        )
    elif not total:
        return InputRejected("the date column is empty", fix="give --date", code="date_missing")
    else:
        what = "are in no known format"
    return InputRejected(f"the dates {what}", fix=fix, code="date_unreadable")
