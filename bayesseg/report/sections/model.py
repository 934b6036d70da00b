"""The model in sentences, its formulas, and what was believed before the data."""

from __future__ import annotations

from typing import Any

from bayesseg._types import PARTS
from bayesseg.families import FAMILIES
from bayesseg.priors import describe
from bayesseg.report.blocks import (
    Cell,
    Column,
    Context,
    Details,
    Formula,
    Heading,
    Section,
    Table,
    Text,
)

_COLUMNS = ("parameter", "prior", "mean", "quantile", "ratio")


def section(context: Context) -> Section:
    """One paragraph, formulas and a prior table for every part."""
    words, spec = context.words, context.posterior.spec
    blocks: list[Any] = []
    data: dict[str, Any] = {}
    for part in (part for part in PARTS if part in spec.parts):
        own = spec.parts[part]
        family = FAMILIES[own.family]
        blocks.append(
            Heading(
                words("model.part", part=words(f"parts.{part}"), family=words.said(family.title))
            )
        )
        key = f"model.{own.family}"
        if words.has(f"{key}.text"):
            blocks.append(Text((words(f"{key}.text"),)))
            lines = words(f"{key}.formulas").split(" // ")
            references = "; ".join(family.references)
            blocks.append(
                Details(words("model.formulas"), (Formula(tuple(lines)), Text((references,))))
            )
        after = {
            row["name"]: row for row in context.posterior.summary.get("priors", {}).get(part, ())
        }
        head = tuple(
            Column(
                words(f"model.{key}"), number=key not in ("parameter", "prior"), wide=key == "prior"
            )
            for key in _COLUMNS
        )
        rows = []
        believed = {name: describe(prior) for name, prior in own.priors.items()}
        believed |= {name: row["prior"] for name, row in after.items() if "prior" in row}
        for name, prior in believed.items():
            row = after.get(name, {})
            ratio = row["sd"] / row["prior_sd"] if row else None
            rows.append(
                (
                    Cell(name),
                    Cell(words.said(prior)),
                    Cell(words.digits(row.get("mean"))),
                    Cell(words.percent(row.get("quantile"))),
                    Cell(words.number(ratio)),
                )
            )
        blocks.append(Table(words("model.priors", part=words(f"parts.{part}")), head, tuple(rows)))
        data[part] = {
            "family": own.family,
            "priors": believed,
            "posterior": list(after.values()),
        }
    blocks.append(Text((words("model.ratio_note"),), tone="note"))
    blocks.append(Details(words("model.file"), (Formula(tuple(spec.text.splitlines())),)))
    return Section("model", words("model.title"), words("model.lead"), tuple(blocks), data)
