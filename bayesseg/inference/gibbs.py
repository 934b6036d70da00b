"""Conjugate Gibbs sampling of a mixture. L5.

All chains advance in step, one pass over the rows a sweep, chunk by chunk in parallel: responsibilities
of every chain, labels, latents, sufficient statistics, reduced in chunk order. Noise in the pass is a
hash of seed, row, chain and iteration, parameters are drawn from Philox counted by iteration, rows are
sorted by content: the draws depend on neither the number of threads nor the order of the customers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from scipy.special import logit

from bayesseg._compiled import compiled
from bayesseg._random import stream, uniform
from bayesseg._types import Array, Draws, Family, IntArray, OnProgress, Progress
from bayesseg.errors import InputRejected
from bayesseg.families._blocks import PURPOSES, Block, Part, Prepared, joint_of, prepared, split
from bayesseg.families.gmm import Plan, log_density, responsibilities, simulate
from bayesseg.inference import mixing
from bayesseg.inference import modes as em
from bayesseg.inference.modes import NATS, Mapper, Modes, Theta
from bayesseg.inference.relabel import ecr, permute, relabel
from bayesseg.spec import InferenceSpec, PartSpec

PAIRS, POINTS = 20, 10
ENOUGH_ESS, ENOUGH_RHAT = 600.0, 1.008
"""What the run aims at; the gates ask for 400 and 1.01, measured by rank."""
LONGEST = 10
"""A run is extended up to this many times the draws the model file asks for."""
MOST_PATTERNS = 64
"""Different sets of missing columns that correlated features may have."""
_CHUNK = 2048
_REFERENCE_CELLS, _FEWEST_REFERENCES = 2_000_000, 100
_VISITS = 4
_VISIT_ROWS = 5000
_OVERLAP_ROWS = 20_000
_SWEEP, _MODES, _STARTS, _PLACES, _TRIALS = range(5)  # streams of noise
_NOTHING = -40.0  # exp of it is lost when added to 1
_FULL = 1e200
_NEVER = 1e-12
_SHOWN = ("weights", "mean", "binary", "category", "rate")


@compiled
def _allocate(joint: Array, noise: npt.NDArray[np.uint64]) -> tuple[IntArray, Array, Array, Array]:
    """Draw a label for each row and chain from log joint densities (n, C, K).

    Returns:
        Labels (n, C); log-likelihood (C,), summed entropy (C,) and sizes (C, K) of each chain.
    """
    n, C, K = joint.shape
    labels = np.empty((n, C), dtype=np.int64)
    tops, spreads, logs, sizes = np.zeros(C), np.zeros(C), np.zeros(C), np.zeros((C, K))
    product = np.ones(C)  # of the rows' totals: one logarithm serves many rows
    share = np.empty(K)
    for i in range(n):
        for c in range(C):
            top = joint[i, c, 0]
            for k in range(1, K):
                top = max(top, joint[i, c, k])
            total, spread = 0.0, 0.0
            for k in range(K):
                gap = joint[i, c, k] - top
                share[k] = 1.0 if gap == 0.0 else np.exp(gap) if gap > _NOTHING else 0.0
                total += share[k]
                spread += share[k] * gap
            tops[c] += top
            spreads[c] += spread / total
            product[c] *= total
            if product[c] > _FULL:
                logs[c] += np.log(product[c])
                product[c] = 1.0
            state = stream(noise[0] + np.uint64(i), noise[1], noise[2] + np.uint64(c * PURPOSES))
            state, left = uniform(state)
            left *= total
            chosen = 0
            for k in range(K):  # the last component with any share takes what rounding leaves
                if share[k] > 0.0:
                    chosen = k
                    left -= share[k]
                    if left < 0.0:
                        break
            labels[i, c] = chosen
            sizes[c, chosen] += 1.0
    logs += np.log(product)
    return labels, tops + logs, logs - spreads, sizes


@compiled
def _picked(values: Array, labels: IntArray) -> Array:
    """Sum over rows of the value (n, C * K) of each chain's own label: (C,)."""
    n, C = labels.shape
    K = values.shape[1] // C
    total = np.zeros(C)
    for i in range(n):
        for c in range(C):
            total[c] += values[i, c * K + labels[i, c]]
    return total


@dataclass(frozen=True, slots=True)
class _Run:
    """What stays fixed during a run."""

    plan: Plan
    rows: Array
    parts: tuple[Part, ...]
    seed: int
    salt: int
    chains: int
    map: Mapper


def _noise(seed: int, stream: int, iteration: int) -> np.random.Generator:
    key = np.array([seed, stream], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, iteration]))


def _trial_gain(
    block: Block, part: Part, now: Prepared, then: Prepared, labels: IntArray, cells: int
) -> Array:
    """Log-likelihood ratio of a proposal given the labels, latents integrated out: (C,)."""
    gain = np.zeros((len(labels), cells))
    block.loglik(part.cells, part.pattern, *then, gain)
    here = np.zeros_like(gain)
    block.loglik(part.cells, part.pattern, *now, here)
    return _picked(gain - here, labels)


def _step(run: _Run, theta: Theta, iteration: int) -> tuple[Theta, Array, Array]:
    """The next parameters, and log-likelihood and entropy of the present ones."""
    blocks, weights = run.plan.blocks, theta["weights"]
    ready = prepared(blocks, theta, run.parts)
    rng = _noise(run.seed, _TRIALS, iteration)
    trials = {
        b: (*block.trial(block.own(theta), block.prior, rng), np.log(rng.random(run.chains)))
        for b, block in enumerate(blocks)
        if block.trial
    }
    tried = {b: blocks[b].prepare(run.parts[b].patterns, *trials[b][0]) for b in trials}

    def one(first: int) -> tuple[Array, ...]:
        parts = tuple(part[first : first + _CHUNK] for part in run.parts)

        def noise(purpose: int) -> npt.NDArray[np.uint64]:
            row = (run.salt + first) % 2**64
            return np.array([row, iteration, purpose], dtype=np.uint64)

        joint = joint_of(blocks, weights, ready, parts)
        labels, *sums = _allocate(joint, noise(0))

        def drawn(b: int, own: Prepared, purpose: int) -> Array:
            part = parts[b]
            found = blocks[b].drawn(part.cells, part.pattern, *own, labels, noise(purpose))
            return found.reshape(*weights.shape, -1)

        stats = [drawn(b, ready[b], 2 * b + 1) for b in range(len(blocks))]
        for b, own in tried.items():
            stats.append(_trial_gain(blocks[b], parts[b], ready[b], own, labels, weights.size))
            stats.append(drawn(b, own, 2 * b + 2))
        return *sums, *stats

    totals: list[Array] = []
    # in chunk order, whatever thread was first
    for found in run.map(one, range(0, len(run.rows), _CHUNK)):
        totals = [a + b for a, b in zip(totals, found, strict=True)] if totals else list(found)
    likelihood, entropy, sizes, *stats = totals
    rng = _noise(run.seed, _SWEEP, iteration)
    gammas = rng.standard_gamma(run.plan.concentration + sizes)
    new: Theta = {"weights": gammas / gammas.sum(1, keepdims=True)}
    others = iter(stats[len(blocks) :])
    for b, block in enumerate(blocks):
        own, stat = block.own(theta), stats[b]
        if b in trials:
            proposed, ratio, height = trials[b]
            taken = next(others) + ratio > height
            own = tuple(_either(taken, p, q) for p, q in zip(proposed, own, strict=True))
            stat = _either(taken, next(others), stat)
        new.update(zip(block.params, block.draw(stat, own, block.prior, rng), strict=True))
    return new, likelihood, entropy / len(run.rows)


def _either(taken: npt.NDArray[np.bool_], yes: Array, no: Array) -> Array:
    """``yes`` in the chains where it is taken, else ``no``."""
    return np.where(taken.reshape(-1, *(1,) * (yes.ndim - 1)), yes, no)


def _sample(
    run: _Run, theta: Theta, first: int, count: int, tick: Callable[[int], None]
) -> tuple[Theta, dict[str, Array]]:
    """``count`` iterations from ``theta``: the next parameters, and what was recorded (C, count)."""
    kept: dict[str, list[Array]] = {name: [] for name in (*theta, "log_likelihood", "entropy")}
    for i in range(first, first + count):
        new, likelihood, entropy = _step(run, theta, i)
        for name, values in (*theta.items(), ("log_likelihood", likelihood), ("entropy", entropy)):
            kept[name].append(values)
        theta = new
        tick(i + 1)
    return theta, {name: np.stack(values, axis=1) for name, values in kept.items()}


def _starts(run: _Run, modes: Modes, rng: np.random.Generator) -> Theta:
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


def _flat(values: Mapping[str, Array]) -> Theta:
    """(chain, draw, ...) to (chain * draw, ...)."""
    return {name: array.reshape(-1, *array.shape[2:]) for name, array in values.items()}


def _invariants(values: Theta, places: Array) -> dict[str, Array]:
    """Quantities that do not care how components are numbered, each (chain, draw, ...).

    ``places`` are simulated, never customers: from a density under thousands of draws, which the
    artefact keeps, its point can be solved for.
    """
    shape, theta = values["weights"].shape[:2], _flat(values)
    member = responsibilities(theta, places)
    together = np.einsum("psk,psk->sp", member[:PAIRS], member[PAIRS:])
    return {
        "sorted_weights": np.sort(values["weights"], axis=2)[..., ::-1],
        "coassignment": together.reshape(*shape, -1),
        "log_density": log_density(theta, places[:POINTS]).T.reshape(*shape, -1),
    }


def _memberships(values: Theta, reference: Array) -> Array:
    """Probabilities of the reference rows under each draw of all chains: (S, n, K)."""
    member = responsibilities(_flat(values), reference)
    return np.ascontiguousarray(member.swapaxes(0, 1))


def _permuted(values: Theta, order: IntArray) -> Theta:
    """Each draw's components in ``order`` (S, K), S over all chains."""
    shape = values["weights"].shape[:2]
    theta = permute(_flat(values), order)
    return {name: array.reshape(*shape, *array.shape[1:]) for name, array in theta.items()}


def _labelled(values: Theta, first: IntArray, reference: Array) -> tuple[Theta, dict[str, float]]:
    """All draws under one labelling, segments by falling mean size."""
    found = relabel(_memberships(values, reference), first)
    values = _permuted(values, found.order)
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


def _polish(
    run: _Run, values: Theta, stats: Mapping[str, Array], modes: Modes
) -> tuple[dict[str, Any], Modes]:
    """Climb from each chain's best draw and from draws along it; compare mode with mode.

    Climbs are made on some rows, together with the known modes; a chain in none of them is polished on
    all rows. Returns what is said of it, and all segmentations known by now, best first.
    """
    chains, draws = values["weights"].shape[:2]
    prior = em.log_prior(run.plan, _flat(values)).reshape(chains, draws)
    best = (stats["log_likelihood"] + prior).argmax(1)
    each = np.arange(chains)
    along = np.linspace(0, draws - 1, _VISITS).astype(np.int64)
    tops = em.take(values, (each, best))
    visits = {n: np.concatenate([tops[n][:, None], v[:, along]], axis=1) for n, v in values.items()}
    known = len(modes.log_posterior)
    entries = {n: np.concatenate([modes.theta[n], v]) for n, v in _flat(visits).items()}
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
    theta = _flat(values)
    theta = em.take(theta, np.linspace(0, len(theta["weights"]) - 1, draws).astype(np.int64))
    weights = theta["weights"]
    total = np.zeros((*weights.shape, weights.shape[1]))
    for start in range(0, len(rows), _CHUNK):
        root = np.sqrt(responsibilities(theta, rows[start : start + _CHUNK])).swapaxes(0, 1)
        total += root.swapaxes(1, 2) @ root
    scale = np.sqrt(weights[:, :, None] * weights[:, None, :]) * len(rows)
    return np.asarray((total / scale).mean(0))


def _watched(values: Mapping[str, Array]) -> Array:
    """Every scalar the gates will look at: (chain, draw, scalar).

    Spreads as logarithms and chances as logits, which have no long tails: the gates look at ranks.
    """
    found = []
    for name, array in values.items():
        if name == "covariance":
            array = np.diagonal(array, axis1=-2, axis2=-1)
        if name in ("variance", "covariance", "rate", "size"):
            array = np.log(array)
        if name in ("binary", "category", "coassignment"):
            array = logit(np.clip(array, _NEVER, 1.0 - _NEVER))
        if name == "df":  # on a grid, or fixed
            continue
        found.append(array.reshape(*array.shape[:2], -1))
    return np.concatenate(found, axis=2)


def _more(mixed: tuple[float, float], draws: int, asked: int) -> int:
    """How many draws to add: as many as the slowest scalar seems to need, a quarter at least."""
    rhat, ess = mixed
    if rhat <= ENOUGH_RHAT and ess >= ENOUGH_ESS:
        return 0
    need = 1.1 * ENOUGH_ESS / ess if np.isfinite(ess) and ess > 0 else LONGEST
    wanted = max(int(draws * (need - 1.0)), asked // 4)
    return max(0, min(wanted, LONGEST * asked - draws))


@dataclass(frozen=True, slots=True)
class _Kept:
    """A finished run: draws as they came, and the order (S, K) that lines them up with the best mode."""

    values: Theta
    stats: Theta
    order: IntArray
    reference: Array
    mixed: tuple[float, float]
    draws: int


def _sampled(
    run: _Run, modes: Modes, inference: InferenceSpec, tick: Callable[[int], None]
) -> _Kept:
    """Tune, then draw until the chains agree or the run is as long as it may be."""
    chains, K, n = inference.chains, run.plan.components, len(run.rows)
    references = max(_FEWEST_REFERENCES, _REFERENCE_CELLS // (chains * inference.draws * K))
    some = np.linspace(0, n - 1, min(n, references)).astype(np.int64)
    places, _ = simulate(em.take(modes.theta, 0), 2 * PAIRS, _noise(run.seed, _PLACES, 0))
    theta = _starts(run, modes, _noise(run.seed, _STARTS, 0))
    theta, _ = _sample(run, theta, 0, inference.tune, tick)
    kept: dict[str, Array] = {}
    orders = np.empty((chains, 0, K), dtype=np.int64)
    count, draws = inference.draws, 0
    while count:
        theta, new = _sample(run, theta, inference.tune + draws, count, tick)
        fresh = {name: new[name] for name in theta}
        new |= _invariants(fresh, places)
        order = ecr(_memberships(fresh, run.rows[some]), modes.allocation[0, some])
        orders = np.concatenate([orders, order.reshape(chains, count, K)], axis=1)
        kept = {k: np.concatenate([kept[k], new[k]], axis=1) for k in new} if kept else new
        draws += count
        values = {name: kept[name] for name in theta}
        stats = {name: array for name, array in kept.items() if name not in theta}
        mixed = mixing.worst(_watched(_permuted(values, orders.reshape(-1, K)) | stats))
        count = _more(mixed, draws, inference.draws)
    return _Kept(values, stats, orders.reshape(-1, K), run.rows[some], mixed, draws)


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
    return np.ascontiguousarray(matrix[np.lexsort(matrix.T[::-1])])


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
        counts: how many columns of counts come then; as many of exposures end the matrix.
        on_progress: told of every hundredth iteration.
        threads: at most so many; the draws do not depend on it.

    Returns:
        ``values`` weights and each block's parameters, (chain, draw, segment, ...), segments by
        falling size; ``stats`` log_likelihood, entropy, sorted_weights, coassignment, log_density;
        ``info`` modes (with the segmentations that compete), relabelling, overlap, seconds.

    Raises:
        InputRejected: too few rows, missing values where the model refuses them, or too many sets of
            missing columns for correlated features.
    """
    began = time.perf_counter()
    rows = _prepared(part, matrix)
    binaries = matrix.shape[1] - numbers - len(levels) - 2 * counts
    plan: Plan = family.gibbs(part, numbers, binaries, levels, counts)
    parts = _split(plan, rows)
    threads = threads or numba.config.NUMBA_NUM_THREADS
    total = inference.tune + inference.draws
    if on_progress:
        on_progress(Progress("segments", 0, total, "looking for modes"))

    def tick(done: int) -> None:
        if on_progress and done % 100 == 0:
            on_progress(Progress("segments", done, max(total, done)))

    restarted = False
    with ThreadPoolExecutor(threads) as pool:
        mapper = pool.map if threads > 1 else map
        salt = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
        run = _Run(plan, rows, parts, seed, salt, inference.chains, mapper)
        modes = em.find_modes(plan, rows, _noise(seed, _MODES, 0), mapper)
        searched = time.perf_counter() - began
        kept = _sampled(run, modes, inference, tick)
        said, visited = _polish(run, kept.values, kept.stats, modes)
        if said["distinct_between_chains"] > 1 and said["gap_nats"] > NATS:
            # a mode so much lower is a trap, not a rival: all chains from the best one
            restarted = True
            only = np.flatnonzero(visited.log_posterior >= visited.log_posterior[0] - NATS)
            modes = em.distinct(
                plan, em.take(visited.theta, only), visited.log_posterior[only], rows
            )
            kept = _sampled(run, modes, inference, tick)
            said, _ = _polish(run, kept.values, kept.stats, modes)
    values, labels = _labelled(kept.values, kept.order, kept.reference)
    pairs = overlap(values, rows)
    np.fill_diagonal(pairs, 0.0)
    info = {
        "engine": "gibbs",
        "rows": len(rows),
        "chains": inference.chains,
        "draws": kept.draws,
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
    return Draws(values, kept.stats, info)
