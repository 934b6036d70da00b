"""Which rows were used, which were not and why, and what the customers look like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
from bayesseg.report.words import Words

_FIRST = ("frequency", "recency", "T", "spend")


def section(context: Context) -> Section:
    """Accounting, findings, histograms and the correlation of frequency and spend."""
    words, summary = context.words, context.posterior.summary
    accounting: Mapping[str, Any] = context.posterior.manifest.get("accounting") or {}
    blocks: list[Any] = [*source_line(words, accounting)]
    blocks += [*rows_table(words, accounting), *_findings(words, accounting)]
    blocks += measures_table(words, accounting)
    bought = "purchase" in context.posterior.spec.parts
    title = words("data.histograms.title" if bought else "data.histograms.title_clients")
    blocks += _histograms(words, title, summary.get("histograms", {}))
    rho = context.posterior.manifest["facts"].get("spearman")
    if rho is not None:
        blocks.append(Text((words("data.spearman", rho=words.fixed(rho, 2)),)))
    return Section(
        "data",
        words("data.title"),
        words("data.lead"),
        tuple(blocks),
        {
            "accounting": dict(accounting),
            "histograms": summary.get("histograms", {}),
            "spearman": rho,
            "customers": context.posterior.manifest.get("customers"),
        },
    )


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
