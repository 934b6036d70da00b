"""Do the segments of a run come back when its customers are drawn again? L7."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bayesseg._types import Array, OnProgress, Progress
from bayesseg.customers import Attributes, Customers
from bayesseg.errors import InputRejected
from bayesseg.features import counted, lacking
from bayesseg.inference import modes as em
from bayesseg.posterior import Posterior
from bayesseg.segmentation.bootstrap import (
    DISSOLVED,
    STABLE,
    UNTRUSTED,
    bootstrap,
    prediction_strength,
    word,
)
from bayesseg.segmentation.choose import STRENGTH
from bayesseg.segmentation.compare import free_parameters
from bayesseg.segmentation.gaps import DIP, merges
from bayesseg.segmentation.refits import POLISH, THOROUGH, Effort, sampled
from bayesseg.segmentation.run import Segments, interval, matrix_of, mean_membership, segments_of


def stability(
    posterior: Posterior,
    data: Customers | Attributes,
    *,
    effort: Effort = THOROUGH,
    seed: int,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Refit the segments of a run to reweighted customers and to halves of them.

    Returns:
        JSON-able: ``segments`` (``id, name, customers, jaccard`` with its interval, ``word``,
        ``dissolved``: the share of refits without it), ``missing`` (columns without a value),
        ``rand``, ``prediction_strength``,
        ``other_modes`` (share of refits in which a segment dissolved), ``groups`` and ``merges``,
        ``verdict`` (``stable``, ``doubtful`` or ``untrusted``), ``words``.

    Raises:
        InputRejected: a half would have fewer customers than the mixture has parameters.
    """
    own = segments_of(posterior)
    whole = matrix_of(own, data)
    if len(whole) < 2 * needed(own, whole):
        raise InputRejected(
            f"too few customers to say whether segments come back: {len(whole):,}",
            fix=f"give at least {2 * needed(own, whole):,}: halves of them are fitted, and the segments "
            f"have {needed(own, whole):,} parameters",
            code="too_few",
        )
    rng = np.random.default_rng([seed, 3])
    rows = sampled(whole, effort.rows, rng)
    member = mean_membership(own, rows)
    start, _ = em.climb(own.plan, own.start, rows, POLISH)
    _say(on_progress, 0, f"{effort.refits} refits to reweighted customers")
    again = bootstrap(own.plan, rows, member, start, effort, rng)
    _say(on_progress, 1, f"{effort.halves} pairs of halves")
    strength = prediction_strength(own.plan, rows, start, effort, rng)
    _say(on_progress, 2, "")
    merged = merges(member, rows, start)
    scale = len(whole) / len(rows)
    found = [
        {
            "id": one,
            "name": own.names[k],
            "customers": float(member[:, k].sum() * scale),
            "jaccard": interval(again.jaccard[:, k]),
            "word": word(float(again.jaccard[:, k].mean())),
            "dissolved": float((again.jaccard[:, k] <= DISSOLVED).mean()),
        }
        for k, one in enumerate(own.ids)
    ]
    least = float(again.jaccard.mean(0).min())
    document = {
        "model_id": posterior.manifest["model_id"],
        "customers": len(whole),
        "rows": len(rows),
        "missing": lacking(counted(data, posterior.spec.features, own.state), own.state),
        "refits": effort.refits,
        "halves": effort.halves,
        "segments": found,
        "smallest_jaccard": least,
        "rand": interval(again.rand),
        "prediction_strength": interval(strength),
        "other_modes": float((again.jaccard <= DISSOLVED).any(1).mean()),
        "groups": len(own.ids) - len(merged),
        "merges": [
            {
                "segments": [[own.ids[k] for k in part] for part in one.segments],
                "shared": one.shared,
                "dip": one.depth,
                "limit": DIP,
            }
            for one in merged
        ],
        "verdict": "untrusted" if least < UNTRUSTED else "doubtful" if least < STABLE else "stable",
    }
    return document | {"words": _words(document)}


def needed(segments: Segments, matrix: Array) -> int:
    """The fewest customers that say anything: as many as the mixture has free parameters."""
    return free_parameters(segments.plan, segments.start, matrix, np.random.default_rng(0))[0]


def _say(on_progress: OnProgress | None, done: int, detail: str) -> None:
    if on_progress:
        on_progress(Progress("stability", done, 2, detail))


def _words(document: dict[str, Any]) -> list[str]:
    weak = [s for s in document["segments"] if s["jaccard"]["mean"] < STABLE]
    strength = document["prediction_strength"]["mean"]
    found = [f"{one[0].upper()}{one[1:]}." for one in document["missing"]]
    if not weak:
        found.append("Every segment comes back when the customers are drawn again.")
    for one in weak:
        value = one["jaccard"]["mean"]
        core = "its core returns, its border does not."
        advice = "do not act on it by itself." if value < UNTRUSTED else core
        found += [f"{one['id']} {one['name']} is {one['word']} (Jaccard {value:.2f}): {advice}"]
    if strength < STRENGTH:
        found.append(
            f"Halves of the customers draw the borders differently (prediction strength "
            f"{strength:.2f}, {STRENGTH} wanted): describe groups by it, do not sort single "
            "customers."
        )
    K, groups = len(document["segments"]), document["groups"]
    if groups < K:
        found.append(
            f"Gaps lie between {groups} of {K} segments; the rest shade into one another."
            if groups > 1
            else "No gap can be shown between the segments: they are cuts through one crowd."
        )
    return found


def with_refits(effort: Effort, refits: int) -> Effort:
    """``effort`` with so many refits, and half as many pairs of halves."""
    return replace(effort, refits=refits, halves=max(2, refits // 2))
