"""Customers: what the models see of each customer, checked once. L3."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from bayesseg import spans, sql
from bayesseg._types import Columns, IntArray
from bayesseg.errors import InputRejected, UsageError
from bayesseg.ingest import Objections, Purchases, Source, finding, many, read_table, schema, shares


@dataclass(frozen=True, slots=True)
class Attributes:
    """Facts about customers, one row each: ``columns`` by name, aligned with ``ids``.

    Numbers are float64 with NaN where missing; everything else is an object array of text or None.
    Columns in ``dated`` were made of purchase lines as of one day, and are never joined to another.
    """

    ids: npt.NDArray[np.object_]
    columns: Mapping[str, npt.NDArray[Any]]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    dated: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: npt.NDArray[Any]) -> Attributes:
        """The customers at ``rows`` (indices or mask), in that order."""
        columns = {name: values[rows] for name, values in self.columns.items()}
        return replace(self, ids=self.ids[rows], columns=columns)


@dataclass(frozen=True, slots=True)
class Customers:
    """Purchase histories, one entry a customer, sorted by id; or distinct ones of ``n`` customers each.

    All arrays have shape (rows,). Times are whole days. ``provenance`` carries the accounting
    of the rows behind the table (JSON-able, no ids, no paths).

    Attributes:
        ids: text; empty where a row stands for several customers.
        x: repeat purchase days (distinct days after the first).
        t_x: days from first to last purchase day; 0 exactly where x is 0.
        t_end: days from first purchase day to ``as_of`` (the papers' T).
        x_paid: repeat purchase days with positive spend.
        repeat_spend: spend on repeat days.
        first_spend: spend on the first day; NaN throughout where a summary does not say it.
        n_orders: orders, where the log has order ids; purchase days otherwise.
        as_of: last day observed, inclusive.
        n: how many customers a row stands for; None for one each. Nobody among them has a name, so they
            carry the fit of purchases and spend, and nothing that is about somebody.
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
    n: IntArray | None = None

    def __post_init__(self) -> None:
        first = self.first_spend if self.first_known else np.zeros(len(self))
        checks = (
            *unlike_histories(self.x, self.t_x, self.t_end),
            ("x_paid is outside 0..x", (self.x_paid < 0) | (self.x_paid > self.x)),
            ("spend is not a finite number", ~np.isfinite(self.repeat_spend + first)),
            ("spend is negative", (self.repeat_spend < 0) | (first < 0)),
            ("n is below 1", self.counts < 1),
        )
        refuse_impossible(checks)

    def __len__(self) -> int:
        """Rows; ``total`` is how many customers they stand for."""
        return len(self.ids)

    @property
    def counts(self) -> IntArray:
        """Customers of each row, (rows,)."""
        return np.broadcast_to(np.int64(1), len(self)) if self.n is None else self.n

    @property
    def total(self) -> int:
        """All customers."""
        return int(self.counts.sum())

    @property
    def first_known(self) -> bool:
        """Whether the spend of the first day is known; a summary made elsewhere may leave it out."""
        return len(self) == 0 or not np.isnan(self.first_spend).all()

    @property
    def paid_share(self) -> float:
        """Share of repeat purchase days that were not free; money forecasts carry it."""
        return float(self.x_paid @ self.counts) / max(int(self.x @ self.counts), 1)

    def take(self, rows: npt.NDArray[Any]) -> Customers:
        """The customers at ``rows`` (indices or mask), in that order."""
        names = _PER_CUSTOMER if self.n is None else (*_PER_CUSTOMER, "n")
        arrays = {name: getattr(self, name)[rows] for name in names}
        attributes = None if self.attributes is None else self.attributes.take(rows)
        return replace(self, **arrays, attributes=attributes)

    def columns(self, unit_days: float) -> Columns:
        """What families read, in paper notation and in the model's time unit.

        ``x, t_x, T`` describe purchases; ``n, S`` (paid repeat days and their spend) describe money;
        ``weight`` is there where rows stand for several customers.
        """
        weight = {} if self.n is None else {"weight": self.n.astype(np.float64)}
        return {
            "x": self.x.astype(np.float64),
            "t_x": self.t_x / unit_days,
            "T": self.t_end / unit_days,
            "n": self.x_paid.astype(np.float64),
            "S": self.repeat_spend,
            **weight,
        }


type Checks = Iterable[tuple[str, npt.NDArray[np.bool_]]]
"""What is wrong with a row, and the rows of which it is true."""


def unlike_histories(x: IntArray, t_x: IntArray, t_end: IntArray) -> Checks:
    """What no purchase history has, each argument (N,)."""
    return (
        ("t_x is negative", t_x < 0),
        ("the last purchase is after the end of observation", t_x > t_end),
        ("x is 0 but t_x is not, or the reverse", (x == 0) != (t_x == 0)),
        ("there are more purchase days than days", x > t_x),
    )


def refuse_impossible(checks: Checks) -> None:
    """Refuse a table where any of ``checks`` is true of a row."""
    for problem, rows in checks:
        if rows.any():
            raise InputRejected(
                f"{int(rows.sum())} customers cannot be: {problem} "
                f"(first at row {int(np.argmax(rows)) + 1} of the customer table)",
                fix="check the customer summary: x repeat days, t_x and t_end in days",
                code="impossible_history",
            )


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

_COUNTS = ("x", "t_x", "t_end", "x_paid", "n_orders")
_ABSENT: Mapping[str, float | None] = {"f": np.nan, "O": None}
_LONE_DAY = 30
"""A last day further than this from the day before it, and than any two others, needs ``as_of``."""


def summarise(purchases: Purchases, as_of: date | str | None = None) -> Customers:
    """What was known of each customer on ``as_of`` (inclusive; by default the last day in the data).

    Rows recorded later are counted as ``after_as_of``; rows of days that refunds took back as
    ``refund_unmatched``; customers with no purchase left in ``provenance["customers"]``.

    Raises:
        InputRejected: ``as_of`` is before all data, no purchase is left, or the last day in the
            data stands alone and may be a fault.
        UsageError: ``as_of`` is no date, or in the future.
    """
    connection, told = summed(purchases, as_of)
    day = date.fromisoformat(told["as_of"])
    counts = ", ".join(f"CAST({name} AS INTEGER) AS {name}" for name in _COUNTS)
    table = connection.execute(
        f"SELECT customer_id, {counts}, repeat_spend, first_spend FROM ({sql.summary(day)}) "
        "ORDER BY customer_id"
    ).fetchnumpy()
    ids = _ids(purchases, table["customer_id"])
    attributes, levels = _shares(purchases, connection, ids, day)
    return Customers(
        ids=ids,
        **{name: table[name].astype(np.int64) for name in _COUNTS},
        first_spend=table["first_spend"],
        repeat_spend=table["repeat_spend"],
        as_of=day,
        attributes=attributes,
        provenance={**told, **levels},
    )


def summed(
    purchases: Purchases, as_of: date | str | None = None
) -> tuple[duckdb.DuckDBPyConnection, dict[str, Any]]:
    """A cursor with the table ``bought`` that ``sql.summary`` reads, and its account."""
    day, origin = _as_of(purchases, as_of)
    connection = _bought(purchases, day)
    account = _account(purchases, connection, day)
    if not account["customers"]["with_purchases"]:
        (sales,) = _row(purchases, "SELECT count(*) FROM bayesseg_source WHERE amount >= 0", {})
        raise InputRejected(
            f"no customer has a purchase by {day}"
            if sales
            else "every amount is negative, and a negative amount is a refund",
            fix=f"the data cover {_days(purchases)}: choose another --as-of"
            if sales
            else "write sales as positive amounts",
            code="no_purchases",
        )
    told = {"as_of": day.isoformat(), "as_of_origin": origin, "weekly": _weekly(connection)}
    return connection, {**account, **told}


def shares_of(purchases: Purchases, until: date, since: date = date.min) -> Attributes | None:
    """What ``Options.shares`` asks for, of purchase days in [``since``, ``until``]; sorted by id.

    Shares sum to 1 over the levels of a column; see :func:`bayesseg.ingest.shares`.
    """
    connection = _bought(purchases, until)
    buyers = connection.execute(
        "SELECT DISTINCT customer_id FROM bought WHERE purchase_day >= $since ORDER BY customer_id",
        {"since": since},
    ).fetchnumpy()["customer_id"]
    return _shares(purchases, connection, _ids(purchases, buyers), until, since)[0]


def _shares(
    purchases: Purchases,
    connection: duckdb.DuckDBPyConnection,
    ids: npt.NDArray[np.object_],
    until: date,
    since: date = date.min,
) -> tuple[Attributes | None, dict[str, Any]]:
    """Shares of the customers of ``bought``, and their levels as an entry of the provenance."""
    if not (asked := purchases.provenance.get("shares")):
        return None, {}
    columns, levels = shares(connection, asked, until, since)
    return Attributes(ids, columns, dated=frozenset(columns)), {"shares": levels}


def _account(
    purchases: Purchases,
    connection: duckdb.DuckDBPyConnection,
    day: date,
) -> dict[str, Any]:
    """The account of ``purchases`` carried on to ``day``: rows, customers, findings."""
    late, seen, net = _row(
        purchases,
        "SELECT count(*) FILTER (recorded_day > $day), "
        "count(DISTINCT customer_id) FILTER (recorded_day <= $day), "
        f"CAST(coalesce(sum({_money(purchases)}) FILTER (recorded_day <= $day), 0) AS DOUBLE) "
        "FROM bayesseg_source",
        {"day": day},
    )
    used, days, buyers, fresh, spend = _fetched(
        connection.execute(
            "SELECT CAST(coalesce(sum(row_count), 0) AS BIGINT), count(*), "
            "count(*) FILTER (purchase_day = first_day), "
            "count(*) FILTER (first_day = $day AND purchase_day = $day), "
            "CAST(coalesce(sum(net), 0) AS DOUBLE) FROM bought",
            {"day": day},
        )
    )
    rows = purchases.provenance["rows"]
    unmatched = rows["used"] - late - used
    moved = {"after_as_of": late, "refund_unmatched": unmatched}
    lossy, loss = _losses(purchases, connection)
    lost = net - spend - loss
    findings = [
        finding(
            "refund_unmatched",
            "note",
            unmatched,
            f"{many(unmatched, 'row')} on days that refunds took back: no purchase, "
            f"{round(lost, 2) + 0.0:,.2f} in all",
        ),
        finding(
            "sold_at_a_loss",
            "note",
            lossy,
            f"{many(lossy, 'purchase')} that cost more than they brought ({loss:,.2f}): purchases of no "
            "value",
        ),
        finding(
            "no_purchase_left",
            "note",
            seen - buyers,
            f"{many(seen - buyers, 'customer')} left out: no purchase remains",
        ),
        finding(
            "lines_of_a_day",
            "note",
            used - days,
            f"{many(used, 'row')} are {many(days, 'purchase')}: what a customer buys in one day is one",
        ),
        finding(
            "first_seen_last_day",
            "note",
            fresh,
            f"{many(fresh, 'customer')} first seen on {day}, the last day: too late to say whether they "
            "come back",
        ),
    ]
    return {
        **purchases.provenance,
        "rows": {
            "in": rows["in"],
            "used": used,
            "excluded": {**rows["excluded"], **{name: n for name, n in moved.items() if n}},
        },
        "customers": {
            "seen": seen,
            "with_purchases": buyers,
            "no_purchase_left": seen - buyers,
        },
        "findings": [*purchases.provenance["findings"], *(f for f in findings if f["count"])],
    }


def activity(
    purchases: Purchases, after: date, until: date
) -> tuple[npt.NDArray[np.object_], IntArray, npt.NDArray[np.float64]]:
    """Who bought in (``after``, ``until``], on how many days and for how much; sorted by id."""
    table = (
        _bought(purchases, until)
        .execute(
            "SELECT customer_id, count(*) AS days, CAST(sum(net) AS DOUBLE) AS spend FROM bought "
            "WHERE purchase_day > $after GROUP BY customer_id ORDER BY customer_id",
            {"after": after},
        )
        .fetchnumpy()
    )
    return _ids(purchases, table["customer_id"]), table["days"], table["spend"]


def purchase_days(
    purchases: Purchases, until: date
) -> tuple[npt.NDArray[np.object_], IntArray, IntArray, npt.NDArray[np.float64]]:
    """Every purchase day known on ``until``, sorted by customer and day.

    Returns:
        Ids (N,) as ``summarise`` would give them, and for each of the M purchase days the index of
        its customer, the day as a proleptic ordinal and the net spend, each (M,).
    """
    table = (
        _bought(purchases, until)
        .execute(
            "SELECT customer_id, purchase_day = first_day AS first, "
            "date_diff('day', DATE '1970-01-01', purchase_day) AS day, "
            "CAST(net AS DOUBLE) AS net FROM bought ORDER BY customer_id, purchase_day"
        )
        .fetchnumpy()
    )
    first = np.asarray(table["first"], dtype=bool)
    ids = _ids(purchases, table["customer_id"][first])
    day = table["day"].astype(np.int64) + date(1970, 1, 1).toordinal()
    return ids, np.cumsum(first) - 1, day, table["net"]


def sampled(purchases: Purchases, most: int, seed: int) -> Purchases:
    """The purchases of about ``most`` customers drawn at random, or all where there are no more.

    The draw is by a hash of the id. ``provenance["share"]`` is the share of customers kept.
    """
    everybody = purchases.provenance["ids"]
    if everybody <= most:
        return purchases
    table = (
        purchases.connection.cursor()
        .sql(
            "SELECT * FROM bayesseg_source JOIN bayesseg_ids USING (customer_id) "
            "WHERE hash(id || $salt) <= $last",
            params={"salt": f"/{seed}", "last": int(most / everybody * (2**64 - 1))},
        )
        .to_arrow_table()
    )
    connection = duckdb.connect()
    connection.register("kept", table)
    connection.execute("CREATE TABLE bayesseg_source AS SELECT * EXCLUDE (id) FROM kept")
    connection.execute("CREATE TABLE bayesseg_ids AS SELECT DISTINCT customer_id, id FROM kept")
    connection.unregister("kept")
    (ids,) = _fetched(connection.execute("SELECT count(*) FROM bayesseg_ids"))
    return Purchases(
        connection,
        {
            **purchases.provenance,
            "rows": {"in": table.num_rows, "used": table.num_rows, "excluded": {}},
            "ids": int(ids),
            "share": ids / everybody,
        },
    )


def weekly(purchases: Purchases, as_of: date | None = None) -> dict[str, list[Any]]:
    """Totals of each week up to ``as_of``, quiet weeks included (JSON-able).

    Returns:
        ``week`` (its Monday, ISO), ``purchase_days``, ``spend``, ``new_customers``.
    """
    day = as_of or date.fromisoformat(purchases.provenance["days"]["last"])
    return _weekly(_bought(purchases, day))


def _weekly(connection: duckdb.DuckDBPyConnection) -> dict[str, list[Any]]:
    table = connection.execute(
        "SELECT CAST(date_trunc('week', purchase_day) AS DATE) AS week, "
        "count(*) AS purchase_days, CAST(sum(net) AS DOUBLE) AS spend, "
        "count(*) FILTER (purchase_day = first_day) AS new_customers "
        "FROM bought GROUP BY week ORDER BY week"
    ).fetchnumpy()
    weeks = table["week"].astype("datetime64[D]")
    if not len(weeks):
        return {"week": [], "purchase_days": [], "spend": [], "new_customers": []}
    place = (weeks - weeks[0]).astype(np.int64) // 7
    every = weeks[0] + 7 * np.arange(place[-1] + 1)
    totals: dict[str, list[Any]] = {"week": [str(week) for week in every]}
    for name in ("purchase_days", "spend", "new_customers"):
        full = np.zeros(len(every), dtype=table[name].dtype)
        full[place] = table[name]
        totals[name] = full.tolist()
    return totals


def read_attributes(
    source: Source,
    customer_id: str | None = None,
    *,
    like: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    sheet: str | None = None,
    table: str | None = None,
    query: str | None = None,
    decimal: str | None = None,
    suppress: Objections | None = None,
) -> Attributes:
    """Read facts about customers, one row each; see :func:`bayesseg.ingest.read_table`.

    ``provenance["schema"]`` says what each column is taken for; see :func:`bayesseg.ingest.schema`.

    Raises:
        InputRejected: unreadable source, missing or repeated ids, an infinite number.
    """
    ids, columns, provenance = read_table(
        source,
        customer_id,
        like=like,
        encoding=encoding,
        delimiter=delimiter,
        sheet=sheet,
        table=table,
        query=query,
        decimal=decimal,
        suppress=suppress,
    )
    return Attributes(ids, columns, {**provenance, "schema": schema(columns)})


def with_attributes(customers: Customers, attributes: Attributes) -> Customers:
    """``customers`` with these attributes beside those they have, joined by id; NaN or None where none.

    Both sides' leftovers are counted in ``provenance["attributes"]``, of several tables in
    ``provenance["attributes"]["further"]``.

    Raises:
        InputRejected: customers or attributes have no ids, these are of accounts and the customers
            groups of them, no id of the two agrees, or the customers have a column of that name.
    """
    if customers.n is not None:
        raise InputRejected(
            "attributes are joined by id, and the summary has none",
            fix="give a summary of one row a customer with an id (bayesseg sql without --histogram)",
            code="columns_unknown",
        )
    if attributes.provenance.get("columns", {}).get("customer_id", {"value": ""})["value"] is None:
        raise InputRejected(
            "no column of the attributes looks like the customer id; the columns are "
            f"{', '.join(attributes.columns)}",
            fix="call it as the purchases do (--customer-id there), or customer_id",
            code="columns_unknown",
        )
    _refuse_accounts(customers, attributes)
    had = customers.attributes or Attributes(customers.ids, {})
    own = {n: values for n, values in attributes.columns.items() if n not in attributes.dated}
    if attributes.dated and not own:
        return customers
    if twice := sorted(own.keys() & had.columns.keys()):
        raise InputRejected(
            f"{', '.join(map(repr, twice[:5]))} of the attributes are there already",
            fix="rename the columns: each name may stand for one fact",
            code="attributes_twice",
        )
    order = np.argsort(attributes.ids, kind="stable")
    place = np.searchsorted(attributes.ids, customers.ids, sorter=order)
    rows = order[np.minimum(place, len(order) - 1)]
    found = attributes.ids[rows] == customers.ids
    columns = {
        name: np.where(found, values[rows], np.array(_ABSENT[values.dtype.kind], values.dtype))
        for name, values in own.items()
    }
    matched = int(found.sum())
    join = {
        "joined": matched,
        "customers_without": len(customers) - matched,
        "rows_without_customer": len(attributes.ids) - matched,
    }
    if not matched:
        raise InputRejected(
            "no customer of the purchases has attributes: the ids do not agree",
            fix="check the id column of the attributes (leading zeros, prefixes)",
            code="attributes_unmatched",
        )
    few = finding(
        "attributes_few",
        "warning",
        (len(customers) - matched) * (2 * matched < len(customers)),
        f"attributes of {matched:,} customers of {len(customers):,} only",
        "check the id column of the attributes (leading zeros, prefixes)",
    )
    findings = [*attributes.provenance.get("findings", ()), *([few] if few["count"] else [])]
    entry = {**attributes.provenance, "join": join, "findings": findings}
    first = customers.provenance.get("attributes")
    if first is not None:
        entry = {**first, "further": [*first.get("further", ()), entry]}
    return replace(
        customers,
        attributes=replace(
            had, columns={**had.columns, **columns}, provenance=attributes.provenance
        ),
        provenance={**customers.provenance, "attributes": entry},
    )


def _refuse_accounts(customers: Customers, attributes: Attributes) -> None:
    """Refuse facts of accounts about customers that are groups: accounts of one group may differ."""
    columns = customers.provenance.get("columns", {})
    own = attributes.provenance.get("columns", {}).get("customer_id", {}).get("value")
    group = columns.get("group", {}).get("value")
    if group is not None and own == columns["customer_id"]["value"] != group:
        raise InputRejected(
            f"the attributes are of accounts ({own!r}), and customers are groups of them ({group!r})",
            fix=f"give one row a group, its id in a column {group!r} (the account's where it has none)",
            code="attributes_of_accounts",
        )


def _bought(purchases: Purchases, day: date) -> duckdb.DuckDBPyConnection:
    """A cursor with its own table ``bought``: the purchase days known on ``day``."""
    connection = purchases.connection.cursor()
    orders = purchases.provenance["policies"]["refunds_within"] == "order"
    made = sql.bought(day, orders=orders, costs=_has_costs(purchases))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE bought AS {made}")
    return connection


def money_of(provenance: Mapping[str, Any] | None) -> str | None:
    """``margin`` where costs were taken off each line, else ``revenue``; None where nothing says it."""
    money = (provenance or {}).get("policies", {}).get("money")
    return None if money is None else str(money)


def _has_costs(purchases: Purchases) -> bool:
    return money_of(purchases.provenance) == "margin"


def _money(purchases: Purchases) -> str:
    return "amount - cost" if _has_costs(purchases) else "amount"


def _losses(purchases: Purchases, connection: duckdb.DuckDBPyConnection) -> tuple[int, float]:
    """How many purchases had a negative margin, and how much it was in all."""
    if not _has_costs(purchases):
        return 0, 0.0
    days, loss = _fetched(
        connection.execute(
            "SELECT count(*), CAST(coalesce(sum(loss), 0) AS DOUBLE) FROM bought WHERE loss < 0"
        )
    )
    return int(days), float(loss)


def _ids(purchases: Purchases, customers: npt.NDArray[Any]) -> npt.NDArray[np.object_]:
    """The ids of ``customers``, numbers in ascending order, as text."""
    table = (
        purchases.connection.cursor()
        .execute("SELECT customer_id, id FROM bayesseg_ids ORDER BY customer_id")
        .fetchnumpy()
    )
    place = np.searchsorted(table["customer_id"], customers)
    return np.asarray(np.asarray(table["id"], dtype=object)[place])


def _row(purchases: Purchases, query: str, values: Mapping[str, Any]) -> tuple[Any, ...]:
    return _fetched(purchases.connection.execute(query, values))


def _fetched(answer: duckdb.DuckDBPyConnection) -> tuple[Any, ...]:
    row = answer.fetchone()
    assert row is not None
    return tuple(row)


def _days(purchases: Purchases) -> str:
    days = purchases.provenance["days"]
    return f"{days['first']} to {days['last']}"


def _as_of(purchases: Purchases, given: date | str | None) -> tuple[date, str]:
    """The last day observed and its origin."""
    last = date.fromisoformat(purchases.provenance["days"]["last"])
    if given is None:
        _refuse_lone_day(purchases, last)
        return last, "last day in the data"
    day = spans.day(given)
    if day > max(date.today(), last):
        raise UsageError(f"--as-of {day} is in the future", fix="give the last day of the data")
    if day < date.fromisoformat(purchases.provenance["days"]["first"]):
        raise InputRejected(
            f"--as-of {day} is before all purchases",
            fix=f"the data cover {_days(purchases)}",
            code="as_of_too_early",
        )
    return day, "given"


def _refuse_lone_day(purchases: Purchases, last: date) -> None:
    before, gap, widest = _row(
        purchases,
        "SELECT max(day) FILTER (day < $last), max(gap) FILTER (day = $last), "
        "coalesce(max(gap) FILTER (day < $last), 0) FROM (SELECT day, "
        "day - lag(day) OVER (ORDER BY day) AS gap FROM "
        "(SELECT DISTINCT recorded_day AS day FROM bayesseg_source))",
        {"last": last},
    )
    if gap is not None and gap > max(_LONE_DAY, widest):
        raise InputRejected(
            f"the last day in the data, {last}, is {gap} days after the one before ({before})",
            fix=f"give --as-of: the last day observed, for example {before} or {last}",
            code="as_of_unclear",
        )
