"""Week by week and customer by customer, at the newest cut."""

from __future__ import annotations

from typing import Any

from bayesseg._types import SMALLEST
from bayesseg.report import calibration, figures
from bayesseg.report.blocks import Cell, Column, Figure, Heading, Section, Table
from bayesseg.report.validation.case import Case


def section(case: Case) -> Section | None:
    """Tracking, purchases by past purchases, reliability and PIT."""
    words = case.words
    blocks = [
        *_tracking(case),
        *_by_count(case),
        *_by_group(case),
        *_reliability(case),
        *_pit(case),
    ]
    if not blocks:
        return None
    cut, until = words.date(case.last["cut"]), words.date(case.last["until"])
    lead = words("validation.customers.lead", cut=cut, until=until)
    return Section("weekly", words("validation.customers.title"), lead, tuple(blocks), {})


def _tracking(case: Case) -> list[Figure]:
    found = {one["title"]: one["tracking"] for one in case.families() if one["tracking"]}
    return calibration.tracking(
        case.words, case.words("validation.tracking.title"), case.last["cut"], found
    )


def _by_count(case: Case) -> list[Figure]:
    words = case.words
    found = [one for one in case.families() if one["by_x"]]
    if not found:
        return []
    first = found[0]["by_x"]
    kept = [at for at, n in enumerate(first["customers"]) if n >= SMALLEST]
    if not kept:
        return []
    names = [one["title"] for one in found]
    came = words("validation.totals.actual")
    expected = [[one["by_x"]["expected"][at] for at in kept] for one in found]
    rows = tuple(
        (
            Cell(first["x"][at]),
            Cell(words.count(first["customers"][at])),
            Cell(words.number(first["actual"][at])),
            *(Cell(words.number(one["by_x"]["expected"][at])) for one in found),
        )
        for at in kept
    )
    head = [words("validation.by_x.x"), words("page.customers"), came, *names]
    return [
        Figure(
            words("validation.by_x.title"),
            figures.means(
                [first["x"][at] for at in kept],
                [first["actual"][at] for at in kept],
                expected,
                names,
                (came, words("validation.by_x.x"), words("validation.by_x.y")),
                words.plain,
            ),
            words("validation.by_x.alt", n=len(kept)),
            words("validation.by_x.caption", n=SMALLEST),
            Table(words("validation.by_x.title"), tuple(map(Column, head)), rows),
        )
    ]


def _by_group(case: Case) -> list[Any]:
    """A table an attribute: what came beside the families and what knows nothing of attributes."""
    words = case.words
    found = [one for one in case.last["rows"] if one["by_group"]]
    blocks: list[Any] = []
    for at, first in enumerate(found[0]["by_group"] if found else ()):
        kept = [i for i, n in enumerate(first["customers"]) if n >= SMALLEST]
        rows = tuple(
            (
                Cell(words.said(first["level"][i])),
                Cell(words.count(first["customers"][i])),
                Cell(words.number(first["actual"][i])),
                *(Cell(words.number(one["by_group"][at]["expected"][i])) for one in found),
            )
            for i in kept
        )
        head = (
            Column(first["column"], number=False),
            Column(words("page.customers")),
            Column(words("validation.totals.actual")),
            *(Column(one["title"]) for one in found),
        )
        blocks += [
            Heading(words("validation.by_group.title", column=first["column"])),
            Table(words("validation.by_group.caption", n=SMALLEST), head, rows),
        ]
    return blocks


def _reliability(case: Case) -> list[Figure]:
    found = {one["title"]: one["reliability"] for one in case.families() if one["reliability"]}
    return calibration.reliability(case.words, case.words("validation.totals.family"), found)


def _pit(case: Case) -> list[Figure]:
    words = case.words
    found = [one for one in case.families() if one["pit"]]
    rows = tuple(
        (
            Cell(one["title"]),
            Cell(words.percent(one["pit"]["ks"])),
            Cell(case.decimals(one["pit"]["p"])),
        )
        for one in found
    )
    head = (
        Column(words("validation.totals.family"), number=False),
        Column(words("validation.pit.ks")),
        Column(words("validation.pit.p")),
    )
    counts = {one["title"]: one["pit"]["counts"] for one in found}
    return calibration.pit(words, counts, Table(words("validation.pit.title"), head, rows))
