"""Modes, labels, overlap and sizes of a mixture. L7."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from bayesseg._types import Check
from bayesseg.gates.judge import Subject, judge, number, value

_LONGER = "sample longer (inference.draws), or give a number of components"
_FEWER = "fit a copy of the model file with fewer components"


def mixture(s: Subject) -> Iterator[Check]:
    """Modes, labels, overlap and sizes of a mixture."""
    info = s.draws.info
    modes, labels = info.get("modes", {}), info.get("relabel", {})
    missed = number(modes.get("missed_nats"))
    yield judge(
        s,
        "mode_missed",
        missed,
        10.0,
        says=f"a better segmentation is known, {missed:.1f} nats above every chain",
        advice="fit again with another seed or more chains",
    )
    distinct = number(modes.get("distinct_between_chains"))
    yield judge(
        s,
        "mode_agreement",
        distinct,
        1.0,
        says=f"chains settled in {distinct:g} different segmentations of similar plausibility",
        advice=f"{_FEWER}; these data support competing segmentations",
    )
    disagreement = number(labels.get("disagreement"))
    yield judge(
        s,
        "labels_identified",
        disagreement,
        0.05,
        says=f"labels cannot be told apart in {disagreement:.1%} of draws",
        advice=_FEWER,
    )
    overlap = number(info.get("overlap", {}).get("max_bhattacharyya"))
    yield judge(
        s,
        "overlap",
        overlap,
        0.9,
        says=f"two segments are nearly the same (Bhattacharyya {overlap:.2f})",
        advice=_FEWER,
    )
    weights = s.draws.values.get("weights")
    rows = number(info.get("rows"))
    smallest = math.nan if weights is None else value(np.min, weights.mean(axis=(0, 1))) * rows
    yield judge(
        s,
        "smallest_segment",
        smallest,
        1.0,
        at_least=True,
        says=f"the smallest segment holds {smallest:.2f} customers",
        advice=_FEWER,
    )
    chosen = info.get("chosen", {})
    if "distribution" not in chosen:
        return
    drawn, limits = number(chosen["components"]), chosen["limits"]
    rhat, error = number(chosen["rhat"]), number(chosen["share_error"])
    yield judge(
        s,
        "number_agreement",
        rhat,
        limits["rhat"],
        says=f"chains drew different numbers of segments (R-hat {rhat:.2f})",
        advice=_LONGER,
    )
    yield judge(
        s,
        "number_share",
        error,
        limits["share_error"],
        says=f"how often {drawn:g} segments are drawn is known to {error:.0%} only",
        advice=_LONGER,
    )
    yield judge(
        s,
        "number_inside",
        drawn,
        chosen["most"] - 1.0,
        says=f"the likeliest number of segments is {drawn:g}, the most the model allows",
        advice="give a larger most, or tails that fit: these data ask for ever more segments",
    )
