"""Realised purchases and value: one possible future of a customer, purchase by purchase. L4."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg._compiled import compiled
from bayesseg._random import Keys, exponential, gamma, stream, uniform
from bayesseg._types import Array, Clock, IntArray

_PURPOSE = 3


def realise(
    latents: Array,
    nu: Array,
    p: npt.ArrayLike,
    paid_share: float,
    clock: Clock,
    keys: Keys,
    draw_index: Any,
) -> tuple[Array, IntArray, IntArray]:
    """Discounted spend and purchases to both horizons in one future per customer and draw.

    A customer alive buys after gaps Exp(λ); each purchase ends it with probability p_drop, and death
    at Exp(μ) ends it at any time. A purchase at t is paid with probability ``paid_share`` and then
    brings e^(-δt) · Gamma(p, ν). Both horizons see the same future.

    Args:
        latents: (N, S, 4): alive, λ, p_drop, μ (a purchase family's ``latents``).
        nu: (N, S) (the spend family's ``latents``).
        p: (S,) shape of order values.
        paid_share: share of purchases that are not free.
        clock: h for purchases, H for money, δ.
        keys: one per customer.
        draw_index: (S,) integers that name the draws.

    Returns:
        Three arrays (N, S): spend within H in currency, purchases within h and purchases within H,
        free ones included.
    """
    spend = np.empty(latents.shape[:2])
    soon, later = np.empty(latents.shape[:2], np.int64), np.empty(latents.shape[:2], np.int64)
    shape = np.ascontiguousarray(np.broadcast_to(p, latents.shape[1:2]), dtype=np.float64)
    draws = np.asarray(draw_index, dtype=np.uint64)
    h, H = float(clock.horizon), float(clock.value_horizon)
    _step(latents, nu, shape, paid_share, h, H, clock.discount, keys, draws, spend, soon, later)
    return spend, soon, later


@compiled
def _step(
    latents: Array,
    nu: Array,
    shape: Array,
    paid_share: float,
    h: float,
    H: float,
    discount: float,
    keys: Keys,
    draw_index: Keys,
    spend: Array,
    soon: IntArray,
    later: IntArray,
) -> None:
    for i in range(spend.shape[0]):
        for s in range(spend.shape[1]):
            value, within_h, within_H = 0.0, 0, 0
            alive, rate, drop, death = latents[i, s]
            if alive > 0.0 and rate > 0.0:
                state = stream(keys[i], draw_index[s], _PURPOSE)
                end = max(h, H)
                if death > 0.0:
                    state, life = exponential(state)
                    end = min(end, life / death)
                state, gap = exponential(state)
                t = gap / rate
                while t < end:
                    within_h += t < h
                    within_H += t < H
                    state, u = uniform(state)
                    if t < H and u < paid_share:
                        state, order = gamma(state, shape[s])
                        value += order * math.exp(-discount * t) / nu[i, s]
                    state, u = uniform(state)
                    if u < drop:
                        break
                    state, gap = exponential(state)
                    t += gap / rate
            spend[i, s] = value
            soon[i, s] = within_h
            later[i, s] = within_H
