"""From distinct rows to columns and per-draw sums, block by block, on all cores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg import clv
from bayesseg._types import Array, Columns, IntArray, Quantity
from bayesseg.customers import Attributes, Customers
from bayesseg.families import FAMILIES
from bayesseg.scoring import combine
from bayesseg.scoring.futures import futures
from bayesseg.scoring.members import TOGETHER, members
from bayesseg.scoring.plan import Plan, Theta
from bayesseg.scoring.reduce import mean_draw
from bayesseg.scoring.rows import AGE, HISTORY, MONEY, Rows, blocks, rows_of, runs, stretches
from bayesseg.scoring.settings import ends

type BoolArray = npt.NDArray[np.bool_]
type Values = dict[str, npt.NDArray[Any]]
type Sums = dict[str, Array]
type Found = tuple[Values, Sums]
"""Columns a customer, and sums over customers per draw: (S,) or, by segment, (S, K)."""

_BLOCK = 128
"""Rows a block at most: a thread's arrays then stay in its cache and in memory it already has."""
_SHARES = 8
_PURCHASES = ("silent", "purchases_if_alive")
_VALUE = ("discounted_purchases", "stayed_purchases", "residual_purchases")


def forecasts(
    plan: Plan,
    data: Customers,
    pool: Executor,
    done: Callable[[int], None],
    top: Array | None = None,
) -> Found:
    """Churn, purchases, value and, where there are any, segments of every customer.

    ``top`` (S,) is the own value above which a customer is in the top tenth; without it nobody knows.
    """
    rows = rows_of(plan, data)
    values: Values = {}
    by_customer: Values = {}
    sums: Sums = {}
    # the ages of the next stretch are computed while the blocks of this one are
    every = list(stretches(rows, plan.settings.chunk))
    asked = _asked(plan, rows, every[0], pool)
    for stretch, following in zip(every, [*every[1:], None], strict=True):
        ages = _ages(plan, rows, stretch, asked)
        if following is not None:
            asked = _asked(plan, rows, following, pool)
        work = partial(_block, plan, data, rows, top, ages)
        for piece in pool.map(work, blocks(rows, stretch, min(plan.settings.chunk, _BLOCK))):
            _put(values, piece.values, piece.rows, len(rows))
            _put(by_customer, piece.members, rows.of(piece.rows), len(data))
            _add(sums, piece.sums)
        done(int(rows.first[stretch.stop]))
    return {name: found[rows.row] for name, found in values.items()} | by_customer, sums


def memberships(
    plan: Plan, data: Customers | Attributes, pool: Executor, done: Callable[[int], None]
) -> Found:
    """Segments alone: models without purchases."""
    values: Values = {}
    sums: Sums = {}
    everybody = np.arange(len(data))
    places = [everybody[at : at + TOGETHER] for at in range(0, len(data), TOGETHER)]
    work = partial(members, plan, data, per_draw={}, row=everybody[:0])
    for place, (found, more) in zip(places, pool.map(work, places), strict=True):
        _put(values, found, place, len(data))
        _add(sums, more)
        done(int(place[-1]) + 1)
    return values, sums


def _put(into: Values, found: Values, at: slice | IntArray, size: int) -> None:
    for name, values in found.items():
        if name not in into:
            into[name] = np.empty(size, dtype=values.dtype)
        into[name][at] = values


def _add(into: Sums, found: Sums) -> None:
    for name, values in found.items():
        into[name] = into[name] + values if name in into else values


# ---------------------------------------------------------------- one stretch


@dataclass(frozen=True, slots=True)
class _Ages:
    """What (x, T) alone decides, for a stretch.

    ``values`` (A, S); ``gap`` (A,), the typical gap averaged over draws; ``place``, each row's age.
    """

    start: int
    values: Mapping[str, Array]
    gap: Array
    place: IntArray


def _of_purchase(plan: Plan) -> Mapping[str, Quantity]:
    return FAMILIES[plan.posterior.spec.parts["purchase"].family].quantities


def _distinct_ages(plan: Plan, rows: Rows, stretch: slice) -> tuple[Theta, Columns, IntArray]:
    """The parameters of a stretch, its distinct (x, T) and each row's place among them."""
    columns = rows.take(stretch)
    starts, place = runs(columns, AGE)
    ages = {name: columns[name][starts] for name in AGE}
    return plan.purchase[int(columns["purchase"][0])], ages, place


def _asked(plan: Plan, rows: Rows, stretch: slice, pool: Executor) -> Mapping[str, list[Any]]:
    """What (x, T) alone decides, under way, by name and share of the draws.

    The draws are divided among the cores: what one draw has in common is set up once.
    """
    theta, ages, _ = _distinct_ages(plan, rows, stretch)
    shares = [
        {name: values[share] for name, values in theta.items()}
        for share in np.array_split(plan.index, _SHARES)
    ]
    return {
        name: [pool.submit(_of_purchase(plan)[name].fn, one, ages, plan.clock) for one in shares]
        for name in (*_PURCHASES, *(_VALUE if plan.spend else ()))
    }


def _ages(plan: Plan, rows: Rows, stretch: slice, asked: Mapping[str, list[Any]]) -> _Ages:
    values = {
        name: np.concatenate([t.result().T for t in tasks], axis=1) for name, tasks in asked.items()
    }
    theta, ages, place = _distinct_ages(plan, rows, stretch)
    gap = mean_draw(_of_purchase(plan)["typical_gap"].fn(theta, ages, plan.clock))
    return _Ages(stretch.start, values, gap, place)


# ---------------------------------------------------------------- one block


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one block found: columns a row, columns a customer (segments), per-draw sums."""

    rows: slice
    values: Values
    members: Values
    sums: Sums


def _block(
    plan: Plan, data: Customers, rows: Rows, top: Array | None, ages: _Ages, at: slice
) -> _Piece:
    columns, weight = rows.take(at), rows.weight[at].astype(np.float64)
    starts, history = runs(columns, HISTORY)
    age = ages.place[at.start - ages.start :][starts]
    alive, overdue = _known(plan, columns, starts)
    churn, bought, means = combine.purchases(
        alive, ages.values["silent"], ages.values["purchases_if_alive"], age
    )
    values: Values = {
        "p_alive": means[0],
        "p_churn": means[1],
        **_ends("p_churn", churn, point=bool(plan.points)),
        "expected_purchases": means[2],
        **_ends("expected_purchases", bought, point=bool(plan.points)),
        "typical_gap_days": ages.gap[age] * plan.posterior.spec.unit_days,
        "overdue": overdue,
    }
    values = {name: found[history] for name, found in values.items()}
    per_draw: dict[str, Array] = {}
    exists = np.ones(len(weight), dtype=bool)
    if plan.spend:
        money, exists = _money(plan, columns, alive, history, ages, age, values)
        per_draw |= money
    sums = {name: _total(found, weight) for name, found in per_draw.items()}
    sums["expected_purchases"] = _total(bought, np.bincount(history, weights=weight))
    if plan.settings.predictive or plan.segments:
        per_draw |= {"p_churn": churn[history], "expected_purchases": bought[history]}
    if plan.settings.predictive:
        sums |= _realised(plan, columns, weight, top, per_draw, exists, values)
    found: Values = {}
    if plan.segments:
        customers = rows.of(at)
        found, more = members(plan, data, customers, per_draw, rows.row[customers] - at.start)
        sums |= more
    return _Piece(at, values, found, sums)


def _known(plan: Plan, columns: Columns, starts: IntArray) -> tuple[Array, Array]:
    """P(alive) of the distinct histories of a block, (H, S), and ``overdue`` averaged, (H,)."""
    theta = plan.purchase[int(columns["purchase"][0])]
    distinct = {name: columns[name][starts] for name in HISTORY}
    alive, overdue = (
        _of_purchase(plan)[name].fn(theta, distinct, plan.clock) for name in ("p_alive", "overdue")
    )
    return np.ascontiguousarray(alive.T), overdue.mean(axis=0)


def _money(
    plan: Plan,
    columns: Columns,
    alive: Array,
    history: IntArray,
    ages: _Ages,
    age: IntArray,
    values: Values,
) -> tuple[dict[str, Array], BoolArray]:
    """The columns of spend and value; value per draw, 0 where it does not exist; where it exists, (n,).

    Where the mean spend does not exist in some draw it does not exist: null, never a partial average.
    Totals are over the customers whose value exists; the document counts the others.
    """
    starts, money = runs(columns, MONEY)
    theta = plan.spend[int(columns["spend"][0])]
    distinct = {name: columns[name][starts] for name in MONEY}
    quantity = FAMILIES[plan.posterior.spec.parts["spend"].family].quantities["expected_spend"]
    spend = np.ascontiguousarray(quantity.fn(theta, distinct, plan.clock).T)
    spent = {
        "expected_spend": _mean(spend),
        **_ends("expected_spend", spend, point="spend" in plan.points),
    }
    values |= {name: found[money] for name, found in spent.items()}
    discounted, stayed, residual = (ages.values[name] for name in _VALUE)
    worth, risk, means = combine.values(
        alive, history, discounted, stayed, residual, age, spend, money, plan.factor
    )
    exists = np.isfinite(values["expected_spend"])
    values |= dict(zip(clv.VALUES, means, strict=True))
    interval = _ends("clv_mean", worth, point=bool(plan.points))
    values |= {end: np.where(exists, found, np.nan) for end, found in interval.items()}
    return {"clv": worth, "value_at_risk": risk}, exists


def _realised(
    plan: Plan,
    columns: Columns,
    weight: Array,
    top: Array | None,
    expected: Mapping[str, Array],
    exists: BoolArray,
    values: Values,
) -> Sums:
    """The columns of realised purchases and value; their sums over customers, per draw.

    Customers of one row share its draws, and have luck of their own. So a row adds its luck to the sum
    where it stands for one customer, and ``spread``, the variance of it, where it stands for several.
    Where value does not ``exist`` (n,) what is realised of it is null, and left out of the sums too.
    """
    sums: Sums = {}
    for name, found in futures(plan, columns).items():
        if name == "own_value":
            above = np.nan if top is None else _mean(found > top)
            values["p_top_decile"] = np.where(exists, above, np.nan)
            continue
        own = exists if name == "clv" else np.ones_like(exists)
        interval = _ends(PREDICTED[name], found)
        values |= {end: np.where(own, value, np.nan) for end, value in interval.items()}
        mean, luck = expected[name], np.where(own[:, None], found - expected[name], 0.0)
        one = weight == 1
        sums[f"realised_{name}"] = _total(mean, weight)
        sums[f"luck_{name}"] = _total(luck, one.astype(np.float64))
        sums[f"spread_{name}"] = np.array([weight[~one] @ _mean(np.square(luck[~one]))])
    return sums


PREDICTED = {"expected_purchases": "purchases_pred", "clv": "clv_pred"}
"""Columns of the interval of what is realised, by the expectation they belong to."""


def _mean(per_draw: npt.NDArray[Any]) -> Array:
    """Over the draws of (n, S): ``mean``, without what it costs to ask."""
    return np.asarray(np.add.reduce(per_draw, axis=1, dtype=np.float64) / per_draw.shape[1])


def _ends(name: str, per_draw: Array, *, point: bool = False) -> Values:
    """``name_lo`` and ``name_hi`` of (n, S); a ``point`` estimate has no interval: all NaN."""
    if point:
        return {f"{name}_{end}": np.full(len(per_draw), np.nan) for end in ("lo", "hi")}
    # a sort is vectorised, which a partition at several places is not
    low, high = ends(np.sort(per_draw, axis=1))
    return {f"{name}_lo": low, f"{name}_hi": high}


def _total(per_draw: Array, weight: Array) -> Array:
    """Weighted sum over rows, (S,): not by BLAS, whose order depends on threads."""
    return np.asarray(np.einsum("ns,n->s", per_draw, weight))
