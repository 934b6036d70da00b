"""Customers who lie apart from all others: flags, never deletions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from bayesseg.customers import Customers

FEATURES = ("repeat purchase days", "days since the last purchase", "mean spend of a purchase day")
TAIL = 0.999
ANOMALY = 0.7
"""Liu, Ting and Zhou (2008), section 2: scores near 1 are anomalies, those well below 0.5 are not."""
MOST = 20_000
"""Customers drawn for the forest, which is not exact anyway: time does not grow with the log."""
_LEAST = 50


@dataclass(frozen=True, slots=True)
class Apart:
    """Indices of the customers flagged, and how many were looked at."""

    mahalanobis: npt.NDArray[np.int64]
    forest: npt.NDArray[np.int64]
    asked: int
    asked_of_forest: int


def apart(customers: Customers, seed: int = 1) -> Apart | None:
    """Flag customers by squared Mahalanobis distance and by an isolation forest.

    Both read logarithms of ``FEATURES``. A distance counts above the ``TAIL`` quantile of chi-squared;
    one or two in a hundred real customers, whose tails are heavier than normal, lie beyond it.

    Args:
        customers: N histories.
        seed: of the draw of at most ``MOST`` customers and of the forest.

    Returns:
        None where there are too few customers, or too few different ones, to say who is apart, or
        where rows stand for several.
    """
    matrix = _features(customers)
    matrix = matrix[:, matrix.std(axis=0) > 0.0]
    if len(customers) < _LEAST or not matrix.size or customers.n is not None:
        return None
    centred = (matrix - matrix.mean(axis=0)) / matrix.std(axis=0)
    inverse = np.linalg.pinv(np.cov(centred, rowvar=False).reshape(matrix.shape[1], -1))
    distance = np.einsum("ij,jk,ik->i", centred, inverse, centred)
    far = np.flatnonzero(distance > chi2.ppf(TAIL, matrix.shape[1]))
    rows = np.arange(len(customers))
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST, replace=False))
    return Apart(far, rows[_isolated(centred[rows], seed)], len(customers), len(rows))


def _features(c: Customers) -> npt.NDArray[np.float64]:
    """(N, 3): logarithms of ``FEATURES``, money in units of its median."""
    mean = (c.first_spend + c.repeat_spend) / (1.0 + c.x)
    unit = np.median(mean[mean > 0]) if (mean > 0).any() else 1.0
    return np.column_stack([np.log1p(c.x), np.log1p(c.t_end - c.t_x), np.log1p(mean / unit)])


def _isolated(matrix: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.bool_]:
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(random_state=seed, n_jobs=1).fit(matrix)
    return np.asarray(-forest.score_samples(matrix) > ANOMALY)
