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
import numpy.typing as npt

from bayesseg._compiled import compiled
from bayesseg._random import Keys, beta, log_gamma, stream, uniform
from bayesseg._types import Array, Clock, Columns, Family, Param, Quantity, Table
from bayesseg.errors import InputRejected
from bayesseg.families._special import look_up, march

COLUMNS = ("x", "t_x", "T")
TEXTBOOK = ("r", "alpha", "a", "b")
PARAMS = (
    Param("r", "positive", "", "shape of purchase rates across customers (small: unequal)"),
    Param("rate", "positive", "purchases per time unit", "mean purchase rate while alive, r/α"),
    Param("phi", "unit", "probability", "mean chance of leaving at a purchase, a/(a+b)"),
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
    weight = np.asarray(columns.get("weight", np.ones(len(columns["x"]))), dtype=np.float64)
    x, t_x, T = (np.asarray(columns[name], dtype=np.float64) for name in COLUMNS)
    if not len(x):
        raise InputRejected("there are no customers to learn from", code="no_customers")
    rows, inverse = np.unique(np.column_stack([x, t_x, T]), axis=0, return_inverse=True)
    total = np.bincount(inverse.ravel(), weights=weight)
    row_x = rows[:, 0].astype(np.int64)
    ends, row_end = np.unique(rows[:, 2], return_inverse=True)
    lasts, row_last = np.unique(rows[:, 1], return_inverse=True)
    return Table(
        arrays={
            "at_x": np.bincount(row_x, weights=total).astype(np.float64),
            "T": ends,
            "t_x": lasts,
            "row_x": row_x,
            "row_T": row_end.astype(np.int64),
            "row_t_x": row_last.astype(np.int64),
            "weight": total.astype(np.float64),
        },
        rows=len(rows),
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
    row_x: npt.NDArray[np.int64],
    row_T: npt.NDArray[np.int64],
    row_t_x: npt.NDArray[np.int64],
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


# ---------------------------------------------------------------- quantities


def _draws(theta: Mapping[str, Array]) -> list[Array]:
    return [np.asarray(theta[name], dtype=np.float64)[:, None] for name in TEXTBOOK]


def _vectors(values: Mapping[str, Any], names: tuple[str, ...]) -> list[Array]:
    return [np.ascontiguousarray(values[name], dtype=np.float64) for name in names]


def _rows(columns: Columns) -> list[Array]:
    return [np.asarray(columns[name], dtype=np.float64)[None, :] for name in COLUMNS]


def log_odds_gone(theta: Mapping[str, Array], columns: Columns, m: int) -> Array:
    """ln((1 - A)/A), shape (S, N); -inf for one-time buyers of BG/NBD, who cannot have left."""
    r, alpha, a, b = _draws(theta)
    x, t_x, T = _rows(columns)
    before = b + m + x - 1
    never = (x == 0) & (m == 0)
    odds = np.log(a / np.where(never, 1.0, before)) + (r + x) * np.log1p((T - t_x) / (alpha + t_x))
    return np.asarray(np.where(never, -np.inf, odds))


def p_alive(theta: Mapping[str, Array], columns: Columns, m: int) -> Array:
    """A = P(alive at T | x, t_x, T)."""
    from scipy.special import expit

    return np.asarray(expit(-log_odds_gone(theta, columns, m)))


def p_churn(theta: Mapping[str, Array], columns: Columns, clock: Clock, m: int) -> Array:
    """P(no purchase in (T, T+h]) = 1 - A + A ((α+T)/(α+T+h))^k."""
    from scipy.special import expit

    r, alpha, _, _ = _draws(theta)
    x, _, T = _rows(columns)
    gone = log_odds_gone(theta, columns, m)
    silent = np.exp(-(r + x) * np.log1p(clock.horizon / (alpha + T)))
    return np.asarray(expit(gone) + expit(-gone) * silent)


def discounted(
    theta: Mapping[str, Array], columns: Columns, m: int, horizon: float, discount: float
) -> Array:
    """D = ∫₀^horizon e^(-δt) F'(t) dt: discounted purchases of a customer alive at T, shape (S, N).

    ``horizon`` may be infinite where ``discount`` > 0.
    """
    pairs, inverse = np.unique(
        np.column_stack([columns["x"], columns["T"]]).astype(np.float64),
        axis=0,
        return_inverse=True,
    )
    S = len(theta["r"])
    out = np.empty((S, len(pairs)))
    x, T = np.ascontiguousarray(pairs.T)
    r, alpha, a, b = _vectors(theta, TEXTBOOK)
    _integrate(r, alpha, a, b, float(m), x, T, horizon, discount, *_COARSE, *_FINE, out)
    return out[:, inverse.ravel()]


def _gauss_legendre(panels: tuple[float, ...], nodes: int) -> tuple[Array, Array]:
    """Nodes and weights on [0, 1], composite over the panel edges."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    edges = np.asarray(panels)
    width = np.diff(edges)[:, None] / 2
    return (edges[:-1, None] + width * (x + 1)).ravel(), (width * w).ravel()


_COARSE = _gauss_legendre((0.0, 1.0), 20)
_FINE = _gauss_legendre((0.0, 0.08, 0.4, 0.75, 1.0), 16)
_WIDE = 3.0
"""Width in v beyond which the fine rule is taken: twenty times the age of the customer."""


@compiled
def _integrate(
    r: Array,
    alpha: Array,
    a: Array,
    b: Array,
    m: float,
    x: Array,
    T: Array,
    horizon: float,
    discount: float,
    coarse: Array,
    coarse_weights: Array,
    fine: Array,
    fine_weights: Array,
    out: Array,
) -> None:
    """Gauss-Legendre in v = ln(1 + t/(α+T)), where F' is smooth at every scale.

    F'(t) = k/(α+T) · G(v), G = E_p[(1 + p t/(α+T))^-(k+1)] over p ~ Beta(a, b1 + x), which is
    (1-z)^a · 2F1(a, a+b1-1-r; a+b1+x; z) with z = 1 - e^-v. G depends on the draw and on x alone, so
    one table serves every T; it stays regular at a = 1, unlike the printed E[X(t)].
    """
    cut = min(horizon, 37.0 / discount) if discount > 0.0 else horizon
    for s in range(len(r)):
        v_end = math.log1p(cut / (alpha[s] + T.min()))
        i = 0
        while i < len(x):
            power, B = a[s], a[s] + b[s] + m - 1.0 - r[s]
            c, k = a[s] + b[s] + m + x[i], r[s] + x[i]
            A = power
            if B < 0.0:
                limit = math.lgamma(c) + math.lgamma(k + 1 - A)
                limit -= math.lgamma(c - A) + math.lgamma(k + 1)
                if limit < -7.0:  # Euler's transformation: no negative parameter, nothing cancels
                    power, A, B = k + 1, k + 1, c - A
            starts, table = march(A, B, c, power, v_end)
            group = x[i]
            while i < len(x) and x[i] == group:
                scale = alpha[s] + T[i]
                width = math.log1p(cut / scale)
                nodes = fine if width > _WIDE else coarse
                weights = fine_weights if width > _WIDE else coarse_weights
                total, panel = 0.0, 0
                for j in range(len(nodes)):
                    v = width * nodes[j]
                    panel, G = look_up(starts, table, power, panel, v)
                    total += weights[j] * G * math.exp(v - discount * scale * math.expm1(v))
                out[s, i] = k * width * total
                i += 1


def purchase_quantities(m: int) -> Mapping[str, Quantity]:
    """What can be said of a customer, by name."""

    def k_and_scale(theta: Mapping[str, Array], columns: Columns) -> tuple[Array, Array]:
        r, alpha, _, _ = _draws(theta)
        x, _, T = _rows(columns)
        return r + x, alpha + T

    def alive(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
        return p_alive(theta, columns, m)

    def churn(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
        return p_churn(theta, columns, clock, m)

    def expected(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
        A = p_alive(theta, columns, m)
        A *= discounted(theta, columns, m, clock.horizon, 0.0)
        return A

    def value(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
        return discounted(theta, columns, m, clock.value_horizon, clock.discount)

    def stayed(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
        k, scale = k_and_scale(theta, columns)
        H, delta = clock.value_horizon, clock.discount
        return k / scale * (-math.expm1(-delta * H) / delta if delta > 0 else H)

    def residual(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
        if not clock.discount > 0:
            return np.full((len(theta["r"]), len(columns["x"])), np.nan)
        return discounted(theta, columns, m, math.inf, clock.discount)

    def gap(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
        k, scale = k_and_scale(theta, columns)
        return scale / k

    def overdue(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
        r, alpha, _, _ = _draws(theta)
        x, t_x, T = _rows(columns)
        return np.asarray(np.exp(-(r + x) * np.log1p((T - t_x) / (alpha + t_x))))

    entries = (
        ("p_alive", "probability", "the customer has not left at T", alive),
        ("p_churn", "probability", "no purchase within the horizon h", churn),
        ("expected_purchases", "purchases", "purchases within the horizon h", expected),
        (
            "discounted_purchases",
            "purchases",
            "discounted purchases within H of a customer alive now, D(H)",
            value,
        ),
        (
            "stayed_purchases",
            "purchases",
            "discounted purchases within H of a customer alive throughout, D0(H)",
            stayed,
        ),
        (
            "residual_purchases",
            "purchases",
            "discounted purchases without end of a customer alive now; NaN without discount",
            residual,
        ),
        ("typical_gap", "time", "time between purchases while alive, (α+T)/(r+x)", gap),
        ("overdue", "probability", "a silence as long as the present one, if alive", overdue),
    )
    return {name: Quantity(name, unit, meaning, fn) for name, unit, meaning, fn in entries}


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
        Gamma(r+x, α+T) and p ~ Beta(a, b1+x); given gone, which these families date to t_x, λ ~
        Gamma(r+x, α+t_x) and p ~ Beta(a+1, b1+x-1).
    """
    r, alpha, a, b = _vectors(theta, TEXTBOOK)
    x, t_x, T = _vectors(columns, COLUMNS)
    A = np.ascontiguousarray(p_alive(theta, columns, m).T)
    draws = np.asarray(draw_index, dtype=np.uint64)
    out = np.empty((len(keys), len(r), 4))
    _draw_latents(r, alpha, a, b, m, x, t_x, T, A, keys, draws, out)
    return out


@compiled
def _draw_latents(
    r: Array,
    alpha: Array,
    a: Array,
    b: Array,
    m: int,
    x: Array,
    t_x: Array,
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
            alive = u < A[i, s]
            state, log_rate = log_gamma(state, r[s] + x[i])
            if alive:
                state, p = beta(state, a[s], b[s] + m + x[i])
            else:
                state, p = beta(state, a[s] + 1.0, b[s] + m + x[i] - 1.0)
            out[i, s, 0] = 1.0 if alive else 0.0
            out[i, s, 1] = math.exp(log_rate) / (alpha[s] + (T[i] if alive else t_x[i]))
            out[i, s, 2] = p
            out[i, s, 3] = 0.0


# ---------------------------------------------------------------- the two families


def beta_geometric(name: str, title: str, m: int, references: tuple[str, ...]) -> Family:
    """BG/NBD (m = 0) or MBG/NBD (m = 1)."""

    @compiled
    def kernel(
        theta: Array,
        at_x: Array,
        T: Array,
        t_x: Array,
        row_x: npt.NDArray[np.int64],
        row_T: npt.NDArray[np.int64],
        row_t_x: npt.NDArray[np.int64],
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
        quantities=purchase_quantities(m),
        latents=partial(latents, m=m),
        references=references,
    )
