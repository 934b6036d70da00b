"""What belongs beside a score table: settings, units, precision, totals and segments."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from bayesseg import population
from bayesseg._types import Array
from bayesseg.customers import Attributes, Customers
from bayesseg.posterior import now
from bayesseg.scoring.effects import effects
from bayesseg.scoring.plan import Plan, group_state
from bayesseg.scoring.settings import LEVEL, QUANTILES
from bayesseg.scoring.table import unit_of


def document_of(
    plan: Plan, data: Customers | Attributes, sums: Mapping[str, Array], table: pd.DataFrame
) -> dict[str, Any]:
    """Facts about the whole file, JSON-able.

    ``totals`` have the interval of the expectation, the Monte-Carlo error of its mean and, where
    futures were drawn, the interval of what is realised (``pred_lo``, ``pred_hi``).
    """
    posterior, precision = plan.posterior, plan.precision
    found: dict[str, Any] = {
        "schema_version": 1,
        "settings": asdict(plan.settings) | {"draws": precision.draws},
        "monte_carlo": {
            "draws": precision.draws,
            "of": precision.of,
            "ess": precision.ess,
            "mcse_of_means": precision.means,
            "mcse_of_ends": precision.ends,
            "unit": "posterior standard deviations",
        },
        "interval_level": LEVEL,
        "units": {name: unit_of(name) for name in table.columns if unit_of(name)},
        "model": posterior.spec.name,
        "model_id": posterior.manifest["model_id"],
        "verdict": posterior.manifest["verdict"],
        "verdicts": posterior.manifest["verdicts"],
        "as_of": data.as_of.isoformat() if isinstance(data, Customers) else None,
        "scored_at": now().isoformat(),
        "customers": len(data),
        "notes": _notes(plan, data),
        "without_value": int(table["clv"].isna().sum()) if "clv" in table else 0,
        "totals": {
            name: _total(plan, sums, name)
            for name in ("expected_purchases", "clv", "value_at_risk")
            if name in sums
        },
        "segments": [],
    }
    if "size" in sums:
        ids = posterior.manifest["segments"]["ids"]
        found["segments"] = [_segment(plan, sums, k, len(data)) for k in range(len(ids))]
        assert posterior.features is not None
        found["effects"] = {
            name: {"measure": measure, **_interval(values)}
            for name, (measure, values) in effects(posterior.features, sums).items()
        }
    return found


def _notes(plan: Plan, data: Customers | Attributes) -> list[str]:
    """What is to be said of customers whose groups the fit did not know; parts agree mostly."""
    if not isinstance(data, Customers):
        return []
    spec = plan.posterior.spec
    found = [
        population.notes(part, group_state(plan.posterior, name), data)
        for name, part in spec.parts.items()
        if name != "segments"
    ]
    return list(dict.fromkeys(note for notes in found for note in notes))


def _total(plan: Plan, sums: Mapping[str, Array], name: str) -> dict[str, float | None]:
    error = plan.precision.means
    found = _interval(sums[name], point=bool(plan.points))
    found["mcse"] = None if error is None else error * float(sums[name].std())
    if f"realised_{name}" in sums:
        realised = _interval(sums[f"realised_{name}"])
        found |= {"pred_lo": realised["lo"], "pred_hi": realised["hi"]}
    return found


def _segment(plan: Plan, sums: Mapping[str, Array], k: int, count: int) -> dict[str, Any]:
    """One segment with intervals over draws; every member counts by its membership."""
    names, point = plan.posterior.manifest["segments"], bool(plan.points)
    size = sums["size"][:, k]
    found: dict[str, Any] = {
        "id": names["ids"][k],
        "name": names["names"][names["ids"][k]],
        "customers": _interval(size),
        "share": _interval(size / count),
    }
    for name in ("p_churn", "clv"):
        if f"segment_{name}" in sums:
            found[name] = _interval(sums[f"segment_{name}"][:, k] / size, point=point)
    if "segment_value_at_risk" in sums:
        found["value_at_risk"] = _interval(sums["segment_value_at_risk"][:, k], point=point)
    found["profile"] = {
        name.removeprefix("profile_"): _interval(
            sums[name][:, k] / sums[f"known_{name.removeprefix('profile_')}"][:, k]
        )
        for name in sums
        if name.startswith("profile_")
    }
    return found


def _interval(values: Array, *, point: bool = False) -> dict[str, float | None]:
    """Mean and central interval over draws; None where it cannot be computed.

    What is expected under a ``point`` estimate has no interval.
    """
    low, high = np.quantile(values, QUANTILES)
    ends = {"lo": math.nan, "hi": math.nan} if point else {"lo": float(low), "hi": float(high)}
    numbers = {"mean": float(values.mean()), **ends}
    return {name: value if np.isfinite(value) else None for name, value in numbers.items()}
