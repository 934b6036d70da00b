"""Totals by cut, in purchases and in money."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesseg.report import figures
from bayesseg.report.blocks import Cell, Column, Figure, Heading, Section, Table, Text
from bayesseg.report.validation.case import Case
from bayesseg.validation.comparison import CHOSEN, row, subject, titles


def purchases(case: Case) -> Section:
    """The totals of purchases, what the misses taught, and which family was chosen when."""
    words = case.words
    blocks = [*_totals(case, "purchases"), *_learnt(case), *_choice(case)]
    return Section(
        "totals",
        words("validation.totals.title"),
        words("validation.totals.lead"),
        tuple(blocks),
        {},
    )


def spend(case: Case) -> Section | None:
    """The same in money, and how well single customers' spend was forecast."""
    words = case.words
    if case.document["forecasts"][subject(case.document)]["spend"] is None:
        return None
    return Section(
        "money",
        words("validation.money.title"),
        words("validation.money.lead"),
        (*_totals(case, "spend"), *_scores(case)),
        {},
    )


def _totals(case: Case, what: str) -> list[Any]:
    words, document = case.words, case.document
    judged = [row(document, at, subject(document)) for at in range(len(document["origins"]))]
    found = [
        (origin["cut"], one["title"], one[what])
        for origin, one in zip(document["origins"], judged, strict=True)
        if one is not None and one[what] is not None and one[what]["lo"] is not None
    ]
    if not found:
        return []
    scores = [score for *_, score in found]
    legend = [words(f"validation.totals.{key}") for key in ("forecast", "actual", f"axis_{what}")]
    kind = "money" if what == "spend" else "number"
    write = words.money if what == "spend" else words.count
    wider = [score["widened"] for score in scores]
    rows = tuple(
        (
            Cell(words.date(cut)),
            Cell(title),
            Cell(words.interval(score, kind)),
            Cell(words.halves({**score, **wide}, kind)[1] if wide else "–"),
            Cell(write(score["actual"])),
            Cell(case.signed(score["bias"])),
            Cell(words(f"validation.totals.{_place(score, wide)}")),
        )
        for (cut, title, score), wide in zip(found, wider, strict=True)
    )
    names = ("cut", "family", "forecast", "widened", "actual", "bias", "place")
    head = tuple(
        Column(words(f"validation.totals.{name}"), number=name not in ("cut", "family", "place"))
        for name in names
    )
    title = words(f"validation.totals.figure_{what}")
    return [
        Figure(
            title,
            figures.forecasts(
                [words.date(cut) for cut, *_ in found],
                [score["actual"] for score in scores],
                scores,
                legend,
                words.plain,
                wider,
            ),
            words.plural("validation.totals.alt", len(found)),
            words("validation.totals.caption", level=words.percent(document["level"])),
        ),
        Table(words(f"validation.totals.table_{what}"), head, rows),
    ]


def _place(score: Mapping[str, Any], wide: Mapping[str, Any] | None) -> str:
    if score["inside"]:
        return "inside"
    return "inside_widened" if wide and wide["inside"] else "outside"


def _learnt(case: Case) -> list[Any]:
    words, document = case.words, case.document
    own = document["forecasts"][subject(document)]["purchases"]["discrepancy"]
    return [
        Text(
            (
                words(
                    "validation.totals.learnt",
                    level=words.percent(document["level"]),
                    lo=words.fixed(own["lo"], 2),
                    hi=words.fixed(own["hi"], 2),
                    right=words.percent(own["right"]),
                    before=words.percent(own["prior"]["right"]),
                    scale=words.percent(own["prior"]["scale"]),
                ),
            ),
            tone="note",
        )
    ]


def _choice(case: Case) -> list[Any]:
    """The family taken at each cut by the cuts before it, beside every family's bias there."""
    words, document = case.words, case.document
    if CHOSEN not in document["forecasts"] or len(document["origins"]) < 2:
        return []
    name = titles(document)
    biases = {one: document["forecasts"][one]["purchases"]["bias"] for one in document["families"]}
    rows = tuple(
        (
            Cell(words.date(step["cut"])),
            Cell(name[step["family"]]),
            Cell(words.count(step["learnt_from"])),
            *(Cell(case.signed(found[at])) for found in biases.values()),
        )
        for at, step in enumerate(document["chosen"]["path"])
    )
    head = (
        Column(words("validation.totals.cut"), number=False),
        Column(words("validation.choice.family"), number=False),
        Column(words("validation.choice.learnt_from")),
        *(Column(words("validation.choice.bias", family=name[one])) for one in biases),
    )
    return [
        Heading(words("validation.choice.title")),
        Text((words("validation.choice.text", next=name[document["chosen"]["next"]]),)),
        Table(words("validation.choice.caption"), head, rows),
    ]


def _scores(case: Case) -> list[Any]:
    words = case.words
    found = [one for one in case.last["rows"] if one["spend"] is not None]
    keys = ("mae", "rmse", "crps")
    rows = tuple(
        (
            Cell(one["title"]),
            Cell(case.signed(one["spend"]["bias"])),
            *(Cell(words.money(one["spend"][key])) for key in keys),
            Cell(words.percent((one["spend"]["coverage"] or {}).get("90"))),
        )
        for one in found
    )
    head = (
        Column(words("validation.forecasters.forecaster"), number=False),
        *(Column(words(f"validation.forecasters.{key}")) for key in ("bias", *keys, "coverage")),
    )
    caption = words("validation.money.caption", cut=words.date(case.last["cut"]))
    return [Table(caption, head, rows)]
