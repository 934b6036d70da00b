"""Gates: what must hold before a number may be believed. L7.

They fail closed. A value is computed by ArviZ, judged here, unrounded, as
``isfinite(value) and value within limit``: a NaN, a value that cannot be computed, a parameter that
never moved and a run that stopped early all fail. (ArviZ's and PyMC's own summaries pass most of
these, because ``nan > 1.01`` is False.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bayesseg import priors
from bayesseg._types import PARTS, Array, Check, Draws
from bayesseg.families import FAMILIES
from bayesseg.posterior import Posterior
from bayesseg.spec import InferenceSpec, ModelSpec, PartSpec

RHAT = 1.01
RHAT_LONG = 1.02  # for vectors so long that their maximum passes 1.01 by chance
LONG = 50
ESS = 400.0
TAILS = (0.05, 0.95)
EBFMI = 0.3
CHAINS = 4
EARLY_EXCESS = 3.0  # new customers of the first weeks over a usual week's
TREE_DEPTH = 10

type Facts = Mapping[str, Any]
"""What gates need beyond the draws: ``scales``, ``spearman``, ``backtests``, ``customers``."""

_FEWER = "fit a copy of the model file with fewer components"
_MORE_DRAWS = "sample longer (inference.draws) or simplify the model"


def check(posterior: Posterior) -> tuple[Check, ...]:
    """Judge a posterior from its draws again."""
    return gates(posterior.spec, posterior.parts, posterior.manifest["facts"])


def gates(spec: ModelSpec, parts: Mapping[str, Draws], facts: Facts) -> tuple[Check, ...]:
    """Every gate of every part of ``spec``; a part without draws fails its completeness."""
    found: list[Check] = []
    for part in (part for part in PARTS if part in spec.parts):
        draws = parts.get(part, Draws({}, {}, {}))
        for gate in GATES[part]:
            found.extend(gate(Subject(part, spec.parts[part], spec.inference, draws, facts)))
    return tuple(found)


def verdicts(checks: Iterable[Check]) -> dict[str, dict[str, Any]]:
    """Per part: a computation verdict, a forecast verdict and the reasons in words."""
    by_part: dict[str, list[Check]] = {}
    for one in checks:
        by_part.setdefault(one.part, []).append(one)
    return {part: _verdict(own) for part, own in by_part.items()}


def overall(by_part: Mapping[str, Mapping[str, Any]]) -> str:
    """``failed`` if any computation failed, ``caution`` if anything is to be said, else ``passed``."""
    if any(v["computation"] == "failed" for v in by_part.values()):
        return "failed"
    if any(v["reasons"] for v in by_part.values()):
        return "caution"
    return "passed"


def _verdict(own: list[Check]) -> dict[str, Any]:
    computation = [c for c in own if c.kind == "computation"]
    forecast = [c for c in own if c.kind == "forecast"]
    failed = any(c.severity == "hard" and not c.passed for c in computation)
    return {
        "computation": "failed" if failed else "passed",
        "forecast": "not-assessed"
        if not forecast
        else "passed"
        if all(c.passed for c in forecast)
        else "caution",
        "reasons": [c.detail for c in own if not c.passed],
    }


def judge(
    subject: Subject,
    name: str,
    value: float,
    limit: float,
    *,
    at_least: bool = False,
    severity: str = "hard",
    kind: str = "computation",
    says: str,
    advice: str,
) -> Check:
    """One gate. A value that is not finite never passes, whatever the direction."""
    passed = math.isfinite(value) and (value >= limit if at_least else value <= limit)
    return Check(
        name=name,
        part=subject.part,
        value=value,
        limit=limit,
        passed=passed,
        severity=severity,
        advice=advice,
        kind=kind,
        detail="" if passed else f"{subject.part}: {says}",
    )


@dataclass(frozen=True, slots=True)
class Subject:
    """The part under judgement and what is known of it."""

    part: str
    spec: PartSpec
    inference: InferenceSpec
    draws: Draws
    facts: Facts


def complete(s: Subject) -> Iterator[Check]:
    """All draws asked for are there, finite, and every parameter moved in every chain."""
    wanted = (s.inference.chains, s.inference.draws)
    names = {param.name for param in FAMILIES[s.spec.family].params if param.name in s.spec.priors}
    missing = sorted(names - set(s.draws.values)) if s.spec.engine == "nuts" else []
    short = [
        n for n, v in s.draws.values.items() if v.shape[0] < wanted[0] or v.shape[1] < wanted[1]
    ]
    bad = [n for n, v in s.draws.values.items() if not np.isfinite(v).all()]
    stuck = [n for n, v in _free(s).items() if v.size and (np.ptp(v, axis=1) == 0).any()]
    if not s.draws.values:
        missing = ["every parameter"]
    faults = {"missing": missing, "short": short, "not finite": bad, "never moved": stuck}
    worst = "; ".join(f"{what}: {', '.join(which)}" for what, which in faults.items() if which)
    yield judge(
        s,
        "completeness",
        float(sum(map(len, faults.values()))),
        0.0,
        says=f"draws are incomplete ({worst})",
        advice="fit again; this posterior cannot be used",
    )


def chains(s: Subject) -> Iterator[Check]:
    """At least four chains."""
    count = min((v.shape[0] for v in s.draws.values.values()), default=0)
    yield judge(
        s,
        "chains",
        float(count),
        float(CHAINS),
        at_least=True,
        says=f"only {count} chains; agreement cannot be judged below {CHAINS}",
        advice="set inference.chains to 4 or more",
    )


def convergence(s: Subject) -> Iterator[Check]:
    """R-hat (the larger of rank and folded), bulk and tail ESS of parameters and invariants."""
    from arviz_stats.base import array_stats

    invariants = {n: v for n, v in s.draws.stats.items() if n in INVARIANTS}
    for prefix, arrays in (("", _free(s)), ("invariant_", invariants)):
        if prefix and not arrays:
            continue
        flat = _scalars(arrays)
        if prefix:  # two rows far apart are never together: one value in every chain is agreement
            flat = {n: v for n, v in flat.items() if not (v == v.flat[0]).all()}
        limit = RHAT_LONG if prefix or len(flat) > LONG else RHAT
        for name, wanted, at_least, measure in (
            ("rhat", limit, False, array_stats.rhat),
            ("ess_bulk", ESS, True, array_stats.ess),
            ("ess_tail", ESS, True, partial(array_stats.ess, method="tail", prob=TAILS)),
        ):
            values = {n: _value(measure, v) for n, v in flat.items()}
            where, worst = _worst(values, largest=not at_least)
            yield judge(
                s,
                prefix + name,
                worst,
                wanted,
                at_least=at_least,
                says=f"{name} of {where} is {worst:.4g}, limit {wanted:g}",
                advice=_MORE_DRAWS,
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
    ebfmi = math.nan if energy is None else _value(lambda e: np.min(array_stats.bfmi(e)), energy)
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


def identified(s: Subject) -> Iterator[Check]:
    """The data narrowed each prior: posterior sd below 0.9 of the prior's, on the unbounded scale."""
    for name, prior in s.spec.priors.items():
        if name not in s.draws.values:
            continue
        ratio = _value(np.std, priors.unbounded(prior, s.draws.values[name]))
        ratio /= priors.unbounded_sd(prior, s.facts["scales"])
        yield judge(
            s,
            f"identified_{name}",
            ratio,
            0.9,
            severity="soft",
            says=f"the data hardly inform {name} (posterior sd is {ratio:.2f} of the prior's)",
            advice="treat numbers that lean on it as prior opinion",
        )


def spend_mean_exists(s: Subject) -> Iterator[Check]:
    """P(q > 1 given the data): below it the population's mean spend is infinite."""
    q = s.draws.values.get("q")
    share = math.nan if q is None or not np.isfinite(q).all() else float((q > 1).mean())
    yield judge(
        s,
        "spend_mean_exists",
        share,
        0.99,
        at_least=True,
        says=f"P(q > 1) is {share:.3f}: the mean spend of a new customer may not exist",
        advice="check for extreme orders; do not use values of one-time buyers",
    )


def spend_independence(s: Subject) -> Iterator[Check]:
    """Gamma-Gamma assumes spend independent of frequency; real shops never quite are."""
    rho = _number(s.facts.get("spearman"))
    yield judge(
        s,
        "frequency_spend_correlation",
        abs(rho),
        0.1,
        severity="soft",
        says=f"frequency and spend correlate at {rho:.2f} (Spearman); the model assumes 0, so the "
        "value of frequent buyers leans low and that of rare buyers high"
        if rho > 0
        else f"frequency and spend correlate at {rho:.2f} (Spearman); the model assumes 0",
        advice="read values of very frequent and of rare buyers with care",
    )


def forecast(s: Subject) -> Iterator[Check]:
    """Each backtest's actual total lies inside its 95 % predictive interval."""
    for one in s.facts.get("backtests", ()):
        if one["part"] != s.part:
            continue
        width = one["hi"] - one["lo"]
        outside = max(one["lo"] - one["actual"], one["actual"] - one["hi"], 0.0)
        way = "low" if one["bias"] < 0 else "high"
        what = "purchases" if s.part == "purchase" else "spend"
        yield judge(
            s,
            f"backtest_{one['cut']}",
            outside / width if width > 0 else math.nan,
            0.0,
            severity="soft",
            kind="forecast",
            says=f"forecast {what} ran {abs(one['bias']):.0%} {way} over {one['horizon_days']} days "
            f"from {one['cut']} ({one['mean']:,.0f} [{one['lo']:,.0f}, {one['hi']:,.0f}] against "
            f"{one['actual']:,.0f})",
            advice="correct plans for totals by this bias; the ranking of customers is less affected",
        )


def left_censoring(s: Subject) -> Iterator[Check]:
    """The log does not start in mid-life of the shop, where old customers look newly acquired."""
    early = s.facts.get("early")
    if early is None:  # too few weeks with new customers to say
        return
    yield judge(
        s,
        "left_censoring",
        _number(early["ratio"]),
        EARLY_EXCESS,
        severity="soft",
        says=f"{early['customers']:,} customers first appear by {early['until']}, "
        f"{early['ratio']:.1f} times as many a week as later ({early['usual']:g}): the log starts in "
        "mid-life of the shop, and they are older than it can show (flag early_cohort)",
        advice="give a longer history, or leave customers acquired before the log out",
    )


def mixture(s: Subject) -> Iterator[Check]:
    """Modes, labels, overlap and sizes of a mixture."""
    info = s.draws.info
    modes, labels = info.get("modes", {}), info.get("relabel", {})
    missed = _number(modes.get("missed_nats"))
    yield judge(
        s,
        "mode_missed",
        missed,
        10.0,
        says=f"a better segmentation is known, {missed:.1f} nats above every chain",
        advice="fit again with another seed or more chains",
    )
    distinct = _number(modes.get("distinct_between_chains"))
    yield judge(
        s,
        "mode_agreement",
        distinct,
        1.0,
        says=f"chains settled in {distinct:g} different segmentations of similar plausibility",
        advice=f"{_FEWER}; these data support competing segmentations",
    )
    disagreement = _number(labels.get("disagreement"))
    yield judge(
        s,
        "labels_identified",
        disagreement,
        0.05,
        says=f"labels cannot be told apart in {disagreement:.1%} of draws",
        advice=_FEWER,
    )
    overlap = _number(info.get("overlap", {}).get("max_bhattacharyya"))
    yield judge(
        s,
        "overlap",
        overlap,
        0.9,
        says=f"two segments are nearly the same (Bhattacharyya {overlap:.2f})",
        advice=_FEWER,
    )
    weights = s.draws.values.get("weights")
    rows = _number(info.get("rows"))
    smallest = math.nan if weights is None else _value(np.min, weights.mean(axis=(0, 1))) * rows
    yield judge(
        s,
        "smallest_segment",
        smallest,
        1.0,
        at_least=True,
        says=f"the smallest segment holds {smallest:.2f} customers",
        advice=_FEWER,
    )


def _free(s: Subject) -> dict[str, Array]:
    """The parameters that can move: all but the weights of a single segment, which are 1."""
    fixed = {p.name for p in FAMILIES[s.spec.family].params if p.support == "simplex"}
    values = s.draws.values
    return {n: v for n, v in values.items() if not (n in fixed and v.shape[-1] == 1)}


def _number(value: Any) -> float:
    """A float; NaN, which no gate passes, for what is not there."""
    return math.nan if value is None else float(value)


def _scalars(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Each scalar of each (chain, draw, *dims) array by a readable name."""
    found = {}
    for name, values in arrays.items():
        if values.ndim == 2:
            found[name] = values
            continue
        for index in np.ndindex(*values.shape[2:]):
            found[f"{name}[{', '.join(map(str, index))}]"] = values[(..., *index)]
    return found


def _value(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> float:
    """``fn`` as a float; NaN, which no gate passes, where it cannot be computed."""
    try:
        with np.errstate(all="ignore"):
            return float(fn(*args, **kwargs))
    except (ValueError, ZeroDivisionError, FloatingPointError, TypeError):
        return math.nan


def _worst(values: Mapping[str, float], *, largest: bool) -> tuple[str, float]:
    """The worst value and its name; anything not finite is worst of all."""
    if not values:
        return "anything", math.nan
    names, array = list(values), np.array(list(values.values()))
    unclear = ~np.isfinite(array)
    at = int(np.argmax(unclear) if unclear.any() else np.argmax(array if largest else -array))
    return names[at], float(array[at])


INVARIANTS = ("log_likelihood", "sorted_weights", "entropy", "coassignment", "log_density")

_COMMON = (complete, chains, convergence)
GATES: Mapping[str, tuple[Callable[[Subject], Iterator[Check]], ...]] = {
    "purchase": (*_COMMON, nuts_diagnostics, identified, left_censoring, forecast),
    "spend": (
        *_COMMON,
        nuts_diagnostics,
        identified,
        spend_mean_exists,
        spend_independence,
        forecast,
    ),
    "segments": (*_COMMON, mixture),
}
"""The gates of each part, in the order in which they are shown."""
