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
from dataclasses import asdict, replace
from typing import Any

from bayesseg._types import PARTS, Check, Draws
from bayesseg.errors import ArtefactBad
from bayesseg.gates import findings as find
from bayesseg.gates import sampling, waivers
from bayesseg.gates.exported import exported
from bayesseg.gates.judge import Facts, Subject
from bayesseg.gates.mixture import mixture
from bayesseg.gates.prior import identified, prior_sensitivity
from bayesseg.gates.release import Release as Release
from bayesseg.gates.release import missed as missed
from bayesseg.gates.release import refusal as refusal
from bayesseg.gates.release import release as release
from bayesseg.gates.release import withheld as withheld
from bayesseg.gates.waivers import Waiver as Waiver
from bayesseg.gates.waivers import read_waivers as read_waivers
from bayesseg.population import EARLY_EXCESS as EARLY_EXCESS
from bayesseg.population import State
from bayesseg.posterior import Posterior, trusted
from bayesseg.spec import ModelSpec

type Gate = Callable[[Subject], Iterator[Check]]

_CHAINS: tuple[Gate, ...] = (sampling.complete, sampling.chains, sampling.convergence, exported)
_PRIOR: tuple[Gate, ...] = (identified, prior_sensitivity)
COMPUTATION: Mapping[str, tuple[Gate, ...]] = {
    "nuts": (*_CHAINS, sampling.nuts_diagnostics, *_PRIOR),
    "laplace": (sampling.complete, sampling.importance, *_PRIOR),
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
    return waivers.standing(waivers.waived(found, facts.get("waivers", ())), waivers.today())


def standing(posterior: Posterior) -> Posterior:
    """A stored run with the verdicts it has today: a waiver may have run out since the fit."""
    return replace(posterior, manifest=judged_today(posterior.manifest))


def judged_today(judged: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest, or the document of a score file, judged by its gates as they stand today.

    What was not trusted when it was written stays so.

    Raises:
        ArtefactBad: it holds no gates that can be read.
    """
    try:
        checks = waivers.standing((Check(**one) for one in judged["gates"]), waivers.today())
        stayed = {
            part: own for part, own in judged["verdicts"].items() if not trusted(judged, part)
        }
        found = judgement(checks)
        by_part = found["verdicts"] | stayed
        return {**judged, **found, "verdicts": by_part, "verdict": overall(by_part)}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtefactBad(
            f"the gates that stand there cannot be read ({error!r})",
            fix="fit or score again, or restore it from a copy",
        ) from error


def judgement(checks: Iterable[Check]) -> dict[str, Any]:
    """What a manifest says of its gates: ``verdict``, ``verdicts`` and ``gates``."""
    checks = tuple(checks)
    by_part = verdicts(checks)
    return {
        "verdict": overall(by_part),
        "verdicts": by_part,
        "gates": [asdict(one) for one in checks],
    }


def _computation(s: Subject) -> tuple[Gate, ...]:
    """The gates of the engine that ran; draws that do not say which are held to the strictest."""
    ran = s.draws.info.get("engine")
    strictest = "gibbs" if s.part == "segments" else "nuts"
    return COMPUTATION.get(str(ran), COMPUTATION[strictest])


def verdicts(checks: Iterable[Check]) -> dict[str, dict[str, Any]]:
    """Per part: a computation verdict, a forecast verdict and the reasons in words.

    Computation is ``passed``, ``caution`` where a miss is waived, ``failed`` or, where there is no
    uncertainty to judge, ``not-assessed``.
    """
    by_part: dict[str, list[Check]] = {}
    for one in checks:
        by_part.setdefault(one.part, []).append(one)
    return {part: _verdict(own) for part, own in by_part.items()}


def overall(by_part: Mapping[str, Mapping[str, Any]]) -> str:
    """The worst there is: a computation ``failed`` or ``not-assessed``, a ``caution``, or ``passed``."""
    computations = {v["computation"] for v in by_part.values()}
    if not computations <= {"passed", *_WORST[1:]}:
        return "failed"
    if "not-assessed" in computations:
        return "not-assessed"
    return "caution" if any(v["reasons"] for v in by_part.values()) else "passed"


def _verdict(own: list[Check]) -> dict[str, Any]:
    # what a soft gate misses is a reason, not a doubt about the computation
    computed = {
        c.verdict for c in own if c.kind == "computation" and (c.severity != "soft" or c.passed)
    }
    forecast = [c for c in own if c.kind == "forecast"]
    return {
        "computation": next((v for v in _WORST if v in computed), "passed"),
        "forecast": "not-assessed"
        if not forecast
        else "passed"
        if all(c.passed for c in forecast)
        else "caution",
        "reasons": [_reason(c) for c in own if not c.passed],
    }


_WORST = ("failed", "not-assessed", "caution")


def _reason(c: Check) -> str:
    if c.waiver is None:
        return c.detail
    until, reason = c.waiver["until"], c.waiver["reason"]
    said = f"WAIVED until {until}" if c.verdict == "caution" else f"its waiver ran out on {until}"
    return f"{c.detail}; {said}: {reason}"
