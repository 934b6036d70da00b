"""The tables of business intelligence: facts and dimensions with keys of one column.

``run_key`` is in every table, so that the tables of several nights can be laid one under the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from typing import Any

import numpy as np
import pandas as pd

from bayesseg.errors import ArtefactBad
from bayesseg.scoring.table import unit_of

KEYS = {
    "runs": "run_key",
    "segments": "segment_key",
    "customers": "customer_key",
    "membership": ("customer_key", "segment_key"),
    "forecasts": ("customer_key", "quantity"),
}
"""What is unique in each table; a column of the same name elsewhere refers to it."""
_HISTORY = ("frequency", "recency", "T", "monetary_value", "n_orders", "days_since_last")
_FORECASTS = (
    "p_alive",
    "p_churn",
    "expected_purchases",
    "expected_spend",
    "clv",
    "residual_value",
    "value_at_risk",
    "win_back_value",
    "p_top_decile",
)
_MEANS = ("customers", "share", "p_churn", "clv", "value_at_risk")


def star(scores: pd.DataFrame, document: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """The five tables, exact numbers; ``segments`` and ``membership`` are empty without segments.

    - ``runs``: one row, what was scored when with what.
    - ``segments``: a row a segment, its size and its sums with intervals.
    - ``customers``: a row a customer, its history and likeliest segment.
    - ``membership``: a row a customer and segment, the probability with its interval.
    - ``forecasts``: a row a customer and quantity, the value with its interval, the predictive
      interval where there is one, the unit.

    Raises:
        ArtefactBad: the keys do not hold, so the scores and their document are not of each other.
    """
    run = str(document["table"]["sha256"])[:12]
    scores = scores.sort_values("customer_id", kind="stable", ignore_index=True)
    segments = [s for s in document.get("segments") or () if f"membership_{s['id']}" in scores]
    tables = {
        "runs": _runs(document, run, len(scores)),
        "segments": _segments(segments, run, {"customers", "share", *map(str, scores)}),
        "customers": _customers(scores, run),
        "membership": _membership(scores, [s["id"] for s in segments], run),
        "forecasts": _forecasts(scores, run),
    }
    if wrong := broken(tables):
        raise ArtefactBad(f"the tables do not fit together: {'; '.join(wrong)}", fix="score again")
    return tables


def broken(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """What is wrong with the keys: one there twice or missing, or one that refers to nothing."""
    found = []
    for name, key in KEYS.items():
        columns = [key] if isinstance(key, str) else [*key]
        if tables[name][columns].isna().any(axis=None) or tables[name].duplicated(columns).any():
            found.append(f"{', '.join(columns)} of {name} is not unique")
    for home in ("runs", "segments", "customers"):
        key = str(KEYS[home])
        for name, table in tables.items():
            if name != home and key in table:
                alone = table[key].dropna()
                if not alone.isin(tables[home][key]).all():
                    found.append(f"{key} of {name} refers to no row of {home}")
    return found


def _runs(document: Mapping[str, Any], run: str, rows: int) -> pd.DataFrame:
    settings = document["settings"]
    row = {
        "run_key": run,
        "model": document["model"],
        "model_id": document["model_id"],
        "verdict": document["verdict"],
        "as_of": document.get("as_of"),
        "scored_at": document["scored_at"],
        "customers": rows,
        "horizon_days": settings["horizon_days"],
        "value_horizon_days": settings["value_horizon_days"],
        "money": document.get("money"),
        "margin": settings["margin"],
        "annual_discount": settings["annual_discount"],
        "interval_level": document["interval_level"],
    }
    return pd.DataFrame([row]).assign(scored_at=pd.to_datetime([row["scored_at"]], utc=True))


def _segments(segments: list[Mapping[str, Any]], run: str, known: Set[str]) -> pd.DataFrame:
    numbers = [f"{name}{end}" for name in _MEANS for end in ("", "_lo", "_hi")]
    rows = []
    for segment in segments:
        row = {
            "segment_key": f"{run}/{segment['id']}",
            "run_key": run,
            "segment": segment["id"],
            "name": segment["name"],
            "action": segment["action"],
        }
        for name in _MEANS:
            for end in ("mean", "lo", "hi"):
                of = (segment.get(name) or {}) if name in known else {}
                row[name if end == "mean" else f"{name}_{end}"] = of.get(end, math.nan)
        rows.append(row)
    names = ["segment_key", "run_key", "segment", "name", "action"]
    types = dict.fromkeys(names, "str") | dict.fromkeys(numbers, "float64")
    return pd.DataFrame(rows, columns=[*types]).astype(types)


def _keyed(scores: pd.DataFrame, run: str) -> pd.DataFrame:
    keys = f"{run}/" + scores["customer_id"].astype("str")
    return pd.DataFrame({"customer_key": keys, "run_key": pd.Series(run, index=keys.index)})


def _customers(scores: pd.DataFrame, run: str) -> pd.DataFrame:
    found = _keyed(scores, run).assign(customer_id=scores["customer_id"])
    if "segment" in scores:
        found["segment_key"] = f"{run}/" + scores["segment"].astype("str")
        found["segment_probability"] = scores["segment_probability"]
    for name in _HISTORY:
        if name in scores:
            found[name] = scores[name]
    return found


def _membership(scores: pd.DataFrame, ids: list[str], run: str) -> pd.DataFrame:
    keyed = _keyed(scores, run)
    parts = [
        keyed.assign(
            segment_key=f"{run}/{segment}",
            **{
                name: scores.get(f"membership_{segment}{end}", np.nan)
                for name, end in (("probability", ""), ("lo", "_lo"), ("hi", "_hi"))
            },
        )
        for segment in ids
    ]
    empty = keyed.head(0).assign(segment_key="", probability=0.0, lo=0.0, hi=0.0)
    return pd.concat(parts, ignore_index=True) if parts else empty


def _forecasts(scores: pd.DataFrame, run: str) -> pd.DataFrame:
    keyed, nothing = _keyed(scores, run), pd.Series(np.nan, index=scores.index)
    parts = []
    for quantity in _FORECASTS:
        if quantity not in scores:
            continue
        of = "purchases" if quantity == "expected_purchases" else quantity
        ends = {
            "lo": (f"{quantity}_lo", f"{quantity}_mean_lo"),
            "hi": (f"{quantity}_hi", f"{quantity}_mean_hi"),
            "pred_lo": (f"{of}_pred_lo",),
            "pred_hi": (f"{of}_pred_hi",),
        }
        found = {
            end: next((scores[name] for name in names if name in scores), nothing)
            for end, names in ends.items()
        }
        unit = unit_of(quantity)
        parts.append(keyed.assign(quantity=quantity, unit=unit, value=scores[quantity], **found))
    empty = keyed.head(0).assign(
        quantity="", unit="", value=0.0, lo=0.0, hi=0.0, pred_lo=0.0, pred_hi=0.0
    )
    return pd.concat(parts, ignore_index=True) if parts else empty


README = """\
# Tables of one scoring run

Five Parquet tables with keys of one column; `run_key` is in each, so that the tables of several nights
can be appended to one another.

| table | one row is | key | refers to |
|---|---|---|---|
| runs | a scoring run | run_key | |
| segments | a segment | segment_key | run_key |
| customers | a customer | customer_key | run_key, segment_key (the likeliest segment) |
| membership | a customer in a segment | customer_key, segment_key | run_key |
| forecasts | a customer and a quantity | customer_key, quantity | run_key |

Join `customers`, `membership` and `forecasts` on `customer_key`, `segments` on `segment_key`, `runs`
on `run_key`. Count the customers of a segment by summing `membership.probability`: each counts in every
segment by the probability of belonging to it. `lo` and `hi` hold 90 % of the expectation, `pred_lo` and
`pred_hi` of what this customer may really bring; ends of intervals cannot be summed, and totals with
theirs are in the document beside the scores. Null is unknown or withheld.
"""
