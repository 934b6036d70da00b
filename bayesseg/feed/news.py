"""What changed between two feeds, and whether that much may change at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bayesseg.errors import GateFailed
from bayesseg.feed.rows import aligned, differ
from bayesseg.scoring.table import unit_of

LIMITS = {"appeared": 0.2, "disappeared": 0.2, "moved": 0.3}
"""The largest share of customers that may come, go, or change segment or tier at once."""
_PLACE = ("segment", "risk_tier")


@dataclass(frozen=True, slots=True)
class Delta:
    """What is news: rows of the new feed that ``changed`` or ``entered``, of the old that ``left``.

    ``moved`` counts customers by ``segment_from`` and ``segment_to``; ``unchanged`` the rows that stay.
    """

    changed: pd.DataFrame
    entered: pd.DataFrame
    left: pd.DataFrame
    moved: pd.DataFrame
    unchanged: int


@dataclass(frozen=True, slots=True)
class Radius:
    """How much of what a destination holds would change at once, as shares.

    ``appeared`` and ``disappeared`` are of those held before, ``moved`` (to another segment or tier) of
    those in both.
    """

    appeared: float
    disappeared: float
    moved: float

    @property
    def beyond(self) -> tuple[str, ...]:
        """Which of them are above ``LIMITS``."""
        return tuple(name for name, limit in LIMITS.items() if getattr(self, name) > limit)


def whole(now: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """A feed with all of ``names``, null where it has nothing to say: else an old value stays."""
    empty = {
        name: pd.Series(None, now.index, "float64" if unit_of(name) else "str")
        for name in names
        if name not in now
    }
    return now.assign(**empty)


def delta(
    now: pd.DataFrame, before: pd.DataFrame | None, columns: Iterable[str] | None = None
) -> Delta:
    """What a destination that holds ``before`` must be told to hold ``now``.

    Compares ``columns`` but ``scored_at``, as they are shown, null equal to null. The
    ``model_id`` counts: ``feed`` leaves it as it was told while the numbers of a row stand, so it
    differs only where a row is told anew, and exact feeds (where a refit moves every number) differ
    anyhow. A column that ``before`` lacks is news of everybody.

    Args:
        now: a feed.
        before: the feed that the destination holds; None where it is empty.
        columns: those that the destination is sent; all of ``now`` where None.
    """
    if before is None:
        before = now.head(0)
    now = now.reset_index(drop=True)
    old, known = aligned(before, now["customer_id"])
    differs = np.zeros(len(now), dtype=bool)
    for name in set(now if columns is None else columns) - {"customer_id"}:
        if name not in old:
            differs |= True
        elif name != "scored_at":
            differs |= differ(now[name], old[name])
    left = ~before["customer_id"].isin(now["customer_id"]).to_numpy()
    moved = pd.DataFrame({"segment_from": [], "segment_to": [], "customers": []})
    if "segment" in now and "segment" in old:
        stood = (now["segment"].notna() & old["segment"].notna()).to_numpy(dtype=bool)
        goes = known & stood & differ(now["segment"], old["segment"])
        pairs = pd.DataFrame(
            {"segment_from": old.loc[goes, "segment"], "segment_to": now.loc[goes, "segment"]}
        )
        moved = pairs.value_counts(sort=False).rename("customers").reset_index()
    return Delta(
        changed=now[known & differs].reset_index(drop=True),
        entered=now[~known].reset_index(drop=True),
        left=before[left].reset_index(drop=True),
        moved=moved,
        unchanged=int((known & ~differs).sum()),
    )


def silenced(now: pd.DataFrame, before: pd.DataFrame, columns: Iterable[str]) -> int:
    """How many customers were told something in ``columns`` before of which there is nothing now."""
    old, _ = aligned(before, now["customer_id"])
    gone = np.zeros(len(now), dtype=bool)
    for name in columns:
        if name in old:
            gone |= (old[name].notna() & now[name].isna()).to_numpy(dtype=bool)
    return int(gone.sum())


def radius(now: pd.DataFrame, before: pd.DataFrame | None) -> Radius:
    """How much of what a destination holds would change at once.

    Nothing, now or before, moves nobody: a part of the model that failed must not hold up the others,
    nor the night on which it is back.

    Args:
        now: a feed.
        before: the feed that the destination holds; None where it is empty, which is never too much.
    """
    if before is None or before.empty:
        return Radius(0.0, 0.0, 0.0)
    now = now.reset_index(drop=True)
    old, known = aligned(before, now["customer_id"])
    moved = np.zeros(len(now), dtype=bool)
    for name in _PLACE:
        if name in now and name in old and now[name].notna().any():
            stood = old[name].notna().to_numpy(dtype=bool)
            moved |= known & stood & differ(now[name], old[name])
    return Radius(
        appeared=float((~known).sum() / len(before)),
        disappeared=float(1 - known.sum() / len(before)),
        moved=float(moved.sum() / max(known.sum(), 1)),
    )


def accept_radius(found: Radius, *, force: bool = False, reason: str | None = None) -> str:
    """Let that much change at once, or refuse; values that change alone are never too much.

    Returns:
        The reason, where one was needed; else nothing.

    Raises:
        GateFailed: a share is above its limit, and there is no force with a reason.
    """
    said = (reason or "").strip()
    if not found.beyond or (force and said):
        return said if found.beyond else ""
    words = {
        "appeared": "appear",
        "disappeared": "disappear",
        "moved": "change segment or tier",
    }
    shares = [
        f"{getattr(found, name):.0%} of customers {words[name]} (limit {LIMITS[name]:.0%})"
        for name in found.beyond
    ]
    raise GateFailed(
        f"too much would change at once: {', '.join(shares)}",
        fix="see whether the data are whole (another extract, a filter, another id?); if so, "
        '--force --reason "why"',
        code="blast_radius",
        details={name: getattr(found, name) for name in LIMITS},
    )
