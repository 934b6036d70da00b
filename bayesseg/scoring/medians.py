"""Medians of what a segment is like: weighted by membership, under each draw. L7.

Means and spreads are sums and stream; a median needs the rows in order. So it is taken of so many
customers and draws as fit in bounded memory: all of them in most files, else a sample by their keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg._compiled import compiled
from bayesseg._random import bootstrap_weights, customer_keys
from bayesseg._types import Array, IntArray
from bayesseg.customers import Attributes, Customers
from bayesseg.families import FAMILIES
from bayesseg.features import apply, columns_of, raw_columns
from bayesseg.scoring.plan import Plan
from bayesseg.scoring.sample import sample_of
from bayesseg.segment_map import divide

DRAWS = 100
_NUMBERS = 16_000_000  # memberships held at once, in single precision
_AT_ONCE = 1_000


def medians(plan: Plan, data: Customers | Attributes) -> dict[str, Array]:
    """The median of each profiled number by draw and segment, (2 S, K); NaN where nobody has one.

    The last S count each customer by a weight of the Bayesian bootstrap, as ``members`` does.
    Yes-or-no features have none: a mean says all of them.

    Args:
        plan: draws and the segments to show.
        data: customers, or a sample of them, in the order of their ids.
    """
    state = plan.posterior.features
    assert state is not None
    first = next(iter(plan.segments.values()))
    some = np.linspace(0, len(first) - 1, min(len(first), DRAWS)).astype(np.int64)
    theta = {name: values[some] for name, values in plan.segments.items()}
    size = max(_NUMBERS // (len(some) * len(plan.shown)), 1)
    data = sample_of(data, plan.posterior.manifest["seed"], size)
    raw = raw_columns(data, plan.posterior.spec.features, state)
    member = np.empty((len(data), len(some), len(plan.shown)), dtype=np.float32)
    for rows, found in _members(plan, theta, data, raw):
        member[rows] = found
    flags = {f.column for f in state.features if f.type == "binary"}
    values = {name: raw[name].astype(np.float64) for name in state.profiled if name not in flags}
    plain = {name: weighted_medians(own, member) for name, own in values.items()}
    keys = customer_keys(data.ids, plan.posterior.manifest["seed"])
    member *= bootstrap_weights(keys, len(some))[..., None]
    return {
        name: np.concatenate([plain[name], weighted_medians(own, member)])
        for name, own in values.items()
    }


def _members(
    plan: Plan,
    theta: Mapping[str, Array],
    data: Customers | Attributes,
    raw: Mapping[str, npt.NDArray[Any]],
) -> Iterator[tuple[slice, Array]]:
    """Rows and their memberships of the segments shown, (n, S, K), a bounded number at a time."""
    state = plan.posterior.features
    memberships = FAMILIES[plan.posterior.spec.parts["segments"].family].memberships
    assert state is not None
    assert memberships is not None
    matrix = apply(state, raw)
    for start in range(0, len(data), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        yield (
            rows,
            divide(
                plan.laid, memberships(theta, matrix[rows]).shares, partial(_columns, data, rows)
            ),
        )


def _columns(data: Customers | Attributes, rows: slice) -> dict[str, npt.NDArray[Any]]:
    return columns_of(data.take(np.arange(len(data))[rows]))


def weighted_medians(values: Array, member: npt.NDArray[np.float32]) -> Array:
    """The value at which half of the weight lies on either side, (S, K).

    Half-way between two values where the weight is halved between them, as ``numpy.median`` has it.

    Args:
        values: (n,); NaN is left out.
        member: (n, S, K) weights.
    """
    known = np.flatnonzero(~np.isnan(values))
    return _medians(values, known[np.argsort(values[known], kind="stable")], member)


@compiled
def _medians(values: Array, order: IntArray, member: npt.NDArray[np.float32]) -> Array:
    _, S, K = member.shape
    whole, below = np.zeros((S, K)), np.zeros((S, K))
    found = np.full((S, K), np.nan)
    halved = np.zeros((S, K), dtype=np.bool_)  # exactly: the next value counts too
    for i in order:
        whole += member[i]
    for i in order:
        for s in range(S):
            for k in range(K):
                weight = member[i, s, k]
                if weight <= 0.0 or 2.0 * below[s, k] > whole[s, k]:
                    continue
                if halved[s, k]:
                    found[s, k] = (found[s, k] + values[i]) / 2.0
                    halved[s, k] = False
                below[s, k] += weight
                if np.isnan(found[s, k]) and 2.0 * below[s, k] >= whole[s, k]:
                    found[s, k] = values[i]
                    halved[s, k] = 2.0 * below[s, k] == whole[s, k]
    return found
