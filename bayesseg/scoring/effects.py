"""How much each feature differs between segments. L7.

Numbers by eta squared: the share of their variance, on the scale the model sees, that lies between
segments; yes-or-no and categories by Cramér's V. Members count by membership, and no test goes with
it: after clustering on a feature its p-value means nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesseg._types import Array
from bayesseg.features import Feature, FeatureState

MEASURES = {
    "number": "eta squared",
    "binary": "Cramér's V",
    "category": "Cramér's V",
    "count": "eta squared",
}
_PREFIX = "effect_"


def sums(state: FeatureState, matrix: Array, member: Array) -> dict[str, Array]:
    """Sums over rows, to be added up over chunks and given to ``effects``.

    Args:
        state: the learned features.
        matrix: (n, columns) on the model's scale, NaN where missing.
        member: (n, S, K) memberships under each draw.

    Returns:
        By feature: (S, K, 3) weights, sums and squares; of a category (S, K, levels).
    """
    found = {}
    for d, feature in enumerate(state.features):
        values = matrix[:, d]
        known = np.isfinite(values)
        columns = _columns(feature, values[known])
        found[f"{_PREFIX}{feature.column}"] = np.einsum("nsk,nj->skj", member[known], columns)
    return found


def _columns(feature: Feature, values: Array) -> Array:
    if feature.type == "category":
        return np.asarray(values[:, None] == np.arange(len(feature.levels)), dtype=np.float64)
    if feature.type == "binary":
        return np.stack([1.0 - values, values], axis=1)
    return np.stack([np.ones_like(values), values, values**2], axis=1)


def effects(state: FeatureState, summed: Mapping[str, Array]) -> dict[str, tuple[str, Array]]:
    """The measure of each feature and its value under each draw, (S,)."""
    of: dict[str, Any] = {"eta squared": _eta_squared, "Cramér's V": _cramers_v}
    return {
        feature.column: (measure, of[measure](summed[f"{_PREFIX}{feature.column}"]))
        for feature in state.features
        for measure in (MEASURES[feature.type],)
    }


def _eta_squared(parts: Array) -> Array:
    size, total, square = np.moveaxis(parts, -1, 0)
    n, mean = size.sum(1), total.sum(1) / size.sum(1)
    between = (total**2 / np.maximum(size, 1e-300)).sum(1) - n * mean**2
    return np.asarray(between / (square.sum(1) - n * mean**2))


def _cramers_v(counts: Array) -> Array:
    n = counts.sum((1, 2), keepdims=True)
    expected = counts.sum(2, keepdims=True) * counts.sum(1, keepdims=True) / n
    chi_squared = ((counts - expected) ** 2 / np.maximum(expected, 1e-300)).sum((1, 2))
    least = min((counts.sum((0, 1)) > 0).sum(), counts.shape[1]) - 1
    return np.asarray(np.sqrt(chi_squared / n[:, 0, 0] / max(least, 1)))
