"""The vocabulary every layer shares. L0.

A *family* is a log-likelihood plus functions from (draws, customers) to arrays; a *model* is a family
with priors; a *posterior* is a model with draws; a *score* is a family quantity averaged over a
posterior.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

type Array = npt.NDArray[np.float64]
type IntArray = npt.NDArray[np.int64]
type Columns = Mapping[str, npt.NDArray[Any]]
"""Named columns of one length: what a family reads of its customers, in the model's time unit."""

PARTS = ("purchase", "spend", "segments")
"""The parts a model may have, in the order in which they are shown."""

SMALLEST = 11
"""Customers below whom a group is not shown, nor learned of: nobody is to be found in what is kept."""

DAYS_PER_YEAR = 365.25
TIME_UNITS = {"day": 1.0, "week": 7.0, "month": DAYS_PER_YEAR / 12}
"""Length of each time unit in days."""


@dataclass(frozen=True, slots=True)
class Param:
    """One free parameter of a family.

    ``support`` is ``"positive"``, ``"unit"``, ``"real"``, ``"simplex"`` or ``"positive definite"``.
    ``dims`` names the axes that follow (chain, draw). ``role`` says what covariates and cohorts act on:
    ``"rate"`` (of purchases) and ``"dropout"``. ``scaled_by`` names the sd of a standardised offset.
    """

    name: str
    support: str
    unit: str
    meaning: str
    dims: tuple[str, ...] = ()
    role: str = ""
    scaled_by: str = ""


@dataclass(frozen=True, slots=True)
class Clock:
    """The two horizons and the discount rate, in the model's time unit.

    ``horizon`` is h (churn, purchases), ``value_horizon`` is H (money), ``discount`` is the continuous
    rate per time unit: ``log(1 + annual) / units_per_year``.
    """

    horizon: float
    value_horizon: float
    discount: float


@dataclass(frozen=True, slots=True)
class Quantity:
    """A named function of (draws, customers).

    ``fn(theta, columns, clock)`` takes textbook parameters, each of shape (S,), and columns, each of
    shape (N,), and returns shape (S, N). It is called on bounded chunks only. ``depends`` names the
    columns it reads: customers who agree in them share one value, computed once.
    """

    name: str
    unit: str
    meaning: str
    depends: tuple[str, ...]
    fn: Callable[[Mapping[str, Array], Columns, Clock], Array]


@dataclass(frozen=True, slots=True)
class Table:
    """The data of one likelihood: distinct rows, their weights and whatever the kernel shares.

    ``arrays`` stand in the order in which the kernel takes them, all float64 or int64, C-contiguous.
    ``customers`` is the number of customers behind the rows. Of several ``groups``, which differ in
    their parameters, the arrays stand one group after another.
    """

    arrays: Mapping[str, npt.NDArray[Any]]
    rows: int
    customers: int
    groups: int = 1


@dataclass(frozen=True, slots=True)
class Memberships:
    """Where rows belong under S draws of K segments.

    Attributes:
        shares: (N, S, K) probability of each segment; the last axis sums to one.
        beyond: (N,) how much of the mixture lies farther out than the row; NaN where no measurement
            is seen.
    """

    shares: Array
    beyond: Array


def _same(values: Mapping[str, Any]) -> Mapping[str, Any]:
    return values


@dataclass(frozen=True, slots=True)
class Family:
    """A log-likelihood plus functions from (draws, customers) to arrays.

    Attributes:
        name: key in ``FAMILIES`` and in model files.
        title: the name people use.
        part: ``"purchase"``, ``"spend"`` or ``"segments"``.
        columns: the columns it reads.
        params: the free parameters, which carry the priors.
        textbook: names of the parameters as papers print them, in kernel order.
        derive: free values -> textbook values; plain arithmetic, valid for NumPy and PyTensor.
        underive: textbook values -> free values, the inverse of ``derive``.
        tabulate: columns -> ``Table``.
        logp: (textbook values, columns) -> log-likelihood of each row, as a PyTensor expression; the
            readable reference. Imports PyTensor inside.
        kernel: Numba ``(theta, *table.arrays) -> (value, gradient)``, theta the textbook vector.
        simulate: (textbook values, size or exposure columns, generator) -> columns; written without
            reading ``logp``.
        quantities: what can be said of a customer, by name.
        latents: Numba-backed draws of a customer's own rates; see the purchase and spend families.
        memberships: (parameters with a leading draw axis, feature matrix (N, D)) -> ``Memberships``;
            rows do not influence each other by a single bit.
        gibbs: the Gibbs plan of a mixture family.
        references: papers, equations.
    """

    name: str
    title: str
    part: str
    columns: tuple[str, ...]
    params: tuple[Param, ...]
    textbook: tuple[str, ...] = ()
    derive: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _same
    underive: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _same
    tabulate: Callable[[Columns], Table] | None = None
    logp: Callable[[Mapping[str, Any], Mapping[str, Any]], Any] | None = None
    kernel: Callable[..., tuple[float, Array]] | None = None
    simulate: Callable[..., Any] | None = None
    quantities: Mapping[str, Quantity] = field(default_factory=dict)
    latents: Callable[..., Any] | None = None
    memberships: Callable[[Mapping[str, Array], Array], Memberships] | None = None
    gibbs: Any = None
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Draws:
    """What an engine returns for one part.

    Attributes:
        values: free parameters, each (chain, draw, *dims).
        stats: sampler statistics, each (chain, draw, *dims): ``diverging``, ``energy``, ``depth``,
            ``log_likelihood``, ``log_prior`` for nuts; label-invariant quantities for gibbs.
        info: JSON-able facts about the run: engine, seconds, settings, modes, notes.
    """

    values: Mapping[str, Array]
    stats: Mapping[str, Array]
    info: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """One gate: a value, its limit and the verdict. A value that is not finite never passes.

    ``severity`` is ``"hard"`` (a miss fails the part), ``"assessed"`` (a miss leaves it unassessed:
    there is no uncertainty to judge) or ``"soft"`` (a miss is a caution). ``kind`` is
    ``"computation"`` or ``"forecast"``. ``verdict`` is ``"passed"``, ``"caution"``, ``"failed"`` or
    ``"not-assessed"``; ``waiver`` holds ``reason`` and ``until`` where a hard miss may be overlooked.
    """

    name: str
    part: str
    value: float
    limit: float
    passed: bool
    severity: str
    advice: str
    kind: str = "computation"
    detail: str = ""
    verdict: str = ""
    waiver: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """One message of a running step: ``done`` of ``total`` within ``stage`` (and part)."""

    stage: str
    done: int
    total: int
    detail: str = ""


type OnProgress = Callable[[Progress], None]
