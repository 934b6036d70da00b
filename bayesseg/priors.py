"""Prior distributions as plain data: densities, quantiles and draws, in the units of a model file. L1.

A dimensioned prior names a unit; ``Scales`` says what that unit is worth in the data at hand, in the
model's time unit and currency. Days against weeks and euros against cents therefore give the same
posterior, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg import _weighted
from bayesseg._types import Columns
from bayesseg.errors import UsageError

type Scales = Mapping[str, float]
"""What each prior unit is worth: ``{"mean_window": 32.7, "median_order": 27.5}``."""

UNITS: Mapping[str, Callable[[Scales], float]] = {
    "": lambda scales: 1.0,
    "per_mean_window": lambda scales: 1.0 / scales["mean_window"],
    "median_order": lambda scales: scales["median_order"],
}
"""Prior units; each gives the factor from the prior's own unit to the model's unit."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A distribution a model file may name, and the numbers it asks for."""

    name: str
    arguments: tuple[str, ...]
    support: str
    frozen: Callable[[Mapping[str, float]], Any] | None = None


def _lognormal(p: Mapping[str, float]) -> Any:
    from scipy import stats

    return stats.lognorm(s=p["sigma"], scale=p["median"])


def _beta(p: Mapping[str, float]) -> Any:
    from scipy import stats

    return stats.beta(p["alpha"], p["beta"])


def _normal(p: Mapping[str, float]) -> Any:
    from scipy import stats

    return stats.norm(p["mean"], p["sd"])


def _halfnormal(p: Mapping[str, float]) -> Any:
    from scipy import stats

    return stats.halfnorm(scale=p["sd"])


def _exponential(p: Mapping[str, float]) -> Any:
    from scipy import stats

    return stats.expon(scale=p["scale"])


DISTRIBUTIONS: Mapping[str, Distribution] = {
    d.name: d
    for d in (
        Distribution("LogNormal", ("median", "sigma"), "positive", _lognormal),
        Distribution("Beta", ("alpha", "beta"), "unit", _beta),
        Distribution("Normal", ("mean", "sd"), "real", _normal),
        Distribution("HalfNormal", ("sd",), "positive", _halfnormal),
        Distribution("Exponential", ("scale",), "positive", _exponential),
        Distribution("Dirichlet", ("concentration",), "simplex"),
        Distribution("NormalGivenCovariance", ("mean", "kappa"), "real"),
        Distribution("InverseWishart", ("extra_df", "scale"), "covariance"),
        Distribution("BetaNegativeBinomial", ("size", "alpha", "beta"), "count"),
        Distribution("F", ("numerator", "denominator"), "positive"),
    )
}


@dataclass(frozen=True, slots=True)
class Prior:
    """One prior of a model file. ``arguments`` are the file's numbers, in the prior's own unit."""

    dist: str
    arguments: Mapping[str, float]
    unit: str = ""

    def factor(self, scales: Scales) -> float:
        """What one of the prior's own unit is worth in the model's unit."""
        return UNITS[self.unit](scales)


def _frozen(prior: Prior) -> Any:
    frozen = DISTRIBUTIONS[prior.dist].frozen
    if frozen is None:
        raise UsageError(f"{prior.dist} has no scalar density")
    return frozen(prior.arguments)


def quantile_of(prior: Prior, value: float, scales: Scales) -> float:
    """Prior probability below ``value`` (given in the model's unit)."""
    return float(_frozen(prior).cdf(value / prior.factor(scales)))


def logpdf(prior: Prior, value: npt.ArrayLike, scales: Scales) -> npt.NDArray[np.float64]:
    """Log prior density of ``value`` in the model's unit; same shape as ``value``."""
    factor = prior.factor(scales)
    return np.asarray(
        _frozen(prior).logpdf(np.asarray(value, dtype=float) / factor) - math.log(factor)
    )


def sample(
    prior: Prior, size: int, scales: Scales, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """``size`` independent draws from the prior, in the model's unit."""
    return np.asarray(_frozen(prior).rvs(size=size, random_state=rng)) * prior.factor(scales)


def sd(prior: Prior, scales: Scales) -> float:
    """Prior standard deviation in the model's unit."""
    return float(_frozen(prior).std()) * prior.factor(scales)


def unbounded(prior: Prior, value: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """``value`` on the scale without bounds: its logarithm, log odds or itself, by the support."""
    values = np.asarray(value, dtype=float)
    support = DISTRIBUTIONS[prior.dist].support
    with np.errstate(all="ignore"):
        if support == "positive":
            return np.log(values)
        return np.log(values / (1 - values)) if support == "unit" else values


def unbounded_sd(prior: Prior, scales: Scales) -> float:
    """Prior standard deviation on the scale of ``unbounded``; units shift a logarithm only."""
    from scipy.special import polygamma

    numbers = prior.arguments
    if prior.dist == "LogNormal":
        return float(numbers["sigma"])
    if prior.dist == "Beta":
        return math.sqrt(polygamma(1, numbers["alpha"]) + polygamma(1, numbers["beta"]))
    if prior.dist == "HalfNormal":
        return math.pi / math.sqrt(8)  # half the root of the trigamma function at one half
    return sd(prior, scales)


def describe(prior: Prior) -> str:
    """The prior in one phrase, as a report prints it."""
    inside = ", ".join(
        f"{name} {value if isinstance(value, str) else f'{value:g}'}"
        for name, value in prior.arguments.items()
    )
    unit = f" {prior.unit.replace('_', ' ')}" if prior.unit else ""
    return f"{prior.dist}({inside}){unit}"


def scales_of(columns: Columns) -> dict[str, float]:
    """What the prior units are worth in these customers (columns ``T, n, S``, perhaps ``weight``).

    ``mean_window`` is the mean T; ``median_order`` the median spend of a paid repeat day.
    """
    paid = (columns["n"] > 0) & (columns["S"] > 0)
    weight = np.broadcast_to(columns.get("weight", _weighted.ONE), paid.shape)
    scales = {"mean_window": _weighted.mean(columns["T"], weight)}
    if paid.any():
        order = columns["S"][paid] / columns["n"][paid]
        scales["median_order"] = float(_weighted.quantiles(order, 0.5, weight[paid]))
    return scales
