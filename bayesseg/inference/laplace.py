"""The laplace engine: importance sampling around the posterior mode. L5.

Mode and curvature give a multivariate t proposal on the unconstrained scale; Pareto-smoothed weights
turn its draws into draws of the posterior, and the Pareto k says whether they may (Vehtari et al. 2024,
JMLR 25). The draws are scrambled Sobol points, which leave a fraction of the Monte Carlo error. Nothing
here needs PyMC, and nothing depends on the number of threads.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from bayesseg._types import Array, Draws, Family, IntArray, OnProgress, Progress, Table
from bayesseg.inference.map import Problem, mode, posed, root
from bayesseg.inference.pooled import pools, propose
from bayesseg.priors import Scales, logpdf
from bayesseg.spec import InferenceSpec, PartSpec

DRAWS, FEW, MORE, MANY = 4096, 512, 2048, 100_000
"""Draws of the proposal; from ``MANY`` rows on, where each costs milliseconds, as few as usually do,
and how many where they did not."""
K_LIMIT = 0.7
ESS_LIMIT = 400.0
_DEGREES = 8
_ROUNDS = 3
_BLOCK = 50


def laplace(
    family: Family,
    part: PartSpec,
    table: Table,
    scales: Scales,
    inference: InferenceSpec,
    seed: int,
    on_progress: OnProgress | None = None,
    many: int | None = None,
) -> Draws:
    """Sample one part by importance; as many draws are kept as were proposed.

    Where the weights fail their limits the proposal is moved to the weighted mean and covariance and
    tried again, with more draws where they were few, twice at most. Whether the last try is good enough
    is for ``shortfall`` to say. From ``many`` rows on (``MANY``) fewer draws are proposed.

    Returns:
        Free parameters (chain, draw), resampled systematically, with ``log_likelihood`` (constants of
        the data left out) and ``log_prior``. ``info`` holds ``pareto_k``, ``importance_ess``, their
        ``limits`` and the ``mode``.

    Raises:
        InputRejected: no parameters give the data a likelihood.
    """
    began = time.perf_counter()
    problem = posed(family, part, table, scales)
    centre = mode(problem)
    spread = root(problem, centre)
    climbed = time.perf_counter() - began
    own = pools(family)
    few = table.rows < (MANY if many is None else many)
    here = centre
    for tries in range(1, _ROUNDS + 1):
        count = DRAWS if few else FEW if tries == 1 else MORE
        limit = min(1.0 - 1.0 / math.log10(count), K_LIMIT)
        rng = np.random.default_rng([seed, tries])
        noise, proposed, uniform = _noise(count, len(centre) - len(own), len(own), rng)
        if own:
            points, more = propose(problem, own, here, uniform, noise)
            proposed = proposed + more
        else:
            points = here + noise @ spread.T
        prior = problem.log_prior(points.T)
        likelihood = _likelihoods(problem, points, family.part, on_progress)
        weights, k = _weights(likelihood + prior - proposed)
        ess = float(1.0 / np.sum(weights**2))
        if (k <= limit and ess >= ESS_LIMIT) or not np.isfinite(k):
            break
        here, spread = _moments(points, weights)
    draws = count // inference.chains
    kept = _systematic(weights, inference.chains * draws, rng)
    # in random order: every fourth Sobol point is a net of its own, which thinning would pick
    kept = rng.permutation(kept).reshape(inference.chains, draws)
    values = {n: np.ascontiguousarray(v[kept]) for n, v in problem.free(points.T).items()}
    prior_density = np.sum([logpdf(part.priors[n], v, scales) for n, v in values.items()], axis=0)
    info = {
        "engine": "laplace",
        "pareto_k": float(k),
        "importance_ess": ess,
        "limits": {"pareto_k": limit, "importance_ess": ESS_LIMIT},
        "proposed": count,
        "kept": draws,
        "tries": tries,
        "mode": {name: float(value) for name, value in problem.free(centre).items()},
        "seconds": {
            "mode": round(climbed, 2),
            "sample": round(time.perf_counter() - began - climbed, 2),
        },
        "rows": table.rows,
        "customers": table.customers,
    }
    return Draws(values, {"log_likelihood": likelihood[kept], "log_prior": prior_density}, info)


def shortfall(info: Mapping[str, Any]) -> str | None:
    """Why the draws of a ``laplace`` run may not be used, in words; None where they may."""
    k, ess, limits = info["pareto_k"], info["importance_ess"], info["limits"]
    if not k <= limits["pareto_k"]:
        return f"Pareto k is {k:.2f}, limit {limits['pareto_k']:.2f}"
    if not ess >= limits["importance_ess"]:
        return f"the effective sample size is {ess:.0f}, limit {limits['importance_ess']:g}"
    return None


def _noise(count: int, k: int, more: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """A standard multivariate t (count, k), its log density up to a constant, and more uniforms."""
    from scipy.special import gammaincinv, ndtri
    from scipy.stats.qmc import Sobol

    uniform = np.clip(Sobol(k + 1 + more, rng=rng).random(count), 1e-12, 1 - 1e-12)
    chi_square = 2 * gammaincinv(_DEGREES / 2, uniform[:, k : k + 1])
    noise = ndtri(uniform[:, :k]) * np.sqrt(_DEGREES / chi_square)
    log_density = -0.5 * (_DEGREES + k) * np.log1p((noise**2).sum(1) / _DEGREES)
    return noise, log_density, uniform[:, k + 1 :]


def _likelihoods(
    problem: Problem, points: Array, part: str, on_progress: OnProgress | None
) -> Array:
    """The log-likelihood at each of ``points`` (S, k); draws, never rows, are split over threads."""
    theta = np.ascontiguousarray(problem.textbook(points.T).T)

    def block(start: int) -> list[float]:
        return [problem.kernel(one)[0] for one in theta[start : start + _BLOCK]]

    found: list[float] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for values in pool.map(block, range(0, len(theta), _BLOCK)):
            found += values
            if on_progress is not None:
                on_progress(Progress(part, len(found), len(theta), "weighing"))
    return np.array(found)


def _weights(log_ratio: Array) -> tuple[Array, float]:
    """Pareto-smoothed weights (they sum to one) and Pareto k; NaN where none can be computed."""
    from arviz_stats.base import array_stats

    usable = np.isfinite(log_ratio)
    if usable.sum() < len(log_ratio) / 2:
        return np.full(len(log_ratio), 1.0 / len(log_ratio)), math.nan
    ratio = np.where(usable, log_ratio, log_ratio[usable].min() - 100.0)
    logs, k = array_stats.psislw(-ratio)  # it takes the negative
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.sum()), float(k)


def _moments(points: Array, weights: Array) -> tuple[Array, Array]:
    mean = weights @ points
    gap = points - mean
    covariance = (gap * weights[:, None]).T @ gap + 1e-12 * np.eye(len(mean))
    return mean, np.asarray(np.linalg.cholesky(covariance))


def _systematic(weights: Array, count: int, rng: np.random.Generator) -> IntArray:
    """Indices of ``count`` equally weighted draws: one uniform, evenly spaced (Carpenter 1999)."""
    places = (rng.random() + np.arange(count)) / count
    return np.minimum(np.searchsorted(np.cumsum(weights), places), len(weights) - 1)
