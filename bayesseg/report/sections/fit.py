"""Does the model describe these customers: counts, weeks, and single customers after each cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesseg.report import calibration, figures
from bayesseg.report.blocks import Cell, Column, Context, Figure, Heading, Section, Table, Text
from bayesseg.report.words import Words


def section(context: Context) -> Section | None:
    """Rootogram, weeks, reliability and PIT; nothing of a model without purchases."""
    if "purchase" not in context.posterior.spec.parts:
        return None
    words, summary = context.words, context.posterior.summary
    single = {
        one["cut"]: {**one["single"], "known": one["customers"]}
        for one in summary.get("backtests", ())
        if one.get("single")
    }
    blocks = [
        *_rootogram(words, summary.get("rootogram")),
        *_weekly(words, summary.get("weekly")),
        *_single(words, single),
    ]
    return Section(
        "fit",
        words("fit.title"),
        words("fit.lead"),
        tuple(blocks),
        {
            "rootogram": summary.get("rootogram"),
            "weekly": summary.get("weekly"),
            "reliability": {
                cut: [{**point, **calibration.wilson(point)} for point in one["reliability"]]
                for cut, one in single.items()
            },
            "pit": {cut: one["pit"] for cut, one in single.items()},
        },
    )


def _single(words: Words, found: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    blocks: list[Any] = [Heading(words("fit.single"))]
    if not found:
        return [*blocks, Text((words("fit.no_single"),), tone="note")]
    found = {words.date(cut): one for cut, one in found.items()}
    head = (
        Column(words("forecasts.backtests.cut"), number=False),
        *(Column(words("fit.tenth", n=n + 1)) for n in range(10)),
    )
    rows = tuple(
        (Cell(cut), *(Cell(words.count(n)) for n in one["pit"]))
        for cut, one in found.items()
        if sum(one["pit"])
    )
    tenths = {cut: one["reliability"] for cut, one in found.items()}
    places = {cut: one["pit"] for cut, one in found.items()}
    return [
        *blocks,
        Text((_whom(words, found),)),
        *calibration.reliability(words, words("forecasts.backtests.cut"), tenths),
        *calibration.pit(words, places, Table(words("fit.pit"), head, rows)),
    ]


def _whom(words: Words, found: Mapping[str, Mapping[str, Any]]) -> str:
    """Of very many customers some are drawn, and it is said of how many."""
    if all(one["customers"] == one["known"] for one in found.values()):
        return words("fit.single_text")
    some = words.parts(
        words(
            "fit.single_of", cut=cut, n=words.count(one["customers"]), m=words.count(one["known"])
        )
        for cut, one in found.items()
    )
    return words("fit.single_some", some=some)


def _rootogram(words: Words, found: Mapping[str, Any] | None) -> list[Any]:
    if not found:
        return []
    predicted = [
        {"mean": m, "lo": lo, "hi": hi}
        for m, lo, hi in zip(found["mean"], found["lo"], found["hi"], strict=True)
    ]
    legend = [words(f"sampling.rootogram.{key}") for key in ("observed", "predicted", "x", "y")]
    title = words("sampling.rootogram.title")
    head = (Column(legend[2], number=False), Column(legend[0]), Column(legend[1]))
    rows = tuple(
        (Cell(label), Cell(words.count(n)), Cell(words.interval(one)))
        for label, n, one in zip(found["bins"], found["observed"], predicted, strict=True)
    )
    said = words.parts(
        words("sampling.rootogram.one", x=x.text, observed=n.text, predicted=said.text)
        for x, n, said in rows
    )
    return [
        Figure(
            title,
            figures.rootogram(found["bins"], found["observed"], predicted, legend),
            words("sampling.rootogram.alt", numbers=said),
            _simulated(words, found),
            Table(title, head, rows),
            of="rootogram",
        )
    ]


def _simulated(words: Words, found: Mapping[str, Any]) -> str:
    """Every draw simulates all customers, or of very many some."""
    customers = sum(found["observed"])
    if found["simulated"] == customers:
        return words("sampling.rootogram.caption", n=found["draws"])
    some, every = words.count(found["simulated"]), words.count(customers)
    return words("sampling.rootogram.sampled", n=found["draws"], k=some, m=every)


def _weekly(words: Words, found: Mapping[str, Any] | None) -> list[Any]:
    if not found or not found["week"]:
        return []
    expected = [
        {"mean": m, "lo": lo, "hi": hi}
        for m, lo, hi in zip(found["mean"], found["lo"], found["hi"], strict=True)
    ]
    legend = [words(f"forecasts.tracking.{key}") for key in ("actual", "expected", "axis")]
    rows = tuple(
        (Cell(words.date(week)), Cell(words.count(came)), Cell(words.interval(one)))
        for week, came, one in zip(found["week"], found["actual"], expected, strict=True)
    )
    head = (
        Column(words("forecasts.tracking.week"), number=False),
        Column(legend[0]),
        Column(legend[1]),
    )
    title = words("forecasts.tracking.title")
    shown = [(n, e) for n, e in zip(found["actual"], expected, strict=True) if n is not None]
    outside = sum(not e["lo"] <= n <= e["hi"] for n, e in shown)
    return [
        Figure(
            title,
            figures.tracking(found["week"], found["actual"], expected, legend, words.tick),
            words(
                "forecasts.tracking.alt",
                n=len(rows),
                actual=words.count(sum(n for n, _ in shown)),
                expected=words.count(sum(e["mean"] for _, e in shown)),
                outside=words.count(outside),
            ),
            words("forecasts.tracking.caption"),
            Table(title, head, rows),
            of="weekly",
        ),
    ]
