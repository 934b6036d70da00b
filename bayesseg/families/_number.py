"""How many components a mixture has: a prior on the number, and draws of it given who is together. L4.

Dynamic mixture of finite mixtures: K components with weights Dirichlet(alpha / K), of which only those
with rows are seen (Fruhwirth-Schnatter, Malsiner-Walli & Grun 2021, Generalized mixtures of finite
mixtures and telescoping sampling, sections 2 and 4).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, gammaln

from bayesseg._types import Array, IntArray

_STEPS = 5
"""Metropolis steps of log alpha a sweep, their widths drawn over two orders of magnitude."""


@dataclass(frozen=True, slots=True)
class Number:
    """``log_prior`` (most,) of 1, 2, ... components; ``alpha`` the two degrees of freedom of its F."""

    log_prior: Array
    alpha: tuple[float, float]


def number(most: int, components: Mapping[str, float], alpha: Mapping[str, float]) -> Number:
    """Components - 1 beta-negative-binomial(size, alpha, beta), cut at ``most``; alpha F."""
    k, r, a, b = np.arange(most), components["size"], components["alpha"], components["beta"]
    log_prior = gammaln(r + k) - gammaln(r) - gammaln(k + 1.0) + betaln(r + a, k + b) - betaln(a, b)
    log_prior -= np.log(np.exp(log_prior).sum())
    return Number(log_prior, (alpha["numerator"], alpha["denominator"]))


def log_partition(sizes: Array, alpha: Array, most: int) -> Array:
    """Log probability of one partition of the rows under 1, ..., ``most`` components.

    Args:
        sizes: (C, M) rows of each component, zeros allowed.
        alpha: (C,).
        most: how many numbers of components.

    Returns:
        (C, most), minus infinity where there are fewer components than groups (equation 2.5).
    """
    K = np.arange(1.0, most + 1.0)
    n, share = sizes[:, None, :], (alpha[:, None] / K)[..., None]
    filled = (sizes > 0).sum(1)[:, None]
    each = np.where(n > 0, gammaln(n + share) - gammaln(1.0 + share), 0.0).sum(2)
    spare = np.maximum(K - filled, 0.0)
    whole = gammaln(alpha) - gammaln(sizes.sum(1) + alpha)
    found = gammaln(K + 1) - gammaln(spare + 1) + filled * np.log(share[..., 0]) + each
    return np.asarray(np.where(filled <= K, found + whole[:, None], -np.inf))


def drawn(
    own: Number, sizes: Array, alpha: Array, rng: np.random.Generator
) -> tuple[IntArray, Array]:
    """The number of components of each chain, then alpha, both given the partition: (C,), (C,)."""
    chains, most = len(alpha), len(own.log_prior)
    logs = own.log_prior + log_partition(sizes, alpha, most)
    count = (logs + rng.gumbel(size=logs.shape)).argmax(1) + 1
    top, low = own.alpha

    def height(alpha: Array) -> Array:  # in log alpha
        prior = 0.5 * top * np.log(alpha) - 0.5 * (top + low) * np.log1p(alpha * top / low)
        return np.asarray(prior + log_partition(sizes, alpha, most)[np.arange(chains), count - 1])

    here = height(alpha)
    for _ in range(_STEPS):
        width = 10.0 ** rng.uniform(-1.5, 0.5, chains)
        new = alpha * np.exp(width * rng.standard_normal(chains))
        there = height(new)
        taken = there - here > np.log(rng.random(chains))
        alpha, here = np.where(taken, new, alpha), np.where(taken, there, here)
    return count.astype(np.int64), alpha
