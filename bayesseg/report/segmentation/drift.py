"""The page of ``bayesseg drift``: who moved, beside what uncertainty alone would move."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bayesseg.report import figures, shapes
from bayesseg.report.blocks import Cell, Column, Fact, Figure, Heading, Items, Section, Table, Text
from bayesseg.report.rendering import Page
from bayesseg.report.sections.portrait import feature
from bayesseg.report.segmentation.parts import (
    head,
    page,
    repeated,
    sentence,
    signed,
    verdict,
)
from bayesseg.report.words import Words, load_words

_TONES = {"too_few": "caution", "stable": "passed", "watch": "caution", "refit": "failed"}
_SMALL = 11
"""Customers below which a count is hidden."""
_NOBODY = "–"


def build(
    document: Mapping[str, Any], *, command: Sequence[str] = (), language: str = "en"
) -> Page:
    """Build the page of what ``segmentation.drift`` found."""
    words = load_words(language)
    windows = document.get("windows") or {}
    facts = [(words("drift.facts.both"), words.count(document["customers"]["both"]))]
    spans = {
        f"window_{name}": words(
            "moves.span",
            first=words.date(windows[name]["first"]),
            last=words.date(windows[name]["last"]),
        )
        for name in ("before", "after")
        if windows
    }
    facts = [(words(f"moves.facts.{key}"), span) for key, span in spans.items()] + facts
    sections = (
        _verdict(words, document),
        _moves(words, document),
        _shares(words, document),
        _shifts(words, document),
        _refit(words, document),
        repeated(words, command, {"model_id": document["model_id"], **spans}),
    )
    tone = _TONES[document["status"]]
    return page(words, document, sections, kind="drift", tone=tone, facts=facts, command=command)


def blocks(words: Words, document: Mapping[str, Any]) -> tuple[Any, ...]:
    """Sizes before and after, who moved, and what the features and the fit say."""
    return tuple(
        block
        for section in (_shares(words, document), _moves(words, document), _shifts(words, document))
        if section is not None
        for block in section.blocks
    )


def _verdict(words: Words, document: Mapping[str, Any]) -> Section:
    status, moves, customers = document["status"], document["migration"], document["customers"]
    judged = [
        (_TONES[one["level"]], words(f"drift.level.{one['level']}"), _said(words, one["says"]))
        for one in document["reasons"]
    ]
    facts = [
        Fact(words(f"drift.facts.{key}"), words.count(customers[key]), "", words(f"drift.{key}"))
        for key in ("both", "gone", "new")
    ]
    if customers["both"]:
        facts.insert(
            1,
            Fact(
                words("drift.facts.switching"),
                *words.halves(moves["switching"], "percent"),
                words(
                    "drift.switching",
                    share=words.interval(moves["switching_baseline"], "percent"),
                ),
            ),
        )
    return verdict(
        words,
        f"drift.verdict.{status}",
        f"drift.lead.{status}",
        judged,
        facts,
        tuple(map(words.said, document["words"])),
    )


def _said(words: Words, text: str) -> str:
    """A reason as a sentence; one that begins with a column's name keeps it as it is."""
    said = words.said(text)
    return sentence(said) if text.startswith("the ") else f"{said}."


# --- who moved -----------------------------------------------------------------------------------


def _moves(words: Words, document: Mapping[str, Any]) -> Section | None:
    moves, shares = document["migration"], document["shares"]
    if not document["customers"]["both"]:
        return None
    names = [words.called(one) for one in shares]
    blocks: list[Any] = [_flow(words, moves, names), *_matrix(words, moves, names)]
    if moves["sure"]["customers"] >= _SMALL:
        blocks += _hard(words, moves, names)
    return Section(
        "moves", words("drift.moves.title"), words("drift.moves.lead"), tuple(blocks), {}
    )


def _flow(words: Words, moves: Mapping[str, Any], names: Sequence[str]) -> Figure:
    own, K = moves["customers"], len(names)
    nobody = {"mean": 0.0, "lo": 0.0, "hi": 0.0}
    table = [[*row, left] for row, left in zip(own["flow"], own["left"], strict=True)]
    table.append([*own["came"], nobody])
    more = [[one["lo"] > 0 for one in row] for row in moves["excess"]]
    sure = [[*(j == k or more[j][k] for k in range(K)), True] for j in range(K)]
    sure.append([True] * (K + 1))
    before = [sum(one["mean"] for one in row) for row in table]
    after = [sum(row[k]["mean"] for row in table) for k in range(K + 1)]
    sides = [*names, words("drift.moves.came")], [*names, words("drift.moves.left")]
    columns = _towards(words, sides[1])
    rows = tuple(
        (Cell(name), *(Cell(_count(words, one)) for one in row))
        for name, row in zip(sides[0], table, strict=True)
    )
    return Figure(
        words("drift.moves.flow"),
        shapes.flows(
            before,
            after,
            table,
            sure,
            sides,
            (words("drift.moves.before"), words("drift.moves.after")),
        ),
        words("drift.moves.alt", n=K),
        words("drift.moves.caption"),
        Table(words("drift.moves.customers"), columns, rows),
    )


def _towards(words: Words, names: Sequence[str]) -> tuple[Column, ...]:
    """Heads of a table from segments (rows) to segments."""
    return (
        Column(words("drift.moves.from"), number=False, wide=True),
        *(Column(words("drift.moves.to", name=name), wide=True) for name in names),
    )


def _count(words: Words, of: Mapping[str, float]) -> str:
    """Customers with their interval; few of them are hidden."""
    if of["mean"] == 0.0:
        return words.count(0)
    return words("drift.moves.few", n=_SMALL) if of["mean"] < _SMALL else words.interval(of)


def _matrix(words: Words, moves: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    """Where members are now: share, interval, and the same without any change."""
    columns = (*_towards(words, names), Column(words("drift.moves.exits"), wide=True))

    def share(j: int, k: int) -> Cell:
        if not moves["followed"][j]:
            return Cell(_NOBODY)
        unmoved = words.percent(moves["baseline"][j][k]["mean"])
        return Cell(
            words.interval(moves["matrix"][j][k], "percent"),
            small=words("drift.moves.unmoved", share=unmoved),
            heat=_excess(moves["excess"][j][k]),
            hint=words("drift.moves.excess", points=signed(words, moves["excess"][j][k])),
        )

    def gone(j: int) -> Cell:
        known = moves["peopled"][j]
        return Cell(words.interval(moves["exits"][j], "percent") if known else _NOBODY)

    rows = [
        (Cell(name), *(share(j, k) for k in range(len(names))), gone(j))
        for j, name in enumerate(names)
    ]
    rows.append(
        (
            Cell(words("drift.moves.entries")),
            *(Cell(words.interval(one, "percent")) for one in moves["entries"]),
            Cell(""),
        )
    )
    return [
        Heading(words("drift.moves.matrix")),
        Text((words("drift.moves.reading"),)),
        Table(words("drift.moves.table"), columns, tuple(rows)),
    ]


def _excess(of: Mapping[str, float]) -> int:
    """Shaded where more or fewer moved than uncertainty alone would move, the darker the more."""
    if of["lo"] <= 0 <= of["hi"]:
        return 0
    size = 1 + sum(abs(of["mean"]) >= limit for limit in (0.05, 0.1, 0.2))
    return size if of["mean"] > 0 else -size


def _hard(words: Words, moves: Mapping[str, Any], names: Sequence[str]) -> list[Any]:
    """Customers who are sure in both periods, counted; small cells hidden, never one alone."""
    few = words("drift.moves.hidden")
    rows = tuple(
        (Cell(name), *(Cell(few if n is None else words.count(n)) for n in line))
        for name, line in zip(names, moves["sure"]["counts"], strict=True)
    )
    caption = words("drift.moves.sure", n=words.count(moves["sure"]["customers"]))
    return [Table(caption, _towards(words, names), rows)]


# --- sizes, distributions, segments --------------------------------------------------------------


def _shares(words: Words, document: Mapping[str, Any]) -> Section:
    sides = ("before", "after")
    figure = _beside(words, "shares", document["shares"], sides, "change", signed, "percent")
    return Section("shares", words("drift.shares.title"), words("drift.shares.lead"), (figure,), {})


def _beside(
    words: Words,
    key: str,
    found: Sequence[Mapping[str, Any]],
    sides: tuple[str, str],
    last: str,
    said: Callable[[Words, Any], str],
    kind: str = "number",
) -> Figure:
    """Segments with two intervals side by side, and in the table what is ``said`` of ``last``."""
    names = [words.called(one) for one in found]
    write = words.percent if kind == "percent" else words.plain
    panels = [(words(f"drift.{key}.{side}"), [one[side] for one in found], write) for side in sides]
    rows = tuple(
        (
            Cell(words.called(one)),
            *(Cell(words.interval(one[side], kind)) for side in sides),
            Cell(said(words, one[last])),
        )
        for one in found
    )
    columns = head(words, f"drift.{key}", "segment", *sides, last)
    return Figure(
        words(f"drift.{key}.figure"),
        figures.dots(panels, names),
        words(f"drift.{key}.alt", n=len(names)),
        words(f"drift.{key}.caption"),
        Table(words(f"drift.{key}.title"), columns, rows),
    )


def _shifts(words: Words, document: Mapping[str, Any]) -> Section:
    def name(key: str) -> str:
        return words("drift.psi.segments") if key == "segments" else feature(words, key)

    rows = tuple(
        (
            Cell(name(key)),
            Cell(words.fixed(one["psi"], 3)),
            Cell(words.fixed(one["null"], 3)),
            Cell(words(f"drift.level.{one['level']}"), heat=-2 * _rank(one["level"])),
        )
        for key, one in document["psi"].items()
    )
    columns = head(words, "drift.psi", "of", "psi", "null", "level")
    fit = document["fit"]
    outliers = words(
        "drift.psi.outliers",
        share=words.percent(fit["outliers"]),
        usual=words.percent(fit["outliers_before"]),
        chance=words.percent(fit["outliers_by_chance"]),
    )
    blocks = (Table(words("drift.psi.caption"), columns, rows), Text((outliers,)))
    return Section("psi", words("drift.psi.title"), words("drift.psi.lead"), blocks, {})


def _rank(level: str) -> int:
    return list(_TONES).index(level)


def _refit(words: Words, document: Mapping[str, Any]) -> Section | None:
    found = document["refit"]["segments"]
    if not found:
        return None

    def fate(words: Words, fate: str) -> str:
        return words(f"drift.fate.{fate}")

    sides = ("jaccard", "without_change")
    fates = tuple(words.said(one["says"]) for one in document["refit"]["fates"])
    blocks: list[Any] = [_beside(words, "refit", found, sides, "fate", fate), Items(fates)]
    if any(one["seen_in"] != [one["id"]] for one in found):
        blocks.insert(0, Text((words("drift.refit.mapped"),), tone="note"))
    return Section(
        "refit", words("drift.refit.title"), words("drift.refit.lead"), tuple(blocks), {}
    )
