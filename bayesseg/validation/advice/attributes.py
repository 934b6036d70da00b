"""Do attributes make the forecast of groups better, and may they be used at all? L8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesseg.validation.advice.saying import Advice, listed
from bayesseg.validation.comparison import Document, row, titles

BETTER = 0.02  # by which attributes must lower the mean miss of groups to be worth having


def attributes(document: Document) -> Advice | None:
    """How far groups were missed with the attributes and without, and what all of it rests on."""
    columns, family = document["attributes"], document["families"][0]
    if not columns:
        return None
    both = [
        (ours["by_group"], theirs["by_group"])
        for at in range(len(document["origins"]))
        if (ours := row(document, at, family)) and (theirs := row(document, at, f"{family}_mle"))
        if theirs["by_group"]
    ]
    said, gain = "", 0.0
    if both:
        misses = [
            [sum(_missed(pair[side][at]) for pair in both) / len(both) for side in (0, 1)]
            for at in range(len(columns))
        ]
        gain = max(theirs - ours for ours, theirs in misses)
        said = "; purchases of groups were missed " + listed(
            [
                f"by {column} {ours:.0%} with the attributes, {theirs:.0%} without"
                for column, (ours, theirs) in zip(columns, misses, strict=True)
            ]
        )
        said += f" ({titles(document)[f'{family}_mle']} of everybody alike)"
    worth = gain > BETTER
    useless = (
        "" if worth or not both else "; by these groups the model forecasts as well without any"
    )
    return Advice(
        "attributes",
        "good" if worth else "note",
        f"static attributes ({listed(list(columns))}) are taken as known at each cut{said}",
        "an attribute that is only recorded later, or that follows from buying (a loyalty card, a "
        f"complaint), lets every forecast here look ahead: leave such out{useless}",
    )


def _missed(groups: Mapping[str, Any]) -> float:
    """Σ |forecast - actual| of the groups' totals over their actual total."""
    cells = zip(groups["customers"], groups["actual"], groups["expected"], strict=True)
    known = [(n, came, said) for n, came, said in cells if n]
    off = sum(n * abs(said - came) for n, came, said in known)
    return float(off / max(sum(n * came for n, came, _ in known), 1e-12))
