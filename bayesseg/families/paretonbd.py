"""Pareto/NBD: a customer may leave at any time, purchase or not.

While alive a customer buys at rate λ ~ Gamma(r, α) and dies at rate μ ~ Gamma(s, β). The printed
likelihood subtracts two 2F1 that agree in nearly all their digits. Here everything rests on

    κ(x, t) = s ∫_t^∞ (α+t)^k (β+t)^s / [(α+u)^k (β+u)^(s+1)] du,   k = r + x,

the probability that one alive at t dies before buying again, a positive series in (x, t) alone: 1 - κ is
the probability of buying again, and with q = ((α+u)/(α+t))^k ((β+u)/(β+t))^s that of being alive and
silent from u to t, the silence from u to t has probability κ(u) + q (1 - κ(t)), dead or alive. Nothing
cancels, no power overflows.

References:
    Schmittlein, Morrison & Colombo (1987), Management Science 33(1).
    Fader & Hardie (2005), note 009: deriving the Pareto/NBD model and related expressions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesseg._compiled import compiled
from bayesseg._random import Keys, log_gamma, stream, uniform
from bayesseg._types import Array, Columns, Family, IntArray, Param, Table
from bayesseg.families._distinct import codes, distinct
from bayesseg.families._purchase import COLUMNS, histories, quantities, vectors
from bayesseg.families._quadrature import COARSE, FINE, WIDE, reach

TEXTBOOK = ("r", "alpha", "s", "beta")
PARAMS = (
    Param("r", "positive", "", "shape of purchase rates across customers (small: unequal)"),
    Param(
        "rate",
        "positive",
        "purchases per time unit",
        "mean purchase rate while alive, r/α",
        role="rate",
    ),
    Param("s", "positive", "", "shape of death rates across customers (small: unequal)"),
    Param("drop", "positive", "deaths per time unit", "mean death rate, s/β", role="dropout"),
)


def derive(free: Mapping[str, Any]) -> Mapping[str, Any]:
    """(r, rate, s, drop) -> (r, alpha, s, beta)."""
    r, rate, s, drop = (free[p.name] for p in PARAMS)
    return {"r": r, "alpha": r / rate, "s": s, "beta": s / drop}


def underive(theta: Mapping[str, Any]) -> Mapping[str, Any]:
    """(r, alpha, s, beta) -> (r, rate, s, drop)."""
    r, alpha, s, beta = (theta[name] for name in TEXTBOOK)
    return {"r": r, "rate": r / alpha, "s": s, "drop": s / beta}


# ---------------------------------------------------------------- the probability κ

_NEAR = 1 / 32
"""1 - z below which the series takes more than a thousand terms, and the integral less time."""
_TERMS = 20_000
_STEP = 1 / 44
_T = np.arange(-4.0, 9.0, _STEP)
_Y = np.exp(_T - np.exp(-_T))  # the exponential substitution of Takahasi & Mori (1974)
_LEFT = np.exp(-_Y)
_RISEN = -np.expm1(-_Y)
_WEIGHT = _STEP * _Y * (1.0 + np.exp(-_T))


@compiled
def _hypergeometric(A: float, C: float, z: float, rest: float) -> tuple[float, float, float, float]:
    """2F1(1, A; C; z) and its derivatives in A, C and z, for C > A > 0 and rest = 1 - z > 0."""
    return _series(A, C, z) if rest > _NEAR else _integral(A, C, z, rest)


@compiled
def _series(A: float, C: float, z: float) -> tuple[float, float, float, float]:
    """The power series, all terms positive."""
    value, by_A, by_C, by_z = 1.0, 0.0, 0.0, 0.0
    term, up, down = 1.0, 0.0, 0.0
    enough = 1e-17 * (1.0 - z)
    for n in range(1, _TERMS):
        above, below = A + (n - 1), C + (n - 1)
        both = 1.0 / (above * below)
        up += below * both
        down += above * both
        bare = term * above * above * both  # without the last z, which may be 0
        term = bare * z
        value += term
        by_A += term * up
        by_C -= term * down
        by_z += n * bare
        if not n * term > enough * value:
            return value, by_A, by_C, by_z
    return math.nan, math.nan, math.nan, math.nan


@compiled
def _integral(A: float, C: float, z: float, rest: float) -> tuple[float, float, float, float]:
    """(C-1) ∫₀^∞ e^(-(C-1)y) (1 - z + z e^(-y))^-A dy, Euler's integral with u = 1 - e^(-y).

    Positive and smooth in ln y: the trapezoidal rule there has some 1e-14. NaN where it does not fall
    off, with C - 1 below 0.005.
    """
    total, by_A, by_C, by_z, last = 0.0, 0.0, 0.0, 0.0, 0.0
    c = C - 1.0
    for j in range(len(_Y)):
        y, risen = _Y[j], _RISEN[j]
        inside = 1.0 - z * risen if risen < 0.5 else rest + z * _LEFT[j]
        log_inside = math.log1p(-z * risen) if risen < 0.5 else math.log(inside)
        weight = _WEIGHT[j] * math.exp(-c * y - A * log_inside)
        total += weight
        by_A -= weight * log_inside
        by_C -= weight * y
        by_z += weight * risen / inside
        if weight < last and weight * y < -1e-18 * by_C:
            return c * total, c * by_A, total + c * by_C, c * A * by_z
        last = weight
    return math.nan, math.nan, math.nan, math.nan


@compiled
def dying(
    k: float, s: float, alpha: float, beta: float, t: float
) -> tuple[float, float, float, float, float]:
    """κ and its derivatives in k, α, s, β.

    κ = s/(k+s) · 2F1(1, k; k+s+1; (α-β)/(α+t)) for α ≥ β, else by Pfaff's transformation
    s/(k+s) · (1-z) 2F1(1, s+1; k+s+1; z), z = (β-α)/(β+t): positive terms both.
    """
    share = s / (k + s)
    if alpha >= beta:
        z = (alpha - beta) / (alpha + t)
        F, by_A, by_C, by_z = _hypergeometric(k, k + s + 1.0, z, (beta + t) / (alpha + t))
        value = share * F
        d_k = share * (by_A + by_C) - value / (k + s)
        d_s = share * by_C + value * k / (s * (k + s))
        d_z = share * by_z
        return value, d_k, d_z * (1.0 - z) / (alpha + t), d_s, -d_z / (alpha + t)
    z, rest = (beta - alpha) / (beta + t), (alpha + t) / (beta + t)
    F, by_A, by_C, by_z = _hypergeometric(s + 1.0, k + s + 1.0, z, rest)
    value = share * rest * F
    d_k = share * rest * by_C - value / (k + s)
    d_s = share * rest * (by_A + by_C) + value * k / (s * (k + s))
    d_z = share * (rest * by_z - F)
    return value, d_k, -d_z / (beta + t), d_s, d_z * rest / (beta + t)


# ---------------------------------------------------------------- likelihood


def tabulate(columns: Columns) -> Table:
    """Distinct (x, t_x, T) with weights, and the distinct (x, time) at which they need κ.

    An optional column ``weight`` counts customers per row. ``at_x[j]`` is the weight of all rows with
    x = j; the constant Σ ln of purchase times is left out, as in every paper.
    """
    x, t_x, T, weight = histories(columns)
    pair_x, pair_t, row_T, row_t_x = _pairs(x, t_x, T)
    return Table(
        arrays={
            "at_x": np.bincount(x.astype(np.int64), weights=weight).astype(np.float64),
            "pair_x": pair_x,
            "pair_t": pair_t,
            "row_T": row_T,
            "row_t_x": row_t_x,
            "weight": weight,
        },
        rows=len(weight),
        customers=round(float(weight.sum())),
    )


def _pairs(x: Array, t_x: Array, T: Array) -> tuple[Array, Array, IntArray, IntArray]:
    """Distinct (x, time), and which of them are each row's (x, T) and (x, t_x)."""
    both, t = np.concatenate([x, x]), np.concatenate([T, t_x])
    where, index = distinct(both, t)
    return both[where], t[where], index[: len(x)], index[len(x) :]


def logp(theta: Mapping[str, Any], columns: Mapping[str, Any]) -> Any:
    """Log-likelihood of each row as a PyTensor expression.

    L = Γ(r+x)/Γ(r) α^r β^s [(r+x) I(r+x+1, s; T) + s I(r+x, s+1; t_x)] with
    I(A, B; y) = ∫_y^∞ (α+u)^-A (β+u)^-B du, which is the printed form by partial integration.
    """
    import pytensor.tensor as pt

    r, alpha, s, beta = (theta[name] for name in TEXTBOOK)
    x, t_x, T = (columns[name] for name in COLUMNS)

    def log_integral(A: Any, B: Any, y: Any) -> Any:
        # the larger scale first: the argument of 2F1 is between 0 and 1
        first = pt.ge(alpha, beta)
        a, b = pt.switch(first, alpha, beta), pt.switch(first, beta, alpha)
        A, B = pt.switch(first, A, B), pt.switch(first, B, A)
        F = pt.hyp2f1(np.float64(1.0), A, A + B, (a - b) / (a + y))
        return -A * pt.log(a + y) + (1 - B) * pt.log(b + y) - pt.log(A + B - 1) + pt.log(F)

    value = pt.gammaln(r + x) - pt.gammaln(r) + r * pt.log(alpha) + s * pt.log(beta)
    buys = pt.log(r + x) + log_integral(r + x + 1, s, T)
    dies = pt.log(s) + log_integral(r + x, s + 1, t_x)
    return value + pt.logaddexp(buys, dies)


@compiled
def kernel(
    theta: Array,
    at_x: Array,
    pair_x: Array,
    pair_t: Array,
    row_T: IntArray,
    row_t_x: IntArray,
    weight: Array,
) -> tuple[float, Array]:
    """Total log-likelihood and its gradient in (r, α, s, β), in one pass.

    A row is r ln α + s ln β - k ln(α+t_x) - s ln(β+t_x) + ln W, W = κ(t_x) + q (1 - κ(T)): κ is taken
    once a pair, and rows only collect what multiplies its derivatives.
    """
    r, alpha, s, beta = theta[0], theta[1], theta[2], theta[3]
    total, value, d_r = 0.0, 0.0, 0.0
    rising, by_r = 0.0, 0.0
    for j in range(len(at_x)):
        total += at_x[j]
        value += at_x[j] * rising
        d_r += at_x[j] * by_r
        rising += math.log(r + j)
        by_r += 1.0 / (r + j)
    value += total * (r * math.log(alpha) + s * math.log(beta))
    d_r += total * math.log(alpha)
    d_s = total * math.log(beta)
    d_alpha, d_beta = total * r / alpha, total * s / beta

    pairs = len(pair_x)
    kappa, slopes, pull = np.empty(pairs), np.empty((pairs, 4)), np.zeros(pairs)
    for i in range(pairs):
        of_pair = dying(r + pair_x[i], s, alpha, beta, pair_t[i])
        kappa[i] = of_pair[0]
        for d in range(4):
            slopes[i, d] = of_pair[d + 1]
    log_a, log_b = np.log(alpha + pair_t), np.log(beta + pair_t)
    inv_a, inv_b = 1.0 / (alpha + pair_t), 1.0 / (beta + pair_t)
    for i in range(len(weight)):
        end, last, w = row_T[i], row_t_x[i], weight[i]
        k = r + pair_x[end]
        fall_a, fall_b = log_a[end] - log_a[last], log_b[end] - log_b[last]
        q = math.exp(-k * fall_a - s * fall_b)
        W = kappa[last] + q * (1.0 - kappa[end])
        value += w * (math.log(W) - k * log_a[last] - s * log_b[last])
        pull[last] += w / W
        pull[end] -= w * q / W
        alive = w * q * (1.0 - kappa[end]) / W
        d_r -= w * log_a[last] + alive * fall_a
        d_s -= w * log_b[last] + alive * fall_b
        d_alpha -= k * (w * inv_a[last] + alive * (inv_a[end] - inv_a[last]))
        d_beta -= s * (w * inv_b[last] + alive * (inv_b[end] - inv_b[last]))
    gradient = np.array([d_r, d_alpha, d_s, d_beta])
    for i in range(pairs):
        for d in range(4):
            gradient[d] += pull[i] * slopes[i, d]
    return value, gradient


def simulate(theta: Mapping[str, float], columns: Columns, rng: np.random.Generator) -> Columns:
    """Histories of new customers watched for ``columns["T"]``: a lifetime, then its purchases."""
    T = np.asarray(columns["T"], dtype=np.float64)
    rate = rng.gamma(theta["r"], 1.0 / theta["alpha"], len(T))
    with np.errstate(divide="ignore", over="ignore"):
        life = rng.exponential(size=len(T)) / rng.gamma(theta["s"], 1.0 / theta["beta"], len(T))
    watched = np.minimum(life, T)
    x = rng.poisson(rate * watched).astype(np.float64)
    # given their number, purchases fall uniformly in the watched lifetime; the last is the maximum
    t_x = watched * rng.random(len(T)) ** (1.0 / np.maximum(x, 1.0))
    return {"x": x, "t_x": np.where(x > 0, t_x, 0.0), "T": T}


# ---------------------------------------------------------------- quantities


def p_alive(theta: Mapping[str, Array], columns: Columns) -> Array:
    """A = q / [κ(t_x) + q (1 - κ(T))], q the chance to be alive and silent from t_x to T: (S, N)."""
    x, t_x, T = vectors(columns, COLUMNS)
    q, silence = _silence(theta, *_pairs(x, t_x, T))
    q /= silence
    return np.minimum(q, 1.0, out=q)


def silent(theta: Mapping[str, Array], columns: Columns, horizon: float) -> Array:
    """P(no purchase within the horizon | alive at T): dead before buying, or alive and silent."""
    x, T = vectors(columns, ("x", "T"))
    _, silence = _silence(theta, *_pairs(x, T, T + horizon))
    return np.minimum(silence, 1.0, out=silence)


def _silence(
    theta: Mapping[str, Array], pair_x: Array, pair_t: Array, till: IntArray, since: IntArray
) -> tuple[Array, Array]:
    """P(alive and silent ``till``) and P(silent till then), both for alive at ``since``: (S, N)."""
    r, alpha, s, beta = vectors(theta, TEXTBOOK)
    kappa = np.empty((len(r), len(pair_x)))
    q, silence = np.empty((len(r), len(till))), np.empty((len(r), len(till)))
    _log_q(r, alpha, s, beta, pair_x, pair_t, till, since, kappa, q)
    np.exp(q, out=q)
    _add_the_dead(kappa, till, since, q, silence)
    return q, silence


@compiled
def _log_q(
    r: Array,
    alpha: Array,
    s: Array,
    beta: Array,
    pair_x: Array,
    pair_t: Array,
    till: IntArray,
    since: IntArray,
    kappa: Array,
    q: Array,
) -> None:
    for d in range(len(r)):
        for i in range(len(pair_x)):
            kappa[d, i] = dying(r[d] + pair_x[i], s[d], alpha[d], beta[d], pair_t[i])[0]
        log_a, log_b = np.log(alpha[d] + pair_t), np.log(beta[d] + pair_t)
        for i in range(len(till)):
            t, u = till[i], since[i]
            q[d, i] = (r[d] + pair_x[t]) * (log_a[u] - log_a[t]) + s[d] * (log_b[u] - log_b[t])


@compiled
def _add_the_dead(kappa: Array, till: IntArray, since: IntArray, q: Array, silence: Array) -> None:
    for d in range(len(kappa)):
        for i in range(len(till)):
            silence[d, i] = kappa[d, since[i]] + q[d, i] * (1.0 - kappa[d, till[i]])


def alive_later(theta: Mapping[str, Array], columns: Columns, horizon: float) -> Array:
    """P(alive at T + horizon | alive at T) = ((β+T)/(β+T+h))^s."""
    s, beta = (v[:, None] for v in vectors(theta, ("s", "beta")))
    (T,) = vectors(columns, ("T",))
    return np.asarray(np.exp(-s * np.log1p(horizon / (beta + T))))


def discounted(
    theta: Mapping[str, Array], columns: Columns, horizon: float, discount: float
) -> Array:
    """D = ∫₀^horizon e^(-δt) F'(t) dt, F'(t) = k/(α+T) ((β+T)/(β+T+t))^s: shape (S, N).

    ``horizon`` may be infinite where ``discount`` > 0. The integral depends on T alone.
    """
    r, alpha, s, beta = vectors(theta, TEXTBOOK)
    (x,) = vectors(columns, ("x",))
    T, index = codes(np.asarray(columns["T"], dtype=np.float64))
    lived = np.empty((len(r), len(T)))
    _lifetime(s, beta, T, horizon, discount, lived)
    return np.asarray((r[:, None] + x) * (lived / (alpha[:, None] + T))[:, index])


@compiled
def _lifetime(s: Array, beta: Array, T: Array, horizon: float, discount: float, out: Array) -> None:
    """∫₀^horizon e^(-δt) ((β+T)/(β+T+t))^s dt by Gauss-Legendre in v = ln(1 + t/(β+T))."""
    cut = reach(horizon, discount)
    for d in range(len(s)):
        for i in range(len(T)):
            scale = beta[d] + T[i]
            width = math.log1p(cut / scale)
            if discount == 0.0:
                y = (1.0 - s[d]) * width
                out[d, i] = scale * width * (math.expm1(y) / y if y != 0.0 else 1.0)
                continue
            if s[d] > 1.0:  # e^-37 of the integral lies beyond
                width = min(width, 37.0 / (s[d] - 1.0))
            rule = FINE if width > WIDE else COARSE
            total = 0.0
            for q in range(rule.shape[1]):
                v = width * rule[0, q]
                grown = math.expm1(v)
                total += rule[1, q] * math.exp((1.0 - s[d]) * v - discount * scale * grown)
            out[d, i] = scale * width * total


# ---------------------------------------------------------------- latents

_PURPOSE = 1


def latents(theta: Mapping[str, Array], columns: Columns, keys: Keys, draw_index: Any) -> Array:
    """A customer's own state and rates given its history, drawn once per posterior draw. Exact.

    Args:
        theta: textbook parameters, each (S,).
        columns: x, t_x, T, each (N,).
        keys: one per customer (``_random.customer_keys``).
        draw_index: (S,) integers that name the draws, the same in every chunk.

    Returns:
        Array (N, S, 4): alive (0/1); λ; p, the chance to leave at a purchase, 0 here; μ. Given alive,
        λ ~ Gamma(r+x, α+T) and μ ~ Gamma(s, β+T). The departed have no rates: zeros.
    """
    r, alpha, s, beta = vectors(theta, TEXTBOOK)
    x, T = vectors(columns, ("x", "T"))
    A = np.ascontiguousarray(p_alive(theta, columns).T)
    out = np.zeros((len(keys), len(r), 4))
    _draw_latents(r, alpha, s, beta, x, T, A, keys, np.asarray(draw_index, dtype=np.uint64), out)
    return out


@compiled
def _draw_latents(
    r: Array,
    alpha: Array,
    s: Array,
    beta: Array,
    x: Array,
    T: Array,
    A: Array,
    keys: Keys,
    draw_index: Keys,
    out: Array,
) -> None:
    for i in range(len(keys)):
        for d in range(len(r)):
            state = stream(keys[i], draw_index[d], _PURPOSE)
            state, u = uniform(state)
            if u < A[i, d]:
                state, log_rate = log_gamma(state, r[d] + x[i])
                state, log_death = log_gamma(state, s[d])
                out[i, d, 0] = 1.0
                out[i, d, 1] = math.exp(log_rate) / (alpha[d] + T[i])
                out[i, d, 3] = math.exp(log_death) / (beta[d] + T[i])


FAMILY = Family(
    name="paretonbd",
    title="Pareto/NBD",
    part="purchase",
    columns=COLUMNS,
    params=PARAMS,
    textbook=TEXTBOOK,
    derive=derive,
    underive=underive,
    tabulate=tabulate,
    logp=logp,
    kernel=kernel,
    simulate=simulate,
    quantities=quantities(p_alive, silent, alive_later, discounted),
    latents=latents,
    references=(
        "Schmittlein, Morrison & Colombo (1987), Counting Your Customers: Who Are They",
        "Fader & Hardie (2005), brucehardie.com note 009",
    ),
)
