"""Customers from a summary made elsewhere: what ``bayesseg sql`` gives, or a table of lifetimes. L3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg import spans
from bayesseg._types import TIME_UNITS, Array, IntArray
from bayesseg.customers import Customers
from bayesseg.errors import InputRejected, UsageError
from bayesseg.ingest import Source, finding, read_table

OURS: tuple[str, ...] = ("x", "t_x", "t_end", "x_paid", "repeat_spend")
"""Columns of ``bayesseg sql``, in days; ``customer_id`` or ``n`` and others may stand beside them."""
MONEY: tuple[str, ...] = ("revenue", "margin")
"""What spend may be: all that was paid, or what costs leave of it."""
THEIRS: tuple[str, ...] = ("frequency", "recency", "t", "monetary_value")
"""Columns of lifetimes and of score tables, in a unit that the caller must name."""
_FRACTION = 0.2
"""Days by which a time may miss a whole day: weeks and months are often written with two decimals."""


def read_summary(
    source: Source,
    *,
    as_of: date | str | None = None,
    time_unit: str | None = None,
    money: str | None = None,
    customer_id: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    table: str | None = None,
    query: str | None = None,
    decimal: str | None = None,
) -> Customers:
    """Read a customer summary: one row a customer, or one a distinct history with its number ``n``.

    Names of columns are compared without case. Known are ``x, t_x, t_end`` (or ``T``), ``x_paid``,
    ``repeat_spend`` in days, beside them ``first_spend``, ``n_orders``, ``as_of`` and ``money`` (the
    one word ``revenue`` or ``margin``); or ``frequency, recency, T, monetary_value`` in ``time_unit``,
    where every repeat day of somebody who spent counts as paid. ``first_spend`` is NaN throughout
    where the source does not say it.

    Args:
        source: whatever ``read_attributes`` reads.
        as_of: last day observed, inclusive; needed where the source has no such column.
        time_unit: ``day``, ``week`` or ``month``; needed for lifetimes' names.
        money: ``revenue`` or ``margin``; needed where the source has no such column.
        customer_id: name of the id column; guessed when not given. Without one rows are numbered.
        encoding: of a text file, when it is not to be guessed.
        delimiter: of a text file, when it is not to be guessed.
        table: of a database, ``schema.name``.
        query: one SELECT that a database answers, in place of ``table``.
        decimal: mark in a text file, when it is not to be guessed.

    Raises:
        InputRejected: unreadable source, missing columns, values that no history has.
        UsageError: no ``as_of``, ``time_unit`` or ``money`` where one is needed.
    """
    ids, columns, provenance = read_table(
        source,
        customer_id,
        encoding=encoding,
        delimiter=delimiter,
        table=table,
        query=query,
        decimal=decimal,
    )
    facts = _folded(columns)
    unit = _unit(facts, time_unit)
    day, origin = _as_of(facts, as_of)
    kind = _money(facts, money)
    counts = _whole(facts, "n") if "n" in facts else np.ones(len(ids), dtype=np.int64)
    named = provenance["columns"]["customer_id"]["value"] is not None
    if (counts < 1).any() or (named and (counts > 1).any()):
        raise InputRejected(
            "n is below 1" if (counts < 1).any() else "a row has an id, and n customers",
            fix="give one row a customer with an id, or distinct histories with n and no id",
            code="impossible_history",
        )
    found = _ours(facts) if unit is None else _theirs(facts, TIME_UNITS[unit])
    n = int(counts.sum())
    arrays: dict[str, Any] = {name: np.repeat(values, counts) for name, values in found.items()}
    ids = ids if named else _numbered(n)
    order = np.argsort(ids, kind="stable")
    return Customers(
        ids=ids[order],
        **{name: values[order] for name, values in arrays.items()},
        as_of=day,
        provenance={
            **provenance,
            "columns": provenance["columns"] if named else {},
            "days": {
                "first": (day - timedelta(int(found["t_end"].max()))).isoformat(),
                "last": str(day),
            },
            "customers": {"seen": n, "with_purchases": n, "no_purchase_left": 0},
            "findings": _findings(n, unit, arrays),
            "as_of": day.isoformat(),
            "as_of_origin": origin,
            "policies": {"money": kind},
            "summary": {"ids": named, "time_unit": unit or "day", "histogram": "n" in facts},
        },
    )


def _folded(columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Columns by their names in small letters, as warehouses fold them in several ways."""
    table = {name.strip().lower(): values for name, values in columns.items()}
    if "t_end" not in table and "x" in table and "t" in table:
        table["t_end"] = table.pop("t")
    return table


def _unit(table: Mapping[str, Any], given: str | None) -> str | None:
    """None for our own names, which are in days; else the unit of lifetimes' names."""
    missing = {names: [n for n in names if n not in table] for names in (OURS, THEIRS)}
    if given is not None and given not in TIME_UNITS:
        raise UsageError(f"--time-unit {given!r} is unknown", fix=f"choose {', '.join(TIME_UNITS)}")
    if not missing[OURS]:
        if given not in (None, "day"):
            raise UsageError(
                f"--time-unit {given}, but t_x and t_end are days",
                fix="leave it out, or name the columns frequency, recency, T, monetary_value",
            )
        return None
    if missing[THEIRS]:
        nearest = min((OURS, THEIRS), key=lambda names: len(missing[names]))
        raise InputRejected(
            f"this is no customer summary: {', '.join(missing[nearest])} missing",
            fix="give the columns x, t_x, t_end, x_paid, repeat_spend in days (bayesseg sql prints the "
            "query), or frequency, recency, T, monetary_value with --time-unit",
            code="columns_unknown",
        )
    if given is None:
        raise UsageError(
            "recency and T may be days or weeks", fix=f"give --time-unit {', '.join(TIME_UNITS)}"
        )
    return given


def _as_of(table: Mapping[str, npt.NDArray[Any]], given: date | str | None) -> tuple[date, str]:
    wanted = None if given is None else spans.day(given)
    said = _constant(table, "as_of", "give one summary, as of one day", lambda value: value[:10])
    found = None if said is None else spans.day(said)
    if found is not None and wanted not in (None, found):
        raise UsageError(
            f"--as-of {wanted}, but the summary is as of {found}",
            fix="leave it out, or make the summary as of that day",
        )
    if found is None and wanted is None:
        raise UsageError("the summary does not say its last day observed", fix="give --as-of DAY")
    day = found or wanted
    assert day is not None
    if day > date.today():
        raise UsageError(f"--as-of {day} is in the future", fix="give the last day of the data")
    return day, "given" if found is None else "column as_of"


def _money(table: Mapping[str, npt.NDArray[Any]], given: str | None) -> str:
    choice = f"choose {' or '.join(MONEY)}"
    if given not in (None, *MONEY):
        raise UsageError(f"--money {given!r} is unknown", fix=choice)
    found = _constant(table, "money", "revenue and margin cannot be told apart later: give one")
    if found not in (None, *MONEY):
        raise InputRejected(f"column money says {found!r}", fix=choice, code="money_unclear")
    if found is not None and given not in (None, found):
        raise UsageError(
            f"--money {given}, but the summary says {found}",
            fix="leave it out, or correct the summary",
        )
    kind = found or given
    if kind is None:
        raise UsageError(
            "the summary does not say whether its money is revenue or margin",
            fix="give --money revenue, or --money margin where costs were taken off",
        )
    return kind


def _constant(
    table: Mapping[str, npt.NDArray[Any]],
    name: str,
    fix: str,
    plain: Callable[[str], str] = lambda value: value.strip().lower(),
) -> str | None:
    """The one value of a column that has the same in every row; None where there is no such column."""
    said = {plain(str(value)) for value in table.get(name, ())}
    if len(said) > 1:
        raise InputRejected(
            f"{name} differs between rows: {', '.join(sorted(said)[:3])}",
            fix=fix,
            code=f"{name}_unclear",
        )
    return next(iter(said), None)


def _numbers(table: Mapping[str, npt.NDArray[Any]], name: str) -> Array:
    values = table[name]
    if values.dtype != np.float64:
        import pandas as pd

        row = int(np.argmin(np.isfinite(pd.to_numeric(values, errors="coerce")))) + 1
        raise InputRejected(
            f"{name} is text: what stands in row {row} is no finite number",
            fix="give numbers, or --decimal",
            code="column_type",
        )
    _no(np.isnan(values), f"{name} is missing")
    return np.asarray(values)


def _no(bad: npt.NDArray[np.bool_], problem: str) -> None:
    """Refuse the table where any row is ``bad``."""
    if bad.any():
        raise InputRejected(
            f"{problem} in {int(bad.sum()):,} rows (first in row {int(np.argmax(bad)) + 1})",
            fix="correct the summary where it is made",
            code="impossible_history",
        )


def _whole(table: Mapping[str, npt.NDArray[Any]], name: str, unit_days: float = 1.0) -> IntArray:
    """Whole counts or days, none negative."""
    values = _numbers(table, name) * unit_days
    near = np.rint(values)
    off = np.abs(values - near) > (_FRACTION if unit_days > 1.0 else 0.0)
    _no(off | (values < 0), f"{name} is no whole number" + (" of days" if unit_days > 1.0 else ""))
    return near.astype(np.int64)


def _ours(table: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    whole = {name: _whole(table, name) for name in ("x", "t_x", "t_end", "x_paid")}
    return {**whole, "repeat_spend": _numbers(table, "repeat_spend"), **_rest(table, whole["x"])}


def _theirs(table: Mapping[str, npt.NDArray[Any]], unit_days: float) -> dict[str, Any]:
    x = _whole(table, "frequency")
    mean = table["monetary_value"]
    if mean.dtype == np.float64:  # nobody who came once has a mean; some tables say 0, some nothing
        mean = np.where((x == 0) & np.isnan(mean), 0.0, mean)
    mean = _numbers({"monetary_value": mean}, "monetary_value")
    return {
        "x": x,
        "t_x": _whole(table, "recency", unit_days),
        "t_end": _whole(table, "t", unit_days),
        "x_paid": np.where(mean > 0, x, 0),
        "repeat_spend": np.where(x > 0, np.round(mean * x, 4), 0.0),
        **_rest(table, x),
    }


def _rest(table: Mapping[str, npt.NDArray[Any]], x: IntArray) -> dict[str, npt.NDArray[Any]]:
    """What the table may leave out: the first day's spend and the orders."""
    known = "first_spend" in table
    return {
        "first_spend": _numbers(table, "first_spend") if known else np.full(len(x), np.nan),
        "n_orders": _whole(table, "n_orders") if "n_orders" in table else x + 1,
    }


def _numbered(count: int) -> npt.NDArray[np.object_]:
    """1, 2, ... as texts that sort as the numbers do."""
    width = len(str(count))
    return np.array([f"{i:0{width}d}" for i in range(1, count + 1)], dtype=object)


def _findings(
    count: int, unit: str | None, arrays: Mapping[str, npt.NDArray[Any]]
) -> list[dict[str, Any]]:
    fresh = int((arrays["t_end"] == 0).sum())
    found = [
        finding(
            "no_log",
            "note",
            count,
            f"a summary of {count:,} customers: without the log there are no backtests, so forecasts "
            "stay unassessed, and no weekly totals",
            "bayesseg validate reads a log",
        )
    ]
    if unit is not None:
        found.append(
            finding(
                "paid_assumed",
                "note",
                count,
                "every repeat purchase of those who spent counts as paid: the table does not say",
            )
        )
    if np.isnan(arrays["first_spend"]).all():
        found.append(
            finding(
                "first_spend_unknown",
                "note",
                count,
                "the first day's spend is not there: mean and total spend are no features",
                "add first_spend (bayesseg sql without --histogram has it)",
            )
        )
    if fresh:
        found.append(
            finding("no_time", "note", fresh, f"{fresh:,} customers came on the last day: T is 0")
        )
    return found
