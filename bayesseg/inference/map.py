"""Modes without PyMC: maximum likelihood, posterior modes and the normal approximation there. L5.

Works on the unconstrained scale u (log of positive parameters, logit of probabilities) with the
kernel's own gradient; derivatives of ``derive`` are taken by a complex step, exact to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesseg._types import Array, Family, Table
from bayesseg.errors import InputRejected
from bayesseg.priors import Scales
from bayesseg.spec import PartSpec

_REACH = 12.0
"""How far from its start each coordinate may go; a runaway fit stops there."""
_STARTS = 4


def maximum(
    family: Family, part: PartSpec | None, table: Table, scales: Scales
) -> tuple[dict[str, float], float]:
    """Textbook parameters at the optimum and the log-likelihood there.

    With ``part`` the optimum is the mode of the posterior on the unconstrained scale (the density of
    ln r, logit φ, …); with None it is maximum likelihood.
    """
    problem = _problem(family, part, table, scales)
    theta = problem.textbook(_climb(problem))
    value, _ = problem.kernel(theta)
    return dict(zip(family.textbook, map(float, theta), strict=True)), float(value)


def normal_draws(
    family: Family, part: PartSpec, table: Table, scales: Scales, draws: int, seed: int
) -> dict[str, Array]:
    """Free parameters, each (draws,), from the normal approximation at the posterior mode."""
    problem = _problem(family, part, table, scales)
    mode = _climb(problem)
    curvature, axes = np.linalg.eigh(-_hessian(problem, mode))
    # a direction the data and priors leave flat gets at most the width of a weak prior
    root = axes / np.sqrt(np.maximum(curvature, 0.1))
    noise = np.random.default_rng(seed).standard_normal((draws, len(mode)))
    return problem.free((mode + noise @ root.T).T)


@dataclass(frozen=True, slots=True)
class _Problem:
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
        theta = self.family.derive(self.free(u))
        return np.array([theta[name] for name in self.family.textbook])

    def kernel(self, theta: Array) -> tuple[float, Array]:
        assert self.family.kernel is not None
        return self.family.kernel(theta, *self.arrays)

    def log_density(self, u: Array) -> tuple[float, Array]:
        """Log-likelihood plus log prior density of u, and the gradient in u."""
        value, gradient = self.kernel(self.textbook(u))
        step = 1e-30
        tilted = self.textbook(u[:, None] + 1j * step * np.eye(len(u)))
        gradient = gradient @ (tilted.imag / step)
        if self.part is not None:
            for i, param in enumerate(self.family.params):
                more, slope = _log_prior(self.part.priors[param.name], u[i], self.scales)
                value += more
                gradient[i] += slope
        return float(value), gradient


def _log_prior(prior: Any, u: float, scales: Scales) -> tuple[float, float]:
    """Log density of u = ln, logit or identity of the parameter, up to a constant, and its slope."""
    p: Mapping[str, float] = prior.arguments
    if prior.dist == "LogNormal":
        z = (u - math.log(p["median"] * prior.factor(scales))) / p["sigma"]
        return -0.5 * z * z, -z / p["sigma"]
    if prior.dist == "Beta":
        both = p["alpha"] + p["beta"]
        return p["alpha"] * u - both * np.logaddexp(0.0, u), p["alpha"] - both / (1 + math.exp(-u))
    z = (u / prior.factor(scales) - p["mean"]) / p["sd"]
    return -0.5 * z * z, -z / (p["sd"] * prior.factor(scales))


def _problem(family: Family, part: PartSpec | None, table: Table, scales: Scales) -> _Problem:
    typical = {
        "purchases per time unit": 1.0 / scales.get("mean_window", 1.0),
        "currency": scales.get("median_order", 1.0),
    }
    start = [
        math.log(typical.get(p.unit, 1.0)) if p.support == "positive" else 0.0
        for p in family.params
    ]
    return _Problem(family, tuple(table.arrays.values()), np.array(start), part, scales)


def _climb(problem: _Problem) -> Array:
    """The best of several climbs, polished by Newton steps."""
    from scipy.optimize import minimize

    def falling(u: Array) -> tuple[float, Array]:
        value, gradient = problem.log_density(u)
        return (-value, -gradient) if np.isfinite(value) else (1e300, np.zeros_like(u))

    jitter = np.random.default_rng(0).normal(0.0, 1.0, (_STARTS, len(problem.start)))
    jitter[0] = 0.0
    bounds = [(v - _REACH, v + _REACH) for v in problem.start]
    climbs = [
        minimize(
            falling,
            problem.start + one,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"ftol": 1e-13, "gtol": 1e-6},
        )
        for one in jitter
    ]
    best = min(climbs, key=lambda climb: float(climb.fun))
    if not best.fun < 1e299:
        raise InputRejected("no parameters give these data a likelihood", code="no_likelihood")
    return _polish(problem, best.x)


def _polish(problem: _Problem, u: Array) -> Array:
    value, gradient = problem.log_density(u)
    for _ in range(4):
        try:
            step = np.linalg.solve(-_hessian(problem, u), gradient)
        except np.linalg.LinAlgError:
            break
        if not (np.abs(step) < 1.0).all() or np.abs(step).max() < 1e-12:
            break
        after, slope = problem.log_density(u + step)
        if not np.abs(slope).max() < np.abs(gradient).max() or after < value - 1e-6:
            break
        u, value, gradient = u + step, after, slope
    return u


def _hessian(problem: _Problem, u: Array) -> Array:
    """Central differences of the analytic gradient: 2k evaluations."""
    step = 1e-4
    rows = [
        (problem.log_density(u + d)[1] - problem.log_density(u - d)[1]) / (2 * step)
        for d in step * np.eye(len(u))
    ]
    return np.asarray((np.array(rows) + np.array(rows).T) / 2)
