"""How much each column differs between segments. L7.

Numbers by eta squared: the share of their variance that lies between segments (of features on the scale
the model sees); yes-or-no, categories and text by Cramér's V. Members count by membership, and no test
goes with it: after clustering on a feature its p-value means nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg._types import Array
from bayesseg.features import Feature, FeatureState, coded


@dataclass(frozen=True, slots=True)
class Effect:
    """The ``measure`` of one column and its value under each draw of the sums; NaN where nothing varies.

    ``role`` is ``"base"`` for what the segments were made of, and which therefore differs, or
    ``"descriptor"``.
    """

    measure: str
    role: str
    values: Array


def columns(
    state: FeatureState, matrix: Array, raw: Mapping[str, npt.NDArray[Any]]
) -> dict[str, Array]:
    """What is to be summed by membership, by column: (n, j), zero where the column is missing.

    Of a number its presence, values and squares; of anything else the presence of each level.
    """
    found = {f.column: _columns(f, matrix[:, d]) for d, f in enumerate(state.features)}
    found |= {name: _moments(raw[name].astype(np.float64)) for name in state.descriptors}
    return found | {f.column: _levels(coded(f, raw), len(f.levels)) for f in state.texts}


def effects(state: FeatureState, sums: Mapping[str, Array]) -> dict[str, Effect]:
    """The effect of each column, from sums over rows of ``columns`` by membership, (j, S, K)."""
    kinds = {f.column: ("base", f.type) for f in state.features}
    kinds |= dict.fromkeys(state.descriptors, ("descriptor", "number"))
    kinds |= {f.column: ("descriptor", "category") for f in state.texts}
    return {
        name: Effect(measure, role, of(sums[name]))
        for name, (role, kind) in kinds.items()
        for measure, of in (MEASURES[kind],)
    }


def _columns(feature: Feature, values: Array) -> Array:
    if feature.levels:
        return _levels(values, len(feature.levels))
    return _levels(values, 2) if feature.type == "binary" else _moments(values)


def _levels(codes: Array, count: int) -> Array:
    return np.asarray(codes[:, None] == np.arange(count), dtype=np.float64)


def _moments(values: Array) -> Array:
    known = np.isfinite(values)
    seen = np.where(known, values, 0.0)
    return np.stack([known.astype(np.float64), seen, seen**2], axis=1)


def _eta_squared(parts: Array) -> Array:
    """Between over total sum of squares, (S,)."""
    size, total, square = parts
    level = _over(total.sum(1) ** 2, size.sum(1))
    between, whole = _over(total**2, size).sum(1) - level, square.sum(1) - level
    varies = whole > 1e-12 * square.sum(1)  # beyond rounding
    share = _over(between, np.where(varies, whole, 0.0), np.nan)
    return np.asarray(np.clip(share, 0.0, 1.0))


def _cramers_v(counts: Array) -> Array:
    """sqrt(chi squared / n / (fewer of levels and segments - 1)), (S,)."""
    seen = counts[counts.sum((1, 2)) > 0]
    n = counts.sum((0, 2))
    expected = _over(seen.sum(2, keepdims=True) * seen.sum(0), n[:, None])
    chi_squared = _over((seen - expected) ** 2, expected).sum((0, 2))
    filled = (counts.sum(0) > 0).sum(1)  # a split whose rule nobody fulfils leaves a part empty
    least = np.minimum(seen.shape[0], filled) - 1
    return np.asarray(np.sqrt(_over(chi_squared, n * least, np.nan)))


def _over(value: Array, by: Array, without: float = 0.0) -> Array:
    """``value / by``, and ``without`` where ``by`` is 0."""
    by = np.broadcast_to(by, np.broadcast_shapes(value.shape, np.shape(by)))
    out: Array = np.full(by.shape, without)
    return np.divide(value, by, out=out, where=by != 0.0)


MEASURES: Mapping[str, tuple[str, Callable[[Array], Array]]] = {
    "number": ("eta squared", _eta_squared),
    "count": ("eta squared", _eta_squared),
    "binary": ("Cramér's V", _cramers_v),
    "category": ("Cramér's V", _cramers_v),
    "ordinal": ("Cramér's V", _cramers_v),
}
"""By type of column: what it is called, and the function of its sums (j, S, K)."""
