"""How many components hold rows, where that number is drawn too. L5.

Chains start from different numbers of components and run together (``sweep``). The number of those
that hold rows, K+, is what they explore; tables can only be of one number, so the mixture is then
sampled given that K+ is its mode, and says how many of all draws that is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bayesseg._types import Array
from bayesseg.inference import mixing
from bayesseg.inference import modes as em
from bayesseg.inference.modes import Theta
from bayesseg.inference.sweep import STARTS, Run, noise_of, padded, sample
from bayesseg.inference.watched import LONGEST
from bayesseg.spec import InferenceSpec

LIMITS = {"rhat": 1.05, "share_error": 0.1}
"""What is asked of the number: R-hat of K+, and the Monte Carlo error of the share of its mode."""
_ROWS, _SEEDS, _STEPS = 2000, 12, 30
_SPREAD, _PATIENCE = 3, 3
"""Chains begin with so many numbers; the search for the first stops so far past the best."""
_APART = 1.1
"""Chains whose numbers have a larger R-hat are still on their way: the first quarter is thrown away."""


def _starts(run: Run) -> Theta:
    """Chains begin with the number that BIC prefers among short climbs, and with one and two more.

    Above rather than below: a component dies more easily than one is born between two clear groups.
    """
    rng, most = noise_of(run.seed, STARTS, 0), run.plan.components
    few = run.rows[:: max(1, len(run.rows) // _ROWS)]
    found: list[Theta] = []
    scores = []
    for count in range(1, most + 1):
        own = replace(run.plan, components=count, number=None)
        theta, height = em.climb(own, em.seeded(own, few, _SEEDS, rng), few, _STEPS)
        best = em.take(theta, [int(height.argmax())])
        free = sum(np.unique(values).size for values in best.values())  # what is shared counts once
        likelihood = height.max() - em.log_prior(own, best)[0]
        scores.append(free * np.log(len(few)) - 2.0 * likelihood)
        found.append(padded(best, most))
        if count - 1 >= int(np.argmin(scores)) + _PATIENCE:
            break
    first = int(np.argmin(scores))
    begun = [min(first + c % _SPREAD, len(found) - 1) for c in range(run.chains)]
    theta = {name: np.concatenate([found[i][name] for i in begun]) for name in found[0]}
    return theta | {"alpha": np.ones(run.chains), "filled": np.array(begun) + 1.0}


def explored(
    run: Run, inference: InferenceSpec, tick: Callable[[int], None]
) -> tuple[Array, dict[str, Any]]:
    """Tune, then draw until chains agree on the number and its mode's share is known, or ten-fold.

    Returns:
        How many components hold rows in each draw (chain, draw), and what is said of it.
    """
    theta, _ = sample(run, _starts(run), 0, inference.tune, tick)
    filled = np.empty((run.chains, 0))
    count, draws = inference.draws, 0
    while count:
        theta, new = sample(run, theta, inference.tune + draws, count, tick)
        filled, draws = np.concatenate([filled, new["filled"]], axis=1), draws + count
        late = filled if _rhat(filled) <= _APART else filled[:, draws // 4 :]
        said = _said(late, run.plan.components)
        short = any(not said[name] <= limit for name, limit in LIMITS.items())
        count = min(draws, LONGEST * inference.draws - draws) if short else 0
    return late, said


def _rhat(filled: Array) -> float:
    return float(mixing.rhat(filled[..., None])[0]) if np.ptp(filled) else 1.0


def _said(filled: Array, most: int) -> dict[str, Any]:
    """The distribution of K+, how well it is known, and which number tables are of."""
    counts, times = np.unique(filled, return_counts=True)
    found = {int(c): float(t) for c, t in zip(counts, times / filled.size, strict=True)}
    number = max(found, key=lambda c: found[c])
    at = (filled == number)[..., None].astype(np.float64)
    error = float(at.std() / np.sqrt(mixing.ess(at)[0])) if np.ptp(at) else 0.0
    shown = ", ".join(f"{c} ({share:.0%})" for c, share in found.items())
    capped = (
        f"; the model allows no more than {most}, so give a larger most" if most in found else ""
    )
    return {
        "components": number,
        "most": most,
        "share": found[number],
        "share_error": error,
        "rhat": _rhat(filled),
        "limits": LIMITS,
        "distribution": {str(c): share for c, share in found.items()},
        "words": (
            f"{number} hold customers in {found[number]:.0%} of draws (give or take {error:.0%}); all "
            "tables are given that number",
            f"numbers drawn: {shown}{capped}",
            "with more customers any misfit moves these numbers up: they explore, and do not count "
            "true segments",
        ),
    }
