"""Segments in two dimensions: the plane that parts them best, and who lies where on it. L7."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesseg._types import SMALLEST, Array, IntArray
from bayesseg.aggregates.cells import clustered
from bayesseg.families.gmm import responsibilities
from bayesseg.features import FeatureState

LEVELS = (0.5, 0.9)
"""Shares of a segment inside its ellipses."""
_CELLS = 300
_OUTLINES = 12


@dataclass(frozen=True, slots=True)
class Plane:
    """Two directions of the number features, columns of ``axes`` (D, 2).

    ``kind`` is ``features`` (there are only two), ``discriminant`` (they part the centres best) or
    ``principal`` (one segment: they vary most); ``shown`` is the share each shows of the separation of
    the centres, or of the variance.
    """

    axes: Array
    kind: str
    shown: tuple[float, float]


def plane(weights: Array, mean: Array, covariance: Array, places: Array) -> Plane:
    """The directions to look along.

    Args:
        weights: (K,) of the segments.
        mean: (K, D) their centres.
        covariance: (K, D, D) within each.
        places: (n, D) where customers stand; where two segments differ along one direction, the other
            is that along which customers vary most beside it.
    """
    within = np.einsum("k,kde->de", weights, covariance)
    apart = mean - weights @ mean
    between = (apart * weights[:, None]).T @ apart
    if mean.shape[1] == 2:
        whole = np.diag(between) / max(np.trace(between), 1e-300)
        return Plane(np.eye(2), "features", (float(whole[0]), float(whole[1])))
    if len(weights) == 1:
        values, vectors = np.linalg.eigh(np.cov(places.T))
        shown = values[::-1][:2] / values.sum()
        return Plane(_upright(vectors[:, ::-1][:, :2]), "principal", (shown[0], shown[1]))
    root = np.linalg.inv(np.linalg.cholesky(within))
    values, vectors = np.linalg.eigh(root @ between @ root.T)
    axes = (root.T @ vectors)[:, ::-1][:, :2]  # within-segment variance 1 along each
    shown = np.maximum(values[::-1][:2], 0.0) / values.sum()
    if shown[1] < 1e-6:
        aside = np.eye(len(within)) - np.outer(axes[:, 0], axes[:, 0] @ within)
        other = aside @ np.linalg.eigh(np.cov((places @ aside).T))[1][:, -1]
        axes[:, 1] = other / np.sqrt(other @ within @ other)
    return Plane(_upright(axes), "discriminant", (float(shown[0]), float(shown[1])))


def _upright(axes: Array) -> Array:
    """Each direction with its largest coefficient above zero."""
    largest = axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])]
    return axes * np.where(largest < 0, -1.0, 1.0)


def completed(cells: Array, mean: Array, covariance: Array, member: Array) -> Array:
    """``cells`` (n, D) with missing ones at their conditional mean given the others of the row.

    The mean over segments, by membership (n, K), of E[missing | there, segment].
    """
    full = cells.copy()
    holes = np.isnan(cells)
    patterns, pattern = np.unique(holes[holes.any(1)], axis=0, return_inverse=True)
    where = np.flatnonzero(holes.any(1))
    for p, gone in enumerate(patterns):
        rows = where[pattern.reshape(-1) == p]
        there = ~gone
        total = np.zeros((len(rows), int(gone.sum())))
        for k in range(len(mean)):
            slope = np.linalg.solve(
                covariance[k][np.ix_(there, there)], covariance[k][np.ix_(there, gone)]
            )
            expected = mean[k, gone] + (cells[np.ix_(rows, there)] - mean[k, there]) @ slope
            total += member[rows, k, None] * expected
        full[np.ix_(rows, gone)] = total
    return full


def projection(
    theta: Mapping[str, Array], state: FeatureState, rows: Array, member: Array
) -> dict[str, Any] | None:
    """The segments on a plane of the number features, and customers in groups of 11 or more.

    Args:
        theta: S draws of the mixture.
        state: the learned features.
        rows: (n, columns) the feature matrix.
        member: (n, K) mean memberships.

    Returns:
        JSON-able, or nothing where there are fewer than two number features: ``kind``, ``shown``,
        ``axes`` (correlation of each feature with the two), ``agreement`` (share of customers whose
        likeliest segment is the same by these two directions alone), ``lacking`` (share with a number
        missing), ``segments`` (``centre``, ``covariance``, ``radii`` of the ellipses, ``draws`` of
        both), ``cells`` (``at``, ``segment``, ``certainty``, ``customers``), ``left_out`` (customers
        in no cell), ``levels``.
    """
    D, weights = state.numbers, theta["weights"].mean(0)
    if D < 2:
        return None
    if "covariance" in theta:
        spread = theta["covariance"]
    else:
        spread = np.asarray(theta["variance"][..., None] * np.eye(D))
    mean, covariance = theta["mean"].mean(0), spread.mean(0)
    numbers = rows[:, :D]
    filled = completed(numbers, mean, covariance, member)
    found = plane(weights, mean, covariance, filled)
    at = filled @ found.axes
    flat = _flattened(weights, mean, covariance, theta, found.axes)
    label = member.argmax(1)
    by_plane = responsibilities(flat, at)[:, 0].argmax(1)
    cells = _cells(at, label, member.max(1))
    radii = _radii(theta)
    some = np.linspace(0, len(spread) - 1, _OUTLINES).astype(np.int64)
    correlations = np.asarray(np.corrcoef(np.hstack([filled, at]).T))[:D, D:]
    return {
        "kind": found.kind,
        "shown": list(found.shown),
        "levels": list(LEVELS),
        "axes": [
            {"feature": name, "correlation": _rounded(correlations[d])}
            for d, name in enumerate(state.names[:D])
        ],
        "others": len(state.features) - D,
        "agreement": float((by_plane == label).mean()),
        "lacking": float(np.isnan(numbers).any(1).mean()),
        "segments": [
            {
                "centre": _rounded(flat["mean"][0, k]),
                "covariance": _rounded(flat["covariance"][0, k]),
                "radii": _rounded(radii[k]),
                "draws": [
                    {
                        "centre": _rounded(theta["mean"][s, k] @ found.axes),
                        "covariance": _rounded(found.axes.T @ spread[s, k] @ found.axes),
                    }
                    for s in some
                ],
            }
            for k in range(len(weights))
        ],
        "cells": cells,
        "left_out": len(rows) - sum(one["customers"] for one in cells),
    }


def _flattened(
    weights: Array, mean: Array, covariance: Array, theta: Mapping[str, Array], axes: Array
) -> dict[str, Array]:
    """The mixture at the mean of the draws, seen along two directions: one draw, (1, K, ...)."""
    flat = {
        "weights": weights[None],
        "mean": (mean @ axes)[None],
        "covariance": (axes.T @ covariance @ axes)[None],
    }
    return flat | ({"df": theta["df"].mean(0)[None]} if "df" in theta else {})


def _radii(theta: Mapping[str, Array]) -> Array:
    """How many standard deviations out each ellipse lies: (K, levels)."""
    from scipy.stats import chi2, f

    K = theta["weights"].shape[1]
    if "df" not in theta:
        return np.tile(np.sqrt(chi2.ppf(LEVELS, 2)), (K, 1))
    return np.asarray(np.sqrt(2.0 * f.ppf(LEVELS, 2, theta["df"].mean(0)[:, None])))


def _cells(at: Array, label: IntArray, certainty: Array) -> list[dict[str, Any]]:
    """Neighbours of one most likely segment together, about 300 groups in all."""
    size = max(SMALLEST, -(-len(at) // _CELLS))
    found = []
    for k in range(int(label.max()) + 1):
        rows = np.flatnonzero(label == k)
        for own in clustered(at[rows], min(size, max(SMALLEST, len(rows)))):
            group = rows[own]
            found.append(
                {
                    "at": _rounded(at[group].mean(0)),
                    "segment": k,
                    "certainty": round(float(certainty[group].mean()), 3),
                    "customers": len(group),
                }
            )
    return found


def _rounded(values: Array) -> Any:
    return np.round(values, 3).tolist()
