"""What is ranked besides the parameters: functions of parameters and data that users rely on. L8.

The joint log-likelihood is among them since a computation that ignores its data, and returns the
prior, passes every test of parameters alone (Modrák et al. 2023, Simulation-based calibration checking
for Bayesian computation: the choice of test quantities shapes sensitivity).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayesseg._types import Array, Columns, Family
from bayesseg.calibration.design import Design
from bayesseg.clv import clock

_BOUGHT = (0, 2, 8)
_SILENT = (1.0, 0.4, 0.05)
_PAID = (0, 1, 5)
_ORDERS = (1.0, 2.0, 0.7)
_SHORT, _LONG, _DISCOUNT = 30.0, 365.0, 0.1


def quantities(
    family: Family,
    free: Mapping[str, Array],
    columns: Columns,
    held_out: Columns,
    design: Design,
    unit_days: float,
) -> dict[str, Array]:
    """Every ranked quantity at S values of the free parameters, each (S,).

    Parameters; the log-likelihood of ``columns`` and of the customer ``held_out``; and of three fixed
    customers P(alive), purchases within 30 and 365 days and the discounted ones of a year
    (purchase families), or the mean order (spend families; infinite where there is no mean).
    """
    theta = family.derive(free)
    found = {name: np.asarray(values) for name, values in free.items()}
    found |= _log_likelihoods(family, theta, columns, held_out)
    return found | _OF_PART[family.part](family, theta, design, unit_days)


def _log_likelihoods(
    family: Family, theta: Mapping[str, Array], columns: Columns, held_out: Columns
) -> dict[str, Array]:
    """By the readable reference, row by row: what fits use is not asked to judge itself."""
    from bayesseg.inference.pointwise import pointwise

    read = {n: np.append(columns[n], held_out[n]) for n in family.columns}
    if family.part == "spend":  # nobody pays for no orders
        paid = read["n"] > 0
        read = {name: values[paid] for name, values in read.items()}
    each = pointwise(family, theta, read)
    return {"log_likelihood": each[:, :-1].sum(axis=1), "held_out": each[:, -1]}


def _of_purchases(
    family: Family, theta: Mapping[str, Array], design: Design, unit_days: float
) -> dict[str, Array]:
    T = np.full(len(_BOUGHT), design.window(unit_days))
    x = np.array(_BOUGHT, dtype=np.float64)
    customers = {"x": x, "t_x": T * (1 - np.array(_SILENT)), "T": T}

    def of(name: str, days: float) -> Array:
        at = clock(days, days, _DISCOUNT, unit_days)
        return family.quantities[name].fn(theta, customers, at)

    alive = of("p_alive", _SHORT)
    by_name = {
        "p_alive": alive,
        "purchases_30": alive * of("purchases_if_alive", _SHORT),
        "purchases_365": alive * of("purchases_if_alive", _LONG),
        "discounted_365": (alive * of("discounted_purchases", _LONG))[:, -1:],
    }
    return _flat(by_name, [f"x={n}" for n in _BOUGHT])


def _of_spend(
    family: Family, theta: Mapping[str, Array], design: Design, unit_days: float
) -> dict[str, Array]:
    n = np.array(_PAID, dtype=np.float64)
    customers = {"n": n, "S": n * design.order * np.array(_ORDERS)}
    at = clock(_LONG, _LONG, _DISCOUNT, unit_days)
    mean = family.quantities["expected_spend"].fn(theta, customers, at)
    return _flat({"mean_order": np.where(np.isnan(mean), np.inf, mean)}, [f"n={k}" for k in _PAID])


def _flat(by_name: Mapping[str, Array], customers: list[str]) -> dict[str, Array]:
    """``name[customer]`` for each column, the last customers where there are fewer columns."""
    return {
        f"{name}[{customer}]": values[:, i]
        for name, values in by_name.items()
        for i, customer in enumerate(customers[-values.shape[1] :])
    }


_OF_PART = {"purchase": _of_purchases, "spend": _of_spend}
