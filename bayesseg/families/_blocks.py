"""Blocks of a mixture: groups of columns with one likelihood and conjugate updates. L4.

A block is a record of functions, so that a new kind of column is an entry and never a branch of the
sampler. Every array of parameters has leading axes (S, K): S runs over chains, EM starts or posterior
draws, K over components; what components share is repeated along K. Inside kernels (S, K) is one axis
of *cells*, innermost, so that loops run over neighbours in memory. Rows are visited one at a time in a
fixed order of summation, so a row's numbers do not depend on the rows beside it. A missing cell (NaN)
is integrated out or drawn, never filled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg._compiled import compiled
from bayesseg._types import Array, IntArray
from bayesseg.families._special import exp

type Theta = Mapping[str, Array]
type Numbers = Mapping[str, Any]
type Params = tuple[Array, ...]
type Prepared = tuple[npt.NDArray[Any], ...]

PURPOSES = 64
"""Streams of noise that one row has in one iteration and chain: labels first, then the blocks."""


@dataclass(frozen=True, slots=True)
class Part:
    """The columns of one block: ``cells`` (n, w) and each row's pattern of missing cells.

    ``patterns`` (P, w) is true where a cell is there. Blocks that do not ask for patterns see NaN.
    """

    cells: Array
    pattern: IntArray
    patterns: npt.NDArray[np.bool_]

    def __getitem__(self, rows: Any) -> Part:
        """Some of the rows."""
        return Part(self.cells[rows], self.pattern[rows], self.patterns)


@dataclass(frozen=True, slots=True)
class Block:
    """One group of columns of the feature matrix.

    Attributes:
        params: names of its parameters, each (S, K, ...).
        columns: its columns of the matrix.
        prior: its prior numbers, by name.
        prepare: ``(patterns, *params) -> prepared``: what kernels read, once a pass.
        loglik: ``(cells, pattern, prepared, out)`` adds the log density of each row to ``out``
            (n, cells).
        expected: ``(cells, pattern, prepared, weights (n, cells)) -> (cells, J)``: sufficient
            statistics with latents at their expectation, for EM.
        drawn: ``(cells, pattern, prepared, labels (n, S), noise) -> (cells, J)``: the same with
            labels given and latents drawn.
        draw: ``(statistics (S, K, J), params, prior, rng) -> params``, the conjugate draws.
        mode: ``(statistics, params, prior) -> params``, the conditional maxima.
        log_prior: ``(params, prior) -> (S,)``.
        start: ``(starts, components, prior) -> params`` to begin EM from.
        trial: ``(params, prior, rng) -> (params, log ratio (S,))``: a Metropolis proposal judged with
            latents integrated out and labels given; the ratio is that of priors and proposals.
        tail: ``(cells, pattern, prepared, weights (n, all cells), at, out (n,))`` adds to ``out`` how
            much of each cell's density lies farther out than the row, times its weight; the block's
            cells start at ``at``. Only of measurements, which have a far.
        patterned: the kernels look rows' missing cells up by pattern.
    """

    params: tuple[str, ...]
    columns: slice
    prior: Numbers
    prepare: Callable[..., Prepared]
    loglik: Callable[..., None]
    expected: Callable[..., Array]
    drawn: Callable[..., Array]
    draw: Callable[..., Params]
    mode: Callable[..., Params]
    log_prior: Callable[..., Array]
    start: Callable[..., Params]
    trial: Callable[..., tuple[Params, Array]] | None = None
    tail: Callable[..., None] | None = None
    patterned: bool = False

    def own(self, theta: Theta) -> Params:
        """The parameters of this block."""
        return tuple(theta[name] for name in self.params)


def cells_last(values: Array) -> Array:
    """(S, K, ...) to (..., S * K), contiguous."""
    flat = values.reshape(values.shape[0] * values.shape[1], *values.shape[2:])
    return np.ascontiguousarray(np.moveaxis(flat, 0, -1))


# --- the mixture over all blocks -----------------------------------------------------------------


LOWEST = -700.0
"""Below, an exponential is nothing beside one."""


@compiled
def shares(log_joint: Array, first: int, out: Array) -> Array:
    """Responsibilities of log joint densities (n, S, K) to ``out`` from draw ``first`` on.

    Returns:
        Log densities, (n, S).
    """
    n, S, K = log_joint.shape
    density, share = np.empty((n, S)), np.empty(S * K)
    for i in range(n):
        for s in range(S):
            top = log_joint[i, s, 0]
            for k in range(1, K):
                value = log_joint[i, s, k]
                top = value if value > top else top
            density[i, s] = top
            for k in range(K):
                gap = log_joint[i, s, k] - top
                share[s * K + k] = LOWEST if gap < LOWEST else gap
        for c in range(S * K):
            share[c] = exp(share[c])
        for s in range(S):
            total = 0.0
            for k in range(K):
                total += share[s * K + k]
            for k in range(K):
                out[i, first + s, k] = share[s * K + k] / total
            density[i, s] += np.log(total)
    return density


def normalise(log_joint: Array) -> Array:
    """Turn log joint densities (n, S, K) into responsibilities, in place; log densities (n, S)."""
    return shares(log_joint, 0, log_joint)


def _part(block: Block, rows: Array) -> Part:
    cells = np.ascontiguousarray(rows[:, block.columns])
    if not block.patterned:
        nothing = np.zeros(len(rows), dtype=np.int64)
        return Part(cells, nothing, np.ones((1, cells.shape[1]), dtype=np.bool_))
    there = ~np.isnan(cells)
    if there.all():
        return Part(cells, np.zeros(len(rows), dtype=np.int64), there[:1])
    patterns, pattern = np.unique(there, axis=0, return_inverse=True)
    return Part(np.where(there, cells, 0.0), pattern.reshape(-1).astype(np.int64), patterns)


def split(blocks: tuple[Block, ...], rows: Array) -> tuple[Part, ...]:
    """The columns of each block, read once; ``part[i:j]`` takes rows of it."""
    return tuple(_part(block, rows) for block in blocks)


def prepared(
    blocks: tuple[Block, ...], theta: Theta, parts: tuple[Part, ...]
) -> tuple[Prepared, ...]:
    """What the kernels of each block read, the same for every chunk of rows."""
    return tuple(
        block.prepare(part.patterns, *block.own(theta))
        for block, part in zip(blocks, parts, strict=True)
    )


def joint_of(
    blocks: tuple[Block, ...],
    weights: Array,
    ready: tuple[Prepared, ...],
    parts: tuple[Part, ...],
) -> Array:
    """``log_joint`` from prepared parameters."""
    flat = np.empty((len(parts[0].cells), weights.size))
    with np.errstate(divide="ignore"):  # a component that a draw has not
        flat[:] = np.log(weights).reshape(-1)
    for block, own, part in zip(blocks, ready, parts, strict=True):
        block.loglik(part.cells, part.pattern, own, flat)
    return flat.reshape(len(flat), *weights.shape)


def log_joint(blocks: tuple[Block, ...], theta: Theta, parts: tuple[Part, ...]) -> Array:
    """Log of weight times density for each row, draw and component: (n, S, K)."""
    return joint_of(blocks, theta["weights"], prepared(blocks, theta, parts), parts)


def statistics(
    blocks: tuple[Block, ...],
    ready: tuple[Prepared, ...],
    parts: tuple[Part, ...],
    weights: Array,
) -> list[Array]:
    """Expected sufficient statistics of each block, (S, K, J); ``weights`` (n, S, K)."""
    n, S, K = weights.shape
    flat = weights.reshape(n, S * K)
    return [
        block.expected(part.cells, part.pattern, own, flat).reshape(S, K, -1)
        for block, own, part in zip(blocks, ready, parts, strict=True)
    ]
