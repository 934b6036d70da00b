"""Conjugate draws, modes and priors of means and spreads, for every kind of covariance. L4.

A ``Law`` says how the spread of one kind is read from statistics, drawn and judged; what is done with
it is written once. A mean is Normal(mean, sd) whatever the spread, or, given a covariance, Normal(mean,
covariance / kappa): that prior is a row of weight kappa at its mean, so its statistics are added to
those of the rows and the rest is as with sd infinite (normal-inverse-Wishart; Gelman et al. 2013,
section 3.6).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, multigammaln

from bayesseg._types import Array
from bayesseg.families._blocks import Numbers, Params
from bayesseg.families._normal.sums import lower
from bayesseg.families._normal.tails import likeliest

type Moments = tuple[Array, Array, Array, Array]
"""Rows, u, u x and u x x' (or u x^2), each (S, K, ...)."""


@dataclass(frozen=True, slots=True)
class Law:
    """How the spreads of one kind of covariance follow from statistics.

    Attributes:
        spread: the parameter's name.
        pooled: the axis that shares one spread: segments (1), columns (2) or none.
        unit: ``width -> `` the spread of independent columns of variance one.
        moments: ``(statistics, width) -> Moments``.
        centre: ``(moments, spread, prior) -> `` posterior mean and precision of each component mean.
        around: ``(centre, precision, rng) -> means``.
        scatter: ``(moments, means) -> `` sums of squares around the means.
        drawn: ``(rows, scale, prior, rng) -> spread``.
        top: ``(rows, scale, prior) -> `` the likeliest spread.
        density: ``(spread, prior) -> `` its log prior density, (S, K, ...).
    """

    spread: str
    pooled: int | None
    unit: Callable[[int], Array]
    moments: Callable[[Array, int], Moments]
    centre: Callable[[Moments, Array, Numbers], tuple[Array, Array]]
    around: Callable[[Array, Array, np.random.Generator], Array]
    scatter: Callable[[Moments, Array], Array]
    drawn: Callable[[Array, Array, Numbers, np.random.Generator], Array]
    top: Callable[[Array, Array, Numbers], Array]
    density: Callable[[Array, Numbers], Array]


def _behind(law: Law, moments: Moments, mean: Array, prior: Numbers) -> tuple[Array, Array]:
    """Rows and scale of each spread's conditional law, those of pooled spreads together."""
    n, around = moments[0], law.scatter(moments, mean)
    if law.pooled:
        n, around = n.sum(law.pooled, keepdims=True), around.sum(law.pooled, keepdims=True)
    return n, around + prior["scale"] * law.unit(mean.shape[-1])


def _like(spread: Array, shape: tuple[int, ...]) -> Array:
    return np.broadcast_to(spread, shape).copy()


def _with_prior(stats: Array, width: int, prior: Numbers) -> tuple[Array, Numbers]:
    """Statistics with the prior's own row, and the prior without its mean, where that needs a spread."""
    if "kappa" not in prior:
        return stats, prior
    m, kappa = np.full(width, float(prior["mean"])), prior["kappa"]
    own = kappa * np.concatenate([[1.0], m, np.outer(m, m)[lower(width)]])
    return stats + np.concatenate([[1.0, 0.0], own]), {**prior, "mean": 0.0, "sd": np.inf}


def draw(
    law: Law, stats: Array, params: Params, prior: Numbers, rng: np.random.Generator
) -> Params:
    """Means given spreads, then spreads given means; where means need spreads, both at once."""
    spread = params[1]
    width = spread.shape[-1]
    stats, flat = _with_prior(stats, width, prior)
    moments = law.moments(stats, width)
    centre, precision = law.centre(moments, spread, flat)
    if flat is prior:
        mean = law.around(centre, precision, rng)
        found = law.drawn(*_behind(law, moments, mean, prior), prior, rng)
        return mean, _like(found, spread.shape), *params[2:]
    n, scale = _behind(law, moments, centre, prior)  # the centre is the same for any spread
    found = law.drawn(n - 1.0, scale, prior, rng)  # the prior's row is spent on the mean
    return law.around(*law.centre(moments, found, flat), rng), found, *params[2:]


def mode(law: Law, stats: Array, params: Params, prior: Numbers) -> Params:
    """Conditional maxima: means given spreads, then spreads given means, then tails."""
    width = params[1].shape[-1]
    full, flat = _with_prior(stats, width, prior)
    moments = law.moments(full, width)
    mean, _ = law.centre(moments, params[1], flat)
    spread = law.top(*_behind(law, moments, mean, prior), prior)
    return mean, _like(spread, params[1].shape), *likeliest(stats, params[2:], prior)


def log_prior(law: Law, params: Params, prior: Numbers) -> Array:
    """Log density of means and of the spreads that are free: (S,)."""
    mean, spread = params[:2]
    free = spread if law.pooled is None else spread.take([0], law.pooled)
    if "kappa" in prior:
        gap = (mean - prior["mean"])[..., None]
        square = (gap * np.linalg.solve(spread, gap)).sum((-2, -1))
        constant = mean.shape[-1] * math.log(prior["kappa"] / (2.0 * math.pi))
        each = 0.5 * (constant - np.linalg.slogdet(spread)[1] - prior["kappa"] * square)
    else:
        gap = (mean - prior["mean"]) / prior["sd"]
        each = -0.5 * (gap**2 + math.log(2.0 * math.pi)) - math.log(prior["sd"])
    of_spread = law.density(free, prior)
    return np.asarray(
        each.sum(tuple(range(1, each.ndim))) + of_spread.sum(tuple(range(1, of_spread.ndim)))
    )


# --- independent columns: variances IG((1 + extra_df)/2, scale/2) --------------------------------


def _columns(stats: Array, width: int) -> Moments:
    n, u, s, squares = np.moveaxis(stats[..., 2:].reshape(*stats.shape[:2], width, 4), -1, 0)
    return n, u, s, squares


def _column_centre(moments: Moments, variance: Array, prior: Numbers) -> tuple[Array, Array]:
    _, u, s, _ = moments
    precision = prior["sd"] ** -2.0 + u / variance
    pull = prior["mean"] * prior["sd"] ** -2.0 + s / variance
    return pull / precision, precision


def _column_around(centre: Array, precision: Array, rng: np.random.Generator) -> Array:
    return np.asarray(centre + np.sqrt(1.0 / precision) * rng.standard_normal(centre.shape))


def _column_scatter(moments: Moments, mean: Array) -> Array:
    _, u, s, squares = moments
    return np.asarray(np.maximum(squares - 2.0 * mean * s + mean**2 * u, 0.0))


def _variance_drawn(n: Array, scale: Array, prior: Numbers, rng: np.random.Generator) -> Array:
    return np.asarray(0.5 * scale / rng.standard_gamma(0.5 * (1.0 + prior["extra_df"] + n)))


def _variance_top(n: Array, scale: Array, prior: Numbers) -> Array:
    return np.asarray(scale / (prior["extra_df"] + 3.0 + n))


def _variance_density(variance: Array, prior: Numbers) -> Array:
    shape, rate = 0.5 * (1.0 + prior["extra_df"]), 0.5 * prior["scale"]
    constant = shape * math.log(rate) - gammaln(shape)
    return np.asarray(constant - (shape + 1) * np.log(variance) - rate / variance)


def independent(pooled: int | None) -> Law:
    """Of columns that vary on their own, each with its variance or (2) all with one."""
    return Law(
        "variance",
        pooled,
        np.ones,
        _columns,
        _column_centre,
        _column_around,
        _column_scatter,
        _variance_drawn,
        _variance_top,
        _variance_density,
    )


# --- correlated columns: covariances IW(D + extra_df, scale I) -----------------------------------


def _turned(matrix: Array) -> Array:
    return np.swapaxes(matrix, -1, -2)


def _products(stats: Array, width: int) -> Moments:
    """With trailing unit axes, for matrices."""
    n, u = stats[..., 0], stats[..., 2]
    s, below = stats[..., 3 : 3 + width], stats[..., 3 + width :]
    whole = np.empty((*stats.shape[:2], width, width))
    a, b = lower(width)
    whole[..., a, b] = below
    whole[..., b, a] = below
    return n[..., None, None], u[..., None, None], s[..., None], whole


def _joint_centre(moments: Moments, covariance: Array, prior: Numbers) -> tuple[Array, Array]:
    _, u, s, _ = moments
    omega = np.linalg.inv(covariance)
    precision = u * omega + np.eye(omega.shape[-1]) * prior["sd"] ** -2.0
    pull = omega @ s + prior["mean"] * prior["sd"] ** -2.0
    return np.asarray(np.linalg.solve(precision, pull)[..., 0]), precision


def _joint_around(centre: Array, precision: Array, rng: np.random.Generator) -> Array:
    upper = _turned(np.linalg.cholesky(precision))
    noise = rng.standard_normal((*centre.shape, 1))
    return np.asarray(centre + np.linalg.solve(upper, noise)[..., 0])


def _joint_scatter(moments: Moments, mean: Array) -> Array:
    _, u, s, whole = moments
    m = mean[..., None]
    cross = s @ _turned(m)
    return np.asarray(whole - cross - _turned(cross) + u * (m @ _turned(m)))


def _covariance_drawn(n: Array, scale: Array, prior: Numbers, rng: np.random.Generator) -> Array:
    """Bartlett for an upper factor: U_aa^2 has nu_n - D + a degrees of freedom, a = 1..D."""
    width = scale.shape[-1]
    freedom = n[..., 0] + prior["extra_df"] + np.arange(1, width + 1)
    U = np.triu(rng.standard_normal((*freedom.shape, width)), 1)
    U[..., np.arange(width), np.arange(width)] = np.sqrt(2.0 * rng.standard_gamma(0.5 * freedom))
    root = np.linalg.solve(U, _turned(np.linalg.cholesky(scale)))
    return np.asarray(_turned(root) @ root)


def _covariance_top(n: Array, scale: Array, prior: Numbers) -> Array:
    return np.asarray(scale / (n + prior["extra_df"] + 2 * scale.shape[-1] + 1.0))


def _covariance_density(covariance: Array, prior: Numbers) -> Array:
    width = covariance.shape[-1]
    nu = width + prior["extra_df"]
    _, log_det = np.linalg.slogdet(covariance)
    trace = prior["scale"] * np.trace(np.linalg.inv(covariance), axis1=-2, axis2=-1)
    constant = (
        0.5 * nu * width * math.log(prior["scale"])
        - 0.5 * nu * width * math.log(2.0)
        - multigammaln(0.5 * nu, width)
    )
    return np.asarray(constant - 0.5 * ((nu + width + 1) * log_det + trace))


def correlated(pooled: int | None) -> Law:
    """Of columns that vary together, each segment with its covariance or (1) all with one."""
    return Law(
        "covariance",
        pooled,
        np.eye,
        _products,
        _joint_centre,
        _joint_around,
        _joint_scatter,
        _covariance_drawn,
        _covariance_top,
        _covariance_density,
    )
