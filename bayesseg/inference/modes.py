"""Modes of a mixture by EM, many starts at once. L5.

Maximum a posteriori under the same priors as the Gibbs sampler, so that a mode found here and a chain
polished here are compared mode with mode. All starts advance together as the leading axis of one
kernel call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import gammaln

from bayesseg._types import Array, IntArray
from bayesseg.families._blocks import log_joint, normalise, split, statistics
from bayesseg.families.gmm import Plan

type Theta = dict[str, Array]

SHORT_STARTS, SHORT_STEPS, SHORT_ROWS = 120, 10, 8000
LONG_STARTS, LONG_STEPS, FEW_ROWS = 40, 50, 1000
POLISHED, POLISH_STEPS = 8, 2000
SAME_MODE = 0.95  # adjusted Rand index of the two allocations
_TOLERANCE = 1e-3  # nats over all rows: gates speak of whole nats
_CHUNK = 4096


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
        total = total + block.log_prior(tuple(theta[p] for p in block.params), block.prior)
    return np.asarray(total)


def expect(plan: Plan, theta: Theta, rows: Array) -> tuple[Array, Array, list[Array]]:
    """E step: log-likelihood (S,), sizes (S, K) and each block's statistics, chunk by chunk."""
    total, sizes = np.zeros(len(theta["weights"])), np.zeros_like(theta["weights"])
    stats: list[Array] = []
    for start in range(0, len(rows), _CHUNK):
        parts = split(plan.blocks, rows[start : start + _CHUNK])
        joint = log_joint(plan.blocks, theta, parts)
        total += normalise(joint).sum(0)
        sizes += joint.sum(0)
        part = statistics(plan.blocks, parts, joint)
        stats = [a + b for a, b in zip(stats, part, strict=True)] if stats else part
    return total, sizes, stats


def maximise(plan: Plan, theta: Theta, sizes: Array, stats: list[Array]) -> Theta:
    """M step: the conditional maxima of weights and blocks."""
    counts = np.maximum(sizes + plan.concentration - 1.0, 1e-12)
    new = {"weights": counts / counts.sum(1, keepdims=True)}
    for block, stat in zip(plan.blocks, stats, strict=True):
        params = block.mode(stat, tuple(theta[p] for p in block.params), block.prior)
        new.update(zip(block.params, params, strict=True))
    return new


def climb(plan: Plan, theta: Theta, rows: Array, steps: int) -> tuple[Theta, Array]:
    """EM from each entry of ``theta`` until it gains less than a thousandth of a nat.

    Returns:
        The parameters reached and their log posteriors (S,).
    """
    best = {name: values.copy() for name, values in theta.items()}
    value = np.full(len(theta["weights"]), -np.inf)
    active = np.arange(len(value))
    for _ in range(steps):
        here = take(best, active)
        likelihood, sizes, stats = expect(plan, here, rows)
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


def _seeded(plan: Plan, rows: Array, starts: int, rng: np.random.Generator) -> Theta:
    """One M step from k-means++ partitions (four starts in five) or random ones."""
    filled, n, K = np.nan_to_num(rows), len(rows), plan.components
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
        width = block.columns.stop - block.columns.start
        theta.update(zip(block.params, block.start(starts, K, width, block.prior), strict=True))
    return maximise(
        plan, theta, weights.sum(0), statistics(plan.blocks, split(plan.blocks, rows), weights)
    )


def allocations(plan: Plan, theta: Theta, rows: Array) -> IntArray:
    """Most probable component of each row: (S, N)."""
    found = [
        log_joint(plan.blocks, theta, split(plan.blocks, rows[i : i + _CHUNK])).argmax(2).T
        for i in range(0, len(rows), _CHUNK)
    ]
    return np.concatenate(found, axis=1)


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


def find_modes(plan: Plan, rows: Array, rng: np.random.Generator) -> Modes:
    """Many short EM runs on some rows, the best of them long, the best of those on all rows.

    Only different solutions go on to the next round, or else one of two equal modes might fill it.
    """
    some = rows[np.sort(rng.permutation(len(rows))[:SHORT_ROWS])]
    few = some[:: max(1, len(some) // FEW_ROWS)]
    theta, value = climb(plan, _seeded(plan, some, SHORT_STARTS, rng), some, SHORT_STEPS)
    found = distinct(plan, theta, value, few)
    theta, value = climb(plan, take(found.theta, slice(LONG_STARTS)), some, LONG_STEPS)
    found = distinct(plan, theta, value, some)
    theta, value = climb(plan, take(found.theta, slice(POLISHED)), rows, POLISH_STEPS)
    return distinct(plan, theta, value, rows)
