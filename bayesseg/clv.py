"""Horizons, discounting and what a customer is worth. L6.

All formulas are of one draw (or arrays of one shape); the caller averages afterwards, so that the
uncertainty of spend reaches value. Margin and the paid share multiply after the model.
"""

from __future__ import annotations

import math
from typing import Any

from bayesseg._compiled import compiled
from bayesseg._types import DAYS_PER_YEAR, Clock

VALUES = ("clv", "residual_value", "value_at_risk", "win_back_value")
"""What ``values`` returns, in order."""


def clock(
    horizon_days: float, value_horizon_days: float, annual_discount: float, unit_days: float
) -> Clock:
    """The two horizons in the model's unit and the continuous rate ``ln(1 + d)`` per year.

    The annual rate is the only rate a user gives; it is never multiplied up from months.
    """
    return Clock(
        horizon=horizon_days / unit_days,
        value_horizon=value_horizon_days / unit_days,
        discount=math.log1p(annual_discount) * unit_days / DAYS_PER_YEAR,
    )


@compiled
def p_churn(alive: Any, silent: Any) -> Any:
    """P(no purchase within the horizon) = 1 - A + A · P(silent | alive)."""
    return 1.0 - alive * (1.0 - silent)


@compiled
def values(alive: Any, discounted: Any, stayed: Any, residual: Any, per_purchase: Any) -> Any:
    """The four ``VALUES`` of a customer in one draw, in currency.

    Args:
        alive: A, the probability of not having dropped out.
        discounted: D(H), discounted purchases within H if alive now.
        stayed: D0(H), the same if the customer stayed for all of H.
        residual: D without end.
        per_purchase: expected spend of a purchase times margin times paid share.

    ``value_at_risk`` is what dropout is expected to cost among those still here; ``win_back_value``
    what a lapsed customer would bring if back. Never ``p_churn * clv / (1 - p_churn)``: P(alive)
    cancels there and the dead rank first.
    """
    here = per_purchase * alive
    return (
        here * discounted,
        here * residual,
        here * (stayed - discounted),
        per_purchase * (1.0 - alive) * stayed,
    )
