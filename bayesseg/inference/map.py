"""Modes without PyMC: maximum likelihood, posterior modes and the curvature there. L5.

Works on the unconstrained scale u (log of positive parameters, logit of probabilities) with the
kernel's own gradient; derivatives of ``derive`` are taken by a complex step, exact to the last bit.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesseg._types import Array, Draws, Family, OnProgress, Table
from bayesseg.errors import InputRejected
from bayesseg.priors import Prior, Scales, logpdf
from bayesseg.spec import InferenceSpec, PartSpec

_REACH = 12.0
"""How far from its start each coordinate may go; a runaway fit stops there."""
_STARTS, _SHORT, _LONG = 4, 12, 1000
"""Climbs, steps of each, and steps the best of them may go on for."""


def maximum(
    family: Family, part: PartSpec | None, table: Table, scales: Scales
) -> tuple[dict[str, float], float]:
    """Textbook parameters at the optimum and the log-likelihood there.

    With ``part`` the optimum is the mode of the posterior on the unconstrained scale (the density of
    ln r, logit φ, …); with None it is maximum likelihood.
    """
    problem = posed(family, part, table, scales)
    theta = problem.textbook(mode(problem))
    value, _ = problem.kernel(theta)
    return dict(zip(family.textbook, map(float, theta), strict=True)), float(value)


def point(
    family: Family,
    part: PartSpec,
    table: Table,
    scales: Scales,
    inference: InferenceSpec,
    seed: int,
    on_progress: OnProgress | None = None,
) -> Draws:
    """The map engine: the posterior mode on the unconstrained scale as one chain of one draw.

    It has no uncertainty, so gates leave its computation ``not-assessed``.
    """
    began = time.perf_counter()
    problem = posed(family, part, table, scales)
    u = mode(problem)
    theta = problem.textbook(u)
    values = {name: np.full((1, 1), float(v)) for name, v in problem.free(u).items()}
    stats = {
        "log_likelihood": np.full((1, 1), problem.kernel(theta)[0]),
        "log_prior": np.sum([logpdf(part.priors[n], v, scales) for n, v in values.items()], axis=0),
    }
    info = {
        "engine": "map",
        "mode": {name: float(value) for name, value in problem.free(u).items()},
        "seconds": {"mode": round(time.perf_counter() - began, 2)},
        "rows": table.rows,
        "customers": table.customers,
    }
    return Draws(values, stats, info)


def vectors(family: Family, free: Mapping[str, Any]) -> Any:
    """The kernel's vector at free parameters (...): textbook parameters, one group after another."""
    with np.errstate(all="ignore"):  # far out it overflows, and the kernel says NaN
        theta = family.derive(free)
    stacked = np.stack([theta[name] for name in family.textbook], axis=-1)
    return stacked.reshape(*np.shape(next(iter(free.values()))), -1)


@dataclass(frozen=True, slots=True)
class Problem:
    """A density of u, the parameters on the unconstrained scale; without ``part`` the likelihood.

    ``u`` may have axes after its first: (parameters, ...).
    """

    family: Family
    arrays: tuple[Any, ...]
    start: Array
    part: PartSpec | None
    scales: Scales

    def free(self, u: Any) -> dict[str, Any]:
        """Unconstrained (parameters, ...) to free parameters."""
        inverse: Mapping[str, Callable[[Any], Any]] = {
            "positive": np.exp,
            "unit": lambda v: 1.0 / (1.0 + np.exp(-v)),
            "real": lambda v: v,
        }
        return {p.name: inverse[p.support](u[i]) for i, p in enumerate(self.family.params)}

    def textbook(self, u: Any) -> Any:
        """Unconstrained (parameters, ...) to what the kernel takes: (its length, ...)."""
        return np.moveaxis(vectors(self.family, self.free(u)), -1, 0)

    def kernel(self, theta: Array) -> tuple[float, Array]:
        """Log-likelihood and its gradient at one textbook vector."""
        assert self.family.kernel is not None
        return self.family.kernel(theta, *self.arrays)

    def log_density(self, u: Array) -> tuple[float, Array]:
        """Log-likelihood plus log prior density of u, and the gradient in u."""
        value, gradient = self.kernel(self.textbook(u))
        step = 1e-30
        tilted = self.textbook(u[:, None] + 1j * step * np.eye(len(u)))
        with np.errstate(all="ignore"):  # an infinite gradient: the caller looks at the value
            gradient = gradient @ (tilted.imag / step)
        if self.part is not None:
            priors, slopes = self._priors(u)
            value += sum(priors)
            gradient += slopes
        return float(value), gradient

    def log_prior(self, u: Array) -> Array:
        """Log prior density of u (parameters, ...), up to a constant: (...)."""
        return np.sum(self._priors(u)[0], axis=0)

    def prior_at(self, i: int, u: Any) -> Any:
        """Log prior density of the i-th parameter alone at u, up to a constant."""
        assert self.part is not None
        name = self.family.params[i].name
        return _log_prior(self.part.priors[name], u, self.scales)[0]

    def scale_at(self, i: int) -> float:
        """Logarithm of the scale of the i-th parameter's half-normal prior."""
        assert self.part is not None
        return math.log(self.part.priors[self.family.params[i].name].arguments["sd"])

    def _priors(self, u: Array) -> tuple[list[Any], list[Any]]:
        assert self.part is not None
        both = [
            _log_prior(self.part.priors[param.name], one, self.scales)
            for param, one in zip(self.family.params, u, strict=True)
        ]
        return [density for density, _ in both], [slope for _, slope in both]


def _log_prior(prior: Prior, u: Any, scales: Scales) -> tuple[Any, Any]:
    """Log density of u = ln, logit or identity of the parameter, up to a constant, and its slope."""
    p: Mapping[str, float] = prior.arguments
    if prior.dist == "LogNormal":
        z = (u - math.log(p["median"] * prior.factor(scales))) / p["sigma"]
        return -0.5 * z * z, -z / p["sigma"]
    if prior.dist == "HalfNormal":
        square = np.exp(2 * u) / p["sd"] ** 2
        return u - 0.5 * square, 1.0 - square
    if prior.dist == "Beta":
        both = p["alpha"] + p["beta"]
        return p["alpha"] * u - both * np.logaddexp(0.0, u), p["alpha"] - both / (1 + np.exp(-u))
    z = (u / prior.factor(scales) - p["mean"]) / p["sd"]
    return -0.5 * z * z, -z / (p["sd"] * prior.factor(scales))


def posed(family: Family, part: PartSpec | None, table: Table, scales: Scales) -> Problem:
    """The problem and where to start: each scale at what is typical of the data."""
    typical = {
        "purchases per time unit": 1.0 / scales.get("mean_window", 1.0),
        "deaths per time unit": 1.0 / scales.get("mean_window", 1.0),
        "currency": scales.get("median_order", 1.0),
    }
    start = [
        math.log(typical.get(p.unit, 1.0)) if p.support == "positive" else 0.0
        for p in family.params
    ]
    return Problem(family, tuple(table.arrays.values()), np.array(start), part, scales)


def mode(problem: Problem) -> Array:
    """Where the density of u is highest: the best of several short climbs goes on to the top.

    Raises:
        InputRejected: no parameters give the data a likelihood.
    """
    from scipy.optimize import minimize

    def falling(u: Array, unit: float) -> tuple[float, Array]:
        value, gradient = problem.log_density(u)
        if not np.isfinite(value):
            return 1e300, np.zeros_like(u)
        return -value / unit, -gradient / unit

    jitter = np.random.default_rng(0).normal(0.0, 1.0, (_STARTS, len(problem.start)))
    jitter[0] = 0.0
    bounds = [(v - _REACH, v + _REACH) for v in problem.start]

    def climb(start: Array, steps: int) -> tuple[float, Array]:
        # the first step is as long as the slope: of length one, lest it end where there are no numbers
        slope = float(np.linalg.norm(problem.log_density(start)[1]))
        unit = slope if slope > 1.0 and np.isfinite(slope) else 1.0
        found = minimize(
            falling,
            start,
            args=(unit,),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"ftol": 1e-13, "gtol": 1e-6 / unit, "maxiter": steps},
        )
        return float(found.fun) * unit, found.x

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        short = list(pool.map(lambda one: climb(problem.start + one, _SHORT), jitter))
    height, best = climb(min(short, key=lambda one: one[0])[1], _LONG)
    if not height < 1e299:
        raise InputRejected("no parameters give these data a likelihood", code="no_likelihood")
    return _polish(problem, best)


def _polish(problem: Problem, u: Array) -> Array:
    value, gradient = problem.log_density(u)
    for _ in range(4):
        try:
            step = np.linalg.solve(-hessian(problem, u), gradient)
        except np.linalg.LinAlgError:
            break
        if not (np.abs(step) < 1.0).all() or np.abs(step).max() < 1e-9:
            break
        after, slope = problem.log_density(u + step)
        if not np.abs(slope).max() < np.abs(gradient).max() or after < value - 1e-6:
            break
        u, value, gradient = u + step, after, slope
    return u


def root(problem: Problem, u: Array) -> Array:
    """A square root of the covariance of the normal approximation at u."""
    curvature, axes = np.linalg.eigh(-hessian(problem, u))
    # a direction the data and priors leave flat gets at most the width of a weak prior
    return np.asarray(axes / np.sqrt(np.maximum(curvature, 0.1)))


def hessian(problem: Problem, u: Array) -> Array:
    """Curvature of the log density. Central differences of the analytic gradient: 2k evaluations."""
    step = 1e-4
    rows = [
        (problem.log_density(u + d)[1] - problem.log_density(u - d)[1]) / (2 * step)
        for d in step * np.eye(len(u))
    ]
    return np.asarray((np.array(rows) + np.array(rows).T) / 2)
