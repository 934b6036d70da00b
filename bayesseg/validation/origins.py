"""Rolling origins: the forecast verdict, and what past misses say about the next total.

Let δ = ln(actual / forecast) of a total. The predictive draws explain a part of δ², on average v, the
variance of their logarithm; max(δ² - v, 0) is the excess, what the model misses beyond its own
uncertainty. A discrepancy ε ~ N(0, σ²) over origins, σ² ~ scaled inverse χ²(ν₀ = 2, s₀ = 0.10), stands
for it: after n origins a new ε is taken as Student-t with ν₀ + n degrees and scale² = (ν₀ s₀² +
Σ excess) / (ν₀ + n). Multiplying the predictive draws of the next total by e^ε widens its interval.
Learning from δ² itself would count the uncertainty of the draws twice. Where v is nought this is exact;
else the cut at nought errs to the wide side. Where a total's own interval is far narrower than s₀ the
prior rules. Each origin is widened by what the origins before it showed, and by nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayesseg._types import Array
from bayesseg.validation.metrics import LEVEL

PRIOR = {"nu": 2.0, "scale": 0.10}
"""What is believed of the discrepancy before any origin: typically a tenth, with heavy tails."""
FEWEST = 3
CHANCE = 0.05
_TAILS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)


def discrepancy(excesses: Sequence[float]) -> dict[str, float]:
    """Degrees and scale of the Student-t of the next ε, given the past excesses."""
    nu = PRIOR["nu"] + len(excesses)
    total = PRIOR["nu"] * PRIOR["scale"] ** 2 + sum(excesses)
    return {"nu": nu, "scale": math.sqrt(total / nu)}


def excess(score: Mapping[str, Any], totals: Array, least: float) -> float | None:
    """max(δ² - v, 0) of a total, or None where there is no forecast.

    Totals below ``least``, half a purchase or its worth, count as that: of nothing there is no
    logarithm, and a total that never came is the worst miss of all.
    """
    if not (score["mean"] or 0) > 0 or not least > 0:
        return None
    miss = math.log(max(score["actual"], least) / max(score["mean"], least))
    return max(miss**2 - float(np.log(np.maximum(totals, least)).var()), 0.0)


def widened(
    score: Mapping[str, Any], totals: Array, past: Sequence[float], least: float = 0.5
) -> dict[str, Any]:
    """The interval of a total with the discrepancy learnt from ``past`` excesses; does it hold?

    ``excess`` is this total's own, for later origins to learn from.
    The factor is paired with the draws by a fixed grid of its quantiles in random order, which adds
    no noise of its own to the ends.
    """
    from scipy.stats import t

    own = discrepancy(past)
    grid = (np.arange(len(totals)) + 0.5) / len(totals)
    order = np.random.default_rng(len(totals)).permutation(len(totals))
    draws = totals * np.exp(own["scale"] * t.ppf(grid[order], own["nu"]))
    low, high = map(float, np.quantile(draws, _TAILS))
    within = bool(low <= score["actual"] <= high)
    return {
        "lo": low,
        "hi": high,
        "inside": within,
        **own,
        "learnt_from": len(past),
        "excess": excess(score, totals, least),
    }


def excesses(scores: Sequence[Mapping[str, Any]]) -> list[float]:
    """What widened scores teach."""
    found = [score["widened"]["excess"] for score in scores]
    return [one for one in found if one is not None]


def totals_of(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The document's ``TOTALS`` over origins, oldest first."""
    from scipy.stats import t

    bias = [score["bias"] for score in scores]
    known = [b for b in bias if b is not None]
    signs = np.sign([b for b in known if b])
    learnt = discrepancy(excesses(scores))
    reach = float(learnt["scale"] * t.ppf(_TAILS[1], learnt["nu"]))
    return {
        "origins": len(scores),
        "bias": bias,
        "mean_bias": float(np.mean(known)) if known else None,
        "worst_bias": max(known, key=abs) if known else None,
        "sign_changes": int((np.diff(signs) != 0).sum()),
        "inside": sum(bool(score["inside"]) for score in scores),
        "inside_widened": sum(bool(score["widened"]["inside"]) for score in scores),
        "discrepancy": {
            **learnt,
            "lo": math.exp(-reach),
            "hi": math.exp(reach),
            "prior": dict(PRIOR),
        },
    }


def verdict(totals: Mapping[str, Any]) -> dict[str, Any]:
    """``passed``, ``caution``, ``failed`` or ``not-assessed``, with the counts behind it."""
    from scipy.stats import binom

    origins = totals["origins"]
    missed = origins - totals["inside"]
    missed_widened = origins - totals["inside_widened"]
    # the least misses that chance would give in at most one case of twenty
    too_many = next(
        k for k in range(1, origins + 2) if binom.sf(k - 1, origins, 1 - LEVEL) <= CHANCE + 1e-12
    )
    if missed_widened >= too_many:
        word = "failed"
    elif missed >= too_many:
        word = "caution"
    else:
        word = "passed" if origins >= FEWEST else "not-assessed"
    return {
        "verdict": word,
        "missed": missed,
        "missed_widened": missed_widened,
        "origins": origins,
        "chance": float(binom.sf(missed - 1, origins, 1 - LEVEL)),
    }


def path(scores: Sequence[Mapping[str, float]], own: str) -> list[str]:
    """The family to trust at each origin: the best mean score over the origins before it.

    Args:
        scores: by origin, CRPS by family (smaller is better).
        own: the family taken where there is no past.

    Returns:
        One name an origin, and one more: the choice for the next.
    """
    chosen = [own]
    for past in range(1, len(scores) + 1):
        mean = mean_scores(scores[:past])
        chosen.append(min(mean, key=lambda name: (mean[name], name != own)))
    return chosen


def mean_scores(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean over origins, by family."""
    return {name: float(np.mean([one[name] for one in scores])) for name in scores[0]}
