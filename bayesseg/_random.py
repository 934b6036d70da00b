"""Seeded draws that depend on (seed, customer, draw) and on nothing else. L0.

A generator here is one 64-bit number, advanced by SplitMix64 (Steele, Lea & Flood 2014). It starts at
a hash of a customer's key, the index of a posterior draw and a purpose, so results are the same in any
order, in chunks of any size and on any number of threads. Every function takes the state and returns
``(state, value)``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg._compiled import compiled

type Keys = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_UNIT = 2.0**-53


@compiled
def mix(bits: Any) -> Any:
    """Scramble 64 bits (the finaliser of SplitMix64, a bijection)."""
    bits = (bits ^ (bits >> _30)) * _MIX_1
    bits = (bits ^ (bits >> _27)) * _MIX_2
    return bits ^ (bits >> _31)


@compiled
def stream(key: Any, draw: Any, purpose: Any) -> Any:
    """State at which the draws of one customer, posterior draw and purpose begin."""
    state = mix(np.uint64(key) + _GOLDEN)
    state = mix(state ^ (np.uint64(draw) * _GOLDEN + _MIX_1))
    return mix(state ^ (np.uint64(purpose) * _GOLDEN + _MIX_2))


@compiled
def uniform(state: Any) -> Any:
    """A number strictly between 0 and 1."""
    state = state + _GOLDEN
    return state, (np.float64(mix(state) >> _11) + 0.5) * _UNIT


@compiled
def exponential(state: Any) -> Any:
    """Exponential with rate 1."""
    state, u = uniform(state)
    return state, -math.log(u)


@compiled
def normal(state: Any) -> Any:
    """Standard normal (Box and Muller)."""
    state, u = uniform(state)
    state, v = uniform(state)
    return state, math.sqrt(-2.0 * math.log(u)) * math.cos(2.0 * math.pi * v)


@compiled
def log_gamma(state: Any, shape: float) -> Any:
    """Logarithm of a gamma variate with rate 1 (Marsaglia & Tsang 2000).

    The logarithm, since a variate of small shape is often below the smallest double.
    """
    boost = 0.0
    if shape < 1.0:
        state, u = uniform(state)
        boost = math.log(u) / shape
        shape += 1.0
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        state, z = normal(state)
        cube = 1.0 + c * z
        if cube <= 0.0:
            continue
        log_cube = 3.0 * math.log(cube)
        state, u = uniform(state)
        if math.log(u) < 0.5 * z * z + d * (1.0 - cube**3 + log_cube):
            return state, math.log(d) + log_cube + boost


@compiled
def gamma(state: Any, shape: float) -> Any:
    """Gamma with rate 1."""
    state, value = log_gamma(state, shape)
    return state, math.exp(value)


@compiled
def beta(state: Any, a: float, b: float) -> Any:
    """Beta(a, b), also where both gamma variates would underflow."""
    state, x = log_gamma(state, a)
    state, y = log_gamma(state, b)
    return state, 1.0 / (1.0 + math.exp(y - x))


def customer_keys(ids: npt.NDArray[Any], seed: int) -> Keys:
    """Keys of customers: a hash of each id (text) and the seed, the same on every machine."""
    from pandas.util import hash_array

    hashes = hash_array(np.asarray(ids, dtype=object), categorize=False)
    salt = np.uint64(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
    return np.asarray(hashes ^ salt, dtype=np.uint64)
