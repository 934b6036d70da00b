"""Segments: memberships averaged over draws, and what they weigh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesseg._types import Array, IntArray
from bayesseg.customers import Attributes, Customers
from bayesseg.families import FAMILIES
from bayesseg.features import apply, raw_columns
from bayesseg.posterior import Posterior
from bayesseg.scoring import effects
from bayesseg.scoring.plan import Plan
from bayesseg.scoring.settings import QUANTILES

if TYPE_CHECKING:
    from numpy.typing import NDArray

_AT_ONCE = 1_000


def members(
    plan: Plan,
    data: Customers | Attributes,
    customers: IntArray,
    per_draw: Mapping[str, Array],
    row: IntArray,
) -> tuple[dict[str, NDArray[Any]], dict[str, Array]]:
    """The segment columns of ``customers`` and per-draw sums by segment, (S, K).

    ``per_draw`` holds what is summed by membership, (n, S); ``row`` is each customer's place in it.
    """
    pieces, sums = [], dict[str, Array]()
    for start in range(0, len(customers), _AT_ONCE):
        place = slice(start, start + _AT_ONCE)
        piece, more = _some(plan, data.take(customers[place]), per_draw, row[place])
        pieces.append(piece)
        sums = {name: sums.get(name, 0.0) + found for name, found in more.items()}
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}, sums


def _some(
    plan: Plan, data: Customers | Attributes, per_draw: Mapping[str, Array], row: IntArray
) -> tuple[dict[str, NDArray[Any]], dict[str, Array]]:
    posterior = plan.posterior
    assert posterior.features is not None
    memberships = FAMILIES[posterior.spec.parts["segments"].family].memberships
    assert memberships is not None
    raw = raw_columns(data, posterior.spec.features)
    matrix = apply(posterior.features, raw)
    member = memberships(plan.segments, matrix)
    mean = member.mean(axis=1)
    low, high = np.quantile(member, QUANTILES, axis=1)
    ids = np.array(posterior.manifest["segments"]["ids"], dtype=object)
    names = np.array([posterior.manifest["segments"]["names"][i] for i in ids], dtype=object)
    order = np.argsort(-mean, axis=1, kind="stable")
    first, rows = order[:, 0], np.arange(len(mean))
    second = order[:, min(1, len(ids) - 1)]
    out: dict[str, NDArray[Any]] = {
        "segment": ids[first],
        "segment_name": names[first],
        "segment_probability": mean[rows, first],
        "segment_probability_lo": low[rows, first],
        "segment_probability_hi": high[rows, first],
        "runner_up": ids[second],
        "runner_up_probability": mean[rows, second],
    }
    for k, name in enumerate(ids):
        out[f"membership_{name}"] = mean[:, k]
        out[f"membership_{name}_lo"], out[f"membership_{name}_hi"] = low[:, k], high[:, k]
    sums = {"size": member.sum(axis=0)} | effects.sums(posterior.features, matrix, member)
    for name in ("p_churn", "clv", "value_at_risk"):
        if name in per_draw:
            sums[f"segment_{name}"] = np.einsum("nsk,ns->sk", member, per_draw[name][row])
    for name in posterior.features.profiled:
        values = raw[name].astype(np.float64)
        known = np.isfinite(values)
        sums[f"known_{name}"] = member[known].sum(axis=0)
        sums[f"profile_{name}"] = np.einsum("nsk,n->sk", member[known], values[known])
    return out, sums


def blank(posterior: Posterior, count: int) -> dict[str, NDArray[Any]]:
    """The segment columns of a run whose segmentation failed its gates: there, and empty."""
    names = [
        f"membership_{name}{end}"
        for name in posterior.manifest["segments"]["ids"]
        for end in ("", "_lo", "_hi")
    ]
    text = ("segment", "segment_name", "runner_up")
    numbers = ("segment_probability", "segment_probability_lo", "segment_probability_hi")
    return {name: np.full(count, None, dtype=object) for name in text} | {
        name: np.full(count, np.nan) for name in (*numbers, "runner_up_probability", *names)
    }
