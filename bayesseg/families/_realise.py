"""Realised purchases and value: one possible future of a customer, purchase by purchase. L4."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg._compiled import compiled
from bayesseg._random import Keys, exponential, log_gamma, stream, uniform
from bayesseg._types import Array

_PURPOSE = 3


def realise(
    latents: Array,
    nu: Array,
    p: npt.ArrayLike,
    paid_share: float,
    horizon: float,
    discount: float,
    keys: Keys,
    draw_index: Any,
) -> tuple[Array, npt.NDArray[np.int64]]:
    """Discounted spend and purchases within ``horizon`` in one future per customer and draw.

    A customer alive buys after gaps Exp(λ); each purchase ends it with probability p_drop, and death
    at Exp(μ) ends it at any time. A purchase at t is paid with probability ``paid_share`` and then
    brings e^(-δt) · Gamma(p, ν).

    Args:
        latents: (N, S, 4): alive, λ, p_drop, μ (a purchase family's ``latents``).
        nu: (N, S) (the spend family's ``latents``).
        p: (S,) shape of order values.
        paid_share: share of purchases that are not free.
        horizon: H in the model's time unit.
        discount: δ per time unit.
        keys: one per customer.
        draw_index: (S,) integers that name the draws.

    Returns:
        Two arrays (N, S): spend in currency, and the number of purchases, free ones included.
    """
    spend = np.empty(latents.shape[:2])
    purchases = np.empty(latents.shape[:2], dtype=np.int64)
    shape = np.ascontiguousarray(np.broadcast_to(p, latents.shape[1:2]), dtype=np.float64)
    draws = np.asarray(draw_index, dtype=np.uint64)
    _step(latents, nu, shape, paid_share, horizon, discount, keys, draws, spend, purchases)
    return spend, purchases


@compiled
def _step(
    latents: Array,
    nu: Array,
    shape: Array,
    paid_share: float,
    horizon: float,
    discount: float,
    keys: Keys,
    draw_index: Keys,
    spend: Array,
    purchases: npt.NDArray[np.int64],
) -> None:
    for i in range(spend.shape[0]):
        for s in range(spend.shape[1]):
            value, count = 0.0, 0
            alive, rate, drop, death = latents[i, s]
            if alive > 0.0 and rate > 0.0:
                state = stream(keys[i], draw_index[s], _PURPOSE)
                state, life = exponential(state)
                end = min(horizon, life / death) if death > 0.0 else horizon
                state, gap = exponential(state)
                t = gap / rate
                while t < end:
                    count += 1
                    state, u = uniform(state)
                    if u < paid_share:
                        state, log_order = log_gamma(state, shape[s])
                        value += math.exp(log_order - discount * t) / nu[i, s]
                    state, u = uniform(state)
                    if u < drop:
                        break
                    state, gap = exponential(state)
                    t += gap / rate
            spend[i, s] = value
            purchases[i, s] = count
