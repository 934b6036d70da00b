"""Mistakes of the kind people make, each planted in a family by wrapping it; nothing is copied."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesseg._types import Array, Columns, Family, Table
from bayesseg.calibration import Design, Job
from bayesseg.families import FAMILIES
from bayesseg.families._blocks import Block
from bayesseg.families.gmm import Plan
from bayesseg.spec import load_spec, parse_spec

BG, MBG, GG, GMM = (FAMILIES[name] for name in ("bgnbd", "mbgnbd", "gammagamma", "gmm"))
Extra = Callable[[Array], tuple[float, Array]]


def _adding(family: Family, extra: Extra) -> Family:
    """The family with ``extra(theta) -> (value, gradient)`` added to its log-likelihood."""

    def kernel(theta: Array, *arrays: Array) -> tuple[float, Array]:
        (value, gradient), (more, slope) = family.kernel(theta, *arrays), extra(theta)
        return value + more, gradient + slope

    return replace(family, kernel=kernel)


def _apart(never: Family, bought: Family, extra: Callable[..., tuple[float, Array]]) -> Family:
    """One-time buyers by ``never``, the others by ``bought``, ``extra(theta, weight at x)`` added."""
    width = len(never.tabulate(_ONE).arrays)

    def tabulate(columns: Columns) -> Table:
        zero = (columns["x"] == 0).astype(float)
        first = never.tabulate({**columns, "weight": zero})
        second = bought.tabulate({**columns, "weight": 1 - zero})
        arrays = {f"{n}_0": v for n, v in first.arrays.items()} | dict(second.arrays)
        at_x = np.bincount(columns["x"].astype(int)).astype(float)
        return replace(first, arrays=arrays | {"all_at_x": at_x}, rows=first.rows + second.rows)

    def kernel(theta: Array, *arrays: Array) -> tuple[float, Array]:
        parts = (
            never.kernel(theta, *arrays[:width]),
            bought.kernel(theta, *arrays[width:-1]),
            extra(theta, arrays[-1]),
        )
        return sum(v for v, _ in parts), sum(g for _, g in parts)

    return replace(bought, name=f"{bought.name} planted", tabulate=tabulate, kernel=kernel)


_ONE = {"x": np.zeros(1), "t_x": np.zeros(1), "T": np.ones(1)}


def off_by_one() -> Family:
    """BG/NBD with ln a - ln(b + x) for ln a - ln(b + x - 1).

    MBG/NBD has the former, with B(a, b + x + 1) for B(a, b + x): put back ln((a + b + x)/(b + x)).
    """

    def back(theta: Array, at_x: Array) -> tuple[float, Array]:
        (_, _, a, b), x = theta, np.arange(1, len(at_x))
        w = at_x[1:]
        value = w @ (np.log(a + b + x) - np.log(b + x))
        return value, np.array([0, 0, w @ (1 / (a + b + x)), w @ (1 / (a + b + x) - 1 / (b + x))])

    return _apart(BG, MBG, back)


def greater_for_greater_equal() -> Family:
    """MBG/NBD whose one-time buyers cannot have left: x > 0 for x >= 0 in the dropout term."""

    def stayed(theta: Array, at_x: Array) -> tuple[float, Array]:
        _, _, a, b = theta
        slopes = np.array([0, 0, -1 / (a + b), 1 / b - 1 / (a + b)])
        return at_x[0] * math.log(b / (a + b)), at_x[0] * slopes

    return _apart(BG, MBG, stayed)


def rate_for_scale(family: Family) -> Family:
    """α taken for the scale of purchase rates, where it is their rate."""

    def derive(free: Mapping[str, Array]) -> Mapping[str, Array]:
        theta = family.derive(free)
        return {**theta, "alpha": 1 / theta["alpha"]}

    return replace(family, derive=derive)


def half_the_rows(family: Family) -> Family:
    """Every second customer is not read."""
    return replace(
        family,
        tabulate=lambda columns: family.tabulate(
            {name: values[::2] for name, values in columns.items()}
        ),
    )


def _log(family: Family, parameter: str, theta: Array) -> tuple[float, Array]:
    """The logarithm of a free parameter and its slopes in the textbook ones, by a complex step."""
    tilted = theta[:, None] + 1e-30j * np.eye(len(theta))
    free = family.underive(dict(zip(family.textbook, tilted, strict=True)))[parameter]
    return math.log(free[0].real), np.log(free).imag / 1e-30


def missing_prior(family: Family, parameter: str, median: float, sigma: float) -> Family:
    """The LogNormal prior of a parameter is left out."""

    def without(theta: Array) -> tuple[float, Array]:
        u, slope = _log(family, parameter, theta)
        z = (u - math.log(median)) / sigma
        return 0.5 * z * z, slope * z / sigma

    return _adding(family, without)


def dropped_jacobian(family: Family, parameter: str) -> Family:
    """The density of a parameter is climbed in its logarithm as it stands."""

    def without(theta: Array) -> tuple[float, Array]:
        u, slope = _log(family, parameter, theta)
        return -u, -slope

    return _adding(family, without)


def sd_for_precision(family: Family, parameter: str, median: float, sigma: float) -> Family:
    """The sd of a LogNormal prior is handed over as a precision."""
    change = sigma - 1 / sigma**2  # the precision taken less the right one

    def instead(theta: Array) -> tuple[float, Array]:
        u, slope = _log(family, parameter, theta)
        z = u - math.log(median)
        return -0.5 * change * z * z, -slope * change * z

    return _adding(family, instead)


def ignored_data(family: Family) -> Family:
    """The data have no influence at all: the posterior is the prior."""

    def kernel(theta: Array, *arrays: Array) -> tuple[float, Array]:
        return 0.0, np.zeros(len(theta))

    return replace(family, kernel=kernel)


# ---------------------------------------------------------------- in a mixture's sampler


def in_blocks(change: Callable[[Block], Block], **weights: float) -> Family:
    """The mixture whose blocks are changed, and the Dirichlet number of its weights."""

    def gibbs(*layout: Any) -> Plan:
        plan = GMM.gibbs(*layout)
        return replace(plan, blocks=tuple(map(change, plan.blocks)), **weights)

    return replace(GMM, gibbs=gibbs)


@dataclass(frozen=True)
class _Backwards:
    """A generator whose gammas have their shapes in the wrong order."""

    rng: np.random.Generator

    def standard_normal(self, size: Any) -> Array:
        return self.rng.standard_normal(size)

    def standard_gamma(self, shape: Array) -> Array:
        return self.rng.standard_gamma(shape[..., ::-1])


def bartlett_order(block: Block) -> Block:
    """The textbook's degrees of freedom, nu - a + 1, which belong to a lower factor."""
    return replace(block, draw=lambda *args: block.draw(*args[:-1], _Backwards(args[-1])))


def every_second_row(block: Block) -> Block:
    """Statistics of every second row."""

    def drawn(cells: Array, pattern: Array, ready: Any, labels: Array, noise: Array) -> Array:
        return block.drawn(cells[::2], pattern[::2], ready, labels[::2], noise)

    return replace(block, drawn=drawn)


def inverted(name: str) -> Callable[[Block], Block]:
    """One number of a prior is its inverse: a rate for a scale, a precision for an sd."""
    return lambda block: replace(block, prior={**block.prior, name: 1.0 / block.prior[name]})


def vague(name: str) -> Callable[[Block], Block]:
    """A prior so wide that it says nothing."""
    return lambda block: replace(block, prior={**block.prior, name: 1e3})


def label_order(block: Block) -> Block:
    """Parameters are filed under the labels in reverse, weights as they are."""
    return replace(block, draw=lambda *args: tuple(values[:, ::-1] for values in block.draw(*args)))


# ---------------------------------------------------------------- the eight


@dataclass(frozen=True)
class Plant:
    """A mistake, what is calibrated with it, how often, and a quantity that must breach."""

    job: Job
    fitted: Family
    simulations: int
    where: str


SMALL = Design(customers=60, repeaters=5)
TINY = Design(customers=20, repeaters=3)


def _vague() -> str:
    """bgnbd with an sd of 3 for ln scale: as a precision it is an sd of 0.6."""
    text = load_spec("bgnbd").text
    order = 'sigma = 1.0, unit = "median_order"'
    assert order in text
    return text.replace(order, order.replace("1.0", "3.0"))


_PURCHASES = Job(load_spec("bgnbd"), "purchase", "laplace", SMALL, 1)
_MODIFIED = Job(load_spec("retail"), "purchase", "laplace", SMALL, 1)
_SPEND = Job(load_spec("bgnbd"), "spend", "laplace", TINY, 1)
_VAGUE = Job(parse_spec(_vague()), "spend", "laplace", TINY, 1)
_SEGMENTS = Job(load_spec("segments"), "segments", "gibbs", Design(customers=40), 1)

EIGHT: Mapping[str, Plant] = {
    "sd for precision": Plant(_VAGUE, sd_for_precision(GG, "scale", TINY.order, 3.0), 60, "scale"),
    "rate for scale": Plant(_PURCHASES, rate_for_scale(BG), 25, "rate"),
    "dropped Jacobian": Plant(_SPEND, dropped_jacobian(GG, "p"), 60, "p"),
    "half the rows ignored": Plant(_PURCHASES, half_the_rows(BG), 25, "log_likelihood"),
    "off by one in b + x - 1": Plant(_PURCHASES, off_by_one(), 25, "kappa"),
    "> for >= at x = 0": Plant(_MODIFIED, greater_for_greater_equal(), 40, "p_alive[x=0]"),
    "missing prior": Plant(_SPEND, missing_prior(GG, "q", 3.0, 0.8), 60, "q"),
    "label order": Plant(_SEGMENTS, in_blocks(label_order), 20, "entropy"),
}
"""The mistakes that calibration has to find before its word is taken for anything."""
