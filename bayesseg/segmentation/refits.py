"""One segmentation as a point: its mode, and refits of it to reweighted rows. L7.

Bootstrap samples, folds and halves are all weights on the rows, and all weightings climb together as
the leading axis of one EM. Tables above ``Effort.rows`` are sampled: what is asked here (does it come
back, does it predict) needs thousands of rows, not millions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesseg._types import Array, IntArray
from bayesseg.families import FAMILIES
from bayesseg.families._blocks import log_joint, normalise, split
from bayesseg.families.gmm import Plan
from bayesseg.inference import modes as em
from bayesseg.spec import PartSpec

type Theta = dict[str, Array]
type Layout = tuple[Any, ...]
"""What the columns of the matrix are, as the family's plan takes it after the part."""

_CELLS = 4_000_000
"""Responsibilities held at once: rows x weightings x segments."""
_SEED_ROWS = 500
POLISH = 500
"""Steps of EM that settle a mode."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to look.

    At most ``rows`` rows, ``starts`` of EM, ``refits`` of the bootstrap, ``halves`` of prediction
    strength, ``folds`` of the held-out density; ``steps`` of EM each, ``scratch`` fresh starts beside
    the known mode.
    """

    rows: int
    starts: int
    refits: int
    halves: int
    folds: int = 5
    steps: int = 60
    scratch: int = 1


QUICK = Effort(rows=2_000, starts=60, refits=20, halves=10)
"""Inside ``fit``: seconds."""
THOROUGH = Effort(rows=4_000, starts=em.SHORT_STARTS, refits=50, halves=25)
"""For ``compare`` and ``stability``: a minute or two."""


def sampled(matrix: Array, rows: int, rng: np.random.Generator) -> Array:
    """At most ``rows`` rows at random, sorted by content: the file's order plays no part."""
    ordered = matrix[np.lexsort(matrix.T[::-1])]
    if len(ordered) > rows:
        ordered = ordered[np.sort(rng.permutation(len(ordered))[:rows])]
    return np.ascontiguousarray(ordered)


def with_options(part: PartSpec, **options: Any) -> PartSpec:
    """The part with other options, such as ``components=3``."""
    return replace(part, options={**part.options, **options})


def plan_of(part: PartSpec, layout: Layout) -> Plan:
    """What EM works through, for a matrix whose columns ``layout`` describes."""
    plan: Plan = FAMILIES[part.family].gibbs(part, *layout)
    return plan


def modes_of(plan: Plan, rows: Array, effort: Effort, rng: np.random.Generator) -> em.Modes:
    """The modes that ``effort.starts`` short climbs lead to, best first: the search of ``fit``."""
    if plan.components == 1:
        theta, value = em.climb(plan, em.seeded(plan, rows[:2], 1, rng), rows, POLISH)
        return em.Modes(theta, value, np.zeros((1, len(rows)), dtype=np.int64))
    return em.find_modes(plan, rows, rng, starts=effort.starts)


def mode_of(
    plan: Plan, rows: Array, effort: Effort, rng: np.random.Generator
) -> tuple[Theta, float]:
    """The best of ``modes_of``, (1, ...), and its log posterior."""
    found = modes_of(plan, rows, effort, rng)
    return em.take(found.theta, slice(1)), float(found.log_posterior[0])


def refits(
    plan: Plan,
    rows: Array,
    weights: Array,
    effort: Effort,
    rng: np.random.Generator,
    start: Mapping[str, Array] | None = None,
) -> Theta:
    """The mode under each weighting of the rows: from ``start`` (1, ...) and from scratch.

    Args:
        plan: blocks and priors.
        rows: (n, D).
        weights: (n, B), each summing to the number of rows it stands for; 0 leaves a row out.
        effort: steps, and starts from scratch.
        rng: draws the starts.
        start: where each climb begins, beside ``effort.scratch`` k-means++ partitions.

    Returns:
        Parameters, each (B, ...): of each weighting's climbs the highest.
    """
    count = weights.shape[1]
    scratch = effort.scratch if plan.components > 1 else int(start is None)
    pieces: list[Theta] = []
    per = scratch + int(start is not None)
    at_once = max(1, _CELLS // (len(rows) * plan.components * per))
    for first in range(0, count, at_once):
        own = weights[:, first : first + at_once]
        begin = [_start(plan, rows, own[:, b], scratch, start, rng) for b in range(own.shape[1])]
        theta = {name: np.concatenate([one[name] for one in begin]) for name in begin[0]}
        repeated = np.ascontiguousarray(np.repeat(own, per, axis=1))
        theta, value = em.climb(plan, theta, rows, effort.steps, repeated)
        best = value.reshape(-1, per).argmax(1) + per * np.arange(own.shape[1])
        pieces.append(em.take(theta, best))
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _start(
    plan: Plan,
    rows: Array,
    weights: Array,
    scratch: int,
    start: Mapping[str, Array] | None,
    rng: np.random.Generator,
) -> Theta:
    found: list[Mapping[str, Array]] = [] if start is None else [start]
    if scratch:
        drawn = rng.choice(len(rows), size=min(len(rows), _SEED_ROWS), p=weights / weights.sum())
        found.append(em.seeded(plan, rows[drawn], scratch, rng))
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def memberships(plan: Plan, theta: Mapping[str, Array], rows: Array) -> Iterator[tuple[int, Array]]:
    """(entry, membership (n, K)) of each entry of ``theta``, few entries at a time in memory."""
    count = len(theta["weights"])
    at_once = max(1, _CELLS // (len(rows) * plan.components))
    for first in range(0, count, at_once):
        joint, _ = scored(plan, em.take(theta, slice(first, first + at_once)), rows)
        for b in range(joint.shape[1]):
            yield first + b, joint[:, b]


def scored(plan: Plan, theta: Mapping[str, Array], rows: Array) -> tuple[Array, Array]:
    """Memberships (n, S, K) and log densities (n, S)."""
    joint = log_joint(plan.blocks, theta, split(plan.blocks, rows))
    density = normalise(joint)
    return joint, density


def allocations(plan: Plan, theta: Mapping[str, Array], rows: Array) -> IntArray:
    """The most probable segment of each row under each entry: (S, n)."""
    found = [member.argmax(1) for _, member in memberships(plan, theta, rows)]
    return np.stack(found)
