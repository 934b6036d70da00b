"""Spans of time as people write them. L0."""

from __future__ import annotations

import re

from bayesseg.errors import UsageError

_SPAN = re.compile(r"(\d+)\s*([dwmy]?)")
_DAYS = {"": 1.0, "d": 1.0, "w": 7.0, "m": 365.25 / 12, "y": 365.25}


def days(span: str | int) -> int:
    """A span of time in whole days: ``90``, ``"90d"``, ``"39w"``, ``"3m"`` or ``"1y"``."""
    match = _SPAN.fullmatch(str(span).strip().lower())
    count = round(int(match[1]) * _DAYS[match[2]]) if match else 0
    if count < 1:
        raise UsageError(f"{span!r} is not a span of time", fix="write 90d, 12w, 3m or 1y")
    return count
