"""One labelling for all draws of a mixture. L5.

The posterior does not know component 1 from component 2. ECR matches each draw's allocation with that of
the best mode (Papastamoulis & Iliopoulos 2010); Stephens' algorithm then matches each draw with the mean
membership matrix until nothing changes (Stephens 2000, algorithm 2). Where the two disagree, labels mean
little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from bayesseg._types import Array, IntArray

_FLOOR = 1e-12
_ROUNDS = 50


@dataclass(frozen=True, slots=True)
class Relabelling:
    """``order[s, k]`` is the component of draw s that is segment k.

    ``disagreement`` is the share of draws that ECR and Stephens label differently, ``permuted`` the
    share that needed a permutation, ``margin`` the mean gap of membership between best and second
    label of the rows.
    """

    order: IntArray
    disagreement: float
    permuted: float
    margin: float


def _assign(gain: Array) -> IntArray:
    """The permutation with the largest total gain for each draw of (S, segment, component)."""
    order = gain.argmax(2)
    # If every segment's favourite is another component, no permutation can do better.
    contested = (np.sort(order, axis=1) != np.arange(order.shape[1])).any(1)
    for s in np.flatnonzero(contested):
        order[s] = linear_sum_assignment(-gain[s])[1]
    return order


def ecr(membership: Array, allocation: IntArray) -> IntArray:
    """Permutations that agree most with a pivot allocation.

    Args:
        membership: (S, n, K) probabilities of each draw.
        allocation: (n,) pivot component of each row.
    """
    K = membership.shape[2]
    pivot = np.eye(K)[allocation]
    own = np.eye(K)[membership.argmax(2)]
    return _assign(np.matmul(pivot.T, own))


def stephens(membership: Array, start: IntArray) -> IntArray:
    """Permutations that minimise the Kullback-Leibler loss to the mean membership matrix."""
    order = start
    for _ in range(_ROUNDS):
        mean = np.take_along_axis(membership, order[:, None, :], axis=2).mean(0)
        gain = np.matmul(np.log(np.maximum(mean, _FLOOR)).T, membership)
        new = _assign(gain)
        if np.array_equal(new, order):
            break
        order = new
    return order


def relabel(membership: Array, first: IntArray) -> Relabelling:
    """Align all draws with one another.

    Args:
        membership: (S, n, K) probabilities of some reference rows under each draw.
        first: (S, K) their permutations by ``ecr``.
    """
    order = stephens(membership, first)
    mean = np.take_along_axis(membership, order[:, None, :], axis=2).mean(0)
    top = np.sort(mean, axis=1)
    return Relabelling(
        order,
        float((first != order).any(1).mean()),
        float((order != np.arange(order.shape[1])).any(1).mean()),
        float((top[:, -1] - top[:, -2]).mean()) if top.shape[1] > 1 else 1.0,
    )


def permute(values: Mapping[str, Array], order: IntArray) -> dict[str, Array]:
    """Apply ``order`` (S, K) to parameters with leading axes (S, K)."""
    rows = np.arange(len(order))[:, None]
    return {name: array[rows, order] for name, array in values.items()}
