"""Tails of number columns: normal, or Student's t with degrees of freedom given or learnt. L4.

Student's t is a normal whose precision is multiplied by u ~ Gamma(df/2, df/2), one u a row; normal tails
are df = inf.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.special import digamma, gammaln

from bayesseg._types import Array
from bayesseg.families._blocks import Block, Numbers, Params

NEGLIGIBLE = 1e-9
"""Weights below this are left out of a tail probability."""
DEGREES = (3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 30.0)
"""Degrees of freedom that ``df = "learn"`` chooses among."""


def tables(width: int, df: Array) -> tuple[Array, Array, Array]:
    """Degrees of freedom of each cell, and two tables by how many columns are seen, (width + 1, cells).

    The first turns the normal's constant into Student's, the second is E log(rate * u).
    """
    flat = df.reshape(-1)
    seen = np.arange(width + 1)[:, None]
    if not np.isfinite(flat).all():
        return np.full_like(flat, np.inf), np.zeros((width + 1, flat.size)), np.zeros((1, 1))
    half = 0.5 * (flat + seen)
    return (
        np.ascontiguousarray(flat),
        gammaln(half) - gammaln(0.5 * flat) - 0.5 * seen * np.log(0.5 * flat),
        digamma(half),
    )


def likeliest(stats: Array, df: tuple[Array, ...], prior: Numbers) -> tuple[Array, ...]:
    """The degrees of freedom on the grid that EM moves to; those given stay, normal tails have none."""
    if prior.get("df") != "learn":
        return df
    grid = 0.5 * np.array(DEGREES)
    n, gain = stats[..., 0].sum(1)[:, None], stats[..., 1].sum(1)[:, None]
    best = np.argmax(n * (grid * np.log(grid) - gammaln(grid)) + grid * gain, axis=1)
    return (np.broadcast_to(2.0 * grid[best][:, None], df[0].shape).copy(),)


def _neighbour(params: Params, prior: Numbers, rng: np.random.Generator) -> tuple[Params, Array]:
    """A neighbour on the grid; off its ends is never taken."""
    df = params[-1]
    place = np.searchsorted(DEGREES, df[:, 0]) + rng.choice((-1, 1), size=len(df))
    inside = (place >= 0) & (place < len(DEGREES))
    new = np.array(DEGREES)[np.clip(place, 0, len(DEGREES) - 1)]
    ratio = np.where(inside, 0.0, -np.inf)
    return (*params[:-1], np.broadcast_to(new[:, None], df.shape).copy()), ratio


def with_tails(block: Block) -> Block:
    """Student's t where the prior has ``df``: a number, or "learn"."""
    if "df" not in block.prior:
        return block
    learned = block.prior["df"] == "learn"
    first = 5.0 if learned else float(block.prior["df"])

    def start(starts: int, components: int, prior: Numbers) -> Params:
        return *block.start(starts, components, prior), np.full((starts, components), first)

    return replace(
        block, params=(*block.params, "df"), start=start, trial=_neighbour if learned else None
    )
