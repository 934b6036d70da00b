"""Whom to turn to first: the save list, most value at risk first."""

from __future__ import annotations

from typing import Any

from bayesseg import decide
from bayesseg.report.blocks import Cell, Column, Context, Section, Table, Text

ROWS = 300
"""Rows on the page; the score file has them all."""


def section(context: Context) -> Section | None:
    """A sortable, filterable table; nothing where there is no value."""
    scores, words = context.scores, context.words
    if "value_at_risk" not in scores:
        return None
    listed = decide.ranked(scores, "save", ROWS)
    total = len(decide.ranked(scores, "save"))
    settings = context.document["settings"]
    ids = context.include_ids
    segments = "segment_name" in listed
    columns = [Column(words("customers.rank"))]
    columns += [Column(words("customers.id"), number=False)] if ids else []
    columns += [Column(words("customers.segment"), number=False)] if segments else []
    columns += [Column(words(f"customers.{name}")) for name in ("value_at_risk", "p_churn", "clv")]
    columns += [Column(words("customers.reason"), number=False, wide=True)]
    rows = []
    records: list[Any] = list(listed.itertuples(index=False))
    for row in records:
        cells = [Cell(words.count(row.rank), row.rank)]
        cells += [Cell(str(row.customer_id), str(row.customer_id))] if ids else []
        cells += [Cell(str(row.segment_name), str(row.segment_name))] if segments else []
        cells += [
            Cell(words.money(row.value, listed["value"].max()), float(row.value)),
            Cell(words.percent(row.p_churn), float(row.p_churn)),
            Cell(words.money(row.clv, listed["clv"].max()), float(row.clv)),
            Cell(str(row.reason), float(row.days_since_last)),
        ]
        rows.append(tuple(cells))
    blanks = {"h": settings["horizon_days"], "H": settings["value_horizon_days"]}
    blocks: list[Any] = [
        Text((words("customers.reading", **blanks),)),
        Table(
            words("customers.caption", shown=words.count(len(rows)), total=words.count(total)),
            tuple(columns),
            tuple(rows),
            id="customers",
            sortable=True,
        ),
        Text((words("customers.order_note"),), tone="note"),
    ]
    if not ids:
        blocks.append(Text((words("customers.without_ids"),), tone="note"))
    keep = [
        name
        for name in (
            "rank",
            "customer_id",
            "segment_name",
            "value",
            "p_alive",
            "p_churn",
            "clv",
            "reason",
        )
        if name in listed and (ids or name != "customer_id")
    ]
    return Section(
        "customers",
        words("customers.title"),
        words("customers.lead"),
        tuple(blocks),
        {"listed": listed[keep].to_dict("records"), "on_the_list": total},
    )
