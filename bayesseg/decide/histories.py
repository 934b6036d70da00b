"""Customers as the models saw them, from a score table alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesseg._types import Array, IntArray
from bayesseg.customers import Customers
from bayesseg.errors import ArtefactBad
from bayesseg.families import FAMILIES
from bayesseg.posterior import Posterior
from bayesseg.scoring import Settings
from bayesseg.scoring.plan import Plan, plan_of
from bayesseg.scoring.rows import group_columns, places

if TYPE_CHECKING:
    import pandas as pd

_SAME = 1e-6
_PAIRS = 4096


def plan_for(posterior: Posterior, document: Mapping[str, Any]) -> Plan:
    """The draws and settings that a score file was made with, by the document beside it."""
    known = {one.name for one in fields(Settings)}
    settings = Settings(**{n: value for n, value in document["settings"].items() if n in known})
    released = document.get("released", {})
    return plan_of(posterior, settings, released, exactly=settings.draws)


def customers_of(scores: pd.DataFrame) -> Customers:
    """The histories in a score table, in its order; every repeat purchase taken for a paid one.

    The spend of first days is not there and NaN.
    """
    x = scores["frequency"].to_numpy(np.int64)
    mean = scores["monetary_value"].to_numpy(np.float64)
    paid = np.where(np.isfinite(mean), x, 0)
    return Customers(
        ids=scores["customer_id"].to_numpy(dtype=object),
        x=x,
        t_x=scores["recency"].to_numpy(np.int64),
        t_end=scores["T"].to_numpy(np.int64),
        x_paid=paid,
        repeat_spend=np.where(paid > 0, paid * np.nan_to_num(mean), 0.0),
        first_spend=np.full(len(scores), np.nan),
        n_orders=scores["n_orders"].to_numpy(np.int64),
        as_of=as_of(scores),
        provenance={"columns": {"customer_id": {"value": "customer_id"}}},
    )


def as_of(scores: pd.DataFrame) -> date:
    """The day of a score table, whatever file it was read from; of an empty one the first there is."""
    return date.min if scores.empty else date.fromisoformat(str(scores["as_of"].iloc[0])[:10])


def with_paid(plan: Plan, customers: Customers, expected: Array) -> Customers:
    """``customers`` with the paid repeat days that their ``expected_spend`` (N,) tells.

    A score table has the mean of the paid days, not how many of the repeat days were paid. The mean
    spend expected under the model depends on it: where all paid does not give ``expected``, the count
    that does is taken.

    Raises:
        ArtefactBad: no count does: the scores were made with something else than this plan.
    """
    groups = group_columns(plan, customers)["spend"]
    mean = customers.repeat_spend / np.maximum(customers.x_paid, 1)
    paid = customers.x_paid.copy()
    off = np.flatnonzero(_distance(plan, groups, paid, mean, expected) > _SAME)
    for start in range(0, len(off), _PAIRS):
        rows = off[start : start + _PAIRS]
        most = paid[rows]
        row = np.repeat(np.arange(len(rows)), most)
        count = np.arange(most.sum()) - np.repeat(np.cumsum(most) - most, most) + 1
        who = rows[row]
        far = _distance(plan, groups[who], count, mean[who], expected[who])
        order = np.lexsort((far, row))
        best = order[np.unique(row[order], return_index=True)[1]]
        if len(best) < len(rows) or (far[best] > _SAME).any():
            raise _other(len(rows), "an expected spend")
        paid[rows] = count[best]
    return replace(customers, x_paid=paid, repeat_spend=paid * mean)


def refuse_others(plan: Plan, customers: Customers, alive: Array) -> None:
    """Refuse histories of which the plan does not say P(alive) as the scores do, ``alive`` (N,).

    Only attributes can be others than those scored: what follows from them decides the parameters.

    Raises:
        ArtefactBad: they are.
    """
    if len(plan.purchase) == 1:
        return
    columns = {**group_columns(plan, customers), **customers.columns(plan.posterior.spec.unit_days)}
    quantity = FAMILIES[plan.posterior.spec.parts["purchase"].family].quantities["p_alive"]
    off = 0
    for rows in places({"purchase": columns["purchase"]}, _PAIRS):
        some = {name: values[rows] for name, values in columns.items()}
        found = quantity.fn(plan.purchase[int(some["purchase"][0])], some, plan.clock)
        off += int((np.abs(found.mean(axis=0) - alive[rows]) > _SAME).sum())
    if off:
        raise _other(off, "a P(alive)")


def _other(count: int, what: str) -> ArtefactBad:
    return ArtefactBad(
        f"{count:,} customers have {what} that this run does not give them",
        fix="give the run, and the attributes, that the scores were made with",
        code="scores_of_another_run",
    )


def _distance(plan: Plan, group: IntArray, paid: IntArray, mean: Array, expected: Array) -> Array:
    """How far the mean spend under so many paid days is from the ``expected``, relative, (N,)."""
    quantity = FAMILIES[plan.posterior.spec.parts["spend"].family].quantities["expected_spend"]
    found = np.empty(len(paid))
    for rows in places({"spend": group}, _PAIRS):
        columns = {"n": paid[rows].astype(np.float64), "S": paid[rows] * mean[rows]}
        theta = plan.spend[int(group[rows[0]])]
        found[rows] = quantity.fn(theta, columns, plan.clock).mean(axis=0)
    return np.asarray(np.abs(found / expected - 1.0))
