"""What a segmentation is worth: does it separate what customers did afterwards? L7.

Days since the last purchase is a feature, so churn by segment is partly a tautology. Here segments are
made from what was known on a day in the past, and held against who bought after it and for how much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from bayesseg._types import Array
from bayesseg.customers import activity, summarise
from bayesseg.features import apply, learn, raw_columns
from bayesseg.ingest import Purchases
from bayesseg.segmentation.compare import Candidate
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

_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class Price:
    """What knowing the segment on ``cut`` explains of the time to ``until``.

    ``buys`` and ``spend`` are shares of variance between segments (eta squared; spend as a logarithm of
    one plus it). ``segments`` holds size, share who bought and mean spend of each.
    """

    cut: str
    until: str
    buys: float
    spend: float
    segments: tuple[Mapping[str, float], ...]


def eta_squared(member: Array, values: Array) -> float:
    """Share of the variance of ``values`` (n,) that lies between segments, by membership (n, K)."""
    size = member.sum(0)
    means = member.T @ values / np.maximum(size, 1e-300)
    total = float(((values - values.mean()) ** 2).sum())
    return float(size @ (means - values.mean()) ** 2) / total if total > 0 else 0.0


def prices(
    purchases: Purchases,
    spec: ModelSpec,
    candidates: Sequence[Candidate],
    *,
    cut: date,
    until: date,
    effort: Effort,
    seed: int,
) -> list[Price]:
    """The price of each candidate: its model fitted to what was known on ``cut``."""
    known = summarise(purchases, as_of=cut)
    raw = raw_columns(known, spec.features)
    state = learn(spec.features, raw)
    matrix = apply(state, raw)
    ids, _, spent = activity(purchases, cut, until)
    place = np.minimum(np.searchsorted(ids, known.ids), max(len(ids) - 1, 0))
    there = ids[place] == known.ids if len(ids) else np.zeros(len(known), dtype=bool)
    bought = there.astype(np.float64)
    money = np.where(there, spent[place], 0.0) if len(ids) else np.zeros(len(known))
    part = spec.parts["segments"]
    found = []
    for one in candidates:
        rng = np.random.default_rng([seed, 6, one.components])
        plan = plan_of(with_options(part, **one.options), layout_of(state))
        theta, _ = mode_of(plan, sampled(matrix, effort.rows, rng), effort, rng)
        member = np.concatenate(
            [
                scored(plan, theta, matrix[start : start + _AT_ONCE])[0][:, 0]
                for start in range(0, len(matrix), _AT_ONCE)
            ]
        )
        size = member.sum(0)
        order = np.argsort(-size, kind="stable")
        rows: list[dict[str, Any]] = [
            {
                "customers": float(size[k]),
                "bought": float(member[:, k] @ bought / size[k]),
                "spend": float(member[:, k] @ money / size[k]),
            }
            for k in order
        ]
        found.append(
            Price(
                cut.isoformat(),
                until.isoformat(),
                eta_squared(member, bought),
                eta_squared(member, np.log1p(np.maximum(money, 0.0))),
                tuple(rows),
            )
        )
    return found
