"""Population stability index beside what chance alone would give. L7."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesseg._types import Array, IntArray

BINS = 10
WATCH, REFIT = 0.10, 0.25
"""The convention; a shift counts only where it also exceeds chance."""
_SWAPS = 999
_SMOOTH = 0.5


@dataclass(frozen=True, slots=True)
class Shift:
    """``psi``, its 99 % quantile under no change, the share of no-change worlds with as much."""

    psi: float
    null: float
    p: float

    @property
    def level(self) -> str:
        """``stable``, ``watch`` or ``refit``."""
        if self.psi <= max(self.null, WATCH):
            return "stable"
        return "refit" if self.psi > REFIT else "watch"


def bins(before: Array, after: Array) -> tuple[IntArray, IntArray]:
    """Each value's bin: tenths of ``before``, or its own values where these are few; NaN apart."""
    seen = np.unique(before[~np.isnan(before)])
    if len(seen) > BINS:
        inner = np.quantile(before[~np.isnan(before)], np.arange(1, BINS) / BINS)
        edges = np.unique(inner)
    else:
        edges = (seen[1:] + seen[:-1]) / 2

    def place(values: Array) -> IntArray:
        found = np.searchsorted(edges, values, side="right")
        return np.where(np.isnan(values), len(edges) + 1, found).astype(np.int64)

    return place(before), place(after)


def index(before: Array, after: Array) -> Array:
    """PSI of counts (..., B), smoothed by half a customer a bin: (...)."""
    count = before.shape[-1]
    p = (before + _SMOOTH) / (before.sum(-1, keepdims=True) + _SMOOTH * count)
    q = (after + _SMOOTH) / (after.sum(-1, keepdims=True) + _SMOOTH * count)
    return np.asarray(((q - p) * np.log(q / p)).sum(-1))


def shift(
    before: IntArray,
    after: IntArray,
    pairs: tuple[IntArray, IntArray],
    rng: np.random.Generator,
) -> Shift:
    """PSI between two periods and its null, in which periods mean nothing.

    A customer seen in both swaps periods by a coin; one seen in one period falls into either, the
    periods keeping their sizes. Only cells are counted, so this costs the same for any number of
    customers.

    Args:
        before: (N,) bins of the first period.
        after: (M,) bins of the second.
        pairs: rows of ``before`` and of ``after`` that are one customer.
        rng: draws the no-change worlds.
    """
    count = int(max(before.max(), after.max())) + 1
    first, second = (np.bincount(v, minlength=count) for v in (before, after))
    seen = float(index(first.astype(np.float64), second.astype(np.float64)))
    a, b = before[pairs[0]], after[pairs[1]]
    both = np.bincount(a * count + b, minlength=count * count).reshape(count, count)
    swapped = rng.binomial(both, 0.5, size=(_SWAPS, count, count))
    moved = swapped.sum(1) - swapped.sum(2)  # gained less lost, by the first period
    alone_first = first - both.sum(1)
    alone_second = second - both.sum(0)
    pool = alone_first + alone_second
    drawn = rng.multivariate_hypergeometric(
        pool, int(alone_first.sum()), size=_SWAPS, method="marginals"
    )
    one = both.sum(1) + moved + drawn
    other = both.sum(0) - moved + pool - drawn
    worlds = index(one.astype(np.float64), other.astype(np.float64))
    p = float((1 + (worlds >= seen).sum()) / (1 + _SWAPS))
    return Shift(seen, float(np.quantile(worlds, 0.99)), p)
