"""What is expected, how much of it to believe, and where it sits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayesseg._types import SMALLEST
from bayesseg.families import FAMILIES
from bayesseg.report import calibration, figures
from bayesseg.report.blocks import Cell, Column, Context, Figure, Heading, Section, Table, Text
from bayesseg.report.sections.segments import marks
from bayesseg.report.words import Words

SHARES = (0.01, 0.05, 0.10, 0.20, 0.50)
TOP = 0.10
"""The share that the words speak of."""
STEPS = (0.005, 0.01, 0.02, 0.05, 0.10)
"""Of the curve, in shares of the customers: the smallest that holds enough of them."""
_LONG = ("single", "weeks")


def section(context: Context) -> Section | None:
    """Backtests, the weeks after each cut, churn by segment and the concentration of value."""
    if "p_churn" not in context.scores:
        return None
    words = context.words
    tests: Sequence[Mapping[str, Any]] = context.posterior.summary.get("backtests", ())
    weeks = {one["cut"]: one["weeks"] for one in tests if one.get("weeks")}
    blocks: list[Any] = [*_backtests(context, tests), *_tracking(context, weeks)]
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
            "backtests": [{k: v for k, v in one.items() if k not in _LONG} for one in tests],
            "tracking": weeks,
            "churn": [
                {k: one.get(k) for k in ("id", "name", "p_churn", "clv")}
                for one in context.document.get("segments") or ()
            ],
            "concentration": data,
        },
    )


def _backtests(context: Context, found: Sequence[Mapping[str, Any]]) -> list[Any]:
    words = context.words
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
                Cell(words.date(one["cut"]), small=_share(words, one)),
                Cell(words.count(one["horizon_days"])),
                Cell(words.interval(one, kind)),
                Cell(words.money(one["actual"]) if part == "spend" else words.count(one["actual"])),
                Cell(_signed(words, one["bias"])),
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
                words("forecasts.backtests.alt", numbers=_said(words, own, kind)),
                " ".join(
                    words(f"forecasts.backtests.{key}")
                    for key in ("caption", *(("sampled",) if any(map(_sampled, own)) else ()))
                ),
                Table(title, head, rows),
                minor=True,
                of="backtests",
            )
        )
    return blocks


def _said(words: Words, found: Sequence[Mapping[str, Any]], kind: str) -> str:
    return words.parts(
        words(
            "forecasts.backtests.one",
            cut=words.date(one["cut"]),
            forecast=words.interval(one, kind),
            actual=words.money(one["actual"]) if kind == "money" else words.count(one["actual"]),
        )
        for one in found
    )


def _sampled(one: Mapping[str, Any]) -> bool:
    """Whether a backtest is about some of the customers."""
    return float(one.get("share", 1.0)) < 1.0


def _share(words: Words, one: Mapping[str, Any]) -> str:
    share = words.percent(one["share"]) if _sampled(one) else ""
    return words("forecasts.backtests.of", share=share) if share else ""


def _cut(words: Words, one: Mapping[str, Any]) -> str:
    """The day, marked where the totals are of a sample."""
    cut = words.date(one["cut"])
    return f"{cut} ({words.percent(one['share'])})" if _sampled(one) else cut


def _signed(words: Words, bias: float) -> str:
    said = words.percent(abs(bias))
    return said if said == words.percent(0) else f"{'+' if bias > 0 else '−'}{said}"


def _tracking(context: Context, found: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    words = context.words
    family = FAMILIES[context.posterior.spec.parts["purchase"].family].title
    return [
        figure
        for cut, weeks in found.items()
        for figure in calibration.tracking(
            words, words("forecasts.tracking.after", cut=words.date(cut)), cut, {family: weeks}
        )
    ]


def _churn(context: Context) -> list[Any]:
    words, found = context.words, context.document.get("segments") or ()
    found = [one for one in found if _known(one, "p_churn")]
    if not found:
        return []
    names = [words.called(one) for one in found]
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
            words("forecasts.churn.alt", numbers=_texts(words, rows)),
            words("forecasts.churn.caption"),
            Table(title, head, rows),
            of="churn",
        ),
    ]


def _texts(words: Words, rows: Sequence[Sequence[Cell]]) -> str:
    """Rows of a table as a sentence."""
    return words.parts(", ".join(cell.text for cell in row) for row in rows)


def _known(one: Mapping[str, Any], name: str) -> bool:
    """Whether a segment has that number, and may show it."""
    return bool(one.get(name)) and one[name]["mean"] is not None


def _concentration(context: Context) -> tuple[list[Any], dict[str, Any]]:
    """Share of expected value held by the top customers, in steps never of fewer than can be shown."""
    words = context.words
    if "clv" not in context.scores:
        return [], {}
    value = np.sort(np.nan_to_num(context.scores["clv"].to_numpy(float)))[::-1]
    step = next((s for s in STEPS if s * len(value) >= SMALLEST), None)
    if value.sum() <= 0 or step is None:
        return [], {}
    held = np.concatenate([[0.0], np.cumsum(value) / value.sum()])
    share = np.linspace(0, 1, round(1 / step) + 1)
    own = np.interp(share, np.linspace(0, 1, len(held)), held)
    top = {f"{s:g}": float(own[round(s / step)]) for s in SHARES if _whole(s / step)}
    title = words("forecasts.concentration.title")
    legend = [words(f"forecasts.concentration.{key}") for key in ("customers", "value")]
    rows = tuple(
        (Cell(words.percent(float(share))), Cell(words.percent(held_by)))
        for share, held_by in top.items()
    )
    most = words.percent(top[f"{TOP:g}"])
    return [
        Figure(
            title,
            figures.concentration(share.tolist(), own.tolist(), legend, words.percent),
            words("forecasts.concentration.alt", top=most),
            words("forecasts.concentration.caption", top=most),
            Table(title, tuple(Column(text) for text in legend), rows),
            of="concentration",
        ),
    ], {"top": top, "customers": share.tolist(), "value": own.tolist()}


def _whole(ratio: float) -> bool:
    return abs(ratio - round(ratio)) < 1e-9
