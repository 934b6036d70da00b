"""The page of ``bayesseg stability``: do the segments come back?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bayesseg.report import figures
from bayesseg.report.blocks import Cell, Column, Fact, Figure, Heading, Section, Table, Text
from bayesseg.report.rendering import Page
from bayesseg.report.segmentation.assessed import TONES
from bayesseg.report.segmentation.parts import head, page, repeated, sentence, verdict
from bayesseg.report.words import Words, load_words

_OF_WORD = {"dissolved": "failed", "untrusted": "failed", "doubtful": "caution"}


def build(
    document: Mapping[str, Any], *, command: Sequence[str] = (), language: str = "en"
) -> Page:
    """Build the page of what ``segmentation.stability`` found."""
    words = load_words(language)
    facts = [(words("page.customers"), words.count(document["customers"]))]
    asked = {key: document[key] for key in ("model_id", "customers", "rows", "refits", "halves")}
    sections = (
        _verdict(words, document),
        _segments(words, document),
        repeated(words, command, asked),
    )
    tone = TONES[document["verdict"]]
    return page(
        words, document, sections, kind="stability", tone=tone, facts=facts, command=command
    )


def _verdict(words: Words, document: Mapping[str, Any]) -> Section:
    judged = [
        (
            _OF_WORD.get(one["word"], "passed"),
            words.called(one),
            sentence(
                words(
                    "stability.of",
                    word=words.said(one["word"]),
                    jaccard=words.interval(one["jaccard"], "index"),
                    dissolved=words.percent(one["dissolved"]),
                )
            ),
        )
        for one in document["segments"]
    ]
    facts = [
        Fact(
            words("stability.strength"),
            *words.halves(document["prediction_strength"], "index"),
            words("stability.strength_note"),
        ),
        Fact(
            words("stability.other_modes"),
            words.percent(document["other_modes"]),
            "",
            words("stability.other_modes_note", rand=words.interval(document["rand"])),
        ),
        Fact(
            words("stability.groups"),
            words.count(document["groups"]),
            "",
            words("stability.groups_note", n=len(document["segments"])),
        ),
    ]
    found = document["verdict"]
    said = tuple(map(words.said, document["words"]))
    return verdict(
        words, f"stability.verdict.{found}", f"stability.lead.{found}", judged, facts, said
    )


def _segments(words: Words, document: Mapping[str, Any]) -> Section:
    title = words("stability.segments.title")
    return Section("segments", title, words("stability.segments.lead"), blocks(words, document), {})


def blocks(words: Words, document: Mapping[str, Any]) -> tuple[Any, ...]:
    """How well each segment comes back, and between which there is a gap."""
    found = document["segments"]
    names = [words.called(one) for one in found]
    columns = head(words, "stability.segments", "segment", "customers", "jaccard", "dissolved")
    rows = tuple(
        (
            Cell(name),
            Cell(words.count(one["customers"])),
            Cell(words.interval(one["jaccard"], "index")),
            Cell(words.percent(one["dissolved"])),
            Cell(words.said(one["word"])),
        )
        for name, one in zip(names, found, strict=True)
    )
    word = Column(words("stability.segments.word"), number=False)
    panel = (
        words("stability.segments.jaccard"),
        [one["jaccard"] for one in found],
        words.plain,
    )
    said: list[Any] = [
        Figure(
            words("stability.segments.figure"),
            figures.dots([panel], names),
            words("stability.segments.alt", n=len(names)),
            words("stability.segments.caption"),
            Table(words("stability.segments.title"), (*columns, word), rows),
        )
    ]
    if document["merges"]:
        said += _gaps(words, document["merges"])
    return tuple(said)


def _gaps(words: Words, merges: Sequence[Mapping[str, Any]]) -> list[Any]:
    rows = tuple(
        (
            Cell(words("portrait.tree.pair", one=" + ".join(a), other=" + ".join(b))),
            Cell(words.percent(one["shared"])),
            Cell(words.fixed(one["dip"], 2)),
            Cell(words.fixed(one["limit"], 2)),
        )
        for one in merges
        for a, b in (one["segments"],)
    )
    return [
        Heading(words("stability.gaps.title")),
        Text((words("stability.gaps.text"),)),
        Table(
            words("stability.gaps.caption"),
            head(words, "stability.gaps", "pair", "shared", "dip", "limit"),
            rows,
        ),
    ]
