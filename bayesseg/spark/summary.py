"""The customer summary on Spark: the audited SQL, with every line accounted for. L10."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from bayesseg import spans, sql
from bayesseg.errors import InputRejected, UsageError
from bayesseg.ingest.clean import FIXES
from bayesseg.ingest.ids import NOBODY
from bayesseg.ingest.numbers import MISSING
from bayesseg.spark.session import configured, refuse_unlike_ids, session_of, told

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from bayesseg.customers import Customers

_ZONE, _ANSI = "spark.sql.session.timeZone", "spark.sql.ansi.enabled"
_DAY = r"^\s*\d{4}-\d{1,2}-\d{1,2}"
"""How a text of a day begins: Spark would take a year alone for its first day, an hour for today's."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Customers as of one day, lazily: Spark reckons a table when it is asked.

    Attributes:
        customers: one row a customer: ``customer_id, x, t_x, t_end, x_paid, repeat_spend, first_spend,
            n_orders, row_count, as_of, money``, times in days.
        distinct: the weighted table: distinct ``x, t_x, t_end, x_paid, repeat_spend`` and their number
            ``n``; no ids.
        account: lines by what became of them: ``used``, or the reason why not; they add up to all.
        as_of: last day observed, inclusive.
        provenance: the same and the policies, as a fit keeps them (JSON-able, no ids).
    """

    customers: DataFrame
    distinct: DataFrame
    account: Mapping[str, int]
    as_of: date
    provenance: Mapping[str, Any]


def summary(
    spark_df: DataFrame,
    *,
    customer_id: str,
    date: str,
    amount: str,
    as_of: date | str,
    order_id: str | None = None,
    cost: str | None = None,
    group: str | None = None,
    extract: str | None = None,
    tz: str | None = None,
    refunds: str = "net",
    dedupe: bool = False,
    min_date: date | str = "1980-01-01",
    keep_id: Sequence[str] = (),
    drop_missing_id: bool = False,
    max_bad: float = 0.01,
) -> Summary:
    """Sum up purchase lines by the audited SQL; the account of lines is asked for at once.

    What cannot be read as a day or a number counts as missing. Days are those of ``tz``; moments of a
    column without a zone, and dates, are taken as they are written.

    Args:
        spark_df: purchase lines, one row each.
        customer_id: column of the customer; ids are text.
        date: column of the day: a date, a moment, or text in the order year-month-day.
        amount: column of the money, or columns joined by ``*``, ``+`` and ``-``.
        as_of: last day observed, inclusive.
        order_id: column that groups lines into orders; refunds are dated at their order.
        cost: column of what the line cost, or an expression: money is then margin.
        group: column of what several accounts belong to, which becomes the customer.
        extract: column naming overlapping extracts: each order is kept from the fullest.
        tz: zone of the business day, needed for moments that are instants.
        refunds: ``net`` or ``drop`` negative amounts.
        dedupe: keep one of several exactly equal lines.
        min_date: lines of days before it are faults.
        keep_id: customers although their id is a word for nobody.
        drop_missing_id: accept any share of lines without an id.
        max_bad: refuse above this share of unusable lines.

    Raises:
        InputRejected: too many lines are unusable, none is usable, a column is not there, or ids are
            of a type that has garbled them (DOUBLE).
        UsageError: an unknown policy or zone, or instants without ``tz``.
    """
    if refunds not in ("net", "drop"):
        raise UsageError(
            f"--refunds {refunds!r} cannot be asked of Spark", fix="choose net or drop"
        )
    if not 0.0 <= max_bad <= 1.0:
        raise UsageError(f"--max-bad {max_bad:g} is not a share", fix="give 0 to 1")
    if tz is not None:
        sql.known_zone(tz)
    session, day, view = session_of(spark_df), spans.day(as_of), f"bayesseg_{secrets.token_hex(8)}"
    _refuse_future(day)
    for option, column in (
        ("--customer-id", customer_id),
        ("--group", group),
        ("--order-id", order_id),
    ):
        if column is not None:
            refuse_unlike_ids(spark_df, column, option)
    log = sql.Log(
        view,
        customer_id,
        date,
        amount,
        order_id,
        cost=cost,
        group=group,
        extract=extract,
        drop_refunds=refunds == "drop",
        dedupe=dedupe,
        min_date=spans.day(min_date),
        nobody=tuple(NOBODY),
        keep_ids=tuple(keep_id),
        nothing=MISSING,
    )
    # both are bound where a text is analysed: an instant falls on its day in ``tz``, and what cannot be
    # read is null, hence counted, where the ANSI mode would break off at the first
    zone = {} if tz is None else {_ZONE: tz}
    with told("the purchase lines"), configured(session, {**zone, _ANSI: "false"}):
        lines = _dated(spark_df, date, tz)
        lines.createTempView(view)
        try:
            tables = {
                kind: session.sql(sql.statement(log, day, "spark", kind, dbt=False))
                for kind in ("customers", "histogram", "account")
            }
        finally:
            session.catalog.dropTempView(view)
        found = {row["reason"]: int(row["n_rows"]) for row in tables["account"].collect()}
    account = {reason: n for reason, n in sorted(found.items()) if n}
    _refuse_bad(account, max_bad, drop_missing_id=drop_missing_id)
    provenance = _provenance(log, account, day, tz, max_bad, drop_missing_id=drop_missing_id)
    return Summary(tables["customers"], tables["histogram"], account, day, provenance)


def collected(made: Summary, *, weighted: bool = True) -> Customers:
    """The customers on this machine: of the weighted table without ids, else one row each.

    A fit of purchases and spend reads the weighted table; one of segments needs every customer.
    """
    from dataclasses import replace

    from bayesseg.summary import read_summary

    with told("the summary"):
        table = (made.distinct if weighted else made.customers.drop("row_count")).toArrow()
    found = read_summary(table)
    entries = {name: made.provenance[name] for name in ("policies", "rows", "source")}
    return replace(found, provenance={**found.provenance, **entries})


def _dated(frame: DataFrame, column: str, zone: str | None) -> DataFrame:
    """``frame`` with a day or moment: texts are read as moments where a zone says of where.

    A text that does not begin with a whole day, year-month-day, is null.
    """
    from pyspark.sql.functions import col, when

    name = column.strip('"')
    types = {field.name.lower(): field.dataType.typeName() for field in frame.schema}
    kind = types.get(name.lower())
    if kind is None:
        raise InputRejected(
            f"there is no column {name!r}; the columns are {', '.join(frame.columns)}",
            fix="give the name of one of them",
            code="column_missing",
        )
    if kind == "timestamp" and zone is None:
        raise UsageError(
            f"{name} holds instants, and on which day they fall depends on the zone",
            fix="give --tz, such as Europe/Paris",
        )
    if kind not in ("string", "varchar", "char"):
        return frame
    text = col(f"`{name}`")
    whole = when(text.rlike(_DAY), text)
    return frame.withColumn(name, whole if zone is None else whole.cast("timestamp"))


def _refuse_future(day: date) -> None:
    if day > date.today():
        raise UsageError(f"--as-of {day} is in the future", fix="give the last day of the data")


def _refuse_bad(account: Mapping[str, int], most: float, *, drop_missing_id: bool) -> None:
    total = sum(account.values())
    if not total:
        raise InputRejected("there is no purchase line", fix="check the source", code="no_rows")
    bad = {
        reason: n
        for reason, n in account.items()
        if reason in FIXES and not (reason == "id_missing" and drop_missing_id)
    }
    share = sum(bad.values()) / total
    if share > most:
        said = "; ".join(f"{reason.replace('_', ' ')} in {n:,} rows" for reason, n in bad.items())
        raise InputRejected(
            f"{sum(bad.values()):,} of {total:,} rows ({share:.1%}) cannot be used: {said}",
            fix="; ".join(FIXES[reason] for reason in bad)
            + (f"; or set more aside by --max-bad (now {most:g})" if share < 0.5 else ""),
            code="too_many_bad_rows",
            details={"rows_in": total, "excluded": bad},
        )
    if not account.get("used"):
        raise InputRejected(
            "no purchase line can be used: "
            + ", ".join(f"{reason} {n:,}" for reason, n in account.items()),
            fix="check --as-of and the columns",
            code="no_purchases",
        )


def _provenance(
    log: sql.Log,
    account: Mapping[str, int],
    day: date,
    zone: str | None,
    max_bad: float,
    *,
    drop_missing_id: bool,
) -> dict[str, Any]:
    return {
        "source": {"kind": "spark"},
        "dialect": {},
        "columns": {},
        "findings": [],
        "as_of": day.isoformat(),
        "as_of_origin": "given",
        "policies": {
            "refunds": "drop" if log.drop_refunds else "net",
            "refunds_within": "order" if log.order_id else "day",
            "duplicates": "drop" if log.dedupe else "keep",
            "missing_ids": "drop" if drop_missing_id else "quarantine",
            "max_bad": max_bad,
            "purchase": "one per customer and day",
            "money": "margin" if log.cost else "revenue",
            "day": zone or "as written",
            "ids_kept": len(log.keep_ids),
        },
        "rows": {
            "in": sum(account.values()),
            "used": account.get("used", 0),
            "excluded": {reason: n for reason, n in account.items() if reason != "used"},
        },
    }
