"""Whom to turn to first: both lists, how sure their order is, and what contacts bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bayesseg import decide
from bayesseg._types import SMALLEST
from bayesseg.decide.certainty import Certainty, certainty
from bayesseg.posterior import trusted
from bayesseg.report import figures
from bayesseg.report.blocks import Cell, Column, Context, Figure, Heading, Section, Table, Text
from bayesseg.report.words import Words

if TYPE_CHECKING:
    import pandas as pd

ROWS = {"save": 300, "win-back": 100}
"""Rows of each list on the page; the score file has them all."""
_IDS = {"save": "listed", "win-back": "lapsed"}
_SHOWN = ("p_alive", "p_churn", "clv", "reason", "p_top", "rank_lo", "rank_hi")


def section(context: Context) -> Section | None:
    """Both lists as sortable, filterable tables; nothing where there is no value.

    A row is one person even without a name, so there are rows only where ids were asked for.
    """
    words, settings = context.words, context.document.get("settings", {})
    if "value_at_risk" not in context.scores:
        return None
    blanks = {"h": settings["horizon_days"], "H": settings["value_horizon_days"]}
    blocks: list[Any] = [Text((words("customers.reading", **blanks),))]
    data: dict[str, Any] = {}
    for which, most in ROWS.items():
        listed, drawn = _listed(context, which)
        sure = _certainty(drawn)
        few = not context.include_ids and 0 < len(listed) < SMALLEST
        data[which] = {"on_the_list": None if few else len(listed), "certainty": sure}
        blocks.append(Heading(words(f"customers.{which}.title")))
        blocks.append(Text((words(f"customers.{which}.lead"),)))
        if sure is not None:
            blocks.append(Text((_sure(context, sure, len(listed)),)))
        if few:
            blocks.append(Text((words(f"customers.{which}.few", n=SMALLEST),), tone="note"))
        elif not context.include_ids or not len(listed):
            said = words.plural(f"customers.{which}.without_ids", len(listed))
            blocks.append(Text((said,), tone="note"))
        else:
            shown = listed.head(most)
            blocks.append(_table(words, which, shown, len(listed)))
            keep = ["rank", "customer_id", "segment_name", "value", *_SHOWN]
            data[which]["listed"] = shown[[n for n in keep if n in shown]].to_dict("records")
    if context.include_ids:
        blocks.append(Text((words("customers.order_note"),), tone="note"))
    data["curve"] = _points(context)
    blocks += _curve(context, data["curve"])
    return Section(
        "customers", words("customers.title"), words("customers.lead"), tuple(blocks), data
    )


def _listed(context: Context, which: str) -> tuple[pd.DataFrame, Certainty | None]:
    """The list, and where they can be drawn, how sure each place on it is."""
    listed = decide.ranked(context.scores, which)
    manifest, released = context.posterior.manifest, context.document.get("released", {})
    if not all(trusted(manifest, part) or part in released for part in ("purchase", "spend")):
        return listed, None
    whole = context.scores.set_index("customer_id", drop=False).loc[listed["customer_id"]]
    sure = certainty(context.posterior, context.document, whole, which)
    return listed if sure is None else listed.join(sure.ranks), sure


def _certainty(sure: Certainty | None) -> dict[str, Any] | None:
    """How many of the list's first tenth belong there; None where it has too few to say."""
    if sure is None or sure.top < SMALLEST:
        return None
    chance = sure.top**2 / len(sure.ranks)
    return {"of": len(sure.ranks), "top": sure.top, "belong": sure.belong, "chance": chance}


def _sure(context: Context, sure: Mapping[str, Any], listed: int) -> str:
    words = context.words
    said = words(
        f"customers.sure.{'all' if sure['of'] == listed else 'first'}",
        of=words.count(sure["of"]),
        top=words.count(sure["top"]),
        belong=words.interval(sure["belong"]),
        chance=words.count(sure["chance"]),
    )
    return f"{said} {words('customers.sure.ranks')}" if context.include_ids else said


def _table(words: Words, which: str, listed: pd.DataFrame, total: int) -> Table:
    segments, drawn = "segment_name" in listed, "p_top" in listed
    columns = [Column(words("customers.rank")), Column(words("customers.id"), number=False)]
    columns += [Column(words("customers.segment"), number=False, choice=True)] if segments else []
    columns += [Column(words(f"customers.{which}.value"))]
    columns += [Column(words("customers.p_top"))] if drawn else []
    columns += [Column(words(f"customers.{name}")) for name in ("p_churn", "clv")]
    columns += [Column(words("customers.reason"), number=False, wide=True)]
    most, rows = listed[["value", "clv"]].max(), []
    records: list[Any] = list(listed.itertuples(index=False))
    for row in records:
        cells = [Cell(words.count(row.rank), row.rank, small=_span(words, row) if drawn else "")]
        cells += [Cell(str(row.customer_id), str(row.customer_id))]
        cells += (
            [Cell(words.said(row.segment_name), words.said(row.segment_name))] if segments else []
        )
        cells += [Cell(words.money(row.value, most["value"]), float(row.value))]
        cells += [Cell(words.percent(row.p_top), float(row.p_top))] if drawn else []
        cells += [
            Cell(words.percent(row.p_churn), float(row.p_churn)),
            Cell(words.money(row.clv, most["clv"]), float(row.clv)),
            Cell(words.said(row.reason), float(row.days_since_last)),
        ]
        rows.append(tuple(cells))
    said = words(
        f"customers.{which}.caption", shown=words.count(len(rows)), total=words.count(total)
    )
    return Table(said, tuple(columns), tuple(rows), id=_IDS[which], sortable=True)


def _span(words: Words, row: Any) -> str:
    return words("marks.span", lo=words.count(row.rank_lo), hi=words.count(row.rank_hi))


def _points(context: Context) -> list[Mapping[str, Any]]:
    """The curve of a list that was given; without ids no step of it is about a few people."""
    points = list((context.beside.listed or {}).get("curve") or ())
    if context.include_ids:
        return points
    found: list[Mapping[str, Any]] = []
    for one in points:
        if one["contacts"] - (found[-1]["contacts"] if found else 0) >= SMALLEST:
            found.append(one)
    return found


def _curve(context: Context, points: Sequence[Mapping[str, Any]]) -> list[Any]:
    """What the first contacts of a list bring together, by what they cost; where a list was given."""
    words, listed = context.words, context.beside.listed
    if listed is None:
        return []
    title = words("customers.curve.title")
    if not points:
        return [Heading(title), Text((words("customers.curve.none"),), tone="note")]
    legend = [words(f"customers.curve.{key}") for key in ("cost", "net", "band")]
    keys = ("contacts", "cost", "net", "band")
    rows = tuple(
        (
            Cell(words.count(one["contacts"])),
            Cell(words.money(one["cost"])),
            Cell(words.money(one["net_benefit"])),
            Cell("" if one["lo"] is None else words.halves(_ends(one), "money")[1]),
        )
        for one in points
    )
    best = max(points, key=lambda one: float(one["net_benefit"]))
    said = {
        "contacts": words.count(best["contacts"]),
        "cost": words.money(best["cost"]),
        "net": words.interval(_ends(best), "money"),
        "which": words(f"customers.{listed.get('list', 'save')}.title"),
    }
    return [
        Figure(
            title,
            figures.benefit(points, legend, words.plain),
            words("customers.curve.alt", **said),
            words("customers.curve.caption", **said),
            Table(title, tuple(Column(words(f"customers.curve.{key}")) for key in keys), rows),
            of="curve",
        )
    ]


def _ends(one: Mapping[str, Any]) -> dict[str, Any]:
    return {"mean": one["net_benefit"], "lo": one["lo"], "hi": one["hi"]}
