"""Other ways to divide the same customers that the search came upon."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bayesseg.features import FeatureState
from bayesseg.report import shapes
from bayesseg.report.blocks import Cell, Column, Context, Details, Section, Table, Text
from bayesseg.report.sections.portrait import feature, together
from bayesseg.report.words import Words
from bayesseg.segmentation.run import segmentations


def section(context: Context) -> Section | None:
    """Competing segmentations; with no segments to show also what does not need their labels."""
    part = context.posterior.parts.get("segments")
    if part is None:
        return None
    words, pictures = context.words, context.posterior.summary.get("segments")
    found = segmentations(part.info)
    blocks: list[Any] = []
    if len(found) > 1:
        key = "several" if sum(bool(one["chains"]) for one in found) > 1 else "one"
        blocks += [Text((words(f"rivals.{key}"),)), _table(words, found)]
        state = context.posterior.features
        assert state is not None
        blocks += [_described(words, n + 1, one, state) for n, one in enumerate(found)]
    if pictures and not context.document.get("segments"):
        count = len(context.posterior.manifest["segments"]["ids"])
        ids = [chr(ord("A") + k) for k in range(count)]  # blocks of the matrix, not segments
        blocks += [Text((words("rivals.withheld"),), tone="note"), *together(words, pictures, ids)]
    if not blocks:
        return None
    lead = words("rivals.lead")
    return Section(
        "rivals", words("rivals.title"), lead, tuple(blocks), {"segmentations": list(found)}
    )


def _table(words: Words, found: Sequence[Mapping[str, Any]]) -> Table:
    head = (
        Column(words("rivals.segmentation")),
        *(Column(words(f"rivals.{key}")) for key in ("below", "agreement", "chains")),
        Column(words("rivals.shares"), number=False, wide=True),
    )
    rows = tuple(
        (
            Cell(words.count(n + 1)),
            Cell(words.fixed(one["nats_below_best"], 1)),
            Cell(words.fixed(one["agreement_with_best"], 2)),
            Cell(words.count(len(one["chains"]))),
            Cell(", ".join(words.percent(share) for share in one["weights"])),
        )
        for n, one in enumerate(found)
    )
    return Table(words("rivals.caption"), head, rows)


def _described(words: Words, n: int, one: Mapping[str, Any], state: FeatureState) -> Details:
    """One segmentation: its centres, shaded as those of the fit are."""
    head = (
        Column(words("portrait.plane.feature"), number=False, wide=True),
        *(
            Column(words("rivals.segment", n=k + 1, share=words.percent(share)))
            for k, share in enumerate(one["weights"])
        ),
    )
    rows = tuple(
        (
            Cell(feature(words, name)),
            *(Cell(text, heat=shapes.shade(away)) for text, away in values),
        )
        for name, values in _centres(words, one, state)
    )
    return Details(words("rivals.details", n=n), (Table(words("rivals.centres", n=n), head, rows),))


def _centres(
    words: Words, one: Mapping[str, Any], state: FeatureState
) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """Feature, and for each segment the text and the shade of its cell; numbers and yes-or-no."""
    for kind, key in (("number", "mean"), ("binary", "binary")):
        names = [feature.column for feature in state.features if feature.type == kind]
        for d, name in enumerate(names if key in one else ()):
            column = [float(centre[d]) for centre in one[key]]
            if kind == "number":
                yield name, [(words.fixed(value, 1), value) for value in column]
            else:
                yield name, [(words.percent(value), 0.0) for value in column]
