"""The segments beside the customers they were found in: plane, profile, pairs and merges. L7."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg._random import bootstrap_weights
from bayesseg._types import SMALLEST, Array, Draws, IntArray
from bayesseg.aggregates.cells import interval
from bayesseg.aggregates.merging import merge_tree
from bayesseg.aggregates.projection import projection
from bayesseg.families.gmm import responsibilities
from bayesseg.features import Feature, FeatureState, apply
from bayesseg.posterior import thinned

DRAWS = 40
_NUMBERS = 8_000_000  # memberships held at once, which bounds the customers looked at
_GROUPS = 48


def segment_aggregates(
    draws: Draws, state: FeatureState, raw: Mapping[str, npt.NDArray[Any]]
) -> dict[str, Any]:
    """What the pictures of the segments need, from memberships under 40 draws.

    Args:
        draws: the mixture's draws.
        state: the learned features.
        raw: the columns they are made of, (N,) each; any order of rows gives the same numbers.

    Returns:
        JSON-able, segments by their place among the draws: ``customers``, ``rows`` (of how many it is
        told: all, or evenly many over all sorted by their features), ``projection`` (or null),
        ``profile``, ``together``, ``merges``.
    """
    theta = thinned(draws, DRAWS)
    matrix = apply(state, raw)
    beside = {name: raw[name].astype(np.float64) for name in state.descriptors}
    order = np.lexsort([*reversed(beside.values()), *matrix.T[::-1]])
    size = min(len(order), max(SMALLEST, _NUMBERS // theta["weights"].size))
    order = order[np.linspace(0, len(order) - 1, size).astype(np.int64)]
    rows = matrix[order]
    member = responsibilities(theta, rows)
    beside = {name: values[order] for name, values in beside.items()}
    return {
        "customers": len(matrix),
        "rows": len(rows),
        "projection": projection(theta, state, rows, member.mean(1)),
        "profile": _profile(state, rows, beside, member),
        "together": _together(member),
        "merges": merge_tree(member),
    }


# --- profile -------------------------------------------------------------------------------------


def _profile(
    state: FeatureState, rows: Array, descriptors: Mapping[str, Array], member: Array
) -> list[dict[str, Any]]:
    """One line a feature, or a level of one: each segment beside everybody.

    ``away`` is the segment's mean less that of all, in standard deviations of all; ``share`` that of
    the members with a yes, or of the level. Members count by membership; intervals are over draws and
    over the sampling of customers (Bayesian bootstrap, weights by place among the sorted rows).
    """
    found = []
    resampled = bootstrap_weights(np.arange(len(rows), dtype=np.uint64), member.shape[1])
    for feature, level, values, weight in _lines(state, rows, descriptors):
        known = np.isfinite(values) & (weight > 0)
        if known.sum() < SMALLEST:
            continue
        x, w = values[known], weight[known]
        centre = float(w @ x / w.sum())
        spread = float(np.sqrt(w @ (x - centre) ** 2 / w.sum()))
        spread = spread if spread > 0 else 1.0
        own = member[known] * w[:, None, None]
        mean = _mean(own, x)
        away = (mean - centre) / spread
        anew = resampled[known]
        again = _mean(own * anew[..., None], x)
        moved = (again - ((w * x) @ anew / (w @ anew))[:, None]) / spread
        shared = level is not None or feature.type == "binary"
        found.append(
            {
                "feature": feature.column,
                "type": feature.type,
                "level": level,
                "known": float(known.mean()),
                "away": [interval(*both) for both in zip(away.T, moved.T, strict=True)],
                "share": [interval(*both) for both in zip(mean.T, again.T, strict=True)]
                if shared
                else None,
                "share_of_all": centre if shared else None,
            }
        )
    return found


def _mean(weight: Array, values: Array) -> Array:
    """Means of (n,) by weights (n, S, K): (S, K)."""
    total = np.einsum("nsk,n->sk", weight, values)
    return np.asarray(total / np.maximum(weight.sum(0), 1e-300))


def _lines(
    state: FeatureState, rows: Array, descriptors: Mapping[str, Array]
) -> Iterator[tuple[Feature, str | None, Array, Array]]:
    """Feature, level, values and their weights (exposures of a count); rare levels together."""
    once = np.ones(len(rows))
    exposure = len(state.features)
    for d, feature in enumerate(state.features):
        values = rows[:, d]
        if feature.levels:
            for level, places in _levels(feature, values):
                is_one = np.isin(values, places).astype(np.float64)
                yield feature, level, np.where(np.isnan(values), np.nan, is_one), once
        elif feature.type == "count":
            yield feature, None, values / rows[:, exposure], rows[:, exposure]
            exposure += 1
        else:
            yield feature, None, values, once
    for name, values in descriptors.items():
        yield Feature(name, "descriptor", "identity", 0.0, 1.0), None, values, once


def _levels(feature: Feature, values: Array) -> list[tuple[str, list[int]]]:
    """Levels of 11 customers or more, commonest first; the others as one, where they are so many."""
    counts = np.array([(values == place).sum() for place in range(len(feature.levels))])
    order = np.argsort(-counts, kind="stable").tolist()
    found = [(feature.levels[i], [i]) for i in order if counts[i] >= SMALLEST]
    rare = [i for i in order if counts[i] < SMALLEST]
    return found + ([("…", rare)] if counts[rare].sum() >= SMALLEST else [])


# --- pairs ---------------------------------------------------------------------------------------


def _together(member: Array) -> dict[str, Any]:
    """How probably two customers share a segment, between groups of 11 or more and between segments.

    Customers stand in groups by their likeliest segment, within it from those who lean to an earlier one
    over those who are sure to those who lean to a later one. Given the parameters they are independent,
    so a pair's probability is the sum of products of memberships; averaged over the pairs of two groups
    that is the product of the groups' means.
    """
    mean = member.mean(1)
    two = np.argsort(-mean, axis=1, kind="stable")[:, :2]
    lean = np.sign(two[:, -1] - two[:, 0]) * (1.0 - mean.max(1))
    order = np.lexsort((lean, two[:, 0]))
    label = two[order, 0]
    size = max(SMALLEST, -(-len(member) // _GROUPS))
    groups, segment = [], []
    for k in range(member.shape[2]):
        rows = order[label == k]
        pieces = max(1, len(rows) // size)
        if len(rows) >= SMALLEST:
            groups += np.array_split(rows, pieces)
            segment += [k] * pieces
    whole = [k for k in range(member.shape[2]) if k in segment]
    wide = _pairs(member, [order[label == k] for k in whole])
    return {
        "segment": segment,
        "customers": [len(rows) for rows in groups],
        "left_out": len(member) - sum(map(len, groups)),
        "matrix": _pairs(member, groups).mean(0).round(3).tolist(),
        "segments": whole,
        "between": [
            [interval(wide[:, j, k]) for k in range(len(whole))] for j in range(len(whole))
        ],
    }


def _pairs(member: Array, groups: Sequence[IntArray]) -> Array:
    """Mean probability over pairs of different customers: (S, groups, groups)."""
    if not groups:
        return np.empty((member.shape[1], 0, 0))
    sums = np.stack([member[rows].sum(0) for rows in groups], axis=1)  # (S, groups, K)
    itself = np.stack([(member[rows] ** 2).sum((0, 2)) for rows in groups], axis=1)
    n = np.array([len(rows) for rows in groups], dtype=np.float64)
    both = sums @ sums.swapaxes(1, 2)
    at = np.arange(len(groups))
    both[:, at, at] -= itself
    return np.asarray(both / (n[:, None] * (n[None, :] - np.eye(len(groups)))))
