"""Monte-Carlo error of what leaves: numbers of customers, not parameters. L7.

Asked of typical histories, which are made of the prior's scales and never of a customer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from bayesseg import population
from bayesseg._types import Array, Check, Clock
from bayesseg.families import FAMILIES
from bayesseg.gates.judge import Subject, judge, scalars, value, worst

MCSE = 0.05
MCSE_MEMBERSHIP = 0.02
_GROUPS, _POINTS = 4, 16


def exported(s: Subject) -> Iterator[Check]:
    """Means of chances, purchases and spend are known to 5 % of their sd, memberships to 0.02."""
    segments = s.part == "segments"
    limit = MCSE_MEMBERSHIP if segments else MCSE
    errors = {name: _error(v, relative=not segments) for name, v in quantities(s).items()}
    where, most = worst(errors, largest=True)
    unit = "" if segments else " of its sd"
    yield judge(
        s,
        "mcse_exported",
        most,
        limit,
        says=f"the Monte-Carlo error of {where} is {most:.3g}{unit}, limit {limit:g}",
        advice="sample longer (inference.draws)",
    )


def quantities(s: Subject) -> dict[str, Array]:
    """What is said of typical histories, by name, each (chain, draw); empty of draws with holes."""
    needed = set(population.linked(s.spec, s.state)[1].priors)  # effects and cohorts, too
    values = s.draws.values
    if not values or (s.part != "segments" and not needed <= set(values)):
        return {}
    if not all(np.isfinite(v).all() for v in values.values()):
        return {}
    shape = next(iter(values.values())).shape[:2]
    flat = {name: v.reshape(-1, *v.shape[2:]) for name, v in values.items()}
    try:
        found = _OF[s.part](s, flat)
    except (ValueError, FloatingPointError):  # draws outside the support of their parameter
        return {}
    return scalars({name: v.reshape(*shape, -1) for name, v in found.items()})


def _purchase(s: Subject, flat: Mapping[str, Array]) -> dict[str, Array]:
    window = s.facts["scales"]["mean_window"]
    x = np.array([0.0, 1.0, 1.0, 8.0, 8.0])
    columns = {"x": x, "t_x": window * np.array([0, 0.2, 0.9, 0.4, 0.9]), "T": np.full(5, window)}
    clock = Clock(horizon=0.3 * window, value_horizon=window, discount=0.0)
    found: dict[str, Array] = {}
    for i, theta in enumerate(_some(s, flat)):
        alive, silent, bought = (
            FAMILIES[s.spec.family].quantities[name].fn(theta, columns, clock)
            for name in ("p_alive", "silent", "purchases_if_alive")
        )
        found |= {
            f"p_alive{i}": alive,
            f"p_churn{i}": 1 - alive * (1 - silent),
            f"expected_purchases{i}": alive * bought,
        }
    return found


def _spend(s: Subject, flat: Mapping[str, Array]) -> dict[str, Array]:
    order = s.facts["scales"]["median_order"]
    # without a paid repeat the mean exists where q > 1, which is a gate of its own
    n = np.array([0.0, 1.0, 5.0] if (flat["q"] > 1).all() else [1.0, 5.0])
    quantity = FAMILIES[s.spec.family].quantities["expected_spend"]
    columns, clock = {"n": n, "S": n * order}, Clock(1.0, 1.0, 0.0)
    return {
        f"expected_spend{i}": quantity.fn(theta, columns, clock)
        for i, theta in enumerate(_some(s, flat))
    }


def _segments(s: Subject, flat: Mapping[str, Array]) -> dict[str, Array]:
    family = FAMILIES[s.spec.family]
    assert family.simulate is not None
    assert family.memberships is not None
    middle = len(flat["weights"]) // 2
    one = {name: values[middle] for name, values in flat.items()}
    places, _ = family.simulate(one, _POINTS, np.random.default_rng(0))
    return {"membership": family.memberships(flat, places).shares.swapaxes(0, 1)}


_OF: Mapping[str, Callable[[Subject, Mapping[str, Array]], dict[str, Array]]] = {
    "purchase": _purchase,
    "spend": _spend,
    "segments": _segments,
}


def _some(s: Subject, flat: Mapping[str, Array]) -> tuple[Mapping[str, Array], ...]:
    """Textbook parameters of some groups of customers, spread over all of them."""
    every = population.parameters(s.spec, s.state, flat)
    return every[:: -(-len(every) // _GROUPS)]


def _error(values: Array, *, relative: bool) -> float:
    """Standard error of the mean, or of it and the standard deviation; 0 of what cannot vary."""
    from arviz_stats.base import array_stats

    if (values == values.flat[0]).all():
        return 0.0
    share = value(lambda v: array_stats.ess(v, method="mean") ** -0.5, values)
    return share if relative else share * value(np.std, values)
