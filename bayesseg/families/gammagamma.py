"""Gamma-Gamma spend: order values are Gamma(p, ν) with ν ~ Gamma(q, v) across customers.

n is the number of paid repeat purchase days and S their total spend, never the mean: sums are exact.

References:
    Fader, Hardie & Lee (2005), RFM and CLV, JMR 42(4), equations 4-7.
    Fader & Hardie (2013), note 025: the Gamma-Gamma model of monetary value, equations 1a, 5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesseg._compiled import compiled
from bayesseg._random import Keys, gamma, stream
from bayesseg._types import Array, Clock, Columns, Family, Param, Quantity, Table
from bayesseg.errors import InputRejected
from bayesseg.families._distinct import codes, distinct
from bayesseg.families._read import read
from bayesseg.families._special import digamma

COLUMNS = ("n", "S")
TEXTBOOK = ("p", "q", "v")
PARAMS = (
    Param("p", "positive", "", "how steady a customer's orders are (large: steady)"),
    Param("q", "positive", "", "how alike customers' mean orders are (large: alike)"),
    Param("scale", "positive", "currency", "typical order value, p v / q"),
)


def derive(free: Mapping[str, Any]) -> Mapping[str, Any]:
    """(p, q, scale) -> (p, q, v)."""
    p, q, scale = free["p"], free["q"], free["scale"]
    return {"p": p, "q": q, "v": scale * q / p}


def underive(theta: Mapping[str, Any]) -> Mapping[str, Any]:
    """(p, q, v) -> (p, q, scale)."""
    p, q, v = theta["p"], theta["q"], theta["v"]
    return {"p": p, "q": q, "scale": v * p / q}


def tabulate(columns: Columns) -> Table:
    """Distinct n and distinct S, each with what it multiplies; customers with n > 0 and S > 0 only.

    An optional column ``weight`` counts customers per row. ``constants`` holds Σ w, Σ w ln S,
    Σ w n ln S and Σ w ln n.
    """
    n, S, weight = read(columns, COLUMNS)
    paid = (n > 0) & (S > 0)
    n, S, weight = n[paid], S[paid], weight[paid]
    if not len(n):
        raise InputRejected(
            "no customer has a repeat purchase with a positive amount, so spend cannot be learned",
            fix="check the amount column, or use a model without a spend part",
            code="no_spend",
        )
    counts, which_n = codes(n)
    sums, which_S = codes(S)
    at_n = np.bincount(which_n, weights=weight).astype(np.float64)
    at_S = np.bincount(which_S, weights=weight).astype(np.float64)
    n_at_S = np.bincount(which_S, weights=weight * n).astype(np.float64)
    # sums over sorted distinct values: the same bits for any order of customers and any BLAS
    constants = [
        at_n.sum(),
        (at_S * np.log(sums)).sum(),
        (n_at_S * np.log(sums)).sum(),
        (at_n * np.log(counts)).sum(),
    ]
    return Table(
        arrays={
            "n": counts,
            "at_n": at_n,
            "S": sums,
            "at_S": at_S,
            "n_at_S": n_at_S,
            "constants": np.array(constants),
        },
        rows=len(distinct(n, S)[0]),
        customers=round(float(weight.sum())),
    )


def logp(theta: Mapping[str, Any], columns: Mapping[str, Any]) -> Any:
    """Log-likelihood of each row (PyTensor)."""
    import pytensor.tensor as pt

    p, q, v = (theta[name] for name in TEXTBOOK)
    n, S = columns["n"], columns["S"]
    gammas = pt.gammaln(p * n + q) - pt.gammaln(p * n) - pt.gammaln(q)
    powers = q * pt.log(v) + (p * n - 1) * pt.log(S) - (p * n + q) * pt.log(v + S)
    return gammas + powers + pt.log(n)


@compiled
def kernel(
    theta: Array, n: Array, at_n: Array, S: Array, at_S: Array, n_at_S: Array, constants: Array
) -> tuple[float, Array]:
    """Total log-likelihood and its gradient in (p, q, v): gammas per n, logarithms per S."""
    p, q, v = theta[0], theta[1], theta[2]
    weight, log_S, n_log_S, log_n = constants[0], constants[1], constants[2], constants[3]
    value = weight * (q * math.log(v) - math.lgamma(q)) + p * n_log_S - log_S + log_n
    d_p = n_log_S
    d_q = weight * (math.log(v) - digamma(q))
    d_v = weight * q / v
    for i in range(len(n)):
        upper = digamma(p * n[i] + q)
        value += at_n[i] * (math.lgamma(p * n[i] + q) - math.lgamma(p * n[i]))
        d_p += at_n[i] * n[i] * (upper - digamma(p * n[i]))
        d_q += at_n[i] * upper
    for i in range(len(S)):
        log_sum = math.log(v + S[i])
        power = p * n_at_S[i] + q * at_S[i]
        value -= power * log_sum
        d_p -= n_at_S[i] * log_sum
        d_q -= at_S[i] * log_sum
        d_v -= power / (v + S[i])
    return value, np.array([d_p, d_q, d_v])


def simulate(theta: Mapping[str, float], columns: Columns, rng: np.random.Generator) -> Columns:
    """Total spend of customers with ``columns["n"]`` paid orders, order by order."""
    n = np.asarray(columns["n"], dtype=np.int64)
    rate = rng.gamma(theta["q"], 1.0 / theta["v"], len(n))
    orders = rng.gamma(theta["p"], 1.0, int(n.sum())) / np.repeat(rate, n)
    S = np.bincount(np.repeat(np.arange(len(n)), n), weights=orders, minlength=len(n))
    return {"n": n.astype(np.float64), "S": S}


def expected_spend(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
    """E[m | n, S] = p (v+S) / (pn+q-1), shape (S, N); NaN where pn + q ≤ 1: there is no mean."""
    p, q, v = (np.asarray(theta[name], dtype=np.float64)[:, None] for name in TEXTBOOK)
    n, S = (np.asarray(columns[name], dtype=np.float64)[None, :] for name in COLUMNS)
    degrees = p * n + q - 1
    return np.asarray(p * (v + S) / np.where(degrees > 0, degrees, np.nan))


_PURPOSE = 2


def latents(theta: Mapping[str, Array], columns: Columns, keys: Keys, draw_index: Any) -> Array:
    """A customer's own ν given its orders, shape (N, S): ν ~ Gamma(pn+q, v+S), its mean order p/ν.

    Args:
        theta: textbook parameters, each (S,).
        columns: n and S, each (N,).
        keys: one per customer (``_random.customer_keys``).
        draw_index: (S,) integers that name the draws, the same in every chunk.
    """
    p, q, v = (np.ascontiguousarray(theta[name], dtype=np.float64) for name in TEXTBOOK)
    n, S = (np.ascontiguousarray(columns[name], dtype=np.float64) for name in COLUMNS)
    out = np.empty((len(keys), len(p)))
    _draw_latents(p, q, v, n, S, keys, np.asarray(draw_index, dtype=np.uint64), out)
    return out


@compiled
def _draw_latents(
    p: Array, q: Array, v: Array, n: Array, S: Array, keys: Keys, draw_index: Keys, out: Array
) -> None:
    for i in range(len(keys)):
        for s in range(len(p)):
            state = stream(keys[i], draw_index[s], _PURPOSE)
            state, rate = gamma(state, p[s] * n[i] + q[s])
            out[i, s] = rate / (v[s] + S[i])


FAMILY = Family(
    name="gammagamma",
    title="Gamma-Gamma",
    part="spend",
    columns=COLUMNS,
    params=PARAMS,
    textbook=TEXTBOOK,
    derive=derive,
    underive=underive,
    tabulate=tabulate,
    logp=logp,
    kernel=kernel,
    simulate=simulate,
    quantities={
        "expected_spend": Quantity(
            "expected_spend", "currency", "mean value of an order to come", COLUMNS, expected_spend
        )
    },
    latents=latents,
    references=(
        "Fader, Hardie & Lee (2005), RFM and CLV: Using iso-value curves, equations 4-7",
        "Fader & Hardie (2013), brucehardie.com note 025",
    ),
)
