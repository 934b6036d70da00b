"""Proposals for partially pooled parameters: the hierarchy exact, the likelihood a quadratic. L5.

The posterior of offsets and their common sd is a funnel no normal approximation follows. Given the sd s
it is close to normal: with G, log-likelihood plus the other priors, quadratic in v = (other parameters,
offsets s z), the precision of v is that of G plus 1/s² for each offset, and the marginal density of s is
a ratio of determinants (Rue, Martino & Chopin 2009, JRSS B 71, section 3). So ln s is drawn from that
marginal on a grid, then v given s from a multivariate t.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from bayesseg._types import Array, Family, IntArray
from bayesseg.inference.map import Problem, hessian

CELLS = 24
"""Cells of each sd's logarithm, from 1/150 to four times the scale of its prior."""
_FLAT = 0.05  # share of the proposal that is spread evenly over the cells


@dataclass(frozen=True, slots=True)
class Pool:
    """Places in u of the logarithm of an sd and of the offsets it scales."""

    sd: int
    offsets: IntArray


def pools(family: Family) -> tuple[Pool, ...]:
    """The hierarchies of a family: offsets by the sd that scales them."""
    place = {param.name: i for i, param in enumerate(family.params)}
    scaled: dict[str, list[int]] = {}
    for param in family.params:
        if param.scaled_by:
            scaled.setdefault(param.scaled_by, []).append(place[param.name])
    return tuple(Pool(place[name], np.array(own)) for name, own in scaled.items())


def propose(
    problem: Problem, own: tuple[Pool, ...], u: Array, uniform: Array, noise: Array
) -> tuple[Array, Array]:
    """Draws of u (S, parameters) and the log density of each, up to a constant.

    Args:
        problem: the posterior on the unconstrained scale.
        own: its hierarchies.
        u: where G is expanded.
        uniform: (S, hierarchies), for the sds.
        noise: (S, the other parameters), of a standard multivariate t.
    """
    sds = np.array([pool.sd for pool in own])
    rest = np.setdiff1d(np.arange(len(u)), sds)
    offset = [np.searchsorted(rest, pool.offsets) for pool in own]
    b, precision = _quadratic(problem, own, u, rest, offset)

    def conditional(logs: Array) -> tuple[Array, Array, Array]:
        """At ln s (..., hierarchies): a root of the precision, the mean, the log marginal density."""
        extra = np.zeros((*logs.shape[:-1], len(rest)))
        for h, at in enumerate(offset):
            extra[..., at] = np.exp(-2.0 * logs[..., h : h + 1])
        root = np.linalg.cholesky(precision + extra[..., None] * np.eye(len(rest)))
        mean = np.linalg.solve(root.mT, np.linalg.solve(root, b[:, None]))[..., 0]
        density = 0.5 * (mean @ b) - np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(-1)
        for h, pool in enumerate(own):
            density = density - len(pool.offsets) * logs[..., h]
            density = density + problem.prior_at(pool.sd, logs[..., h])
        return root, mean, density

    edges = [problem.scale_at(pool.sd) + np.linspace(-5.0, 1.5, CELLS + 1) for pool in own]
    middles = np.array(list(product(*((e[1:] + e[:-1]) / 2 for e in edges))))
    heights = conditional(middles)[2]
    share = np.exp(heights - heights.max())
    share = (1 - _FLAT) * share / share.sum() + _FLAT / len(share)
    ends = np.cumsum(share)
    cell = np.minimum(np.searchsorted(ends, uniform[:, 0] * ends[-1]), len(share) - 1)
    inside = uniform.copy()
    inside[:, 0] = (uniform[:, 0] * ends[-1] - (ends - share)[cell]) / share[cell]
    logs = middles[cell] + (inside - 0.5) * np.array([e[1] - e[0] for e in edges])

    root, mean, _ = conditional(logs)
    drawn = mean + np.linalg.solve(root.mT, noise[..., None])[..., 0]
    log_density = np.log(share[cell]) + np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(-1)
    points = np.empty((len(noise), len(u)))
    points[:, rest], points[:, sds] = drawn, logs
    for h, pool in enumerate(own):
        points[:, pool.offsets] /= np.exp(logs[:, h : h + 1])
        log_density += len(pool.offsets) * logs[:, h]
    return points, log_density


def _quadratic(
    problem: Problem, own: tuple[Pool, ...], u: Array, rest: IntArray, offset: list[IntArray]
) -> tuple[Array, Array]:
    """G around u as a function of v: b and P of G = b'v - v'Pv/2 + constant."""
    slope, curvature = problem.log_density(u)[1][rest], -hessian(problem, u)[np.ix_(rest, rest)]
    scale = np.ones(len(rest))
    for pool, at in zip(own, offset, strict=True):
        scale[at] = np.exp(u[pool.sd])
        slope[at] += u[pool.offsets]  # without the standard normal prior of z
        curvature[at, at] -= 1.0
    found, axes = np.linalg.eigh(curvature / np.outer(scale, scale))
    precision = (axes * np.maximum(found, 1e-6 * found.max())) @ axes.T
    return precision @ (u[rest] * scale) + slope / scale, precision
