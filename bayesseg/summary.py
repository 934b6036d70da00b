"""Customers from a summary made elsewhere: what ``bayesseg sql`` gives, or a table of lifetimes. L3."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg import spans
from bayesseg._types import TIME_UNITS, Array, IntArray
from bayesseg.customers import Customers, refuse_impossible, unlike_histories
from bayesseg.errors import InputRejected, UsageError
from bayesseg.ingest import Objections, Source, finding
from bayesseg.ingest.attributes import Table, table_of

OURS: tuple[str, ...] = ("x", "t_x", "t_end", "x_paid", "repeat_spend")
"""Columns of ``bayesseg sql``, in days; ``customer_id`` or ``n`` and others may stand beside them."""
MONEY: tuple[str, ...] = ("revenue", "margin")
"""What spend may be: all that was paid, or what costs leave of it."""
THEIRS: tuple[str, ...] = ("frequency", "recency", "t", "monetary_value")
"""Columns of lifetimes and of score tables, in a unit that the caller must name."""
_TOO_LONG = "the first purchase is before the year 1"
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
    suppress: Objections | None = None,
    people: bool = True,
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
        customer_id: name of the id column; guessed when not given. Without one a row stands for ``n``
            customers without a name (one where there is no ``n``).
        encoding: of a text file, when it is not to be guessed.
        delimiter: of a text file, when it is not to be guessed.
        table: of a database, ``schema.name``.
        query: one SELECT that a database answers, in place of ``table``.
        decimal: mark in a text file, when it is not to be guessed.
        suppress: who is to be left out.
        people: whether customers are told apart. A fit of purchases and spend needs them not: equal
            rows are then read once, with their number, ids are checked and left where they are, and the
            first day's spend is not read.

    Raises:
        InputRejected: unreadable source, missing columns, values that no history has.
        UsageError: no ``as_of``, ``time_unit`` or ``money`` where one is needed.
    """
    given: dict[str, Any] = {"as_of": as_of, "time_unit": time_unit, "money": money}
    with table_of(
        source,
        customer_id,
        encoding=encoding,
        delimiter=delimiter,
        table=table,
        query=query,
        decimal=decimal,
        suppress=suppress,
    ) as rows:
        if not people:
            names = {name: name.strip().lower() for name in rows.values}
            read, said = (
                [name for name, known in names.items() if known in some] for some in (_READ, _SAID)
            )
            columns, times = rows.counted(read)
            columns |= {name: rows.distinct(name, _SAID[names[name]]) for name in said}
            nobody = np.full(len(times), "", dtype=object)
            try:
                return customers_in(nobody, columns, rows.provenance, **given, times=times)
            except InputRejected:
                pass  # of all rows, the first that is wrong can be named
        return customers_in(*rows.whole(), rows.provenance, **given)


_SAID: Mapping[str, Callable[[str], str]] = {
    "as_of": lambda value: value[:10],
    "money": lambda value: value.strip().lower(),
}
"""Columns that say one thing of all rows, and what of each text counts."""
_READ = frozenset((*OURS, *THEIRS, "n"))
"""What a fit without people reads of each row; ``t`` is ``t_end`` by another name."""


def customers_in(
    ids: npt.NDArray[np.object_],
    columns: Mapping[str, npt.NDArray[Any]],
    provenance: Mapping[str, Any],
    *,
    as_of: date | str | None = None,
    time_unit: str | None = None,
    money: str | None = None,
    times: IntArray | None = None,
) -> Customers:
    """The customers of a table that was read, or of some of its rows; see :func:`read_summary`.

    ``times`` is how many rows of the table each stands for, where people are not told apart.
    """
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
    counts = counts if times is None else counts * times
    arrays = _ours(facts) if unit is None else _theirs(facts, TIME_UNITS[unit])
    _no(arrays["t_end"] >= day.toordinal(), _TOO_LONG)
    apart = named and times is None
    if apart:
        order = np.argsort(ids, kind="stable")
        ids, arrays = ids[order], {name: values[order] for name, values in arrays.items()}
    else:
        ids = np.full(len(counts), "", dtype=object)
    return Customers(
        ids=ids,
        **arrays,
        n=None if apart else counts,
        as_of=day,
        provenance={
            **provenance,
            "columns": provenance["columns"] if named else {},
            "as_of": day.isoformat(),
            "as_of_origin": origin,
            "policies": {"money": kind},
            "summary": {"ids": named, "time_unit": unit or "day", "histogram": "n" in facts},
            **account(
                provenance,
                day,
                unit,
                int(counts.sum()),
                int(arrays["t_end"].max()),
                int(counts[arrays["t_end"] == 0].sum()),
                first_known=times is not None or not np.isnan(arrays["first_spend"]).all(),
            ),
        },
    )


def settled(
    table: Table, as_of: date | str | None, time_unit: str | None, money: str | None
) -> tuple[date, str | None, str]:
    """The last day observed, the unit of lifetimes (None: days by our names) and the kind of money."""
    facts = _folded(
        {
            name: np.empty(0) if plain is None else table.distinct(name, plain)
            for name in table.values
            for plain in [_SAID.get(name.strip().lower())]
        }
    )
    unit = _unit(facts, time_unit)
    return _as_of(facts, as_of)[0], unit, _money(facts, money)


def account(
    provenance: Mapping[str, Any],
    day: date,
    unit: str | None,
    count: int,
    oldest: int,
    fresh: int,
    *,
    first_known: bool,
) -> dict[str, Any]:
    """What the provenance of a summary says of its customers: days, numbers and findings.

    Args:
        provenance: of the table.
        day: last day observed.
        unit: of a table of lifetimes; None where times are in days.
        count: customers.
        oldest: the longest time since a first purchase, in days.
        fresh: customers who came on the last day.
        first_known: whether the spend of the first day is there.
    """
    return {
        "days": {"first": (day - timedelta(oldest)).isoformat(), "last": str(day)},
        "customers": {"seen": count, "with_purchases": count, "no_purchase_left": 0},
        "findings": [
            *provenance["findings"],
            *_findings(count, unit, fresh, first_known=first_known),
        ],
    }


@dataclass(frozen=True, slots=True)
class Histories:
    """Distinct purchase histories, each once, sorted by (x, t_end, t_x).

    Attributes:
        x: repeat purchase days, (H,).
        t_x: days from the first to the last purchase day, (H,).
        t_end: days from the first purchase day to ``as_of``, (H,).
        n: customers of each, (H,); rows of a table that does not say count as one.
        as_of: last day observed, inclusive.
        provenance: the account of the table behind them (JSON-able).
    """

    x: IntArray
    t_x: IntArray
    t_end: IntArray
    n: IntArray
    as_of: date
    provenance: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.x)


KEY: tuple[str, ...] = ("x", "t_x", "t_end")
"""What a history is: two customers that agree in these, in days, are one to a purchase model."""


def read_histories(
    source: Source,
    *,
    as_of: date | str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    query: str | None = None,
    decimal: str | None = None,
) -> Histories:
    """Read the distinct histories of a table: ``x, t_x, t_end`` (or ``T``) in days, however often each.

    What ``bayesseg sql --histories`` gives, a summary of customers, or any table with these columns;
    ``n``, ``as_of`` and ``money`` are read where they stand beside them, all else is left alone.

    Args:
        source: whatever ``read_summary`` reads.
        as_of: last day observed, inclusive; needed where the source has no such column.
        encoding: of a text file, when it is not to be guessed.
        delimiter: of a text file, when it is not to be guessed.
        query: one SELECT that a database answers.
        decimal: mark in a text file, when it is not to be guessed.

    Raises:
        InputRejected: unreadable source, missing columns, values that no history has.
        UsageError: no ``as_of`` where one is needed.
    """
    with table_of(
        source, encoding=encoding, delimiter=delimiter, query=query, decimal=decimal
    ) as table:
        provenance = table.provenance
        facts = _folded({name: np.array([name], dtype=object) for name in table.values})
        if missing := [name for name in KEY if name not in facts]:
            raise InputRejected(
                f"this is no table of histories: {', '.join(missing)} missing",
                fix="give the columns x, t_x, t_end in days: bayesseg sql --histories prints the query",
                code="columns_unknown",
            )
        for name in facts.keys() & _SAID.keys():
            facts[name] = table.distinct(facts[name][0], _SAID[name])
        read = [name for name in (*KEY, "n") if name in facts]
        columns = table.columns([facts[name][0] for name in read])
        facts |= dict(zip(read, columns.values(), strict=True))
    day, origin = _as_of(facts, as_of)
    kind = _constant(facts, "money", "revenue and margin cannot be told apart later: give one")
    x, t_x, t_end = (_whole(facts, name) for name in KEY)
    _no(t_end >= day.toordinal(), _TOO_LONG)
    n = _whole(facts, "n") if "n" in facts else np.ones(len(x), dtype=np.int64)
    refuse_impossible((("n is below 1", n < 1), *unlike_histories(x, t_x, t_end)))
    order = np.lexsort((t_x, t_end, x))
    x, t_x, t_end = (values[order] for values in (x, t_x, t_end))
    other = np.ones(len(x), dtype=bool)
    other[1:] = (x[1:] != x[:-1]) | (t_end[1:] != t_end[:-1]) | (t_x[1:] != t_x[:-1])
    first = np.flatnonzero(other)
    return Histories(
        x[first],
        t_x[first],
        t_end[first],
        np.add.reduceat(n[order], first),
        day,
        {
            **provenance,
            "columns": {},
            "as_of": day.isoformat(),
            "as_of_origin": origin,
            "policies": {} if kind is None else {"money": kind},
            "ids": provenance["columns"]["customer_id"]["value"] is not None,
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
    said = _constant(table, "as_of", "give one summary, as of one day")
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


def _constant(table: Mapping[str, npt.NDArray[Any]], name: str, fix: str) -> str | None:
    """The one value of a column that has the same in every row; None where there is no such column."""
    import pandas as pd

    values = pd.unique(table[name]) if name in table else ()
    said = {_SAID[name](str(value)) for value in values}
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
    n_orders = _whole(table, "n_orders") if "n_orders" in table else x + 1
    _no(n_orders < 1, "n_orders is below 1")
    return {
        "first_spend": _numbers(table, "first_spend") if known else np.full(len(x), np.nan),
        "n_orders": n_orders,
    }


def _findings(
    count: int, unit: str | None, fresh: int, *, first_known: bool
) -> list[dict[str, Any]]:
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
    if not first_known:
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
