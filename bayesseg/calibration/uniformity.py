"""Are ranks uniform? One number a quantity, its null by simulation, and what N can see. L8.

The statistic is that of Säilynoja, Bürkner & Vehtari (2022), Graphical test for discrete uniformity
and its applications in goodness of fit evaluation and multiple sample comparison, section 2: how
extreme the ranks' ECDF is at its most extreme of 50 points. Holm (1979) keeps the family's error.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg._types import Array

POINTS = 50
DRAWS = 99
"""Posterior draws a rank is taken among: ranks 0 … 99, two to each point."""
ALPHA = 0.01
"""Chance that a correct computation breaches anywhere among the quantities of one family."""
POWER = 0.9
_NULL = 100_000
_REPLICATES = 4_000
_STEPS = 9

type Ranks = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Uniformity:
    """The ranks of one quantity, judged.

    Attributes:
        n: simulations behind it.
        gamma: the statistic; small where ranks are not uniform.
        threshold: gamma of the strictest step of Holm's test.
        p: P(a smaller or equal gamma | uniform ranks).
        p_holm: the same, adjusted for the number of quantities.
        passed: ``p_holm >= ALPHA``.
        direction: how the posterior errs, in words: the plainer of shift and width.
        mean: mean of (rank + ½)/(L + 1), ½ where unbiased.
        spread: its standard deviation relative to the uniform one; above 1: too narrow a posterior.
    """

    n: int
    gamma: float
    threshold: float
    p: float
    p_holm: float
    passed: bool
    direction: str
    mean: float
    spread: float


def judge(ranks: dict[str, Ranks]) -> dict[str, Uniformity]:
    """Judge every quantity's ranks (0 … ``DRAWS``) together, by Holm at ``ALPHA``."""
    gammas = {name: gamma(own) for name, own in ranks.items()}
    p = {name: p_value(gammas[name], len(own)) for name, own in ranks.items()}
    holm, worst = {}, 0.0
    for i, name in enumerate(sorted(p, key=lambda n: p[n])):
        worst = max(worst, (len(p) - i) * p[name])
        holm[name] = min(worst, 1.0)
    return {
        name: Uniformity(
            n=len(own),
            gamma=gammas[name],
            threshold=critical(len(own), ALPHA / len(ranks)),
            p=p[name],
            p_holm=holm[name],
            passed=holm[name] >= ALPHA,
            direction=_direction(own),
            mean=float(_uniform(own).mean()),
            spread=float(np.sqrt(12.0 * np.mean((_uniform(own) - 0.5) ** 2))),
        )
        for name, own in ranks.items()
    }


def gamma(ranks: Ranks) -> float:
    """The smallest of P(Bin(N, k/50) ≤ C_k) and P(Bin(N, k/50) ≥ C_k), C_k ranks at or below k/50."""
    bins = np.bincount((ranks * POINTS) // (DRAWS + 1), minlength=POINTS)
    return float(_gammas(bins[None, :])[0])


def p_value(value: float, n: int) -> float:
    """P(gamma ≤ ``value``) for n uniform ranks, by 100,000 simulations; never 0."""
    return float((1 + np.searchsorted(_null(n), value, side="right")) / (1 + _NULL))


def critical(n: int, alpha: float) -> float:
    """The gamma that n uniform ranks stay above with probability 1 - alpha."""
    return float(np.quantile(_null(n), alpha))


@lru_cache(maxsize=16)
def detectable(n: int, alpha: float) -> dict[str, float | None]:
    """The smallest errors of a posterior that n simulations see with 90 % power at level alpha.

    Returns:
        ``bias`` in posterior sds, ``narrow`` and ``wide`` as factors of the posterior sd; None where
        even 4 sds, a tenth or ten times are not seen. By simulation for a normal posterior.
    """
    limit = critical(n, alpha)

    def seen(bias: float, factor: float) -> bool:
        from scipy.special import ndtr, ndtri

        inside = ndtr(bias + factor * ndtri(np.linspace(0.0, 1.0, POINTS + 1)))
        bins = np.random.default_rng(1).multinomial(n, np.diff(inside), _REPLICATES)
        return bool(np.mean(_gammas(bins) <= limit) >= POWER)

    def smallest(error: Any, largest: float) -> float | None:
        low, high = 0.0, largest
        if not seen(*error(high)):
            return None
        for _ in range(_STEPS):
            middle = (low + high) / 2
            low, high = (low, middle) if seen(*error(middle)) else (middle, high)
        return high

    reach = float(np.log(10.0))
    narrow = smallest(lambda e: (0.0, np.exp(-e)), reach)
    wide = smallest(lambda e: (0.0, np.exp(e)), reach)
    return {
        "bias": smallest(lambda e: (e, 1.0), 4.0),
        "narrow": None if narrow is None else float(np.exp(-narrow)),
        "wide": None if wide is None else float(np.exp(wide)),
    }


def _gammas(bins: Any) -> Array:
    """Gamma of each row of counts in the 50 bins."""
    n = int(bins[0].sum())
    table, below = _tails(n), np.cumsum(bins, axis=1)[:, : POINTS - 1]
    return np.asarray(table[np.arange(POINTS - 1), below].min(axis=1))


@lru_cache(maxsize=16)
def _tails(n: int) -> Array:
    """The smaller binomial tail at each of the 49 inner points (rows) and count (columns)."""
    from scipy.stats import binom

    counts, share = np.arange(n + 1)[None, :], np.arange(1, POINTS)[:, None] / POINTS
    return np.asarray(np.minimum(binom.cdf(counts, n, share), binom.sf(counts - 1, n, share)))


@lru_cache(maxsize=16)
def _null(n: int) -> Array:
    rng = np.random.default_rng(0)
    flat = np.full(POINTS, 1.0 / POINTS)
    chunks = [_gammas(rng.multinomial(n, flat, _NULL // 20)) for _ in range(20)]
    return np.sort(np.concatenate(chunks))


def _uniform(ranks: Ranks) -> Array:
    return np.asarray((ranks + 0.5) / (DRAWS + 1))


def _direction(ranks: Ranks) -> str:
    """The rank counts draws below the truth: high ranks mean a posterior that lies too low."""
    u = _uniform(ranks)
    shift = (u.mean() - 0.5) * np.sqrt(12.0 * len(u))
    width = (np.mean((u - 0.5) ** 2) - 1 / 12) * np.sqrt(180.0 * len(u))
    if abs(shift) >= abs(width):
        return "biased low" if shift > 0 else "biased high"
    return "too narrow" if width > 0 else "too wide"
