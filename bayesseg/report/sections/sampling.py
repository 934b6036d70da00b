"""How the posterior was computed, how we know that it was, and what its priors weigh: by ArviZ."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import numpy as np

from bayesseg._types import PARTS, Family
from bayesseg.aggregates import prior_draws
from bayesseg.families import FAMILIES
from bayesseg.posterior import Posterior
from bayesseg.report import diagnostics
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
from bayesseg.report.words import NOTHING, TINY, Words

PICTURED = 4
LISTED = 24
WORST = 10
SEEN = 0.05
"""Sensitivity to the power of a prior from which on it is seen (Kallioinen et al. 2024)."""


def section(context: Context) -> Section:
    """By part a table, what the prior weighs, and pictures; of segments, whether labels held."""
    words, posterior = context.words, context.posterior
    blocks: list[Any] = []
    data: dict[str, dict[str, Any]] = {
        key: {} for key in ("diagnostics", "energy", "pairs", "prior", "sensitivity", "labels")
    }
    for part in (part for part in PARTS if part in context.tree.children):
        tree = context.tree[part]
        family = FAMILIES[posterior.spec.parts[part].family]
        values = diagnostics.scalars(tree["posterior"], _labels(posterior, family))
        rows = diagnostics.summary(values)
        data["diagnostics"][part] = rows
        blocks.append(
            Heading(
                words("sampling.part", part=words(f"parts.{part}"), family=words.said(family.title))
            )
        )
        blocks.append(_table(words, rows))
        if part == "segments":
            blocks += _switching(words, posterior, data)
        if diagnostics.points(values):
            continue
        shown = _pictured(values, rows, family.textbook)
        case = _Case(
            words, part, shown, posterior.parts[part].stats, _before(posterior, part, shown)
        )
        blocks += [*_sensitivity(case, data), *_calibrated(words, family.title)]
        blocks.append(_pictures(case, rows, data))
    return Section(
        "sampling",
        words("sampling.title"),
        words("sampling.lead"),
        tuple(blocks),
        {"gates": list(posterior.manifest["gates"]), **data},
    )


@dataclass(frozen=True, slots=True)
class _Case:
    """The scalars of a part that are pictured, what was kept beside them, and their prior's draws."""

    words: Words
    part: str
    values: Mapping[str, np.ndarray]
    stats: Mapping[str, np.ndarray]
    before: Mapping[str, np.ndarray]


def _before(
    posterior: Posterior, part: str, shown: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Draws of what is shown from its prior; none of a mixture, whose labels have none."""
    own, manifest = posterior.spec.parts[part], posterior.manifest
    if part == "segments":
        return {}
    state = (manifest.get("population") or {}).get(part)
    free = [name for name in own.priors if name in posterior.parts[part].values]
    before = prior_draws(own, free, manifest["scales"], manifest["seed"], state)
    every = {**before, **FAMILIES[own.family].derive(before)}
    return {name: every[name] for name in shown}


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


def _pictures(case: _Case, rows: Sequence[Mapping[str, Any]], data: dict[str, Any]) -> Details:
    words, part, values = case.words, case.part, case.values
    texts = {english: words(f"arviz.{key}") for english, key in _ENGLISH.items()}
    numbers = {
        name: np.asarray(case.stats[name])
        for name in ("energy", "diverging", "log_likelihood", "log_prior")
        if name in case.stats
    }
    own = [row for row in rows if row["name"] in values]
    tables = {
        "rank": ("diagnostics", _rows(words, own, ("r_hat", "ess_bulk"))),
        "trace": ("diagnostics", _rows(words, own, ("mean", "sd", "lo", "hi"))),
    }
    if "energy" in numbers:
        data["energy"][part] = diagnostics.mobility(numbers)
        tables["energy"] = "energy", _of_chains(words, data["energy"][part])
    if case.before:
        names, matrix = list(values), np.corrcoef([v.ravel() for v in values.values()])
        data["pairs"][part] = {"names": names, "correlation": np.atleast_2d(matrix).tolist()}
        data["prior"][part] = [_of_prior(case, row) for row in own]
        tables["pair"] = "pairs", _correlations(words, names, np.atleast_2d(matrix))
        tables["prior"] = "prior", _rows(words, data["prior"][part], _BESIDE)
        found = data["sensitivity"].get(part, ())
        tables["sensitivity"] = "sensitivity", _rows(words, found, ("prior", "likelihood"))
    drawn = diagnostics.pictures(values, numbers, case.before, texts, words.plain)
    blocks: list[Any] = [
        Figure(
            words(f"sampling.{name}.title"),
            src,
            words(f"sampling.{name}.alt", numbers=_said(words, tables[name][1])),
            words(f"sampling.{name}.caption"),
            tables[name][1],
            minor=True,
            of=tables[name][0],
        )
        for name, src in drawn.items()
    ]
    if "diverging" in numbers:
        count = int(numbers["diverging"].sum())
        blocks.insert(0, Text((words.plural("sampling.divergences", count),)))
    return Details(words("sampling.pictures", part=words(f"parts.{part}")), tuple(blocks))


_BESIDE = ("prior_lo", "prior_median", "prior_hi", "lo", "mean", "hi")
_ENGLISH = {
    "Draw": "draw",
    "Fractional ranks": "ranks",
    "Difference": "difference",
    "marginal": "marginal",
    "transition": "transition",
    "group": "nothing",
    "prior": "prior",
    "posterior": "posterior",
    "likelihood": "likelihood",
    "Power Scale Factor": "power",
}
"""What ArviZ writes, and the key of what is written in its place."""


def _rows(words: Words, found: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> Table:
    """A parameter a row, its numbers by key."""
    head = (
        Column(words("sampling.table.parameter"), number=False),
        *(Column(words(f"sampling.table.{key}")) for key in keys),
    )
    body = tuple(
        (Cell(row["name"]), *(Cell(_written(words, key, row[key])) for key in keys))
        for row in found
    )
    return Table(words("sampling.table.caption"), head, body)


def _written(words: Words, key: str, value: float | None) -> str:
    if key == "r_hat":
        return NOTHING if value is None else words.fixed(value, 4)
    if key.startswith("ess"):
        return words.count(value)
    return words.digits(value, 2 if key in ("prior", "likelihood", "mcse") else 3)


def _of_chains(words: Words, found: Sequence[float]) -> Table:
    head = Column(words("sampling.energy.chain"), number=False), Column("E-BFMI")
    rows = tuple((Cell(words.count(n + 1)), Cell(words.fixed(v, 2))) for n, v in enumerate(found))
    return Table(words("sampling.energy.table"), head, rows)


def _of_prior(case: _Case, row: Mapping[str, Any]) -> dict[str, Any]:
    low, middle, high = np.quantile(case.before[row["name"]], [0.05, 0.5, 0.95])
    ends = {"prior_lo": float(low), "prior_median": float(middle), "prior_hi": float(high)}
    return {key: row[key] for key in ("name", "lo", "mean", "hi")} | ends


def _correlations(words: Words, names: Sequence[str], matrix: np.ndarray) -> Table:
    head = Column(words("sampling.table.parameter"), number=False), *map(Column, names)
    rows = tuple(
        (Cell(name), *(Cell(words.fixed(float(r), 2)) for r in line))
        for name, line in zip(names, matrix, strict=True)
    )
    return Table(words("sampling.pair.table"), head, rows)


def _said(words: Words, table: Table) -> str:
    """A table in words: "r 1.0003, 1,204; alpha ..."."""
    return words.parts(
        f"{row[0].text} {', '.join(cell.text for cell in row[1:])}" for row in table.rows
    )


def _sensitivity(case: _Case, data: dict[str, Any]) -> list[Any]:
    """What a prior, or the data, counted twice would move: a table and what to make of it."""
    found = diagnostics.sensitivity(case.values, case.stats) if case.before else []
    if not found:
        return []
    words = case.words
    data["sensitivity"][case.part] = found
    moved = [one for one in found if (one["prior"] or 0.0) >= SEEN]
    if moved:
        names = ", ".join(one["name"] for one in moved)
        said = words("sampling.sensitivity.moved", names=names, limit=words.plain(SEEN))
    else:
        said = words("sampling.sensitivity.unmoved", limit=words.plain(SEEN))
    table = _rows(words, found, ("prior", "likelihood"))
    return [replace(table, caption=words("sampling.sensitivity.table")), Text((said,))]


def _calibrated(words: Words, family: str) -> list[Text]:
    """What simulation-based calibration found of the family, as of the version that was judged."""
    text = (files("bayesseg.report") / "calibrated.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text)
    own = found["families"].get(family)
    if own is None:
        return []
    said = words(
        "sampling.calibrated",
        family=words.said(family),
        version=found["version"],
        n=words.count(own["simulations"]),
        customers=words.count(own["customers"]),
        quantities=words.count(own["quantities"]),
        verdict=words(f"sampling.gates.{own['verdict']}"),
    )
    return [Text((said,), tone="note")]


def _switching(words: Words, posterior: Posterior, data: dict[str, Any]) -> list[Any]:
    """Whether draws agree on which segment is which, and how much the segments overlap."""
    info = posterior.parts["segments"].info
    relabel, pairs = info.get("relabel") or {}, (info.get("overlap") or {}).get("pairs")
    blocks: list[Any] = []
    if relabel:
        data["labels"] = {"relabel": dict(relabel), "overlap": pairs}
        said = [words("sampling.labels.doubt", share=words.percent(relabel["disagreement"]))]
        if "permuted" in relabel:
            said.append(words("sampling.labels.permuted", share=words.percent(relabel["permuted"])))
        blocks.append(Text((" ".join(said),)))
    if pairs:
        ids = list(posterior.manifest["segments"]["ids"])
        head = Column(words("segments.segment"), number=False), *map(Column, ids)
        rows = tuple(
            (
                Cell(one),
                *(
                    Cell(NOTHING) if j == k else Cell(words.percent(v or TINY), heat=_darkness(v))
                    for k, v in enumerate(line)
                ),
            )
            for j, (one, line) in enumerate(zip(ids, pairs, strict=True))
        )
        blocks.append(Table(words("sampling.labels.overlap"), head, rows))
    return blocks


def _darkness(overlap: float) -> int:
    return sum(overlap >= limit for limit in (0.05, 0.1, 0.25, 0.5))
