"""Population stability index beside what chance alone would give. L7."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayesseg._types import Array, IntArray

BINS = 10
WATCH, REFIT = 0.10, 0.25
"""The convention; a shift counts only where it also exceeds chance."""
_WORLDS = 999
_SMOOTH = 0.5


@dataclass(frozen=True, slots=True)
class Shift:
    """``psi``, its 99 % quantile under no change, the share of no-change worlds with as much."""

    psi: float
    null: float
    p: float

    @property
    def level(self) -> str:
        """``stable``, ``watch`` or ``refit``."""
        if self.psi <= max(self.null, WATCH):
            return "stable"
        return "refit" if self.psi > REFIT else "watch"


def bins(before: Array, after: Array) -> tuple[IntArray, IntArray]:
    """Each value's bin: tenths of ``before``, or its own values where these are few; NaN apart."""
    seen = np.unique(before[~np.isnan(before)])
    if len(seen) > BINS:
        inner = np.quantile(before[~np.isnan(before)], np.arange(1, BINS) / BINS)
        edges = np.unique(inner)
    else:
        edges = (seen[1:] + seen[:-1]) / 2

    def place(values: Array) -> IntArray:
        found = np.searchsorted(edges, values, side="right")
        return np.where(np.isnan(values), len(edges) + 1, found).astype(np.int64)

    return place(before), place(after)


def index(before: Array, after: Array) -> Array:
    """PSI of counts (..., B), smoothed by half a customer a bin: (...)."""
    count = before.shape[-1]
    p = (before + _SMOOTH) / (before.sum(-1, keepdims=True) + _SMOOTH * count)
    q = (after + _SMOOTH) / (after.sum(-1, keepdims=True) + _SMOOTH * count)
    return np.asarray(((q - p) * np.log(q / p)).sum(-1))


def shift(
    before: IntArray,
    after: IntArray,
    pairs: tuple[IntArray, IntArray],
    rng: np.random.Generator,
) -> Shift:
    """PSI between two periods and its null, in which periods mean nothing.

    In a world without change all customers come from one population, that of both periods together.
    Those seen in both are drawn anew and swap periods by a coin; leavers and joiners are drawn anew from
    that population, each side by itself: who left and who came is evidence of change too. Only cells
    are counted, so this costs the same for any number of customers.

    Args:
        before: (N,) bins of the first period.
        after: (M,) bins of the second.
        pairs: rows of ``before`` and of ``after`` that are one customer.
        rng: draws the no-change worlds.
    """
    count = int(max(before.max(), after.max())) + 1
    first, second = (np.bincount(v, minlength=count).astype(np.float64) for v in (before, after))
    seen = float(index(first, second))
    population = (first + second) / (len(before) + len(after))
    # how far the counts of both periods stray from those expected: (worlds, 2, count)
    strays = _pairs_stray(before[pairs[0]] * count + after[pairs[1]], count, rng)
    for side, values in enumerate((before, after)):
        alone = len(values) - len(pairs[0])
        drawn = rng.multinomial(alone, population, size=_WORLDS)
        strays[:, side] += drawn - alone * population
    expected = [len(before) * population, len(after) * population]
    one, other = np.moveaxis(np.maximum(expected + strays, 0.0), 1, 0)
    worlds = index(one, other)
    # counts of two equal worlds differ by rounding alone
    p = float((1 + (worlds >= seen - 1e-12).sum()) / (1 + _WORLDS))
    return Shift(seen, float(np.quantile(worlds, 0.99)), p)


def _pairs_stray(cells: IntArray, count: int, rng: np.random.Generator) -> Array:
    """Customers of both periods drawn anew, each swapped by a coin, less what is expected."""
    both = np.bincount(cells, minlength=count * count).reshape(count, count)
    joint = (both + both.T) / 2.0
    drawn = rng.multinomial(len(cells), joint.ravel() / max(len(cells), 1), size=_WORLDS)
    drawn = drawn.reshape(-1, count, count)
    return np.asarray(np.stack([drawn.sum(2), drawn.sum(1)], axis=1) - joint.sum(1))
