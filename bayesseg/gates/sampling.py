"""Did the engine do its work: completeness, convergence, what each sampler says of itself. L7."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from bayesseg._types import Check
from bayesseg.gates.judge import Subject, free, judge, number, scalars, value, worst
from bayesseg.population import linked

RHAT = 1.01
RHAT_LONG = 1.02  # for vectors so long that their maximum passes 1.01 by chance
LONG = 50
ESS = 400.0
MCSE = 0.05
TAILS = (0.05, 0.95)
EBFMI = 0.3
CHAINS = 4
TREE_DEPTH = 10
INVARIANTS = ("log_likelihood", "sorted_weights", "entropy", "coassignment", "log_density")

_MORE_DRAWS = "sample longer (inference.draws) or simplify the model"


def _advice(s: Subject) -> str:
    """What helps a chain that mixes badly; where draws were extended already, not more of them."""
    kept = s.draws.info.get("draws", 0)
    if s.part != "segments" or kept <= s.inference.draws:
        return _MORE_DRAWS
    rival = [
        f"another division lies {one['nats_below_best']:.1f} nats below this one and agrees with it at "
        f"{one['agreement_with_best']:.2f} (Rand index); "
        for one in s.draws.info.get("modes", {}).get("segmentations", ())[1:2]
    ]
    return (
        f"{kept:,} draws a chain were not enough and more will not do: {''.join(rival)}let bayesseg "
        "compare show which number of segments holds, and fit that one"
    )


def complete(s: Subject) -> Iterator[Check]:
    """All draws asked for are there, finite, and every parameter moved in every chain."""
    return _complete(s, (s.inference.chains, int(s.draws.info.get("kept", s.inference.draws))))


def present(s: Subject) -> Iterator[Check]:
    """Every parameter of a point estimate is there and finite."""
    return _complete(s, (1, 1))


def _complete(s: Subject, wanted: tuple[int, int]) -> Iterator[Check]:
    values = s.draws.values
    family, own = linked(s.spec, s.state)  # effects and cohorts are parameters, too
    names = {param.name for param in family.params if param.name in own.priors}
    missing = sorted(names - set(values)) if s.part != "segments" else []
    short = [n for n, v in values.items() if v.shape[0] < wanted[0] or v.shape[1] < wanted[1]]
    bad = [n for n, v in values.items() if not np.isfinite(v).all()]
    stuck = [n for n, v in free(s).items() if v.size and (np.ptp(v, axis=1) == 0).any()]
    if not values:
        missing = ["every parameter"]
    faults = {"missing": missing, "short": short, "not finite": bad}
    faults |= {"never moved": stuck} if wanted > (1, 1) else {}
    found = "; ".join(f"{what}: {', '.join(which)}" for what, which in faults.items() if which)
    yield judge(
        s,
        "completeness",
        float(sum(map(len, faults.values()))),
        0.0,
        says=f"draws are incomplete ({found})",
        advice="fit again; this posterior cannot be used",
    )


def uncertain(s: Subject) -> Iterator[Check]:
    """There is more than one draw: a point estimate has no uncertainty to judge."""
    count = min((v.shape[0] * v.shape[1] for v in s.draws.values.values()), default=0)
    yield judge(
        s,
        "uncertainty",
        float(count),
        2.0,
        at_least=True,
        severity="assessed",
        says="a point estimate (engine map): intervals of the expectation have no width",
        advice="fit with engine auto, laplace or nuts",
    )


def importance(s: Subject) -> Iterator[Check]:
    """Pareto k and effective sample size of importance weights."""
    info = s.draws.info
    limits = info.get("limits", {})
    k, ess = number(info.get("pareto_k")), number(info.get("importance_ess"))
    advice = "fit with --engine nuts"
    yield judge(
        s,
        "pareto_k",
        k,
        number(limits.get("pareto_k")),
        says=f"Pareto k of the importance weights is {k:.2f}: the approximation misses a tail",
        advice=advice,
    )
    yield judge(
        s,
        "importance_ess",
        ess,
        number(limits.get("importance_ess")),
        at_least=True,
        says=f"the importance weights are worth {ess:.0f} draws, {ESS:.0f} are needed",
        advice=advice,
    )


def chains(s: Subject) -> Iterator[Check]:
    """At least four chains of their own: two that agree in every draw had one seed and are one."""
    own = [v.reshape(len(v), -1) for v in s.draws.values.values()]
    count = min((len(v) for v in own), default=0)
    different = len({b"".join(v[c].tobytes() for v in own) for c in range(count)})
    yield judge(
        s,
        "chains",
        float(different),
        float(CHAINS),
        at_least=True,
        says=f"only {different} different chains; agreement cannot be judged below {CHAINS}",
        advice="set inference.chains to 4 or more",
    )


def convergence(s: Subject) -> Iterator[Check]:
    """R-hat (the larger of rank and folded), bulk and tail ESS of parameters and invariants.

    Means are exported, so their Monte-Carlo error is judged too: 5 % of the sd is 400 draws' worth.
    """
    from arviz_stats.base import array_stats

    invariants = {n: v for n, v in s.draws.stats.items() if n in INVARIANTS}
    for prefix, arrays in (("", free(s)), ("invariant_", invariants)):
        if prefix and not arrays:
            continue
        flat = scalars(arrays)
        if prefix:  # two rows far apart are never together: one value in every chain is agreement
            flat = {n: v for n, v in flat.items() if not (v == v.flat[0]).all()}
        limit = RHAT_LONG if prefix or len(flat) > LONG else RHAT
        measures: tuple[tuple[str, float, bool, Callable[..., Any]], ...] = (
            ("rhat", limit, False, array_stats.rhat),
            ("ess_bulk", ESS, True, array_stats.ess),
            ("ess_tail", ESS, True, partial(array_stats.ess, method="tail", prob=TAILS)),
            ("mcse_mean", MCSE, False, lambda v: array_stats.ess(v, method="mean") ** -0.5),
        )
        for name, wanted, at_least, measure in measures[: 3 if prefix else 4]:
            values = {n: value(measure, v) for n, v in flat.items()}
            where, most = worst(values, largest=not at_least)
            yield judge(
                s,
                prefix + name,
                most,
                wanted,
                at_least=at_least,
                says=f"{name} of {where} is {most:.4g}, limit {wanted:g}",
                advice=_advice(s),
            )


def nuts_diagnostics(s: Subject) -> Iterator[Check]:
    """Divergences, E-BFMI, tree depth: what Hamiltonian sampling says of itself."""
    from arviz_stats.base import array_stats

    stats = s.draws.stats
    divergences = float(stats["diverging"].sum()) if "diverging" in stats else math.nan
    yield judge(
        s,
        "divergences",
        divergences,
        0.0,
        says=f"{divergences:g} divergent transitions after retries at higher target acceptance",
        advice="tighten the priors of weakly identified parameters",
    )
    energy = stats.get("energy")
    ebfmi = math.nan if energy is None else value(lambda e: np.min(array_stats.bfmi(e)), energy)
    yield judge(
        s,
        "ebfmi",
        ebfmi,
        EBFMI,
        at_least=True,
        says=f"lowest E-BFMI is {ebfmi:.3g}, limit {EBFMI:g}",
        advice="reparametrise or tighten the priors",
    )
    depth = stats.get("depth")
    deep = math.nan if depth is None else float(np.max((depth >= TREE_DEPTH).mean(axis=1)))
    yield judge(
        s,
        "tree_depth",
        deep,
        0.05,
        says=f"{deep:.1%} of a chain's trees reached the largest depth",
        advice="sampling is inefficient; check the scale of the data",
    )
