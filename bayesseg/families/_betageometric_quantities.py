"""What BG/NBD (m = 0) and MBG/NBD (m = 1) say of a customer.

Alive at T, the chance of leaving at a purchase is p ~ Beta(a, b1 + x) and the rate is Gamma(k, α+T).
So everything ahead is a mean over p of a power of 1 + p t/(α+T), a 2F1 in t alone once the draw and x
are given: one table of it (``_special.march``) serves customers of every age.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from bayesseg._compiled import compiled
from bayesseg._types import Array, Columns, IntArray, Quantity
from bayesseg.families._purchase import quantities, silence, vectors
from bayesseg.families._quadrature import (
    COARSE,
    FINE,
    NODES,
    PANEL,
    PLACES,
    TO_SERIES,
    WIDE,
    chebyshev,
    reach,
)
from bayesseg.families._special import look_up, march

TEXTBOOK = ("r", "alpha", "a", "b")


def beta_geometric_quantities(m: int) -> Mapping[str, Quantity]:
    """The quantities of a purchase family, by name."""
    return quantities(
        partial(p_alive, m=m),
        silent,
        partial(alive_later, m=m),
        partial(discounted, m=m),
    )


def p_alive(theta: Mapping[str, Array], columns: Columns, m: int) -> Array:
    """A = P(alive at T | x, t_x, T), shape (S, N); 1 for one-time buyers of BG/NBD."""
    a, b = vectors(theta, ("a", "b"))
    (x,) = vectors(columns, ("x",))
    out = silence(theta, columns)
    _alive(a, b, m, x, out)
    return out


@compiled
def _alive(a: Array, b: Array, m: int, x: Array, silence: Array) -> None:
    """From the chance of the silence, if alive throughout, to that of being alive, in place."""
    for s in range(len(a)):
        for i in range(len(x)):
            if m == 0 and x[i] == 0.0:
                silence[s, i] = 1.0
            else:
                silence[s, i] /= silence[s, i] + a[s] / (b[s] + m + x[i] - 1.0)


def silent(theta: Mapping[str, Array], columns: Columns, horizon: float) -> Array:
    """P(no purchase within the horizon | alive): nobody leaves before the next purchase."""
    r, alpha = vectors(theta, ("r", "alpha"))
    x, T = vectors(columns, ("x", "T"))
    return np.asarray(np.exp(-(r[:, None] + x) * np.log1p(horizon / (alpha[:, None] + T))))


def alive_later(theta: Mapping[str, Array], columns: Columns, horizon: float, m: int) -> Array:
    """P(alive at T + horizon | alive at T) = E_p[(1 + p h/(α+T))^-k]."""
    r, alpha, a, b = vectors(theta, TEXTBOOK)
    x, T = vectors(columns, ("x", "T"))
    out = np.empty((len(r), len(x)))
    _survive(r, alpha, a, b + m, x, T, np.lexsort((T, x)), horizon, out)
    return out


def discounted(
    theta: Mapping[str, Array], columns: Columns, horizon: float, discount: float, m: int
) -> Array:
    """D = ∫₀^horizon e^(-δt) F'(t) dt: discounted purchases of a customer alive at T, shape (S, N).

    ``horizon`` may be infinite where ``discount`` > 0.
    """
    r, alpha, a, b = vectors(theta, TEXTBOOK)
    x, T = vectors(columns, ("x", "T"))
    out = np.empty((len(r), len(x)))
    _integrate(r, alpha, a, b + m, x, T, np.lexsort((T, x)), horizon, discount, out)
    return out


@compiled
def _mean_power(a: float, b1: float, k: float, x: float, power: float, v_end: float) -> Any:
    """Table of E_p[(1 + p t/(α+T))^-power], p ~ Beta(a, b1 + x), over v = ln(1 + t/(α+T)) ≤ v_end.

    It is (1-z)^a · 2F1(a, a+b1+x-power; a+b1+x; z), z = 1 - e^-v, regular at a = 1, unlike the printed
    E[X(t)]. Returns ``(starts, table, outer)`` for ``look_up``.
    """
    A, B, c, outer = a, a + b1 + x - power, a + b1 + x, a
    if B < 0.0:
        limit = math.lgamma(c) + math.lgamma(power - A)
        limit -= math.lgamma(c - A) + math.lgamma(power)
        if limit < -7.0:  # Euler's transformation: no negative parameter, nothing cancels
            A, B, outer = power, c - A, power
    starts, table = march(A, B, c, outer, v_end)
    return starts, table, outer


@compiled
def _survive(
    r: Array,
    alpha: Array,
    a: Array,
    b1: Array,
    x: Array,
    T: Array,
    order: IntArray,
    horizon: float,
    out: Array,
) -> None:
    for s in range(len(r)):
        j = 0
        while j < len(order):
            i = order[j]
            group, k = x[i], r[s] + x[i]
            widest = math.log1p(horizon / (alpha[s] + T[i]))
            starts, table, outer = _mean_power(a[s], b1[s], k, group, k, widest)
            while j < len(order) and x[order[j]] == group:
                i = order[j]
                v = math.log1p(horizon / (alpha[s] + T[i]))
                out[s, i] = look_up(starts, table, outer, 0, v)[1]
                j += 1


_OLD = 4.0
"""Ages in units of the discount's time from which its decay is too fast for panels one wide."""
_AGES = 1.0
"""Width in ln(1 + T/α) over which one Chebyshev series in it holds 13 digits of D."""


@compiled
def _integrate(
    r: Array,
    alpha: Array,
    a: Array,
    b1: Array,
    x: Array,
    T: Array,
    order: IntArray,
    horizon: float,
    discount: float,
    out: Array,
) -> None:
    """Gauss-Legendre in v = ln(1 + t/(α+T)), where F' is smooth at every scale.

    F'(t) = k/(α+T) · E_p[(1 + p t/(α+T))^-(k+1)]. The integral is analytic in ln(α+T), so for each x it
    is taken at the Chebyshev points of fixed ranges of age and interpolated: the same bits whoever else
    is asked about. Nodes and weights depend on the age alone and are shared by all x. Without end the
    nodes are the same for every age (but the oldest, whose discount leaves little of the integral), so
    that the mean power is looked up once.
    """
    cut = reach(horizon, discount)
    endless = cut < horizon
    most = max(COARSE.shape[1], FINE.shape[1])
    series, values = np.empty(NODES), np.empty(NODES)
    for s in range(len(r)):
        ranges = int(math.log1p(T.max() / alpha[s]) / _AGES) + 1
        shared = _shared(math.log1p(cut / alpha[s])) if endless else np.empty((2, 0))
        power = np.empty(shared.shape[1])
        by_age = np.empty((ranges, shared.shape[1], NODES))
        at, weight = np.empty((ranges, NODES, most)), np.empty((ranges, NODES, most))
        used = np.zeros(ranges, np.int64)
        j = 0
        while j < len(order):
            i = order[j]
            group, k = x[i], r[s] + x[i]
            here = int(math.log1p(T[i] / alpha[s]) / _AGES)
            youngest = alpha[s] if endless else alpha[s] * math.exp(here * _AGES)
            widest = math.log1p(cut / youngest)
            starts, table, outer = _mean_power(a[s], b1[s], k, group, k + 1.0, widest)
            panel = 0
            for q in range(len(power)):
                panel, power[q] = look_up(starts, table, outer, panel, shared[0, q])
            here = -1
            while j < len(order) and x[order[j]] == group:
                i = order[j]
                place = math.log1p(T[i] / alpha[s]) / _AGES
                if int(place) != here:
                    here = int(place)
                    if endless and discount * alpha[s] * math.exp((here + 1) * _AGES) < _OLD:
                        if used[here] == 0:
                            used[here] = _endless(alpha[s], here, discount, shared, by_age[here])
                        values[:] = 0.0
                        for q in range(len(power)):
                            for n in range(NODES):
                                values[n] += by_age[here, q, n] * power[q]
                    else:
                        if used[here] == 0:
                            used[here] = _nodes(
                                alpha[s], here, cut, discount, at[here], weight[here]
                            )
                        for n in range(NODES):
                            total, panel = 0.0, 0
                            for q in range(used[here]):
                                panel, G = look_up(starts, table, outer, panel, at[here, n, q])
                                total += weight[here, n, q] * G
                            values[n] = total
                    for d in range(NODES):
                        total = 0.0
                        for n in range(NODES):
                            total += TO_SERIES[d, n] * values[n]
                        series[d] = total
                out[s, i] = k * chebyshev(series, place - here)
                j += 1


@compiled
def _nodes(alpha: float, here: int, cut: float, discount: float, at: Array, weight: Array) -> int:
    """Nodes and weights of D at the Chebyshev ages of one range; returns how many are used."""
    rule = COARSE
    if math.log1p(cut / (alpha * math.exp(here * _AGES))) > WIDE:
        rule = FINE
    for n in range(NODES):
        scale = alpha * math.exp((here + PLACES[n]) * _AGES)
        width = math.log1p(cut / scale)
        for q in range(rule.shape[1]):
            v = width * rule[0, q]
            at[n, q] = v
            weight[n, q] = width * rule[1, q] * math.exp(v - discount * scale * math.expm1(v))
    return int(rule.shape[1])


@compiled
def _shared(edge: float) -> Array:
    """Nodes and weights in v on [0, edge], panels at most 1 wide: F' and its discount vary no faster."""
    panels = int(edge) + 1
    each, width = PANEL.shape[1], edge / panels
    out = np.empty((2, panels * each))
    for panel in range(panels):
        for q in range(each):
            out[0, panel * each + q] = width * (panel + PANEL[0, q])
            out[1, panel * each + q] = width * PANEL[1, q]
    return out


@compiled
def _endless(alpha: float, here: int, discount: float, shared: Array, by_age: Array) -> int:
    """Weights of the shared nodes at the Chebyshev ages of one range."""
    for q in range(shared.shape[1]):
        v = shared[0, q]
        for n in range(NODES):
            scale = alpha * math.exp((here + PLACES[n]) * _AGES)
            by_age[q, n] = shared[1, q] * math.exp(v - discount * scale * math.expm1(v))
    return 1
