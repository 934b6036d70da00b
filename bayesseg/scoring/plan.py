"""Everything about the posterior that a score needs: thinned and paired draws, and the clock."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from bayesseg import clv, population, segment_map
from bayesseg._types import Array, Clock, Draws, IntArray
from bayesseg.inference.mixing import ess
from bayesseg.posterior import Posterior, available, thinned, trusted
from bayesseg.scoring.settings import Settings

type Theta = Mapping[str, Array]

_ENDS = 2.113  # sqrt(0.05 · 0.95) / φ(1.645): the error of a 5 % quantile in units of a mean's
_ENOUGH = 0.95


@dataclass(frozen=True, slots=True)
class Precision:
    """The Monte-Carlo error of thinning: ``draws`` kept ``of`` so many, worth ``ess`` independent ones.

    ``ess`` is None where nothing varies (a point estimate): all ``draws`` are then that one.
    """

    draws: int
    of: int
    ess: float | None

    @property
    def means(self) -> float | None:
        """Standard error of a mean over draws, as a share of the posterior's standard deviation."""
        return None if self.ess is None else 1 / math.sqrt(self.ess)

    @property
    def ends(self) -> float | None:
        """The same of the ends of an interval, for a normal posterior."""
        return None if self.ess is None else _ENDS / math.sqrt(self.ess)


@dataclass(frozen=True, slots=True)
class Plan:
    """``purchase`` and ``spend`` hold the textbook parameters of each group, each (S,).

    ``points`` names the parts of which one draw is all there is (a mode): it is repeated, so that
    futures and memberships still vary, and what is expected has no interval. ``laid`` makes of the
    model's segments those that are ``shown``, where experts merged or split some.
    """

    posterior: Posterior
    settings: Settings
    precision: Precision
    purchase: tuple[Theta, ...]
    spend: tuple[Theta, ...]
    segments: Theta
    laid: segment_map.Plan
    shown: tuple[segment_map.Shown, ...]
    clock: Clock
    factor: float
    points: frozenset[str]

    @property
    def valued(self) -> bool:
        """Whether there is value: purchases and spend are both there."""
        return bool(self.purchase and self.spend)

    @property
    def index(self) -> IntArray:
        """Names of the draws: those of the latents and of the futures."""
        return np.arange(self.precision.draws)


def plan_of(
    posterior: Posterior,
    settings: Settings,
    released: Collection[str] = (),
    *,
    exactly: int | None = None,
) -> Plan:
    """Choose the draws and turn them into parameters; of a part that failed only if ``released``.

    ``exactly`` so many draws are those of scores whose document says so.
    """
    spec, manifest = posterior.spec, posterior.manifest
    precision = (
        kept(posterior.parts, settings.draws)
        if exactly is None
        else Precision(exactly, max(map(available, posterior.parts.values())), None)
    )
    used = {
        part: _filled(thinned(draws, precision.draws), precision.draws)
        for part, draws in posterior.parts.items()
        if part in released or trusted(manifest, part)
    }
    if "spend" in used:
        # the two posteriors are independent: one seeded permutation pairs their draws
        order = np.random.default_rng(manifest["seed"]).permutation(precision.draws)
        used["spend"] = {name: values[order] for name, values in used["spend"].items()}
    of_group = {
        part: population.parameters(spec.parts[part], group_state(posterior, part), values)
        for part, values in used.items()
        if part != "segments"
    }
    found = manifest.get("segments") or {"ids": (), "names": {}}
    return Plan(
        posterior=posterior,
        settings=settings,
        precision=precision,
        purchase=of_group.get("purchase", ()),
        spend=of_group.get("spend", ()),
        segments=used.get("segments", {}),
        laid=segment_map.plan(segment_map.from_json(found.get("map")), found["ids"]),
        shown=segment_map.shown(found),
        clock=clv.clock(
            settings.horizon_days,
            settings.value_horizon_days,
            settings.annual_discount,
            spec.unit_days,
        ),
        factor=settings.margin * manifest["paid_share"] if "spend" in used else 1.0,
        points=frozenset(
            part
            for part, draws in posterior.parts.items()
            if part in used and part != "segments" and available(draws) == 1
        ),
    )


def _filled(values: Mapping[str, Array], count: int) -> dict[str, Array]:
    """``values`` (S, ...), and ``count`` copies of a single draw."""
    return {
        name: np.repeat(one, count, axis=0) if len(one) == 1 else one
        for name, one in values.items()
    }


def group_state(posterior: Posterior, part: str) -> population.State:
    """What was learned at the fit of the groups of ``part``."""
    state: population.State = (posterior.manifest.get("population") or {}).get(part)
    return state


def kept(parts: Mapping[str, Draws], asked: int) -> Precision:
    """How many draws to keep: ``asked``, or more while they are worth fewer than could be had.

    A chain of n draws worth ESS independent ones is taken for an AR(1) with ρ = (n - ESS)/(n + ESS);
    every t-th draw of it has ρ^t. Purchases and spend count: their means are exported as numbers,
    those of memberships as shares, whose error is small beside 0.02 anyway. A part of a single draw
    has none to choose from.
    """
    several = [count for draws in parts.values() if (count := available(draws)) > 1]
    fewest = min(several, default=1)
    chains = [draws for part, draws in parts.items() if part != "segments"] or list(parts.values())
    known = [(available(draws), worth) for draws in chains if (worth := _worth(draws)) is not None]
    target = _ENOUGH * min([asked, *(worth for _, worth in known)])
    count = min(asked, *several) if several else asked
    while True:
        worth = min((_thinned_worth(count, total, of_all) for total, of_all in known), default=None)
        if worth is None or worth >= target or count >= fewest:
            return Precision(count, fewest, worth)
        count = min(fewest, math.ceil(1.25 * count))


def _worth(draws: Draws) -> float | None:
    """The smallest effective sample size of the free parameters; None where none of them moves."""
    scalars = np.concatenate(
        [values.reshape(*values.shape[:2], -1) for values in draws.values.values()], axis=2
    )
    scalars = scalars[..., np.ptp(scalars, axis=(0, 1)) > 0]
    if not scalars.size or scalars.shape[1] < 4:
        return None
    weights = float(draws.info.get("importance_ess", math.inf))
    return min(float(ess(scalars).min()), float(available(draws)), weights)


def _thinned_worth(count: int, total: int, of_all: float) -> float:
    rho = float(((total - of_all) / (total + of_all)) ** (total / count))
    return count * (1 - rho) / (1 + rho)
