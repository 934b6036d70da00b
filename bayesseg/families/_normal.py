"""Blocks of number columns: normal or Student-t, correlated or not. L4.

Student's t is a normal whose precision is multiplied by u ~ Gamma(df/2, df/2), one u a row; normal tails
are df = inf. Statistics of a cell are [n, sum of (log u - u), ...]; then, for each independent column,
[n, u, u x, u x^2] over rows where it is seen; for correlated columns [u, u x, lower triangle of u x x'].
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache, partial

import numpy as np
import numpy.typing as npt
from scipy.special import digamma, gammaln, multigammaln

from bayesseg._compiled import compiled
from bayesseg._random import gamma, normal, stream
from bayesseg._types import Array, IntArray
from bayesseg.families._beyond import beyond
from bayesseg.families._blocks import PURPOSES, Block, Numbers, Params, Prepared, cells_last
from bayesseg.families._special import log

NEGLIGIBLE = 1e-9
"""Weights below this are left out of a tail probability."""
DEGREES = (3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 30.0)
"""Degrees of freedom that ``df = "learn"`` chooses among."""


@cache
def _lower(width: int) -> tuple[IntArray, IntArray]:
    """Rows and columns of a lower triangle, row by row."""
    rows, columns = np.tril_indices(width)
    return rows, columns


# --- tails ---------------------------------------------------------------------------------------


def _tails(width: int, df: Array) -> tuple[Array, Array, Array]:
    """Degrees of freedom of each cell, and two tables by how many columns are seen, (width + 1, cells).

    The first turns the normal's constant into Student's, the second is E log(rate * u).
    """
    flat = df.reshape(-1)
    seen = np.arange(width + 1)[:, None]
    if not np.isfinite(flat).all():
        return np.full_like(flat, np.inf), np.zeros((width + 1, flat.size)), np.zeros((1, 1))
    half = 0.5 * (flat + seen)
    return (
        np.ascontiguousarray(flat),
        gammaln(half) - gammaln(0.5 * flat) - 0.5 * seen * np.log(0.5 * flat),
        digamma(half),
    )


def _df_mode(stats: Array, df: Array, prior: Numbers) -> Array:
    if prior.get("df") != "learn":
        return df
    grid = 0.5 * np.array(DEGREES)
    n, gain = stats[..., 0].sum(1)[:, None], stats[..., 1].sum(1)[:, None]
    best = np.argmax(n * (grid * np.log(grid) - gammaln(grid)) + grid * gain, axis=1)
    return np.broadcast_to(2.0 * grid[best][:, None], df.shape).copy()


def _df_trial(params: Params, prior: Numbers, rng: np.random.Generator) -> tuple[Params, Array]:
    """A neighbour on the grid; off its ends is never taken."""
    df = params[-1]
    place = np.searchsorted(DEGREES, df[:, 0]) + rng.choice((-1, 1), size=len(df))
    inside = (place >= 0) & (place < len(DEGREES))
    new = np.array(DEGREES)[np.clip(place, 0, len(DEGREES) - 1)]
    ratio = np.where(inside, 0.0, -np.inf)
    return (*params[:-1], np.broadcast_to(new[:, None], df.shape).copy()), ratio


def _with_tails(block: Block) -> Block:
    """Student's t where the prior has ``df``: a number, or "learn"."""
    if "df" not in block.prior:
        return block
    learned = block.prior["df"] == "learn"
    first = 5.0 if learned else float(block.prior["df"])

    def start(starts: int, components: int, prior: Numbers) -> Params:
        return *block.start(starts, components, prior), np.full((starts, components), first)

    return replace(
        block, params=(*block.params, "df"), start=start, trial=_df_trial if learned else None
    )


def _normal_logpdf(x: Array, prior: Numbers) -> Array:
    gap = (x - prior["mean"]) / prior["sd"]
    return np.asarray(-0.5 * (gap**2 + math.log(2.0 * math.pi)) - math.log(prior["sd"]))


# --- independent columns (diagonal and spherical covariance) -------------------------------------


def _diag_prepare(
    patterns: npt.NDArray[np.bool_], mean: Array, variance: Array, df: Array | None = None
) -> Prepared:
    tails = _tails(mean.shape[2], np.full(mean.shape[:2], np.inf) if df is None else df)
    variance = cells_last(variance)
    return cells_last(mean), 1.0 / variance, -0.5 * np.log(2.0 * np.pi * variance), *tails


@compiled
def _diag_loglik(
    cells: Array,
    pattern: IntArray,
    centre: Array,
    precision: Array,
    base: Array,
    df: Array,
    lift: Array,
    logs: Array,
    out: Array,
) -> None:
    n, width = cells.shape
    C = len(df)
    heavy = np.isfinite(df[0])
    square = np.empty(C)
    for i in range(n):
        seen = 0
        square[:] = 0.0
        for d in range(width):
            x = cells[i, d]
            if not np.isnan(x):
                seen += 1
                for c in range(C):
                    gap = x - centre[d, c]
                    square[c] += precision[d, c] * gap * gap
                    out[i, c] += base[d, c]
        if heavy:
            for c in range(C):
                out[i, c] += lift[seen, c] - 0.5 * (df[c] + seen) * log(1.0 + square[c] / df[c])
        else:
            for c in range(C):
                out[i, c] -= 0.5 * square[c]


@compiled
def _diag_tail(
    cells: Array,
    pattern: IntArray,
    centre: Array,
    precision: Array,
    base: Array,
    df: Array,
    lift: Array,
    logs: Array,
    weights: Array,
    at: int,
    out: Array,
) -> None:
    for i in range(len(cells)):
        for c in range(len(df)):
            if weights[i, at + c] < NEGLIGIBLE:
                continue
            square, seen = 0.0, 0
            for d in range(cells.shape[1]):
                x = cells[i, d]
                if not np.isnan(x):
                    seen += 1
                    square += precision[d, c] * (x - centre[d, c]) ** 2
            if seen:
                out[i] += weights[i, at + c] * beyond(square, seen, df[c])


@compiled
def _diag_expected(
    cells: Array,
    pattern: IntArray,
    centre: Array,
    precision: Array,
    base: Array,
    df: Array,
    lift: Array,
    logs: Array,
    weights: Array,
) -> Array:
    n, width = cells.shape
    C = len(df)
    heavy = np.isfinite(df[0])
    stats = np.zeros((2 + 4 * width, C))
    pull = np.empty(C)
    for i in range(n):
        seen = 0
        for c in range(C):
            stats[0, c] += weights[i, c]
            pull[c] = weights[i, c]
        if heavy:
            square = np.zeros(C)
            for d in range(width):
                x = cells[i, d]
                if not np.isnan(x):
                    seen += 1
                    for c in range(C):
                        gap = x - centre[d, c]
                        square[c] += precision[d, c] * gap * gap
            for c in range(C):
                rate = 0.5 * (df[c] + square[c])
                u = 0.5 * (df[c] + seen) / rate
                stats[1, c] += weights[i, c] * (logs[seen, c] - log(rate) - u)
                pull[c] *= u
        for d in range(width):
            x = cells[i, d]
            if not np.isnan(x):
                j = 2 + 4 * d
                for c in range(C):
                    stats[j, c] += weights[i, c]
                    stats[j + 1, c] += pull[c]
                    stats[j + 2, c] += pull[c] * x
                    stats[j + 3, c] += pull[c] * x * x
    return stats.T.copy()


@compiled
def _diag_drawn(
    cells: Array,
    pattern: IntArray,
    centre: Array,
    precision: Array,
    base: Array,
    df: Array,
    lift: Array,
    logs: Array,
    labels: IntArray,
    noise: npt.NDArray[np.uint64],
) -> Array:
    n, width = cells.shape
    S = labels.shape[1]
    K = len(df) // S
    heavy = np.isfinite(df[0])
    stats = np.zeros((S * K, 2 + 4 * width))
    for i in range(n):
        for s in range(S):
            c = s * K + labels[i, s]
            u = 1.0
            if heavy:
                square, seen = 0.0, 0
                for d in range(width):
                    x = cells[i, d]
                    if not np.isnan(x):
                        seen += 1
                        square += precision[d, c] * (x - centre[d, c]) ** 2
                state = stream(
                    noise[0] + np.uint64(i), noise[1], noise[2] + np.uint64(s * PURPOSES)
                )
                state, u = gamma(state, 0.5 * (df[c] + seen))
                u /= 0.5 * (df[c] + square)
            stats[c, 0] += 1.0
            for d in range(width):
                x = cells[i, d]
                if not np.isnan(x):
                    j = 2 + 4 * d
                    stats[c, j] += 1.0
                    stats[c, j + 1] += u
                    stats[c, j + 2] += u * x
                    stats[c, j + 3] += u * x * x
    return stats


def _columns(stats: Array) -> Array:
    """(S, K, D, 4): n, u, u x and u x^2 of each column."""
    return stats[..., 2:].reshape(*stats.shape[:2], -1, 4)


def _squares(stats: Array, mean: Array) -> Array:
    gap = stats[..., 3] - 2.0 * mean * stats[..., 2] + mean**2 * stats[..., 1]
    return np.asarray(np.maximum(gap, 0.0))


def _diag_mean(stats: Array, variance: Array, prior: Numbers) -> tuple[Array, Array]:
    """Posterior mean and variance of each component mean, given the variances."""
    precision = prior["sd"] ** -2.0 + stats[..., 1] / variance
    pull = prior["mean"] * prior["sd"] ** -2.0 + stats[..., 2] / variance
    return pull / precision, 1.0 / precision


def _spread(stats: Array, mean: Array, pooled: bool) -> tuple[Array, Array]:
    """Rows and squares behind each variance; pooled, behind the one that all columns share."""
    seen, squares = stats[..., 0], _squares(stats, mean)
    if pooled:
        seen, squares = seen.sum(2, keepdims=True), squares.sum(2, keepdims=True)
    return seen, squares


def _diag_draw(
    pooled: bool, stats: Array, params: Params, prior: Numbers, rng: np.random.Generator
) -> Params:
    each = _columns(stats)
    centre, variance = _diag_mean(each, params[1], prior)
    mean = centre + np.sqrt(variance) * rng.standard_normal(centre.shape)
    seen, squares = _spread(each, mean, pooled)
    shape = 0.5 * (1.0 + prior["extra_df"] + seen)
    drawn = 0.5 * (prior["scale"] + squares) / rng.standard_gamma(shape)
    return mean, np.broadcast_to(drawn, mean.shape).copy(), *params[2:]


def _diag_mode(pooled: bool, stats: Array, params: Params, prior: Numbers) -> Params:
    each = _columns(stats)
    mean, _ = _diag_mean(each, params[1], prior)
    seen, squares = _spread(each, mean, pooled)
    variance = (prior["scale"] + squares) / (prior["extra_df"] + 3.0 + seen)
    tails = (_df_mode(stats, params[2], prior),) if len(params) > 2 else ()
    return mean, np.broadcast_to(variance, mean.shape).copy(), *tails


def _diag_log_prior(pooled: bool, params: Params, prior: Numbers) -> Array:
    mean, variance = params[:2]
    free = variance[..., :1] if pooled else variance
    shape, rate = 0.5 * (1.0 + prior["extra_df"]), 0.5 * prior["scale"]
    inverse_gamma = (
        shape * math.log(rate) - gammaln(shape) - (shape + 1) * np.log(free) - rate / free
    )
    return np.asarray(_normal_logpdf(mean, prior).sum((1, 2)) + inverse_gamma.sum((1, 2)))


def _independent(columns: slice, prior: Numbers, pooled: bool) -> Block:
    width = columns.stop - columns.start

    def start(starts: int, components: int, prior: Numbers) -> Params:
        shape = (starts, components, width)
        return np.full(shape, float(prior["mean"])), np.ones(shape)

    return _with_tails(
        Block(
            ("mean", "variance"),
            columns,
            prior,
            _diag_prepare,
            _diag_loglik,
            _diag_expected,
            _diag_drawn,
            partial(_diag_draw, pooled),
            partial(_diag_mode, pooled),
            partial(_diag_log_prior, pooled),
            start,
            tail=_diag_tail,
        )
    )


def diagonal(columns: slice, prior: Numbers) -> Block:
    """Independent columns: means Normal(mean, sd), variances IG((1 + extra_df)/2, scale/2)."""
    return _independent(columns, prior, pooled=False)


def spherical(columns: slice, prior: Numbers) -> Block:
    """As ``diagonal`` with one variance for all columns of a component."""
    return _independent(columns, prior, pooled=True)


# --- correlated columns (full and tied covariance) -----------------------------------------------


def _full_prepare(
    patterns: npt.NDArray[np.bool_], mean: Array, covariance: Array, df: Array | None = None
) -> Prepared:
    """Factors of each pattern of seen columns, zero for the others.

    ``roots`` are the rows of the inverse Cholesky factor, lower triangle, (P, D (D + 1) / 2, cells);
    ``fill`` (P, cells, D, D) regresses missing on seen columns and ``left`` is the Cholesky factor of
    what remains.
    """
    (S, K, D), P = mean.shape, len(patterns)
    C = S * K
    flat, centre = covariance.reshape(C, D, D), mean.reshape(C, D)
    roots, base = np.zeros((P, D * (D + 1) // 2, C)), np.empty((P, C))
    shift = np.zeros((P, D, C))
    holes = C if not patterns.all() else 0
    fill, left = np.zeros((P, holes, D, D)), np.zeros((P, holes, D, D))
    below = _lower(D)
    for p, there in enumerate(patterns):
        own = flat if there.all() else flat[:, there][:, :, there]
        whole = root = np.linalg.inv(np.linalg.cholesky(own))  # of an empty block: empty
        if not there.all():
            whole = np.zeros((C, D, D))
            whole[np.ix_(np.arange(C), there, there)] = root
        roots[p] = whole[:, below[0], below[1]].T
        shift[p] = (whole @ centre[..., None])[..., 0].T
        diagonal = np.diagonal(root, axis1=-2, axis2=-1)
        base[p] = np.log(diagonal).sum(1) - 0.5 * there.sum() * math.log(2.0 * math.pi)
        if not there.all():
            gone = ~there
            half = root @ flat[:, there][:, :, gone]
            slope = np.swapaxes(half, 1, 2) @ root
            rest = flat[:, gone][:, :, gone] - np.swapaxes(half, 1, 2) @ half
            fill[p][np.ix_(np.arange(C), gone, there)] = slope
            left[p][np.ix_(np.arange(C), gone, gone)] = np.linalg.cholesky(rest)
    tails = _tails(D, np.full((S, K), np.inf) if df is None else df)
    return roots, shift, base, patterns, np.ascontiguousarray(centre), fill, left, *tails


@compiled
def _full_squares(x: Array, roots: Array, shift: Array, y: Array, square: Array) -> None:
    """Squared Mahalanobis distance of one row from every cell; ``y`` is scratch."""
    C = len(square)
    square[:] = 0.0
    j = 0
    for d in range(len(x)):
        for c in range(C):
            y[c] = -shift[d, c]
        for e in range(d + 1):
            at = x[e]
            for c in range(C):
                y[c] += roots[j, c] * at
            j += 1
        for c in range(C):
            square[c] += y[c] * y[c]


@compiled
def _products(x: Array, out: Array) -> None:
    """1, x, and the lower triangle of x x'."""
    width = len(x)
    out[0] = 1.0
    j = 1 + width
    for d in range(width):
        out[1 + d] = x[d]
        for e in range(d + 1):
            out[j] = x[d] * x[e]
            j += 1


@compiled
def _quadratic(roots: Array, shift: Array, base: Array, out: Array) -> None:
    """Normal log densities as coefficients (J, cells) of ``_products``, J filled up with zeros."""
    width, C = shift.shape
    out[:] = 0.0
    out[0] = base
    row = 0
    for a in range(width):
        for c in range(C):
            out[0, c] -= 0.5 * shift[a, c] * shift[a, c]
        j = 1 + width
        for d in range(a + 1):
            for c in range(C):
                out[1 + d, c] += roots[row + d, c] * shift[a, c]
            for e in range(d + 1):
                half = 0.5 if d == e else 1.0
                for c in range(C):
                    out[j, c] -= half * roots[row + d, c] * roots[row + e, c]
                j += 1
        row += a + 1


@compiled
def _add_one(product: Array, terms: Array, out: Array) -> None:
    for j in range(0, len(product), 3):
        for c in range(len(out)):
            out[c] += (
                product[j] * terms[j, c]
                + product[j + 1] * terms[j + 1, c]
                + product[j + 2] * terms[j + 2, c]
            )


@compiled
def _add_four(products: Array, terms: Array, out: Array) -> None:
    """Four rows share what is read of the terms; each row's arithmetic is that of ``_add_one``."""
    o, p, q, r = out[0], out[1], out[2], out[3]
    for j in range(0, products.shape[1], 3):
        u, v, w = terms[j], terms[j + 1], terms[j + 2]
        o0, o1, o2 = products[0, j], products[0, j + 1], products[0, j + 2]
        p0, p1, p2 = products[1, j], products[1, j + 1], products[1, j + 2]
        q0, q1, q2 = products[2, j], products[2, j + 1], products[2, j + 2]
        r0, r1, r2 = products[3, j], products[3, j + 1], products[3, j + 2]
        for c in range(len(o)):
            x, y, z = u[c], v[c], w[c]
            o[c] += o0 * x + o1 * y + o2 * z
            p[c] += p0 * x + p1 * y + p2 * z
            q[c] += q0 * x + q1 * y + q2 * z
            r[c] += r0 * x + r1 * y + r2 * z


@compiled
def _full_loglik(
    cells: Array,
    pattern: IntArray,
    roots: Array,
    shift: Array,
    base: Array,
    patterns: npt.NDArray[np.bool_],
    centre: Array,
    fill: Array,
    left: Array,
    df: Array,
    lift: Array,
    logs: Array,
    out: Array,
) -> None:
    n, width = cells.shape
    C = len(df)
    if np.isfinite(df[0]):
        y, square = np.empty(C), np.empty(C)
        for i in range(n):
            p = pattern[i]
            _full_squares(cells[i], roots[p], shift[p], y, square)
            seen = patterns[p].sum()
            for c in range(C):
                tail = 0.5 * (df[c] + seen) * log(1.0 + square[c] / df[c])
                out[i, c] += base[p, c] + lift[seen, c] - tail
        return
    J = 3 * ((1 + width + width * (width + 1) // 2 + 2) // 3)
    terms, known = np.empty((len(patterns), J, C)), np.zeros(len(patterns), dtype=np.bool_)
    products = np.zeros((4, J))
    i = 0
    while i < n:
        p = pattern[i]
        if not known[p]:
            _quadratic(roots[p], shift[p], base[p], terms[p])
            known[p] = True
        four = i + 4 <= n and pattern[i + 1] == pattern[i + 2] == pattern[i + 3] == p
        rows = 4 if four else 1
        for k in range(rows):
            _products(cells[i + k], products[k])
        if four:
            _add_four(products, terms[p], out[i : i + 4])
        else:
            _add_one(products[0], terms[p], out[i])
        i += rows


@compiled
def _full_tail(
    cells: Array,
    pattern: IntArray,
    roots: Array,
    shift: Array,
    base: Array,
    patterns: npt.NDArray[np.bool_],
    centre: Array,
    fill: Array,
    left: Array,
    df: Array,
    lift: Array,
    logs: Array,
    weights: Array,
    at: int,
    out: Array,
) -> None:
    C = len(df)
    y, square = np.empty(C), np.empty(C)
    for i in range(len(cells)):
        p = pattern[i]
        seen = patterns[p].sum()
        if seen:
            _full_squares(cells[i], roots[p], shift[p], y, square)
            for c in range(C):
                if weights[i, at + c] >= NEGLIGIBLE:
                    out[i] += weights[i, at + c] * beyond(square[c], seen, df[c])


@compiled
def _complete(x: Array, there: Array, centre: Array, fill: Array, out: Array) -> None:
    """The row with its missing cells at their expectation, given the seen ones."""
    width = len(x)
    for d in range(width):
        out[d] = x[d]
        if not there[d]:
            out[d] = centre[d]
            for e in range(width):
                if there[e]:
                    out[d] += fill[d, e] * (x[e] - centre[e])


@compiled
def _add_completed(
    moments: Array,
    size: Array,
    there: npt.NDArray[np.bool_],
    centre: Array,
    fill: Array,
    left: Array,
    out: Array,
) -> None:
    """Adds to ``out`` (J, cells) weighted sums of ``_products`` over rows that lack the same columns.

    ``moments`` are those sums with zeros for what is missing, which is linear in what is seen: rows
    need not be completed one by one. ``size`` (cells,) is the weight of the rows.
    """
    width, C = len(there), len(size)
    first, second = np.empty(width), np.empty((width, width))
    for c in range(C):
        n, j = moments[0, c], 1 + width
        for d in range(width):
            first[d] = moments[1 + d, c]
            for e in range(d + 1):
                second[d, e] = second[e, d] = moments[j, c]
                j += 1
        for d in range(width):
            if there[d]:
                continue
            offset = centre[c, d]
            for e in range(width):
                if there[e]:
                    offset -= fill[c, d, e] * centre[c, e]
            first[d] = offset * n
            for e in range(width):
                if there[e]:
                    first[d] += fill[c, d, e] * moments[1 + e, c]
                    second[d, e] = offset * moments[1 + e, c]
                    for g in range(width):
                        if there[g]:
                            second[d, e] += fill[c, d, g] * second[g, e]
            for h in range(d + 1):
                if not there[h]:
                    second[d, h] = offset * first[h]
                    for f in range(h + 1):
                        second[d, h] += size[c] * left[c, d, f] * left[c, h, f]
                    for g in range(width):
                        if there[g]:
                            second[d, h] += fill[c, d, g] * second[h, g]
            for e in range(width):
                second[e, d] = second[d, e]
        out[0, c] += n
        j = 1 + width
        for d in range(width):
            out[1 + d, c] += first[d]
            for e in range(d + 1):
                out[j, c] += second[d, e]
                j += 1


@compiled
def _add_weighted(products: Array, pull: Array, out: Array) -> None:
    """Four rows' products (4, J), each times its weight in every cell (4, C), to ``out`` (J, C)."""
    o, p, q, r = pull[0], pull[1], pull[2], pull[3]
    for j in range(len(out)):
        a, b, c, d = products[0, j], products[1, j], products[2, j], products[3, j]
        row = out[j]
        for k in range(len(row)):
            row[k] += (o[k] * a + p[k] * b) + (q[k] * c + r[k] * d)


@compiled
def _full_expected(
    cells: Array,
    pattern: IntArray,
    roots: Array,
    shift: Array,
    base: Array,
    patterns: npt.NDArray[np.bool_],
    centre: Array,
    fill: Array,
    left: Array,
    df: Array,
    lift: Array,
    logs: Array,
    weights: Array,
) -> Array:
    """Rows of one pattern of missing cells after the other, four at a time."""
    n, width = cells.shape
    C, J = len(df), 1 + width + width * (width + 1) // 2
    heavy = np.isfinite(df[0])
    stats, moments, size = np.zeros((2 + J, C)), np.empty((J, C)), np.empty(C)
    y, square = np.empty(C), np.empty(C)
    pull, products = np.empty((4, C)), np.empty((4, J))
    order = np.argsort(pattern, kind="mergesort")
    at = 0
    while at < n:
        p = pattern[order[at]]
        seen = patterns[p].sum()
        whole = seen == width
        sums = stats[2:] if whole else moments
        if not whole:
            moments[:] = 0.0
            size[:] = 0.0
        while at < n and pattern[order[at]] == p:
            for r in range(4):
                if at == n or pattern[order[at]] != p:
                    pull[r] = 0.0
                    products[r] = 0.0
                    continue
                i = order[at]
                at += 1
                _products(cells[i], products[r])
                for c in range(C):
                    stats[0, c] += weights[i, c]
                    pull[r, c] = weights[i, c]
                if not whole:
                    for c in range(C):
                        size[c] += weights[i, c]
                if heavy:
                    _full_squares(cells[i], roots[p], shift[p], y, square)
                    for c in range(C):
                        rate = 0.5 * (df[c] + square[c])
                        u = 0.5 * (df[c] + seen) / rate
                        stats[1, c] += weights[i, c] * (logs[seen, c] - log(rate) - u)
                        pull[r, c] *= u
            _add_weighted(products, pull, sums)
        if not whole:
            _add_completed(moments, size, patterns[p], centre, fill[p], left[p], stats[2:])
    return stats.T.copy()


@compiled
def _full_drawn(
    cells: Array,
    pattern: IntArray,
    roots: Array,
    shift: Array,
    base: Array,
    patterns: npt.NDArray[np.bool_],
    centre: Array,
    fill: Array,
    left: Array,
    df: Array,
    lift: Array,
    logs: Array,
    labels: IntArray,
    noise: npt.NDArray[np.uint64],
) -> Array:
    n, width = cells.shape
    S = labels.shape[1]
    K, J = len(df) // S, 1 + width + width * (width + 1) // 2
    heavy = np.isfinite(df[0])
    stats = np.zeros((S * K, 2 + J))
    product, x, z = np.empty(J), np.empty(width), np.empty(width)
    for i in range(n):
        p = pattern[i]
        seen = patterns[p].sum()
        if seen == width:
            _products(cells[i], product)
        for s in range(S):
            c = s * K + labels[i, s]
            u = 1.0
            state = np.uint64(0)
            if heavy or seen < width:
                state = stream(
                    noise[0] + np.uint64(i), noise[1], noise[2] + np.uint64(s * PURPOSES)
                )
            if heavy:
                square, j = 0.0, 0
                for d in range(width):
                    y = -shift[p, d, c]
                    for e in range(d + 1):
                        y += roots[p, j, c] * cells[i, e]
                        j += 1
                    square += y * y
                state, u = gamma(state, 0.5 * (df[c] + seen))
                u /= 0.5 * (df[c] + square)
            if seen < width:
                _complete(cells[i], patterns[p], centre[c], fill[p, c], x)
                for d in range(width):
                    if not patterns[p, d]:
                        state, z[d] = normal(state)
                        for e in range(d + 1):
                            if not patterns[p, e]:
                                x[d] += left[p, c, d, e] * z[e] / np.sqrt(u)
                _products(x, product)
            stats[c, 0] += 1.0
            for j in range(J):
                stats[c, 2 + j] += u * product[j]
    return stats


def _moments(stats: Array, width: int) -> tuple[Array, Array, Array, Array]:
    """n, u, sum of u x and sum of u x x' of each component, with trailing unit axes for matrices."""
    n, u = stats[..., 0], stats[..., 2]
    s, lower = stats[..., 3 : 3 + width], stats[..., 3 + width :]
    whole = np.empty((*stats.shape[:2], width, width))
    a, b = _lower(width)
    whole[..., a, b] = lower
    whole[..., b, a] = lower
    return n[..., None, None], u[..., None, None], s[..., None], whole


def _full_mean(stats: Array, covariance: Array, prior: Numbers) -> tuple[Array, Array]:
    """Posterior mean and precision of each component mean, given the covariances."""
    _, u, s, _ = _moments(stats, covariance.shape[-1])
    omega = np.linalg.inv(covariance)
    precision = u * omega + np.eye(omega.shape[-1]) * prior["sd"] ** -2.0
    pull = omega @ s + prior["mean"] * prior["sd"] ** -2.0
    return np.asarray(np.linalg.solve(precision, pull)[..., 0]), precision


def _scatter(stats: Array, mean: Array, prior: Numbers, tied: bool) -> tuple[Array, Array]:
    """Rows and scale matrix of each covariance's conditional law; tied: of the one they share."""
    n, u, s, whole = _moments(stats, mean.shape[-1])
    m = mean[..., None]
    cross = s @ np.swapaxes(m, -1, -2)
    around = whole - cross - np.swapaxes(cross, -1, -2) + u * (m @ np.swapaxes(m, -1, -2))
    if tied:
        n, around = n.sum(1, keepdims=True), around.sum(1, keepdims=True)
    return n, around + prior["scale"] * np.eye(mean.shape[-1])


def _full_draw(
    tied: bool, stats: Array, params: Params, prior: Numbers, rng: np.random.Generator
) -> Params:
    centre, precision = _full_mean(stats, params[1], prior)
    upper = np.swapaxes(np.linalg.cholesky(precision), -1, -2)
    mean = centre + np.linalg.solve(upper, rng.standard_normal((*centre.shape, 1)))[..., 0]
    width = mean.shape[-1]
    n, scale = _scatter(stats, mean, prior, tied)
    # Bartlett for an upper factor: U_aa^2 has nu_n - D + a degrees of freedom, a = 1..D
    freedom = n[..., 0] + prior["extra_df"] + np.arange(1, width + 1)
    U = np.triu(rng.standard_normal((*freedom.shape, width)), 1)
    U[..., np.arange(width), np.arange(width)] = np.sqrt(2.0 * rng.standard_gamma(0.5 * freedom))
    root = np.linalg.solve(U, np.swapaxes(np.linalg.cholesky(scale), -1, -2))
    covariance = np.swapaxes(root, -1, -2) @ root
    return mean, np.broadcast_to(covariance, params[1].shape).copy(), *params[2:]


def _full_mode(tied: bool, stats: Array, params: Params, prior: Numbers) -> Params:
    mean, _ = _full_mean(stats, params[1], prior)
    n, scale = _scatter(stats, mean, prior, tied)
    covariance = scale / (n + prior["extra_df"] + 2 * mean.shape[-1] + 1.0)
    tails = (_df_mode(stats, params[2], prior),) if len(params) > 2 else ()
    return mean, np.broadcast_to(covariance, params[1].shape).copy(), *tails


def _full_log_prior(tied: bool, params: Params, prior: Numbers) -> Array:
    mean, covariance = params[:2]
    width = mean.shape[-1]
    if tied:
        covariance = covariance[:, :1]
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


def _correlated(columns: slice, prior: Numbers, tied: bool) -> Block:
    width = columns.stop - columns.start

    def start(starts: int, components: int, prior: Numbers) -> Params:
        mean = np.full((starts, components, width), float(prior["mean"]))
        return mean, np.broadcast_to(np.eye(width), (*mean.shape, width)).copy()

    return _with_tails(
        Block(
            ("mean", "covariance"),
            columns,
            prior,
            _full_prepare,
            _full_loglik,
            _full_expected,
            _full_drawn,
            partial(_full_draw, tied),
            partial(_full_mode, tied),
            partial(_full_log_prior, tied),
            start,
            tail=_full_tail,
            patterned=True,
        )
    )


def full(columns: slice, prior: Numbers) -> Block:
    """Correlated columns: means Normal(mean, sd), covariances IW(D + extra_df, scale I)."""
    return _correlated(columns, prior, tied=False)


def tied(columns: slice, prior: Numbers) -> Block:
    """As ``full`` with one covariance for all components."""
    return _correlated(columns, prior, tied=True)
