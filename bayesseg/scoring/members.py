"""Segments: memberships over draws, how sure they are, and what they weigh."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesseg._random import Keys, bootstrap_weights, customer_keys
from bayesseg._types import Array, IntArray
from bayesseg.customers import Attributes, Customers
from bayesseg.families import FAMILIES
from bayesseg.features import apply, columns_of, raw_columns
from bayesseg.posterior import Posterior
from bayesseg.scoring import effects
from bayesseg.scoring.plan import Plan
from bayesseg.scoring.reduce import over_draws, over_rows
from bayesseg.scoring.settings import ends
from bayesseg.segment_map import divide, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

AT_ONCE, TOGETHER = 500, 8_192
"""Customers whose draws of memberships are in memory at a time, for each thread; customers to give to
``members`` in one call where nothing else decides it."""
SEGMENT_COLUMNS = {
    "segment": None,
    "segment_name": None,
    "segment_probability": np.nan,
    "segment_probability_lo": np.nan,
    "segment_probability_hi": np.nan,
    "runner_up": None,
    "runner_up_probability": np.nan,
    "p_top_stable": np.nan,
    "entropy": np.nan,
    "entropy_param": np.nan,
    "outlier_p": np.nan,
    "n_missing": np.nan,
}
"""The columns every run with segments gives, in order, and what stands there where it gives none."""


def members(
    plan: Plan,
    data: Customers | Attributes,
    customers: IntArray,
    per_draw: Mapping[str, Array],
    row: IntArray,
) -> tuple[dict[str, NDArray[Any]], dict[str, Array]]:
    """The segment columns of ``customers`` and per-draw sums by segment.

    Args:
        plan: draws and the segments to show.
        data: of these the ``customers`` are scored.
        customers: places in ``data``.
        per_draw: what is summed by membership, (n, S).
        row: the place in ``per_draw`` of each of the ``customers``, where it holds anything.

    Returns:
        Columns, and sums: ``size`` (S, K), ``segment_NAME`` (S, K) of what is ``per_draw``,
        ``effect_NAME`` (j, 2 S, K) as ``effects.columns`` has them and ``profile_NAME`` (2, 2 S, K):
        how many are known, and their values' sum. The last S of these count each customer by a
        weight of the Bayesian bootstrap: they vary as if other customers of the kind had come.
    """
    state = plan.posterior.features
    assert state is not None
    some = data.take(customers)
    raw = raw_columns(some, plan.posterior.spec.features, state)
    matrix = apply(state, raw)
    keys = customer_keys(some.ids, plan.posterior.manifest["seed"])
    order = np.lexsort(np.isnan(matrix).T)  # what a pattern of missing cells needs is reckoned once
    values, sums = dict[str, Any](), dict[str, Array]()
    for start in range(0, len(order), AT_ONCE):
        place = order[start : start + AT_ONCE]
        own = {name: found[place] for name, found in raw.items()}
        drawn = {name: found[row[place]] for name, found in per_draw.items()}
        piece, more = _some(plan, some, place, own, matrix[place], drawn, keys[place])
        for name, found in piece.items():
            values.setdefault(name, np.empty(len(order), dtype=found.dtype))[place] = found
        sums = {name: sums.get(name, 0.0) + found for name, found in more.items()}
    return values, sums


def _some(
    plan: Plan,
    data: Customers | Attributes,
    place: IntArray,
    raw: Mapping[str, NDArray[Any]],
    matrix: Array,
    per_draw: Mapping[str, Array],
    keys: Keys,
) -> tuple[dict[str, NDArray[Any]], dict[str, Array]]:
    posterior = plan.posterior
    state = posterior.features
    assert state is not None
    memberships = FAMILIES[posterior.spec.parts["segments"].family].memberships
    assert memberships is not None
    found = memberships(plan.segments, matrix)
    # the segments that experts see; where they merged or split some, ambiguity is of these, too
    member = np.ascontiguousarray(
        divide(plan.laid, found.shares, lambda: columns_of(data.take(place)))
    )
    weighed = {
        f"effect_{name}": cells for name, cells in effects.columns(state, matrix, raw).items()
    }
    for name in state.profiled:
        values = raw[name].astype(np.float64)
        known = np.isfinite(values)
        weighed[f"profile_{name}"] = np.stack([known, np.where(known, values, 0.0)], axis=1)
    again = member * bootstrap_weights(keys, member.shape[1])[..., None]
    both = np.concatenate([member, again], axis=1)
    sums = {"size": member.sum(axis=0)} | _summed(weighed, both)
    sums |= {
        f"segment_{name}": np.einsum("nsk,ns->sk", member, per_draw[name])
        for name in ("p_churn", "clv", "value_at_risk")
        if name in per_draw
    }
    columns = _columns(plan, member) | {
        "outlier_p": found.beyond,
        "n_missing": np.isnan(matrix[:, : len(state.features)]).sum(axis=1),
    }
    return columns, sums


def _columns(plan: Plan, member: Array) -> dict[str, NDArray[Any]]:
    """What (n, S, K) memberships say of each row."""
    mean, top, ambiguity = over_draws(member)
    ordered = np.ascontiguousarray(np.swapaxes(member, 1, 2))
    ordered.sort(axis=2)
    low, high = ends(ordered)
    ids = np.array([one.id for one in plan.shown], dtype=object)
    names = np.array([one.name for one in plan.shown], dtype=object)
    order = np.argsort(-mean, axis=1, kind="stable")
    first, rows = order[:, 0], np.arange(len(mean))
    entropy = 0.0 - (mean * np.log(np.maximum(mean, 1e-300))).sum(axis=1)  # never -0.0
    out: dict[str, NDArray[Any]] = {
        "segment": ids[first],
        "segment_name": names[first],
        "segment_probability": mean[rows, first],
        "segment_probability_lo": low[rows, first],
        "segment_probability_hi": high[rows, first],
        "runner_up": np.full(len(mean), None, dtype=object),
        "runner_up_probability": np.full(len(mean), np.nan),
        "p_top_stable": top[rows, first],
        "entropy": np.maximum(entropy, ambiguity),
        "entropy_param": np.maximum(entropy - ambiguity, 0.0),
    }
    if len(ids) > 1:
        second = order[:, 1]
        out |= {"runner_up": ids[second], "runner_up_probability": mean[rows, second]}
    for k, name in enumerate(ids):
        out[f"membership_{name}"] = mean[:, k]
        out[f"membership_{name}_lo"], out[f"membership_{name}_hi"] = low[:, k], high[:, k]
    return out


def _summed(columns: Mapping[str, Array], member: Array) -> dict[str, Array]:
    """Sums of each column (n, j) by membership (n, S, K), (j, S, K), in one pass over the rows."""
    widths = [found.shape[1] for found in columns.values()]
    total = over_rows(np.concatenate(list(columns.values()), axis=1), member)
    return dict(zip(columns, np.split(total, np.cumsum(widths)[:-1]), strict=True))


def blank(posterior: Posterior, count: int) -> dict[str, NDArray[Any]]:
    """The segment columns of a run whose segmentation failed its gates: there, and empty."""
    names = [
        f"membership_{one.id}{end}"
        for one in shown(posterior.manifest["segments"])
        for end in ("", "_lo", "_hi")
    ]
    empty = SEGMENT_COLUMNS | dict.fromkeys(names, np.nan)
    return {
        name: np.full(count, value, dtype=object if value is None else np.float64)
        for name, value in empty.items()
    }
