"""Mixture of Gaussian and yes-or-no columns. L4.

p(x_i) = sum_k w_k prod_b f_b(x_ib | theta_kb) over blocks b of columns (Fruhwirth-Schnatter 2006,
chapter 6). Columns of the matrix: the D number features first, then the B binary ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesseg._types import Array, Family, IntArray, Param
from bayesseg.errors import UsageError
from bayesseg.families import _blocks
from bayesseg.families._blocks import Block, Theta, log_joint, normalise, split
from bayesseg.spec import PartSpec

COVARIANCES = {"diag": _blocks.diagonal, "full": _blocks.full}
"""Covariance of the number features within a segment."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the Gibbs sampler and EM work through: blocks and the weights' Dirichlet number."""

    blocks: tuple[Block, ...]
    components: int
    concentration: float


def _numbers(part: PartSpec, name: str) -> dict[str, Any]:
    if name not in part.priors:
        raise UsageError(
            f"segments.priors.{name} is missing",
            fix="every parameter needs a prior; see retail.toml",
        )
    return dict(part.priors[name].arguments)


def plan(part: PartSpec, numbers: int, binaries: int) -> Plan:
    """The blocks of a model file for a matrix of ``numbers`` + ``binaries`` columns.

    Raises:
        UsageError: an option or prior is missing or unknown.
    """
    components = part.options.get("components")
    if not isinstance(components, int) or isinstance(components, bool) or components < 1:
        raise UsageError(f"segments.components is {components!r}", fix="give a whole number >= 1")
    covariance = part.options.get("covariance", "diag")
    if covariance not in COVARIANCES:
        raise UsageError(
            f"segments.covariance is {covariance!r}", fix=f"choices: {', '.join(COVARIANCES)}"
        )
    blocks = []
    if numbers:
        prior = _numbers(part, "mean") | _numbers(part, "covariance")
        if prior["scale"] == "auto":  # total volume shared out among the components
            prior["scale"] = components ** (-2.0 / numbers)
        blocks.append(COVARIANCES[covariance](slice(0, numbers), prior))
    if binaries:
        place = slice(numbers, numbers + binaries)
        blocks.append(_blocks.binary(place, _numbers(part, "binary")))
    return Plan(tuple(blocks), components, float(_numbers(part, "weights")["concentration"]))


def _blocks_of(theta: Theta) -> tuple[Block, ...]:
    """The blocks whose parameters ``theta`` holds; priors play no part in densities."""
    found: list[Block] = []
    numbers = 0
    if "mean" in theta:
        numbers = theta["mean"].shape[-1]
        kind = _blocks.full if "covariance" in theta else _blocks.diagonal
        found.append(kind(slice(0, numbers), {}))
    if "binary" in theta:
        found.append(_blocks.binary(slice(numbers, numbers + theta["binary"].shape[-1]), {}))
    return tuple(found)


def responsibilities(theta: Theta, matrix: Array) -> Array:
    """Probability of each segment for each row and draw.

    Args:
        theta: ``weights`` (S, K), ``mean`` (S, K, D), ``variance`` (S, K, D) or ``covariance``
            (S, K, D, D), ``binary`` (S, K, B).
        matrix: (N, D + B), NaN where missing.

    Returns:
        (N, S, K); the last axis sums to one. Bitwise the same for any batch, order or subset of rows.
    """
    blocks = _blocks_of(theta)
    joint = log_joint(blocks, theta, split(blocks, matrix))
    normalise(joint)
    return joint


def log_density(theta: Theta, matrix: Array) -> Array:
    """Log density of each row under each draw: (N, S)."""
    blocks = _blocks_of(theta)
    return np.asarray(normalise(log_joint(blocks, theta, split(blocks, matrix))))


def simulate(theta: Theta, size: int, rng: np.random.Generator) -> tuple[Array, IntArray]:
    """Rows of one draw (S = 1 axes left out) and the component of each.

    Returns:
        Matrix (size, D + B) and components (size,).
    """
    z = rng.choice(len(theta["weights"]), size=size, p=theta["weights"])
    columns: list[Array] = []
    if "covariance" in theta:
        roots: Array = np.linalg.cholesky(theta["covariance"])
        noise = rng.standard_normal((size, theta["mean"].shape[-1], 1))
        columns.append(theta["mean"][z] + np.asarray(roots[z] @ noise, dtype=np.float64)[..., 0])
    elif "mean" in theta:
        columns.append(rng.normal(theta["mean"][z], np.sqrt(theta["variance"][z])))
    if "binary" in theta:
        chances = theta["binary"][z]
        columns.append((rng.random(chances.shape) < chances).astype(np.float64))
    return np.concatenate(columns, axis=1), z


FAMILY = Family(
    name="gmm",
    title="Gaussian mixture",
    part="segments",
    columns=("features",),
    params=(
        Param("weights", "simplex", "", "share of each segment", ("segment",)),
        Param("mean", "real", "", "centre of a standardised feature", ("segment", "feature")),
        Param(
            "variance", "positive", "", "spread of a standardised feature", ("segment", "feature")
        ),
        Param(  # in place of the variance where the option says "full"
            "covariance",
            "positive definite",
            "",
            "joint spread of the standardised features",
            ("segment", "feature", "feature"),
        ),
        Param("binary", "unit", "", "chance of a yes", ("segment", "binary_feature")),
    ),
    simulate=simulate,
    memberships=responsibilities,
    gibbs=plan,
    references=("Fruhwirth-Schnatter 2006, chapter 6",),
)
