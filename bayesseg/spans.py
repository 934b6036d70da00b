"""Spans of time and days as people write them. L0."""

from __future__ import annotations

import datetime as dt
import re

from bayesseg.errors import UsageError

_SPAN = re.compile(r"(\d+)\s*([dwmy]?)")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DAYS = {"": 1.0, "d": 1.0, "w": 7.0, "m": 365.25 / 12, "y": 365.25}


def days(span: str | int) -> int:
    """A span of time in whole days: ``90``, ``"90d"``, ``"39w"``, ``"3m"`` or ``"1y"``."""
    match = _SPAN.fullmatch(str(span).strip().lower())
    count = round(int(match[1]) * _DAYS[match[2]]) if match else 0
    if count < 1:
        raise UsageError(f"{span!r} is not a span of time", fix="write 90d, 12w, 3m or 1y")
    return count


def day(text: str | dt.date) -> dt.date:
    """A day: ``"2024-01-31"``, or a date, a moment or a timestamp that falls on it."""
    if isinstance(text, dt.datetime):
        return text.date()
    if isinstance(text, dt.date):
        return text
    try:
        if _DAY.fullmatch(str(text)):
            return dt.date.fromisoformat(str(text))
    except ValueError:  # the 31st of a month that has none
        pass
    raise UsageError(f"{text!r} is not a day", fix="write it as 2024-01-31")
