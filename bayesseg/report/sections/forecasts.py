"""What is expected, how much of it to believe, and where it sits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayesseg._types import SMALLEST
from bayesseg.report import figures
from bayesseg.report.blocks import Cell, Column, Context, Figure, Heading, Section, Table, Text
from bayesseg.report.sections.segments import marks
from bayesseg.report.words import Words

SHARES = (0.01, 0.05, 0.10, 0.20, 0.50)
TOP = 0.10
"""The share that the words speak of."""


def section(context: Context) -> Section | None:
    """Backtests, weekly tracking, churn by segment and the concentration of value."""
    if "p_churn" not in context.scores:
        return None
    words = context.words
    blocks: list[Any] = [*_backtests(context), *_tracking(context)]
    blocks += _churn(context)
    value, data = _concentration(context)
    blocks += value
    return Section(
        "forecasts",
        words("forecasts.title"),
        words("forecasts.lead", h=context.document["settings"]["horizon_days"]),
        tuple(blocks),
        {
            "totals": context.document.get("totals", {}),
            "backtests": list(context.posterior.summary.get("backtests", ())),
            "concentration": data,
        },
    )


def _backtests(context: Context) -> list[Any]:
    words = context.words
    found: Sequence[Mapping[str, Any]] = context.posterior.summary.get("backtests", ())
    if not found:
        return [
            Heading(words("forecasts.backtests.title")),
            Text((words("forecasts.backtests.none"),)),
        ]
    blocks: list[Any] = [
        Heading(words("forecasts.backtests.title")),
        Text((words("forecasts.backtests.text"),)),
    ]
    for part in ("purchase", "spend"):
        own = [one for one in found if one.get("part", "purchase") == part]
        if not own:
            continue
        title = words(f"forecasts.backtests.{part}")
        legend = [words(f"forecasts.backtests.{key}") for key in ("forecast", "actual")]
        kind = "money" if part == "spend" else "number"
        rows = tuple(
            (
                Cell(one["cut"], small=_share(words, one)),
                Cell(words.count(one["horizon_days"])),
                Cell(words.interval(one, kind)),
                Cell(words.money(one["actual"]) if part == "spend" else words.count(one["actual"])),
                Cell(_signed(context, one["bias"])),
            )
            for one in own
        )
        head = tuple(
            Column(words(f"forecasts.backtests.{key}"), number=key != "cut")
            for key in ("cut", "horizon", "forecast", "actual", "bias")
        )
        blocks.append(
            Figure(
                title,
                figures.forecasts(
                    [_cut(words, one) for one in own],
                    [one["actual"] for one in own],
                    own,
                    [*legend, words(f"forecasts.backtests.axis_{part}")],
                    words.plain,
                ),
                words("forecasts.backtests.alt", n=len(own)),
                " ".join(
                    words(f"forecasts.backtests.{key}")
                    for key in ("caption", *(("sampled",) if any(map(_sampled, own)) else ()))
                ),
                Table(title, head, rows),
                minor=True,
            )
        )
    return blocks


def _sampled(one: Mapping[str, Any]) -> bool:
    """Whether a backtest is about some of the customers."""
    return float(one.get("share", 1.0)) < 1.0


def _share(words: Words, one: Mapping[str, Any]) -> str:
    share = words.percent(one["share"]) if _sampled(one) else ""
    return words("forecasts.backtests.of", share=share) if share else ""


def _cut(words: Words, one: Mapping[str, Any]) -> str:
    """The day, marked where the totals are of a sample."""
    return f"{one['cut']} ({words.percent(one['share'])})" if _sampled(one) else str(one["cut"])


def _signed(context: Context, bias: float) -> str:
    return ("+" if bias > 0 else "−") + context.words.percent(abs(bias))


def _tracking(context: Context) -> list[Any]:
    words, found = context.words, context.posterior.summary.get("weekly")
    if not found or not found["week"]:
        return []
    expected = [
        {"mean": m, "lo": lo, "hi": hi}
        for m, lo, hi in zip(found["mean"], found["lo"], found["hi"], strict=True)
    ]
    legend = [words(f"forecasts.tracking.{key}") for key in ("actual", "expected", "axis")]
    title = words("forecasts.tracking.title")
    rows = tuple(
        (Cell(week), Cell(words.count(came)), Cell(words.interval(one)))
        for week, came, one in zip(found["week"], found["actual"], expected, strict=True)
    )
    head = (
        Column(words("forecasts.tracking.week"), number=False),
        Column(legend[0]),
        Column(legend[1]),
    )
    return [
        Figure(
            title,
            figures.tracking(found["week"], found["actual"], expected, legend),
            words("forecasts.tracking.alt", n=len(rows)),
            words("forecasts.tracking.caption"),
            Table(title, head, rows),
        ),
    ]


def _churn(context: Context) -> list[Any]:
    words, found = context.words, context.document.get("segments") or ()
    found = [one for one in found if _known(one, "p_churn")]
    if not found:
        return []
    names = [f"{one['id']} {one['name']}" for one in found]
    keys = [key for key in ("p_churn", "clv") if all(_known(one, key) for one in found)]
    write = {"p_churn": words.percent, "clv": words.plain}
    panels = [
        (words(f"forecasts.churn.{key}"), [one[key] for one in found], write[key]) for key in keys
    ]
    title = words("forecasts.churn.title")
    kinds = {"p_churn": "percent", "clv": "money"}
    rows = tuple(
        (Cell(name), *(Cell(words.interval(one[key], kinds[key])) for key in keys))
        for name, one in zip(names, found, strict=True)
    )
    head = (
        Column(words("segments.segment"), number=False),
        *(Column(words(f"forecasts.churn.{key}")) for key in keys),
    )
    return [
        Figure(
            title,
            figures.dots(panels, names, marks=marks(context, found)),
            words("forecasts.churn.alt", n=len(names)),
            words("forecasts.churn.caption"),
            Table(title, head, rows),
        ),
    ]


def _known(one: Mapping[str, Any], name: str) -> bool:
    """Whether a segment has that number, and may show it."""
    return bool(one.get(name)) and one[name]["mean"] is not None


def _concentration(context: Context) -> tuple[list[Any], dict[str, float]]:
    """Share of expected value held by the top customers, never fewer than can be shown."""
    words = context.words
    if "clv" not in context.scores:
        return [], {}
    value = np.sort(np.nan_to_num(context.scores["clv"].to_numpy(float)))[::-1]
    least = SMALLEST / len(value)
    if value.sum() <= 0 or least > TOP:
        return [], {}
    held = np.concatenate([[0.0], np.cumsum(value) / value.sum()])
    at = np.linspace(0, 1, len(held))
    grid = np.linspace(0, 1, 201)
    grid = np.append(0.0, grid[grid >= least])
    top = {f"{s:g}": float(np.interp(s, at, held)) for s in SHARES if s >= least}
    title = words("forecasts.concentration.title")
    legend = [words(f"forecasts.concentration.{key}") for key in ("customers", "value")]
    rows = tuple(
        (Cell(words.percent(float(share))), Cell(words.percent(held_by)))
        for share, held_by in top.items()
    )
    return [
        Figure(
            title,
            figures.concentration(grid.tolist(), np.interp(grid, at, held).tolist(), legend),
            words("forecasts.concentration.alt", top=words.percent(top[f"{TOP:g}"])),
            words("forecasts.concentration.caption", top=words.percent(top[f"{TOP:g}"])),
            Table(title, tuple(Column(text) for text in legend), rows),
        ),
    ], top
