"""The mixture with labels summed out, under NUTS: the reference of the Gibbs sampler. L5.

Same priors, written from the densities and not from the blocks: covariances by Bartlett's factor of the
Wishart, batched over components. Number columns without holes only. NUTS does not cross between
labellings, so all chains start in one mode and R-hat speaks of that mode.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import nutpie
import pymc as pm
import pytensor.tensor as pt

from bayesseg._types import Array, Draws
from bayesseg.errors import UsageError
from bayesseg.families.gmm import Plan, plan
from bayesseg.inference.nuts import compile_model
from bayesseg.spec import InferenceSpec, PartSpec

type Point = dict[str, Array]


def _prior(own: Plan) -> dict[str, Any]:
    if len(own.blocks) != 1 or own.blocks[0].params[0] != "mean":
        raise UsageError("the marginal mixture takes number features only")
    return dict(own.blocks[0].prior)


def _correlated(rows: Array, mean: Any, count: int, prior: Mapping[str, Any]) -> tuple[Any, Any]:
    """Squared distances (n, K) and log determinants (K,) of precision factors W = U' / sqrt(scale)."""
    width = rows.shape[1]
    freedom = prior["extra_df"] + np.arange(1, width + 1)  # nu - D + a, for an upper factor
    square = pm.ChiSquared("square", freedom, shape=(count, width))
    off = pm.Normal("off", shape=(count, width * (width - 1) // 2))
    upper = pt.zeros((count, width, width))
    a, b = np.triu_indices(width, 1)
    upper = pt.set_subtensor(upper[:, a, b], off)
    each = np.arange(width)
    upper = pt.set_subtensor(upper[:, each, each], pt.sqrt(square))
    factor = upper / math.sqrt(prior["scale"])  # (K, D, D): rows times this are W x
    y = pt.matmul(rows[None] - mean[:, None, :], factor)
    log_det = 0.5 * (pt.log(square).sum(1) - width * math.log(prior["scale"]))
    return (y**2).sum(2).T, log_det


def _independent(
    rows: Array, mean: Any, shape: tuple[int, int], prior: Mapping[str, Any]
) -> tuple[Any, Any]:
    rate = 0.5 * prior["scale"]
    precision = pm.Gamma("precision", 0.5 * (1.0 + prior["extra_df"]), rate, shape=shape)
    whole = pt.broadcast_to(precision, mean.shape)
    y = (rows[None] - mean[:, None, :]) * pt.sqrt(whole)[:, None, :]
    return (y**2).sum(2).T, 0.5 * pt.log(whole).sum(1)


def model(part: PartSpec, matrix: Array) -> pm.Model:
    """The marginal PyMC model of a mixture of number columns.

    Raises:
        UsageError: the model has other columns, or degrees of freedom to learn.
    """
    width = matrix.shape[1]
    own = plan(part, width, 0)
    prior, kind = _prior(own), part.options["covariance"]
    if prior.get("df") == "learn":
        raise UsageError("the marginal mixture takes a fixed df", fix="set df to a number")
    K = own.components
    count = 1 if kind == "tied" else K
    with pm.Model() as built:
        weights = pm.Dirichlet("weights", np.full(K, own.concentration))
        if "kappa" in prior:
            mean = pm.Flat("mean", shape=(K, width))
        else:
            mean = pm.Normal("mean", prior["mean"], prior["sd"], shape=(K, width))
        rows = np.vstack([matrix, np.full(width, prior["mean"])])  # the last is the prior's own
        if kind in ("full", "tied"):
            square, log_det = _correlated(rows, mean, count, prior)
        else:
            shape = (K, width if kind == "diag" else 1)
            square, log_det = _independent(rows, mean, shape, prior)
        log_det, square, centre = pt.broadcast_to(log_det, (K,)), square[:-1], square[-1]
        if "kappa" in prior:  # Normal(mean, covariance / kappa)
            pm.Potential("given_covariance", (log_det - 0.5 * prior["kappa"] * centre).sum())
        if "df" in prior:
            df = float(prior["df"])
            constant = math.lgamma(0.5 * (df + width)) - math.lgamma(0.5 * df)
            constant -= 0.5 * width * math.log(df * math.pi)
            logp = constant + log_det - 0.5 * (df + width) * pt.log1p(square / df)
        else:
            logp = log_det - 0.5 * (square + width * math.log(2.0 * math.pi))
        pm.Potential("loglik", pt.logsumexp(pt.log(weights) + logp, axis=1).sum())
    return built


def _point(part: PartSpec, theta: Mapping[str, Array], prior: Mapping[str, Any]) -> Point:
    """The model's own variables at parameters (K, ...)."""
    found = {"weights": theta["weights"], "mean": theta["mean"]}
    if "covariance" not in theta:
        columns = slice(None) if part.options["covariance"] == "diag" else slice(1)
        return found | {"precision": 1.0 / theta["variance"][:, columns]}
    own = theta["covariance"][:1] if part.options["covariance"] == "tied" else theta["covariance"]
    upper = np.swapaxes(np.linalg.inv(np.linalg.cholesky(own)), 1, 2) * math.sqrt(prior["scale"])
    a, b = np.triu_indices(upper.shape[-1], 1)
    square = np.diagonal(upper, axis1=1, axis2=2) ** 2
    return found | {"square": square.copy(), "off": np.asarray(upper[:, a, b])}


def _natural(part: PartSpec, drawn: Mapping[str, Array], prior: Mapping[str, Any]) -> Point:
    """Parameters as the Gibbs sampler names them, each (chain, draw, K, ...)."""
    mean = drawn["mean"]
    found: Point = {"weights": drawn["weights"], "mean": mean}
    if "precision" in drawn:
        found["variance"] = np.broadcast_to(1.0 / drawn["precision"], mean.shape).copy()
        return found
    width = mean.shape[-1]
    upper = np.zeros((*drawn["square"].shape, width))
    a, b = np.triu_indices(width, 1)
    each = np.arange(width)
    upper[..., a, b], upper[..., each, each] = drawn["off"], np.sqrt(drawn["square"])
    inverse = np.linalg.inv(upper) * math.sqrt(prior["scale"])
    covariance = np.swapaxes(inverse, -1, -2) @ inverse
    found["covariance"] = np.broadcast_to(covariance, (*mean.shape, width)).copy()
    return found


def marginal(
    part: PartSpec,
    matrix: Array,
    inference: InferenceSpec,
    seed: int,
    start: Mapping[str, Array],
    *,
    target: float = 0.8,
) -> Draws:
    """Sample the marginal mixture by NUTS, every chain from ``start``.

    Args:
        part: the ``[segments]`` part of a model; ``df`` fixed where tails are Student's.
        matrix: (N, D) number features, none missing.
        inference: chains, draws and tune.
        seed: not negative.
        start: parameters (K, ...) of the mode to start from, as in ``Modes``.
        target: acceptance to aim at; nearer 1 where transitions diverge.

    Returns:
        Draws whose ``values`` have the names and axes of the Gibbs sampler's; ``stats`` has
        ``diverging``; ``info`` seconds of compiling and of sampling.

    Raises:
        UsageError: the model is not of the kind this reference covers.
    """
    prior = _prior(plan(part, matrix.shape[1], 0))
    if np.isnan(matrix).any():
        raise UsageError("the marginal mixture takes complete number features only")
    began = time.perf_counter()
    built = model(part, matrix)
    point = _point(part, start, prior)
    for name, value in point.items():
        built.set_initval(built[name], value)
    program = compile_model(built, jitter_rvs=set())  # jitter might leave the mode
    compiled = time.perf_counter()
    trace = nutpie.sample(
        program,
        draws=inference.draws,
        tune=inference.tune,
        chains=inference.chains,
        seed=seed,
        progress_bar=False,
        save_warmup=False,
        target_accept=target,
    )
    drawn = {name: np.asarray(trace["posterior"][name]) for name in point}
    stats = {"diverging": np.asarray(trace["sample_stats"]["diverging"], dtype=np.float64)}
    info = {
        "engine": "nuts",
        "seconds": {
            "compile": round(compiled - began, 2),
            "sample": round(time.perf_counter() - compiled, 2),
        },
    }
    return Draws(_natural(part, drawn, prior), stats, info)
