"""Have customers moved, and have the segments themselves changed? L7.

Two questions that must not be mixed. *Frozen*: the old model scores both periods; who sits elsewhere
has moved. *Refit*: the mixture is fitted to the new period, starting where the old one stood; segments
that do not come back have changed. Every number stands beside what it would be if nothing had
happened.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bayesseg._types import Array, IntArray, OnProgress, Progress
from bayesseg.customers import Attributes, Customers
from bayesseg.inference import modes as em
from bayesseg.posterior import Posterior
from bayesseg.segmentation.align import align
from bayesseg.segmentation.bootstrap import STABLE, UNTRUSTED, bootstrap
from bayesseg.segmentation.psi import REFIT, WATCH, Shift, bins, shift
from bayesseg.segmentation.refits import POLISH, Effort, Theta, mode_of, sampled, scored
from bayesseg.segmentation.run import (
    Segments,
    densities,
    in_chunks,
    interval,
    matrix_of,
    mean_membership,
    segments_of,
)

LEVELS = ("stable", "watch", "refit")
"""What drift may find, in order."""
CERTAIN = 0.8
"""Customers at least this sure in both periods make the hard table."""
OUTLIERS = 0.01
"""The share of the old period's customers that counts as outlying there."""
DRIFT = Effort(rows=5_000, starts=40, refits=20, halves=2)
_NATS = 10.0
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over the customers of both periods, for each draw, (S, K, K).

    ``flow`` multiplies the memberships of the two periods, ``still`` those of the first with themselves,
    ``valued`` those of the two and the spend. ``left`` (S, K) are the first period's members who did
    not come back, ``came`` the second's who were not there before.
    """

    flow: Array
    still: Array
    valued: Array
    left: Array
    came: Array


def drift(
    posterior: Posterior,
    before: Customers | Attributes,
    after: Customers | Attributes,
    *,
    seed: int,
    effort: Effort = DRIFT,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Hold a run's segments against a later period.

    Args:
        posterior: the run.
        before: customers as the run saw them, or of a window as long as the later one.
        after: customers of the later period; the same id is the same customer.
        seed: of bootstrap weights, permutations and refits.
        effort: how many refits, and the most rows for them.
        on_progress: told of each step.

    Returns:
        JSON-able: ``status``, ``reasons``, ``customers``, ``shares``, ``migration`` (matrix, its
        no-change baseline and the excess, each with intervals; exits and entries as shares; the same
        in customers; the hard table; by spend),
        ``psi`` of the shares and of each feature with its sampling null, ``fit`` (density and
        outliers), ``refit`` (fates of segments, how well each came back and how well it does without
        any change), ``words``.
    """
    own = segments_of(posterior)
    first, second = matrix_of(own, before), matrix_of(own, after)
    pairs = matched(before, after)
    rng = np.random.default_rng([seed, 4])
    _say(on_progress, 0, "who moved")
    sums = _flows(own, first, second, pairs, _spend(before), rng)
    p, q = mean_membership(own, first), mean_membership(own, second)
    psi = {"segments": shift(p.argmax(1), q.argmax(1), pairs, rng)} | {
        name: shift(*bins(first[:, d], second[:, d]), pairs, rng)
        for d, name in enumerate(own.state.names)
    }
    _say(on_progress, 1, "have the segments changed")
    refitted = _refit(own, first, second, effort, rng)
    document = {
        "model_id": posterior.manifest["model_id"],
        "customers": {
            "before": len(first),
            "after": len(second),
            "both": len(pairs[0]),
            "gone": len(first) - len(pairs[0]),
            "new": len(second) - len(pairs[1]),
        },
        "shares": _shares(own, first, second, rng),
        "migration": _migration(own, sums, p[pairs[0]], q[pairs[1]]),
        "psi": {name: _psi(found) for name, found in psi.items()},
        "fit": _fit(densities(own, first), densities(own, second)),
        "refit": refitted,
    }
    _say(on_progress, 2, "")
    return document | judged(document)


def _say(on_progress: OnProgress | None, done: int, detail: str) -> None:
    if on_progress:
        on_progress(Progress("drift", done, 2, detail))


def matched(
    before: Customers | Attributes, after: Customers | Attributes
) -> tuple[IntArray, IntArray]:
    """Rows of both that are one customer, each (P,)."""
    _, rows, others = np.intersect1d(
        before.ids.astype(str), after.ids.astype(str), assume_unique=True, return_indices=True
    )
    return rows, others


def _spend(data: Customers | Attributes) -> Array:
    if isinstance(data, Attributes):
        return np.ones(len(data))
    return np.asarray(data.first_spend + data.repeat_spend)


def _flows(
    own: Segments,
    first: Array,
    second: Array,
    pairs: tuple[IntArray, IntArray],
    value: Array,
    rng: np.random.Generator,
) -> Sums:
    """Each draw of the parameters has customers drawn anew: weights Exp(1)."""
    S, K = own.theta["weights"].shape
    flow, still, valued = (np.zeros((S, K, K)) for _ in range(3))
    both = in_chunks(own, first[pairs[0]]), in_chunks(own, second[pairs[1]])
    for (rows, p), (_, q) in zip(*both, strict=True):
        weighted = p * rng.standard_exponential(p.shape[:2])[..., None]
        a, b, c = (np.moveaxis(v, 0, 2) for v in (weighted, p, q))  # (S, K, n)
        flow += a @ np.swapaxes(c, 1, 2)
        still += a @ np.swapaxes(b, 1, 2)
        valued += (a * value[pairs[0]][rows]) @ np.swapaxes(c, 1, 2)
    left, came = (
        _share(own, np.delete(rows, seen, axis=0), rng, counts=True)
        for rows, seen in ((first, pairs[0]), (second, pairs[1]))
    )
    return Sums(flow, still, valued, left, came)


def _migration(own: Segments, sums: Sums, p: Array, q: Array) -> dict[str, Any]:
    """Rows sum to one: of the first period's members of a segment, where they are in the second."""
    moved, still, valued = (
        v / np.maximum(v.sum(2, keepdims=True), _TINY) for v in (sums.flow, sums.still, sums.valued)
    )
    whole = np.maximum(sums.flow.sum((1, 2)), _TINY)
    stay = np.einsum("skk->s", sums.flow) / whole
    same = np.einsum("skk->s", sums.still) / whole
    sure = (p.max(1) >= CERTAIN) & (q.max(1) >= CERTAIN)
    K = p.shape[1]
    cells = np.bincount(p.argmax(1)[sure] * K + q.argmax(1)[sure], minlength=K * K)
    return {
        "ids": list(own.ids),
        "matrix": _grid(moved),
        "baseline": _grid(still),
        "excess": _grid(moved - still),
        "by_spend": _grid(valued),
        "exits": _shared(sums.left, sums.flow.sum(2)),
        "entries": _shared(sums.came, sums.flow.sum(1)),
        "customers": {
            "flow": _grid(sums.flow),
            "left": [interval(one) for one in sums.left.T],
            "came": [interval(one) for one in sums.came.T],
        },
        "switching": interval(1 - stay),
        "switching_baseline": interval(1 - same),
        "switching_excess": interval(same - stay),
        "sure": {"customers": int(sure.sum()), "counts": cells.reshape(K, K).tolist()},
    }


def _shared(part: Array, rest: Array) -> list[dict[str, float]]:
    return [interval(one) for one in (part / np.maximum(part + rest, _TINY)).T]


def _grid(values: Array) -> list[list[dict[str, float]]]:
    return [
        [interval(values[:, j, k]) for k in range(values.shape[2])] for j in range(len(values[0]))
    ]


def _shares(
    own: Segments, first: Array, second: Array, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Share of each segment in each period and the change, over draws of parameters and customers."""
    at = [_share(own, matrix, rng) for matrix in (first, second)]
    return [
        {
            "id": one,
            "name": own.names[k],
            "before": interval(at[0][:, k]),
            "after": interval(at[1][:, k]),
            "change": interval(at[1][:, k] - at[0][:, k]),
        }
        for k, one in enumerate(own.ids)
    ]


def _share(
    own: Segments, matrix: Array, rng: np.random.Generator, *, counts: bool = False
) -> Array:
    total = np.zeros(own.theta["weights"].shape)
    for _, member in in_chunks(own, matrix):
        total += np.einsum("nsk,ns->sk", member, rng.standard_exponential(member.shape[:2]))
    return total if counts else total / total.sum(1, keepdims=True)


def _psi(found: Shift) -> dict[str, Any]:
    return asdict(found) | {"level": found.level}


def _fit(first: Array, second: Array) -> dict[str, Any]:
    """Mean log density of both periods; customers below the old period's 1 % quantile."""
    limit = np.quantile(first, OUTLIERS)
    share, n = float((second < limit).mean()), len(second)
    error = math.sqrt(first.var() / len(first) + second.var() / n)
    chance = OUTLIERS + 2.33 * math.sqrt(OUTLIERS * (1 / n + 1 / len(first)))
    return {
        "density_before": float(first.mean()),
        "density_after": float(second.mean()),
        "change": float(second.mean() - first.mean()),
        "change_se": error,
        "outliers": share,
        "outliers_before": OUTLIERS,
        "outliers_by_chance": chance,
        "doubled": share > max(2 * OUTLIERS, chance),
    }


def _refit(
    own: Segments, first: Array, second: Array, effort: Effort, rng: np.random.Generator
) -> dict[str, Any]:
    """Fit the new period and match its segments with the old ones on its customers."""
    rows, old_rows = (sampled(matrix, effort.rows, rng) for matrix in (second, first))
    warm, height = em.climb(own.plan, own.start, rows, POLISH)
    cold, other = mode_of(own.plan, rows, effort, rng)
    gain = other - float(height[0])
    theta: Theta = cold if gain > _NATS else warm
    member = mean_membership(own, rows)
    found = align(member, scored(own.plan, theta, rows)[0][:, 0], own.ids)
    again = bootstrap(own.plan, rows, member, theta, effort, rng).jaccard
    anchor, _ = em.climb(own.plan, own.start, old_rows, POLISH)
    usual = bootstrap(
        own.plan, old_rows, mean_membership(own, old_rows), anchor, effort, rng
    ).jaccard
    return {
        "rows": len(rows),
        "another_start_better_by": max(0.0, gain),
        "ids": list(found.ids),
        "fates": [asdict(fate) for fate in found.fates],
        "segments": [
            {
                "id": one,
                "name": own.names[k],
                "jaccard": interval(again[:, k]),
                "without_change": interval(usual[:, k]),
                "changed": bool(again[:, k].mean() < np.quantile(usual[:, k], 0.05)),
            }
            for k, one in enumerate(own.ids)
        ],
    }


def judged(document: Mapping[str, Any]) -> dict[str, Any]:
    """Status, its reasons and sentences for people."""
    found: list[tuple[str, str]] = []
    for name, one in document["psi"].items():
        what = "the shares of the segments" if name == "segments" else name
        if one["level"] != "stable":
            limit = REFIT if one["level"] == "refit" else WATCH
            found.append(
                (
                    one["level"],
                    f"{what} moved: PSI {one['psi']:.2f}, above {limit} and above chance "
                    f"({one['null']:.2f})",
                )
            )
    for one in document["refit"]["segments"]:
        value = one["jaccard"]["mean"]
        if one["changed"] and value < STABLE:
            usual = one["without_change"]["mean"]
            found.append(
                (
                    "refit" if value < UNTRUSTED <= usual else "watch",
                    f"{one['id']} {one['name']} does not come back in a refit: Jaccard {value:.2f}, "
                    f"{usual:.2f} without any change",
                )
            )
    fit = document["fit"]
    if fit["doubled"]:
        found.append(
            ("refit", f"{fit['outliers']:.1%} of the customers are outliers, 1% at the fit")
        )
    found.sort(key=lambda one: -LEVELS.index(one[0]))
    return {
        "status": found[0][0] if found else LEVELS[0],
        "reasons": [{"level": level, "says": says} for level, says in found],
        "words": _words(document),
    }


def _words(document: Mapping[str, Any]) -> list[str]:
    customers, moves = document["customers"], document["migration"]
    found = [
        f"{customers['both']:,} customers are in both periods, {customers['gone']:,} only in the "
        f"first, {customers['new']:,} only in the second."
    ]
    real, baseline, excess = (
        moves[name]["mean"] for name in ("switching", "switching_baseline", "switching_excess")
    )
    sure = moves["switching_excess"]["lo"] > 0
    if customers["both"]:
        found.append(
            f"{real:.0%} of them sit in another segment than before; without any change it would be "
            f"{baseline:.0%}, for memberships are not certain: "
            + (f"about {excess:.0%} really moved." if sure else "nobody need have moved.")
        )
    for one in document["shares"]:
        change = one["change"]
        if change["lo"] > 0 or change["hi"] < 0:
            way = "grew" if change["mean"] > 0 else "shrank"
            found.append(
                f"{one['id']} {one['name']} {way} from {one['before']['mean']:.0%} to "
                f"{one['after']['mean']:.0%} of the customers."
            )
    found += [
        f"{one['id']} {one['name']} does not come back even without any change (Jaccard "
        f"{one['without_change']['mean']:.2f}): its loss would mean nothing."
        for one in document["refit"]["segments"]
        if one["without_change"]["mean"] < UNTRUSTED
    ]
    better = document["refit"]["another_start_better_by"]
    if better > _NATS:
        found.append(
            f"A refit from scratch fits the new period better by {better:.0f} nats than one from "
            "the old segments."
        )
    return found
