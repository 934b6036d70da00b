"""Mixture of number, yes-or-no, categorical, ordinal and count columns. L4.

p(x_i) = sum_k w_k prod_b f_b(x_ib | theta_kb) over blocks b of columns (Fruhwirth-Schnatter 2006,
chapter 6). Columns of the matrix: numbers, yes-or-no, categories and ordinals (as 0, 1, ...), counts,
then the exposure of each count. The names in a set of parameters say which blocks there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from bayesseg._types import Array, Family, IntArray, Memberships, Param
from bayesseg.errors import UsageError
from bayesseg.families import _discrete, _normal
from bayesseg.families._blocks import (
    Block,
    Part,
    Prepared,
    Theta,
    joint_of,
    normalise,
    prepared,
    shares,
    split,
)
from bayesseg.families._number import Number, number
from bayesseg.spec import PartSpec

_CELLS, _ROWS = 64, 128
"""Of a tile: cells whose parameters, and rows whose densities, stay in the processor's first caches."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the Gibbs sampler and EM work through: blocks and the weights' Dirichlet number.

    With ``number`` the components are drawn too, and ``components`` is the most there may be; where they
    are ``held``, it is how many hold rows, of whatever number there are.
    """

    blocks: tuple[Block, ...]
    components: int
    concentration: float
    number: Number | None = None
    held: bool = False


def _numbers(part: PartSpec, *names: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        if name not in part.priors:
            raise UsageError(
                f"segments.priors.{name} is missing",
                fix="every parameter needs a prior; see retail.toml",
            )
        found |= part.priors[name].arguments
    return found


def plan(
    part: PartSpec,
    numbers: int,
    binaries: int,
    levels: Sequence[int] = (),
    counts: int = 0,
    ranks: Sequence[int] = (),
) -> Plan:
    """The blocks of a model file for a matrix.

    Args:
        part: the ``[segments]`` part of a model.
        numbers: how many number columns come first.
        binaries: how many yes-or-no columns follow.
        levels: the number of levels of each categorical column after these.
        counts: how many columns of counts end it, before as many of exposures.
        ranks: the number of levels of each ordinal column, between categories and counts.

    Raises:
        UsageError: an option or prior is missing or unknown.
    """
    options = part.options
    components, open_ended = options.get("components"), None
    if components == "mfm":
        components = int(options["most"])
        open_ended = number(components, _numbers(part, "number"), _numbers(part, "alpha"))
    if not isinstance(components, int) or isinstance(components, bool) or components < 1:
        raise UsageError(f"segments.components is {components!r}", fix="give a whole number >= 1")
    covariance = options.get("covariance", "diag")
    if covariance not in _normal.KINDS:
        raise UsageError(
            f"segments.covariance is {covariance!r}", fix=f"choices: {', '.join(_normal.KINDS)}"
        )
    blocks: list[Block] = []
    ends = np.cumsum([0, numbers, binaries, len(levels), len(ranks), 2 * counts]).tolist()
    places = [slice(*span) for span in pairwise(ends)]
    if numbers:
        prior = _numbers(part, "mean", "covariance")
        if "kappa" in prior and covariance != "full":
            raise UsageError(
                "segments.priors.mean: NormalGivenCovariance spreads the mean of each segment like its "
                f"own covariance, which covariance = {covariance!r} has not",
                fix='set covariance = "full", or mean = { dist = "Normal", mean = 0.0, sd = 1.0 }',
            )
        if prior["scale"] == "auto" and open_ended:
            raise UsageError(
                'segments.priors.covariance: scale = "auto" follows the number of components, which '
                "this model leaves open",
                fix="give a number: K ** (-2 / features) for the K segments that are expected",
            )
        if prior["scale"] == "auto":  # total volume shared out among the components
            prior["scale"] = components ** (-2.0 / numbers)
        if options.get("tails", "normal") == "t":
            prior["df"] = options["df"]
        blocks.append(_normal.block(covariance, places[0], prior))
    if binaries:
        blocks.append(_discrete.binary(places[1], _numbers(part, "binary")))
    if levels:
        prior = _numbers(part, "category") | {"levels": tuple(levels)}
        blocks.append(_discrete.category(places[2], prior))
    if ranks:
        prior = _numbers(part, "ordinal") | {"levels": tuple(ranks)}
        blocks.append(_discrete.ordinal(places[3], prior))
    if counts:
        blocks.append(_discrete.count(places[4], _numbers(part, "rate", "size")))
    concentration = float(_numbers(part, "weights")["concentration"])
    return Plan(tuple(blocks), components, concentration, open_ended)


_LEVELED = {"category": _discrete.category, "ordinal": _discrete.ordinal}


def _blocks_of(theta: Theta) -> tuple[Block, ...]:
    """The blocks whose parameters ``theta`` holds; priors play no part in densities."""
    found: list[Block] = []
    at = 0

    def columns(count: int) -> slice:
        nonlocal at
        at += count
        return slice(at - count, at)

    if "mean" in theta:
        kind = "full" if "covariance" in theta else "diag"
        tails = {"df": 5.0} if "df" in theta else {}
        found.append(_normal.block(kind, columns(theta["mean"].shape[-1]), tails))
    if "binary" in theta:
        found.append(_discrete.binary(columns(theta["binary"].shape[-1]), {}))
    for name, block in _LEVELED.items():
        if name in theta:
            width, levels = theta[name].shape[-2:]
            found.append(block(columns(width), {"levels": (levels,) * width}))
    if "rate" in theta:
        found.append(_discrete.count(columns(2 * theta["rate"].shape[-1]), {}))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Tile:
    """Some rows under some draws: their log joint densities (rows, draws, K) and what made them."""

    rows: slice
    draws: slice
    joint: Array
    parts: tuple[Part, ...]
    ready: tuple[Prepared, ...]


def _tiles(theta: Theta, blocks: tuple[Block, ...], matrix: Array) -> Iterator[_Tile]:
    """Every row under every draw; of one row, draws come in their order."""
    draws, components = theta["weights"].shape
    at_once, parts = max(1, _CELLS // components), split(blocks, matrix)
    for first in range(0, draws, at_once):
        some = slice(first, min(first + at_once, draws))
        own = {name: values[some] for name, values in theta.items()}
        ready = prepared(blocks, own, parts)
        for start in range(0, len(matrix), _ROWS):
            rows = slice(start, min(start + _ROWS, len(matrix)))
            few = tuple(part[rows] for part in parts)
            yield _Tile(rows, some, joint_of(blocks, own["weights"], ready, few), few, ready)


def responsibilities(theta: Theta, matrix: Array) -> Array:
    """Probability of each segment for each row and draw.

    Args:
        theta: ``weights`` (S, K), and what the columns call for: ``mean`` (S, K, D) with ``variance``
            (S, K, D) or ``covariance`` (S, K, D, D) and, for Student-t, ``df`` (S, K); ``binary``
            (S, K, B); ``category`` and ``ordinal`` (S, K, columns, levels); ``rate`` and ``size``
            (S, K, counts).
        matrix: (N, columns), NaN where missing.

    Returns:
        (N, S, K); the last axis sums to one. Bitwise the same for any batch, order or subset of rows.
    """
    out = np.empty((len(matrix), *theta["weights"].shape))
    for tile in _tiles(theta, _blocks_of(theta), matrix):
        shares(tile.joint, tile.draws.start, out[tile.rows])
    return out


def memberships(theta: Theta, matrix: Array) -> Memberships:
    """``responsibilities`` and how far out each row lies.

    ``beyond`` is the mean over draws of sum_k p_k P(a member of k lies farther out than the row), by
    Mahalanobis distance in the number columns seen: chi-squared, or F for Student-t. Were there one
    segment it would be uniform among its members.
    """
    blocks, count = _blocks_of(theta), len(matrix)
    S, K = theta["weights"].shape
    out, beyond = np.empty((count, S, K)), np.zeros(count)
    far = [(b, block.tail) for b, block in enumerate(blocks) if block.tail]
    for tile in _tiles(theta, blocks, matrix):
        rows = tile.rows
        shares(tile.joint, tile.draws.start, out[rows])
        weights = out[rows].reshape(-1, S * K)
        for b, tail in far:
            part, at = tile.parts[b], tile.draws.start * K
            tail(part.cells, part.pattern, tile.ready[b], weights, at, beyond[rows])
    seen = np.zeros(count, dtype=np.bool_)
    for b, _ in far:
        seen |= np.isfinite(matrix[:, blocks[b].columns]).any(axis=1)
    return Memberships(out, np.where(seen, beyond / S, np.nan))


def log_density(theta: Theta, matrix: Array) -> Array:
    """Log density of each row under each draw: (N, S)."""
    out = np.empty((len(matrix), len(theta["weights"])))
    for tile in _tiles(theta, _blocks_of(theta), matrix):
        out[tile.rows, tile.draws] = normalise(tile.joint)
    return out


def simulate(theta: Theta, size: int, rng: np.random.Generator) -> tuple[Array, IntArray]:
    """Rows of one draw (S = 1 axes left out) and the component of each; exposures are 1.

    Returns:
        Matrix (size, columns) and components (size,).
    """
    z = rng.choice(len(theta["weights"]), size=size, p=theta["weights"])
    columns: list[Array] = []
    stretch = np.ones((size, 1))
    if "df" in theta:
        half = 0.5 * theta["df"][z]
        stretch = np.sqrt(half / rng.standard_gamma(half))[:, None]
    if "covariance" in theta:
        roots: Array = np.linalg.cholesky(theta["covariance"])
        noise = rng.standard_normal((size, theta["mean"].shape[-1], 1))
        columns.append(theta["mean"][z] + stretch * np.asarray(roots[z] @ noise)[..., 0])
    elif "mean" in theta:
        noise = rng.standard_normal((size, theta["mean"].shape[-1]))
        columns.append(theta["mean"][z] + stretch * np.sqrt(theta["variance"][z]) * noise)
    if "binary" in theta:
        chances = theta["binary"][z]
        columns.append((rng.random(chances.shape) < chances).astype(np.float64))
    for name in (name for name in _LEVELED if name in theta):
        below = theta[name][z].cumsum(-1)
        drawn = rng.random((*below.shape[:2], 1)) * below[..., -1:]
        columns.append((drawn >= below).sum(-1).astype(np.float64))
    if "rate" in theta:
        own = theta["size"][z]
        counts = rng.poisson(theta["rate"][z] * rng.standard_gamma(own) / own).astype(np.float64)
        columns += [counts, np.ones_like(counts)]
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
        Param("df", "grid", "", "degrees of freedom of Student's t", ("segment",)),
        Param("binary", "unit", "", "chance of a yes", ("segment", "binary_feature")),
        Param(
            "category",
            "simplex",
            "",
            "share of each level",
            ("segment", "categorical_feature", "level"),
        ),
        Param(
            "ordinal",
            "simplex",
            "",
            "share of each level, binomial in its rank",
            ("segment", "ordinal_feature", "rank"),
        ),
        Param("rate", "positive", "", "count at the mean exposure", ("segment", "count_feature")),
        Param("size", "positive", "", "how even the counts are (r)", ("segment", "count_feature")),
    ),
    simulate=simulate,
    memberships=memberships,
    gibbs=plan,
    references=("Fruhwirth-Schnatter 2006, chapter 6",),
)
