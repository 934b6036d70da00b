"""Scores of forecasts, each a few lines of NumPy over customers.

References:
    Ferro (2014), QJRMS 140: the fair CRPS of an ensemble.
    Czado, Gneiting & Held (2009), Biometrics 65: the randomised PIT of counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg._types import Array, IntArray
from bayesseg.aggregates import merged

type Groups = Mapping[str, tuple[list[str], IntArray]]
"""By attribute: the names of its cells and the cell of each customer, (N,)."""

LEVELS = (50, 80, 90, 95)
"""Central intervals whose coverage is counted, in per cent."""
LEVEL = 0.95
"""Of the interval of a total."""
TOP = 0.1
_BINS = 8
_PIT_BINS = 10


def crps(ordered: Array, actual: Array) -> Array:
    """Fair CRPS of each row: E|Y - y| - E|Y - Y'| / 2, unbiased for any number of draws.

    Args:
        ordered: (N, R) draws, ascending in each row, R > 1.
        actual: (N,).
    """
    count = ordered.shape[1]
    rank = 2.0 * np.arange(1, count + 1) - count - 1
    spread = (ordered @ rank) / (count * (count - 1))
    return np.asarray(np.abs(ordered - actual[:, None]).mean(axis=1) - spread)


def inside(ordered: Array, actual: Array) -> npt.NDArray[np.bool_]:
    """(N, levels): is ``actual`` within the central interval, ends included?"""
    count = ordered.shape[1]
    tail = (1 - np.array(LEVELS) / 100) / 2
    low = np.ceil(tail * count - 1e-9).astype(int) - 1
    high = np.ceil((1 - tail) * count - 1e-9).astype(int) - 1
    y = actual[:, None]
    return np.asarray((ordered[:, np.maximum(low, 0)] <= y) & (y <= ordered[:, high]))


def pit(ordered: Array, actual: Array, u: Array) -> Array:
    """Randomised PIT: uniform where ``actual`` is one more draw. ``u`` (N,) is uniform."""
    below = (ordered < actual[:, None]).sum(axis=1)
    equal = (ordered == actual[:, None]).sum(axis=1)
    return np.asarray((below + u * (equal + 1)) / (ordered.shape[1] + 1))


def uniformity(values: Array) -> dict[str, Any]:
    """Histogram of PIT values with the Kolmogorov-Smirnov distance to the uniform and its p-value."""
    from scipy.stats import kstest

    edges = np.linspace(0, 1, _PIT_BINS + 1)
    test = kstest(values, "uniform")
    return {
        "edges": edges.round(10).tolist(),
        "counts": np.histogram(values, edges)[0].tolist(),
        "ks": float(test.statistic),
        "p": float(test.pvalue),
    }


def points(expected: Array, actual: Array, *, logarithms: bool) -> dict[str, float | None]:
    """MAE, RMSE, MSLE (of ln(1 + y), where ``logarithms``) and correlation over customers."""
    error = expected - actual
    varies = np.ptp(expected) > 0 and np.ptp(actual) > 0
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "msle": float(((np.log1p(expected) - np.log1p(actual)) ** 2).mean())
        if logarithms
        else None,
        "correlation": float(np.corrcoef(expected, actual)[0, 1]) if varies else None,
    }


def total(mean: float | None, draws: Array | None, actual: float) -> dict[str, Any]:
    """A total forecast beside what came; ``draws`` (R,) are predictive, None for a point."""
    low = high = within = None
    if draws is not None:
        low, high = map(float, np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
        within = bool(low <= actual <= high)
    bias = mean / actual - 1 if actual and mean is not None else None
    return {
        "actual": float(actual),
        "mean": mean,
        "lo": low,
        "hi": high,
        "inside": within,
        "bias": bias,
    }


def brier(p: Array, bought: Array) -> float:
    """Mean squared error of probabilities."""
    return float(((p - bought) ** 2).mean())


def log_loss(p: Array, bought: Array) -> float:
    """Mean -ln of the probability given to what came; probabilities are kept 1e-9 off 0 and 1."""
    p = np.clip(p, 1e-9, 1 - 1e-9)
    return float(-np.where(bought > 0, np.log(p), np.log1p(-p)).mean())


def auc(score: Array, bought: Array) -> float | None:
    """P(a buyer ranks above a non-buyer), ties half; None without both."""
    from scipy.stats import rankdata

    yes = int((bought > 0).sum())
    no = len(bought) - yes
    if not yes or not no:
        return None
    ranks = float(rankdata(score)[bought > 0].sum())
    return (ranks - yes * (yes + 1) / 2) / (yes * no)


def top_share(score: Array, amount: Array) -> float | None:
    """Share of ``amount`` that the tenth of customers ranked first holds; ties at the border share."""
    whole = float(amount.sum())
    if not whole:
        return None
    room = TOP * len(score)
    edge = np.sort(score)[::-1][max(int(np.ceil(room)) - 1, 0)]
    above, at = score > edge, score == edge
    part = (room - above.sum()) / at.sum()
    return float((amount[above].sum() + part * amount[at].sum()) / whole)


def active(
    p: Array, rank: Array, purchases: IntArray, *, probability: bool = True
) -> dict[str, Any]:
    """How well "buys in the holdout" was foretold; ``p`` is only a ranking unless ``probability``.

    ``rank`` orders customers for the top tenth of purchases, ``p`` for the AUC and the lift.
    """
    bought = (purchases > 0).astype(np.float64)
    lift = top_share(p, bought)
    return {
        "expected": float(p.sum()) if probability else None,
        "brier": brier(p, bought) if probability else None,
        "log_loss": log_loss(p, bought) if probability else None,
        "auc": auc(p, bought),
        "top_decile_share": top_share(rank, purchases.astype(np.float64)),
        "top_decile_lift": None if lift is None else lift / TOP,
    }


def by_x(x: IntArray, expected: Array, actual: Array) -> dict[str, Any]:
    """Mean purchases in the holdout by repeat purchases before it: 0 to 6, and 7 or more."""
    names = [*map(str, range(_BINS - 1)), f"{_BINS - 1}+"]
    return {"x": names} | _means(np.minimum(x, _BINS - 1), _BINS, expected, actual)


def by_group(groups: Groups, expected: Array, actual: Array) -> list[dict[str, Any]]:
    """Mean purchases in the holdout by what is known of customers."""
    return [
        {"column": column, "level": names} | _means(index, len(names), expected, actual)
        for column, (names, index) in groups.items()
    ]


def _means(cell: IntArray, count: int, expected: Array, actual: Array) -> dict[str, Any]:
    customers = np.bincount(cell, minlength=count)

    def mean(values: Array) -> list[float | None]:
        sums = np.bincount(cell, weights=values, minlength=count)
        return [float(s / n) if n else None for s, n in zip(sums, customers, strict=True)]

    return {
        "customers": customers.tolist(),
        "actual": mean(actual),
        "expected": mean(expected),
    }


def reliability(p: Array, purchases: IntArray) -> list[dict[str, Any]]:
    """Buyers foretold and counted in tenths of customers by P(buys); equal ones stay together.

    Neighbouring tenths are one until 11 of them bought and 11 did not; nobody is left out. Nothing where
    fewer did in all.
    """
    bought = purchases > 0
    edges = np.unique(np.quantile(p, np.linspace(0, 1, 11)))
    place = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, max(len(edges) - 2, 0))
    cells = [place == k for k in np.unique(place)]
    counts = np.array([[bought[cell].sum(), (~bought)[cell].sum()] for cell in cells])
    return [
        {
            "expected": float(p[own].mean()),
            "actual": float(bought[own].mean()),
            "customers": int(own.sum()),
        }
        for group in merged(counts)
        for own in (np.any(cells[group], axis=0),)
    ]


def coverage(flags: npt.NDArray[np.bool_]) -> Mapping[str, float]:
    """Share of customers inside each interval, from ``inside``."""
    return {str(level): float(flags[:, i].mean()) for i, level in enumerate(LEVELS)}
