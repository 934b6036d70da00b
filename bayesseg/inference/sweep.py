"""One sweep of the Gibbs sampler over all chains, and many of them. L5.

All chains advance in step, one pass over the rows a sweep, chunk by chunk in parallel: responsibilities
of every chain, labels, latents, sufficient statistics, reduced in chunk order. Noise in the pass is a
hash of seed, row, chain and iteration, parameters are drawn from Philox counted by iteration, rows are
sorted by content: the draws depend on neither the number of threads nor the order of the customers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bayesseg._compiled import compiled
from bayesseg._random import stream, uniform
from bayesseg._types import Array, IntArray
from bayesseg.families._blocks import LOWEST, PURPOSES, Block, Part, Prepared, joint_of, prepared
from bayesseg.families._number import drawn
from bayesseg.families._special import exp
from bayesseg.families.gmm import Plan
from bayesseg.inference.modes import Mapper, Theta
from bayesseg.inference.pieces import named, piece

CHUNK = 2048
STRETCH = 250
"""Iterations of all chains that are kept as one piece."""
_NEXT = "next."
SWEEP, MODES, STARTS, PLACES, TRIALS = range(5)
"""Streams of noise."""
_FULL = 1e200
_TRIES, _AGAIN = 64, 2**40
"""Where all components must hold rows, labels are drawn again until they do, with noise of their own."""


@compiled
def allocate(joint: Array, noise: npt.NDArray[np.uint64]) -> tuple[IntArray, Array, Array, Array]:
    """Draw a label for each row and chain from log joint densities (n, C, K).

    Returns:
        Labels (n, C); log-likelihood (C,), summed entropy (C,) and sizes (C, K) of each chain.
    """
    n, C, K = joint.shape
    labels = np.empty((n, C), dtype=np.int64)
    tops, spreads, logs, sizes = np.zeros(C), np.zeros(C), np.zeros(C), np.zeros((C, K))
    product = np.ones(C)  # of the rows' totals: one logarithm serves many rows
    gaps, shares = np.empty(C * K), np.empty(C * K)
    for i in range(n):
        for c in range(C):
            top = joint[i, c, 0]
            for k in range(1, K):
                value = joint[i, c, k]
                top = value if value > top else top
            tops[c] += top
            for k in range(K):
                gap = joint[i, c, k] - top
                gaps[c * K + k] = gap if gap > LOWEST else LOWEST  # some have no chance
        for j in range(C * K):
            shares[j] = exp(gaps[j])
        for c in range(C):
            total, spread = 0.0, 0.0
            for k in range(K):
                share = shares[c * K + k]
                total += share
                spread += share * gaps[c * K + k]
                shares[c * K + k] = total  # cumulated
            spreads[c] += spread / total
            product[c] *= total
            if product[c] > _FULL:
                logs[c] += np.log(product[c])
                product[c] = 1.0
            state = stream(noise[0] + np.uint64(i), noise[1], noise[2] + np.uint64(c * PURPOSES))
            state, left = uniform(state)
            left *= total
            chosen = 0
            for k in range(K - 1):  # no branch to be guessed wrong
                chosen += int(shares[c * K + k] <= left)
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
class Run:
    """What stays fixed during a run."""

    plan: Plan
    rows: Array
    parts: tuple[Part, ...]
    seed: int
    salt: int
    chains: int
    map: Mapper
    folder: Path | None = None


def noise_of(seed: int, stream: int, iteration: int) -> np.random.Generator:
    """A generator of its own for each stream and iteration: a run can go on from anywhere."""
    key = np.array([seed, stream], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, iteration]))


def _trial_gain(
    block: Block, part: Part, now: Prepared, then: Prepared, labels: IntArray, cells: int
) -> Array:
    """Log-likelihood ratio of a proposal given the labels, latents integrated out: (C,)."""
    gain = np.zeros((len(labels), cells))
    block.loglik(part.cells, part.pattern, then, gain)
    here = np.zeros_like(gain)
    block.loglik(part.cells, part.pattern, now, here)
    return _picked(gain - here, labels)


def _pass(
    run: Run, ready: tuple[Prepared, ...], tried: Mapping[int, Prepared], weights: Array, turn: int
) -> list[Array]:
    """One pass over the rows: likelihood, entropy, sizes, then statistics, each (C, ...)."""
    blocks = run.plan.blocks

    def one(first: int) -> tuple[Array, ...]:
        parts = tuple(part[first : first + CHUNK] for part in run.parts)

        def noise(purpose: int) -> npt.NDArray[np.uint64]:
            row = (run.salt + first) % 2**64
            return np.array([row, turn, purpose], dtype=np.uint64)

        joint = joint_of(blocks, weights, ready, parts)
        labels, *sums = allocate(joint, noise(0))

        def drawn(b: int, own: Prepared, purpose: int) -> Array:
            part = parts[b]
            found = blocks[b].drawn(part.cells, part.pattern, own, labels, noise(purpose))
            return found.reshape(*weights.shape, -1)

        stats = [drawn(b, ready[b], 2 * b + 1) for b in range(len(blocks))]
        for b, own in tried.items():
            stats.append(_trial_gain(blocks[b], parts[b], ready[b], own, labels, weights.size))
            stats.append(drawn(b, own, 2 * b + 2))
        return *sums, *stats

    totals: list[Array] = []
    # in chunk order, whatever thread was first
    for found in run.map(one, range(0, len(run.rows), CHUNK)):
        totals = [a + b for a, b in zip(totals, found, strict=True)] if totals else list(found)
    return totals


def step(run: Run, theta: Theta, iteration: int) -> tuple[Theta, Array, Array]:
    """The next parameters, and log-likelihood and entropy of the present ones."""
    blocks, weights = run.plan.blocks, theta["weights"]
    ready = prepared(blocks, theta, run.parts)
    rng = noise_of(run.seed, TRIALS, iteration)
    trials = {
        b: (*block.trial(block.own(theta), block.prior, rng), np.log(rng.random(run.chains)))
        for b, block in enumerate(blocks)
        if block.trial
    }
    tried = {b: blocks[b].prepare(run.parts[b].patterns, *trials[b][0]) for b in trials}

    def passed(attempt: int) -> list[Array]:
        return _pass(run, ready, tried, weights, iteration + attempt * _AGAIN)

    totals = passed(0)
    for attempt in range(1, _TRIES if run.plan.held else 1):
        empty = (totals[2] == 0).any(1)
        if not empty.any():
            break
        totals = [_either(empty, n, o) for n, o in zip(passed(attempt), totals, strict=True)]
    likelihood, entropy, sizes, *stats = totals
    rng = noise_of(run.seed, SWEEP, iteration)
    new, order = _weighed(run.plan, theta, sizes, rng)
    others = iter(stats[len(blocks) :])
    for b, block in enumerate(blocks):
        own, stat = block.own(theta), stats[b]
        if b in trials:
            proposed, ratio, height = trials[b]
            taken = next(others) + ratio > height
            own = tuple(_either(taken, p, q) for p, q in zip(proposed, own, strict=True))
            stat = _either(taken, next(others), stat)
        if order is not None:
            own = tuple(_ordered(values, order) for values in own)
            stat = (
                _ordered(stat, order)
                * (np.arange(order.shape[1]) < new["filled"][:, None])[..., None]
            )
        new.update(zip(block.params, block.draw(stat, own, block.prior, rng), strict=True))
    return new, likelihood, entropy / len(run.rows)


def _weighed(
    plan: Plan, theta: Theta, sizes: Array, rng: np.random.Generator
) -> tuple[Theta, IntArray | None]:
    """Weights given who is where; where the number of components is drawn, also what comes first.

    Then components with rows come first, ``order`` (C, components of the chain that has most) says
    which they were, and the others start anew: with no rows their parameters are drawn from the
    priors. ``filled`` (C,) components have rows; weights are zero beyond a chain's own number. Held
    components all have rows, and the weights are those shared out among them.
    """
    if plan.number is None:
        gammas = rng.standard_gamma(plan.concentration + sizes)
        return {"weights": gammas / gammas.sum(1, keepdims=True)}, None
    count, alpha = drawn(plan.number, sizes, theta["alpha"], rng)
    if plan.held:
        gammas = rng.standard_gamma((alpha / count)[:, None] + sizes)
        return {"weights": gammas / gammas.sum(1, keepdims=True), "alpha": alpha}, None
    filled = (sizes > 0).sum(1)
    order = np.argsort(sizes == 0, axis=1, kind="stable")
    order = np.pad(order, ((0, 0), (0, max(0, count.max() - order.shape[1]))))[:, : count.max()]
    place = np.arange(order.shape[1])
    own = np.where(place < filled[:, None], _ordered(sizes, order), 0.0)
    gammas = rng.standard_gamma((alpha / count)[:, None] + own)
    gammas[place >= count[:, None]] = 0.0
    weights = gammas / gammas.sum(1, keepdims=True)
    return {"weights": weights, "alpha": alpha, "filled": filled.astype(np.float64)}, order


def _ordered(values: Array, order: IntArray) -> Array:
    """Components of (C, K, ...) as ``order`` (C, components) has them."""
    return np.asarray(values[np.arange(len(order))[:, None], order])


def padded(theta: Theta, most: int) -> Theta:
    """Up to ``most`` components (C, most, ...), those beyond the chains' own of weight zero."""
    spare = most - theta["weights"].shape[1]
    return {
        name: values
        if values.ndim == 1
        else np.pad(
            values,
            ((0, 0), (0, spare), *((0, 0),) * (values.ndim - 2)),
            mode="constant" if name == "weights" else "edge",
        )
        for name, values in theta.items()
    }


def _either(taken: npt.NDArray[np.bool_], yes: Array, no: Array) -> Array:
    """``yes`` in the chains where it is taken, else ``no``."""
    return np.where(taken.reshape(-1, *(1,) * (yes.ndim - 1)), yes, no)


def sample(
    run: Run, theta: Theta, first: int, count: int, tick: Callable[[int], None]
) -> tuple[Theta, dict[str, Array]]:
    """``count`` iterations from ``theta``: the next parameters, and what was recorded (C, count).

    Every ``STRETCH`` of them is a piece, named by what it begins from.
    """
    record: list[dict[str, Array]] = []
    for start in range(first, first + count, STRETCH):
        length = min(STRETCH, first + count - start)
        held = (start, length, run.plan.components, run.plan.held)
        name = named("segments", theta, held)
        made = piece(run.folder, name, partial(_stretch, run, theta, start, length, tick))
        theta = {n.removeprefix(_NEXT): v for n, v in made.items() if n.startswith(_NEXT)}
        record.append({n: values for n, values in made.items() if not n.startswith(_NEXT)})
    return theta, {n: np.concatenate([one[n] for one in record], axis=1) for n in record[0]}


def _stretch(
    run: Run, theta: Theta, first: int, count: int, tick: Callable[[int], None]
) -> dict[str, Array]:
    """What was recorded and, under names that begin ``next.``, the parameters to go on from."""
    kept: dict[str, list[Array]] = {name: [] for name in (*theta, "log_likelihood", "entropy")}
    for i in range(first, first + count):
        new, likelihood, entropy = step(run, theta, i)
        same = theta if run.plan.number is None else padded(theta, run.plan.components)
        for name, values in (*same.items(), ("log_likelihood", likelihood), ("entropy", entropy)):
            kept[name].append(values)
        theta = new
        tick(i + 1)
    made = {name: np.stack(values, axis=1) for name, values in kept.items()}
    return made | {f"{_NEXT}{name}": values for name, values in theta.items()}
