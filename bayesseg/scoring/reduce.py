"""Draws of memberships, (n, S, K), reduced at once: over draws, and over rows. L7."""

from __future__ import annotations

import numpy as np

from bayesseg._compiled import compiled
from bayesseg._types import Array

_CELLS = 64  # whose sums stay in the processor's first cache
_NOTHING = 1e-20  # of less, -p log p is beyond the digits of a sum


def mean_draw(values: Array) -> Array:
    """Means over draws, (S, n) to (n,), the same in any company: NumPy adds a lone column otherwise."""
    return np.asarray(np.ascontiguousarray(values.T).mean(axis=1))


@compiled
def over_draws(member: Array) -> tuple[Array, Array, Array]:
    """What the draws of each row say together.

    Returns:
        Means (n, K); the share of draws in which each segment is the likeliest (n, K), the first of
        equals; the mean of the draws' entropies in nats (n,).
    """
    n, S, K = member.shape
    mean, top, entropy = np.zeros((n, K)), np.zeros((n, K)), np.zeros(n)
    for i in range(n):
        for s in range(S):
            best, most = 0, -1.0
            for k in range(K):
                p = member[i, s, k]
                mean[i, k] += p
                if p > most:
                    best, most = k, p
            top[i, best] += 1.0
            if most < 1.0:
                for k in range(K):
                    p = member[i, s, k]
                    if p > _NOTHING:
                        entropy[i] -= p * np.log(p)
        mean[i] /= S
        top[i] /= S
        entropy[i] /= S
    return mean, top, entropy


@compiled
def over_rows(columns: Array, member: Array) -> Array:
    """Sums over rows of each column (n, J) weighted by membership, under each draw: (J, S, K).

    In the order of the rows, and not by BLAS, whose order depends on threads.
    """
    n, S, K = member.shape
    J, C = columns.shape[1], S * K
    cells = member.reshape(n, C)
    out = np.zeros((J, C))
    for first in range(0, C, _CELLS):
        last = min(first + _CELLS, C)
        for i in range(n):
            own = cells[i, first:last]
            for j in range(J):
                value = columns[i, j]
                if value != 0.0:
                    into = out[j, first:last]
                    for c in range(last - first):
                        into[c] += value * own[c]
    return out.reshape(J, S, K)
