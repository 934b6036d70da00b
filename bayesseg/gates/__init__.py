"""Gates: what must hold before a number may be believed. L7.

They fail closed. A value is computed by ArviZ, judged here, unrounded, as
``isfinite(value) and value within limit``: a NaN, a value that cannot be computed, a parameter that
never moved and a run that stopped early all fail. (ArviZ's and PyMC's own summaries pass most of
these, because ``nan > 1.01`` is False.)

Which gates judge the computation follows from the engine that ran (``COMPUTATION``), the rest from the
part (``FINDINGS``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from bayesseg._types import PARTS, Check, Draws
from bayesseg.gates import findings as find
from bayesseg.gates import sampling
from bayesseg.gates.judge import Facts, Subject
from bayesseg.gates.mixture import mixture
from bayesseg.population import EARLY_EXCESS as EARLY_EXCESS
from bayesseg.population import State
from bayesseg.posterior import Posterior
from bayesseg.spec import ModelSpec

type Gate = Callable[[Subject], Iterator[Check]]

_CHAINS: tuple[Gate, ...] = (sampling.complete, sampling.chains, sampling.convergence)
COMPUTATION: Mapping[str, tuple[Gate, ...]] = {
    "nuts": (*_CHAINS, sampling.nuts_diagnostics, find.identified),
    "laplace": (sampling.complete, sampling.importance, find.identified),
    "map": (sampling.present, sampling.uncertain),
    "gibbs": (*_CHAINS, mixture),
}
"""The gates of each engine's draws, in the order in which they are shown."""
FINDINGS: Mapping[str, tuple[Gate, ...]] = {
    "purchase": (find.left_censoring, find.forecast),
    "spend": (find.spend_mean_exists, find.spend_independence, find.forecast),
    "segments": (find.locked,),
}
"""The gates of each part, whatever engine it was sampled with."""


def check(posterior: Posterior) -> tuple[Check, ...]:
    """Judge a posterior from its draws again."""
    manifest = posterior.manifest
    return gates(posterior.spec, posterior.parts, manifest["facts"], manifest.get("population"))


def gates(
    spec: ModelSpec,
    parts: Mapping[str, Draws],
    facts: Facts,
    groups: Mapping[str, State] | None = None,
) -> tuple[Check, ...]:
    """Every gate of every part of ``spec``; a part without draws fails its completeness.

    ``groups`` is what was learned of the groups of each part.
    """
    found: list[Check] = []
    for part in (part for part in PARTS if part in spec.parts):
        draws = parts.get(part, Draws({}, {}, {}))
        state = (groups or {}).get(part)
        subject = Subject(part, spec.parts[part], spec.inference, draws, facts, state)
        for gate in (*_computation(subject), *FINDINGS[part]):
            found.extend(gate(subject))
    return tuple(found)


def _computation(s: Subject) -> tuple[Gate, ...]:
    """The gates of the engine that ran; draws that do not say which are held to the strictest."""
    ran = s.draws.info.get("engine")
    strictest = "gibbs" if s.part == "segments" else "nuts"
    return COMPUTATION.get(str(ran), COMPUTATION[strictest])


def verdicts(checks: Iterable[Check]) -> dict[str, dict[str, Any]]:
    """Per part: a computation verdict, a forecast verdict and the reasons in words.

    Computation is ``passed``, ``failed`` or, where there is no uncertainty to judge, ``not-assessed``.
    """
    by_part: dict[str, list[Check]] = {}
    for one in checks:
        by_part.setdefault(one.part, []).append(one)
    return {part: _verdict(own) for part, own in by_part.items()}


def overall(by_part: Mapping[str, Mapping[str, Any]]) -> str:
    """The worst there is: a computation ``failed`` or ``not-assessed``, a ``caution``, or ``passed``."""
    computations = {v["computation"] for v in by_part.values()}
    for worst in ("failed", "not-assessed"):
        if worst in computations:
            return worst
    return "caution" if any(v["reasons"] for v in by_part.values()) else "passed"


def _verdict(own: list[Check]) -> dict[str, Any]:
    missed = {c.severity for c in own if c.kind == "computation" and not c.passed}
    forecast = [c for c in own if c.kind == "forecast"]
    return {
        "computation": "failed"
        if "hard" in missed
        else "not-assessed"
        if "assessed" in missed
        else "passed",
        "forecast": "not-assessed"
        if not forecast
        else "passed"
        if all(c.passed for c in forecast)
        else "caution",
        "reasons": [c.detail for c in own if not c.passed],
    }
