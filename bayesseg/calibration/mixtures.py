"""Truths, rows and label-invariant quantities of a mixture, for its calibration. L8.

Features are simulated as the model's priors see them and are *not* standardised: a prior that follows
the data would not be the one the truth came from. Nothing ranked depends on how segments are numbered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bayesseg._types import Array, Draws, Family
from bayesseg.calibration.design import Design, Simulated
from bayesseg.errors import UsageError
from bayesseg.families._normal import DEGREES
from bayesseg.families.gmm import Plan, log_density, responsibilities
from bayesseg.inference.gibbs import gibbs
from bayesseg.spec import FeatureSpec, ModelSpec, PartSpec

_WILDCARD = 3
"""Number features that ``"*"`` stands for."""
_LEVELS = 3
_HIDDEN, _HOLED = 0.1, 5
"""Share of number cells left empty, in the first columns only: correlated ones allow few patterns."""
_POINTS, _PAIRS = 3, 5
_TINY = 1e-300

type Theta = Mapping[str, Array]


def layout(features: tuple[FeatureSpec, ...]) -> dict[str, Any]:
    """What the simulated columns are: those of the model file, three levels to each that has levels."""
    base = [feature for feature in features if feature.role == "base"]
    kinds = [kind for f in base for kind in [f.type] * (_WILDCARD if f.column == "*" else 1)]
    return {
        "numbers": kinds.count("number"),
        "binaries": kinds.count("binary"),
        "levels": (_LEVELS,) * kinds.count("category"),
        "counts": kinds.count("count"),
        "ranks": (_LEVELS,) * kinds.count("ordinal"),
    }


def plan_of(family: Family, spec: ModelSpec) -> Plan:
    """The registered family's plan for the simulated columns.

    Raises:
        UsageError: the model leaves the number of segments open.
    """
    part = spec.parts["segments"]
    if not isinstance(part.options["components"], int):
        raise UsageError(
            f"segments.components is {part.options['components']!r}: tables of such a fit hold for the "
            "number of segments found, and ranks would not be uniform",
            fix="calibrate a copy of the model file with a number of components",
        )
    plan: Plan = family.gibbs(part, **layout(spec.features))
    return plan


def truths(part: PartSpec, plan: Plan, size: int, rng: np.random.Generator) -> dict[str, Array]:
    """``size`` draws of all parameters from the priors, written without the blocks' own draws."""
    K = plan.components
    theta = {"weights": rng.dirichlet(np.full(K, plan.concentration), size)}
    for block in plan.blocks:
        drawn = _DRAWN[block.params[0]]
        theta |= drawn(part, block.prior, (size, K), block.columns.stop - block.columns.start, rng)
    return theta


def _numbers(
    part: PartSpec,
    prior: Mapping[str, Any],
    shape: tuple[int, int],
    width: int,
    rng: np.random.Generator,
) -> dict[str, Array]:
    from scipy import stats

    (S, K), kind = shape, part.options["covariance"]
    found = {}
    if "sd" in prior:
        found["mean"] = rng.normal(prior["mean"], prior["sd"], (S, K, width))
    freedom = width + prior["extra_df"]
    if kind in ("full", "tied"):
        own = K if kind == "full" else 1
        law = stats.invwishart(freedom, prior["scale"] * np.eye(width))
        drawn = np.reshape(law.rvs(S * own, random_state=rng), (S, own, width, width))
        found["covariance"] = np.repeat(drawn, K // own, axis=1)
        if "kappa" in prior:
            roots = np.linalg.cholesky(drawn / prior["kappa"])
            found["mean"] = prior["mean"] + (roots @ rng.normal(size=(S, K, width, 1)))[..., 0]
    else:
        own = width if kind == "diag" else 1
        law = stats.invgamma((freedom - width + 1) / 2, scale=prior["scale"] / 2)
        drawn = law.rvs((S, K, own), random_state=rng)
        found["variance"] = np.repeat(drawn, width // own, axis=2)
    if "df" in prior:
        df = rng.choice(DEGREES, S) if prior["df"] == "learn" else np.full(S, prior["df"])
        found["df"] = np.repeat(df[:, None], K, axis=1)
    return found


def _counts(
    part: PartSpec,
    prior: Mapping[str, Any],
    shape: tuple[int, int],
    width: int,
    rng: np.random.Generator,
) -> dict[str, Array]:
    (S, K), counts = shape, width // 2  # the other half are exposures
    size = rng.lognormal(np.log(prior["median"]), prior["sigma"], (S, 1, counts))
    return {
        "rate": rng.exponential(prior["scale"], (S, K, counts)),
        "size": np.repeat(size, K, axis=1),
    }


def _ordinals(
    part: PartSpec,
    prior: Mapping[str, Any],
    shape: tuple[int, int],
    width: int,
    rng: np.random.Generator,
) -> dict[str, Array]:
    from scipy import stats

    chance = rng.beta(prior["alpha"], prior["beta"], (*shape, width, 1))
    return {"ordinal": stats.binom.pmf(np.arange(_LEVELS), _LEVELS - 1, chance)}


_DRAWN: Mapping[str, Callable[..., dict[str, Array]]] = {
    "mean": _numbers,
    "binary": lambda part, prior, shape, width, rng: {
        "binary": rng.beta(prior["alpha"], prior["beta"], (*shape, width))
    },
    "category": lambda part, prior, shape, width, rng: {
        "category": rng.dirichlet(np.full(_LEVELS, prior["concentration"]), (*shape, width))
    },
    "ordinal": _ordinals,
    "rate": _counts,
}
"""How the parameters of a block are drawn from their prior, by the name of its first."""


def _rows_of(family: Family, theta: Theta, at: int, size: int, rng: np.random.Generator) -> Array:
    """Rows of one draw of the parameters."""
    assert family.simulate is not None
    rows, _ = family.simulate({name: values[at] for name, values in theta.items()}, size, rng)
    return np.asarray(rows)


def simulated(
    family: Family, spec: ModelSpec, design: Design, rng: np.random.Generator
) -> Simulated:
    """Parameters from the priors, rows from ``family.simulate``, a tenth of the number cells empty."""
    part, plan = spec.parts["segments"], plan_of(family, spec)
    truth, other = truths(part, plan, 1, rng), truths(part, plan, 1, rng)
    rows = _rows_of(family, truth, 0, design.customers, rng)
    held_out = _rows_of(family, other, 0, 1, rng)
    if part.options.get("missing") == "model":
        holed = rows[:, : min(layout(spec.features)["numbers"], _HOLED)]
        holed[rng.random(holed.shape) < _HIDDEN] = np.nan
    return Simulated(truth, {"matrix": rows}, {"matrix": held_out}, 0)


def fitter(fitted: Family, spec: ModelSpec) -> Callable[[Mapping[str, Array], int], Draws]:
    """The sampler as production runs it, bound to a model."""
    own = {name: value for name, value in layout(spec.features).items() if name != "binaries"}

    def fit(columns: Mapping[str, Array], seed: int) -> Draws:
        part = spec.parts["segments"]
        return gibbs(fitted, part, columns["matrix"], spec.inference, seed, threads=1, **own)

    return fit


def quantities(family: Family, spec: ModelSpec, theta: Theta, made: Simulated) -> dict[str, Array]:
    """Every ranked quantity at S values of the parameters, each (S,).

    Log-likelihood of the rows and of one held out; mean entropy of memberships; sorted weights; at fixed
    points log densities and, of pairs, the chance to share a segment; and what the parameters are over
    all segments: means weighted, spreads, rates and chances averaged.
    """
    fixed = _fixed(family, spec)
    member = responsibilities(theta, made.columns["matrix"])
    found = {
        "log_likelihood": log_density(theta, made.columns["matrix"]).sum(0),
        "held_out": log_density(theta, made.held_out["matrix"])[0],
        "entropy": -(member * np.log(np.maximum(member, _TINY))).sum(2).mean(0),
    }
    ordered = np.sort(theta["weights"], axis=1)[:, ::-1]
    found |= {f"weight[{k + 1}]": ordered[:, k] for k in range(ordered.shape[1])}
    at = responsibilities(theta, fixed)
    together = (at[:_PAIRS] * at[_PAIRS : 2 * _PAIRS]).sum(2)
    found |= {f"together[{i + 1}]": values for i, values in enumerate(together)}
    density = log_density(theta, fixed[:_POINTS])
    found |= {f"log_density[{i + 1}]": values for i, values in enumerate(density)}
    for name, function in _OVERALL.items():
        if name in theta:
            values = function(theta).reshape(len(theta["weights"]), -1)
            found |= {f"{name}[{j + 1}]": values[:, j] for j in range(values.shape[1])}
    return found


def _fixed(family: Family, spec: ModelSpec) -> Array:
    """Points for all simulations of a model: one row each from parameters of their own."""
    rng, count = np.random.default_rng(0), 2 * _PAIRS
    theta = truths(spec.parts["segments"], plan_of(family, spec), count, rng)
    return np.concatenate([_rows_of(family, theta, i, 1, rng) for i in range(count)])


def _averaged(name: str) -> Callable[[Theta], Array]:
    def mean(theta: Theta) -> Array:
        weights = theta["weights"].reshape(*theta["weights"].shape, *(1,) * (theta[name].ndim - 2))
        return np.asarray((weights * theta[name]).sum(1))

    return mean


_OVERALL: Mapping[str, Callable[[Theta], Array]] = {
    "mean": _averaged("mean"),
    "variance": lambda theta: np.log(theta["variance"]).mean(1),
    "covariance": lambda theta: np.stack(
        [
            np.log(np.diagonal(theta["covariance"], axis1=2, axis2=3)).mean((1, 2)),
            np.linalg.slogdet(theta["covariance"])[1].mean(1),
            *np.log(np.diagonal(theta["covariance"], axis1=2, axis2=3)).mean(1).T,
        ],
        axis=1,
    ),
    "df": lambda theta: theta["df"][:, :1],
    "binary": _averaged("binary"),
    "category": lambda theta: _averaged("category")(theta)[..., :-1],
    "ordinal": lambda theta: _averaged("ordinal")(theta)[..., :-1],
    "rate": lambda theta: np.log(theta["rate"]).mean(1),
    "size": lambda theta: np.log(theta["size"][:, 0]),
}
"""What a parameter is over all segments, however they are numbered: (S, ...)."""
