"""Mixtures whose number of components is drawn too. L5.

Chains start from different numbers of components and run together (``sweep``). The number of components
that hold rows, K+, is what they explore; tables can only be of one number, so they keep the draws in
which K+ is its mode, weights shared out among the components that hold rows (which is their law given
the partition), and say how many of all draws those are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bayesseg._types import Array, IntArray
from bayesseg.errors import InputRejected
from bayesseg.families.gmm import Plan, simulate
from bayesseg.inference import mixing
from bayesseg.inference import modes as em
from bayesseg.inference.modes import Modes, Theta
from bayesseg.inference.relabel import ecr
from bayesseg.inference.sweep import MODES, PLACES, STARTS, Run, noise_of, padded, sample
from bayesseg.inference.watched import (
    ENOUGH_ESS,
    PAIRS,
    Kept,
    invariants,
    memberships,
    more,
    permuted,
    references,
    watched,
)
from bayesseg.spec import InferenceSpec

_SERIES = ("log_likelihood", "entropy", "alpha", "filled")
_ROWS, _SEEDS, _STEPS = 2000, 12, 30
_UNKNOWN = np.inf, 0.5 * ENOUGH_ESS  # go on for about as long again
_SPREAD, _PATIENCE = 3, 3
"""Chains begin with so many numbers; the search for the first stops so far past the best."""
_APART = 1.1
"""Chains whose numbers have a larger R-hat are still on their way: the first half is thrown away."""


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


def _conditioned(drawn: Theta, count: int) -> Theta:
    """As many draws of each chain with ``count`` filled components, spread over those it has."""
    own = [np.flatnonzero(chain == count) for chain in drawn["filled"]]
    fewest = min(map(len, own))
    places = np.stack([o[np.linspace(0, len(o) - 1, fewest).astype(np.int64)] for o in own])
    found = em.take(drawn, (np.arange(len(own))[:, None], places))
    found = {n: v if n in _SERIES else v[:, :, :count] for n, v in found.items()}
    return found | {"weights": found["weights"] / found["weights"].sum(2, keepdims=True)}


def _visited(filled: Array) -> tuple[IntArray, Array]:
    """Numbers of filled components and the share of all draws that have each."""
    counts, times = np.unique(filled, return_counts=True)
    return counts.astype(np.int64), times / filled.size


def _mode_of(filled: Array) -> int:
    """The number most draws have, among those that every chain has; 0 where there is none."""
    counts, shares = _visited(filled)
    everywhere = [(filled == count).any(1).all() for count in counts]
    return int(counts[np.where(everywhere, shares, -1.0).argmax()]) if any(everywhere) else 0


def explored(
    run: Run, inference: InferenceSpec, tick: Callable[[int], None]
) -> tuple[Kept, Modes, dict[str, Any]]:
    """Tune, then draw until the number and what is kept of its mode have mixed.

    Returns:
        The draws of that number, its modes by EM and what is said of the choice.

    Raises:
        InputRejected: no number of segments was visited by every chain.
    """
    theta, _ = sample(run, _starts(run), 0, inference.tune, tick)
    first = em.take(padded(theta, run.plan.components), 0)
    places, _ = simulate(first, 2 * PAIRS, noise_of(run.seed, PLACES, 0))
    own: dict[int, tuple[Plan, Modes]] = {}
    drawn: Theta = {}
    count, draws = inference.draws, 0
    while count:
        theta, new = sample(run, theta, inference.tune + draws, count, tick)
        drawn = {k: np.concatenate([drawn[k], new[k]], axis=1) for k in new} if drawn else new
        draws += count
        apart = mixing.rhat(drawn["filled"][..., None])[0] > _APART
        if apart:
            drawn = {name: values[:, values.shape[1] // 2 :] for name, values in drawn.items()}
        number, mixed = _mode_of(drawn["filled"]), _UNKNOWN
        if number:
            if number not in own:
                plan = replace(run.plan, components=number, number=None)
                found = em.find_modes(plan, run.rows, noise_of(run.seed, MODES, 0), run.map)
                own[number] = plan, found
            plan, modes = own[number]
            both = _conditioned(drawn, number)
            values = {n: v for n, v in both.items() if n not in _SERIES}
            stats = {n: both[n] for n in ("log_likelihood", "entropy")}
            stats |= invariants(values, places)
            some = references(run.rows, values["weights"][..., 0].size, number)
            best = em.take(modes.theta, [0])
            order = ecr(memberships(values, some), em.allocations(plan, best, some)[0])
            if values["weights"].shape[1] >= inference.draws:
                mixed = mixing.worst(watched(permuted(values, order) | stats))
        count = more(_UNKNOWN if apart else mixed, draws, inference.draws)
    if not number:
        raise InputRejected(
            f"chains do not agree on the number of segments: {_visited(drawn['filled'])[0].tolist()} "
            "were drawn, none of them by every chain",
            fix='set components = "auto" or a number in [segments], or sample longer',
            code="number_unsettled",
        )
    filled = drawn["filled"]
    stats["filled"] = filled
    kept = Kept(values, stats, order, some, mixed, stats["log_likelihood"])
    return kept, modes, _said(filled, number, run.plan.components)


def _said(filled: Array, number: int, most: int) -> dict[str, Any]:
    """The distribution of K+, how well it is known, and what tables are of."""
    counts, shares = _visited(filled)
    found = {int(c): float(s) for c, s in zip(counts, shares, strict=True)}
    at = (filled == number)[..., None].astype(np.float64)
    moved = bool(np.ptp(at))
    error = float(at.std() / np.sqrt(mixing.ess(at)[0])) if moved else 0.0
    shown = ", ".join(f"{c} ({share:.0%})" for c, share in found.items())
    capped = (
        f"; the model allows no more than {most}, so give a larger most" if most in found else ""
    )
    return {
        "components": number,
        "share": found[number],
        "share_error": error,
        "rhat": float(mixing.rhat(filled[..., None])[0]) if np.ptp(filled) else 1.0,
        "distribution": {str(c): share for c, share in found.items()},
        "words": (
            f"{number} hold customers in {found[number]:.0%} of draws (give or take {error:.0%}); all "
            "tables are of those draws",
            f"numbers drawn: {shown}{capped}",
            "with more customers any misfit moves these numbers up: they explore, and do not count "
            "true segments",
        ),
    }
