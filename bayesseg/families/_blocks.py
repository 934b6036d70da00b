"""Blocks of a mixture: groups of columns with one likelihood and conjugate updates. L4.

A block is a record of functions, so that a new kind of column is an entry and never a branch of the
sampler. Every array of parameters has leading axes (S, K): S runs over chains, EM starts or posterior
draws, K over components. Rows are visited one at a time in a fixed order of summation, so a row's
numbers do not depend on the rows beside it. A missing cell (NaN) is integrated out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, multigammaln

from bayesseg._compiled import compiled
from bayesseg._types import Array

type Theta = Mapping[str, Array]
type Numbers = Mapping[str, float]

_FLOOR = 1e-12


@dataclass(frozen=True, slots=True)
class Block:
    """One group of columns of the feature matrix.

    Attributes:
        params: names of its parameters, each (S, K, ...).
        columns: its columns of the matrix.
        prior: its prior numbers, by name.
        loglik: ``(rows, *params, out)`` adds the log density of each row to ``out`` (n, S, K).
        statistics: ``(rows, weights) -> (S, K, ...)`` sufficient statistics, weights (n, S, K).
        draw: ``(statistics, params, prior, rng) -> params``, the conjugate draws.
        mode: ``(statistics, params, prior) -> params``, the conditional maxima.
        log_prior: ``(params, prior) -> (S,)``.
        start: ``(starts, components, width, prior) -> params`` to begin EM from.
    """

    params: tuple[str, ...]
    columns: slice
    prior: Numbers
    loglik: Callable[..., None]
    statistics: Callable[[Array, Array], Array]
    draw: Callable[..., tuple[Array, ...]]
    mode: Callable[..., tuple[Array, ...]]
    log_prior: Callable[..., Array]
    start: Callable[..., tuple[Array, ...]]


# --- independent normals (diagonal covariance) ---------------------------------------------------


@compiled
def _by_column(values: Array) -> Array:
    """(S, K, D) to (D, S * K), so that the innermost loop runs over neighbours in memory."""
    S, K, width = values.shape
    return np.ascontiguousarray(values.reshape(S * K, width).T)


@compiled
def _diag_loglik(rows: Array, mean: Array, variance: Array, out: Array) -> None:
    n, width = rows.shape
    cells = mean.shape[0] * mean.shape[1]
    centre = _by_column(mean)
    constant = _by_column(-0.5 * np.log(2.0 * np.pi * variance))
    half = _by_column(0.5 / variance)
    flat = out.reshape(n, cells)
    for i in range(n):
        for d in range(width):
            x = rows[i, d]
            if not np.isnan(x):
                for c in range(cells):
                    gap = x - centre[d, c]
                    flat[i, c] += constant[d, c] - half[d, c] * gap * gap


@compiled
def _diag_statistics(rows: Array, weights: Array) -> Array:
    """Count, sum and sum of squares of the observed cells: (S, K, D, 3)."""
    n, width = rows.shape
    S, K = weights.shape[1:]
    flat = weights.reshape(n, S * K)
    stats = np.zeros((width, 3, S * K))
    for i in range(n):
        for d in range(width):
            x = rows[i, d]
            if not np.isnan(x):
                for c in range(S * K):
                    w = flat[i, c]
                    stats[d, 0, c] += w
                    stats[d, 1, c] += w * x
                    stats[d, 2, c] += w * x * x
    return stats.reshape(width * 3, S * K).T.copy().reshape(S, K, width, 3)


def _squares(stats: Array, mean: Array) -> Array:
    return np.maximum(stats[..., 2] - 2.0 * mean * stats[..., 1] + mean**2 * stats[..., 0], 0.0)


def _diag_mean(stats: Array, variance: Array, prior: Numbers) -> tuple[Array, Array]:
    """Posterior mean and variance of each component mean, given the variances."""
    precision = prior["sd"] ** -2.0 + stats[..., 0] / variance
    return (
        prior["mean"] * prior["sd"] ** -2.0 + stats[..., 1] / variance
    ) / precision, 1 / precision


def _diag_draw(
    stats: Array, params: tuple[Array, ...], prior: Numbers, rng: np.random.Generator
) -> tuple[Array, ...]:
    centre, spread = _diag_mean(stats, params[1], prior)
    mean = centre + np.sqrt(spread) * rng.standard_normal(centre.shape)
    shape = 0.5 * (1.0 + prior["extra_df"] + stats[..., 0])
    return mean, 0.5 * (prior["scale"] + _squares(stats, mean)) / rng.standard_gamma(shape)


def _diag_mode(stats: Array, params: tuple[Array, ...], prior: Numbers) -> tuple[Array, ...]:
    mean, _ = _diag_mean(stats, params[1], prior)
    return mean, (prior["scale"] + _squares(stats, mean)) / (
        prior["extra_df"] + 3.0 + stats[..., 0]
    )


def _normal_logpdf(x: Array, prior: Numbers) -> Array:
    gap = (x - prior["mean"]) / prior["sd"]
    return -0.5 * (gap**2 + math.log(2.0 * math.pi)) - math.log(prior["sd"])


def _diag_log_prior(params: tuple[Array, ...], prior: Numbers) -> Array:
    mean, variance = params
    shape, rate = 0.5 * (1.0 + prior["extra_df"]), 0.5 * prior["scale"]
    inverse_gamma = (
        shape * math.log(rate) - gammaln(shape) - (shape + 1) * np.log(variance) - rate / variance
    )
    return np.asarray((_normal_logpdf(mean, prior) + inverse_gamma).sum((1, 2)))


def _diag_start(starts: int, components: int, width: int, prior: Numbers) -> tuple[Array, ...]:
    shape = (starts, components, width)
    return np.full(shape, prior["mean"]), np.ones(shape)


def diagonal(columns: slice, prior: Numbers) -> Block:
    """Independent normals: means Normal(mean, sd), variances IG((1 + extra_df)/2, scale/2)."""
    return Block(
        ("mean", "variance"),
        columns,
        prior,
        _diag_loglik,
        _diag_statistics,
        _diag_draw,
        _diag_mode,
        _diag_log_prior,
        _diag_start,
    )


# --- correlated normals (full covariance) --------------------------------------------------------


@compiled
def _full_loglik(rows: Array, mean: Array, covariance: Array, out: Array) -> None:
    n, width = rows.shape
    S, K = mean.shape[:2]
    lower = np.zeros_like(covariance)
    constant = np.full((S, K), -0.5 * width * np.log(2.0 * np.pi))
    for s in range(S):
        for k in range(K):
            lower[s, k] = np.linalg.cholesky(np.ascontiguousarray(covariance[s, k]))
            for d in range(width):
                constant[s, k] -= np.log(lower[s, k, d, d])
    y = np.empty(width)
    for i in range(n):
        for s in range(S):
            for k in range(K):
                square = 0.0
                for d in range(width):
                    gap = rows[i, d] - mean[s, k, d]
                    for e in range(d):
                        gap -= lower[s, k, d, e] * y[e]
                    y[d] = gap / lower[s, k, d, d]
                    square += y[d] * y[d]
                out[i, s, k] += constant[s, k] - 0.5 * square


@compiled
def _full_statistics(rows: Array, weights: Array) -> Array:
    """Sum of w [1, x][1, x]': (S, K, D+1, D+1)."""
    n, width = rows.shape
    S, K = weights.shape[1:]
    stats = np.zeros((S, K, width + 1, width + 1))
    for i in range(n):
        for s in range(S):
            for k in range(K):
                w = weights[i, s, k]
                if w > 0.0:
                    stats[s, k, 0, 0] += w
                    for d in range(width):
                        step = w * rows[i, d]
                        stats[s, k, d + 1, 0] += step
                        stats[s, k, 0, d + 1] += step
                        for e in range(width):
                            stats[s, k, d + 1, e + 1] += step * rows[i, e]
    return stats


def _full_mean(stats: Array, covariance: Array, prior: Numbers) -> tuple[Array, Array]:
    """Posterior mean and precision of each component mean, given the covariances."""
    omega = np.linalg.inv(covariance)
    precision = stats[..., :1, :1] * omega + np.eye(omega.shape[-1]) * prior["sd"] ** -2.0
    pull = (omega @ stats[..., 1:, :1]) + prior["mean"] * prior["sd"] ** -2.0
    return np.linalg.solve(precision, pull)[..., 0], precision


def _scatter(stats: Array, mean: Array, prior: Numbers) -> Array:
    s, m = stats[..., 1:, :1], mean[..., None]
    cross = s @ np.swapaxes(m, -1, -2)
    return (
        stats[..., 1:, 1:]
        - cross
        - np.swapaxes(cross, -1, -2)
        + stats[..., :1, :1] * (m @ np.swapaxes(m, -1, -2))
        + prior["scale"] * np.eye(mean.shape[-1])
    )


def _full_draw(
    stats: Array, params: tuple[Array, ...], prior: Numbers, rng: np.random.Generator
) -> tuple[Array, ...]:
    centre, precision = _full_mean(stats, params[1], prior)
    upper = np.swapaxes(np.linalg.cholesky(precision), -1, -2)
    mean = centre + np.linalg.solve(upper, rng.standard_normal((*centre.shape, 1)))[..., 0]
    width = mean.shape[-1]
    # Bartlett for an upper factor: U_aa^2 has nu_n - D + a degrees of freedom, a = 1..D
    freedom = stats[..., 0, 0][..., None] + prior["extra_df"] + np.arange(1, width + 1)
    U = np.triu(rng.standard_normal((*mean.shape, width)), 1)
    U[..., np.arange(width), np.arange(width)] = np.sqrt(2.0 * rng.standard_gamma(0.5 * freedom))
    lower = np.linalg.cholesky(_scatter(stats, mean, prior))
    root = np.linalg.solve(U, np.swapaxes(lower, -1, -2))
    return mean, np.swapaxes(root, -1, -2) @ root


def _full_mode(stats: Array, params: tuple[Array, ...], prior: Numbers) -> tuple[Array, ...]:
    mean, _ = _full_mean(stats, params[1], prior)
    freedom = stats[..., :1, :1] + prior["extra_df"] + 2 * mean.shape[-1] + 1.0
    return mean, _scatter(stats, mean, prior) / freedom


def _full_log_prior(params: tuple[Array, ...], prior: Numbers) -> Array:
    mean, covariance = params
    width = mean.shape[-1]
    nu = width + prior["extra_df"]
    _, log_det = np.linalg.slogdet(covariance)
    trace = prior["scale"] * np.trace(np.linalg.inv(covariance), axis1=-2, axis2=-1)
    constant = (
        0.5 * nu * width * math.log(prior["scale"])
        - 0.5 * nu * width * math.log(2.0)
        - multigammaln(0.5 * nu, width)
    )
    wishart = constant - 0.5 * ((nu + width + 1) * log_det + trace)
    return np.asarray(_normal_logpdf(mean, prior).sum((1, 2)) + wishart.sum(1))


def _full_start(starts: int, components: int, width: int, prior: Numbers) -> tuple[Array, ...]:
    mean = np.full((starts, components, width), prior["mean"])
    return mean, np.broadcast_to(np.eye(width), (*mean.shape, width)).copy()


def full(columns: slice, prior: Numbers) -> Block:
    """Correlated normals: means Normal(mean, sd), covariances IW(D + extra_df, scale I)."""
    return Block(
        ("mean", "covariance"),
        columns,
        prior,
        _full_loglik,
        _full_statistics,
        _full_draw,
        _full_mode,
        _full_log_prior,
        _full_start,
    )


# --- yes or no -----------------------------------------------------------------------------------


@compiled
def _binary_loglik(rows: Array, chance: Array, out: Array) -> None:
    n, width = rows.shape
    cells = chance.shape[0] * chance.shape[1]
    yes, no = _by_column(np.log(chance)), _by_column(np.log1p(-chance))
    flat = out.reshape(n, cells)
    for i in range(n):
        for d in range(width):
            x = rows[i, d]
            if not np.isnan(x):
                gain = yes[d] if x > 0.5 else no[d]
                for c in range(cells):
                    flat[i, c] += gain[c]


@compiled
def _binary_statistics(rows: Array, weights: Array) -> Array:
    """Weight of the observed yes and no cells: (S, K, B, 2)."""
    n, width = rows.shape
    S, K = weights.shape[1:]
    flat = weights.reshape(n, S * K)
    stats = np.zeros((width, 2, S * K))
    for i in range(n):
        for d in range(width):
            x = rows[i, d]
            if not np.isnan(x):
                side = stats[d, 0 if x > 0.5 else 1]
                for c in range(S * K):
                    side[c] += flat[i, c]
    return stats.reshape(width * 2, S * K).T.copy().reshape(S, K, width, 2)


def _inside(chance: Array) -> Array:
    return np.clip(chance, _FLOOR, 1.0 - _FLOOR)


def _binary_draw(
    stats: Array, params: tuple[Array, ...], prior: Numbers, rng: np.random.Generator
) -> tuple[Array, ...]:
    return (_inside(rng.beta(prior["alpha"] + stats[..., 0], prior["beta"] + stats[..., 1])),)


def _binary_mode(stats: Array, params: tuple[Array, ...], prior: Numbers) -> tuple[Array, ...]:
    yes, no = prior["alpha"] - 1.0 + stats[..., 0], prior["beta"] - 1.0 + stats[..., 1]
    total = yes + no
    return (_inside(np.where(total > 0.0, yes / np.maximum(total, _FLOOR), 0.5)),)


def _binary_log_prior(params: tuple[Array, ...], prior: Numbers) -> Array:
    a, b = prior["alpha"], prior["beta"]
    constant = float(gammaln(a + b) - gammaln(a) - gammaln(b))
    (p,) = params
    return np.asarray((constant + (a - 1) * np.log(p) + (b - 1) * np.log1p(-p)).sum((1, 2)))


def _binary_start(starts: int, components: int, width: int, prior: Numbers) -> tuple[Array, ...]:
    return (np.full((starts, components, width), 0.5),)


def binary(columns: slice, prior: Numbers) -> Block:
    """Independent yes-or-no columns: chance Beta(alpha, beta)."""
    return Block(
        ("binary",),
        columns,
        prior,
        _binary_loglik,
        _binary_statistics,
        _binary_draw,
        _binary_mode,
        _binary_log_prior,
        _binary_start,
    )


# --- the mixture over all blocks -----------------------------------------------------------------


@compiled
def normalise(log_joint: Array) -> Array:
    """Turn log joint densities (n, S, K) into responsibilities, in place; log densities (n, S)."""
    n, S, K = log_joint.shape
    density = np.empty((n, S))
    for i in range(n):
        for s in range(S):
            top = -np.inf
            for k in range(K):
                top = max(top, log_joint[i, s, k])
            total = 0.0
            for k in range(K):
                log_joint[i, s, k] = np.exp(log_joint[i, s, k] - top)
                total += log_joint[i, s, k]
            for k in range(K):
                log_joint[i, s, k] /= total
            density[i, s] = top + np.log(total)
    return density


def split(blocks: tuple[Block, ...], rows: Array) -> tuple[Array, ...]:
    """The columns of each block, contiguous."""
    return tuple(np.ascontiguousarray(rows[:, block.columns]) for block in blocks)


def log_joint(blocks: tuple[Block, ...], theta: Theta, parts: tuple[Array, ...]) -> Array:
    """Log of weight times density for each row, draw and component: (n, S, K)."""
    weights = theta["weights"]
    out = np.empty((len(parts[0]), *weights.shape))
    out[:] = np.log(weights)
    for block, part in zip(blocks, parts, strict=True):
        block.loglik(part, *(np.ascontiguousarray(theta[name]) for name in block.params), out)
    return out


def statistics(blocks: tuple[Block, ...], parts: tuple[Array, ...], weights: Array) -> list[Array]:
    """Sufficient statistics of each block; ``weights`` (n, S, K)."""
    return [block.statistics(part, weights) for block, part in zip(blocks, parts, strict=True)]
