"""What a segmentation is worth: does it separate what customers did afterwards? L7.

Days since the last purchase is a feature, so churn by segment is partly a tautology. Here segments are
made from what was known on a day in the past, and held against who bought after it and for how much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from bayesseg._types import Array
from bayesseg.customers import Attributes, activity, summarise, with_attributes
from bayesseg.features import apply, learn, raw_columns
from bayesseg.ingest import Purchases
from bayesseg.segmentation.refits import (
    Effort,
    mode_of,
    plan_of,
    sampled,
    scored,
    with_options,
)
from bayesseg.segmentation.run import layout_of
from bayesseg.spec import ModelSpec

REWEIGHTED = 200
"""Draws of customers behind the interval of a price."""
LEVEL = 0.90
_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class Price:
    """What knowing the segment on a day explains of the time after it.

    ``buys`` and ``spend`` are shares of variance between segments (eta squared; spend as a logarithm of
    one plus it): (1 + B,), as it was and as it would be of customers drawn again, the same B for every
    segmentation. ``segments`` holds customers, share who bought and mean spend of each, largest first.
    """

    options: Mapping[str, Any]
    buys: Array
    spend: Array
    segments: tuple[Mapping[str, float], ...]


def moments(member: Array, values: Array, weights: Array) -> tuple[Array, Array, Array]:
    """Of ``values`` (n,) by membership (n, K), under B weightings of the rows (n, B).

    Returns:
        Size and sum of each segment (K, B), and the sum of squares (B,). They add up over rows.
    """
    return member.T @ weights, (member * values[:, None]).T @ weights, values**2 @ weights


def eta_squared(size: Array, total: Array, squares: Array) -> Array:
    """Share of the variance between segments, from ``moments``: (B,)."""
    centre = total.sum(0) ** 2 / size.sum(0)
    between = (total**2 / np.maximum(size, np.finfo(np.float64).tiny)).sum(0) - centre
    whole = squares - centre
    return np.divide(between, whole, out=np.zeros_like(whole), where=whole > 0)


def prices(
    purchases: Purchases,
    spec: ModelSpec,
    variants: Sequence[Mapping[str, Any]],
    *,
    cut: date,
    until: date,
    effort: Effort,
    seed: int,
    attributes: Attributes | None = None,
) -> tuple[int, list[Price]]:
    """The customers known on ``cut``, and the price of each variant of the model fitted to them.

    Args:
        purchases: the log.
        spec: a model with segments.
        variants: options of its segments, such as ``{"components": 3}``.
        cut: segments are made of what was known on this day.
        until: the last day they are held against.
        effort: of the fits.
        seed: of fits and weightings.
        attributes: of the customers, as they are now; where the model reads them.
    """
    known = summarise(purchases, as_of=cut)
    if attributes is not None:
        known = with_attributes(known, attributes)
    raw = raw_columns(known, spec.features)
    state = learn(spec.features, raw)
    matrix = apply(state, raw)
    ids, _, spent = activity(purchases, cut, until)
    place = np.minimum(np.searchsorted(ids, known.ids), max(len(ids) - 1, 0))
    there = ids[place] == known.ids if len(ids) else np.zeros(len(known), dtype=bool)
    bought = there.astype(np.float64)
    money = np.where(there, spent[place], 0.0) if len(ids) else np.zeros(len(known))
    logged = np.log1p(np.maximum(money, 0.0))
    centred = bought - bought.mean(), logged - logged.mean()
    found = []
    for options in variants:
        rng = np.random.default_rng([seed, 6, options["components"]])
        plan = plan_of(with_options(spec.parts["segments"], **options), layout_of(state))
        theta, _ = mode_of(plan, sampled(matrix, effort.rows, rng), effort, rng)
        seen = np.zeros((3, plan.components))
        sums: list[Any] = [(0.0, 0.0, 0.0)] * 2
        for rows, weights in _reweighted(len(known), seed):
            member = scored(plan, theta, matrix[rows])[0][:, 0]
            seen += np.stack([np.ones(len(member)), bought[rows], money[rows]]) @ member
            for which, values in enumerate(centred):
                more = moments(member, values[rows], weights)
                sums[which] = tuple(a + b for a, b in zip(sums[which], more, strict=True))
        order = np.argsort(-seen[0], kind="stable")
        seen[1:] /= np.maximum(seen[0], np.finfo(np.float64).tiny)
        named = [
            dict(zip(("customers", "bought", "spend"), seen[:, k].tolist(), strict=True))
            for k in order
        ]
        found.append(Price(options, eta_squared(*sums[0]), eta_squared(*sums[1]), tuple(named)))
    return len(known), found


def _reweighted(rows: int, seed: int) -> Iterator[tuple[slice, Array]]:
    """Slices of the rows, and (n, 1 + B) weights: one each, then those of a Bayesian bootstrap."""
    for start in range(0, rows, _AT_ONCE):
        own = slice(start, min(start + _AT_ONCE, rows))
        weights = np.ones((own.stop - own.start, 1 + REWEIGHTED))
        weights[:, 1:] = np.random.default_rng([seed, 7, start]).standard_exponential(
            (len(weights), REWEIGHTED)
        )
        yield own, weights


def as_row(one: Price) -> dict[str, Any]:
    """A price as JSON, both shares with their intervals."""
    return {
        **one.options,
        "buys": _interval(one.buys),
        "spend": _interval(one.spend),
        "segments": [dict(segment) for segment in one.segments],
    }


def _interval(values: Array) -> dict[str, float]:
    low, high = np.quantile(values[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"mean": float(values[0]), "lo": float(low), "hi": float(high)}


def worth(ladder: Sequence[Price]) -> str:
    """The least number of segments that surely falls short of no other, in buying and in spend.

    Args:
        ladder: of one shape, by rising number of segments.
    """
    buys = max(ladder, key=lambda one: float(one.buys[0])).buys
    spend = max(ladder, key=lambda one: float(one.spend[0])).spend

    def short(one: Price) -> bool:
        gains = (buys - one.buys)[1:], (spend - one.spend)[1:]
        return any(np.quantile(gain, (1 - LEVEL) / 2) > 0.0 for gain in gains)

    enough = next((one for one in ladder if not short(one)), ladder[-1])
    first, least, last = (one.options["components"] for one in (ladder[0], enough, ladder[-1]))
    told = f"{enough.buys[0]:.1%} of who buys and {enough.spend[0]:.1%} of spend"
    if first == last:
        return f"K = {least} explains {told}."
    if least == last:
        return f"Of {first} to {last} segments, none explain as much as {last}: {told}."
    return f"Of {first} to {last} segments, {least} explain {told}; more add nothing that is sure."
