"""Models fitted at a cut: posteriors by importance sampling, and maximum likelihood beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesseg import baseline, population
from bayesseg._types import Array, Draws
from bayesseg.families import FAMILIES
from bayesseg.inference.laplace import laplace
from bayesseg.inference.parallel import ENGINES, Task
from bayesseg.posterior import thinned
from bayesseg.priors import scales_of
from bayesseg.spec import ModelSpec
from bayesseg.validation.forecast import Model
from bayesseg.validation.holdout import Holdout

PARTS = ("purchase", "spend")


@dataclass(frozen=True, slots=True)
class Fit:
    """The posteriors of one model at one cut.

    By part a forecaster, the draws and what was learned of groups (``population``); the prior units.
    """

    models: Mapping[str, Model]
    draws: Mapping[str, Draws]
    states: Mapping[str, population.State]
    scales: Mapping[str, float]

    @property
    def note(self) -> str:
        """In words, where importance sampling fell short and nuts took over; empty otherwise."""
        said = {part: draws.info.get("fallback") for part, draws in self.draws.items()}
        return "; ".join(f"{part} by nuts ({why})" for part, why in said.items() if why)


def posterior(held: Holdout, spec: ModelSpec, draws: int, seed: int, *, exact: bool = True) -> Fit:
    """Purchase and spend posteriors from all customers known at the cut, thinned to ``draws``.

    Importance draws; ``exact`` runs nuts where their weights fail, else they are fewer and taken as
    they are.
    """
    columns = held.known.columns(spec.unit_days)
    scales = scales_of(columns)
    models, found, states = {}, {}, {}
    for index, part in enumerate(PARTS):
        if part not in spec.parts:
            continue
        own = spec.parts[part]
        states[part] = state = population.learn(own, held.known)
        family, linked, table = population.likelihood(own, state, held.known, spec.unit_days)
        key = np.random.SeedSequence([seed, held.cut.toordinal(), index])
        start = int(key.generate_state(1)[0])
        if exact:
            task = Task("laplace", part, own, table, scales, spec.inference, start, state)
            found[part] = ENGINES["laplace"](task, None)
        else:
            found[part] = laplace(family, linked, table, scales, spec.inference, start, many=0)
        theta = population.parameters(own, state, thinned(found[part], draws))
        group = population.groups(own, state, held.scored)
        models[part] = Model(FAMILIES[own.family], theta, group)
    return Fit(models, found, states, scales)


def maximum_likelihood(held: Holdout, spec: ModelSpec) -> tuple[dict[str, Model | str], str]:
    """Point estimates of each part as plug-in models, or the reason why there is none.

    The second is whose estimate that of purchases is; links to covariates or cohorts are left out.
    """
    columns = held.known.columns(spec.unit_days)
    families = {part: spec.parts[part].family for part in PARTS if part in spec.parts}
    found: dict[str, Model | str] = {}
    estimates = baseline.maximum_likelihood(columns, families)
    for part, estimate in estimates.items():
        family = FAMILIES[families[part]]
        found[part] = (
            str(estimate["unavailable"])
            if "unavailable" in estimate
            else plug_in(held, family, {name: float(estimate[name]) for name in family.textbook})
        )
    return found, str(estimates["purchase"].get("by", ""))


def plug_in(held: Holdout, family: Any, theta: Mapping[str, float]) -> Model:
    """A model of one draw, the same for every customer."""
    one: dict[str, Array] = {name: np.array([value]) for name, value in theta.items()}
    return Model(family, (one,), np.zeros(len(held.scored), dtype=np.int64))
