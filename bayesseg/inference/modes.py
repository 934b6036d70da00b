"""Modes of a mixture by EM, many starts at once. L5.

Maximum a posteriori under the same priors as the Gibbs sampler, so that a mode found here and a chain
polished here are compared mode with mode. All starts advance together as the leading axis of one
kernel call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import gammaln

from bayesseg._types import Array, IntArray
from bayesseg.families._blocks import Part, joint_of, normalise, prepared, split, statistics
from bayesseg.families.gmm import Plan

type Theta = dict[str, Array]
type Mapper = Callable[..., Iterator[Any]]
"""``map``, or that of a pool of threads: results come in the order of the chunks either way."""

SHORT_STARTS, SHORT_STEPS, SHORT_ROWS = 120, 10, 1000
KEPT, LONG_STEPS, LONG_ROWS = 1 / 3, 200, 5000
POLISHED, POLISH_STEPS = 5, 2000
SAME_MODE = 0.95  # adjusted Rand index of the two allocations
NATS = 10.0
"""Modes this close to the best are started from and shown; a better one by more is a miss."""
_TOLERANCE = 1e-3  # nats over all rows: gates speak of whole nats
_ERRORS = 4.0  # standard errors by which a mode on some rows may mislead
_CELLS = 2**16  # responsibilities of a chunk: they stay in the second cache


@dataclass(frozen=True, slots=True)
class Modes:
    """Distinct modes, best first: parameters (M, ...), log posteriors (M,), allocations (M, N)."""

    theta: Theta
    log_posterior: Array
    allocation: IntArray


def take(theta: Mapping[str, Array], index: Any) -> Theta:
    """The entries of the leading axis at ``index``."""
    return {name: values[index] for name, values in theta.items()}


def log_prior(plan: Plan, theta: Mapping[str, Array]) -> Array:
    """Log prior density of each entry: (S,)."""
    a, K = plan.concentration, plan.components
    total = gammaln(a * K) - K * gammaln(a) + (a - 1) * np.log(theta["weights"]).sum(1)
    for block in plan.blocks:
        total = total + block.log_prior(block.own(theta), block.prior)
    return np.asarray(total)


def _chunks(parts: tuple[Part, ...], cells: int) -> list[slice]:
    rows = max(16, _CELLS // cells)
    n = len(parts[0].cells)
    return [slice(i, min(i + rows, n)) for i in range(0, n, rows)]


def expect(
    plan: Plan,
    theta: Theta,
    parts: tuple[Part, ...],
    weights: Array | None = None,
    mapper: Mapper = map,
) -> tuple[Array, Array, list[Array]]:
    """E step: log-likelihood (S,), sizes (S, K) and each block's statistics, chunk by chunk.

    ``weights`` (n, S) or (n, 1) count each row so often; without them, once.
    """
    ready = prepared(plan.blocks, theta, parts)

    def one(rows: slice) -> tuple[Array, ...]:
        own = tuple(part[rows] for part in parts)
        joint = joint_of(plan.blocks, theta["weights"], ready, own)
        density = normalise(joint)
        if weights is not None:
            density = density * weights[rows]
            joint *= weights[rows, :, None]
        return density.sum(0), joint.sum(0), *statistics(plan.blocks, ready, own, joint)

    totals: list[Array] = []
    for found in mapper(one, _chunks(parts, theta["weights"].size)):
        totals = [a + b for a, b in zip(totals, found, strict=True)] if totals else list(found)
    likelihood, sizes, *stats = totals
    return likelihood, sizes, stats


def maximise(plan: Plan, theta: Theta, sizes: Array, stats: list[Array]) -> Theta:
    """M step: the conditional maxima of weights and blocks."""
    counts = np.maximum(sizes + plan.concentration - 1.0, 1e-12)
    new = {"weights": counts / counts.sum(1, keepdims=True)}
    for block, stat in zip(plan.blocks, stats, strict=True):
        params = block.mode(stat, block.own(theta), block.prior)
        new.update(zip(block.params, params, strict=True))
    return new


def climb(
    plan: Plan,
    theta: Theta,
    rows: Array,
    steps: int,
    weights: Array | None = None,
    mapper: Mapper = map,
) -> tuple[Theta, Array]:
    """EM from each entry of ``theta`` until it gains less than a thousandth of a nat.

    Args:
        plan: blocks and priors.
        theta: S entries to start from.
        rows: (n, columns).
        steps: at most so many.
        weights: (n, S) or (n, 1): how often each row counts, for each entry; fractions are fine (a
            weighted-likelihood bootstrap), 0 leaves a row out.
        mapper: ``map``, or that of a pool of threads.

    Returns:
        The parameters reached and their log posteriors (S,).
    """
    best = {name: values.copy() for name, values in theta.items()}
    value = np.full(len(theta["weights"]), -np.inf)
    active = np.arange(len(value))
    parts = split(plan.blocks, rows)
    for _ in range(steps):
        here = take(best, active)
        own = weights if weights is None or weights.shape[1] == 1 else weights[:, active]
        likelihood, sizes, stats = expect(plan, here, parts, own, mapper)
        now = likelihood + log_prior(plan, here)
        going = now - value[active] > _TOLERANCE
        value[active] = now
        if not going.any():
            break
        step = maximise(plan, here, sizes, stats)
        active = active[going]
        for name, values in step.items():
            best[name][active] = values[going]
    return best, value


def seeded(plan: Plan, rows: Array, starts: int, rng: np.random.Generator) -> Theta:
    """One M step from k-means++ partitions (four starts in five) or random ones: (starts, ...)."""
    n, K = len(rows), plan.components
    known = np.where(np.isnan(rows).all(0), 0.0, rows)  # a column may have no value at all
    with np.errstate(all="ignore"):
        scaled = (rows - np.nanmean(known, axis=0)) / np.nanstd(known, axis=0)
    filled = np.nan_to_num(scaled, nan=0.0, posinf=0.0, neginf=0.0)
    weights = np.zeros((n, starts, K))
    for s in range(starts):
        if s % 5 == 4:
            label = rng.integers(K, size=n)
        else:
            nearest = np.full(n, np.inf)
            label = np.zeros(n, dtype=np.int64)
            for k in range(K):
                share = nearest / nearest.sum() if k and nearest.sum() > 0 else None
                distance = ((filled - filled[rng.choice(n, p=share)]) ** 2).sum(1)
                label[distance < nearest] = k
                nearest = np.minimum(nearest, distance)
        weights[np.arange(n), s, label] = 1.0
    theta: Theta = {"weights": np.full((starts, K), 1.0 / K)}
    for block in plan.blocks:
        theta.update(zip(block.params, block.start(starts, K, block.prior), strict=True))
    parts = split(plan.blocks, rows)
    stats = statistics(plan.blocks, prepared(plan.blocks, theta, parts), parts, weights)
    return maximise(plan, theta, weights.sum(0), stats)


def _joints(plan: Plan, theta: Theta, rows: Array) -> Iterator[Array]:
    parts = split(plan.blocks, rows)
    ready = prepared(plan.blocks, theta, parts)
    for chunk in _chunks(parts, theta["weights"].size):
        own = tuple(part[chunk] for part in parts)
        yield joint_of(plan.blocks, theta["weights"], ready, own)


def allocations(plan: Plan, theta: Theta, rows: Array) -> IntArray:
    """Most probable component of each row: (S, N)."""
    return np.concatenate([j.argmax(2).T for j in _joints(plan, theta, rows)], axis=1)


def rand_index(a: IntArray, b: IntArray) -> float:
    """Adjusted Rand index of two allocations (Hubert & Arabie 1985)."""
    shape = int(a.max()) + 1, int(b.max()) + 1
    cells = np.bincount(a * shape[1] + b, minlength=shape[0] * shape[1])
    table = cells.reshape(shape).astype(np.float64)

    def pairs(counts: Array) -> float:
        return float((counts * (counts - 1) / 2).sum())

    rows, columns, whole = pairs(table.sum(1)), pairs(table.sum(0)), pairs(np.array([table.sum()]))
    expected = rows * columns / whole if whole else 0.0
    top = (rows + columns) / 2 - expected
    return (pairs(table) - expected) / top if top else 1.0


def same_modes(plan: Plan, theta: Theta, value: Array, rows: Array) -> IntArray:
    """Number the modes reached, best first: entries of one mode get one number (S,).

    Two entries are one mode if their allocations agree (adjusted Rand index >= 0.95), however close
    their log posteriors: symmetric data have different modes of one height.
    """
    allocation = allocations(plan, theta, rows)
    label = np.full(len(value), -1, dtype=np.int64)
    heads: list[int] = []
    for i in np.argsort(-value, kind="stable"):
        for number, head in enumerate(heads):
            if rand_index(allocation[i], allocation[head]) >= SAME_MODE:
                label[i] = number
                break
        else:
            label[i] = len(heads)
            heads.append(int(i))
    return label


def distinct(plan: Plan, theta: Theta, value: Array, rows: Array) -> Modes:
    """Sort by log posterior and leave out what is the same mode again."""
    label = same_modes(plan, theta, value, rows)
    order = np.argsort(-value, kind="stable")
    kept = [int(order[np.argmax(label[order] == m)]) for m in range(int(label.max()) + 1)]
    best = take(theta, kept)
    return Modes(best, value[kept], allocations(plan, best, rows))


def _promising(plan: Plan, found: Modes, some: Array, rows: int) -> Modes:
    """Modes on some rows that may lie within ``NATS`` of the best on all.

    Judged by the paired difference of log densities, row by row, less its standard errors.
    """
    density = np.concatenate([normalise(joint) for joint in _joints(plan, found.theta, some)])
    behind = density[:, :1] - density
    mean, error = behind.mean(0), behind.std(0) / np.sqrt(len(some))
    close = rows * (mean - _ERRORS * error) <= NATS
    if rows == len(some):  # these are all rows: their heights are known
        close = found.log_posterior >= found.log_posterior[0] - 3.0 * NATS
    kept = np.flatnonzero(close)[:POLISHED]
    return Modes(take(found.theta, kept), found.log_posterior[kept], found.allocation[kept])


def find_modes(
    plan: Plan,
    rows: Array,
    rng: np.random.Generator,
    mapper: Mapper = map,
    starts: int = SHORT_STARTS,
) -> Modes:
    """Many short EM runs on few rows, the best of them long on more, the best of those on all rows.

    Only different solutions go on to the next round, or else one of two equal modes might fill it.
    """
    some = rows[np.sort(rng.permutation(len(rows))[:LONG_ROWS])]
    few = some[:: max(1, len(some) // SHORT_ROWS)]
    at = seeded(plan, few, starts, rng)
    theta, value = climb(plan, at, few, SHORT_STEPS, mapper=mapper)
    found = distinct(plan, theta, value, few)
    kept = slice(max(1, round(KEPT * starts)))
    theta, value = climb(plan, take(found.theta, kept), some, LONG_STEPS, mapper=mapper)
    found = _promising(plan, distinct(plan, theta, value, some), some, len(rows))
    theta, value = climb(plan, found.theta, rows, POLISH_STEPS, mapper=mapper)
    return distinct(plan, theta, value, rows)
