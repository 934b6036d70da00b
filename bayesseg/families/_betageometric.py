"""What BG/NBD and MBG/NBD share: everything, with b1 = b + m.

While alive a customer buys at rate λ ~ Gamma(r, α); after each repeat purchase it leaves for good with
probability p ~ Beta(a, b). In the modified model (m = 1) it may leave after the first purchase too;
there every formula of the classic one (m = 0) holds with b1 = b + 1 for b, and x = 0 loses its special
place. k = r + x and A = P(alive) below; F'(t) is the purchase rate t after T of a customer alive at T.

References:
    Fader, Hardie & Lee (2005), Marketing Science 24(2), equations 3-10.
    Batislam, Denizel & Filiztekin (2007), IJRM 24(3), equations 5-9.
    Fader & Hardie (2013), note 027: computing P(alive).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from bayesseg._compiled import compiled
from bayesseg._random import Keys, beta, gamma, stream, uniform
from bayesseg._types import Array, Columns, Family, IntArray, Param, Table
from bayesseg.families._betageometric_quantities import (
    TEXTBOOK,
    beta_geometric_quantities,
    p_alive,
)
from bayesseg.families._distinct import codes
from bayesseg.families._purchase import COLUMNS, histories, vectors

PARAMS = (
    Param("r", "positive", "", "shape of purchase rates across customers (small: unequal)"),
    Param(
        "rate",
        "positive",
        "purchases per time unit",
        "mean purchase rate while alive, r/α",
        role="rate",
    ),
    Param(
        "phi",
        "unit",
        "probability",
        "mean chance of leaving at a purchase, a/(a+b)",
        role="dropout",
    ),
    Param("kappa", "positive", "", "how alike customers are in leaving, a + b"),
)


def derive(free: Mapping[str, Any]) -> Mapping[str, Any]:
    """(r, rate, phi, kappa) -> (r, alpha, a, b)."""
    r, rate, phi, kappa = (free[p.name] for p in PARAMS)
    return {"r": r, "alpha": r / rate, "a": phi * kappa, "b": (1 - phi) * kappa}


def underive(theta: Mapping[str, Any]) -> Mapping[str, Any]:
    """(r, alpha, a, b) -> (r, rate, phi, kappa)."""
    r, alpha, a, b = (theta[name] for name in TEXTBOOK)
    return {"r": r, "rate": r / alpha, "phi": a / (a + b), "kappa": a + b}


# ---------------------------------------------------------------- likelihood


def tabulate(columns: Columns) -> Table:
    """Distinct (x, t_x, T) with weights, and the distinct values their logarithms need.

    An optional column ``weight`` counts customers per row. ``at_x[j]`` is the weight of all rows with
    x = j; the constant Σ ln of purchase times is left out, as in every paper.
    """
    x, t_x, T, weight = histories(columns)
    row_x = x.astype(np.int64)
    ends, row_T = codes(T)
    lasts, row_t_x = codes(t_x)
    return Table(
        arrays={
            "at_x": np.bincount(row_x, weights=weight).astype(np.float64),
            "T": ends,
            "t_x": lasts,
            "row_x": row_x,
            "row_T": row_T,
            "row_t_x": row_t_x,
            "weight": weight,
        },
        rows=len(weight),
        customers=round(float(weight.sum())),
    )


def log_likelihood(theta: Mapping[str, Any], columns: Mapping[str, Any], m: int) -> Any:
    """Log-likelihood of each row as a PyTensor expression, as the papers print it."""
    import pytensor.tensor as pt

    r, alpha, a, b = (theta[name] for name in TEXTBOOK)
    x, t_x, T = (columns[name] for name in COLUMNS)
    b1 = b + m
    history = pt.gammaln(r + x) - pt.gammaln(r) + r * pt.log(alpha)
    history += pt.gammaln(b1 + x) + pt.gammaln(a + b) - pt.gammaln(b) - pt.gammaln(a + b1 + x)
    alive = -(r + x) * pt.log(alpha + T)
    # at b1 + x = 1 and below, x = 0 has no dropout to speak of: mask before the logarithm
    known = x if m == 0 else x + 1
    left = pt.log(a) - pt.log(b + pt.maximum(known, 1) - 1) - (r + x) * pt.log(alpha + t_x)
    return history + pt.switch(known > 0, pt.logaddexp(alive, left), alive)


@compiled
def value_and_gradient(
    theta: Array,
    m: int,
    at_x: Array,
    T: Array,
    t_x: Array,
    row_x: IntArray,
    row_T: IntArray,
    row_t_x: IntArray,
    weight: Array,
) -> tuple[float, Array]:
    """Total log-likelihood and its gradient in (r, α, a, b), in one pass.

    lnΓ differences are sums over 0 … max x, which cancel nothing; logarithms of times are taken once
    per distinct time.
    """
    r, alpha, a, b = theta[0], theta[1], theta[2], theta[3]
    value, d_r, d_alpha, d_a, d_b = 0.0, 0.0, 0.0, 0.0, 0.0
    log_odds = np.empty(len(at_x))  # ln a - ln(b1 + x - 1)
    total, rising, by_r, fading, by_a, by_b = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(len(at_x) + m):
        if j >= m:  # sums now run to x = j - m for r, to b1 + x for b
            w = at_x[j - m]
            total += w
            value += w * (rising + fading)
            d_r += w * by_r
            d_a += w * by_a
            d_b += w * by_b
            log_odds[j - m] = math.log(a / (b + j - 1)) if j > 0 else -math.inf
            rising += math.log(r + (j - m))
            by_r += 1.0 / (r + (j - m))
        one, both = b + j, a + b + j
        fading -= math.log1p(a / one)
        by_a -= 1.0 / both
        by_b += a / (one * both)
    value += total * r * math.log(alpha)
    d_r += total * math.log(alpha)
    d_alpha += total * r / alpha

    log_T, log_t_x = np.log(alpha + T), np.log(alpha + t_x)
    inv_T, inv_t_x = 1.0 / (alpha + T), 1.0 / (alpha + t_x)
    for i in range(len(weight)):
        x, end, last, w = row_x[i], row_T[i], row_t_x[i], weight[i]
        k = r + x
        # ln(e^alive + e^left) = alive + softplus(left - alive)
        gap = log_odds[x] + k * (log_T[end] - log_t_x[last])
        if gap > 0.0:
            small = math.exp(-gap)
            p_left = 1.0 / (1.0 + small)
            value += w * (gap + math.log1p(small) - k * log_T[end])
        else:
            small = math.exp(gap)
            p_left = small / (1.0 + small)
            value += w * (math.log1p(small) - k * log_T[end])
        d_r -= w * (log_T[end] + p_left * (log_t_x[last] - log_T[end]))
        d_alpha -= w * k * (inv_T[end] + p_left * (inv_t_x[last] - inv_T[end]))
        if p_left > 0.0:
            d_a += w * p_left / a
            d_b -= w * p_left / (b + m + x - 1.0)
    return value, np.array([d_r, d_alpha, d_a, d_b])


def simulate(
    theta: Mapping[str, float], columns: Columns, rng: np.random.Generator, *, m: int
) -> Columns:
    """Histories of new customers watched for ``columns["T"]``, purchase by purchase."""
    T = np.asarray(columns["T"], dtype=np.float64)
    rate = rng.gamma(theta["r"], 1.0 / theta["alpha"], len(T))
    drop = rng.beta(theta["a"], theta["b"], len(T))
    x, t_x = np.zeros(len(T)), np.zeros(len(T))
    here = np.arange(len(T))
    if m:
        here = here[rng.random(len(here)) >= drop[here]]
    while len(here):
        with np.errstate(divide="ignore", over="ignore"):
            at = t_x[here] + rng.exponential(size=len(here)) / rate[here]
        here, at = here[at <= T[here]], at[at <= T[here]]
        x[here] += 1
        t_x[here] = at
        here = here[rng.random(len(here)) >= drop[here]]
    return {"x": x, "t_x": t_x, "T": T}


# ---------------------------------------------------------------- latents

_PURPOSE = 1


def latents(
    theta: Mapping[str, Array], columns: Columns, keys: Keys, draw_index: Any, *, m: int
) -> Array:
    """A customer's own state and rates given its history, drawn once per posterior draw. Exact.

    Args:
        theta: textbook parameters, each (S,).
        columns: x, t_x, T, each (N,).
        keys: one per customer (``_random.customer_keys``).
        draw_index: (S,) integers that name the draws, the same in every chunk.
        m: 0 for BG/NBD, 1 for MBG/NBD.

    Returns:
        Array (N, S, 4): alive (0/1); λ; p; μ, the death rate, 0 in these families. Given alive, λ ~
        Gamma(r+x, α+T) and p ~ Beta(a, b1+x). The departed have no rates: zeros.
    """
    r, alpha, a, b = vectors(theta, TEXTBOOK)
    x, T = vectors(columns, ("x", "T"))
    A = np.ascontiguousarray(p_alive(theta, columns, m).T)
    out = np.zeros((len(keys), len(r), 4))
    draws = np.asarray(draw_index, dtype=np.uint64)
    _draw_latents(r, alpha, a, b + m, x, T, A, keys, draws, out)
    return out


@compiled
def _draw_latents(
    r: Array,
    alpha: Array,
    a: Array,
    b1: Array,
    x: Array,
    T: Array,
    A: Array,
    keys: Keys,
    draw_index: Keys,
    out: Array,
) -> None:
    for i in range(len(keys)):
        for s in range(len(r)):
            state = stream(keys[i], draw_index[s], _PURPOSE)
            state, u = uniform(state)
            if u < A[i, s]:
                state, rate = gamma(state, r[s] + x[i])
                state, p = beta(state, a[s], b1[s] + x[i])
                out[i, s, 0] = 1.0
                out[i, s, 1] = rate / (alpha[s] + T[i])
                out[i, s, 2] = p


# ---------------------------------------------------------------- the two families


def beta_geometric(name: str, title: str, m: int, references: tuple[str, ...]) -> Family:
    """BG/NBD (m = 0) or MBG/NBD (m = 1)."""

    @compiled
    def kernel(
        theta: Array,
        at_x: Array,
        T: Array,
        t_x: Array,
        row_x: IntArray,
        row_T: IntArray,
        row_t_x: IntArray,
        weight: Array,
    ) -> tuple[float, Array]:
        return value_and_gradient(theta, m, at_x, T, t_x, row_x, row_T, row_t_x, weight)

    return Family(
        name=name,
        title=title,
        part="purchase",
        columns=COLUMNS,
        params=PARAMS,
        textbook=TEXTBOOK,
        derive=derive,
        underive=underive,
        tabulate=tabulate,
        logp=partial(log_likelihood, m=m),
        kernel=kernel,
        simulate=partial(simulate, m=m),
        quantities=beta_geometric_quantities(m),
        latents=partial(latents, m=m),
        references=references,
    )
