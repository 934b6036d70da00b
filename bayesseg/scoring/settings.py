"""What a score depends on beside the posterior and the customer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesseg._types import Array
from bayesseg.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.90
QUANTILES = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
TOP_SHARE = 0.10
FEWEST_DRAWS = 100  # below, the ends of a 90 % interval are the extremes


def ends(ordered: Array) -> tuple[Array, Array]:
    """Both ends of the interval of sorted draws (..., S), as ``numpy.quantile`` has them.

    NaN where a draw is NaN, which sorts last.
    """
    found = []
    for share in QUANTILES:
        place, rest = divmod(share * (ordered.shape[-1] - 1), 1)
        low = ordered[..., int(place)]
        high = ordered[..., min(int(place) + 1, ordered.shape[-1] - 1)]
        found.append(np.where(np.isnan(ordered[..., -1]), np.nan, low + rest * (high - low)))
    return found[0], found[1]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a score depends on beside the posterior and the customer; all of it is printed.

    ``horizon_days`` (h) is for churn and purchases, ``value_horizon_days`` (H) for money. With
    ``margin`` 1 money is revenue. ``draws`` are thinned from the posterior. ``predictive`` draws each
    customer's own rates and future, which takes most of the time; without it the intervals of
    realised purchases and value and ``p_top_decile`` are null. ``chunk`` bounds memory: that many
    distinct rows at a time.
    """

    horizon_days: int = 90
    value_horizon_days: int = 365
    margin: float = 1.0
    annual_discount: float = 0.10
    draws: int = 400
    predictive: bool = True
    chunk: int = 2_000

    def __post_init__(self) -> None:
        least = {"horizon_days": 1, "value_horizon_days": 1, "chunk": 1, "draws": FEWEST_DRAWS}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise UsageError(f"{name} must be at least {smallest}, not {getattr(self, name)}")
        if not 0 < self.margin < np.inf:
            raise UsageError(f"margin must be positive, not {self.margin}")
        if not 0 <= self.annual_discount < np.inf:
            raise UsageError(f"annual_discount must be 0 or more, not {self.annual_discount}")


@dataclass(frozen=True, slots=True)
class Scores:
    """The score table, sorted by id, and what belongs beside it (units, settings, totals, segments)."""

    table: pd.DataFrame
    document: dict[str, Any]
