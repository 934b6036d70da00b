"""How much of a normal or Student's t lies farther out than a squared Mahalanobis distance. L4.

With D columns seen: chi-squared with D degrees of freedom, and for Student's t the F distribution with
(D, df) of the distance over D. D is whole, so both are finite sums (Abramowitz & Stegun 1972, 26.4.4 and
26.4.5; NIST DLMF 8.17.20 and 8.17.21), good to about 1e-15 of one.
"""

from __future__ import annotations

import math

from bayesseg._compiled import compiled

_STEPS = 50.0


@compiled
def _normal(square: float, seen: int) -> float:
    half = 0.5 * square
    start, term, total = 1.0, math.exp(-half), 0.0
    if seen % 2:
        root = math.sqrt(half)
        start, term, total = 1.5, term * root * (2.0 / math.sqrt(math.pi)), math.erfc(root)
    for j in range(seen // 2):
        total += term
        term *= half / (start + j)
    return total


@compiled
def _one_column(a: float, x: float, y: float) -> tuple[float, float]:
    """I_x(a, 1/2) with y = 1 - x, and x^a y^(1/2) / (a B(a, 1/2)), by which it falls at a + 1."""
    if 2.0 * a == math.floor(2.0 * a) and a <= _STEPS:
        if a == math.floor(a):
            at, value, step = 1.0, 1.0 - math.sqrt(y), 0.5 * x * math.sqrt(y)
        else:
            at, value = 0.5, 2.0 / math.pi * math.atan2(math.sqrt(x), math.sqrt(y))
            step = 2.0 / math.pi * math.sqrt(x * y)
        while at < a:
            value -= step
            step *= x * (at + 0.5) / (at + 1.0)
            at += 1.0
        return value, step
    beta = math.lgamma(a + 0.5) - math.lgamma(a + 1.0) - math.lgamma(0.5)
    step = math.exp(a * math.log(x) + beta) * math.sqrt(y)
    small, above, below = (x, a + 0.5, a + 1.0) if x < 0.5 else (y, a + 0.5, 1.5)
    term = total = 1.0
    while term > 1e-17 * total:
        term *= small * above / below
        total += term
        above += 1.0
        below += 1.0
    return (step * total if x < 0.5 else 1.0 - 2.0 * a * step * total), step


@compiled
def beyond(square: float, seen: int, df: float) -> float:
    """Probability of a squared distance above ``square`` in ``seen`` >= 1 columns; df inf is normal."""
    if math.isinf(df):
        return _normal(square, seen)
    a, x, y = 0.5 * df, df / (df + square), square / (df + square)
    if seen % 2:
        total, term = _one_column(a, x, y)
        start, term = 0.5, term * 2.0 * a
    else:
        start, total, term = 0.0, 0.0, x**a
    for j in range(seen // 2):
        total += term
        term *= y * (a + start + j) / (1.0 + start + j)
    return max(total, 0.0)
