"""The nuts engine: a PyMC model of one part, sampled by nutpie. L5."""

from __future__ import annotations

import contextlib
import os
import queue
import time
import warnings
from collections.abc import Mapping
from dataclasses import replace
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
) -> Draws:
    """Sample one part.

    Where transitions diverge or chains mix too slowly for the gates, the part is sampled afresh at the
    next of ``targets``, the latter five times as long with every fifth draw kept; every attempt is
    recorded in ``info``. The draws depend on the data, the model and ``seed`` alone, not on ``cores``.
    ``program`` is the same model compiled before, with other data (see ``compile_model``): it is taken
    instead of compiling again.

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
        trace = _sample(compiled, longer, seed, target, tell, cores)
        values = {
            p.name: _blocks(trace["posterior"][p.name], every)[..., -1] for p in family.params
        }
        stats = {
            ours: _blocks(trace["sample_stats"][theirs], every)[..., -1].astype(np.float64)
            for theirs, ours in _STATS.items()
        }
        # a divergence counts wherever it happened, also between the draws that are kept
        stats["diverging"] = _blocks(trace["sample_stats"]["diverging"], every).sum(-1, dtype=float)
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


def _blocks(values: Any, every: int) -> Array:
    """(chain, draw) to (chain, kept draw, ``every``)."""
    array = np.asarray(values)
    return array.reshape(len(array), -1, every)


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
    seed: int,
    target: float,
    tell: Any,
    cores: int | None,
) -> Any:
    """One complete run. nutpie's callback runs on its own thread and only enqueues.

    Never nutpie's blocking call: on Ctrl-C it would return a trace filled up with NaN.
    """
    seen: queue.SimpleQueue[int] = queue.SimpleQueue()
    try:
        sampler = nutpie.sample(
            compiled,
            draws=inference.draws,
            tune=inference.tune,
            chains=inference.chains,
            cores=cores or min(inference.chains, os.cpu_count() or 1),
            seed=seed,
            save_warmup=False,
            adaptation="low_rank",
            target_accept=target,
            progress_bar=False,
            progress_callback=lambda chains: seen.put(sum(c.finished_draws for c in chains)),
            blocking=False,
        )
        try:
            trace = None
            while trace is None:
                with contextlib.suppress(TimeoutError):
                    trace = sampler.wait(timeout=_POLL)
                while not seen.empty():
                    tell(seen.get(), "sampling")
        except BaseException:
            sampler.cancel()
            raise
    except (RuntimeError, ValueError) as error:
        raise BayessegError(
            f"sampling failed: {error}",
            fix="check the priors of the model file against the scale of the data",
            code="sampling_failed",
        ) from error
    total = inference.chains * (inference.draws + inference.tune)
    tell(total, "sampled")
    return trace
