"""Is a table of customers long and rich enough to fit? L4.

Thresholds for a caution beyond the ten repeat buyers are those that Klaviyo publishes for its own
predictions (500 customers, 180 days of history, an order in the last 30 days, customers with three
orders, of whom 20 are asked here).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from bayesseg.customers import Customers
from bayesseg.errors import InputRejected

PARTS = ("purchase", "spend")


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition on the data: ``level`` is ``ready``, ``caution`` or ``blocked``."""

    name: str
    level: str
    value: float
    minimum: float
    message: str
    fix: str = ""


def readiness(customers: Customers, parts: Collection[str] = PARTS) -> tuple[Gate, ...]:
    """Every condition with its number and verdict, the blocking ones first.

    ``parts`` are those to be fitted: the conditions on money are asked for ``"spend"`` only.
    """
    gates = [check(customers) for check in _FIRST]
    if all(gate.level != "blocked" for gate in gates):  # else the rest only repeats what is wrong
        gates += [check(customers) for check in (*_PURCHASE, *(_SPEND if "spend" in parts else ()))]
    return tuple(sorted(gates, key=lambda gate: _LEVELS.index(gate.level)))


def require_ready(customers: Customers, parts: Collection[str] = PARTS) -> tuple[Gate, ...]:
    """The cautions; raises where the data cannot identify the models.

    Raises:
        InputRejected: with every blocking condition and its number (exit 3).
    """
    gates = readiness(customers, parts)
    if blocked := [gate for gate in gates if gate.level == "blocked"]:
        raise InputRejected(
            "the data cannot carry a fit: " + "; ".join(gate.message for gate in blocked),
            fix=blocked[0].fix,
            code="not_ready",
            details={"gates": {gate.name: gate.value for gate in blocked}},
        )
    return tuple(gate for gate in gates if gate.level == "caution")


_LEVELS = ("blocked", "caution", "ready")
_LONGER = "give a longer or larger purchase log"


def _gate(
    name: str, value: float, blocks: float, cautions: float, message: str, fix: str = _LONGER
) -> Gate:
    level = "blocked" if value < blocks else "caution" if value < cautions else "ready"
    minimum = blocks if level == "blocked" else cautions
    return Gate(name, level, float(value), float(minimum), message, fix if level != "ready" else "")


def _customers(c: Customers) -> Gate:
    n = c.total
    said = f"{n:,} customers (500 make it firm)" if n > 1 else "there is one customer only"
    return _gate("customers", n, 2, 500, said)


def _repeat_buyers(c: Customers) -> Gate:
    n = int(c.counts[c.x > 0].sum())
    if n == 0:
        said = "nobody bought on a second day: dropout is not identifiable"
    elif n < 10:
        said = f"{n} repeat buyer{'s' * (n != 1)}, at least 10 are needed"
    else:
        wide = ": priors dominate and intervals are wide" if n < 50 else ""
        said = f"{n:,} repeat buyers{wide}"
    role = c.provenance.get("columns", {}).get("customer_id", {})
    alone = n == 0 and len(c) == c.provenance.get("rows", {}).get("used")  # a number of the row?
    fix = f"give --customer-id COLUMN (guessed: {role['value']})" if role else _LONGER
    guessed = alone and role.get("origin") == "guessed"
    return _gate("repeat_buyers", n, 10, 50, said, fix if guessed else _LONGER)


def _frequent_buyers(c: Customers) -> Gate:
    n = int(c.counts[c.x >= 2].sum())
    return _gate("frequent_buyers", n, 0, 20, f"{n:,} customers bought on three days or more")


def _distinct_days(c: Customers) -> Gate:
    n = len(np.unique(np.concatenate([c.t_end, c.t_end - c.t_x])))
    said = (
        f"first and last purchases fall on {n:,} days" if n > 1 else "all purchases are of one day"
    )
    return _gate("distinct_days", n, 2, 2, said)


def _history(c: Customers) -> Gate:
    days = int(c.t_end.max(initial=0))
    return _gate("history_days", days, 1, 180, f"{days:,} days of history (180 make it firm)")


def _recent(c: Customers) -> Gate:
    silence = int((c.t_end - c.t_x).min(initial=0)) if len(c) else 0
    level = "caution" if silence > 30 else "ready"
    said = f"the last purchase is {silence} days before {c.as_of} (30 at most make it firm)"
    fix = "check --as-of: it is the last day observed, not today" if level == "caution" else ""
    return Gate("silence_days", level, float(silence), 30.0, said, fix)


def _histories(c: Customers) -> Gate:
    days = int(c.t_end.max(initial=0)) + 1
    n = len(np.unique((c.x * days + c.t_x) * days + c.t_end))  # one number a history: sorts faster
    said = f"{n:,} distinct histories" if n > 1 else "all customers have the same history"
    return _gate("distinct_histories", n, 2, 2, said)


def _dropouts(c: Customers) -> Gate:
    """A customer silent at the end may have left; where nobody is, leaving cannot be learned."""
    silent = float(c.counts[c.t_x < c.t_end].sum() / c.total) if len(c) else 0.0
    if silent == 0.0:
        said = "every customer bought on the last day: dropout is not identifiable"
    else:
        said = f"{silent:.0%} of the customers did not buy on the last day"
    fix = "give --as-of: a last day after the last purchase of some customers"
    return _gate("dropout_seen", silent, np.nextafter(0.0, 1.0), 0.05, said, fix)


def _paying(c: Customers) -> Gate:
    n = int(c.counts[c.x_paid > 0].sum())
    if n == 0:
        said = "no repeat purchase has a positive amount: spend cannot be modelled"
    else:
        said = f"{n:,} repeat buyers with positive spend (50 make spend firm)"
    return _gate("paying_repeat_buyers", n, 2, 50, said, "check the amount column (--amount)")


def _spread(c: Customers) -> Gate:
    paid = c.x_paid > 0
    mean, counts = c.repeat_spend[paid] / c.x_paid[paid], c.counts[paid]
    spread = 0.0
    if len(mean):
        middle = np.average(mean, weights=counts)
        spread = float(np.sqrt(np.average((mean - middle) ** 2, weights=counts)) / middle)
    said = f"mean spend varies by {spread:.0%} between customers"
    if len(mean) and spread < 1e-9:
        said = f"all {int(counts.sum()):,} repeat buyers spend {mean[0]:,.2f}: spend cannot be modelled"
    return _gate("spend_spread", spread, 1e-9, 0.01, said, "check the amount column (--amount)")


_FIRST: tuple[Callable[[Customers], Gate], ...] = (_customers, _distinct_days, _repeat_buyers)
_PURCHASE: tuple[Callable[[Customers], Gate], ...] = (
    _histories,
    _dropouts,
    _frequent_buyers,
    _history,
    _recent,
)
_SPEND: tuple[Callable[[Customers], Gate], ...] = (_paying, _spread)
