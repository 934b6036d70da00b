"""Forecasts of single customers and of totals, reduced as they are made.

Customers pass in chunks; arrays draws x customers live inside one chunk. A customer's futures depend
on its own key, the model and the seed alone, never on the chunk or the order.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesseg._random import mix
from bayesseg._types import Array, Clock, Columns, Family, IntArray
from bayesseg.customers import Customers
from bayesseg.families._realise import realise
from bayesseg.validation import metrics
from bayesseg.validation.holdout import Holdout

FUTURES = 2_000
"""So many customers' futures are drawn where totals alone are wanted."""
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Model:
    """A family with draws, ready for the customers scored.

    Attributes:
        family: purchase or spend.
        theta: textbook parameters of each group, each (S,); one draw is a plug-in.
        group: the group of each scored customer, (N,).
    """

    family: Family
    theta: tuple[Mapping[str, Array], ...]
    group: IntArray

    @property
    def draws(self) -> int:
        """S."""
        return len(next(iter(self.theta[0].values())))


@dataclass(frozen=True, slots=True)
class Outcome:
    """Purchases, or spend, of each scored customer against what came.

    Attributes:
        expected: posterior mean of the expectation, (N,); not finite where it does not exist.
        totals: predictive totals, (R,).
        crps: (N,).
        inside: (N, levels) bool, as ``metrics.inside``.
        pit: (N,), randomised.
    """

    expected: Array
    totals: Array
    crps: Array
    inside: Any
    pit: Array


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a model says of the holdout's customers. ``p_active`` is P(buys), (N,), exact."""

    p_alive: Array
    p_active: Array
    purchases: Outcome
    spend: Outcome | None


@dataclass(frozen=True, slots=True)
class Totals:
    """Predictive totals and how the customers drawn for them fared.

    Attributes:
        draws: of each part, (S,).
        drawn: rows of the scored, (n,).
        p_active: P(buys), (n,).
        pit: of their purchases, randomised, (n,).
    """

    draws: Mapping[str, Array]
    drawn: IntArray
    p_active: Array
    pit: Array


def forecast(
    held: Holdout, purchase: Model, spend: Model | None, unit_days: float, streams: int
) -> Forecast:
    """Forecast every scored customer over the holdout.

    Args:
        held: the cut; only what was known at it is used to forecast, the rest to score.
        purchase: purchase family with draws.
        spend: spend family with as many draws (paired one to one), or None.
        unit_days: length of the model's time unit.
        streams: futures a customer where the model is a plug-in of one draw; otherwise one a draw.
    """
    futures = purchase.draws if purchase.draws > 1 else streams
    job = _job(held, purchase, spend, unit_days, futures)
    chunks = _chunks(held.scored, purchase, spend, np.arange(len(held.scored)))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pieces = list(pool.map(job.chunk, chunks))
    order = np.concatenate(chunks)
    back = np.argsort(order)

    def joined(name: str) -> Any:
        return np.concatenate([piece[name] for piece in pieces])[back]

    def outcome(name: str) -> Outcome:
        return Outcome(
            expected=joined(f"{name}.expected"),
            totals=np.sum([piece[f"{name}.totals"] for piece in pieces], axis=0),
            crps=joined(f"{name}.crps"),
            inside=joined(f"{name}.inside"),
            pit=joined(f"{name}.pit"),
        )

    return Forecast(
        p_alive=joined("p_alive"),
        p_active=joined("p_active"),
        purchases=outcome("purchases"),
        spend=None if spend is None else outcome("spend"),
    )


def totals(held: Holdout, purchase: Model, spend: Model | None, unit_days: float) -> Totals:
    """Predictive totals, and how single customers fared.

    The expectation is of every scored customer. What chance adds is drawn for at most ``FUTURES`` of
    them, at random, and stands for all: n/m times as many customers deviate √(n/m) times as far.
    """
    job = _job(held, purchase, spend, unit_days, purchase.draws)
    some = everybody = np.arange(len(held.scored))
    if len(everybody) > FUTURES:
        some = np.argpartition(held.keys, FUTURES)[:FUTURES]
    ratio = len(everybody) / len(some)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        chunks = _chunks(held.scored, purchase, spend, some)
        drawn = list(pool.map(job.chunk, chunks))
        expected = drawn
        if ratio > 1:
            expected = list(
                pool.map(job.expected, _chunks(held.scored, purchase, spend, everybody))
            )

    def summed(pieces: Sequence[Mapping[str, Any]], name: str) -> Array:
        return np.asarray(np.sum([piece[name] for piece in pieces], axis=0))

    found = {}
    for part, name in (("purchase", "purchases"), ("spend", "spend")):
        if part == "spend" and spend is None:
            continue
        came, own = summed(drawn, f"{name}.totals"), summed(drawn, f"{name}.expected_totals")
        moved = summed(expected, f"{name}.expected_totals") + (came - own) * math.sqrt(ratio)
        # where no mean exists the customers drawn must speak for all themselves
        found[part] = np.where(np.isfinite(moved) & (ratio > 1), moved, came * ratio)
    return Totals(
        found,
        np.concatenate(chunks),
        np.concatenate([piece["p_active"] for piece in drawn]),
        np.concatenate([piece["purchases.pit"] for piece in drawn]),
    )


def _chunks(
    scored: Customers, purchase: Model, spend: Model | None, rows: IntArray
) -> list[IntArray]:
    """``rows`` in chunks of one group, alike ones together."""
    group = purchase.group
    if spend is not None:
        group = group * (int(spend.group.max(initial=0)) + 1) + spend.group
    keys = (scored.t_x, scored.t_end, scored.x, group)
    order = rows[np.lexsort(tuple(key[rows] for key in keys))]
    borders = np.flatnonzero(np.diff(group[order])) + 1
    return [
        piece[start : start + _CHUNK]
        for piece in np.split(order, borders)
        for start in range(0, len(piece), _CHUNK)
    ]


def _job(
    held: Holdout, purchase: Model, spend: Model | None, unit_days: float, futures: int
) -> _Job:
    return _Job(
        held=held,
        purchase=purchase,
        spend=spend,
        columns=held.scored.columns(unit_days),
        horizon=held.horizon_days / unit_days,
        futures=futures,
    )


@dataclass(frozen=True, slots=True)
class _Job:
    held: Holdout
    purchase: Model
    spend: Model | None
    columns: Columns
    horizon: float
    futures: int

    def chunk(self, rows: IntArray) -> dict[str, Any]:
        """Everything about the customers ``rows``, of one group, reduced over draws."""
        keys, index = self.held.keys[rows], np.arange(self.futures)
        columns = self._of(rows)
        alive, bought, worth = self._expected(rows, columns)
        silent = self._quantity(self.purchase, "silent", rows, columns)
        latents = self._latents(self.purchase, rows, columns)
        nu, shape = np.ones(latents.shape[:2]), np.ones(self.futures)
        if self.spend is not None:
            nu = self._latents(self.spend, rows, columns)
            shape = self._stretched(self.spend, rows)["p"]
        paid = self.held.known.paid_share
        clock = Clock(self.horizon, self.horizon, 0.0)
        money, counts, _ = realise(latents, nu, shape, paid, clock, keys, index)
        u = (mix(keys) >> np.uint64(11)) * 2.0**-53
        came = self.held.purchases[rows].astype(np.float64)
        found = {
            "p_alive": alive.mean(axis=1),
            "p_active": (alive * (1.0 - silent)).mean(axis=1),
            **_reduced("purchases", bought, counts.astype(np.float64), came, u),
        }
        if worth is not None:
            found |= _reduced("spend", worth, money, self.held.spend[rows], u)
        return found

    def expected(self, rows: IntArray) -> dict[str, Any]:
        """The totals of the expectation of the customers ``rows``, of one group."""
        _, bought, worth = self._expected(rows, self._of(rows))
        found = {"purchases.expected_totals": bought.sum(axis=0)}
        return found if worth is None else found | {"spend.expected_totals": worth.sum(axis=0)}

    def _of(self, rows: IntArray) -> Columns:
        return {name: values[rows] for name, values in self.columns.items()}

    def _expected(self, rows: IntArray, columns: Columns) -> tuple[Array, Array, Array | None]:
        """P(alive), expected purchases and expected spend, each (N, S)."""
        alive = self._quantity(self.purchase, "p_alive", rows, columns)
        bought = alive * self._quantity(self.purchase, "purchases_if_alive", rows, columns)
        if self.spend is None:
            return alive, bought, None
        mean = self._quantity(self.spend, "expected_spend", rows, columns)
        return alive, bought, self.held.known.paid_share * bought * mean

    def _quantity(self, model: Model, name: str, rows: IntArray, columns: Columns) -> Array:
        clock = Clock(self.horizon, self.horizon, 0.0)
        return on_distinct(model.family, name, model.theta[model.group[rows[0]]], columns, clock)

    def _latents(self, model: Model, rows: IntArray, columns: Columns) -> Array:
        assert model.family.latents is not None
        index, keys = np.arange(self.futures), self.held.keys[rows]
        return np.asarray(model.family.latents(self._stretched(model, rows), columns, keys, index))

    def _stretched(self, model: Model, rows: IntArray) -> dict[str, Array]:
        """Parameters of the group of ``rows``, one draw a future: a plug-in repeats its own."""
        theta = model.theta[model.group[rows[0]]]
        return {name: np.broadcast_to(values, self.futures) for name, values in theta.items()}


def on_distinct(
    family: Family, name: str, theta: Mapping[str, Array], columns: Columns, clock: Clock
) -> Array:
    """A quantity once per distinct value of what it depends on, for all customers: (N, S)."""
    quantity = family.quantities[name]
    table = np.column_stack([columns[column] for column in quantity.depends])
    rows, back = np.unique(table, axis=0, return_inverse=True)
    distinct = dict(zip(quantity.depends, np.ascontiguousarray(rows.T), strict=True))
    return np.asarray(quantity.fn(theta, distinct, clock).T[back.ravel()])


def _reduced(name: str, expected: Array, draws: Array, actual: Array, u: Array) -> dict[str, Any]:
    totals = draws.sum(axis=0)
    draws.sort(axis=1)
    return {
        f"{name}.expected": expected.mean(axis=1),
        f"{name}.expected_totals": expected.sum(axis=0),
        f"{name}.totals": totals,
        f"{name}.crps": metrics.crps(draws, actual),
        f"{name}.inside": metrics.inside(draws, actual),
        f"{name}.pit": metrics.pit(draws, actual, u),
    }
