"""Does a segmentation come back? Weighted-likelihood bootstrap and prediction strength. L7."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bayesseg._types import Array, IntArray
from bayesseg.families.gmm import Plan
from bayesseg.inference import modes as em
from bayesseg.inference.modes import rand_index
from bayesseg.segmentation.align import jaccard
from bayesseg.segmentation.refits import Effort, allocations, memberships, refits, scored

DISSOLVED, UNTRUSTED, STABLE, HIGHLY = 0.5, 0.6, 0.75, 0.85
"""Hennig's thresholds of the mean Jaccard (2007, 2008)."""
_SMALLEST = 2
"""A segment with fewer rows in a half says nothing there."""


def word(value: float) -> str:
    """Hennig's word for a mean Jaccard."""
    if value <= DISSOLVED:
        return "dissolved"
    if value < UNTRUSTED:
        return "untrusted"
    if value < STABLE:
        return "doubtful"
    return "stable" if value < HIGHLY else "highly stable"


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """B refits held against K segments.

    ``jaccard`` (B, K) of each segment with its nearest in each refit; ``rand`` (B,) adjusted Rand index
    of the hard labels.
    """

    jaccard: Array
    rand: Array


def bootstrap(
    plan: Plan,
    rows: Array,
    member: Array,
    start: Mapping[str, Array],
    effort: Effort,
    rng: np.random.Generator,
    size: int | None = None,
) -> Bootstrap:
    """Refit to Dirichlet(1) weights on the rows (Newton & Raftery 1994), from the mode and scratch.

    Args:
        plan: blocks and priors of the refits.
        rows: (n, D).
        member: (n, K) the memberships whose stability is asked.
        start: one mode, (1, ...).
        effort: ``refits`` of them.
        rng: draws weights and starts.
        size: where given, each refit sees a sample of so many rows, as of a smaller period, and is
            judged on it.
    """
    n, B = len(rows), effort.refits
    times: Array = np.ones((n, B))
    if size is not None:
        times = rng.multinomial(size, np.full(n, 1 / n), size=B).T.astype(np.float64)
    weights = rng.standard_gamma(times)
    weights *= times.sum(0) / weights.sum(0)
    theta = refits(plan, rows, weights, effort, rng, start)
    found = np.empty((effort.refits, member.shape[1]))
    rand, label = np.empty(effort.refits), member.argmax(1)
    for b, again in memberships(plan, theta, rows):
        found[b] = jaccard(member, again, times[:, b]).max(1)
        there = times[:, b] > 0
        rand[b] = rand_index(label[there], again.argmax(1)[there])
    return Bootstrap(found, rand)


def prediction_strength(
    plan: Plan,
    rows: Array,
    start: Mapping[str, Array],
    effort: Effort,
    rng: np.random.Generator,
) -> Array:
    """Of two rows together in one half's own segments, how often the other half agrees: (halves,).

    The worst segment of each split, averaged over both directions (Tibshirani & Walther 2005). The
    halves are fitted from the mode of all rows and from scratch.
    """
    n, K = len(rows), plan.components
    if K == 1:
        return np.ones(effort.halves)
    side = np.zeros((n, effort.halves))
    for h in range(effort.halves):
        side[rng.permutation(n)[: n // 2], h] = 1.0
    weights = np.concatenate([side, 1.0 - side], axis=1)
    label = allocations(plan, refits(plan, rows, weights, effort, rng, start), rows)
    strength = np.empty((2, effort.halves))
    for h in range(effort.halves):
        for way, (own, other) in enumerate(((h, h + effort.halves), (h + effort.halves, h))):
            inside = weights[:, own] > 0
            strength[way, h] = _strength(label[own][inside], label[other][inside], K)
    return np.asarray(strength.mean(0))


def _strength(own: IntArray, other: IntArray, K: int) -> float:
    cells = np.bincount(own * K + other, minlength=K * K).reshape(K, K).astype(np.float64)
    size = cells.sum(1)
    pairs = (cells * (cells - 1)).sum(1) / np.maximum(size * (size - 1), 1.0)
    there = size >= _SMALLEST
    return float(pairs[there].min()) if there.sum() == K else 0.0


def held_out(
    plan: Plan,
    rows: Array,
    start: Mapping[str, Array],
    effort: Effort,
    fold: IntArray,
    rng: np.random.Generator,
) -> Array:
    """Log density of each row under the mode of the other folds: (n,)."""
    weights = (fold[:, None] != np.arange(effort.folds)).astype(np.float64)
    theta = refits(plan, rows, weights, effort, rng, start)
    found = np.empty(len(rows))
    for f in range(effort.folds):
        out = fold == f
        found[out] = scored(plan, em.take(theta, slice(f, f + 1)), rows[out])[1][:, 0]
    return found
