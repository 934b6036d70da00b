"""How long a customer may be left waiting: the day on which silence says that they are gone."""

from __future__ import annotations

import numpy as np

from bayesseg._types import Array, IntArray
from bayesseg.customers import Customers
from bayesseg.decide.budget import BoolArray
from bayesseg.decide.lists import GONE
from bayesseg.families import FAMILIES
from bayesseg.scoring.plan import Plan
from bayesseg.scoring.rows import HISTORY, group_columns, places, runs

LONGEST = 3_650
_ROWS = 1_000


def patience(plan: Plan, customers: Customers, border: float = GONE) -> IntArray:
    """Days of further silence until P(alive) is below ``border``, the first such day, (N,).

    P(alive) is the posterior mean, A(x, t_x, T + d) with the history as it stands: it falls with every
    silent day. 0 where it is below already, -1 where it is not within ten years (of a BG/NBD customer
    who bought once it never is).
    """
    unit = plan.posterior.spec.unit_days
    read = {
        "purchase": group_columns(plan, customers)["purchase"],
        **customers.columns(unit),
    }
    order = np.lexsort([read[name] for name in ("purchase", *HISTORY)])
    ordered = {name: read[name][order] for name in ("purchase", *HISTORY)}
    starts, index = runs(ordered, tuple(ordered))
    distinct = {name: values[starts] for name, values in ordered.items()}
    days = np.empty(len(starts), dtype=np.int64)
    for rows in places({"purchase": distinct["purchase"]}, _ROWS):
        some = {name: values[rows] for name, values in distinct.items()}
        days[rows] = _first(plan, some, unit, border)
    found = np.empty(len(customers), dtype=np.int64)
    found[order] = days[index]
    return found


def _first(plan: Plan, columns: dict[str, Array], unit: float, border: float) -> IntArray:
    """Bisection on whole days: P(alive) falls with every day."""
    family = FAMILIES[plan.posterior.spec.parts["purchase"].family]
    theta = plan.purchase[int(columns["purchase"][0])]

    def gone(rows: IntArray, days: IntArray) -> BoolArray:
        later = {name: values[rows] for name, values in columns.items()}
        later["T"] = later["T"] + days / unit
        alive = family.quantities["p_alive"].fn(theta, later, plan.clock).mean(axis=0)
        return np.asarray(alive < border)

    every = np.arange(len(columns["x"]))
    low = np.full(len(every), -1)
    high = np.full(len(every), LONGEST)
    never = ~gone(every, high)
    while (open_ := np.flatnonzero((high - low > 1) & ~never)).size:
        middle = (low[open_] + high[open_]) // 2
        is_gone = gone(open_, middle)
        high[open_[is_gone]], low[open_[~is_gone]] = middle[is_gone], middle[~is_gone]
    return np.where(never, -1, high)
