"""Waivers: a gate that missed is overlooked, for a reason, until a day. L7.

```toml
[[waive]]
gate = "mcse_mean"
part = "spend"
reason = "the weekly list needs ranks only; agreed with finance"
until = 2026-12-31
```

A waiver that ran out counts for nothing, also for a run that was fitted while it held. What makes draws
draws (``completeness``, ``chains``) admits none, and cautions need none.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from bayesseg._toml import Reader
from bayesseg._types import PARTS, Check
from bayesseg.errors import UsageError

NEVER = ("completeness", "chains")
"""Gates that admit no waiver: what misses them is no posterior."""
WAIVABLE = (
    *(prefix + name for prefix in ("", "invariant_") for name in ("rhat", "ess_bulk", "ess_tail")),
    *("mcse_mean", "mcse_exported", "divergences", "ebfmi", "tree_depth"),
    *("pareto_k", "importance_ess", "spend_mean_exists"),
    *("mode_missed", "mode_agreement", "labels_identified", "overlap", "smallest_segment"),
    *("number_agreement", "number_share", "number_inside"),
)
LONGEST = timedelta(days=366)
"""How far from today a waiver may reach: who signs it looks again within a year."""
_KEYS = ("gate", "part", "reason", "until")

type Waiver = Mapping[str, str]
"""``gate``, ``part``, ``reason`` and ``until`` (the last day, ISO): JSON-able."""


def today() -> date:
    """The day that waivers are held against, in UTC: of the clock, whatever time results bear."""
    return datetime.now(UTC).date()


def read_waivers(path: Path, parts: Iterable[str], today: date) -> tuple[Waiver, ...]:
    """The waivers of a file, for a model with these ``parts``.

    Raises:
        UsageError: the file cannot be read, a key is unknown or missing, a gate is unknown or admits no
            waiver, one stands twice, ran out before ``today`` or reaches beyond a year from it.
    """
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"cannot read --waivers {path}: {error}") from error
    reader = Reader(str(path), text)
    reader.keys(raw, "", ("waive",))
    found = [
        _waiver(reader, f"waive[{i}]", one, tuple(parts), today)
        for i, one in enumerate(reader.get(raw, "", "waive", list))
    ]
    places = [(one["part"], one["gate"]) for one in found]
    for i, place in enumerate(places):
        if place in places[:i]:
            raise reader.error(f"waive[{i}].gate", f"{place[1]!r} of {place[0]} is waived twice")
    return tuple(found)


def _waiver(reader: Reader, at: str, raw: Any, parts: tuple[str, ...], today: date) -> Waiver:
    if not isinstance(raw, dict):
        raise reader.error(at, "is no table", "write each waiver under [[waive]]")
    reader.keys(raw, at, _KEYS)
    if raw.get("gate") in NEVER:
        raise reader.error(
            f"{at}.gate",
            f"is {raw['gate']!r}, which admits no waiver: without it there is no posterior",
            "leave it out, and fit again",
        )
    gate = reader.choice(raw, at, "gate", WAIVABLE)
    part = reader.choice(raw, at, "part", [name for name in PARTS if name in parts])
    reason = reader.get(raw, at, "reason", str).strip()
    if not reason:
        raise reader.error(f"{at}.reason", "is empty", "say why, for those who read the report")
    until = reader.get(raw, at, "until", date)
    if type(until) is not date:  # a moment is a date, too
        raise reader.error(f"{at}.until", "is a moment", "write the last day alone: 2026-12-31")
    if until < today:
        raise reader.error(
            f"{at}.until", f"is {until}, which is past", "look at the gate again before you go on"
        )
    if until > today + LONGEST:
        raise reader.error(
            f"{at}.until",
            f"is {until}, more than a year from now",
            f"write a day until {today + LONGEST}, and look at the gate again by then",
        )
    return {"gate": gate, "part": part, "reason": reason, "until": until.isoformat()}


def waived(checks: Iterable[Check], waivers: Iterable[Waiver]) -> tuple[Check, ...]:
    """``checks``, hard misses with the waiver that is about them."""
    about = {(one["part"], one["gate"]): one for one in waivers}
    return tuple(
        replace(c, waiver={"reason": found["reason"], "until": found["until"]})
        if not c.passed
        and c.severity == "hard"
        and c.name not in NEVER
        and (found := about.get((c.part, c.name)))
        else c
        for c in checks
    )


def standing(checks: Iterable[Check], today: date) -> tuple[Check, ...]:
    """``checks`` with the verdict each has on that day."""
    return tuple(replace(c, verdict=_verdict(c, today)) for c in checks)


def _verdict(c: Check, today: date) -> str:
    if c.passed:
        return "passed"
    if c.severity != "hard":
        return {"soft": "caution", "assessed": "not-assessed"}[c.severity]
    return "caution" if c.waiver and today <= date.fromisoformat(c.waiver["until"]) else "failed"
