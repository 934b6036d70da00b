"""Forecasts against what came: refit before a cut, forecast after it. L8.

Each origin is fitted at the mode with a normal approximation on the unconstrained scale, which
takes a fraction of a second; totals are predictive (own latents of every customer, realised).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from bayesseg._random import customer_keys
from bayesseg._types import Array
from bayesseg.customers import Customers, activity, summarise
from bayesseg.errors import InputRejected
from bayesseg.families import FAMILIES
from bayesseg.families._realise import realise
from bayesseg.inference.map import normal_draws
from bayesseg.ingest import Purchases
from bayesseg.priors import scales_of
from bayesseg.readiness import require_ready
from bayesseg.spec import ModelSpec

ORIGINS = (2, 1)
"""Cuts, in quarters of the history before its end; the horizon is one quarter."""
SHORTEST_DAYS = 120
DRAWS = 400
_CHUNK = 1_000
LEVEL = 0.95


def backtest(
    purchases: Purchases, spec: ModelSpec, *, as_of: date, seed: int
) -> tuple[dict[str, Any], ...]:
    """Totals forecast from the last two quarter points of the history, beside what came.

    Returns one entry a part and origin: ``part, cut, horizon_days, actual, mean, lo, hi, bias``
    (95 % predictive interval; bias relative to the actual total). Empty where the history is
    shorter than 120 days or too thin to fit before the cut. One origin is no verdict; two are a
    beginning.
    """
    if "purchase" not in spec.parts:
        return ()
    start = as_of - timedelta(days=int(summarise(purchases, as_of=as_of).t_end.max()))
    horizon = (as_of - start).days // 4
    if (as_of - start).days < SHORTEST_DAYS:
        return ()
    found: list[dict[str, Any]] = []
    for quarters in ORIGINS:
        cut = as_of - timedelta(days=quarters * horizon)
        try:
            found.extend(_origin(purchases, spec, cut, horizon, seed))
        except InputRejected:
            continue
    return tuple(found)


def _origin(
    purchases: Purchases, spec: ModelSpec, cut: date, horizon: int, seed: int
) -> list[dict[str, Any]]:
    known = summarise(purchases, as_of=cut)
    require_ready(known, spec.parts)
    columns = known.columns(spec.unit_days)
    scales = scales_of(columns)
    theta = {}
    for part in ("purchase", "spend"):
        if part in spec.parts:
            own = spec.parts[part]
            family = FAMILIES[own.family]
            assert family.tabulate is not None
            key = np.random.SeedSequence([seed, known.as_of.toordinal(), len(part)])
            drawn = int(key.generate_state(1)[0])
            free = normal_draws(family, own, family.tabulate(columns), scales, DRAWS, drawn)
            theta[part] = dict(family.derive(free))
    purchased, spent = _forecast(spec, theta, known, horizon / spec.unit_days, seed)
    ids, days, money = activity(purchases, cut, cut + timedelta(days=horizon))
    came = pd.Index(known.ids).get_indexer(pd.Index(ids)) >= 0
    facts = {"cut": cut.isoformat(), "horizon_days": horizon, "customers": len(known)}
    found = [{"part": "purchase", **facts, **_compare(purchased, float(days[came].sum()))}]
    if spent is not None:
        found.append({"part": "spend", **facts, **_compare(spent, float(money[came].sum()))})
    return found


def _forecast(
    spec: ModelSpec, theta: Mapping[str, Mapping[str, Array]], known: Customers, h: float, seed: int
) -> tuple[Array, Array | None]:
    """Realised totals of purchases and of spend over ``h``, each (S,)."""
    purchase = FAMILIES[spec.parts["purchase"].family].latents
    assert purchase is not None
    index = np.arange(DRAWS)
    purchases, spend = np.zeros(DRAWS), np.zeros(DRAWS)
    for start in range(0, len(known), _CHUNK):
        rows = known.take(np.arange(start, min(start + _CHUNK, len(known))))
        columns, keys = rows.columns(spec.unit_days), customer_keys(rows.ids, seed)
        own = purchase(theta["purchase"], columns, keys, index)
        nu, shape = np.ones(own.shape[:2]), np.ones(DRAWS)
        if "spend" in theta:
            of_spend = FAMILIES[spec.parts["spend"].family].latents
            assert of_spend is not None
            nu, shape = of_spend(theta["spend"], columns, keys, index), theta["spend"]["p"]
        money, counts = realise(own, nu, shape, known.paid_share, h, 0.0, keys, index)
        purchases += counts.sum(axis=0)
        spend += money.sum(axis=0)
    return purchases, spend if "spend" in theta else None


def _compare(totals: Array, actual: float) -> dict[str, float]:
    low, high = np.quantile(totals, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    mean = float(totals.mean())
    return {
        "actual": actual,
        "mean": mean,
        "lo": float(low),
        "hi": float(high),
        "bias": mean / actual - 1 if actual else 0.0,
    }
