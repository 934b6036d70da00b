"""Whom to turn to first: the save list, most value at risk first."""

from __future__ import annotations

from typing import Any

from bayesseg import decide
from bayesseg.report.blocks import Cell, Column, Context, Section, Table, Text

ROWS = 300
"""Rows on the page; the score file has them all."""


def section(context: Context) -> Section | None:
    """A sortable, filterable table; nothing where there is no value.

    A row is one person even without a name, so there are rows only where ids were asked for.
    """
    scores, words = context.scores, context.words
    if "value_at_risk" not in scores:
        return None
    listed = decide.ranked(scores, "save", ROWS)
    total = len(decide.ranked(scores, "save"))
    if not context.include_ids:
        said = Text((words("customers.without_ids", total=words.count(total)),), tone="note")
        return _section(context, (said,), {"on_the_list": total})
    settings = context.document["settings"]
    segments = "segment_name" in listed
    columns = [Column(words("customers.rank"))]
    columns += [Column(words("customers.id"), number=False)]
    columns += [Column(words("customers.segment"), number=False)] if segments else []
    columns += [Column(words(f"customers.{name}")) for name in ("value_at_risk", "p_churn", "clv")]
    columns += [Column(words("customers.reason"), number=False, wide=True)]
    rows = []
    records: list[Any] = list(listed.itertuples(index=False))
    for row in records:
        cells = [Cell(words.count(row.rank), row.rank)]
        cells += [Cell(str(row.customer_id), str(row.customer_id))]
        cells += [Cell(str(row.segment_name), str(row.segment_name))] if segments else []
        cells += [
            Cell(words.money(row.value, listed["value"].max()), float(row.value)),
            Cell(words.percent(row.p_churn), float(row.p_churn)),
            Cell(words.money(row.clv, listed["clv"].max()), float(row.clv)),
            Cell(str(row.reason), float(row.days_since_last)),
        ]
        rows.append(tuple(cells))
    blanks = {"h": settings["horizon_days"], "H": settings["value_horizon_days"]}
    blocks = (
        Text((words("customers.reading", **blanks),)),
        Table(
            words("customers.caption", shown=words.count(len(rows)), total=words.count(total)),
            tuple(columns),
            tuple(rows),
            id="customers",
            sortable=True,
        ),
        Text((words("customers.order_note"),), tone="note"),
    )
    keep = ["rank", "customer_id", "segment_name", "value", "p_alive", "p_churn", "clv", "reason"]
    shown = listed[[name for name in keep if name in listed]].to_dict("records")
    return _section(context, blocks, {"listed": shown, "on_the_list": total})


def _section(context: Context, blocks: tuple[Any, ...], data: dict[str, Any]) -> Section:
    words = context.words
    return Section("customers", words("customers.title"), words("customers.lead"), blocks, data)
