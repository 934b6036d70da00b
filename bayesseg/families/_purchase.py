"""What all purchase families share: histories, their distinct rows, and what follows from being alive.

While alive a customer buys at rate λ ~ Gamma(r, α), so k = r + x purchases in α + T weeks are known of
a customer seen alive at T. Families differ in how customers leave.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bayesseg._types import Array, Clock, Columns, Quantity
from bayesseg.errors import InputRejected
from bayesseg.families._distinct import distinct
from bayesseg.families._read import read

COLUMNS = ("x", "t_x", "T")
_AGE = ("x", "T")


def vectors(values: Mapping[str, Any], names: tuple[str, ...]) -> list[Array]:
    """The named values as contiguous floats, as compiled functions want them."""
    return [np.ascontiguousarray(values[name], dtype=np.float64) for name in names]


def histories(columns: Columns) -> tuple[Array, Array, Array, Array]:
    """Distinct (x, t_x, T) and how many customers each stands for.

    An optional column ``weight`` counts customers per row.
    """
    x, t_x, T, weight = read(columns, COLUMNS)
    if not len(x):
        raise InputRejected("there are no customers to learn from", code="no_customers")
    where, index = distinct(x, t_x, T)
    return x[where], t_x[where], T[where], np.bincount(index, weights=weight).astype(np.float64)


def silence(theta: Mapping[str, Array], columns: Columns) -> Array:
    """P(no purchase between t_x and T | alive throughout) = ((α+t_x)/(α+T))^(r+x), shape (S, N)."""
    r, alpha = (values[:, None] for values in vectors(theta, ("r", "alpha")))
    x, t_x, T = vectors(columns, COLUMNS)
    out = np.log((alpha + t_x) / (alpha + T))
    out *= r + x
    return np.exp(out, out=out)  # NumPy's are four times as fast as a compiled loop's


def quantities(
    p_alive: Callable[[Mapping[str, Array], Columns], Array],
    silent: Callable[[Mapping[str, Array], Columns, float], Array],
    alive_later: Callable[[Mapping[str, Array], Columns, float], Array],
    discounted: Callable[[Mapping[str, Array], Columns, float, float], Array],
) -> Mapping[str, Quantity]:
    """What can be said of a customer, by name.

    Args:
        p_alive: A = P(alive at T | x, t_x, T).
        silent: P(no purchase within h | alive at T).
        alive_later: P(alive at T + h | alive at T).
        discounted: ∫₀^horizon e^(-δt) F'(t) dt, F'(t) the purchase rate t after T of a customer alive
            at T; the horizon may be infinite where δ > 0.
    """

    def k_and_scale(theta: Mapping[str, Array], columns: Columns) -> tuple[Array, Array]:
        r, alpha = vectors(theta, ("r", "alpha"))
        x, T = vectors(columns, _AGE)
        return r[:, None] + x, alpha[:, None] + T

    def alive(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
        return p_alive(theta, columns)

    def quiet(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
        return silent(theta, columns, clock.horizon)

    def still(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
        return alive_later(theta, columns, clock.horizon)

    def bought(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
        return discounted(theta, columns, clock.horizon, 0.0)

    def value(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
        return discounted(theta, columns, clock.value_horizon, clock.discount)

    def stayed(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
        k, scale = k_and_scale(theta, columns)
        H, delta = clock.value_horizon, clock.discount
        return k / scale * (-math.expm1(-delta * H) / delta if delta > 0 else H)

    def residual(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
        if not clock.discount > 0:
            return np.full((len(theta["r"]), len(columns["x"])), np.nan)
        return discounted(theta, columns, math.inf, clock.discount)

    def gap(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
        k, scale = k_and_scale(theta, columns)
        return scale / k

    def overdue(theta: Mapping[str, Array], columns: Columns, clock: Clock) -> Array:
        return silence(theta, columns)

    chance, count, now = "probability", "purchases", "of a customer alive now"
    entries = (
        ("p_alive", chance, "the customer has not left at T", COLUMNS, alive),
        ("alive_later", chance, f"still there after h, {now}", _AGE, still),
        ("silent", chance, f"no purchase within h {now}", _AGE, quiet),
        ("purchases_if_alive", count, f"purchases within h {now}, F(h)", _AGE, bought),
        ("discounted_purchases", count, f"discounted purchases within H {now}, D(H)", _AGE, value),
        (
            "stayed_purchases",
            count,
            "discounted purchases within H of a customer alive throughout, D0(H)",
            _AGE,
            stayed,
        ),
        (
            "residual_purchases",
            count,
            f"discounted purchases without end {now}; NaN without discount",
            _AGE,
            residual,
        ),
        ("typical_gap", "time", "time between purchases while alive, (α+T)/(r+x)", _AGE, gap),
        ("overdue", chance, "a silence as long as the present one, if alive", COLUMNS, overdue),
    )
    return {entry[0]: Quantity(*entry) for entry in entries}
