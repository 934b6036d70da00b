"""Rules for integrals of a forecast, and interpolation over the ages of customers. L4."""

from __future__ import annotations

import math

import numpy as np

from bayesseg._compiled import compiled
from bayesseg._types import Array


def _gauss_legendre(panels: tuple[float, ...], nodes: int) -> Array:
    """Nodes and weights on [0, 1], composite over the panel edges, shape (2, nodes)."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    edges = np.asarray(panels)
    width = np.diff(edges)[:, None] / 2
    return np.array([(edges[:-1, None] + width * (x + 1)).ravel(), (width * w).ravel()])


COARSE = _gauss_legendre((0.0, 1.0), 20)
FINE = _gauss_legendre((0.0, 0.08, 0.4, 0.75, 1.0), 16)
PANEL = _gauss_legendre((0.0, 1.0), 16)
WIDE = 3.0
"""Width in v = ln(1 + t/scale) beyond which the fine rule is taken: twenty times the scale."""


@compiled
def reach(horizon: float, discount: float) -> float:
    """Where to stop: e^-37 of what lies beyond remains."""
    return min(horizon, 37.0 / discount) if discount > 0.0 else horizon


NODES = 12
_ANGLES = (np.arange(NODES) + 0.5) * math.pi / NODES
PLACES = (np.cos(_ANGLES) + 1) / 2
"""Chebyshev points on [0, 1]."""
TO_SERIES = np.cos(np.outer(np.arange(NODES), _ANGLES)) * 2 / NODES
TO_SERIES[0] /= 2
"""Values at ``PLACES`` to Chebyshev coefficients."""


@compiled
def chebyshev(series: Array, place: float) -> float:
    """A Chebyshev series at ``place`` in [0, 1] (Clenshaw)."""
    y = 4.0 * place - 2.0
    one, two = 0.0, 0.0
    for d in range(NODES - 1, 0, -1):
        one, two = y * one - two + series[d], one
    return 0.5 * y * one - two + float(series[0])
