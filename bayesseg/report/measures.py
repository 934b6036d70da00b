"""How complete, consistent and even a purchase log is, as rows and as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesseg.report.blocks import Cell, Column, Heading, Table
from bayesseg.report.words import Words


def measures(words: Words, accounting: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Name, share, count and what they are of, for each measure of a log's quality.

    A summary made elsewhere has customers only, no rows.
    """
    quality: Mapping[str, Any] = accounting.get("quality") or {}
    rows = _of_rows(words, accounting) if "completeness" in quality else []
    for name in ("mahalanobis", "isolation_forest"):
        if found := (quality.get("customers") or {}).get(name):
            share = _share(found["customers"], found["asked"])
            of = words("quality.of.customers")
            rows.append((words(f"quality.{name}"), share, found["customers"], of))
    return [(name, words.percent(share), words.count(n), of) for name, share, n, of in rows]


def _of_rows(
    words: Words, accounting: Mapping[str, Any]
) -> list[tuple[str, float | None, int | None, str]]:
    quality = accounting["quality"]
    rows: list[tuple[str, float | None, int | None, str]] = []
    everything, valued = words("quality.of.rows"), words("quality.of.valued")
    for column, one in quality["completeness"].items():
        rows.append(
            (
                words("quality.complete", column=words.said(column)),
                one["share"],
                one["present"],
                everything,
            )
        )
    for rule, one in quality["consistency"].items():
        of = words("quality.of.orders") if rule == "one_customer_an_order" else valued
        held = None if one["failing"] is None else one["asked"] - one["failing"]
        rows.append((words(f"quality.rules.{rule}"), one["share"], held, of))
    used = max(accounting["rows"]["used"], 1)
    copies, refunds, money = (quality[name] for name in ("duplicates", "refunds", "amounts"))
    used_rows = words("quality.of.used")
    copied = _share(copies["rows"], used)
    rows.append((words("quality.copies"), copied, copies["rows"], used_rows))
    rows.append((words("quality.refunds"), refunds["share_of_rows"], refunds["rows"], used_rows))
    rows.append(
        (words("quality.returned"), refunds["share_of_amount"], None, words("quality.of.money"))
    )
    if money["positive"]:
        paid = words("quality.of.paid")
        for name in ("iqr_outliers", "robust_z_outliers"):
            n = money[name]["rows"]
            rows.append((words(f"quality.{name}"), _share(n, money["positive"]), n, paid))
        if "largest_share" in money:
            of = words("quality.of.money")
            rows.append((words("quality.largest"), money["largest_share"], 1, of))
    gap = quality["time"]["longest_gap"]
    rows.append((words("quality.gap"), None, gap, words("quality.of.days")))
    odd = len(quality["time"]["odd_weeks"])
    rows.append((words("quality.odd_weeks"), None, odd, words("quality.of.weeks")))
    return rows


def _share(count: int | None, of: int | None) -> float | None:
    return None if count is None or of is None else count / of


def measures_table(words: Words, accounting: Mapping[str, Any]) -> list[Any]:
    """The measures as a table under a heading; nothing where there are none."""
    found = measures(words, accounting)
    if not found:
        return []
    head = (
        Column(words("quality.what"), number=False, wide=True),
        Column(words("data.rows.share")),
        Column(words("data.rows.rows")),
        Column(words("quality.of_what"), number=False),
    )
    rows = tuple(tuple(Cell(text) for text in row) for row in found)
    return [Heading(words("quality.title")), Table(words("quality.caption"), head, rows)]
