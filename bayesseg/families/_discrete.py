"""Blocks of columns that are no measurement: yes or no, categories, grades, counts. L4."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.special import digamma, gammaln

from bayesseg._compiled import compiled
from bayesseg._random import gamma, stream
from bayesseg._types import Array, IntArray
from bayesseg.families._blocks import PURPOSES, Block, Numbers, Params, Prepared, cells_last

_FLOOR = 1e-12
_NEWTON = 20

# --- levels: one logarithm for each column, level and cell ---------------------------------------


@compiled
def _level_loglik(cells: Array, pattern: IntArray, ready: Prepared, out: Array) -> None:
    (logs,) = ready
    n, width = cells.shape
    for i in range(n):
        for d in range(width):
            x = cells[i, d]
            if not np.isnan(x):
                gain = logs[d, int(x)]
                for c in range(len(gain)):
                    out[i, c] += gain[c]


@compiled
def _level_expected(cells: Array, pattern: IntArray, ready: Prepared, weights: Array) -> Array:
    """Weight of each level of each column: (cells, columns * levels)."""
    (logs,) = ready
    width, levels, C = logs.shape
    stats = np.zeros((width, levels, C))
    for i in range(len(cells)):
        for d in range(width):
            x = cells[i, d]
            if not np.isnan(x):
                side = stats[d, int(x)]
                for c in range(C):
                    side[c] += weights[i, c]
    return stats.reshape(width * levels, C).T.copy()


@compiled
def _level_drawn(
    cells: Array,
    pattern: IntArray,
    ready: Prepared,
    labels: IntArray,
    noise: npt.NDArray[np.uint64],
) -> Array:
    (logs,) = ready
    width, levels, C = logs.shape
    S = labels.shape[1]
    K = C // S
    stats = np.zeros((C, width, levels))
    for i in range(len(cells)):
        for d in range(width):
            x = cells[i, d]
            if not np.isnan(x):
                for s in range(S):
                    stats[s * K + labels[i, s], d, int(x)] += 1.0
    return stats.reshape(C, width * levels)


# --- yes or no -----------------------------------------------------------------------------------


def _binary_prepare(patterns: npt.NDArray[np.bool_], chance: Array) -> Prepared:
    return (cells_last(np.stack([np.log1p(-chance), np.log(chance)], axis=-1)),)


def _inside(chance: Array) -> Array:
    return np.asarray(np.clip(chance, _FLOOR, 1.0 - _FLOOR))


def _sides(stats: Array, prior: Numbers) -> tuple[Array, Array]:
    """Beta numbers of a yes and of a no, data included."""
    counts = stats.reshape(*stats.shape[:2], -1, 2)
    return prior["alpha"] + counts[..., 1], prior["beta"] + counts[..., 0]


def _binary_draw(stats: Array, params: Params, prior: Numbers, rng: np.random.Generator) -> Params:
    return (_inside(rng.beta(*_sides(stats, prior))),)


def _binary_mode(stats: Array, params: Params, prior: Numbers) -> Params:
    return (_peak(*_sides(stats, prior)),)


def _peak(a: Array, b: Array) -> Array:
    """Where the density of Beta(a, b) is highest."""
    total = a + b - 2.0
    return _inside(np.where(total > 0.0, (a - 1.0) / np.maximum(total, _FLOOR), 0.5))


def _beta_log_prior(p: Array, prior: Numbers) -> Array:
    a, b = prior["alpha"], prior["beta"]
    constant = float(gammaln(a + b) - gammaln(a) - gammaln(b))
    return np.asarray((constant + (a - 1) * np.log(p) + (b - 1) * np.log1p(-p)).sum((1, 2)))


def binary(columns: slice, prior: Numbers) -> Block:
    """Independent yes-or-no columns: chance Beta(alpha, beta)."""
    width = columns.stop - columns.start
    return Block(
        ("binary",),
        columns,
        prior,
        _binary_prepare,
        _level_loglik,
        _level_expected,
        _level_drawn,
        _binary_draw,
        _binary_mode,
        lambda params, prior: _beta_log_prior(params[0], prior),
        lambda starts, components, prior: (np.full((starts, components, width), 0.5),),
    )


# --- categories ----------------------------------------------------------------------------------


def _category_prepare(patterns: npt.NDArray[np.bool_], chance: Array) -> Prepared:
    return (cells_last(np.log(np.maximum(chance, _FLOOR))),)


def _shares(values: Array) -> Array:
    return np.asarray(values / values.sum(-1, keepdims=True))


def _counted(there: npt.NDArray[np.bool_], stats: Array, prior: Numbers) -> Array:
    """Dirichlet numbers of each level, data included; a level that a column has not is out."""
    counts = stats.reshape(*stats.shape[:2], *there.shape)
    return np.asarray(np.where(there, prior["concentration"] + counts, 0.0))


def _category_draw(
    there: npt.NDArray[np.bool_],
    stats: Array,
    params: Params,
    prior: Numbers,
    rng: np.random.Generator,
) -> Params:
    drawn = np.maximum(rng.standard_gamma(_counted(there, stats, prior)), _FLOOR)
    return (_shares(np.where(there, drawn, 0.0)),)


def _category_mode(
    there: npt.NDArray[np.bool_], stats: Array, params: Params, prior: Numbers
) -> Params:
    least = np.maximum(_counted(there, stats, prior) - 1.0, _FLOOR)
    return (_shares(np.where(there, least, 0.0)),)


def _category_log_prior(there: npt.NDArray[np.bool_], params: Params, prior: Numbers) -> Array:
    a, levels = prior["concentration"], there.sum(1)
    (p,) = params
    constant = (gammaln(a * levels) - levels * gammaln(a)).sum() * p.shape[1]
    logs = np.log(np.maximum(p, _FLOOR), where=there, out=np.zeros_like(p))
    return np.asarray(constant + (a - 1.0) * logs.sum((1, 2, 3)))


# --- ordered levels ------------------------------------------------------------------------------
# The rank of a level is Binomial(levels - 1, chance), chance ~ Beta: one number says how high a
# component stands. A normal curve on ranks or normal scores would collapse on a level.


def _ranks(there: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    """Steps below and above each level: (columns, levels)."""
    rank = np.arange(there.shape[1]) * there
    above = (there.sum(1, keepdims=True) - 1 - rank) * there
    return rank.astype(np.float64), above.astype(np.float64)


def _steps(there: npt.NDArray[np.bool_], stats: Array, prior: Numbers) -> tuple[Array, Array]:
    """Beta numbers of the steps taken and not taken, data included: (S, K, columns)."""
    counts = stats.reshape(*stats.shape[:2], *there.shape)
    below, above = _ranks(there)
    taken, left = (np.einsum("skdl,dl->skd", counts, steps) for steps in (below, above))
    return prior["alpha"] + taken, prior["beta"] + left


def _binomial(there: npt.NDArray[np.bool_], chance: Array) -> Array:
    """Shares of levels, (S, K, columns, levels)."""
    below, above = _ranks(there)
    ways = gammaln(there.sum(1, keepdims=True)) - gammaln(below + 1.0) - gammaln(above + 1.0)
    p = _inside(chance)[..., None]
    return np.asarray(np.exp(ways + below * np.log(p) + above * np.log1p(-p)) * there)


def _ordinal_draw(
    there: npt.NDArray[np.bool_],
    stats: Array,
    params: Params,
    prior: Numbers,
    rng: np.random.Generator,
) -> Params:
    return (_binomial(there, rng.beta(*_steps(there, stats, prior))),)


def _ordinal_mode(
    there: npt.NDArray[np.bool_], stats: Array, params: Params, prior: Numbers
) -> Params:
    return (_binomial(there, _peak(*_steps(there, stats, prior))),)


def _ordinal_log_prior(there: npt.NDArray[np.bool_], params: Params, prior: Numbers) -> Array:
    (shares,) = params
    chance = (shares * _ranks(there)[0]).sum(-1) / (there.sum(1) - 1.0)
    return _beta_log_prior(_inside(chance), prior)


def _of_levels(
    name: str,
    columns: slice,
    prior: Numbers,
    draw: Callable[..., Params],
    mode: Callable[..., Params],
    log_prior: Callable[..., Array],
) -> Block:
    """Columns of levels, told by their shares in each component.

    ``prior["levels"]`` gives the number of levels of each column; shares are (S, K, columns, most
    levels), zero where a column has fewer.
    """
    levels = np.asarray(prior["levels"])
    there = np.arange(levels.max()) < levels[:, None]

    def start(starts: int, components: int, prior: Numbers) -> Params:
        return (
            np.broadcast_to(there / levels[:, None], (starts, components, *there.shape)).copy(),
        )

    return Block(
        (name,),
        columns,
        prior,
        _category_prepare,
        _level_loglik,
        _level_expected,
        _level_drawn,
        partial(draw, there),
        partial(mode, there),
        partial(log_prior, there),
        start,
    )


def category(columns: slice, prior: Numbers) -> Block:
    """Independent categorical columns: shares of levels Dirichlet(concentration)."""
    return _of_levels(
        "category", columns, prior, _category_draw, _category_mode, _category_log_prior
    )


def ordinal(columns: slice, prior: Numbers) -> Block:
    """Independent ordered columns: ranks binomial, their chance Beta(alpha, beta)."""
    return _of_levels("ordinal", columns, prior, _ordinal_draw, _ordinal_mode, _ordinal_log_prior)


# --- counts --------------------------------------------------------------------------------------
# y ~ Poisson(rate * exposure * g), g ~ Gamma(size, size): negative binomial. The first half of the
# columns are counts, the second their exposures. Statistics of a column: n, y, e g, g, log g.


def _count_prepare(patterns: npt.NDArray[np.bool_], rate: Array, size: Array) -> Prepared:
    r = cells_last(size)
    return cells_last(rate), r, gammaln(r)


@compiled
def _count_loglik(
    cells: Array,
    pattern: IntArray,
    ready: Prepared,
    out: Array,
) -> None:
    rate, size, log_gamma = ready
    width, C = rate.shape
    for i in range(len(cells)):
        for d in range(width):
            y, e = cells[i, d], cells[i, width + d]
            if np.isnan(y):
                continue
            factorial = math.lgamma(y + 1.0)
            before, gained = -1.0, 0.0
            for c in range(C):
                r, mean = size[d, c], rate[d, c] * e
                if r != before:  # components share r
                    gained = math.lgamma(y + r) - log_gamma[d, c] - factorial
                    before = r
                out[i, c] += gained + r * np.log(r / (r + mean))
                if y > 0.0:
                    out[i, c] += y * np.log(mean / (r + mean))


@compiled
def _digamma(x: float) -> float:
    """Digamma of a positive number: recurrence, then the asymptotic series."""
    low = 0.0
    while x < 8.0:
        low -= 1.0 / x
        x += 1.0
    inverse = 1.0 / (x * x)
    tail = inverse * (1 / 12 - inverse * (1 / 120 - inverse * (1 / 252 - inverse / 240)))
    return low + math.log(x) - 0.5 / x - tail


@compiled
def _count_expected(
    cells: Array,
    pattern: IntArray,
    ready: Prepared,
    weights: Array,
) -> Array:
    rate, size, _ = ready
    width, C = rate.shape
    stats = np.zeros((C, width, 5))
    for i in range(len(cells)):
        for d in range(width):
            y, e = cells[i, d], cells[i, width + d]
            if np.isnan(y):
                continue
            before, expected = -1.0, 0.0
            for c in range(C):
                r, w = size[d, c], weights[i, c]
                if r != before:
                    expected, before = _digamma(r + y), r
                per = r + rate[d, c] * e
                g = (r + y) / per
                stats[c, d, 0] += w
                stats[c, d, 1] += w * y
                stats[c, d, 2] += w * e * g
                stats[c, d, 3] += w * g
                stats[c, d, 4] += w * (expected - np.log(per))
    return stats.reshape(C, width * 5)


@compiled
def _count_drawn(
    cells: Array,
    pattern: IntArray,
    ready: Prepared,
    labels: IntArray,
    noise: npt.NDArray[np.uint64],
) -> Array:
    rate, size, _ = ready
    width, C = rate.shape
    S = labels.shape[1]
    K = C // S
    stats = np.zeros((C, width, 5))
    for i in range(len(cells)):
        for s in range(S):
            c = s * K + labels[i, s]
            state = stream(noise[0] + np.uint64(i), noise[1], noise[2] + np.uint64(s * PURPOSES))
            for d in range(width):
                y, e = cells[i, d], cells[i, width + d]
                if np.isnan(y):
                    continue
                state, g = gamma(state, size[d, c] + y)
                g /= size[d, c] + rate[d, c] * e
                stats[c, d, 0] += 1.0
                stats[c, d, 1] += y
                stats[c, d, 2] += e * g
                stats[c, d, 3] += g
    return stats.reshape(C, width * 5)


def _rate_numbers(stats: Array, prior: Numbers) -> tuple[Array, Array]:
    """Gamma shape and rate of each rate, data included."""
    each = stats.reshape(*stats.shape[:2], -1, 5)
    return 1.0 + each[..., 1], 1.0 / prior["scale"] + each[..., 2]


def _count_draw(stats: Array, params: Params, prior: Numbers, rng: np.random.Generator) -> Params:
    shape, per = _rate_numbers(stats, prior)
    return np.maximum(rng.standard_gamma(shape), _FLOOR) / per, params[1]


def _size_log_prior(size: Array, prior: Numbers) -> Array:
    """Log density of size[s, 0, column], which components share: (S, columns)."""
    gap = (np.log(size[:, 0]) - math.log(prior["median"])) / prior["sigma"]
    constant = math.log(prior["sigma"] * math.sqrt(2.0 * math.pi))
    return np.asarray(-0.5 * gap**2 - np.log(size[:, 0]) - constant)


def _count_trial(params: Params, prior: Numbers, rng: np.random.Generator) -> tuple[Params, Array]:
    """A step of log size, its width drawn over two orders of magnitude: no tuning needed."""
    rate, size = params
    width = 10.0 ** rng.uniform(-2.0, 0.3, size=len(size))
    step = width[:, None] * rng.standard_normal((len(size), size.shape[2]))
    new = size * np.exp(step)[:, None]
    gain = _size_log_prior(new, prior) - _size_log_prior(size, prior) + step
    return (rate, new), np.asarray(gain.sum(1))


def _count_mode(stats: Array, params: Params, prior: Numbers) -> Params:
    shape, per = _rate_numbers(stats, prior)
    each = stats.reshape(*stats.shape[:2], -1, 5).sum(1)
    n, gain = each[..., 0], each[..., 4] - each[..., 3]
    log_r = np.log(params[1][:, 0])
    # Newton on log r of n (r log r - lgamma r) + r gain + log prior, damped
    for _ in range(_NEWTON):
        r = np.exp(log_r)
        slope = n * r * (log_r + 1.0 - digamma(r)) + r * gain
        slope -= (log_r - math.log(prior["median"])) / prior["sigma"] ** 2 + 1.0
        curve = n * r * (_trigamma(r) * r - 1.0) + prior["sigma"] ** -2.0
        log_r = np.clip(log_r + np.clip(slope / curve, -1.0, 1.0), -9.0, 12.0)
    size = np.broadcast_to(np.exp(log_r)[:, None], params[1].shape).copy()
    return np.maximum(shape - 1.0, _FLOOR) / per, size


def _trigamma(x: Array) -> Array:
    from scipy.special import polygamma

    return np.asarray(polygamma(1, x))


def _count_log_prior(params: Params, prior: Numbers) -> Array:
    rate, size = params
    rates = -rate / prior["scale"] - math.log(prior["scale"])
    return np.asarray(rates.sum((1, 2)) + _size_log_prior(size, prior).sum(1))


def count(columns: slice, prior: Numbers) -> Block:
    """Counts with exposure: negative binomial, rates Exponential(scale), size LogNormal(median, sigma).

    ``columns`` holds the counts, then as many exposures. Components share the size r of a column;
    the mean of a row is rate times exposure, its variance mean + mean^2 / r.
    """
    width = (columns.stop - columns.start) // 2

    def start(starts: int, components: int, prior: Numbers) -> Params:
        shape = (starts, components, width)
        return np.full(shape, float(prior["scale"])), np.full(shape, float(prior["median"]))

    return Block(
        ("rate", "size"),
        columns,
        prior,
        _count_prepare,
        _count_loglik,
        _count_expected,
        _count_drawn,
        _count_draw,
        _count_mode,
        _count_log_prior,
        start,
        _count_trial,
    )
