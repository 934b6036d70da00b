"""Kernels of independent columns: diagonal and spherical covariance. L4.

Statistics of a cell: n, sum of (log u - u), then n, u, u x and u x^2 of each column where it is seen.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bayesseg._compiled import compiled
from bayesseg._random import gamma, stream
from bayesseg._types import Array, IntArray
from bayesseg.families._beyond import beyond
from bayesseg.families._blocks import PURPOSES, Prepared, cells_last
from bayesseg.families._normal.tails import NEGLIGIBLE, tables
from bayesseg.families._special import log


def prepare(
    patterns: npt.NDArray[np.bool_], mean: Array, variance: Array, df: Array | None = None
) -> Prepared:
    tails = tables(mean.shape[2], np.full(mean.shape[:2], np.inf) if df is None else df)
    variance = cells_last(variance)
    return cells_last(mean), 1.0 / variance, -0.5 * np.log(2.0 * np.pi * variance), *tails


@compiled
def loglik(
    cells: Array,
    pattern: IntArray,
    ready: Prepared,
    out: Array,
) -> None:
    centre, precision, base, df, lift, _ = ready
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
def tail(
    cells: Array,
    pattern: IntArray,
    ready: Prepared,
    weights: Array,
    at: int,
    out: Array,
) -> None:
    centre, precision, _, df, _, _ = ready
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
def expected(
    cells: Array,
    pattern: IntArray,
    ready: Prepared,
    weights: Array,
) -> Array:
    centre, precision, _, df, _, logs = ready
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
def drawn(
    cells: Array,
    pattern: IntArray,
    ready: Prepared,
    labels: IntArray,
    noise: npt.NDArray[np.uint64],
) -> Array:
    centre, precision, _, df, _, _ = ready
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
