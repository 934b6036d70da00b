"""What to expect of a customer who has just come, after the first purchase."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from bayesseg.customers import Customers
from bayesseg.scoring.blocks import forecasts
from bayesseg.scoring.kernel import Kernel

_ENDS: Mapping[str, str] = {"expected_purchases": "expected_purchases", "clv": "clv_mean"}


def newcomer(kernel: Kernel, pool: Executor) -> dict[str, dict[str, float | None]] | None:
    """Purchases and value of somebody whose first purchase was on the last day, with intervals.

    None where no purchases are forecast, and where customers differ by covariates: without them there
    is no such person.
    """
    plan, parts = kernel.plan, kernel.plan.posterior.spec.parts.values()
    if (
        kernel.as_of is None
        or not plan.purchase
        or any(part.covariates is not None for part in parts)
    ):
        return None
    none, nothing = np.zeros(1, dtype=np.int64), np.zeros(1)
    somebody = Customers(
        ids=np.array(["new"], dtype=object),
        x=none,
        t_x=none,
        t_end=none,
        x_paid=none,
        repeat_spend=nothing,
        first_spend=nothing,
        n_orders=none,
        as_of=kernel.as_of,
    )
    alone = replace(plan, settings=replace(plan.settings, predictive=False), segments={})
    values, _ = forecasts(alone, somebody, pool, lambda _: None)
    found = {
        name: {
            key: float(values[column][0])
            for key, column in (("mean", name), ("lo", f"{own}_lo"), ("hi", f"{own}_hi"))
        }
        for name, own in _ENDS.items()
        if name in values
    }
    return {
        name: {key: value if math.isfinite(value) else None for key, value in one.items()}
        for name, one in found.items()
    }
