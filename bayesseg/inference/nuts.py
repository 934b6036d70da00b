"""The nuts engine: a PyMC model of one part, sampled by nutpie. L5."""

from __future__ import annotations

import contextlib
import os
import queue
import time
import warnings
from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import nutpie
import pymc as pm
import pytensor

from bayesseg._types import Array, Draws, Family, OnProgress, Progress, Table
from bayesseg.errors import BayessegError
from bayesseg.inference.build import build
from bayesseg.inference.map import vectors
from bayesseg.inference.op import pack
from bayesseg.inference.pieces import keep, recalled
from bayesseg.priors import Scales, logpdf
from bayesseg.spec import InferenceSpec, PartSpec

TARGETS = (0.8, 0.95, 0.99)
"""Target acceptance of the first run and of the retries."""
LONGER = 5
"""How many times as long a retry runs after slow mixing; of so many draws one is kept."""
_RHAT, _ESS = 1.01, 400.0
_STATS = {"diverging": "diverging", "energy": "energy", "depth": "depth", "n_steps": "n_steps"}
_STATS |= {"step_size": "step_size", "mean_tree_accept": "acceptance"}
_POLL = 0.1


def nuts(
    family: Family,
    part: PartSpec,
    table: Table,
    scales: Scales,
    inference: InferenceSpec,
    seed: int,
    on_progress: OnProgress | None = None,
    *,
    targets: tuple[float, ...] = TARGETS,
    cores: int | None = None,
    program: Any = None,
    folder: Path | None = None,
) -> Draws:
    """Sample one part, each chain from a seed of its own.

    Where transitions diverge or chains mix too slowly for the gates, the part is sampled afresh at the
    next of ``targets``, the latter five times as long with every fifth draw kept; every attempt is
    recorded in ``info``. The draws depend on the data, the model and ``seed`` alone, not on ``cores``.
    ``program`` is the same model compiled before, with other data (see ``compile_model``): it is taken
    instead of compiling again. Finished chains are kept in ``folder``, and taken from there.

    Returns:
        Free parameters (chain, draw) and, as statistics, nutpie's own, ``log_likelihood`` (constants of
        the data left out) and ``log_prior`` (density of the free parameters).

    Raises:
        BayessegError: the model could not be compiled or no valid starting point was found.
    """
    start = time.perf_counter()
    _teller(family.part, inference, on_progress)(0, "compiling")
    if program is None:
        compiled = compile_model(build(family, part, table, scales))
    else:
        compiled = program.with_data(table=pack(table.arrays)[0])
    compiled_in = time.perf_counter() - start
    attempts: list[dict[str, float]] = []
    every, mixed = 1, True
    for target in targets:
        every = every if mixed else LONGER
        longer = replace(inference, draws=every * inference.draws)
        tell = _teller(family.part, longer, on_progress)
        found = _chains(
            compiled, family, longer, every, seed, target, tell, cores, folder, len(attempts)
        )
        values = {p.name: found[p.name] for p in family.params}
        stats = {name: found[f"stats.{name}"] for name in _STATS.values()}
        divergences, mixed = int(stats["diverging"].sum()), _mixed(values)
        attempts.append({"target_accept": target, "divergences": divergences, "every": every})
        if mixed and not divergences:
            break
    stats["log_likelihood"] = log_likelihood(family, table, values)
    stats["log_prior"] = np.sum(
        [logpdf(part.priors[n], v, scales) for n, v in values.items()], axis=0
    )
    info = {
        "engine": "nuts",
        "adaptation": "low_rank",
        "attempts": attempts,
        "seconds": {
            "compile": round(compiled_in, 2),
            "sample": round(time.perf_counter() - start - compiled_in, 2),
        },
        "rows": table.rows,
        "customers": table.customers,
    }
    return Draws(values, stats, info)


def _chains(
    compiled: Any,
    family: Family,
    inference: InferenceSpec,
    every: int,
    seed: int,
    target: float,
    tell: Any,
    cores: int | None,
    folder: Path | None,
    attempt: int,
) -> dict[str, Array]:
    """Parameters and, as ``stats.NAME``, statistics of all chains: (chain, kept draw)."""
    names = [f"{family.part}.{attempt}.{chain}" for chain in range(inference.chains)]
    chains = {c: arrays for c, n in enumerate(names) if (arrays := recalled(folder, n)) is not None}
    seeds = {
        c: int(child.generate_state(1, np.uint64)[0])
        for c, child in enumerate(np.random.SeedSequence(seed).spawn(inference.chains))
        if c not in chains
    }
    with contextlib.closing(_sample(compiled, inference, seeds, target, tell, cores)) as finished:
        for chain, trace in finished:
            chains[chain] = _chain(trace, family, every)
            keep(folder, names[chain], chains[chain])
    return {n: np.stack([chains[c][n] for c in range(inference.chains)]) for n in chains[0]}


def _chain(trace: Any, family: Family, every: int) -> dict[str, Array]:
    """One of ``every`` draws of a trace of one chain, (kept draw,)."""

    def blocks(values: Any) -> Array:
        return np.asarray(values, dtype=np.float64).reshape(-1, every)

    found = {p.name: blocks(trace["posterior"][p.name])[:, -1] for p in family.params}
    for theirs, ours in _STATS.items():
        found[f"stats.{ours}"] = blocks(trace["sample_stats"][theirs])[:, -1]
    # a divergence counts wherever it happened, also between the draws that are kept
    found["stats.diverging"] = blocks(trace["sample_stats"]["diverging"]).sum(-1)
    return found


def _mixed(values: Mapping[str, Array]) -> bool:
    """Whether R-hat and effective sample sizes are what the gates ask, or a quarter of a short run."""
    from arviz_stats.base import array_stats

    def sizes(one: Array) -> tuple[float, ...]:
        tail = array_stats.ess(one, method="tail", prob=(0.05, 0.95))
        return array_stats.ess(one), tail, array_stats.ess(one, method="mean")

    # no Python min or max: a NaN must not pass
    total = next(iter(values.values())).size
    effective = np.array([sizes(one) for one in values.values()])
    rhat = np.array([array_stats.rhat(one) for one in values.values()])
    return bool((effective >= min(_ESS, total / 4)).all() and (rhat <= _RHAT).all())


def compile_model(model: pm.Model, **options: Any) -> Any:
    """Compile for nutpie, without fastmath (it assumes NaN and infinity away).

    Falling back to interpreted code is an error, not a warning.
    """
    with warnings.catch_warnings(), pytensor.config.change_flags(numba__fastmath=False):
        warnings.filterwarnings("error", message=".*object mode.*")
        return nutpie.compile_pymc_model(model, **options)


def log_likelihood(family: Family, table: Table, values: Mapping[str, Array]) -> Array:
    """Log-likelihood of the whole table at every draw, (chain, draw)."""
    theta, arrays = vectors(family, values), tuple(table.arrays.values())
    assert family.kernel is not None
    total = [family.kernel(one, *arrays)[0] for one in theta.reshape(-1, theta.shape[-1])]
    return np.array(total).reshape(theta.shape[:-1])


def _teller(part: str, inference: InferenceSpec, on_progress: OnProgress | None) -> Any:
    total = inference.chains * (inference.draws + inference.tune)

    def tell(done: int, detail: str = "") -> None:
        if on_progress is not None:
            on_progress(Progress(part, done, total, detail))

    return tell


def _sample(
    compiled: Any,
    inference: InferenceSpec,
    seeds: Mapping[int, int],
    target: float,
    tell: Any,
    cores: int | None,
) -> Generator[tuple[int, Any]]:
    """Run the chains of ``seeds``, each alone, and yield each with its trace when it is finished.

    nutpie's callback runs on a thread of its own and only enqueues. Never nutpie's blocking call: on
    Ctrl-C it would return a trace filled up with NaN.
    """
    each = inference.draws + inference.tune
    done = dict.fromkeys(set(range(inference.chains)) - set(seeds), each)
    seen: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
    waiting, running = list(seeds), dict[int, Any]()
    try:
        while waiting or running:
            while waiting and len(running) < (cores or os.cpu_count() or 1):
                chain = waiting.pop(0)
                running[chain] = nutpie.sample(
                    compiled,
                    draws=inference.draws,
                    tune=inference.tune,
                    chains=1,
                    cores=1,
                    seed=seeds[chain],
                    save_warmup=False,
                    adaptation="low_rank",
                    target_accept=target,
                    progress_bar=False,
                    progress_callback=lambda own, chain=chain: seen.put(
                        (chain, own[0].finished_draws)
                    ),
                    blocking=False,
                )
            for chain in tuple(running):
                with contextlib.suppress(TimeoutError):
                    trace = running[chain].wait(timeout=_POLL / len(running))
                    del running[chain]
                    yield chain, trace
            while not seen.empty():
                done.update([seen.get()])
                tell(sum(done.values()), "sampling")
    except (RuntimeError, ValueError) as error:
        raise BayessegError(
            f"sampling failed: {error}",
            fix="check the priors of the model file against the scale of the data",
            code="sampling_failed",
        ) from error
    finally:
        for sampler in running.values():
            sampler.cancel()
    tell(inference.chains * each, "sampled")
