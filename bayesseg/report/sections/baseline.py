"""The usual point estimate beside the posterior: lifetimes' maximum likelihood."""

from __future__ import annotations

from typing import Any

from bayesseg.families import FAMILIES
from bayesseg.report.blocks import Cell, Column, Context, Section, Table, Text

_COLUMNS = ("parameter", "mean", "sd", "interval", "mle", "quantile")


def section(context: Context) -> Section | None:
    """One table a part, of the parameters as papers print them."""
    words, summary = context.words, context.posterior.summary
    blocks: list[Any] = []
    data: dict[str, Any] = {}
    for part, rows in summary.get("priors", {}).items():
        family = FAMILIES[context.posterior.spec.parts[part].family]
        mle = summary.get("baseline", {}).get(part, {})
        own = {row["name"]: row for row in rows}
        shown = [own[name] for name in family.textbook if name in own]
        head = tuple(
            Column(words(f"baseline.{key}"), number=key != "parameter") for key in _COLUMNS
        )
        body = tuple(
            (
                Cell(", ".join(filter(None, (row["name"], words.said(row.get("note", "")))))),
                Cell(words.digits(row["mean"])),
                Cell(words.digits(row["sd"], 3)),
                Cell(f"{words.digits(row['lo'])}–{words.digits(row['hi'])}"),
                Cell(words.digits(mle.get(row["name"]))),
                Cell(words.percent(row["quantile"])),
            )
            for row in shown
        )
        blocks.append(
            Table(
                words(
                    "baseline.caption", part=words(f"parts.{part}"), family=words.said(family.title)
                ),
                head,
                body,
            )
        )
        likelihood = mle.get("log_likelihood")
        if likelihood is not None:
            text = words("baseline.likelihood", value=words.fixed(likelihood, 3))
        else:
            text = words("baseline.absent")
        blocks.append(Text((text,), tone="note"))
        data[part] = {"posterior": shown, "maximum_likelihood": dict(mle)}
    if not blocks:
        return None
    return Section("baseline", words("baseline.title"), words("baseline.lead"), tuple(blocks), data)
