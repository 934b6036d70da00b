"""Conjugate Gibbs sampling of a mixture: modes, chains from them, one labelling, what is said. L5."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numba
import numpy as np

from bayesseg._types import Array, Draws, Family, IntArray, OnProgress, Progress
from bayesseg.errors import InputRejected
from bayesseg.families._blocks import Part, split
from bayesseg.families.gmm import Plan, responsibilities, simulate
from bayesseg.inference import mixing
from bayesseg.inference import modes as em
from bayesseg.inference.modes import NATS, Modes, Theta
from bayesseg.inference.relabel import ecr, relabel
from bayesseg.inference.sweep import CHUNK, MODES, PLACES, STARTS, Run, noise_of, sample
from bayesseg.inference.telescope import explored
from bayesseg.inference.watched import (
    PAIRS,
    Kept,
    flat,
    invariants,
    memberships,
    more,
    permuted,
    references,
    watched,
)
from bayesseg.spec import InferenceSpec, PartSpec

MOST_PATTERNS = 64
"""Different sets of missing columns that correlated features may have."""
_VISITS = 4
_VISIT_ROWS = 5000
_OVERLAP_ROWS = 20_000
_SHOWN = ("weights", "mean", "binary", "category", "ordinal", "rate")


def _starts(run: Run, modes: Modes, rng: np.random.Generator) -> Theta:
    """Different modes within 10 nats, best first; then these after one EM step on a bootstrap sample.

    One step spreads the starts about as widely as the posterior; more could leave the mode.
    """
    near = np.flatnonzero(modes.log_posterior >= modes.log_posterior[0] - NATS)
    theta = em.take(modes.theta, [int(near[c % len(near)]) for c in range(run.chains)])
    for c in range(len(near), run.chains):
        drawn = run.rows[np.sort(rng.integers(len(run.rows), size=min(len(run.rows), _VISIT_ROWS)))]
        refit, _ = em.climb(run.plan, em.take(theta, slice(c, c + 1)), drawn, 1)
        for name, values in refit.items():
            theta[name][c] = values[0]
    return theta


def _labelled(values: Theta, first: IntArray, reference: Array) -> tuple[Theta, dict[str, float]]:
    """All draws under one labelling, segments by falling mean size."""
    found = relabel(memberships(values, reference), first)
    values = permuted(values, found.order)
    size = np.argsort(-values["weights"].mean((0, 1)), kind="stable")
    facts = {
        "disagreement": found.disagreement,
        "permuted": found.permuted,
        "margin": found.margin,
        "reference_rows": float(len(reference)),
    }
    return {name: array[:, :, size] for name, array in values.items()}, facts


def _groups(label: IntArray) -> int:
    """How many groups of chains share no mode; ``label`` (chain, visit) numbers modes."""
    groups: list[set[int]] = []
    for visited in map(set, label.tolist()):
        joined = [g for g in groups if g & visited]
        groups = [g for g in groups if not g & visited] + [visited.union(*joined)]
    return len(groups)


def _polish(run: Run, kept: Kept, modes: Modes) -> tuple[dict[str, Any], Modes]:
    """Climb from each chain's best draw and from draws along it; compare mode with mode.

    Climbs are made on some rows, together with the known modes; a chain in none of them is polished on
    all rows. Returns what is said of it, and all segmentations known by now, best first.
    """
    values, (chains, draws) = kept.values, kept.log_likelihood.shape
    prior = em.log_prior(run.plan, flat(values)).reshape(chains, draws)
    best = (kept.log_likelihood + prior).argmax(1)
    each = np.arange(chains)
    along = np.linspace(0, draws - 1, _VISITS).astype(np.int64)
    tops = em.take(values, (each, best))
    visits = {n: np.concatenate([tops[n][:, None], v[:, along]], axis=1) for n, v in values.items()}
    known = len(modes.log_posterior)
    entries = {n: np.concatenate([modes.theta[n], v]) for n, v in flat(visits).items()}
    some = run.rows[:: max(1, len(run.rows) // _VISIT_ROWS)]
    reached, height = em.climb(run.plan, entries, some, em.POLISH_STEPS, mapper=run.map)
    label = em.same_modes(run.plan, reached, height, some)
    seen = label[known:].reshape(chains, -1)
    heights = {int(label[m]): float(modes.log_posterior[m]) for m in reversed(range(known))}
    shown = {int(label[m]): em.take(modes.theta, m) for m in reversed(range(known))}
    new = [c for c in range(chains) if int(seen[c, 0]) not in heights]
    if new:
        top, value = em.climb(
            run.plan, em.take(tops, new), run.rows, em.POLISH_STEPS, mapper=run.map
        )
        for place, c in enumerate(new):
            mode = int(seen[c, 0])
            if value[place] > heights.get(mode, -np.inf):
                heights[mode], shown[mode] = float(value[place]), em.take(top, place)
    polished = [heights[int(mode)] for mode in seen[:, 0]]
    highest = max(heights.values())
    rivals = sorted(heights, key=lambda m: -heights[m])
    theta = {n: np.stack([shown[m][n] for m in rivals]) for n in values}
    found = Modes(
        theta,
        np.array([heights[m] for m in rivals]),
        em.allocations(run.plan, theta, some),
    )
    said = {
        "log_posterior": [float(v) for v in modes.log_posterior],
        "polished": polished,
        "missed_nats": max(0.0, highest - max(polished)),
        "visited": seen.tolist(),
        "distinct_between_chains": _groups(seen),
        "gap_nats": max(polished) - min(polished),
        "segmentations": [_described(found, m, rivals[m], seen) for m in range(len(rivals))],
    }
    return said, found


def _described(found: Modes, m: int, label: int, seen: IntArray) -> dict[str, Any]:
    """One segmentation for people: its shape, who visits it, how like the best one it is."""
    size = np.argsort(-found.theta["weights"][m], kind="stable")
    shape = {n: found.theta[n][m][size].tolist() for n in found.theta if n in _SHOWN}
    return shape | {
        "log_posterior": float(found.log_posterior[m]),
        "nats_below_best": float(found.log_posterior[0] - found.log_posterior[m]),
        "agreement_with_best": em.rand_index(found.allocation[0], found.allocation[m]),
        "chains": np.flatnonzero((seen == label).any(1)).tolist(),
    }


def overlap(values: Theta, rows: Array, draws: int = 40) -> Array:
    """Bhattacharyya coefficient of each pair of segments, posterior mean: (K, K).

    Integral of sqrt(f_j f_k), as the mean over rows of sqrt(p_j p_k / (w_j w_k)): right for any blocks
    and for missing cells.
    """
    rows = rows[:: max(1, len(rows) // _OVERLAP_ROWS)]
    theta = flat(values)
    theta = em.take(theta, np.linspace(0, len(theta["weights"]) - 1, draws).astype(np.int64))
    weights = theta["weights"]
    total = np.zeros((*weights.shape, weights.shape[1]))
    for start in range(0, len(rows), CHUNK):
        root = np.sqrt(responsibilities(theta, rows[start : start + CHUNK])).swapaxes(0, 1)
        total += root.swapaxes(1, 2) @ root
    scale = np.sqrt(weights[:, :, None] * weights[:, None, :]) * len(rows)
    return np.asarray((total / scale).mean(0))


def _sampled(run: Run, modes: Modes, inference: InferenceSpec, tick: Callable[[int], None]) -> Kept:
    """Tune, then draw until the chains agree or the run is as long as it may be."""
    chains, K = inference.chains, run.plan.components
    some = references(run.rows, chains * inference.draws, K)
    allocation = em.allocations(run.plan, em.take(modes.theta, [0]), some)[0]
    places, _ = simulate(em.take(modes.theta, 0), 2 * PAIRS, noise_of(run.seed, PLACES, 0))
    theta = _starts(run, modes, noise_of(run.seed, STARTS, 0))
    names = tuple(theta)
    if run.plan.number:
        theta["alpha"] = np.ones(chains)
    theta, _ = sample(run, theta, 0, inference.tune, tick)
    kept: dict[str, Array] = {}
    orders = np.empty((chains, 0, K), dtype=np.int64)
    count, draws = inference.draws, 0
    while count:
        theta, new = sample(run, theta, inference.tune + draws, count, tick)
        fresh = {name: new[name] for name in names}
        new = {n: v for n, v in new.items() if n != "alpha"} | invariants(fresh, places)
        order = ecr(memberships(fresh, some), allocation)
        orders = np.concatenate([orders, order.reshape(chains, count, K)], axis=1)
        kept = {k: np.concatenate([kept[k], new[k]], axis=1) for k in new} if kept else new
        draws += count
        values = {name: kept[name] for name in names}
        stats = {name: array for name, array in kept.items() if name not in names}
        mixed = mixing.worst(watched(permuted(values, orders.reshape(-1, K)) | stats))
        count = more(mixed, draws, inference.draws)
    order, height = orders.reshape(-1, K), stats["log_likelihood"]
    return Kept(values, stats, order, some, mixed, height)


def _prepared(part: PartSpec, matrix: Array) -> Array:
    if len(matrix) < 2:
        raise InputRejected("one customer cannot be segmented", code="too_few")
    holes = np.isnan(matrix).any(0)
    if holes.any() and part.options.get("missing", "model") == "reject":
        raise InputRejected(
            f"{int(holes.sum())} segment features have missing values",
            fix='set missing = "model" in [segments] to integrate them out',
            code="missing_values",
        )
    rows = np.ascontiguousarray(matrix[np.lexsort(matrix.T[::-1])])
    again = (rows[1:] == rows[:-1]) | (np.isnan(rows[1:]) & np.isnan(rows[:-1]))
    distinct, asked = len(rows) - int(again.all(1).sum()), part.options["components"]
    if isinstance(asked, int) and asked > distinct:
        raise InputRejected(
            f"{asked} segments are asked of {distinct} different customers",
            fix="set a smaller number of components in [segments]",
            code="too_few",
        )
    return rows


def _split(plan: Plan, rows: Array) -> tuple[Part, ...]:
    parts = split(plan.blocks, rows)
    most = max((len(part.patterns) for part in parts), default=1)
    if most > MOST_PATTERNS:
        raise InputRejected(
            f"correlated features have {most} different sets of missing columns; "
            f"{MOST_PATTERNS} are the most",
            fix='set covariance = "diag" in [segments], or drop the columns most often empty',
            code="missing_values",
        )
    return parts


def gibbs(
    family: Family,
    part: PartSpec,
    matrix: Array,
    inference: InferenceSpec,
    seed: int,
    *,
    numbers: int,
    levels: Sequence[int] = (),
    counts: int = 0,
    ranks: Sequence[int] = (),
    on_progress: OnProgress | None = None,
    threads: int | None = None,
) -> Draws:
    """Sample the posterior of a mixture, relabelled.

    Args:
        family: a family with a Gibbs plan.
        part: the ``[segments]`` part of a model.
        matrix: (N, columns) features, NaN where missing; any order of rows gives the same draws.
        inference: chains, draws and tune; draws are extended up to ten-fold until they suffice.
        seed: not negative.
        numbers: how many of the columns are number features; yes-or-no ones follow.
        levels: the number of levels of each categorical column, which come next.
        counts: how many columns of counts end it, before as many of exposures.
        ranks: the number of levels of each ordinal column, between categories and counts.
        on_progress: told of every hundredth iteration.
        threads: at most so many; the draws do not depend on it.

    Returns:
        ``values`` weights and each block's parameters, (chain, draw, segment, ...), segments by
        falling size; ``stats`` log_likelihood, entropy, sorted_weights, coassignment, log_density;
        ``info`` modes (with the segmentations that compete), relabelling, overlap, seconds; where the
        number of components is drawn, ``chosen``: what was drawn, and of which number the values are.

    Raises:
        InputRejected: too few rows, missing values where the model refuses them, or too many sets of
            missing columns for correlated features.
    """
    began = time.perf_counter()
    rows = _prepared(part, matrix)
    binaries = matrix.shape[1] - numbers - len(levels) - len(ranks) - 2 * counts
    plan: Plan = family.gibbs(part, numbers, binaries, levels, counts, ranks)
    parts = _split(plan, rows)
    threads = threads or numba.config.NUMBA_NUM_THREADS
    total = inference.tune + inference.draws
    if on_progress:
        on_progress(Progress("segments", 0, total, "looking for modes"))

    def tick(done: int) -> None:
        if on_progress and done % 100 == 0:
            on_progress(Progress("segments", done, max(total, done)))

    restarted = False
    chosen: dict[str, Any] = {}
    with ThreadPoolExecutor(threads) as pool:
        mapper = pool.map if threads > 1 and len(rows) > CHUNK else map
        salt = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
        run = Run(plan, rows, parts, seed, salt, inference.chains, mapper)
        if plan.number:
            counted, chosen = explored(run, inference, tick)
            plan = replace(plan, components=chosen["components"], held=True)
            run = replace(run, plan=plan)
        started = time.perf_counter()
        modes = em.find_modes(plan, rows, noise_of(seed, MODES, 0), mapper)
        searched = time.perf_counter() - started
        kept = _sampled(run, modes, inference, tick)
        said, visited = _polish(run, kept, modes)
        if said["distinct_between_chains"] > 1 and said["gap_nats"] > NATS:
            # a mode so much lower is a trap, not a rival: all chains from the best one
            restarted = True
            only = np.flatnonzero(visited.log_posterior >= visited.log_posterior[0] - NATS)
            modes = em.distinct(
                plan, em.take(visited.theta, only), visited.log_posterior[only], rows
            )
            kept = _sampled(run, modes, inference, tick)
            said, _ = _polish(run, kept, modes)
    values, labels = _labelled(kept.values, kept.order, kept.reference)
    pairs = overlap(values, rows)
    np.fill_diagonal(pairs, 0.0)
    info = {
        "engine": "gibbs",
        "rows": len(rows),
        "chains": inference.chains,
        "draws": kept.log_likelihood.shape[1],
        "components": plan.components,
        "modes": said | {"restarted": restarted},
        "relabel": labels,
        "overlap": {"max_bhattacharyya": float(pairs.max()), "pairs": pairs.round(4).tolist()},
        "mixing": dict(zip(("rhat", "ess"), kept.mixed, strict=True)),
        "seconds": round(time.perf_counter() - began, 2),
        "seconds_modes": round(searched, 2),
    }
    if on_progress:
        on_progress(Progress("segments", total, total))
    stats = dict(kept.stats)
    if chosen:
        info["chosen"], stats["filled"] = chosen, counted
    return Draws(values, stats, info)
