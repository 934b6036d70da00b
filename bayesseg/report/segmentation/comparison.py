"""The page of ``bayesseg compare``: how many segments, of which shape, and what others would say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bayesseg.report import figures
from bayesseg.report.blocks import Cell, Column, Fact, Figure, Items, Section, Table, Text
from bayesseg.report.rendering import Page
from bayesseg.report.sections import portrait
from bayesseg.report.segmentation.parts import head, page, repeated, sentence, verdict
from bayesseg.report.words import NOTHING, Words, load_words

_PICTURED = 16
"""Candidates in the picture, those that predict best."""


def build(
    document: Mapping[str, Any], *, command: Sequence[str] = (), language: str = "en"
) -> Page:
    """Build the page of what ``segmentation.comparison`` found."""
    words = load_words(language)
    facts = [
        (words("page.model"), document["model"]),
        (words("page.customers"), words.count(document["customers"])),
    ]
    asked = {
        "customers": document["customers"],
        "rows": document["rows"],
        "features": ", ".join(portrait.feature(words, one) for one in document["features"]),
    }
    sections = (
        _verdict(words, document),
        _candidates(words, document),
        _tree(words, document),
        _masked(words, document),
        _price(words, document),
        _classics(words, document),
        repeated(words, command, asked),
    )
    tone = _tone(document)
    return page(words, document, sections, kind="compare", tone=tone, facts=facts, command=command)


def _groups(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The row of the candidate that is recommended as stable."""
    return next((one for one in document["table"] if "stable" in one["chosen"]), None)


def _tone(document: Mapping[str, Any]) -> str:
    found = _groups(document)
    return "passed" if found is not None and found["components"] > 1 else "caution"


def _verdict(words: Words, document: Mapping[str, Any]) -> Section:
    facts = [
        _fact(words, key, document[key])
        for key in ("stable", "working", "runner_up")
        if document[key]
    ]
    key = _tone(document)
    found = verdict(words, f"compare.verdict.{key}", f"compare.lead.{key}", (), facts)
    blocks = (Text(tuple(map(words.said, document["words"]))), *found.blocks)
    notes = (
        (Items(tuple(sentence(words.said(one)) for one in document["notes"])),)
        if document["notes"]
        else ()
    )
    return Section("verdict", found.title, found.lead, (*blocks, *notes), {})


def _fact(words: Words, key: str, name: str) -> Fact:
    """The number of segments large, its shape below."""
    components, _, shape = name.partition(", ")
    note = words(f"compare.{key}_note")
    return Fact(
        words(f"compare.{key}"), components, "", words.parts([shape, note]) if shape else note
    )


def _candidates(words: Words, document: Mapping[str, Any]) -> Section:
    keys = ("bic", "below", "jaccard", "strength", "smallest", "overlap", "groups", "rival")
    columns = (
        *(Column(words(f"compare.table.{key}"), number=False) for key in ("candidate", "kind")),
        *(Column(words(f"compare.table.{key}")) for key in keys),
        Column(words("compare.table.seconds")),
    )
    found = document["table"]
    rows = tuple(_candidate(words, one) for one in found)
    title = words("compare.table.title")
    near = sorted(found, key=lambda one: float(one["below_best"]))[:_PICTURED]
    behind = [
        {
            "mean": -one["below_best"],
            "lo": -one["below_best"] - 2 * one["below_best_se"],
            "hi": -one["below_best"] + 2 * one["below_best_se"],
        }
        for one in near
    ]
    names = [", ".join(filter(None, _called(words, one))) for one in near]
    return Section(
        "candidates",
        title,
        words("compare.table.lead", n=words.count(document["min_segment"])),
        (
            Table(words("compare.table.caption"), columns, rows),
            Items(
                tuple(
                    words(
                        "marks.colon",
                        head=words(f"compare.kind.{key}"),
                        rest=words(f"compare.kind_means.{key}"),
                    )
                    for key in ("natural", "reproducible", "constructive")
                )
            ),
            Text((words("compare.table.reading"),), tone="note"),
            Figure(
                words("compare.density.title"),
                figures.dots(
                    [(words("compare.density.axis"), behind, words.plain)],
                    names,
                    marks=[0] * len(names),
                ),
                words("compare.density.alt", n=len(near)),
                words("compare.density.caption"),
            ),
        ),
        {},
    )


def _called(words: Words, one: Mapping[str, Any]) -> tuple[str, str]:
    """``K = 3, diag``, which does not break, and its tails where they are not normal."""
    name = f"K = {one['components']}, {one.get('covariance', '')}".removesuffix(", ")
    tails = words("compare.table.t") if one.get("tails") == "t" else ""
    return name.replace(" ", "\N{NO-BREAK SPACE}"), tails


def _candidate(words: Words, one: Mapping[str, Any]) -> tuple[Cell, ...]:
    name, tails = _called(words, one)
    error = words.fixed(one["below_best_se"], 3)
    strength, asked = one["prediction_strength"], one["jaccard"] is not None
    return (
        Cell(name, small=", ".join(filter(None, (tails, words.said(one["chosen"]))))),
        Cell(
            words(f"compare.kind.{one['kind'].replace(' ', '_')}") if asked else NOTHING,
            hint=words.parts(map(words.said, one["against"])),
        ),
        Cell(
            words.count(one["bic"]), small=words("compare.table.icl", icl=words.count(one["icl"]))
        ),
        Cell(words.fixed(one["below_best"], 3), small=f"± {error}"),
        Cell(words.fixed(min(one["jaccard"]), 2) if asked else NOTHING),
        Cell(NOTHING if strength is None else words.fixed(strength, 2)),
        Cell(words.count(min(one["sizes"]))),
        Cell(words.percent(max(one["overlap"]))),
        Cell(words.count(one["groups"])),
        _rival(words, one),
        Cell(words.fixed(one["seconds"], 1)),
    )


def _rival(words: Words, one: Mapping[str, Any]) -> Cell:
    for found in one["rivals"][:1]:
        agreement = words.fixed(found["agreement_with_best"], 2)
        return Cell(words.fixed(found["nats_below_best"], 1), small=agreement)
    return Cell(NOTHING)


def _tree(words: Words, document: Mapping[str, Any]) -> Section | None:
    if len(document["tree"]) < 2:  # of two, one merge is all there is
        return None
    ids = [f"S{k + 1}" for k in range(len(document["tree"]) + 1)]
    figure = portrait.tree(words, document["tree"], ids, ids)
    lead = words("compare.tree.lead", of=document["tree_of"])
    return Section("tree", words("compare.tree.title"), lead, (figure,), {})


def _masked(words: Words, document: Mapping[str, Any]) -> Section | None:
    if not document["masked"]:
        return None
    rows = tuple(
        (
            Cell(portrait.feature(words, one["feature"])),
            Cell(words.percent(one["lost"])),
            Cell(words.percent(one["moved"])),
        )
        for one in sorted(document["masked"], key=lambda one: -float(one["lost"]))
    )
    columns = head(words, "compare.masked", "feature", "lost", "moved")
    table = Table(words("compare.masked.caption"), columns, rows)
    lead = words("compare.masked.lead", of=document["tree_of"])
    return Section("masked", words("compare.masked.title"), lead, (table,), {})


def _price(words: Words, document: Mapping[str, Any]) -> Section | None:
    price = document["price"]
    if not price:
        return None
    rows = tuple(
        (
            Cell(one["name"].replace(" ", "\N{NO-BREAK SPACE}", 2)),
            *(_with_span(words, one[of]) for of in ("buys", "spend")),
        )
        for one in price["table"]
    )
    columns = head(words, "compare.price", "candidate", "buys", "spend")
    blocks: list[Any] = [Text(tuple(map(words.said, price["words"])))] if price["words"] else []
    blocks.append(Table(words("compare.price.caption"), columns, rows))
    for one in price["table"]:
        if one["name"] == price["of"]:
            own = tuple(
                (
                    Cell(words.count(segment["customers"])),
                    Cell(words.percent(segment["bought"])),
                    Cell(words.money(segment["spend"])),
                )
                for segment in one["segments"]
            )
            columns = tuple(
                Column(words(f"compare.price.{key}")) for key in ("customers", "bought", "each")
            )
            blocks.append(Table(words("compare.price.of", of=one["name"]), columns, own))
    lead = words(
        "compare.price.lead",
        cut=words.date(price["cut"]),
        until=words.date(price["until"]),
        days=price["days"],
    )
    return Section("price", words("compare.price.title"), lead, tuple(blocks), {})


def _with_span(words: Words, share: Mapping[str, float]) -> Cell:
    mean, span = words.halves(share, "percent", 0.05)
    return Cell(mean, small=span)


def _classics(words: Words, document: Mapping[str, Any]) -> Section | None:
    found = document["classics"]
    if not found:
        return None
    picks = words.parts(
        words("compare.classics.pick", k=found["picks"][key], by=words(f"compare.classics.{key}"))
        for key in ("silhouette", "davies_bouldin", "gap", "elbow")
    )
    said = [words("compare.classics.picks", picks=picks)]
    if found["filled"]:
        said.append(words("compare.classics.filled", share=words.percent(found["filled"])))
    methods = found["methods"]
    rows = tuple(
        (
            Cell(f"{i + 1}. {words.said(one['name'])}", small=words.said(one["note"])),
            Cell(words.count(one["clusters"])),
            Cell(words.percent(one["noise"])),
            *(
                Cell(words.fixed(value, 2), heat=0 if i == j else _like(value))
                for j, value in enumerate(found["rand"][i])
            ),
        )
        for i, one in enumerate(methods)
    )
    columns = (
        Column(words("compare.classics.method"), number=False, wide=True),
        Column(words("compare.classics.clusters")),
        Column(words("compare.classics.noise")),
        *(Column(str(i + 1)) for i in range(len(methods))),
    )
    blocks = (Text(tuple(said)), Table(words("compare.classics.caption"), columns, rows))
    title = words("compare.classics.title")
    return Section("classics", title, words("compare.classics.lead"), blocks, {})


def _like(rand: float) -> int:
    return sum(rand >= limit for limit in (0.25, 0.5, 0.75, 0.9))
