"""Customers: what the models see of each customer, checked once. L3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg._types import Columns, IntArray
from bayesseg.errors import InputRejected


@dataclass(frozen=True, slots=True)
class Attributes:
    """Facts about customers, one row each: ``columns`` by name, aligned with ``ids``.

    Numbers are float64 with NaN where missing; everything else is an object array of text or None.
    """

    ids: npt.NDArray[np.object_]
    columns: Mapping[str, npt.NDArray[Any]]
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Customers:
    """Purchase histories, one entry a customer, sorted by id.

    All arrays have shape (customers,). Times are whole days. ``provenance`` carries the accounting
    of the rows behind the table (JSON-able, no ids, no paths).

    Attributes:
        ids: text.
        x: repeat purchase days (distinct days after the first).
        t_x: days from first to last purchase day; 0 exactly where x is 0.
        t_end: days from first purchase day to ``as_of`` (the papers' T).
        x_paid: repeat purchase days with positive spend.
        repeat_spend: spend on repeat days.
        first_spend: spend on the first day.
        n_orders: orders, where the log has order ids; purchase days otherwise.
        as_of: last day observed, inclusive.
    """

    ids: npt.NDArray[np.object_]
    x: IntArray
    t_x: IntArray
    t_end: IntArray
    x_paid: IntArray
    repeat_spend: npt.NDArray[np.float64]
    first_spend: npt.NDArray[np.float64]
    n_orders: IntArray
    as_of: date
    attributes: Attributes | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checks = (
            ("t_x is negative", self.t_x < 0),
            ("the last purchase is after the end of observation", self.t_x > self.t_end),
            ("x is 0 but t_x is not, or the reverse", (self.x == 0) != (self.t_x == 0)),
            ("there are more purchase days than days", self.x > self.t_x),
            ("x_paid is outside 0..x", (self.x_paid < 0) | (self.x_paid > self.x)),
            ("spend is not a finite number", ~np.isfinite(self.repeat_spend + self.first_spend)),
            ("spend is negative", (self.repeat_spend < 0) | (self.first_spend < 0)),
        )
        for problem, rows in checks:
            if rows.any():
                raise InputRejected(
                    f"{int(rows.sum())} customers cannot be: {problem} "
                    f"(first at row {int(np.argmax(rows)) + 1} of the customer table)",
                    fix="check the customer summary: x repeat days, t_x and t_end in days",
                    code="impossible_history",
                )

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: npt.NDArray[Any]) -> Customers:
        """The customers at ``rows`` (indices or mask), in that order."""
        arrays = {name: getattr(self, name)[rows] for name in _PER_CUSTOMER}
        attributes = self.attributes and Attributes(
            self.attributes.ids[rows],
            {name: values[rows] for name, values in self.attributes.columns.items()},
            self.attributes.provenance,
        )
        return replace(self, **arrays, attributes=attributes)

    def columns(self, unit_days: float) -> Columns:
        """What families read, in paper notation and in the model's time unit.

        ``x, t_x, T`` describe purchases; ``n, S`` (paid repeat days and their spend) describe money.
        """
        return {
            "x": self.x.astype(np.float64),
            "t_x": self.t_x / unit_days,
            "T": self.t_end / unit_days,
            "n": self.x_paid.astype(np.float64),
            "S": self.repeat_spend,
        }


_PER_CUSTOMER = (
    "ids",
    "x",
    "t_x",
    "t_end",
    "x_paid",
    "repeat_spend",
    "first_spend",
    "n_orders",
)
