"""What a run is watched by, and when it is long enough. L5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import logit

from bayesseg._types import Array, IntArray
from bayesseg.families.gmm import log_density, responsibilities
from bayesseg.inference.modes import Theta
from bayesseg.inference.relabel import permute

PAIRS, POINTS = 20, 10
ENOUGH_ESS, ENOUGH_RHAT = 600.0, 1.008
"""What the run aims at; the gates ask for 400 and 1.01, measured by rank."""
LONGEST = 10
"""A run is extended up to this many times the draws the model file asks for."""
_REFERENCE_CELLS, _FEWEST_REFERENCES = 2_000_000, 100
_NEVER = 1e-12


@dataclass(frozen=True, slots=True)
class Kept:
    """A finished run: draws as they came, and the order (S, K) that lines them up with the best mode.

    ``log_likelihood`` (chain, draw) is that of each draw in ``values``.
    """

    values: Theta
    stats: Theta
    order: IntArray
    reference: Array
    mixed: tuple[float, float]
    log_likelihood: Array


def flat(values: Mapping[str, Array]) -> Theta:
    """(chain, draw, ...) to (chain * draw, ...)."""
    return {name: array.reshape(-1, *array.shape[2:]) for name, array in values.items()}


def invariants(values: Theta, places: Array) -> dict[str, Array]:
    """Quantities that do not care how components are numbered, each (chain, draw, ...).

    ``places`` are simulated, never customers: from a density under thousands of draws, which the
    artefact keeps, its point can be solved for.
    """
    shape, theta = values["weights"].shape[:2], flat(values)
    member = responsibilities(theta, places)
    together = np.einsum("psk,psk->sp", member[:PAIRS], member[PAIRS:])
    return {
        "sorted_weights": np.sort(values["weights"], axis=2)[..., ::-1],
        "coassignment": together.reshape(*shape, -1),
        "log_density": log_density(theta, places[:POINTS]).T.reshape(*shape, -1),
    }


def memberships(values: Theta, reference: Array) -> Array:
    """Probabilities of the reference rows under each draw of all chains: (S, n, K)."""
    member = responsibilities(flat(values), reference)
    return np.ascontiguousarray(member.swapaxes(0, 1))


def references(rows: Array, draws: int, components: int) -> Array:
    """Rows to align labels by: spread over all of them, fewer where there are more draws."""
    count = max(_FEWEST_REFERENCES, _REFERENCE_CELLS // (draws * components))
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), count)).astype(np.int64)]


def permuted(values: Theta, order: IntArray) -> Theta:
    """Each draw's components in ``order`` (S, K), S over all chains."""
    shape = values["weights"].shape[:2]
    theta = permute(flat(values), order)
    return {name: array.reshape(*shape, *array.shape[1:]) for name, array in theta.items()}


def watched(values: Mapping[str, Array]) -> Array:
    """Every scalar the gates will look at: (chain, draw, scalar).

    Spreads as logarithms and chances as logits, which have no long tails: the gates look at ranks.
    """
    found = []
    for name, array in values.items():
        if name == "covariance":
            array = np.diagonal(array, axis1=-2, axis2=-1)
        if name in ("variance", "covariance", "rate", "size"):
            array = np.log(array)
        if name in ("binary", "category", "ordinal", "coassignment"):
            array = logit(np.clip(array, _NEVER, 1.0 - _NEVER))
        if name == "df":  # on a grid, or fixed
            continue
        found.append(array.reshape(*array.shape[:2], -1))
    return np.concatenate(found, axis=2)


def more(mixed: tuple[float, float], draws: int, asked: int) -> int:
    """How many draws to add: as many as the slowest scalar seems to need, a quarter at least."""
    rhat, ess = mixed
    if rhat <= ENOUGH_RHAT and ess >= ENOUGH_ESS:
        return 0
    need = 1.1 * ENOUGH_ESS / ess if np.isfinite(ess) and ess > 0 else LONGEST
    wanted = max(int(draws * (need - 1.0)), asked // 4)
    return max(0, min(wanted, LONGEST * asked - draws))
