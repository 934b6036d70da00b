"""Which segments would be merged first, and what would be lost with each merge. L7."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from bayesseg._types import Array
from bayesseg.aggregates.cells import interval


@dataclass(frozen=True, slots=True)
class Merge:
    """Two groups of segments become one.

    Over draws, (S,): ``loss`` is the share that this merge takes of what the segments tell of the
    customers (the mutual information of customer and segment), ``clears`` the share of all ambiguity
    that it takes away. All losses of a tree sum to one, as its last group tells nothing.
    """

    segments: tuple[tuple[int, ...], tuple[int, ...]]
    loss: Array
    clears: Array


def merge_tree(member: Array) -> list[dict[str, Any]]:
    """``entropy_merges``, JSON-able: ``segments, loss, clears`` and ``height``, all lost so far."""
    found, taken = [], np.zeros(1)
    for one in entropy_merges(member):
        taken = taken + one.loss
        found.append(
            {
                "segments": [list(part) for part in one.segments],
                "loss": interval(one.loss),
                "height": interval(taken),
                "clears": interval(one.clears),
            }
        )
    return found


def entropy_merges(member: Array) -> list[Merge]:
    """The tree of merges: always the two groups whose union takes away most ambiguity.

    Baudry, Raftery, Celeux, Lo & Gottardo 2010, equation 3, on mean memberships; then each merge is
    measured under every draw.

    Args:
        member: (n, S, K) memberships under each draw.

    Returns:
        The K - 1 merges in their order; ``segments`` as column numbers.
    """
    mean = member.mean(1)
    parts: list[tuple[int, ...]] = [(k,) for k in range(mean.shape[1])]
    pairs: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    while len(parts) > 1:
        held = {part: _held(mean, part) for part in parts}
        a, b = max(combinations(parts, 2), key=lambda two: _cleared(held[two[0]], held[two[1]]))
        pairs.append((a, b))
        parts = [part for part in parts if part not in (a, b)] + [tuple(sorted(a + b))]
    ambiguity = -_xlogx(member).sum((0, 2))
    told = _spread(member.mean(0)) * len(member) - ambiguity
    found = []
    for a, b in pairs:
        one, other = _held(member, a), _held(member, b)
        clears = _cleared(one, other)
        means = np.stack([one.mean(0), other.mean(0)], axis=-1)
        parted = (_spread(means) - _spread(means.sum(-1, keepdims=True))) * len(member)
        found.append(
            Merge((a, b), (parted - clears) / _positive(told), clears / _positive(ambiguity))
        )
    return found


def _held(member: Array, part: Sequence[int]) -> Array:
    return np.asarray(member[..., list(part)].sum(-1))


def _xlogx(p: Array) -> Array:
    return np.asarray(p * np.log(np.where(p > 0, p, 1.0)))


def _spread(shares: Array) -> Array:
    """Entropy of each row of shares."""
    return np.asarray(-_xlogx(shares).sum(-1))


def _cleared(one: Array, other: Array) -> Array:
    """The entropy that goes when two groups become one, summed over customers."""
    return np.asarray((_xlogx(one + other) - _xlogx(one) - _xlogx(other)).sum(0))


def _positive(values: Array) -> Array:
    return np.maximum(values, np.finfo(np.float64).tiny)
