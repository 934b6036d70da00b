"""Have customers moved, and have the segments themselves changed? L7.

Two questions that must not be mixed. *Frozen*: the old model scores both periods; who sits elsewhere
has moved. *Refit*: the mixture is fitted to the new period, starting where the old one stood; segments
that do not come back have changed. Every number stands beside what it would be if nothing had
happened.

Who moved is told of the segments as people see them: merged, split and called as the run's map has it.
The refit knows nothing of a map and is asked about the model's own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import betabinom

from bayesseg._types import SMALLEST, Array, IntArray, OnProgress, Progress
from bayesseg.aggregates.cells import hidden
from bayesseg.customers import Attributes, Customers
from bayesseg.features import absent, columns_of, counted, lacking
from bayesseg.inference import modes as em
from bayesseg.posterior import Posterior
from bayesseg.segment_map import Plan, Shown, divide, from_json, plan, shown
from bayesseg.segmentation import lineage
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
from bayesseg.segmentation.stability import needed

LEVELS = ("too_few", "stable", "watch", "refit")
"""What drift may find, in order; ``too_few`` customers are not judged."""
CERTAIN = 0.8
"""Customers at least this sure in both periods make the hard table."""
MIXING = 0.1
"""Where more switch beyond what uncertainty shows, segments are stations, not kinds of customers."""
OUTLIERS = 0.01
"""The share of the old period's customers that counts as outlying there."""
DRIFT = Effort(rows=5_000, starts=40, refits=20, halves=2)
_NATS = 10.0
_TINY = 1e-300
_NO_REFIT: Mapping[str, Any] = {
    "rows": 0,
    "another_start_better_by": 0.0,
    "ids": [],
    "fates": [],
    "segments": [],
}


@dataclass(frozen=True, slots=True)
class Period:
    """The customers of one period under a run, and the plan of the segments that people see."""

    own: Segments
    laid: Plan
    data: Customers | Attributes
    matrix: Array

    def __len__(self) -> int:
        return len(self.matrix)

    def take(self, rows: IntArray) -> Period:
        """Those at ``rows``."""
        return Period(self.own, self.laid, self.data.take(rows), self.matrix[rows])

    def members(self) -> Iterator[tuple[slice, Array]]:
        """Rows and their memberships under each draw, (n, S, K), a bounded number at a time."""
        for rows, member in in_chunks(self.own, self.matrix):
            yield rows, divide(self.laid, member, partial(self._columns, rows))

    def _columns(self, rows: slice) -> dict[str, Any]:
        return columns_of(self.data.take(np.arange(len(self))[rows]))

    def mean(self) -> Array:
        """Memberships averaged over draws, (N, K)."""
        return np.concatenate([member.mean(1) for _, member in self.members()])


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
        in customers; the hard table; by spend; ``followed`` and ``peopled`` tell the segments with a
        customer or more who came back, or was there at all),
        ``psi`` of the shares and of each feature with its sampling null, ``fit`` (density and
        outliers), ``missing`` (columns without a value), ``refit`` (fates of segments, how well each
        came back and how well it does in as many customers without any change), ``words``. Where a
        period has fewer customers than the mixture has parameters, ``status`` is ``too_few`` and
        ``refit`` empty.
    """
    own, found = segments_of(posterior), posterior.manifest["segments"]
    laid, seen = plan(from_json(found.get("map")), found["ids"]), shown(found)
    first, second = (Period(own, laid, data, matrix_of(own, data)) for data in (before, after))
    pairs = matched(before, after)
    rng = np.random.default_rng([seed, 4])
    _say(on_progress, 0, "who moved")
    sums = _flows(first, second, pairs, rng)
    p, q = first.mean(), second.mean()
    gone = {name for data in (before, after) for name in absent(data, own.state)[0]}
    psi = {"segments": shift(p.argmax(1), q.argmax(1), pairs, rng)} | {
        name: shift(*bins(first.matrix[:, d], second.matrix[:, d]), pairs, rng)
        for d, name in enumerate(own.state.names)
        if name not in gone
    }
    _say(on_progress, 1, "have the segments changed")
    least = needed(own, first.matrix)
    few = min(len(first), len(second)) < least
    refitted = _refit(own, seen, first.matrix, second.matrix, effort, rng) if not few else _NO_REFIT
    document = {
        "model_id": posterior.manifest["model_id"],
        "customers": {
            "before": len(first),
            "after": len(second),
            "both": len(pairs[0]),
            "gone": len(first) - len(pairs[0]),
            "new": len(second) - len(pairs[1]),
        },
        "needed": least,
        "missing": [
            f"In the {period} {one}."
            for period, data in (("earlier period", before), ("later period", after))
            for one in lacking(counted(data, posterior.spec.features, own.state), own.state)
        ],
        "shares": _shares(seen, sums),
        "migration": _migration(seen, sums, p[pairs[0]], q[pairs[1]]),
        "psi": {name: _psi(found, few=few) for name, found in psi.items()},
        "fit": _fit(densities(own, first.matrix), densities(own, second.matrix), pairs),
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
    first: Period, second: Period, pairs: tuple[IntArray, IntArray], rng: np.random.Generator
) -> Sums:
    """Each draw of the parameters has customers drawn anew: weights Exp(1)."""
    S, K = len(first.own.theta["weights"]), len(first.laid.ids)
    flow, still, valued = (np.zeros((S, K, K)) for _ in range(3))
    both = first.take(pairs[0]), second.take(pairs[1])
    value = _spend(both[0].data)
    for (rows, p), (_, q) in zip(*(one.members() for one in both), strict=True):
        weighted = p * rng.standard_exponential(p.shape[:2])[..., None]
        a, b, c = (np.moveaxis(v, 0, 2) for v in (weighted, p, q))  # (S, K, n)
        flow += a @ np.swapaxes(c, 1, 2)
        still += a @ np.swapaxes(b, 1, 2)
        valued += (a * value[rows]) @ np.swapaxes(c, 1, 2)
    left, came = (
        _counts(one.take(np.delete(np.arange(len(one)), there)), rng)
        for one, there in ((first, pairs[0]), (second, pairs[1]))
    )
    return Sums(flow, still, valued, left, came)


def _migration(seen: tuple[Shown, ...], sums: Sums, p: Array, q: Array) -> dict[str, Any]:
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
        "ids": [one.id for one in seen],
        "followed": (sums.flow.sum(2).mean(0) >= 1.0).tolist(),
        "peopled": ((sums.flow.sum(2) + sums.left).mean(0) >= 1.0).tolist(),
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
        "sure": {"customers": int(sure.sum()), "counts": _told(cells, K)},
    }


def _told(cells: IntArray, K: int) -> list[list[int | None]]:
    """Counts of the hard table, None where so few could be recognised."""
    gone = hidden(cells, cells < SMALLEST)
    counts = [None if lost else int(n) for n, lost in zip(cells.tolist(), gone, strict=True)]
    return [counts[row : row + K] for row in range(0, K * K, K)]


def _shared(part: Array, rest: Array) -> list[dict[str, float]]:
    return [interval(one) for one in (part / np.maximum(part + rest, _TINY)).T]


def _grid(values: Array) -> list[list[dict[str, float]]]:
    return [
        [interval(values[:, j, k]) for k in range(values.shape[2])] for j in range(len(values[0]))
    ]


def _shares(seen: tuple[Shown, ...], sums: Sums) -> list[dict[str, Any]]:
    """Share of each segment in each period and the change, over draws of parameters and customers.

    A customer of both periods has one weight in both: who stays put adds nothing to the change.
    """
    whole = sums.flow.sum(2) + sums.left, sums.flow.sum(1) + sums.came
    at = [counts / counts.sum(1, keepdims=True) for counts in whole]
    return [
        {
            "id": one.id,
            "name": one.name,
            "before": interval(at[0][:, k]),
            "after": interval(at[1][:, k]),
            "change": interval(at[1][:, k] - at[0][:, k]),
        }
        for k, one in enumerate(seen)
    ]


def _counts(period: Period, rng: np.random.Generator) -> Array:
    """Members of each segment under each draw, customers drawn anew: (S, K)."""
    total = np.zeros((len(period.own.theta["weights"]), len(period.laid.ids)))
    for _, member in period.members():
        total += np.einsum("nsk,ns->sk", member, rng.standard_exponential(member.shape[:2]))
    return total


def _psi(found: Shift, *, few: bool) -> dict[str, Any]:
    return asdict(found) | {"level": LEVELS[0] if few else found.level}


def _fit(first: Array, second: Array, pairs: tuple[IntArray, IntArray]) -> dict[str, Any]:
    """Mean log density of both periods; customers below the old period's 1 % quantile."""
    limit = np.quantile(first, OUTLIERS)
    share, n, m = float((second < limit).mean()), len(first), len(second)
    # a customer of both periods pulls both means: only what changed of it counts
    pull, other = (first - first.mean()) / n, (second - second.mean()) / m
    both = float(pull[pairs[0]] @ other[pairs[1]])
    error = math.sqrt(max(float(pull @ pull + other @ other) - 2.0 * both, 0.0))
    # new values below an order statistic of the old ones: beta-binomial, whatever the density
    rank = OUTLIERS * (n - 1) + 1
    chance = float(betabinom.ppf(0.99, m, rank, n + 1 - rank)) / m
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
    own: Segments,
    seen: tuple[Shown, ...],
    first: Array,
    second: Array,
    effort: Effort,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Fit the new period and match its segments with the old ones on its customers.

    Beside it the old period refitted in samples of the new one's size: what small numbers alone do.
    ``seen_in`` names the segments, of those people see, that the model's own is in.
    """
    rows, old_rows = (sampled(matrix, effort.rows, rng) for matrix in (second, first))
    warm, height = em.climb(own.plan, own.start, rows, POLISH)
    cold, other = mode_of(own.plan, rows, effort, rng)
    gain = other - float(height[0])
    theta: Theta = cold if gain > _NATS else warm
    member = mean_membership(own, rows)
    ever = own.posterior.manifest["segments"]["ever"]
    found = align(member, scored(own.plan, theta, rows)[0][:, 0], own.ids, ever)
    kept_last = sorted(found.fates, key=lambda one: one.fate == "kept")
    fate = {one: fate.fate for fate in kept_last for one in fate.concerned}
    called = dict(zip(own.ids, own.names, strict=True))
    now = dict.fromkeys(found.ids, "") | called
    again = bootstrap(own.plan, rows, member, theta, effort, rng).jaccard
    anchor, _ = em.climb(own.plan, own.start, old_rows, POLISH)
    usual = bootstrap(
        own.plan, old_rows, mean_membership(own, old_rows), anchor, effort, rng, len(rows)
    ).jaccard
    return {
        "rows": len(rows),
        "another_start_better_by": max(0.0, gain),
        "ids": list(found.ids),
        "fates": [asdict(one) | {"says": lineage.words(one, called, now)} for one in found.fates],
        "segments": [
            {
                "id": one,
                "name": own.names[k],
                "seen_in": [shows.id for shows in seen if one in shows.of],
                "fate": fate[one],
                "jaccard": interval(again[:, k]),
                "without_change": interval(usual[:, k]),
                "changed": bool(again[:, k].mean() < np.quantile(usual[:, k], 0.05)),
            }
            for k, one in enumerate(own.ids)
        ],
    }


def judged(document: Mapping[str, Any]) -> dict[str, Any]:
    """Status, its reasons and sentences for people."""
    before, after = (document["customers"][period] for period in ("before", "after"))
    if min(before, after) < document["needed"]:
        says = (
            f"too few to judge: {before:,} and {after:,} in the two periods; the segments have "
            f"{document['needed']} parameters, each period needs as many customers"
        )
        return {
            "status": LEVELS[0],
            "reasons": [{"level": LEVELS[0], "says": says}],
            "words": _words(document)[:1],  # who moved is no news of so few
        }
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
        value, usual = one["jaccard"]["mean"], one["without_change"]["mean"]
        if one["changed"] and value < STABLE and usual >= UNTRUSTED:
            found.append(
                (
                    "refit" if value < UNTRUSTED else "watch",
                    f"{_called(one)} {_back(value)} in a refit: Jaccard {value:.2f}, {usual:.2f} "
                    "without any change",
                )
            )
    fit = document["fit"]
    if fit["doubled"]:
        found.append(
            ("refit", f"{fit['outliers']:.1%} of the customers are outliers, 1% at the fit")
        )
    found.sort(key=lambda one: -LEVELS.index(one[0]))
    return {
        "status": found[0][0] if found else LEVELS[1],
        "reasons": [{"level": level, "says": says} for level, says in found],
        "words": _words(document),
    }


def _back(jaccard: float) -> str:
    return "does not come back" if jaccard < UNTRUSTED else "comes back only in part"


def _moves(document: Mapping[str, Any]) -> list[str]:
    """Which segments kept their customers, where most went, and what movement in a steady mix means."""
    moves, names = document["migration"], [f"{s['id']} {s['name']}" for s in document["shares"]]
    found, exits = [], moves["exits"]
    peopled = [k for k in range(len(names)) if moves["peopled"][k]]
    least, most = (of(peopled, key=lambda k: exits[k]["mean"]) for of in (min, max))
    if exits[most]["lo"] > exits[least]["hi"]:
        found.append(
            f"Those who did not come back: {exits[most]['mean']:.0%} of {names[most]}, "
            f"{exits[least]['mean']:.0%} of {names[least]}."
        )
    more = {
        sum(to["mean"] for to in moves["customers"]["flow"][j]) * excess["mean"]: (j, k)
        for j, row in enumerate(moves["excess"])
        for k, excess in enumerate(row)
        if j != k and moves["followed"][j] and excess["lo"] > 0
    }
    if more:
        j, k = more[max(more)]
        found.append(
            f"Most of the movement: {moves['matrix'][j][k]['mean']:.0%} of {names[j]} who came back "
            f"are in {names[k]} now ({moves['baseline'][j][k]['mean']:.0%} without any change)."
        )
    if (
        moves["switching_excess"]["lo"] > MIXING
        and document["psi"]["segments"]["level"] == "stable"
    ):
        found.append(
            "The mix is as it was while customers move through it: a segment says where customers "
            "stand now, not who they are for good. Act on fresh scores."
        )
    return found


def _called(one: Mapping[str, Any]) -> str:
    """``S2 loyal``, or ``S2 loyal (in S2_S3)`` where a map has it in others."""
    inside = "" if one["seen_in"] == [one["id"]] else f" (in {', '.join(one['seen_in'])})"
    return f"{one['id']} {one['name']}{inside}"


def _words(document: Mapping[str, Any]) -> list[str]:
    customers, moves = document["customers"], document["migration"]
    found = [
        f"{customers['both']:,} customers are in both periods, {customers['gone']:,} only in the "
        f"first, {customers['new']:,} only in the second.",
        *document["missing"],
    ]
    real, baseline, excess = (
        moves[name]["mean"] for name in ("switching", "switching_baseline", "switching_excess")
    )
    sure = moves["switching_excess"]["lo"] > 0
    if customers["both"]:
        found.append(
            f"{real:.0%} of them sit in another segment than before; without any change it would be "
            f"{baseline:.0%}, for memberships are not certain: "
            + (
                f"{100 * excess:.0f} points of switching beyond what that shows by itself."
                if sure
                else "nobody need have moved."
            )
        )
        found += _moves(document) if len(moves["ids"]) > 1 else []
    for one in document["shares"]:
        change = one["change"]
        if change["lo"] > 0 or change["hi"] < 0:
            way = "grew" if change["mean"] > 0 else "shrank"
            found.append(
                f"{one['id']} {one['name']} {way} from {one['before']['mean']:.0%} to "
                f"{one['after']['mean']:.0%} of the customers."
            )
    found += [
        f"{_called(one)} does not come back even without any change (Jaccard "
        f"{one['without_change']['mean']:.2f}): its loss would mean nothing."
        for one in document["refit"]["segments"]
        if one["without_change"]["mean"] < UNTRUSTED
    ]
    fates = document["refit"]["fates"]
    lost = [fate["says"] for fate in fates if fate["fate"] != "kept"]
    if lost:
        found.append(f"In a refit to the later period: {'; '.join(lost)}.")
        if not any(
            one["changed"] for one in document["refit"]["segments"] if one["fate"] != "kept"
        ):
            found.append(
                "These come back no worse than in as many customers of the earlier period: nothing "
                "says that they have changed."
            )
    elif fates:
        found.append("A refit to the later period keeps every segment.")
    better = document["refit"]["another_start_better_by"]
    if better > _NATS:
        found.append(
            f"A refit from scratch fits the new period better by {better:.0f} nats than one from "
            "the old segments."
        )
    return found
