"""Statistics of values that stand for several customers each: those of the values repeated. L0.

Everything goes through sorted distinct values, so that a histogram and the customers it was made of
give the same bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bayesseg._types import Array, IntArray

ONE = np.int64(1)
"""The weight of values that stand for themselves."""


def collapsed(values: npt.ArrayLike, weights: npt.ArrayLike = ONE) -> tuple[Array, IntArray]:
    """Sorted distinct values and the whole number of customers of each; ``values`` hold no NaN."""
    given = np.asarray(values, dtype=np.float64)
    order = np.argsort(given)
    given = given[order]
    weights = np.broadcast_to(np.asarray(weights, dtype=np.int64), given.shape)[order]
    first = np.flatnonzero(np.concatenate([[True], given[1:] != given[:-1]])[: len(given)])
    return given[first], np.add.reduceat(weights, first) if len(first) else weights


def mean(values: npt.ArrayLike, weights: npt.ArrayLike = ONE) -> float:
    """Mean; NaN of nothing."""
    known, counts = collapsed(values, weights)
    return float((known * counts).sum() / counts.sum()) if len(known) else float("nan")


def quantiles(values: npt.ArrayLike, shares: npt.ArrayLike, weights: npt.ArrayLike = ONE) -> Array:
    """Quantiles by linear interpolation, one a share, as NumPy's of the values repeated."""
    known, counts = collapsed(values, weights)
    last = np.cumsum(counts)
    at = np.asarray(shares, dtype=np.float64) * (last[-1] - 1)
    low, high = (
        known[np.searchsorted(last, side, "right")] for side in (np.floor(at), np.ceil(at))
    )
    return np.asarray(low + (high - low) * (at - np.floor(at)))


def rank_correlation(a: npt.ArrayLike, b: npt.ArrayLike, weights: npt.ArrayLike = ONE) -> float:
    """Spearman's rank correlation, ties at their middle rank; NaN where a side is constant."""
    sides = [np.asarray(side, dtype=np.float64) for side in (a, b)]
    weights = np.broadcast_to(np.asarray(weights, dtype=np.float64), sides[0].shape)
    total = weights.sum()
    ranks = []
    for side in sides:
        known, counts = collapsed(side, weights)
        middle = np.cumsum(counts) - (counts - 1) / 2
        rank = middle[np.searchsorted(known, side)]
        ranks.append(rank - (rank * weights).sum() / total)
    first, second = ranks
    scale = np.sqrt((first**2 * weights).sum() * (second**2 * weights).sum())
    return float((first * second * weights).sum() / scale) if scale > 0 else float("nan")
