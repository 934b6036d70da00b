"""Grids on which numbers stand still: a number is shown as the nearest point, and stays there a while.

A scale maps numbers to a coordinate whose whole numbers are the points of the grid. One step is 0.05 of
a probability. Of money and of purchases it is 10^(1/24), about 10 %, and the points have two digits
(1.0, 1.1, 1.2, 1.3, 1.5, 1.6, 1.8, 2.0, ...); below the least of them the coordinate is linear, so that
nought is a point too and what is next to nothing does not tremble.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayesseg._types import Array

SLACK = 1.0
"""The steps that a number may move from the point where it is shown: twice what rounding does."""
_TWENTIETHS = 20.0
_PER_DECADE = 24
_DIGITS = np.rint(10.0 ** (1 + np.arange(_PER_DECADE) / _PER_DECADE))


@dataclass(frozen=True, slots=True)
class Scale:
    """How numbers of a unit are shown: ``place`` is their coordinate, ``at`` the number at a point."""

    place: Callable[[Array], Array]
    at: Callable[[Array], Array]

    def rounded(self, raw: Array) -> Array:
        """The nearest point of each number, at most half a step away; NaN stays."""
        return self.at(np.rint(self.place(raw)))

    def left(self, raw: Array, shown: Array) -> NDArray[np.bool_]:
        """Whether each number is farther than the slack from the point where it is shown.

        So is one that is known on one side only.
        """
        distance = np.abs(self.place(raw) - np.rint(self.place(shown)))
        return ~((distance <= SLACK) | (np.isnan(raw) & np.isnan(shown)))


def _geometric(least: int) -> Scale:
    """Two digits, 24 points a decade, from 10^``least`` up, and nought."""

    def place(x: Array) -> Array:
        part = np.abs(x) / 10.0**least
        above = 1.0 + _PER_DECADE * np.log10(np.maximum(part, 1.0))
        return np.copysign(np.where(part < 1.0, part, above), x)

    def at(k: Array) -> Array:
        decade, j = np.divmod(np.maximum(np.nan_to_num(np.abs(k)) - 1.0, 0.0), _PER_DECADE)
        digits, power = _DIGITS[j.astype(np.int64)], decade + least - 1.0
        # a power of ten is exact, its inverse is not
        value = np.where(
            power < 0, digits / 10.0 ** np.maximum(-power, 0), digits * 10.0 ** np.maximum(power, 0)
        )
        return np.where(np.isnan(k), np.nan, np.where(k == 0, 0.0, np.copysign(value, k)))

    return Scale(place, at)


PROBABILITY = Scale(lambda x: x * _TWENTIETHS, lambda k: k / _TWENTIETHS)
MONEY = _geometric(0)
PURCHASES = _geometric(-2)
_OF_UNIT = {"probability": PROBABILITY, "currency": MONEY, "purchases": PURCHASES}


def scale_of(unit: str) -> Scale | None:
    """The scale of a unit of the score table; None where its numbers are not rounded."""
    return _OF_UNIT.get(unit.partition(" ")[0])
