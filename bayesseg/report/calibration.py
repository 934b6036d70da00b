"""How customers fared against forecasts: reliability, PIT, and the weeks around a cut."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bayesseg.report import figures
from bayesseg.report.blocks import Cell, Column, Figure, Table
from bayesseg.report.words import Words

type Tenths = Sequence[Mapping[str, Any]]
"""``expected`` and ``actual`` shares of buyers among so many ``customers``."""


def reliability(words: Words, of: str, found: Mapping[str, Tenths]) -> list[Figure]:
    """Observed shares against forecast probabilities; ``found`` by what the column ``of`` names."""
    shown = {name: points for name, points in found.items() if points}
    if not shown:
        return []
    panels = [
        (name, [p["expected"] for p in points], [wilson(p) for p in points])
        for name, points in shown.items()
    ]
    legend = words("validation.reliability.forecast"), words("validation.reliability.observed")
    rows = tuple(
        (
            Cell(name),
            Cell(words.percent(p["expected"])),
            Cell(words.interval(wilson(p), "percent")),
            Cell(words.count(p["customers"])),
        )
        for name, points in shown.items()
        for p in points
    )
    head = (Column(of, number=False), *map(Column, legend), Column(words("page.customers")))
    title = words("validation.reliability.title")
    off = {
        name: sum(p["customers"] * abs(p["expected"] - p["actual"]) for p in points)
        / sum(p["customers"] for p in points)
        for name, points in shown.items()
    }
    return [
        Figure(
            title,
            figures.reliability(panels, legend, words.percent),
            words(
                "validation.reliability.alt",
                n=len(shown),
                off=_each(words, off),
            ),
            words("validation.reliability.caption"),
            Table(title, head, rows),
            of="reliability",
        )
    ]


def _each(words: Words, shares: Mapping[str, float]) -> str:
    return words.parts(words.pair(name, words.percent(share)) for name, share in shares.items())


def wilson(point: Mapping[str, Any], z: float = 1.96) -> dict[str, float]:
    """An observed share with its 95 % Wilson interval."""
    share, n = point["actual"], point["customers"]
    centre, shrink = share + z * z / (2 * n), 1 + z * z / n
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return {"mean": share, "lo": (centre - half) / shrink, "hi": (centre + half) / shrink}


def pit(words: Words, counts: Mapping[str, Sequence[float]], table: Table) -> list[Figure]:
    """Histograms of the randomised PIT, over the band in which chance alone leaves a flat one."""
    found = {name: values for name, values in counts.items() if sum(values)}
    if not found:
        return []
    first = next(iter(found.values()))
    noise = 1.96 * math.sqrt((len(first) - 1) / sum(first))
    heights = {
        name: [n * len(values) / sum(values) for n in values] for name, values in found.items()
    }
    ends = words.parts(
        words.pair(name, words("marks.span", lo=words.fixed(min(h), 2), hi=words.fixed(max(h), 2)))
        for name, h in heights.items()
    )
    band = (max(1 - noise, 0.0), 1 + noise)
    return [
        Figure(
            words("validation.pit.title"),
            figures.uniform(list(heights.items()), band, words("validation.pit.axis"), words.plain),
            words("validation.pit.alt", n=len(found), ends=ends),
            words("validation.pit.caption"),
            table,
            of="pit",
        )
    ]


def tracking(
    words: Words, title: str, cut: str, found: Mapping[str, Mapping[str, Any]]
) -> list[Figure]:
    """Repeat purchases week by week and added up, before and after ``cut``; ``found`` by forecaster."""
    if not found:
        return []
    first = next(iter(found.values()))
    panels = [
        (
            words(f"validation.tracking.{key or 'weekly'}"),
            first[f"{key}actual"],
            [[one[f"{key}{end}"] for end in ("expected", "lo", "hi")] for one in found.values()],
        )
        for key in ("", "cumulative_")
    ]
    every = range(3, len(first["week"]), 4)  # each fourth week in the table: the total so far
    rows = tuple(
        (
            Cell(words.date(first["week"][at])),
            Cell(words.count(first["cumulative_actual"][at])),
            *(Cell(words.interval(_so_far(one, at))) for one in found.values()),
        )
        for at in every
    )
    came = words("validation.totals.actual")
    head = (Column(words("validation.tracking.until"), number=False), Column(came))
    last = max(
        (at for at, n in enumerate(first["cumulative_actual"]) if n is not None),
        default=len(first["week"]) - 1,
    )
    said = words.parts(
        words.pair(n, words.interval(_so_far(one, last))) for n, one in found.items()
    )
    return [
        Figure(
            title,
            figures.courses(
                first["week"],
                panels,
                list(found),
                cut,
                (came, words("validation.tracking.cut")),
                words.plain,
                words.tick,
            ),
            words(
                "validation.tracking.alt",
                n=len(first["week"]),
                actual=words.count(first["cumulative_actual"][last]),
                expected=said,
            ),
            words("validation.tracking.caption"),
            Table(
                words("validation.tracking.table"), (*head, *(Column(name) for name in found)), rows
            ),
            of="tracking",
        )
    ]


def _so_far(one: Mapping[str, Any], at: int) -> dict[str, float]:
    ends = {"mean": "expected", "lo": "lo", "hi": "hi"}
    return {name: one[f"cumulative_{key}"][at] for name, key in ends.items()}
