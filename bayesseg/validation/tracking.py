"""Weekly repeat purchases of the customers known at the cut: counted, and expected by the model."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np

from bayesseg._types import Array, Clock, IntArray
from bayesseg.customers import purchase_days
from bayesseg.ingest import Purchases
from bayesseg.validation.forecast import Model
from bayesseg.validation.holdout import Holdout
from bayesseg.validation.metrics import LEVEL

_AGES = 60
_DRAWS = 200
"""Draws of the expectation, which needs fewer than a prediction."""


def tracking(
    purchases: Purchases, held: Holdout, purchase: Model, unit_days: float
) -> dict[str, Any] | None:
    """The document's ``TRACKING``; None where there is no whole week on either side of the cut.

    Weeks run back and forth from the cut. The expectation is that of new customers entering on the
    days they did, Σ E[X(t - first day)], which the model learnt before the cut; it is not updated
    with what single customers did (Fader, Hardie & Lee 2005, figures 3 and 4).
    """
    start = held.cut.toordinal() - held.scored.t_end
    before = int(held.scored.t_end.max()) // 7
    after = held.horizon_days // 7
    if before == 0 or after == 0:
        return None
    ends = held.cut.toordinal() + 7 * np.arange(-before, after + 1)
    actual = _counted(purchases, held, start, ends)
    cumulative = _expected(purchase, start, ends, unit_days)
    weekly = np.diff(cumulative, axis=1)
    cumulative = cumulative[:, 1:] - cumulative[:, :1]
    found: dict[str, Any] = {"actual": actual, "cumulative_actual": actual.cumsum()}
    for prefix, draws in (("", weekly), ("cumulative_", cumulative)):
        low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        found |= {
            f"{prefix}expected": draws.mean(axis=0),
            f"{prefix}lo": low,
            f"{prefix}hi": high,
        }
    return {
        "week": [date.fromordinal(int(day)).isoformat() for day in ends[1:]],
        "calibration": before,
        **{name: values.tolist() for name, values in found.items()},
    }


def _counted(purchases: Purchases, held: Holdout, start: IntArray, ends: IntArray) -> IntArray:
    """Repeat purchase days in each week (ends[i], ends[i + 1]] of the scored customers."""
    ids, customer, day, _ = purchase_days(purchases, held.until)
    place = np.minimum(np.searchsorted(held.scored.ids, ids), len(held.scored) - 1)
    ours = held.scored.ids[place] == ids
    mine = ours[customer] & (day > start[place[customer]])
    week = -(-(day[mine] - ends[0]) // 7) - 1
    return np.bincount(week[(week >= 0) & (week < len(ends) - 1)], minlength=len(ends) - 1)


def _expected(purchase: Model, start: IntArray, ends: IntArray, unit_days: float) -> Array:
    """Σ over customers of E[X] by each end, per draw: (S, ends)."""
    used = np.arange(min(purchase.draws, _DRAWS)) * purchase.draws // min(purchase.draws, _DRAWS)
    total = np.zeros((len(used), len(ends)))
    for group, every in enumerate(purchase.theta):
        theta = {name: values[used] for name, values in every.items()}
        days, members = np.unique(start[purchase.group == group], return_counts=True)
        if not len(days):
            continue
        since = np.maximum(ends[:, None] - days[None, :], 0)
        ages = np.unique(np.concatenate([[0, 1, 3], np.linspace(0, max(since.max(), 4), _AGES)]))
        curve = np.column_stack([_of_new(purchase, theta, age / unit_days) for age in ages])
        total += [np.interp(since, ages, one) @ members.astype(np.float64) for one in curve]
    return total


def _of_new(purchase: Model, theta: Any, t: float) -> Array:
    """E[X(t)] of a new customer, (S,)."""
    nobody = {name: np.zeros(1) for name in ("x", "t_x", "T")}
    clock, quantities = Clock(t, t, 0.0), purchase.family.quantities
    alive = quantities["p_alive"].fn(theta, nobody, clock)
    return np.asarray((alive * quantities["purchases_if_alive"].fn(theta, nobody, clock))[:, 0])
