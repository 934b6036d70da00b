"""Which parameters apply to which customer: covariates and cohorts. L4, above families.

A family knows one vector of parameters. Where a model links them to facts about customers, customers
fall into groups that share a vector; everything above asks here for the group of a customer and the
parameters of a group, and calls the family once a group. Without links there is one group.

Links act on the scale without bounds: a parameter above 0 is multiplied by the exponential of its
effects, the odds of a probability are. Effects of covariates are free parameters ``rate[column=level]``;
cohorts are partially pooled, ``rate[cohort spread]`` times ``rate[cohort 2025Q1]`` (non-centred); an
early cohort apart differs by ``parameter[cohort early]`` in every parameter. To an engine all this is a
family with more parameters (``likelihood``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg._types import SMALLEST, Array, Family, IntArray, Param, Table
from bayesseg.customers import Attributes, Customers
from bayesseg.errors import InputRejected
from bayesseg.families import FAMILIES
from bayesseg.priors import Prior
from bayesseg.spec import CohortsSpec, PartSpec

type State = Mapping[str, Any] | None
"""What was learned of the groups at the fit (JSON-able, in the manifest); None for one group.

``covariates`` (how each column falls into cells), ``cohorts`` (labels), ``early`` (last day of the
early cohort), ``present`` (the groups there were), ``notes`` (what is to be said).
"""

CELLS = 12
"""Distinct numbers above which a covariate enters by tenths of the customers."""
MOST = 200
EARLY_EXCESS = 3.0
"""New customers of the first weeks over a usual week's, above which the log starts in mid-life."""
_UNSEEN = "unseen"


def learn(part: PartSpec, data: Customers) -> State:
    """The groups of ``data`` under the links of ``part``; None where it has none.

    Raises:
        InputRejected: a covariate is not among the attributes or takes one value only, or there are
            more than 200 groups.
    """
    if part.covariates is None and part.cohorts is None:
        return None
    state: dict[str, Any] = {"covariates": [], "cohorts": [], "early": None}
    if part.covariates is not None:
        state["covariates"] = [_cells(name, _attribute(name, data)) for name in covariates(part)]
    if part.cohorts is not None:
        state["early"] = _early_until(part.cohorts, data)
        labels = np.unique(_labels(part.cohorts, state["early"], data)).tolist()
        state["cohorts"] = [label for label in labels if label != "early"]
    present = np.unique(groups(part, state, data)).tolist()
    if len(present) > MOST:
        raise InputRejected(
            f"covariates and cohorts cut the customers into {len(present)} groups, {MOST} at most",
            fix="name fewer covariates, merge their levels, or take longer cohorts",
            code="too_many_groups",
        )
    found = [one["note"] for one in state["covariates"] if one["note"]]
    if state["early"]:
        found.append(f"customers who first bought by {state['early']} are a cohort apart")
    if part.cohorts is not None and len(state["cohorts"]) == 1:
        who, (only,) = "everybody else" if state["early"] else "everybody", state["cohorts"]
        found.append(f"{who} is of one cohort, {only}: how far cohorts differ is prior alone")
    strange = strangers(part, state, data)
    found += [f"{count:,} {words}" for words, count in strange.items() if count]
    return {**state, "present": present, "notes": found}


def groups(part: PartSpec, state: State, data: Customers) -> IntArray:
    """The group of each customer: an index into ``parameters``."""
    found = np.zeros(len(data), dtype=np.int64)
    if state is None:
        return found
    for one in state["covariates"]:
        found = found * len(one["cells"]) + _placed(one, _attribute(one["column"], data))
    if part.cohorts is not None:
        known = _cohorts_of(state)
        place = {label: i for i, label in enumerate(known)}
        labels, index = np.unique(_labels(part.cohorts, state["early"], data), return_inverse=True)
        at = np.array([place.get(label, place[_UNSEEN]) for label in labels], dtype=np.int64)
        found = found * len(known) + at[index]
    return found


def covariates(*parts: PartSpec) -> tuple[str, ...]:
    """The attributes that ``parts`` read, each once."""
    own = [part.covariates for part in parts if part.covariates is not None]
    return tuple(dict.fromkeys(name for one in own for name in (*one.rate, *one.dropout)))


def require(names: Iterable[str], attributes: Attributes | None) -> None:
    """Refuse attributes that lack one of ``names``.

    Raises:
        InputRejected: one is not there.
    """
    for name in names:
        _column(name, attributes)


def cells(state: State, data: Customers) -> Iterator[tuple[str, list[str], IntArray]]:
    """Each covariate, the names of its cells and the cell of each customer, (N,)."""
    for one in (state or {"covariates": ()})["covariates"]:
        place = _placed(one, _attribute(one["column"], data))
        yield one["column"], _names(one), place


def _names(one: Mapping[str, Any]) -> list[str]:
    if one["kind"] == "text":
        return list(one["levels"])
    edges = [f"{edge:.4g}" for edge in one["edges"]]
    return [
        f"to {edges[0]}",
        *(f"{a} to {b}" for a, b in pairwise(edges)),
        f"from {edges[-1]}",
        "not known",
    ]


def parameters(
    part: PartSpec, state: State, values: Mapping[str, Array]
) -> tuple[Mapping[str, Array], ...]:
    """Textbook parameters of each group, each (S,), from free values with a leading draw axis.

    A cohort that was not there at the fit is one drawn from the population, anew for every draw (from
    a fixed seed): all such cohorts share these draws.
    """
    if state is None:
        return (FAMILIES[part.family].derive(values),)
    family, _ = linked(part, state, everything=True)
    shape = next(iter(values.values())).shape
    new = {
        param.name: np.random.default_rng(i).standard_normal(shape)
        for i, param in enumerate(family.params)
        if param.name.endswith(f"[cohort {_UNSEEN}]")
    }
    theta = family.derive({**values, **new})
    count = next(iter(theta.values())).shape[-1]
    return tuple(
        {name: np.ascontiguousarray(each[..., g]) for name, each in theta.items()}
        for g in range(count)
    )


def multipliers(
    part: PartSpec, state: State, values: Mapping[str, Array]
) -> dict[str, tuple[str, Array]]:
    """What each effect, and each cohort, multiplies a parameter by (its odds, where it is a share).

    Returns:
        By name, such as ``× rate [cohort 2025Q1]``: how it follows from free values, and the factor in
        the shape of ``values``. Of a number it is the factor of one standard deviation.
    """
    if state is None:
        return {}
    base = FAMILIES[part.family]
    extra = linked(part, state)[0].params[len(base.params) :]
    spreads = {param.scaled_by for param in extra}
    found = {}
    for effect in (param for param in extra if param.name not in spreads):
        own, _, label = effect.name.partition("[")
        moved = next(param for param in base.params if own in (param.role, param.name))
        names = [name for name in (effect.scaled_by, effect.name) if name]
        factor = np.exp(np.prod([values[name] for name in names], axis=0))
        odds = "odds of " if moved.support == "unit" else ""
        found[f"× {odds}{moved.name} [{label}"] = f"exp({' · '.join(names)})", factor
    return found


def likelihood(
    part: PartSpec, state: State, data: Customers, unit_days: float
) -> tuple[Family, PartSpec, Table]:
    """What an engine samples: the family with its links, its priors, and the table of ``data``."""
    base, columns = FAMILIES[part.family], data.columns(unit_days)
    assert base.tabulate is not None
    if state is None:
        return base, part, base.tabulate(columns)
    own = groups(part, state, data)
    tables = [
        base.tabulate({name: values[own == group] for name, values in columns.items()})
        for group in state["present"]
    ]
    table = Table(
        arrays={f"{name} {i}": v for i, t in enumerate(tables) for name, v in t.arrays.items()},
        rows=sum(table.rows for table in tables),
        customers=sum(table.customers for table in tables),
        groups=len(tables),
    )
    return *linked(part, state), table


def strangers(part: PartSpec, state: State, data: Customers) -> dict[str, int]:
    """How many customers are without a known fact, by what that is and how they are treated."""
    if state is None:
        return {}
    found = {}
    for one in state["covariates"]:
        values = _attribute(one["column"], data)
        if one["kind"] == "number":
            strange, treated = int(np.isnan(values).sum()), "as average"
        else:
            known = {*one["levels"], *one["rare"]}
            strange = sum(value not in known for value in values.tolist())
            treated = f"as {one['levels'][0]!r}"
        found[f"customers without a known {one['column']}: treated {treated}"] = strange
    if part.cohorts is not None:
        labels = _labels(part.cohorts, state["early"], data)
        unseen = int(data.counts[~np.isin(labels, _cohorts_of(state))].sum())
        found["customers of cohorts newer than the fit: a cohort at random"] = unseen
    return found


# ---------------------------------------------------------------- a family with links


@dataclass(frozen=True, slots=True)
class _Term:
    """``column`` (G,) times the product of ``names`` moves ``param``."""

    param: str
    names: tuple[str, ...]
    column: Array


def linked(part: PartSpec, state: State, *, everything: bool = False) -> tuple[Family, PartSpec]:
    """The family whose free parameters are the family's own and the effects, and its priors.

    ``derive`` gives textbook parameters with a last axis of groups: those present at the fit, or with
    ``everything`` all that may be, unseen cohorts too (whose draws then are parameters as well).
    """
    base = FAMILIES[part.family]
    if state is None:
        return base, part
    sizes = [len(one["cells"]) for one in state["covariates"]]
    sizes += [len(_cohorts_of(state))] if part.cohorts is not None else []
    which = np.arange(np.prod(sizes, dtype=int)) if everything else np.array(state["present"])
    terms, priors = _terms(part, state, base, np.unravel_index(which, sizes))
    priors = {**part.priors, **priors}
    extra = [name for name in priors if name not in part.priors]
    scaled = {term.names[1]: term.names[0] for term in terms if len(term.names) == 2}
    return (
        replace(
            base,
            params=(*base.params, *(_param(n, priors[n], scaled.get(n, "")) for n in extra)),
            derive=_deriving(base, terms, len(which)),
            kernel=_kernel(base),
        ),
        replace(part, priors=priors),
    )


def _param(name: str, prior: Prior, scaled_by: str) -> Param:
    support = "positive" if prior.dist == "HalfNormal" else "real"
    return Param(name, support, "", "effect on the scale without bounds", scaled_by=scaled_by)


def _terms(
    part: PartSpec, state: Mapping[str, Any], base: Family, index: Sequence[IntArray]
) -> tuple[list[_Term], dict[str, Prior]]:
    roles = {param.role: param.name for param in base.params if param.role}
    terms: list[_Term] = []
    priors: dict[str, Prior] = {}
    if part.covariates is not None:
        for role, columns in (("rate", part.covariates.rate), ("dropout", part.covariates.dropout)):
            for one, cell in zip(state["covariates"], index, strict=False):
                if one["column"] in columns:
                    for label, values in one["contrasts"].items():
                        name = f"{role}[{label}]"
                        priors[name] = part.covariates.effect
                        terms.append(_Term(roles[role], (name,), np.array(values)[cell]))
    if part.cohorts is not None:
        known = _cohorts_of(state)
        for i, label in enumerate(known):
            column = (index[-1] == i).astype(np.float64)
            if not column.any():
                continue
            if label == "early":
                for param in base.params:
                    name = f"{param.name}[cohort early]"
                    priors[name] = part.cohorts.apart
                    terms.append(_Term(param.name, (name,), column))
                continue
            for role, param_name in roles.items():
                spread, own = f"{role}[cohort spread]", f"{role}[cohort {label}]"
                priors |= {spread: part.cohorts.spread, own: _STANDARD}
                terms.append(_Term(param_name, (spread, own), column))
    return terms, priors


_STANDARD = Prior("Normal", {"mean": 0.0, "sd": 1.0})


def _deriving(base: Family, terms: Sequence[_Term], count: int) -> Any:
    support = {param.name: param.support for param in base.params}

    def derive(free: Mapping[str, Any]) -> Mapping[str, Any]:
        moved = {name: np.zeros(count) for name in support}
        for term in terms:
            effect = free[term.names[0]]
            for name in term.names[1:]:
                effect = effect * free[name]
            moved[term.param] = moved[term.param] + effect[..., None] * term.column
        own = {}
        for name, kind in support.items():
            value, factor = free[name][..., None], np.exp(moved[name])
            if kind == "positive":
                own[name] = value * factor
            elif kind == "unit":  # the odds are multiplied
                own[name] = value * factor / (1 - value + value * factor)
            else:
                own[name] = value + moved[name]
        return base.derive(own)

    return derive


def _kernel(base: Family) -> Any:
    kernel, width = base.kernel, len(base.textbook)
    assert kernel is not None

    def summed(theta: Array, *arrays: Any) -> tuple[float, Array]:
        each = theta.reshape(-1, width)
        value, gradient, count = 0.0, np.empty_like(each), len(arrays) // len(each)
        for g, one in enumerate(each):
            more, gradient[g] = kernel(one, *arrays[g * count : (g + 1) * count])
            value += more
        return value, gradient.ravel()

    return summed


# ---------------------------------------------------------------- covariates


def _attribute(name: str, data: Customers) -> npt.NDArray[Any]:
    return _column(name, data.attributes)


def _column(name: str, attributes: Attributes | None) -> npt.NDArray[Any]:
    columns = {} if attributes is None else attributes.columns
    if name not in columns:
        raise InputRejected(
            f"the model's covariate {name!r} is not among the attributes of the customers",
            fix="give --attributes with that column"
            + (f"; columns there: {', '.join(sorted(columns))}" if columns else ""),
            code="no_covariate",
        )
    return columns[name]


def _cells(name: str, values: npt.NDArray[Any]) -> dict[str, Any]:
    """How a column falls into cells, and what each effect is multiplied by in each cell."""
    return (_number_cells if values.dtype.kind == "f" else _text_cells)(name, values)


def _text_cells(name: str, values: npt.NDArray[Any]) -> dict[str, Any]:
    found, counts = np.unique([str(v) for v in values if v is not None], return_counts=True)
    order = np.lexsort((found, -counts))
    levels = [str(found[i]) for i in order if counts[i] >= SMALLEST]
    rare = [str(found[i]) for i in order if counts[i] < SMALLEST]
    if len(levels) < 2:
        raise _constant(name)
    note = f"covariate {name}: effects against {levels[0]!r}"
    if rare:
        note += f", which {len(rare)} levels of fewer than {SMALLEST} customers are counted to"
    unit = np.eye(len(levels))
    return {
        "column": name,
        "kind": "text",
        "levels": levels,
        "rare": rare,
        "cells": levels,
        "contrasts": {
            label: unit[:, i].tolist()
            for i, label in enumerate(_clean([f"{name}={level}" for level in levels]))
            if i
        },
        "note": note,
    }


def _number_cells(name: str, values: npt.NDArray[Any]) -> dict[str, Any]:
    known = values[np.isfinite(values)]
    distinct = np.unique(known)
    if len(distinct) < 2:
        raise _constant(name)
    z = (known - known.mean()) / known.std()
    if len(distinct) <= CELLS:
        edges = (distinct[1:] + distinct[:-1]) / 2
        note = ""
    else:
        edges = np.unique(np.quantile(known, np.arange(0.1, 1.0, 0.1)))
        note = f"covariate {name}: customers enter by tenths, each with its mean"
    place = np.searchsorted(edges, known, side="right")
    at = np.bincount(place, weights=z, minlength=len(edges) + 1)
    at /= np.maximum(np.bincount(place, minlength=len(edges) + 1), 1)
    at = np.append(at, 0.0)  # the last cell: not known, so average
    return {
        "column": name,
        "kind": "number",
        "edges": edges.tolist(),
        "cells": at.tolist(),
        "contrasts": {_clean([name])[0]: at.tolist()},
        "note": note,
    }


def _placed(one: Mapping[str, Any], values: npt.NDArray[Any]) -> IntArray:
    """The cell of each customer; what is not known is average, or of the most frequent level."""
    if one["kind"] == "number":
        place = np.searchsorted(np.array(one["edges"]), values, side="right")
        return np.where(np.isfinite(values), place, len(one["cells"]) - 1).astype(np.int64)
    known = {level: i for i, level in enumerate(one["levels"])}
    return np.array([known.get(value, 0) for value in values.tolist()], dtype=np.int64)


def _constant(name: str) -> InputRejected:
    return InputRejected(
        f"covariate {name!r} takes one value only (levels of fewer than {SMALLEST} customers do not "
        "count): its effect cannot be learned",
        fix="leave it out of [purchase.covariates]",
        code="constant_covariate",
    )


def _clean(labels: Sequence[str]) -> list[str]:
    """Labels that may name an array of an artefact, as different as they were."""
    found: list[str] = []
    for label in labels:
        name = re.sub(r"[^\w =+.-]", "_", label)
        found.append(name if name not in found else f"{name}~{len(found)}")
    return found


# ---------------------------------------------------------------- cohorts


def _cohorts_of(state: Mapping[str, Any]) -> list[str]:
    return [*(["early"] if state["early"] else []), *state["cohorts"], _UNSEEN]


def _labels(spec: CohortsSpec, until: str | None, data: Customers) -> npt.NDArray[np.str_]:
    """``2025``, ``2025Q3`` or ``2025-07`` by the first purchase day; ``early`` up to ``until``."""
    days, index = np.unique(data.t_end, return_inverse=True)
    first = [data.as_of - timedelta(days=int(day)) for day in days]
    names: Mapping[str, Callable[[date], str]] = {
        "year": lambda day: f"{day.year}",
        "quarter": lambda day: f"{day.year}Q{(day.month + 2) // 3}",
        "month": lambda day: f"{day.year}-{day.month:02}",
    }
    label = names[spec.by]
    known = ["early" if until and day.isoformat() <= until else label(day) for day in first]
    return np.array(known)[index]


def _early_until(spec: CohortsSpec, data: Customers) -> str | None:
    """The last day of the early cohort; None where there is none, or nobody else."""
    if spec.early == "none":
        return None
    found = early(data)
    automatic = found["until"] if found and found["excess"] else None
    until = automatic if spec.early == "auto" else spec.early
    labels = _labels(spec, until, data)
    return until if "early" in labels and (labels != "early").any() else None


def early(data: Customers, weeks: int = 3) -> dict[str, Any] | None:
    """How many customers the first weeks "acquire" beside a usual week.

    Where a log starts in mid-life of a shop its first weeks hold the old customers, whose first
    purchase was in truth earlier (left-censoring). ``until`` is their last day, ``excess`` says whether
    they are too many. None where there are fewer than eight later weeks with a new customer.
    """
    age = int(data.t_end.max()) - data.t_end
    counts = np.bincount(age // 7, weights=data.counts).astype(np.int64)
    later = counts[weeks:][counts[weeks:] > 0]
    if len(later) < 8:
        return None
    start = data.as_of - timedelta(days=int(data.t_end.max()))
    ratio = float(counts[:weeks].mean() / np.median(later))
    return {
        "until": (start + timedelta(days=7 * weeks - 1)).isoformat(),
        "customers": int(counts[:weeks].sum()),
        "usual": float(np.median(later)),
        "ratio": ratio,
        "excess": ratio > EARLY_EXCESS,
    }
