"""Week by week and customer by customer, at the newest cut."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bayesseg._types import SMALLEST
from bayesseg.report import figures
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
    lead = words("validation.customers.lead", cut=case.last["cut"], until=case.last["until"])
    return Section("weekly", words("validation.customers.title"), lead, tuple(blocks), {})


def _tracking(case: Case) -> list[Figure]:
    words = case.words
    found = [one for one in case.families() if one["tracking"]]
    if not found:
        return []
    first = found[0]["tracking"]
    names = [one["title"] for one in found]
    panels = [
        (
            words(f"validation.tracking.{key or 'weekly'}"),
            first[f"{key}actual"],
            [one["tracking"][f"{key}expected"] for one in found],
        )
        for key in ("", "cumulative_")
    ]
    every = range(3, len(first["week"]), 4)  # each fourth week in the table: the total so far
    rows = tuple(
        (
            Cell(first["week"][at]),
            Cell(words.count(first["cumulative_actual"][at])),
            *(
                Cell(
                    words.interval(
                        {
                            "mean": one["tracking"]["cumulative_expected"][at],
                            "lo": one["tracking"]["cumulative_lo"][at],
                            "hi": one["tracking"]["cumulative_hi"][at],
                        }
                    )
                )
                for one in found
            ),
        )
        for at in every
    )
    came = words("validation.totals.actual")
    head = (Column(words("validation.tracking.until"), number=False), Column(came))
    return [
        Figure(
            words("validation.tracking.title"),
            figures.courses(
                first["week"],
                panels,
                names,
                case.last["cut"],
                (came, words("validation.tracking.cut")),
                words.plain,
            ),
            words("validation.tracking.alt", n=len(first["week"])),
            words("validation.tracking.caption"),
            Table(
                words("validation.tracking.table"), (*head, *(Column(name) for name in names)), rows
            ),
        )
    ]


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
                Cell(first["level"][i]),
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
    words = case.words
    found = [
        (one["title"], [p for p in one["reliability"] if p["customers"] >= SMALLEST])
        for one in case.families()
        if one["reliability"]
    ]
    found = [(title, points) for title, points in found if points]
    if not found:
        return []
    panels = [
        (title, [p["expected"] for p in points], [_wilson(p) for p in points])
        for title, points in found
    ]
    legend = words("validation.reliability.forecast"), words("validation.reliability.observed")
    rows = tuple(
        (
            Cell(title),
            Cell(words.percent(p["expected"])),
            Cell(words.interval(_wilson(p), "percent")),
            Cell(words.count(p["customers"])),
        )
        for title, points in found
        for p in points
    )
    head = (Column(words("validation.totals.family"), number=False), *map(Column, legend))
    return [
        Figure(
            words("validation.reliability.title"),
            figures.reliability(panels, legend),
            words("validation.reliability.alt", n=len(found)),
            words("validation.reliability.caption"),
            Table(
                words("validation.reliability.title"),
                (*head, Column(words("page.customers"))),
                rows,
            ),
        )
    ]


def _wilson(point: Mapping[str, Any], z: float = 1.96) -> dict[str, float]:
    """An observed share with its 95 % Wilson interval."""
    share, n = point["actual"], point["customers"]
    centre, shrink = share + z * z / (2 * n), 1 + z * z / n
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return {"mean": share, "lo": (centre - half) / shrink, "hi": (centre + half) / shrink}


def _pit(case: Case) -> list[Figure]:
    words = case.words
    found = [(one["title"], one["pit"]) for one in case.families() if one["pit"]]
    if not found:
        return []
    bins = len(found[0][1]["counts"])
    total = sum(found[0][1]["counts"])
    if not total:
        return []
    noise = 1.96 * math.sqrt((bins - 1) / total)
    panels = [(title, [n * bins / total for n in pit["counts"]]) for title, pit in found]
    rows = tuple(
        (Cell(title), Cell(words.percent(pit["ks"])), Cell(case.decimals(pit["p"])))
        for title, pit in found
    )
    head = (
        Column(words("validation.totals.family"), number=False),
        Column(words("validation.pit.ks")),
        Column(words("validation.pit.p")),
    )
    return [
        Figure(
            words("validation.pit.title"),
            figures.uniform(panels, (max(1 - noise, 0.0), 1 + noise), words("validation.pit.axis")),
            words("validation.pit.alt", n=len(found)),
            words("validation.pit.caption"),
            Table(words("validation.pit.title"), head, rows),
        )
    ]
