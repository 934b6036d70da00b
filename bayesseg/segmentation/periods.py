"""Two periods of one purchase log, seen through windows of equal length. L7.

Features age with a customer: days since the first purchase only grow. A period is therefore a window
of its own, as if the log began with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from bayesseg.customers import Customers, purchase_days, shares_of
from bayesseg.errors import InputRejected
from bayesseg.ingest import Purchases


@dataclass(frozen=True, slots=True)
class Window:
    """Days ``first`` to ``last``, both included."""

    first: date
    last: date

    @property
    def days(self) -> int:
        """How many."""
        return (self.last - self.first).days + 1

    def of(self, days: int) -> Window:
        """Its last ``days`` days, whether or not it is that long."""
        return Window(self.last - timedelta(days=days - 1), self.last)


def windowed(purchases: Purchases, window: Window) -> Customers:
    """What the purchases within ``window`` say of each customer who bought in it.

    Raises:
        InputRejected: nobody bought in it.
    """
    ids, owner, day, net = purchase_days(purchases, window.last)
    inside = day >= window.first.toordinal()
    owner, day, net = owner[inside], day[inside], net[inside]
    if not len(owner):
        raise InputRejected(
            f"there is no purchase from {window.first} to {window.last}",
            fix="check --as-of and the days the data cover",
            code="no_purchases",
        )
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    counts = np.diff(starts, append=len(owner))
    first = day[starts]
    repeat = np.ones(len(owner), dtype=bool)
    repeat[starts] = False
    return Customers(
        ids=ids[owner[starts]],
        x=counts - 1,
        t_x=day[starts + counts - 1] - first,
        t_end=window.last.toordinal() - first,
        x_paid=np.add.reduceat((repeat & (net > 0)).astype(np.int64), starts),
        repeat_spend=np.add.reduceat(np.where(repeat, net, 0.0), starts),
        first_spend=net[starts],
        n_orders=counts,
        as_of=window.last,
        attributes=shares_of(purchases, window.last, window.first),
    )
