"""Conjugate Gibbs sampling of a mixture. L5.

All chains advance in step: one kernel call a chunk gives the responsibilities of every chain, labels
come from uniforms drawn before the pass, and sufficient statistics are reduced in chunk order. Noise is
Philox keyed by the seed and counted by iteration, rows are sorted by content: the draws depend on
neither the number of threads nor the order of the customers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from scipy.special import logit

from bayesseg._compiled import compiled
from bayesseg._types import Array, Draws, Family, IntArray, OnProgress, Progress
from bayesseg.errors import InputRejected
from bayesseg.families._blocks import log_joint, split, statistics
from bayesseg.families.gmm import Plan, log_density, responsibilities, simulate
from bayesseg.inference import mixing
from bayesseg.inference import modes as em
from bayesseg.inference.modes import Modes, Theta
from bayesseg.inference.relabel import ecr, permute, relabel
from bayesseg.spec import InferenceSpec, PartSpec

PAIRS, POINTS = 20, 10
ENOUGH_ESS, ENOUGH_RHAT = 600.0, 1.008
"""What the run aims at; the gates ask for 400 and 1.01, measured by rank."""
LONGEST = 10
"""A run is extended up to this many times the draws the model file asks for."""
NATS = 10.0
_CHUNK = 4096
_REFERENCE_CELLS, _FEWEST_REFERENCES = 2_000_000, 100
_VISITS = 4
_VISIT_ROWS = 5000
_SWEEP, _MODES, _STARTS, _PLACES = range(4)  # streams of noise
_NOTHING = -40.0  # exp of it is lost when added to 1
_FULL = 1e200
_NEVER = 1e-12


@compiled
def _allocate(joint: Array, uniforms: Array) -> tuple[Array, Array, Array]:
    """Draw a label for each row and chain; log joint densities become 0 and 1 in place.

    Returns:
        Log-likelihood (C,), summed entropy (C,) and sizes (C, K) of each chain.
    """
    n, C, K = joint.shape
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
                joint[i, c, k] = 0.0
            tops[c] += top
            spreads[c] += spread / total
            product[c] *= total
            if product[c] > _FULL:
                logs[c] += np.log(product[c])
                product[c] = 1.0
            left = uniforms[c, i] * total
            chosen = 0
            for k in range(K):  # the last component with any share takes what rounding leaves
                if share[k] > 0.0:
                    chosen = k
                    left -= share[k]
                    if left < 0.0:
                        break
            joint[i, c, chosen] = 1.0
            sizes[c, chosen] += 1.0
    logs += np.log(product)
    return tops + logs, logs - spreads, sizes


@dataclass(frozen=True, slots=True)
class _Run:
    """What stays fixed during a run."""

    plan: Plan
    rows: Array
    chunks: tuple[tuple[slice, tuple[Array, ...]], ...]
    seed: int
    chains: int
    map: Callable[..., Any]


def _noise(seed: int, stream: int, iteration: int) -> np.random.Generator:
    key = np.array([seed, stream], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, iteration]))


def _pass(run: _Run, theta: Theta, uniforms: Array) -> tuple[Array, Array, Array, list[Array]]:
    """One sweep over the rows: log-likelihoods, entropies (C,), sizes (C, K), statistics."""

    def one(chunk: tuple[slice, tuple[Array, ...]]) -> tuple[Any, ...]:
        where, parts = chunk
        joint = log_joint(run.plan.blocks, theta, parts)
        sums = _allocate(joint, np.ascontiguousarray(uniforms[:, where]))
        return *sums, *statistics(run.plan.blocks, parts, joint)

    totals: tuple[Any, ...] | None = None
    for part in run.map(one, run.chunks):  # in chunk order, whatever thread was first
        totals = part if totals is None else tuple(a + b for a, b in zip(totals, part, strict=True))
    assert totals is not None
    likelihood, entropy, sizes, *stats = totals
    return likelihood, entropy / len(run.rows), sizes, stats


def _step(run: _Run, theta: Theta, iteration: int) -> tuple[Theta, Array, Array]:
    """The next parameters, and log-likelihood and entropy of the present ones."""
    rng = _noise(run.seed, _SWEEP, iteration)
    uniforms = rng.random((run.chains, len(run.rows)))
    likelihood, entropy, sizes, stats = _pass(run, theta, uniforms)
    gammas = rng.standard_gamma(run.plan.concentration + sizes)
    new: Theta = {"weights": gammas / gammas.sum(1, keepdims=True)}
    for block, stat in zip(run.plan.blocks, stats, strict=True):
        old = tuple(theta[name] for name in block.params)
        new.update(zip(block.params, block.draw(stat, old, block.prior, rng), strict=True))
    return new, likelihood, entropy


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


def _polish(run: _Run, values: Theta, stats: Mapping[str, Array], modes: Modes) -> dict[str, Any]:
    """Climb from each chain's best draw and from draws along it; compare mode with mode."""
    chains, draws = values["weights"].shape[:2]
    prior = em.log_prior(run.plan, _flat(values)).reshape(chains, draws)
    best = (stats["log_likelihood"] + prior).argmax(1)
    each = np.arange(chains)
    tops, polished = em.climb(run.plan, em.take(values, (each, best)), run.rows, em.POLISH_STEPS)
    along = np.linspace(0, draws - 1, _VISITS).astype(np.int64)
    visits = {
        name: np.concatenate([tops[name][:, None], array[:, along]], axis=1)
        for name, array in values.items()
    }
    step = max(1, len(run.rows) // _VISIT_ROWS)
    some = run.rows[::step]
    reached, height = em.climb(run.plan, _flat(visits), some, em.POLISH_STEPS)
    label = em.same_modes(run.plan, reached, height, some).reshape(chains, -1)
    log_posterior = np.sort(np.concatenate([modes.log_posterior, polished]))[::-1]
    return {
        "log_posterior": [float(v) for v in modes.log_posterior],
        "polished": [float(v) for v in polished],
        "missed_nats": float(max(0.0, log_posterior[0] - polished.max())),
        "visited": label.tolist(),
        "distinct_between_chains": _groups(label),
        "gap_nats": float(polished.max() - polished.min()),
    }


def overlap(values: Theta, rows: Array, draws: int = 40) -> Array:
    """Bhattacharyya coefficient of each pair of segments, posterior mean: (K, K).

    Integral of sqrt(f_j f_k), as the mean over rows of sqrt(p_j p_k / (w_j w_k)): right for any blocks
    and for missing cells.
    """
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
        if name in ("variance", "covariance"):
            array = np.log(array)
        if name in ("binary", "coassignment"):
            array = logit(np.clip(array, _NEVER, 1.0 - _NEVER))
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
    if holes.any() and part.options.get("covariance") == "full":
        raise InputRejected(
            "segment features have missing values, which full covariance does not take",
            fix='set covariance = "diag" in [segments]',
            code="missing_values",
        )
    return np.ascontiguousarray(matrix[np.lexsort(matrix.T[::-1])])


def gibbs(
    family: Family,
    part: PartSpec,
    matrix: Array,
    inference: InferenceSpec,
    seed: int,
    *,
    numbers: int,
    on_progress: OnProgress | None = None,
    threads: int | None = None,
) -> Draws:
    """Sample the posterior of a mixture, relabelled.

    Args:
        family: a family with a Gibbs plan.
        part: the ``[segments]`` part of a model.
        matrix: (N, D + B) features, NaN where missing; any order of rows gives the same draws.
        inference: chains, draws and tune; draws are extended up to ten-fold until they suffice.
        seed: not negative.
        numbers: D, how many of the columns are number features; binary ones follow.
        on_progress: told of every hundredth iteration.
        threads: at most so many; the draws do not depend on it.

    Returns:
        ``values`` weights, mean, variance (or covariance), binary, each (chain, draw, segment, ...),
        segments by falling size; ``stats`` log_likelihood, entropy, sorted_weights, coassignment,
        log_density; ``info`` modes, relabelling, overlap, seconds.

    Raises:
        InputRejected: too few rows, or missing values where the model refuses them.
    """
    began = time.perf_counter()
    rows = _prepared(part, matrix)
    plan: Plan = family.gibbs(part, numbers, matrix.shape[1] - numbers)
    spans = [slice(i, min(i + _CHUNK, len(rows))) for i in range(0, len(rows), _CHUNK)]
    chunks = tuple((span, split(plan.blocks, rows[span])) for span in spans)
    threads = min(threads or numba.config.NUMBA_NUM_THREADS, len(chunks))
    total = inference.tune + inference.draws
    if on_progress:
        on_progress(Progress("segments", 0, total, "looking for modes"))

    def tick(done: int) -> None:
        if on_progress and done % 100 == 0:
            on_progress(Progress("segments", done, max(total, done)))

    with ThreadPoolExecutor(threads) as pool:
        mapper = pool.map if threads > 1 else map
        run = _Run(plan, rows, chunks, seed, inference.chains, mapper)
        modes = em.find_modes(plan, rows, _noise(seed, _MODES, 0))
        kept = _sampled(run, modes, inference, tick)
    values, labels = _labelled(kept.values, kept.order, kept.reference)
    pairs = overlap(values, rows)
    np.fill_diagonal(pairs, 0.0)
    info = {
        "engine": "gibbs",
        "rows": len(rows),
        "chains": inference.chains,
        "draws": kept.draws,
        "components": plan.components,
        "modes": _polish(run, values, kept.stats, modes),
        "relabel": labels,
        "overlap": {"max_bhattacharyya": float(pairs.max()), "pairs": pairs.round(4).tolist()},
        "mixing": dict(zip(("rhat", "ess"), kept.mixed, strict=True)),
        "seconds": round(time.perf_counter() - began, 2),
    }
    if on_progress:
        on_progress(Progress("segments", total, total))
    return Draws(values, kept.stats, info)
