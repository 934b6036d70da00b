"""How good the data are: blocks for the report and the page of ``bayesseg check``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bayesseg.report.blocks import Cell, Column, Section, Table, Text
from bayesseg.report.measures import measures_table
from bayesseg.report.rendering import Page
from bayesseg.report.sections.data import rows_table, source_line
from bayesseg.report.segmentation.parts import page, verdict
from bayesseg.report.words import Words, load_words

_TONES = {"ready": "passed", "caution": "caution", "blocked": "failed"}
_LEVELS = ("reject", "warning", "note")


def build(
    document: Mapping[str, Any], *, command: Sequence[str] = (), language: str = "en"
) -> Page:
    """Build the page of what ``bayesseg check`` found."""
    words = load_words(language, document.get("policies", {}).get("currency"))
    readiness = document["readiness"]
    tone = _TONES[readiness["level"]]
    judged = [(tone, words(f"check.level.{readiness['level']}"), words(f"check.said.{tone}"))]
    sections = [
        verdict(words, "check.title", "check.lead", judged, ()),
        _readiness(words, readiness["gates"]),
        Section(
            "findings",
            words("data.findings"),
            words("check.findings_lead"),
            tuple(findings_table(words, document["findings"])),
            {},
        ),
    ]
    if "rows" in document:
        measured = (
            *source_line(words, document),
            *rows_table(words, document),
            *measures_table(words, document),
        )
        lead = words("data.lead")
        sections.append(Section("data", words("data.title"), lead, measured, {}))
    if "attributes" in document:
        sections.append(_attributes(words, document["attributes"]))
    facts = [
        (words(f"page.{name}"), value)
        for name, value in (
            ("as_of", words.date(document.get("as_of") or "")),
            ("customers", words.count(document.get("customers", {}).get("all"))),
        )
        if value
    ]
    return page(words, document, sections, kind="check", tone=tone, facts=facts, command=command)


def findings_table(words: Words, findings: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Every finding with what to do about it and the rows it was seen in."""
    if not findings:
        return []
    head = tuple(
        Column(words(f"check.{name}"), number=False, wide=name in ("what", "fix"))
        for name in ("level_head", "what", "fix", "records")
    )
    order = sorted(findings, key=lambda one: _LEVELS.index(one["level"]))
    rows = tuple(
        (
            Cell(words(f"check.levels.{one['level']}")),
            Cell(words.said(one["message"])),
            Cell(words.said(one["fix"])),
            Cell(", ".join(words.count(record) for record in one["records"])),
        )
        for one in order
    )
    return [Table(words("check.findings_caption"), head, rows)]


def _attributes(words: Words, entry: Mapping[str, Any]) -> Section:
    """What each column of the facts about customers is taken for, file by file."""
    head = tuple(
        Column(words(f"check.{name}"), number=name in ("distinct", "missing"), wide=name == "kind")
        for name in ("column", "kind", "distinct", "missing")
    )
    blocks: list[Any] = []
    for one in (entry, *entry.get("further", ())):
        join, schema = one["join"], one["schema"]
        counts = {name: words.count(join[name]) for name in join}
        rows = tuple(
            (
                Cell(name),
                Cell(words(f"check.kinds.{column['kind']}")),
                Cell(words.count(column["distinct"])),
                Cell(words.count(column["missing"])),
            )
            for name, column in schema["columns"].items()
        )
        blocks.append(Table(words("check.attributes_caption", **counts), head, rows))
        said = tuple(
            words(
                "check.collinear",
                first=pair["columns"][0],
                second=pair["columns"][1],
                correlation=words.fixed(pair["correlation"], 2),
            )
            for pair in schema["collinear"]
        )
        blocks += [Text(said)] if said else []
    lead = words("check.attributes_lead")
    return Section("attributes", words("check.attributes"), lead, tuple(blocks), {})


def _readiness(words: Words, gates: Sequence[Mapping[str, Any]]) -> Section | None:
    if not gates:
        return None
    head = tuple(
        Column(words(f"check.{name}"), number=False, wide=name != "level_head")
        for name in ("level_head", "gate", "fix")
    )
    rows = tuple(
        (
            Cell(words(f"check.level.{gate['level']}")),
            Cell(words.said(gate["message"])),
            Cell(words.said(gate["fix"])),
        )
        for gate in gates
    )
    table = Table(words("check.gates_caption"), head, rows)
    return Section("readiness", words("check.gates"), words("check.gates_lead"), (table,), {})
