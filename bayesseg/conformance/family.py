"""``check_family``: what the program takes for granted of a purchase or spend family. L9."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bayesseg._random import customer_keys
from bayesseg._types import Array, Clock, Columns, Draws, Family, Quantity
from bayesseg.conformance import made
from bayesseg.conformance.report import (
    Check,
    Deviations,
    Report,
    bitwise,
    chosen,
    found,
    of_the_largest,
    refused,
    relative,
    untouched,
)
from bayesseg.errors import UsageError
from bayesseg.families import FAMILIES
from bayesseg.inference.laplace import laplace
from bayesseg.posterior import KEYS, SCHEMA_VERSION, Posterior, load, save
from bayesseg.spec import InferenceSpec, ModelSpec, PartSpec, load_spec, model_names

CUSTOMERS, POINTS, SIMULATED = 60, 5, 40_000
CLOCK = Clock(13.0, 52.0, 0.002)
DAYS, CENTS = 7.0, 100.0
_HORIZONS = (0.0, 1 / 7, 1.0, 13.0, 52.0, 520.0)
_SILENCES = np.array([0.0, 1 / 7, 1.0, 10.0, 100.0, 1e4, 1e6])
_FIT = InferenceSpec(chains=4, draws=25, tune=0)
_SEED = 1
type Theta = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class _Case:
    """A family with parameters (free, and as printed) and customers to look at it with."""

    family: Family
    free: Theta
    columns: Columns

    @property
    def theta(self) -> Theta:
        return self.family.derive(self.free)

    def of(self, quantity: Quantity, columns: Columns, clock: Clock = CLOCK) -> Array:
        """(points, customers)."""
        return quantity.fn(self.theta, columns, clock)

    def likelihoods(self, columns: Columns) -> list[tuple[float, Array]]:
        """Log-likelihood and gradient at each point, as an engine sees them."""
        assert self.family.tabulate is not None
        assert self.family.kernel is not None
        arrays = tuple(self.family.tabulate(columns).arrays.values())
        points = np.stack([self.theta[name] for name in self.family.textbook], axis=1)
        return [self.family.kernel(point, *arrays) for point in points]


def check_family(
    family: Family, *, free: Theta | None = None, only: Collection[str] | None = None
) -> Report:
    """Check a purchase or spend family; seconds, and more where the reference is slow to compile.

    Args:
        family: with ``tabulate``, ``kernel``, ``simulate`` and ``quantities``.
        free: free parameters to look at, each (S,), in weeks; drawn around usual values by default.
        only: names of the checks to make; all by default. ``reference`` compares the kernel and its
            gradient with ``logp`` and its automatic derivative, for which PyTensor is imported.

    Returns:
        Every check with its worst deviation. An error inside a check fails that check.

    Raises:
        UsageError: the family is one of segments, or there is no check of a name in ``only``.
    """
    if family.part not in ("purchase", "spend"):
        raise UsageError(
            f"{family.title} is a family of {family.part}",
            fix="check_segmenter takes a model file with it",
        )
    rng = np.random.default_rng(_SEED)
    case = _Case(
        family,
        made.points(family, POINTS, rng) if free is None else free,
        made.customers(family, CUSTOMERS, rng),
    )
    skipped = {}
    checks = {**_CHECKS, **_OF_PART[family.part]}
    if spec := _model_with(family):
        checks["save and load"] = (0.0, partial(_stored, spec=spec))
    else:
        skipped["save and load"] = f"no model of the package uses {family.name!r}"
    findings = [
        found(name, tolerance, partial(check, case))
        for name, (tolerance, check) in chosen(checks, only).items()
    ]
    return Report(family.title, tuple(findings), skipped)


# ---------------------------------------------------------------- what a row depends on


def _take(columns: Columns, rows: Any) -> Columns:
    return {name: values[rows] for name, values in columns.items()}


def _said(case: _Case, columns: Columns) -> dict[str, Array]:
    """All that is said of single customers, each with customers as the last axis."""
    said = {name: case.of(one, columns) for name, one in case.family.quantities.items()}
    if case.family.latents is not None:
        ids = np.array(
            [f"{'-'.join(map(str, row))}" for row in zip(*columns.values(), strict=True)]
        )
        own = case.family.latents(
            case.theta,
            columns,
            customer_keys(ids, _SEED),
            np.arange(len(next(iter(case.free.values())))),
        )
        said["latents"] = np.moveaxis(own, 0, -1)
    return said


def _order(case: _Case) -> Deviations:
    rows = np.random.default_rng(_SEED).permutation(len(next(iter(case.columns.values()))))
    shuffled = dict(reversed(list(_take(case.columns, rows).items())))
    one, other = case.likelihoods(case.columns), case.likelihoods(shuffled)
    for (value, slope), (expected, own) in zip(other, one, strict=True):
        yield relative(value, expected), "log-likelihood"
        yield of_the_largest(slope, own), "gradient"
    whole = _said(case, case.columns)
    in_order = {name: shuffled[name] for name in case.columns}
    for name, values in _said(case, in_order).items():
        yield relative(values, whole[name][..., rows]), name
    for name, one_quantity in case.family.quantities.items():
        yield relative(case.of(one_quantity, shuffled), whole[name][..., rows]), f"{name}: columns"


def _subset(case: _Case) -> Deviations:
    """A customer alone, under one draw alone, gets what it got among others."""
    whole = _said(case, case.columns)
    for i in (0, 2, 7, CUSTOMERS - 1):
        for name, values in _said(case, _take(case.columns, slice(i, i + 1))).items():
            yield relative(values[..., 0], whole[name][..., i]), f"{name} of customer {i}"
    last = {name: values[-1:] for name, values in case.free.items()}
    alone = replace(case, free=last)
    for name, quantity in case.family.quantities.items():
        yield relative(alone.of(quantity, case.columns)[0], whole[name][-1]), f"{name} of one draw"


def _batch(case: _Case) -> Deviations:
    whole = _said(case, case.columns)
    halves = [_take(case.columns, rows) for rows in (slice(0, 23), slice(23, None))]
    parts = [_said(case, half) for half in halves]
    for name, values in whole.items():
        yield relative(np.concatenate([part[name] for part in parts], -1), values), name
    some, others = (case.likelihoods(half) for half in halves)
    for both, (expected, _) in zip(
        zip(some, others, strict=True), case.likelihoods(case.columns), strict=True
    ):
        yield relative(sum(value for value, _ in both), expected), "log-likelihood"


def _weights(case: _Case) -> Deviations:
    times = np.random.default_rng(_SEED).integers(1, 5, CUSTOMERS)
    often = case.likelihoods({name: np.repeat(v, times) for name, v in case.columns.items()})
    once = case.likelihoods({**case.columns, "weight": times.astype(np.float64)})
    for (value, slope), (expected, own) in zip(once, often, strict=True):
        yield relative(value, expected), "log-likelihood"
        yield of_the_largest(slope, own), "gradient"


# ---------------------------------------------------------------- units


def _unit(case: _Case) -> Deviations:
    yield from _in_units(case, DAYS, 1.0)


def _currency(case: _Case) -> Deviations:
    yield from _in_units(case, 1.0, CENTS)


def _in_units(case: _Case, time: float, money: float) -> Deviations:
    """Densities shift by a constant of the data, quantities by their unit."""
    free, columns = made.rescaled(case.family, case.free, case.columns, time, money)
    other = replace(case, free=free)
    one = np.array([value for value, _ in case.likelihoods(case.columns)])
    two = np.array([value for value, _ in other.likelihoods(columns)])
    shift = two - one
    yield float(np.ptp(shift) / np.max(np.abs(one))), "log-likelihood"
    clock = Clock(CLOCK.horizon * time, CLOCK.value_horizon * time, CLOCK.discount / time)
    for name, quantity in case.family.quantities.items():
        expected = case.of(quantity, case.columns) * made.worth(quantity.unit, time, money)
        yield relative(other.of(quantity, columns, clock), expected), name


# ---------------------------------------------------------------- the border


def _refuses(case: _Case) -> Deviations:
    """Columns that are not numbers, not finite, not there or not of one length, and nobody at all."""
    tabulate, columns = case.family.tabulate, case.columns
    assert tabulate is not None
    for name in case.family.columns:
        own = columns[name]
        words = np.array(["many", *own[1:]], dtype=object)
        wrong = {
            "NaN": np.where(np.arange(len(own)) == 3, np.nan, own),
            "infinity": np.where(np.arange(len(own)) == 3, np.inf, own),
            "text": words,
            "too few rows": own[1:],
        }
        for what, values in wrong.items():
            yield refused(name, tabulate, {**columns, name: values}), f"{what} in {name}"
        rest = {other: values for other, values in columns.items() if other != name}
        yield refused(name, tabulate, rest), f"no {name}"
    yield refused("customer", tabulate, _take(columns, slice(0, 0))), "no customers"


def _mutation(case: _Case) -> Deviations:
    assert case.family.tabulate is not None
    yield from untouched(case.family.tabulate, case.columns)
    yield from untouched(lambda columns: _said(case, columns), case.columns)
    yield from untouched(case.family.derive, case.free)
    yield from untouched(lambda free: _said(replace(case, free=free), case.columns), case.free)


# ---------------------------------------------------------------- what is said


def _fading(case: _Case) -> Deviations:
    """Along the horizons purchases and money never fall, chances never rise."""
    for name, quantity in case.family.quantities.items():
        along = np.stack(
            [
                case.of(quantity, case.columns, replace(CLOCK, horizon=h, value_horizon=h))
                for h in _HORIZONS
            ]
        )
        steps = np.diff(along, axis=0)
        wrong = steps if quantity.unit == "probability" else -steps
        sized = wrong / np.maximum(np.abs(along[1:]), 1e-300)
        yield (
            float(
                np.max(
                    np.where(np.isnan(along[1:]) & np.isnan(along[:-1]), 0.0, sized), initial=0.0
                )
            ),
            name,
        )


def _chances(case: _Case) -> Deviations:
    for name, quantity in case.family.quantities.items():
        values = case.of(quantity, case.columns)
        low = np.max(-values[~np.isnan(values)], initial=0.0)
        yield float(low), f"{name} below 0"
        if quantity.unit == "probability":
            yield float(np.max(values - 1.0)), f"{name} above 1"


def _silent(case: _Case) -> Deviations:
    for x, t_x in ((0.0, 0.0), (1.0, 1.0), (5.0, 40.0), (300.0, 10.0)):
        T = t_x + _SILENCES
        columns = {"x": np.full(len(T), x), "t_x": np.full(len(T), t_x), "T": T}
        alive = case.of(case.family.quantities["p_alive"], columns)
        yield float(np.max(np.diff(alive, axis=1))), f"x = {x:g}, t_x = {t_x:g}"


def _inverse(case: _Case) -> Deviations:
    again = case.family.underive(case.theta)
    for name, values in case.free.items():
        yield relative(again[name], values), name


# ---------------------------------------------------------------- against simulation


def _errors(sample: Array, expected: float, where: str) -> tuple[float, str]:
    """How many standard errors the mean of a sample lies off."""
    error = float(np.std(sample, ddof=1)) / math.sqrt(len(sample))
    return abs(float(np.mean(sample)) - expected) / error, where


def _simulated(family: Family) -> tuple[_Case, Columns]:
    assert family.simulate is not None
    free = {name: np.array([value]) for name, value in made.centre(family).items()}
    case = _Case(family, free, {})
    theta = {name: float(values[0]) for name, values in case.theta.items()}
    rng = np.random.default_rng(_SEED)
    return case, family.simulate(theta, made.exposed(family, SIMULATED), rng)


def _purchases_simulated(case: _Case) -> Deviations:
    """New customers' purchases, silence and survival; the future of those seen, by total expectation."""
    case, seen = _simulated(case.family)
    of, T, h = case.family.quantities, float(seen["T"][0]), CLOCK.horizon
    new = {name: np.zeros(1) for name in ("x", "t_x", "T")}

    def says(name: str, horizon: float, columns: Columns = new) -> Array:
        said: Array = case.of(of[name], columns, replace(CLOCK, horizon=horizon))[0]
        return said

    stays = float(says("p_alive", T)[0])  # after the first purchase
    alive = says("p_alive", h, seen)
    quiet = (seen["x"] == 0).astype(float)
    yield _errors(seen["x"], stays * float(says("purchases_if_alive", T)[0]), "purchases")
    yield _errors(quiet, 1 - stays * (1 - float(says("silent", T)[0])), "silence")
    yield _errors(alive, stays * float(says("alive_later", T)[0]), "p_alive")
    more = says("purchases_if_alive", T + h)[0] - says("purchases_if_alive", T)[0]
    yield _errors(
        alive * says("purchases_if_alive", h, seen), stays * float(more), "purchases to come"
    )


def _spend_simulated(case: _Case) -> Deviations:
    """A new customer's mean order is that of simulated orders, and of what is expected after them."""
    case, seen = _simulated(case.family)
    spend = case.family.quantities["expected_spend"]
    new = float(case.of(spend, {"n": np.zeros(1), "S": np.zeros(1)})[0, 0])
    yield _errors(seen["S"] / seen["n"], new, "mean order")
    yield _errors(case.of(spend, seen)[0], new, "expected_spend")


# ---------------------------------------------------------------- engines and files


def _reference(case: _Case) -> Deviations:
    from bayesseg.inference.reference import reference

    keep = case.columns["S"] > 0 if case.family.part == "spend" else slice(None)
    rows = _take(case.columns, keep)
    expected = reference(case.family, case.theta, rows)
    for (value, slope), (own, wanted) in zip(case.likelihoods(rows), expected, strict=True):
        yield relative(value, own), "log-likelihood"
        yield of_the_largest(slope, wanted), "gradient"


def _fit(case: _Case, columns: Columns) -> Draws:
    family = case.family
    assert family.tabulate is not None
    part = PartSpec(family.name, "laplace", made.priors(family), {})
    return laplace(family, part, family.tabulate(columns), {}, _FIT, _SEED)


def _fit_twice(case: _Case) -> Deviations:
    """Same seed, same bits, whatever the order of the rows."""
    _, seen = _simulated(case.family)
    seen = _take(seen, slice(0, 300))
    first = _fit(case, seen)
    for again, where in ((seen, "again"), (_take(seen, slice(None, None, -1)), "rows reversed")):
        for name, values in _fit(case, again).values.items():
            yield bitwise(values, first.values[name]), f"{name}, {where}"


def _stored(case: _Case, spec: ModelSpec) -> Deviations:
    """A stored posterior says what the one in memory said, bit for bit."""
    rng = np.random.default_rng(_SEED)

    def drawn(part: PartSpec) -> Draws:
        own = FAMILIES[part.family]
        if own.part == "segments":
            return Draws({"weights": np.ones((4, 5, 1))}, {}, {})
        values = made.points(own, 20, rng)
        return Draws({name: one.reshape(4, 5) for name, one in values.items()}, {}, {})

    parts = {name: drawn(part) for name, part in spec.parts.items()}
    manifest = {name: kinds[0]() for name, kinds in KEYS.items()}
    manifest |= {"schema_version": SCHEMA_VERSION, "verdict": "passed", "info": {}}
    before = Posterior(spec, None, parts, manifest, {})
    with tempfile.TemporaryDirectory() as folder:
        after = load(save(before, Path(folder) / "run"))

    def says(posterior: Posterior) -> dict[str, Array]:
        own = posterior.parts[case.family.part].values
        free = {name: values.reshape(-1) for name, values in own.items()}
        return _said(replace(case, free=free), case.columns)

    stored = says(after)
    for name, values in says(before).items():
        yield bitwise(stored[name], values), name


def _model_with(family: Family) -> ModelSpec | None:
    """A model of the package that uses the family."""
    specs = map(load_spec, model_names())
    using = (s for s in specs if any(part.family == family.name for part in s.parts.values()))
    return next(using, None)


_CHECKS: Mapping[str, Check[_Case]] = {
    "order": (1e-12, _order),
    "subset": (1e-12, _subset),
    "batch": (1e-12, _batch),
    "weights are repetition": (1e-12, _weights),
    "days for weeks": (1e-10, _unit),
    "refuses what cannot be": (0.0, _refuses),
    "input untouched": (0.0, _mutation),
    "horizons": (0.0, _fading),
    "chances": (0.0, _chances),
    "derive and underive": (1e-12, _inverse),
    "fit twice": (0.0, _fit_twice),
    "reference": (1e-10, _reference),
}
_OF_PART: Mapping[str, Mapping[str, Check[_Case]]] = {
    "purchase": {"silence": (0.0, _silent), "simulation": (4.0, _purchases_simulated)},
    "spend": {"cents for euros": (1e-10, _currency), "simulation": (4.0, _spend_simulated)},
}
"""Name -> tolerance and check; of ``simulation`` the tolerance is in standard errors."""
