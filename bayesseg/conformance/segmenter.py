"""``check_segmenter``: what a model of segments, its family and its features promise. L9."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesseg._types import Array, Draws, Memberships
from bayesseg.conformance import made
from bayesseg.conformance.report import (
    Check,
    Deviations,
    Report,
    bitwise,
    chosen,
    found,
    refused,
    relative,
)
from bayesseg.customers import Attributes, Customers
from bayesseg.errors import UsageError
from bayesseg.families import FAMILIES
from bayesseg.features import apply, raw_columns
from bayesseg.fitting import fit
from bayesseg.posterior import Posterior, load, save, thinned
from bayesseg.scoring import Settings, score
from bayesseg.spec import InferenceSpec, ModelSpec, load_spec

if TYPE_CHECKING:
    import pandas as pd

_FIT = InferenceSpec(chains=4, draws=100, tune=100)
_SETTINGS = Settings(draws=100, predictive=False)
_SEED, _DRAWS, _SIMULATED, _CENTS = 1, 20, 20_000, 100.0
_OF_THE_FILE = ("priority_rank", "p_top_decile", "scored_at")
"""Columns that are about all customers of a file, or about the clock."""
type Data = Customers | Attributes


@dataclass(frozen=True)
class _Case:
    """A model, customers, and what becomes of them."""

    spec: ModelSpec
    data: Data

    @cached_property
    def posterior(self) -> Posterior:
        return _fitted(self.data, self.spec)

    @cached_property
    def table(self) -> pd.DataFrame:
        return self.scored(self.data)

    def scored(self, data: Data, **settings: Any) -> pd.DataFrame:
        """The score table by id, without what is about the file."""
        return _scored(self.posterior, data, **settings)

    def memberships(self, data: Data) -> Memberships:
        """Shares (N, S, K) of some draws, straight from the family."""
        matrix = self._matrix(data)
        theta = thinned(self.posterior.parts["segments"], _DRAWS)
        family = FAMILIES[self.spec.parts["segments"].family]
        assert family.memberships is not None
        return family.memberships(theta, matrix)

    def _matrix(self, data: Data) -> Array:
        state = self.posterior.features
        assert state is not None
        return apply(state, raw_columns(data, self.spec.features, state))


def check_segmenter(
    model: str | Path | ModelSpec,
    data: Data | None = None,
    *,
    only: Collection[str] | None = None,
) -> Report:
    """Check a model with segments: fitted shortly and scored, again and again; some tens of seconds.

    Args:
        model: a shipped name, a TOML file or a ``ModelSpec``.
        data: customers to segment; made to suit the model's features by default.
        only: names of the checks to make; all by default.

    Returns:
        Every check with its worst deviation. An error inside a check fails that check.

    Raises:
        UsageError: the model has no segments, or there is no check of a name in ``only``.
    """
    spec = model if isinstance(model, ModelSpec) else load_spec(model)
    if "segments" not in spec.parts:
        raise UsageError(
            f"model {spec.name!r} has no segments", fix="check_family takes its families"
        )
    quick = {
        name: part if name == "segments" else replace(part, engine="laplace")
        for name, part in spec.parts.items()
    }
    spec = replace(spec, parts=quick, inference=_FIT)
    case = _Case(spec, made.clients(spec) if data is None else data)
    skipped = {}
    checks = dict(_CHECKS)
    if not isinstance(case.data, Customers):
        skipped["days for weeks"] = skipped["cents for euros"] = (
            "a table of clients has no such unit"
        )
        del checks["days for weeks"], checks["cents for euros"]
    findings = [
        found(name, tolerance, partial(check, case))
        for name, (tolerance, check) in chosen(checks, only).items()
    ]
    return Report(f"segments of {spec.name}", tuple(findings), skipped)


def _fitted(data: Data, spec: ModelSpec) -> Posterior:
    """A short fit, scored whatever its gates say: whether chains mix is not asked here."""
    posterior = fit(data, spec, seed=_SEED)
    passed = {
        part: {**one, "computation": "passed"}
        for part, one in posterior.manifest["verdicts"].items()
    }
    manifest = {**posterior.manifest, "verdict": "passed", "verdicts": passed}
    return replace(posterior, manifest=manifest)


def _scored(posterior: Posterior, data: Data, **settings: Any) -> pd.DataFrame:
    table = score(posterior, data, replace(_SETTINGS, **settings)).table.set_index("customer_id")
    return table.drop(columns=[name for name in _OF_THE_FILE if name in table])


def _members(posterior: Posterior) -> list[str]:
    return [f"membership_{one}" for one in posterior.manifest["segments"]["ids"]]


def _columns(one: pd.DataFrame, other: pd.DataFrame, off: Callable[..., float]) -> Deviations:
    """Column by column: numbers by ``off``, the rest as they are."""
    for name in one.columns:
        a, b = one[name].to_numpy(), other[name].to_numpy()
        if a.dtype.kind == "f":
            yield off(a, b), name
        else:
            yield (
                float(
                    np.sum(one[name].astype(str).to_numpy() != other[name].astype(str).to_numpy())
                ),
                name,
            )


def _draws(one: Draws, other: Draws, where: str) -> Deviations:
    for name, values in one.values.items():
        yield bitwise(other.values[name], values), f"{name}, {where}"


# ---------------------------------------------------------------- the fit


def _fit_twice(case: _Case) -> Deviations:
    """Same data, same bits, whatever the customers are called and however they stand."""
    for data, where in ((case.data, "again"), (_renamed(case.data), "reversed, other ids")):
        again = fit(data, case.spec, seed=_SEED)
        for part, draws in case.posterior.parts.items():
            yield from _draws(draws, again.parts[part], f"{part}, {where}")


def _renamed(data: Data) -> Data:
    """The customers in reverse, under new ids."""
    other = data.take(np.arange(len(data))[::-1])
    ids = np.array([f"n{i:05}" for i in range(len(data))], dtype=object)
    own = other.attributes if isinstance(other, Customers) else None
    return replace(_with(other, replace(own, ids=ids)) if own else other, ids=ids)


def _unit(case: _Case) -> Deviations:
    """Segments do not depend on the model's time unit."""
    yield from _same_segments(case, replace(case.spec, time_unit="day"), case.data)


def _currency(case: _Case) -> Deviations:
    assert isinstance(case.data, Customers)
    money = {name: getattr(case.data, name) * _CENTS for name in ("first_spend", "repeat_spend")}
    yield from _same_segments(case, case.spec, replace(case.data, **money))


def _same_segments(case: _Case, spec: ModelSpec, data: Data) -> Deviations:
    other = _scored(_fitted(data, spec), data)
    for name in _members(case.posterior):
        yield float(np.max(np.abs(other[name] - case.table[name]))), name


# ---------------------------------------------------------------- what a customer's numbers depend on


def _order(case: _Case) -> Deviations:
    rows = np.random.default_rng(_SEED).permutation(len(case.data))
    yield from _columns(
        case.table, case.scored(case.data.take(rows)).loc[case.table.index], relative
    )
    whole = case.memberships(case.data).shares
    yield relative(case.memberships(case.data.take(rows)).shares, whole[rows]), "memberships"


def _columns_reversed(data: Data) -> Data:
    own = data if isinstance(data, Attributes) else data.attributes
    return (
        _with(data, replace(own, columns=dict(reversed(list(own.columns.items())))))
        if own
        else data
    )


def _subset(case: _Case) -> Deviations:
    some = np.arange(0, len(case.data), 17)
    found = case.scored(case.data.take(some))
    yield from _columns(case.table.loc[found.index], found, relative)
    whole = case.memberships(case.data).shares
    for i in some[:3]:
        yield (
            relative(case.memberships(case.data.take(some[some == i])).shares[0], whole[i]),
            f"row {i}",
        )


def _batch(case: _Case) -> Deviations:
    for chunk in (7, 100_000):
        yield from _columns(case.table, case.scored(case.data, chunk=chunk), relative)
    halves = np.array_split(np.arange(len(case.data)), 2)
    pieces = [case.memberships(case.data.take(half)).shares for half in halves]
    yield relative(np.concatenate(pieces), case.memberships(case.data).shares), "memberships"


def _stored(case: _Case) -> Deviations:
    with tempfile.TemporaryDirectory() as folder:
        again = load(save(case.posterior, Path(folder) / "run"))
    yield from _columns(case.table, _scored(again, case.data), bitwise)


# ---------------------------------------------------------------- what memberships are


def _sum(case: _Case) -> Deviations:
    shares = case.memberships(case.data).shares
    yield float(np.max(np.abs(shares.sum(axis=2) - 1.0))), "a draw"
    total = case.table[_members(case.posterior)].sum(axis=1).to_numpy()
    yield float(np.max(np.abs(total - 1.0))), "the table"


def _chances(case: _Case) -> Deviations:
    shares = case.memberships(case.data).shares
    yield float(np.max(np.maximum(-shares, shares - 1.0))), "memberships"


def _simulated(case: _Case) -> Deviations:
    """Of simulated rows as many belong to a segment as its weight says."""
    family = FAMILIES[case.spec.parts["segments"].family]
    assert family.simulate is not None
    assert family.memberships is not None
    theta = {n: v[:1] for n, v in thinned(case.posterior.parts["segments"], 1).items()}
    rows, _ = family.simulate(
        {name: values[0] for name, values in theta.items()},
        _SIMULATED,
        np.random.default_rng(_SEED),
    )
    shares = family.memberships(theta, rows).shares[:, 0]
    error = shares.std(axis=0, ddof=1) / np.sqrt(len(shares))
    off = np.abs(shares.mean(axis=0) - theta["weights"][0])
    for k, one in enumerate(off / np.maximum(error, 1e-300)):
        yield float(one), f"segment {k + 1}"


# ---------------------------------------------------------------- the border


def _refuses(case: _Case) -> Deviations:
    """Infinity where the features are learned or applied; an empty cell where the model forbids it."""
    state = case.posterior.features
    assert state is not None
    attributes = case.data if isinstance(case.data, Attributes) else case.data.attributes
    numbers = [f.column for f in state.features if f.type == "number"]
    for name in (n for n in numbers if attributes and n in attributes.columns):
        assert attributes is not None
        odd = {**attributes.columns, name: attributes.columns[name].copy()}
        odd[name][0] = np.inf
        data = _with(case.data, replace(attributes, columns=odd))
        yield refused(name, case.scored, data), f"infinity in {name}"
    nobody = case.data.take(np.arange(0))
    yield refused("customer", case.scored, nobody), "nobody to score"
    yield refused("", _fitted, nobody, case.spec), "nobody to learn from"


def _with(data: Data, attributes: Attributes) -> Data:
    return attributes if isinstance(data, Attributes) else replace(data, attributes=attributes)


def _mutation(case: _Case) -> Deviations:
    """The arrays of the data come back as they were, read-only or not."""
    data = case.data.take(np.arange(len(case.data)))
    case.scored(data)
    fit(data, case.spec, seed=_SEED)
    before, after = dict(_arrays(case.data)), dict(_arrays(data))
    for name, values in before.items():
        yield bitwise(after[name], values), name
    for values in after.values():
        values.flags.writeable = False
    yield from _columns(case.table, case.scored(data), bitwise)


def _arrays(data: Data) -> Iterator[tuple[str, Array]]:
    if isinstance(data, Customers):
        own = ((field.name, getattr(data, field.name)) for field in fields(data))
        yield from ((name, value) for name, value in own if isinstance(value, np.ndarray))
    if attributes := data if isinstance(data, Attributes) else data.attributes:
        yield from attributes.columns.items()


_CHECKS: Mapping[str, Check[_Case]] = {
    "fit twice": (0.0, _fit_twice),
    "order": (1e-12, _order),
    "subset": (1e-12, _subset),
    "batch": (1e-12, _batch),
    "days for weeks": (1e-10, _unit),
    "cents for euros": (1e-10, _currency),
    "save and load": (0.0, _stored),
    "memberships sum to one": (1e-12, _sum),
    "chances": (0.0, _chances),
    "simulation": (4.0, _simulated),
    "refuses what cannot be": (0.0, _refuses),
    "input untouched": (0.0, _mutation),
}
"""Name -> tolerance and check; of ``simulation`` the tolerance is in standard errors."""
