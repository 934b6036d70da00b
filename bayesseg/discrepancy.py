"""What past misses of a total say of the next one. L6.

Let δ = ln(actual / forecast) of a total, and s the standard deviation of the logarithm of its predictive
draws: what the model itself admits. Beyond that a model misses by ε ~ N(0, σ²), so δ ~ N(0, s² + σ²).
With a probability of one half σ is nought, the model is right; else σ is half-t, typically a fifth, as
totals of shops are missed. Past misses weigh each σ by their likelihood, on a grid and so exactly, and
multiplying the draws of the next total by e^ε, ε of the mixture, widens its interval.

Were σ not allowed to be nought, the intervals of a right model would stay too wide for ever; were s
forgotten, its own uncertainty would be counted twice.

References:
    Kennedy & O'Hagan (2001), JRSS B 63: model discrepancy. Gelman (2006), Bayesian Analysis 1: half-t.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bayesseg._types import Array

PRIOR = {"right": 0.5, "nu": 4.0, "scale": 0.2}
"""P(σ = 0), and degrees and scale of the half-t of σ otherwise."""
_SIGMA = np.concatenate([[0.0], np.geomspace(0.004, 4.0, 120)])
_EPSILON = np.concatenate([[0.0], np.geomspace(1e-5, 40.0, 1200)])
_LEAST_SPREAD = 1e-4
_FACTORS = 400


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """What is believed of the next ε: ``weights`` of each σ, after ``learnt_from`` misses."""

    weights: Array
    learnt_from: int

    @property
    def right(self) -> float:
        """P(the model misses by no more than it admits)."""
        return float(self.weights[0])

    def quantiles(self, p: Array) -> Array:
        """Of ε."""
        from scipy.special import ndtr

        with np.errstate(divide="ignore"):
            upper = 1 - ndtr(-_EPSILON[:, None] / _SIGMA[1:]) @ self.weights[1:]
        grid = np.concatenate([-_EPSILON[::-1], _EPSILON])
        return np.asarray(np.interp(p, np.concatenate([1 - upper[::-1], upper]), grid))

    def factor(self, level: float) -> tuple[float, float]:
        """The central interval of e^ε at ``level``."""
        reach = float(self.quantiles(np.array([(1 + level) / 2]))[0])
        return math.exp(-reach), math.exp(reach)

    def widened(self, totals: Array, level: float) -> tuple[float, float]:
        """The central interval at ``level`` of a total, given its predictive draws (R,).

        Every draw meets every ε of a grid of quantiles, so that ε adds no noise of its own to the ends.
        """
        factors = np.exp(self.quantiles((np.arange(_FACTORS) + 0.5) / _FACTORS))
        ends = (1 - level) / 2, (1 + level) / 2
        low, high = np.quantile(np.multiply.outer(totals, factors), ends)
        return float(low), float(high)


def learnt(misses: Sequence[Mapping[str, Any]]) -> Discrepancy:
    """What ``misses``, as ``miss`` gives them, teach of the next one; of none, the prior."""
    delta = np.array([one["log"] for one in misses])
    spread = np.array([one["spread"] for one in misses])
    variance = _SIGMA[:, None] ** 2 + np.maximum(spread, _LEAST_SPREAD) ** 2
    logs = np.log(_prior()) - 0.5 * (np.log(variance) + delta**2 / variance).sum(axis=1)
    weights = np.exp(logs - logs.max())
    return Discrepancy(weights / weights.sum(), len(misses))


@cache
def _prior() -> Array:
    """The prior probability of each σ of the grid."""
    from scipy.special import stdtr

    middles = np.sqrt(_SIGMA[1:-1] * _SIGMA[2:])
    edges = np.concatenate([[0.0], middles, [np.inf]]) / PRIOR["scale"]
    cells = np.diff(2 * stdtr(PRIOR["nu"], edges) - 1)
    return np.concatenate([[PRIOR["right"]], (1 - PRIOR["right"]) * cells])


def miss(
    actual: float, mean: float | None, totals: Array, least: float = 0.5
) -> dict[str, float] | None:
    """δ (``log``) and s (``spread``) of a total; None where there is no forecast.

    Totals below ``least``, half a purchase or its worth, count as that: of nothing there is no
    logarithm, and a total that never came is the worst miss of all.
    """
    if not (mean or 0) > 0 or not least > 0:
        return None
    assert mean is not None
    return {
        "log": math.log(max(actual, least) / max(mean, least)),
        "spread": float(np.log(np.maximum(totals, least)).std()),
    }
