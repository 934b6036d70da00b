"""Forecasts of single customers and of totals, reduced as they are made.

Customers pass in chunks; arrays draws x customers live inside one chunk. A customer's futures depend
on its own key, the model and the seed alone, never on the chunk or the order.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
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
    job = _Job(
        held=held,
        purchase=purchase,
        spend=spend,
        columns=held.scored.columns(unit_days),
        horizon=held.horizon_days / unit_days,
        futures=purchase.draws if purchase.draws > 1 else streams,
    )
    chunks = _chunks(held.scored, purchase, spend)
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


def _chunks(scored: Customers, purchase: Model, spend: Model | None) -> list[IntArray]:
    """Rows in chunks of one group, alike ones together."""
    group = purchase.group
    if spend is not None:
        group = group * (int(spend.group.max(initial=0)) + 1) + spend.group
    order = np.lexsort((scored.t_x, scored.t_end, scored.x, group))
    borders = np.flatnonzero(np.diff(group[order])) + 1
    return [
        piece[start : start + _CHUNK]
        for piece in np.split(order, borders)
        for start in range(0, len(piece), _CHUNK)
    ]


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
        columns = {name: values[rows] for name, values in self.columns.items()}
        alive = self._quantity(self.purchase, "p_alive", rows, columns)
        silent = self._quantity(self.purchase, "silent", rows, columns)
        bought = alive * self._quantity(self.purchase, "purchases_if_alive", rows, columns)
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
            **_reduced("purchases", bought.mean(axis=1), counts.astype(np.float64), came, u),
        }
        if self.spend is not None:
            mean = self._quantity(self.spend, "expected_spend", rows, columns)
            expected = (paid * bought * mean).mean(axis=1)
            found |= _reduced("spend", expected, money, self.held.spend[rows], u)
        return found

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
        f"{name}.expected": expected,
        f"{name}.totals": totals,
        f"{name}.crps": metrics.crps(draws, actual),
        f"{name}.inside": metrics.inside(draws, actual),
        f"{name}.pit": metrics.pit(draws, actual, u),
    }
