"""Seeded draws that depend on (seed, customer, draw) and on nothing else. L0.

A generator here is one 64-bit number, advanced by SplitMix64 (Steele, Lea & Flood 2014). It starts at
a hash of a customer's key, the index of a posterior draw and a purpose, so results are the same in any
order, in chunks of any size and on any number of threads. Every function takes the state and returns
``(state, value)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
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


def _ziggurat(layers: int = 256, edge: float = 3.6541528853610088) -> npt.NDArray[np.float64]:
    """Right ends of layers of equal area under exp(-x²/2), from the base up (Doornik 2005)."""
    area = edge * math.exp(-0.5 * edge**2) + math.sqrt(math.pi / 2) * math.erfc(edge / math.sqrt(2))
    ends = [area * math.exp(0.5 * edge**2), edge]
    for _ in range(layers - 2):
        ends.append(math.sqrt(-2.0 * math.log(area / ends[-1] + math.exp(-0.5 * ends[-1] ** 2))))
    return np.array([*ends, 0.0])


_ENDS = _ziggurat()
_LAYER = np.uint64(len(_ENDS) - 2)


@compiled
def normal(state: Any) -> Any:
    """Standard normal: the ziggurat of Marsaglia & Tsang (2000), layer and place from other bits."""
    while True:
        state = state + _GOLDEN
        bits = mix(state)
        layer = bits & _LAYER
        z = (2.0 * (np.float64(bits >> _11) + 0.5) * _UNIT - 1.0) * _ENDS[layer]
        if abs(z) < _ENDS[layer + np.uint64(1)]:
            return state, z
        state, u = uniform(state)
        if layer == 0:  # the tail beyond the edge
            edge = _ENDS[1]
            state, v = uniform(state)
            beyond = -math.log(u) / edge
            while -2.0 * math.log(v) < beyond * beyond:
                state, u = uniform(state)
                state, v = uniform(state)
                beyond = -math.log(u) / edge
            return state, math.copysign(edge + beyond, z)
        outer = math.exp(0.5 * (z * z - _ENDS[layer] ** 2))
        inner = math.exp(0.5 * (z * z - _ENDS[layer + np.uint64(1)] ** 2))
        if inner + u * (outer - inner) < 1.0:
            return state, z


@compiled
def _gamma_from_one(state: Any, shape: float) -> Any:
    """Gamma of shape 1 or more (Marsaglia & Tsang 2000); nearly always without a logarithm."""
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        state, z = normal(state)
        cube = 1.0 + c * z
        if cube <= 0.0:
            continue
        cube = cube * cube * cube
        state, u = uniform(state)
        square = z * z
        if u < 1.0 - 0.0331 * square * square or math.log(u) < 0.5 * square + d * (
            1.0 - cube + math.log(cube)
        ):
            return state, d * cube


@compiled
def log_gamma(state: Any, shape: float) -> Any:
    """Logarithm of a gamma variate with rate 1.

    The logarithm, since a variate of small shape is often below the smallest double.
    """
    if shape >= 1.0:
        state, value = _gamma_from_one(state, shape)
        return state, math.log(value)
    state, u = uniform(state)
    state, value = _gamma_from_one(state, shape + 1.0)
    return state, math.log(value) + math.log(u) / shape


@compiled
def gamma(state: Any, shape: float) -> Any:
    """Gamma with rate 1."""
    if shape >= 1.0:
        return _gamma_from_one(state, shape)
    state, value = log_gamma(state, shape)
    return state, math.exp(value)


@compiled
def beta(state: Any, a: float, b: float) -> Any:
    """Beta(a, b), also where both gamma variates would underflow."""
    if a >= 0.1 and b >= 0.1:  # neither does
        state, x = gamma(state, a)
        state, y = gamma(state, b)
        return state, x / (x + y)
    state, x = log_gamma(state, a)
    state, y = log_gamma(state, b)
    return state, 1.0 / (1.0 + math.exp(y - x))


_RESAMPLED = 5


@compiled
def bootstrap_weights(keys: Keys, draws: int) -> npt.NDArray[np.float64]:
    """Weights of the Bayesian bootstrap (Rubin 1981), (n, draws): standard exponentials.

    Divided by their sum they are Dirichlet; what is averaged by them under each draw varies as if the
    customers had been drawn anew.
    """
    out = np.empty((len(keys), draws))
    for i in range(len(keys)):
        for s in range(draws):
            _, out[i, s] = exponential(stream(keys[i], s, _RESAMPLED))
    return out


def customer_keys(ids: npt.NDArray[Any], seed: int) -> Keys:
    """Keys of customers: a hash of each id (text) and the seed, the same on every machine."""
    from pandas.util import hash_array

    hashes = hash_array(np.asarray(ids, dtype=object), categorize=False)
    salt = np.uint64(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
    return np.asarray(hashes ^ salt, dtype=np.uint64)


def content_keys(columns: Sequence[npt.NDArray[Any]], seed: int) -> Keys:
    """Keys of rows: a hash of their numbers and the seed. Equal rows have equal keys."""
    salt = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
    keys: Keys = np.full(len(columns[0]), salt, dtype=np.uint64)
    for values in columns:
        bits = np.ascontiguousarray(values, dtype=np.float64).view(np.uint64)
        keys = mix(keys ^ mix(bits + _GOLDEN))
    return keys
