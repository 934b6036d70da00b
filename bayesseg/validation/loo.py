"""Leave-one-out predictive density of single customers, by Pareto-smoothed importance sampling.

Families are compared on the same customers; all purchase families leave out the same constants of
event times, so their differences mean something. It asks which family describes the calibration
period best, customer by customer, which is not the same as which forecasts best.

References:
    Vehtari, Gelman & Gabry (2017), Statistics and Computing 27.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesseg import population
from bayesseg._types import Array
from bayesseg.families import FAMILIES
from bayesseg.spec import ModelSpec, variant
from bayesseg.validation.fits import Fit
from bayesseg.validation.holdout import Holdout

ROWS = 20_000
"""Distinct histories up to which it is computed."""
_K_LIMIT = 0.7


def loo(held: Holdout, spec: ModelSpec, fits: Mapping[str, Fit]) -> dict[str, Any]:
    """The document's ``LOO`` of the purchase families in ``fits``, the best first."""
    columns = held.known.columns(spec.unit_days)
    own = {name: variant(spec, name).parts["purchase"] for name in fits}
    groups = [
        population.groups(part, fits[name].states["purchase"], held.known)
        for name, part in own.items()
    ]
    table = np.column_stack([columns["x"], columns["t_x"], columns["T"], *groups])
    rows, count = np.unique(table, axis=0, return_counts=True)
    found = {"rows": len(rows), "customers": len(held.known), "families": [], "reason": ""}
    if len(rows) > ROWS:
        reason = f"{len(rows):,} distinct histories; it is computed up to {ROWS:,}"
        return found | {"reason": reason}
    distinct = dict(zip(("x", "t_x", "T"), np.ascontiguousarray(rows.T[:3]), strict=True))
    each, k, p, limit = {}, {}, {}, math.nan
    for i, (name, fit) in enumerate(fits.items()):
        theta, group = fit.models["purchase"].theta, rows[:, 3 + i].astype(np.int64)
        values = np.empty((len(rows), fit.models["purchase"].draws))
        for g in np.unique(group):
            there = group == g
            mine = {column: v[there] for column, v in distinct.items()}
            values[there] = _pointwise(name, theta[g], mine).T
        limit = min(1.0 - 1.0 / math.log10(values.shape[1]), _K_LIMIT)
        each[name], k[name], p[name] = _smoothed(values)
    total = {name: float(count @ values) for name, values in each.items()}
    best = max(total, key=lambda name: total[name])
    families = [
        {
            "name": name,
            "elpd": total[name],
            "se": _se(each[name], count),
            "p": float(count @ p[name]),
            "difference": total[name] - total[best],
            "difference_se": _se(each[name] - each[best], count),
            "bad_k": int(count[~(k[name] <= limit)].sum()),
            "worst_k": float(k[name].max()),
            "limit": limit,
        }
        for name in sorted(total, key=lambda name: -total[name])
    ]
    return found | {"families": families}


def _pointwise(family: str, theta: Mapping[str, Array], columns: Mapping[str, Array]) -> Array:
    from bayesseg.inference.pointwise import pointwise  # PyTensor: only where it is needed

    return pointwise(FAMILIES[family], theta, columns)


def _smoothed(values: Array) -> tuple[Array, Array, Array]:
    """elpd, Pareto k and effective parameters of each row; values (rows, S)."""
    from arviz_stats.base import array_stats

    logs, k = array_stats.psislw(values)  # it takes the negative of the log ratio
    elpd = np.logaddexp.reduce(logs + values, axis=1) - np.logaddexp.reduce(logs, axis=1)
    full = np.logaddexp.reduce(values, axis=1) - math.log(values.shape[1])
    return elpd, np.asarray(k), full - elpd


def _se(values: Array, count: Any) -> float:
    """Standard error of a sum over customers."""
    customers = count.sum()
    spread = count @ (values - count @ values / customers) ** 2 / max(customers - 1, 1)
    return float(math.sqrt(customers * spread))
