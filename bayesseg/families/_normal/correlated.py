"""Kernels of columns that vary together: full and tied covariance. L4.

Statistics of a cell: n, sum of (log u - u), then u times 1, x and the lower triangle of x x'.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from bayesseg._compiled import compiled
from bayesseg._random import gamma, normal, stream
from bayesseg._types import Array, IntArray
from bayesseg.families._beyond import beyond
from bayesseg.families._blocks import PURPOSES, Prepared
from bayesseg.families._normal.sums import (
    add_completed,
    add_four,
    add_one,
    add_weighted,
    complete,
    lower,
    products_of,
    quadratic,
    squares,
)
from bayesseg.families._normal.tails import NEGLIGIBLE, tables
from bayesseg.families._special import log


def prepare(
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
    below = lower(D)
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
    tails = tables(D, np.full((S, K), np.inf) if df is None else df)
    return roots, shift, base, patterns, np.ascontiguousarray(centre), fill, left, *tails


@compiled
def loglik(
    cells: Array,
    pattern: IntArray,
    ready: Prepared,
    out: Array,
) -> None:
    roots, shift, base, patterns, _, _, _, df, lift, _ = ready
    n, width = cells.shape
    C = len(df)
    if np.isfinite(df[0]):
        y, square = np.empty(C), np.empty(C)
        for i in range(n):
            p = pattern[i]
            squares(cells[i], roots[p], shift[p], y, square)
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
            quadratic(roots[p], shift[p], base[p], terms[p])
            known[p] = True
        four = i + 4 <= n and pattern[i + 1] == pattern[i + 2] == pattern[i + 3] == p
        rows = 4 if four else 1
        for k in range(rows):
            products_of(cells[i + k], products[k])
        if four:
            add_four(products, terms[p], out[i : i + 4])
        else:
            add_one(products[0], terms[p], out[i])
        i += rows


@compiled
def tail(
    cells: Array,
    pattern: IntArray,
    ready: Prepared,
    weights: Array,
    at: int,
    out: Array,
) -> None:
    roots, shift, _, patterns, _, _, _, df, _, _ = ready
    C = len(df)
    y, square = np.empty(C), np.empty(C)
    for i in range(len(cells)):
        p = pattern[i]
        seen = patterns[p].sum()
        if seen:
            squares(cells[i], roots[p], shift[p], y, square)
            for c in range(C):
                if weights[i, at + c] >= NEGLIGIBLE:
                    out[i] += weights[i, at + c] * beyond(square[c], seen, df[c])


@compiled
def expected(
    cells: Array,
    pattern: IntArray,
    ready: Prepared,
    weights: Array,
) -> Array:
    """Rows of one pattern of missing cells after the other, four at a time."""
    roots, shift, _, patterns, centre, fill, left, df, _, logs = ready
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
                products_of(cells[i], products[r])
                for c in range(C):
                    stats[0, c] += weights[i, c]
                    pull[r, c] = weights[i, c]
                if not whole:
                    for c in range(C):
                        size[c] += weights[i, c]
                if heavy:
                    squares(cells[i], roots[p], shift[p], y, square)
                    for c in range(C):
                        rate = 0.5 * (df[c] + square[c])
                        u = 0.5 * (df[c] + seen) / rate
                        stats[1, c] += weights[i, c] * (logs[seen, c] - log(rate) - u)
                        pull[r, c] *= u
            add_weighted(products, pull, sums)
        if not whole:
            add_completed(moments, size, patterns[p], centre, fill[p], left[p], stats[2:])
    return stats.T.copy()


@compiled
def drawn(
    cells: Array,
    pattern: IntArray,
    ready: Prepared,
    labels: IntArray,
    noise: npt.NDArray[np.uint64],
) -> Array:
    roots, shift, _, patterns, centre, fill, left, df, _, _ = ready
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
            products_of(cells[i], product)
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
                complete(cells[i], patterns[p], centre[c], fill[p, c], x)
                for d in range(width):
                    if not patterns[p, d]:
                        state, z[d] = normal(state)
                        for e in range(d + 1):
                            if not patterns[p, e]:
                                x[d] += left[p, c, d, e] * z[e] / np.sqrt(u)
                products_of(x, product)
            stats[c, 0] += 1.0
            for j in range(J):
                stats[c, 2 + j] += u * product[j]
    return stats
