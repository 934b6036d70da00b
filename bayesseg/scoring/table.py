"""The score table: one row a customer, and the unit of each column."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesseg.customers import Attributes, Customers
from bayesseg.posterior import Posterior
from bayesseg.scoring.members import SEGMENT_COLUMNS
from bayesseg.scoring.plan import Plan
from bayesseg.scoring.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = {
    "customer_id": ("", "the id as it was given"),
    "frequency": ("purchase days", "days with a purchase after the first"),
    "recency": ("days", "from the first purchase to the last"),
    "T": ("days", "from the first purchase to as-of"),
    "monetary_value": ("currency", "mean spend of a paid purchase day after the first"),
    "n_orders": ("orders", "all orders, the first included"),
    "days_since_last": ("days", "from the last purchase to as-of"),
    "segment": ("", "id of the likeliest segment"),
    "segment_name": ("", "its name"),
    "segment_probability": ("probability", "mean membership of that segment over draws"),
    "runner_up": ("", "id of the second likeliest segment"),
    "runner_up_probability": ("probability", "mean membership of the runner-up over draws"),
    "p_top_stable": ("probability", "share of draws in which the segment is the likeliest"),
    "entropy": (
        "nats",
        "uncertainty of the segment, 0 to ln K: ambiguity (entropy - entropy_param, the customer lies "
        "between segments) and entropy_param",
    ),
    "entropy_param": (
        "nats",
        "the part of entropy that comes from not knowing the segments exactly",
    ),
    "outlier_p": (
        "probability",
        "how much of the mixture lies farther out than the customer, by its known measurements: near "
        "0 it is like no segment; null without a measurement",
    ),
    "n_missing": (
        "features",
        "features without a value, left out of the reckoning and never filled; those that a one-time "
        "buyer cannot have count",
    ),
    "membership": ("probability", "mean membership of this segment over draws; they sum to 1"),
    "p_alive": ("probability", "not yet gone for good at as-of"),
    "p_churn": ("probability within the horizon", "no purchase within the horizon"),
    "expected_purchases": ("purchases within the horizon", "expected, over such customers"),
    "purchases_pred": ("purchases within the horizon", "end of the interval of what comes"),
    "typical_gap_days": ("days", "usual time between purchases"),
    "overdue": ("probability", "of a silence this long, if still alive"),
    "expected_spend": ("currency per purchase", "mean spend of a purchase"),
    "clv": ("currency within the value horizon", "expected discounted margin"),
    "clv_mean": ("currency within the value horizon", "end of the interval of the expectation"),
    "clv_pred": ("currency within the value horizon", "end of the interval of what comes"),
    "residual_value": ("currency", "expected discounted margin without a horizon"),
    "value_at_risk": (
        "currency within the value horizon",
        "what dropping out is expected to cost among those still here",
    ),
    "win_back_value": (
        "currency within the value horizon",
        "what the customer would bring if gone and won back",
    ),
    "priority_rank": ("", "1 is the largest value at risk of this file"),
    "p_top_decile": ("probability", "that its own value is in the top tenth of this file"),
    "flags": ("", "what to know before trusting the row"),
    "model_id": ("", "hash of the model"),
    "verdict": ("", "verdict on the model"),
    "as_of": ("", "the day that days are counted to"),
    "horizon_days": ("days", "horizon of churn and purchases"),
    "value_horizon_days": ("days", "horizon of money"),
    "scored_at": ("", "when the row was computed"),
}
"""Unit and meaning of each column; ``_lo`` and ``_hi`` have the unit of what they are the ends of."""
_ENDS = {"_lo": "low end of the 90 % interval of", "_hi": "high end of the 90 % interval of"}


def _entry(column: str) -> tuple[str, str]:
    """The entry of a column itself, or of what it belongs to."""
    name = "membership" if column.startswith("membership_") else column
    return COLUMNS.get(name, ("", ""))


def unit_of(column: str) -> str:
    """The unit of a score column; empty for text, ranks and dates."""
    return _entry(column if column in COLUMNS else _base(column))[0]


def meaning_of(column: str) -> str:
    """What a score column says, in one line."""
    base = _base(column)
    if base == column:
        return _entry(column)[1]
    return f"{_ENDS[column[-3:]]} {base}"


def units_of(names: Iterable[str], *, margin: bool) -> dict[str, str]:
    """The unit of each column that has one, where money is revenue or ``margin``."""
    found = {name: unit for name in names if (unit := unit_of(name))}
    return (
        {name: unit.replace("currency", "currency of margin") for name, unit in found.items()}
        if margin
        else found
    )


def meanings_of(names: Iterable[str]) -> dict[str, str]:
    """What each column says, where there is anything to say."""
    return {name: said for name in names if (said := meaning_of(name))}


def fields_of(
    names: Iterable[str], units: Mapping[str, str], meanings: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Unit and description of each column, as its field in a file has them."""
    return {
        name: {"unit": units.get(name, ""), "description": meanings.get(name, "")} for name in names
    }


def _base(column: str) -> str:
    return column[:-3] if column.endswith(tuple(_ENDS)) else column


def table_of(
    posterior: Posterior,
    data: Customers | Attributes,
    columns: dict[str, NDArray[Any]],
    settings: Settings,
    withheld: Collection[str],
    scored_at: datetime,
) -> pd.DataFrame:
    """The columns in their order, with the customer's own history, flags and provenance.

    What a score without ``predictive`` does not draw is there and null, and so are what is ``withheld``
    and ``priority_rank``, which is about the file.
    """
    count = len(data)
    found: dict[str, Any] = {"customer_id": data.ids}
    if isinstance(data, Customers):
        found |= {
            "frequency": data.x.copy(),
            "recency": data.t_x.copy(),
            "T": data.t_end.copy(),
            "monetary_value": np.where(
                data.x_paid > 0, data.repeat_spend / np.maximum(data.x_paid, 1), np.nan
            ),
            "n_orders": data.n_orders.copy(),
            "days_since_last": data.t_end - data.t_x,
        }
    for name, beside in _PREDICTIVE.items():
        if beside in columns:
            columns.setdefault(name, np.full(count, np.nan))
    known = columns | {name: np.full(count, np.nan) for name in withheld}
    found |= {name: known[name] for name in _ORDER if name in known}
    if "value_at_risk" in withheld:
        found |= {"priority_rank": unranked(count), "p_top_decile": np.full(count, np.nan)}
    elif "value_at_risk" in columns:
        found |= {"priority_rank": unranked(count), "p_top_decile": columns["p_top_decile"]}
    found |= {name: v for name, v in columns.items() if name.startswith("membership_")}
    if isinstance(data, Customers):
        found["flags"] = _flags(conditions(posterior, data, columns))
    for name in ("model_id", "verdict"):
        found[name] = pd.Series(posterior.manifest[name], index=range(count), dtype="str")
    if isinstance(data, Customers):
        found["as_of"] = np.full(count, np.datetime64(data.as_of, "s"))
        found["horizon_days"] = np.full(count, settings.horizon_days, dtype=np.int32)
        found["value_horizon_days"] = np.full(count, settings.value_horizon_days, dtype=np.int32)
    found["scored_at"] = pd.Series(scored_at, index=range(count), dtype="datetime64[s, UTC]")
    return pd.DataFrame(found, copy=False)  # every column is this table's own


def unranked(count: int) -> Any:
    """A column of ranks that nobody has."""
    return pd.array([pd.NA], dtype="Int64").repeat(count)


def ranks(value_at_risk: NDArray[np.float64]) -> NDArray[np.int64]:
    """Places by value at risk, the largest 1 and what is unknown last; ties in the order given."""
    order = np.argsort(-np.nan_to_num(value_at_risk, nan=-np.inf), kind="stable")
    found = np.empty(len(order), dtype=np.int64)
    found[order] = np.arange(1, len(order) + 1)
    return found


_PREDICTIVE = {
    "purchases_pred_lo": "expected_purchases",
    "purchases_pred_hi": "expected_purchases",
    "clv_pred_lo": "clv",
    "clv_pred_hi": "clv",
    "p_top_decile": "clv",
}
"""What only ``predictive`` draws, and the expectation it stands beside."""
_OF_PURCHASES = (
    "p_alive",
    "p_churn",
    "p_churn_lo",
    "p_churn_hi",
    "expected_purchases",
    "expected_purchases_lo",
    "expected_purchases_hi",
    "purchases_pred_lo",
    "purchases_pred_hi",
    "typical_gap_days",
    "overdue",
)
_OF_MONEY = (
    "expected_spend",
    "expected_spend_lo",
    "expected_spend_hi",
    "clv",
    "clv_mean_lo",
    "clv_mean_hi",
    "clv_pred_lo",
    "clv_pred_hi",
    "residual_value",
    "value_at_risk",
    "win_back_value",
)
_ORDER = (*SEGMENT_COLUMNS, *_OF_PURCHASES, *_OF_MONEY)


def withheld_of(plan: Plan) -> tuple[str, ...]:
    """The columns of parts that the model has and ``plan`` has not: they failed their gates."""
    parts = plan.posterior.spec.parts
    found: tuple[str, ...] = () if plan.purchase or "purchase" not in parts else _OF_PURCHASES
    valued = plan.purchase and plan.spend
    return found if valued or "spend" not in parts else (*found, *_OF_MONEY)


def columns_of(table: pd.DataFrame, parts: Collection[str]) -> list[str]:
    """The columns of a score table that are of any of ``parts``; money is of purchases too."""
    found: set[str] = set()
    if "segments" in parts:
        found |= {*SEGMENT_COLUMNS, *(n for n in map(str, table) if n.startswith("membership_"))}
    if "purchase" in parts:
        found |= {*_OF_PURCHASES}
    if "purchase" in parts or "spend" in parts:
        found |= {*_OF_MONEY, "priority_rank", "p_top_decile"}
    return [name for name in map(str, table) if name in found]


def extrapolated(
    posterior: Posterior, x: NDArray[np.int64], t_end: NDArray[np.int64], as_of: date
) -> NDArray[np.bool_]:
    """Who bought more often, or has been here longer, than anybody the model learned from."""
    trained = posterior.manifest["trained_on"]
    later = (as_of - date.fromisoformat(posterior.manifest["as_of"])).days
    return np.asarray((x > trained["max_x"]) | (t_end > trained["max_t_end"] + later))


def conditions(
    posterior: Posterior, data: Customers, columns: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[np.bool_]]:
    """The words that a customer may be flagged with, in a fixed order, and for whom each holds."""
    trained = posterior.manifest["trained_on"]
    as_of = date.fromisoformat(posterior.manifest["as_of"])
    later = (data.as_of - as_of).days
    early = trained["early_until"]
    first_day_age = data.t_end  # days from first purchase to the end of these data
    return {
        "new": first_day_age < later,
        "extrapolated": extrapolated(posterior, data.x, data.t_end, data.as_of),
        "one_time": data.x == 0,
        "spend_prior_only": (data.x_paid == 0) & ("expected_spend" in columns),
        "spend_undefined": np.isnan(columns.get("expected_spend", np.zeros(len(data)))),
        "early_cohort": np.zeros(len(data), dtype=bool)
        if early is None
        else first_day_age >= (data.as_of - date.fromisoformat(early)).days,
    }


def _flags(holds: Mapping[str, NDArray[np.bool_]]) -> NDArray[np.object_]:
    """The words that hold for each customer, as tuples."""
    code = sum(mask.astype(np.int64) << bit for bit, mask in enumerate(holds.values()))
    words = np.empty(1 << len(holds), dtype=object)
    for value in range(len(words)):
        words[value] = tuple(name for bit, name in enumerate(holds) if value >> bit & 1)
    return np.asarray(words[code])
