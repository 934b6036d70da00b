"""Families, the usual estimates and plain benchmarks side by side."""

from __future__ import annotations

from typing import Any

from bayesseg.report.blocks import Cell, Column, Heading, Items, Section, Table, Text
from bayesseg.report.validation.case import Case
from bayesseg.validation.comparison import comparison

LEVELS = ("50", "80", "90", "95")


def section(case: Case) -> Section:
    """One line a forecaster over all cuts, their coverage, and what LOO says of the families."""
    words = case.words
    blocks = [*_side_by_side(case), *_coverage(case), *_loo(case)]
    return Section(
        "forecasters",
        words("validation.forecasters.title"),
        words("validation.forecasters.lead"),
        tuple(blocks),
        {},
    )


def _side_by_side(case: Case) -> list[Any]:
    words, n = case.words, len(case.document["origins"])
    lines = comparison(case.document)
    keys = ("mae", "rmse", "crps", "brier", "log_loss", "auc")
    rows = tuple(
        (
            Cell(one["title"]),
            Cell(case.signed(one["bias"])),
            Cell(words.percent(one["miss"])),
            *(Cell(case.decimals(one[key])) for key in keys),
            Cell(words.percent(one["top_decile"])),
        )
        for one in lines
    )
    head = (
        Column(words("validation.forecasters.forecaster"), number=False),
        *(
            Column(words(f"validation.forecasters.{key}"))
            for key in ("bias", "miss", *keys, "top_decile")
        ),
    )
    notes = [
        words("marks.colon", head=one["title"], rest=one["note"]) for one in lines if one["note"]
    ]
    notes += [
        words("validation.forecasters.fewer", title=one["title"], n=words.count(one["origins"]))
        for one in lines
        if 0 < one["origins"] < n
    ]
    return [
        Table(words.plural("validation.forecasters.caption", n), head, rows),
        Text((words("validation.forecasters.reading"),), tone="note"),
        *([Items(tuple(notes))] if notes else []),
    ]


def _coverage(case: Case) -> list[Any]:
    words = case.words
    found = [one for one in case.last["rows"] if one["purchases"] and one["purchases"]["coverage"]]
    if not found:
        return []
    rows = tuple(
        (
            Cell(one["title"]),
            *(Cell(words.percent(one["purchases"]["coverage"][level])) for level in LEVELS),
        )
        for one in found
    )
    head = (
        Column(words("validation.forecasters.forecaster"), number=False),
        *(Column(words("validation.coverage.level", level=level)) for level in LEVELS),
    )
    return [
        Heading(words("validation.coverage.title")),
        Text((words("validation.coverage.text"),)),
        Table(words("validation.coverage.caption", cut=words.date(case.last["cut"])), head, rows),
    ]


def _loo(case: Case) -> list[Any]:
    words, loo = case.words, case.document["loo"]
    if loo is None:
        return []
    title = Heading(words("validation.loo.title"))
    if not loo["families"]:
        return [title, Text((words("validation.loo.none", reason=words.said(loo["reason"])),))]
    names = {one["name"]: one["title"] for one in case.last["rows"]}
    rows = tuple(
        (
            Cell(names[one["name"]]),
            Cell(case.decimals(one["elpd"], 1)),
            Cell(case.decimals(one["difference"], 1)),
            Cell(case.decimals(one["difference_se"], 1)),
            Cell(case.decimals(one["p"], 1)),
            Cell(words.count(one["bad_k"])),
        )
        for one in loo["families"]
    )
    head = (
        Column(words("validation.totals.family"), number=False),
        *(
            Column(words(f"validation.loo.{key}"))
            for key in ("elpd", "difference", "difference_se", "p", "bad_k")
        ),
    )
    limit = case.decimals(loo["families"][0]["limit"], 2)
    return [
        title,
        Text((words("validation.loo.text", limit=limit),)),
        Table(words("validation.loo.caption", n=words.count(loo["customers"])), head, rows),
    ]
