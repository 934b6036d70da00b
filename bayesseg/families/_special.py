"""Special functions the families share: exp, log, digamma; 2F1 along a ray at the price of one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from bayesseg._compiled import compiled
from bayesseg._types import Array

TERMS = 18
"""Taylor terms kept per panel of ``march``."""
_WIDEST = 0.125
_FIRST = 0.995
_TOLERANCE = 1e-15


@compiled
def exp(x: float) -> float:
    """e^x for |x| <= 700, to 1 ulp: plain arithmetic, so that a loop over it is vectorised.

    x = n ln 2 + r; adding 1.5 * 2^52 rounds to n, which the sum's last bits then hold.
    """
    rounded = x * 1.4426950408889634 + 6755399441055744.0
    n = rounded - 6755399441055744.0
    r = (x - n * 0.6931471803691238) - n * 1.9082149292705877e-10
    p = 1 / 39916800 + r * (1 / 479001600 + r / 6227020800)
    p = 1 / 40320 + r * (1 / 362880 + r * (1 / 3628800 + r * p))
    p = 1 / 120 + r * (1 / 720 + r * (1 / 5040 + r * p))
    p = 1.0 + r * (1.0 + r * (0.5 + r * (1 / 6 + r * (1 / 24 + r * p))))
    power = (np.float64(rounded).view(np.int64) + np.int64(1023)) << np.int64(52)
    return float(p * np.int64(power).view(np.float64))


@compiled
def log(x: float) -> float:
    """Natural logarithm of normal x > 0, to 1 ulp, in plain arithmetic like ``exp``; NaN of no number.

    x = 2^k (1 + f), 1 + f in [sqrt(1/2), sqrt(2)), and a polynomial in f / (2 + f) (fdlibm, e_log.c).
    """
    bits = np.float64(x).view(np.int64)
    k = (bits - np.int64(4604544271217802189)) >> np.int64(52)
    f = np.int64(bits - (k << np.int64(52))).view(np.float64) - 1.0
    power = np.int64(k + np.int64(4843621399236968448)).view(np.float64) - 6755399441055744.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = 0.3999999999940942 + w * (0.22222198432149784 + w * 0.15313837699209373)
    odd = 0.2857142874366239 + w * (0.1818357216161805 + w * 0.14798198605116586)
    rest = z * (0.6666666666666735 + w * odd) + w * even
    half = 0.5 * f * f
    low = half - (s * (half + rest) + power * 1.9082149292705877e-10)
    return float(power * 0.6931471803691238 - (low - f)) + (x - x)


@compiled
def digamma(x: float) -> float:
    """ψ(x) for x > 0: recurrence to x ≥ 10, then the asymptotic series (NIST DLMF 5.11.2)."""
    value = 0.0
    while x < 10.0:
        value -= 1.0 / x
        x += 1.0
    i = 1.0 / (x * x)
    tail = 1.0 / 12 - i * (1.0 / 120 - i * (1.0 / 252 - i * (1.0 / 240 - i * (1.0 / 132))))
    tail -= i**5 * (691.0 / 32760 - i / 12)
    return value + math.log(x) - 0.5 / x - i * tail


@compiled
def _polynomial(h: Array, u: float) -> float:
    """Σ h_n u^n, odd and even powers apart: half the latency of Horner's rule."""
    square = u * u
    even, odd = float(h[TERMS - 2]), float(h[TERMS - 1])
    for n in range(TERMS - 4, -1, -2):
        even = even * square + h[n]
        odd = odd * square + h[n + 1]
    return even + odd * u


@compiled
def _slope(h: Array, u: float) -> float:
    value = 0.0
    for n in range(TERMS - 1, 0, -1):
        value = value * u + n * h[n]
    return value


@compiled
def _width(h: Array, u: float) -> float:
    """Largest u, shrinking from the one given, at which TERMS terms suffice and do not cancel."""
    while u > 1e-12:
        size, last, tail = abs(h[0]), 0.0, 0.0
        power = 1.0
        for n in range(1, TERMS):
            power *= u
            last, tail = tail, abs(h[n]) * power
            size += tail
        if last * u + tail <= _TOLERANCE * size and size <= 16.0 * abs(_polynomial(h, u)):
            return u
        u *= 0.75
    return math.nan


@compiled
def march(A: float, B: float, c: float, power: float, v_end: float) -> Any:
    """Tabulate G(v) = (1-z)^power · 2F1(A, B; c; z), z = 1 - e^-v, on [0, v_end].

    Taylor panels of the hypergeometric equation, each started from the value and slope at the end of
    the one before; the first is the defining series. On the panel from v0, with u = 1 - e^-(v-v0),
    G = e^(-power (v-v0)) Σ h_n u^n. For A, B > 0 every solution near this one is dominated by it
    (compare z(1-z)H'' = AB H - [c-(A+B+1)z]H' at the first zero of a slope), so relative errors do
    not grow, and the sums have positive terms.

    Returns:
        ``(starts, h)``: panel starts, shape (panels + 1,), and coefficients, shape (panels, TERMS).
    """
    starts = np.empty(64)
    table = np.empty((64, TERMS))
    v, scale_value, scale_slope = 0.0, 1.0, 0.0
    starts[0] = 0.0
    panels = 0
    while panels == 0 or v < v_end:
        if panels + 1 == len(starts):
            more = np.empty(2 * len(starts))
            more[: panels + 1] = starts[: panels + 1]
            wider = np.empty((2 * len(starts), TERMS))
            wider[:panels] = table[:panels]
            starts, table = more, wider
        h = table[panels]
        if panels == 0:
            h[0] = 1.0
            for n in range(TERMS - 1):
                h[n + 1] = h[n] * (A + n) * (B + n) / ((c + n) * (n + 1))
            u = _width(h, _FIRST)  # at large c this panel reaches nearly everywhere
        else:
            w = math.exp(-v)
            z = -math.expm1(-v)
            h[0], h[1] = scale_value, scale_slope
            for n in range(TERMS - 2):
                h[n + 2] = (
                    w * (n + A) * (n + B) * h[n]
                    - (n + 1) * ((w - z) * n + c - (A + B + 1) * z) * h[n + 1]
                ) / (z * (n + 1) * (n + 2))
            u = _width(h, min(_WIDEST, 0.5 * z / w))
        if not u > 0.0:  # NaN parameters, or extremes no panel can follow: NaN from here on
            h[:] = math.nan
            starts[panels + 1] = math.inf
            return starts[: panels + 2], table[: panels + 1]
        shrink = (1.0 - u) ** power
        scale_value = _polynomial(h, u) * shrink
        scale_slope = _slope(h, u) * shrink * (1.0 - u)
        v -= math.log1p(-u)
        panels += 1
        starts[panels] = v
    return starts[: panels + 1], table[:panels]


@compiled
def look_up(starts: Array, table: Array, power: float, panel: int, v: float) -> Any:
    """G(v) of ``march``, searching upwards from ``panel``; returns (panel, G)."""
    while panel + 2 < len(starts) and starts[panel + 1] <= v:
        panel += 1
    step = v - starts[panel]
    return panel, _polynomial(table[panel], -math.expm1(-step)) * math.exp(-power * step)
