"""Which rows were used, which were not and why, and what the customers look like."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bayesseg._types import SMALLEST
from bayesseg.report import figures
from bayesseg.report.blocks import (
    Cell,
    Column,
    Context,
    Figure,
    Heading,
    Items,
    Section,
    Table,
    Text,
)
from bayesseg.report.measures import measures_table
from bayesseg.report.small import told_safely
from bayesseg.report.words import Words

_Z = 1.6448536269514722
_FIRST = ("frequency", "recency", "T", "spend")


def section(context: Context) -> Section:
    """Accounting, findings, histograms and the correlation of frequency and spend."""
    words, summary = context.words, context.posterior.summary
    accounting: Mapping[str, Any] = context.posterior.manifest.get("accounting") or {}
    histograms: Mapping[str, Any] = summary.get("histograms", {})
    if not context.include_ids:
        accounting = told_safely(accounting)
        histograms = {name: _hidden(one) for name, one in histograms.items()}
    blocks: list[Any] = [*source_line(words, accounting)]
    blocks += [*rows_table(words, accounting), *_findings(words, accounting)]
    measured = measures_table(words, accounting)
    if measured and not context.include_ids:
        measured.append(Text((words("data.dash", smallest=SMALLEST),), tone="note"))
    blocks += measured
    bought = "purchase" in context.posterior.spec.parts
    title = words("data.histograms.title" if bought else "data.histograms.title_clients")
    blocks += _histograms(words, title, histograms)
    rho = _correlation(context)
    if rho is not None:
        blocks.append(Text((words("data.spearman", rho=words.interval(rho, "index")),)))
    return Section(
        "data",
        words("data.title"),
        words("data.lead"),
        tuple(blocks),
        {
            "accounting": dict(accounting),
            "histograms": histograms,
            "spearman": rho,
            "customers": context.posterior.manifest.get("customers"),
        },
    )


def _hidden(histogram: Mapping[str, Any]) -> dict[str, Any]:
    few = 0 < histogram["missing"] < SMALLEST
    return {**histogram, "missing": None if few else histogram["missing"]}


def _correlation(context: Context) -> dict[str, float] | None:
    """Spearman's correlation of frequency and spend with its 90 % interval (Fieller et al. 1957)."""
    rho = context.posterior.manifest["facts"].get("spearman")
    spend = context.posterior.summary.get("histograms", {}).get("spend")
    if rho is None or spend is None:
        return None
    half = _Z * math.sqrt(1.06 / (sum(spend["counts"]) - 3))
    low, high = (math.tanh(math.atanh(rho) + way * half) for way in (-1, 1))
    return {"mean": rho, "lo": low, "hi": high}


def source_line(words: Words, accounting: Mapping[str, Any]) -> list[Any]:
    """What the rows were read from, and whether their money is margin."""
    said = []
    if kind := accounting.get("source", {}).get("kind"):
        said.append(words("data.source", source=words(f"data.kinds.{kind}")))
    if accounting.get("policies", {}).get("money") == "margin":
        said.append(words("data.margin"))
    return [Text(tuple(said))] if said else []


def rows_table(words: Words, accounting: Mapping[str, Any]) -> list[Any]:
    """Rows in, used, and left out by reason."""
    rows = accounting.get("rows")
    if not rows:
        return []
    total = max(rows["in"], 1)
    lines = [("used", rows["used"]), *rows.get("excluded", {}).items()]
    body = [
        (Cell(_reason(words, name)), Cell(words.count(n)), Cell(words.percent(n / total)))
        for name, n in lines
        if n or name == "used"
    ]
    body.append(
        (Cell(words("data.rows.in")), Cell(words.count(rows["in"])), Cell(words.percent(1.0)))
    )
    head = (
        Column(words("data.rows.what"), number=False),
        Column(words("data.rows.rows")),
        Column(words("data.rows.share")),
    )
    return [Table(words("data.rows.caption"), head, tuple(body))]


def _reason(words: Words, name: str) -> str:
    return (
        words(f"data.reasons.{name}")
        if words.has(f"data.reasons.{name}")
        else name.replace("_", " ")
    )


def _findings(words: Words, accounting: Mapping[str, Any]) -> list[Any]:
    messages = [
        words.said(str(one["message"]))
        for one in accounting.get("findings", ())
        if one.get("message")
    ]
    if untold := accounting.get("findings_untold"):
        messages.append(words.plural("data.untold", untold, smallest=SMALLEST))
    if not messages:
        return []
    return [Heading(words("data.findings")), Items(tuple(messages))]


def _histograms(words: Words, title: str, found: Mapping[str, Any]) -> list[Any]:
    if not found:
        return []
    order = sorted(found, key=lambda name: (*_FIRST, name).index(name))
    found = {name: found[name] for name in order}
    names = {name: _quantity(words, name) for name in found}
    head = (
        Column(words("data.histograms.quantity"), number=False),
        *(Column(words(f"data.histograms.{key}")) for key in ("median", "mean", "missing")),
    )
    rows = tuple(
        (
            Cell(names[name]),
            Cell(words.number(one["median"])),
            Cell(words.number(one["mean"])),
            Cell(words.count(one["missing"])),
        )
        for name, one in found.items()
    )
    return [
        Figure(
            title,
            figures.histograms(
                [(names[n], one["edges"], one["counts"]) for n, one in found.items()], words.plain
            ),
            words(
                "data.histograms.alt",
                names=words.parts(
                    f"{names[n]} {words.number(o['median'])}" for n, o in found.items()
                ),
            ),
            words("data.histograms.caption"),
            Table(title, head, rows),
            of="histograms",
        ),
    ]


def _quantity(words: Words, name: str) -> str:
    return words(f"quantities.{name}") if words.has(f"quantities.{name}") else name
