"""What every gate is made of: a subject, a value, a limit. L7."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesseg._types import Array, Check, Draws
from bayesseg.families import FAMILIES
from bayesseg.population import State
from bayesseg.spec import InferenceSpec, PartSpec

type Facts = Mapping[str, Any]
"""What gates need beyond the draws: ``scales``, ``spearman``, ``backtests``, ``customers``, ``early``,
``locked`` and the ``waivers`` of those who answer for the run."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The part under judgement, what is known of it and of its groups."""

    part: str
    spec: PartSpec
    inference: InferenceSpec
    draws: Draws
    facts: Facts
    state: State = None


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


def free(s: Subject) -> dict[str, Array]:
    """The parameters that can move.

    Not the weights of a single segment, which are 1, levels that a column has not, which are 0, or
    numbers from a short list, which may stay where they are.
    """
    support = {p.name: p.support for p in FAMILIES[s.spec.family].params}
    found = {}
    for name, values in s.draws.values.items():
        kind = support.get(name)
        if kind == "grid" or (kind == "simplex" and values.shape[-1] == 1):
            continue
        there = (values != 0).any((0, 1))
        found[name] = values if kind != "simplex" or there.all() else values[..., there]
    return found


def number(value: Any) -> float:
    """A float; NaN, which no gate passes, for what is not there."""
    return math.nan if value is None else float(value)


def scalars(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Each scalar of each (chain, draw, *dims) array by a readable name."""
    found = {}
    for name, values in arrays.items():
        if values.ndim == 2:
            found[name] = values
            continue
        for index in np.ndindex(*values.shape[2:]):
            found[f"{name}[{', '.join(map(str, index))}]"] = values[(..., *index)]
    return found


def value(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> float:
    """``fn`` as a float; NaN, which no gate passes, where it cannot be computed."""
    try:
        with np.errstate(all="ignore"):
            return float(fn(*args, **kwargs))
    except (ValueError, ZeroDivisionError, FloatingPointError, TypeError):
        return math.nan


def worst(values: Mapping[str, float], *, largest: bool) -> tuple[str, float]:
    """The worst value and its name; anything not finite is worst of all."""
    if not values:
        return "anything", math.nan
    names, array = list(values), np.array(list(values.values()))
    unclear = ~np.isfinite(array)
    at = int(np.argmax(unclear) if unclear.any() else np.argmax(array if largest else -array))
    return names[at], float(array[at])
