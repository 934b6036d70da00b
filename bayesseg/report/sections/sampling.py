"""How the posterior was computed and how we know that it was: ArviZ's diagnostics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayesseg._types import PARTS, Family
from bayesseg.families import FAMILIES
from bayesseg.posterior import Posterior
from bayesseg.report import diagnostics, figures
from bayesseg.report.blocks import (
    Cell,
    Column,
    Context,
    Details,
    Figure,
    Heading,
    Section,
    Table,
    Text,
)
from bayesseg.report.words import Words

PICTURED = 4
LISTED = 24
WORST = 10


def section(context: Context) -> Section:
    """A table and pictures a part, then the posterior predictive check."""
    words, manifest = context.words, context.posterior.manifest
    blocks: list[Any] = []
    data: dict[str, Any] = {}
    for part in (part for part in PARTS if part in context.tree.children):
        tree = context.tree[part]
        family = FAMILIES[context.posterior.spec.parts[part].family]
        values = diagnostics.scalars(tree["posterior"], _labels(context.posterior, family))
        stats = tree["sample_stats"].data_vars if "sample_stats" in tree.children else {}
        rows = diagnostics.summary(values)
        data[part] = rows
        blocks.append(
            Heading(words("sampling.part", part=words(f"parts.{part}"), family=family.title))
        )
        blocks.append(_table(words, rows))
        if "rootogram" in context.posterior.summary and part == "purchase":
            blocks += _rootogram(words, context.posterior.summary["rootogram"])
        if not diagnostics.points(values):
            blocks.append(_pictures(words, part, _pictured(values, rows, family.textbook), stats))
    return Section(
        "sampling",
        words("sampling.title"),
        words("sampling.lead"),
        tuple(blocks),
        {
            "gates": list(manifest["gates"]),
            "diagnostics": data,
            "rootogram": context.posterior.summary.get("rootogram"),
        },
    )


def _labels(posterior: Posterior, family: Family) -> dict[str, list[Sequence[str]]]:
    """Names of segments and features along the axes of each vector parameter."""
    state = posterior.features
    if state is None:
        return {}

    def of(kind: str) -> list[str]:
        return [feature.column for feature in state.features if feature.type == kind]

    names: dict[str, Sequence[str]] = {
        "segment": posterior.manifest["segments"]["ids"],
        "feature": of("number"),
        "binary_feature": of("binary"),
        "count_feature": of("count"),
    }
    return {
        param.name: [names[dim] for dim in param.dims]
        for param in family.params
        if set(param.dims) <= set(names)
    }


def _table(words: Words, rows: Sequence[Mapping[str, Any]]) -> Table:
    keys = ("mean", "sd", "r_hat", "ess_bulk", "ess_tail", "mcse")
    shown = rows if len(rows) <= LISTED else sorted(rows, key=_badness)[:WORST]
    caption = "all" if len(rows) <= LISTED else "worst"
    head = (
        Column(words("sampling.table.parameter"), number=False),
        *(Column(words(f"sampling.table.{key}")) for key in keys),
    )
    body = tuple(
        (
            Cell(row["name"]),
            Cell(words.digits(row["mean"])),
            Cell(words.digits(row["sd"], 3)),
            Cell("–" if row["r_hat"] is None else words.fixed(row["r_hat"], 4)),
            Cell(words.count(row["ess_bulk"])),
            Cell(words.count(row["ess_tail"])),
            Cell(words.digits(row["mcse"], 2)),
        )
        for row in shown
    )
    return Table(words(f"sampling.table.{caption}", n=len(shown), total=len(rows)), head, body)


def _badness(row: Mapping[str, Any]) -> float:
    return -(np.inf if row["r_hat"] is None else row["r_hat"])


def _pictured(
    values: Mapping[str, np.ndarray], rows: Sequence[Mapping[str, Any]], textbook: Sequence[str]
) -> dict[str, np.ndarray]:
    """The parameters as papers print them; of a mixture, the four that mixed worst."""
    own = [name for name in textbook if name in values]
    own = own or [row["name"] for row in sorted(rows, key=_badness)[:PICTURED]]
    return {name: values[name] for name in own}


def _pictures(words: Words, part: str, values: Mapping[str, np.ndarray], stats: Any) -> Details:
    numbers = {name: np.asarray(stats[name]) for name in ("energy", "diverging") if name in stats}
    blocks: list[Any] = [
        Figure(
            words(f"sampling.{name}.title"),
            src,
            words(f"sampling.{name}.alt", names=", ".join(values)),
            words(f"sampling.{name}.caption"),
            minor=True,
        )
        for name, src in diagnostics.pictures(values, numbers).items()
    ]
    if "diverging" in numbers:
        count = int(numbers["diverging"].sum())
        blocks.insert(0, Text((words.plural("sampling.divergences", count),)))
    return Details(words("sampling.pictures", part=words(f"parts.{part}")), tuple(blocks))


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
    return [
        Figure(
            title,
            figures.rootogram(found["bins"], found["observed"], predicted, legend),
            words("sampling.rootogram.alt"),
            _simulated(words, found),
            Table(title, head, rows),
            minor=True,
        )
    ]


def _simulated(words: Words, found: Mapping[str, Any]) -> str:
    """Every draw simulates all customers, or of very many some."""
    customers = sum(found["observed"])
    if found["simulated"] == customers:
        return words("sampling.rootogram.caption", n=found["draws"])
    some, every = words.count(found["simulated"]), words.count(customers)
    return words("sampling.rootogram.sampled", n=found["draws"], k=some, m=every)
