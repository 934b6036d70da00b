"""Customers with one history share one row: sorted, distinct, weighted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg import population
from bayesseg._types import Columns, IntArray
from bayesseg.customers import Customers
from bayesseg.scoring.plan import Plan, group_state

AGE = ("x", "T")
HISTORY = ("x", "T", "t_x")
MONEY = ("n", "S")
_CUSTOMERS = 20_000


@dataclass(frozen=True, slots=True)
class Rows:
    """Distinct rows in the order (groups, x, T, t_x, n, S), so that equal prefixes are neighbours.

    Attributes:
        columns: what families read, each (U,), with ``purchase`` and ``spend``, the groups.
        weight: customers of each row, (U,).
        row: the row of each customer, (N,).
        customers: customers in the order of their rows, (N,); those of row u start at ``first[u]``.
        first: (U + 1,).
    """

    columns: Mapping[str, npt.NDArray[Any]]
    weight: IntArray
    row: IntArray
    customers: IntArray
    first: IntArray

    def __len__(self) -> int:
        return len(self.weight)

    def of(self, rows: slice) -> IntArray:
        """The customers of some rows."""
        return self.customers[self.first[rows.start] : self.first[rows.stop]]

    def take(self, rows: slice) -> dict[str, npt.NDArray[Any]]:
        """The columns of some rows."""
        return {name: values[rows] for name, values in self.columns.items()}


def rows_of(plan: Plan, data: Customers) -> Rows:
    """The distinct rows of ``data``; money parts customers only where the model reads it."""
    read = data.columns(plan.posterior.spec.unit_days)
    columns: dict[str, npt.NDArray[Any]] = {**group_columns(plan, data)}
    columns |= {name: read[name] for name in (*HISTORY, *(MONEY if plan.spend else ()))}
    order = np.lexsort(tuple(reversed(columns.values())))
    ordered = {name: values[order] for name, values in columns.items()}
    starts, index = runs(ordered, tuple(ordered))
    row = np.empty(len(data), dtype=np.int64)
    row[order] = index
    first = np.append(starts, len(data))
    distinct = {name: values[starts] for name, values in ordered.items()}
    return Rows(distinct, np.diff(first), row, order, first)


def group_columns(plan: Plan, data: Customers) -> dict[str, IntArray]:
    """The group of each customer, by part."""
    spec = plan.posterior.spec
    return {
        part: population.groups(spec.parts[part], group_state(plan.posterior, part), data)
        for part in ("purchase", *(("spend",) if plan.spend else ()))
    }


def runs(columns: Columns, names: Sequence[str]) -> tuple[IntArray, IntArray]:
    """Neighbours that agree in ``names``: where each run starts, and the run of each row."""
    new = np.zeros(len(columns[names[0]]), dtype=bool)
    new[:1] = True
    for name in names:
        values = columns[name]
        new[1:] |= values[1:] != values[:-1]
    return np.flatnonzero(new), np.cumsum(new) - 1


def places(groups: Columns, size: int) -> Iterator[IntArray]:
    """Rows of one group each, at most ``size`` together, in the order in which they stand."""
    order = np.lexsort(tuple(groups.values()))
    starts, _ = runs({name: values[order] for name, values in groups.items()}, tuple(groups))
    for group in np.split(order, starts[1:]):
        for at in range(0, len(group), size):
            yield group[at : at + size]


def stretches(rows: Rows, size: int) -> Iterator[slice]:
    """Consecutive rows of one group of each part, of at most ``size`` distinct (x, T) each."""
    parts = [name for name in ("purchase", "spend") if name in rows.columns]
    starts, _ = runs(rows.columns, [*parts, *AGE])
    groups, _ = runs({part: rows.columns[part][starts] for part in parts}, parts)
    edges = np.append(starts, len(rows))
    for low, high in zip(groups, [*groups[1:], len(starts)], strict=True):
        for place in range(low, high, size):
            yield slice(int(edges[place]), int(edges[min(place + size, high)]))


def blocks(rows: Rows, stretch: slice, size: int) -> Iterator[slice]:
    """``stretch`` cut into blocks of at most ``size`` rows and of some 20,000 customers."""
    start = stretch.start
    while start < stretch.stop:
        full = int(np.searchsorted(rows.first, rows.first[start] + _CUSTOMERS, side="right")) - 1
        stop = min(start + size, max(full, start + 1), stretch.stop)
        yield slice(start, stop)
        start = stop
