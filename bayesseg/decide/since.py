"""The Monday view: who fell, rose, came or went since the last scoring, and why. L8.

Only a change of tier is news; within one, numbers tremble every night. Tiers are given, best first, by
whoever lets them stand still (the feed), so that what is told here is what the destination shows.

Where the model is another one than last time, numbers move although customers did nothing. The last
scoring's histories scored anew under today's model part the two: what moved at the same history is the
model's doing, the rest the customer's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesseg.errors import InputRejected, UsageError

if TYPE_CHECKING:
    import pandas as pd

MOVES = ("fell", "rose", "entered", "left")
CAUSES = ("bought", "taken back", "silent", "time", "model", "new", "gone")
"""What moved a customer: purchases since; purchases taken back; days without one beyond their usual
gap; days within it; a new model; a first purchase; no longer in the scores."""
_SPENT = 0.10
"""A mean spend that moved by less is not spoken of."""
_COMPARED = ("p_churn", "clv", "value_at_risk")
_NEEDED = (*_COMPARED, "frequency", "monetary_value", "days_since_last", "typical_gap_days")


@dataclass(frozen=True, slots=True)
class Monday:
    """What is new: ``rows``, a customer each, the most money first within a move; and JSON-able sums.

    ``rows`` holds ``customer_id, move, cause, reason, tier_before, tier_now``, of ``p_churn``, ``clv``
    and ``value_at_risk`` the value ``_before`` and ``_now``, ``change`` (of clv, in currency) and, where
    the model changed and that can be told apart, ``by_model`` (the part of ``change`` that it made).
    ``document`` counts customers and money by move and cause, names nobody.
    """

    rows: pd.DataFrame
    document: dict[str, Any]


def since(
    now: pd.DataFrame,
    last: pd.DataFrame,
    tiers: tuple[pd.Series, pd.Series],
    order: Sequence[str],
    *,
    again: pd.DataFrame | None = None,
) -> Monday:
    """Compare two score tables.

    Args:
        now: scores of today.
        last: an earlier score table, of the same horizons.
        tiers: the tier of each row of ``now`` and of ``last``, aligned with them.
        order: the tiers, best first.
        again: the customers of ``last`` at the histories they had then, scored under the model of
            ``now``; any rows and order. None where the model is the same, or is not at hand.

    Raises:
        InputRejected: a table has no churn or value.
        UsageError: the tables do not compare: another horizon, or ``last`` is the later one.
    """
    days = days_between(now, last)
    refit = set(now["model_id"].unique()) != set(last["model_id"].unique())
    both = now.assign(tier=tiers[0].to_numpy()).merge(
        last.assign(tier=tiers[1].to_numpy()),
        on="customer_id",
        how="outer",
        suffixes=("_now", "_before"),
        indicator=True,
        sort=True,
    )
    rank = {tier: place for place, tier in enumerate(order)}
    worse = both["tier_now"].map(rank) - both["tier_before"].map(rank)
    move = np.select(
        [both["_merge"] == "left_only", both["_merge"] == "right_only", worse > 0, worse < 0],
        ["entered", "left", "fell", "rose"],
        "stayed",
    )
    both["move"], both["change"] = move, _change(both)
    both["by_model"] = _by_model(both, again) if refit and again is not None else np.nan
    both["cause"] = _causes(both, rank, again, refit=refit)
    both["reason"] = _reasons(both)
    document = {
        "days": days,
        "model_changed": refit,
        "told_apart": again is not None or not refit,
        "customers": {"now": len(now), "before": len(last)},
        "moves": {name: _sums(both[move == name], refit=refit) for name in (*MOVES, "stayed")},
    }
    columns = ["customer_id", "move", "cause", "reason", "tier_before", "tier_now"]
    columns += [f"{name}_{when}" for name in _COMPARED for when in ("before", "now")] + ["change"]
    columns += ["by_model"] if refit and again is not None else []
    rows = both[move != "stayed"]
    place = rows["move"].map({name: at for at, name in enumerate(MOVES)})
    by = rows.assign(_place=place, _size=rows["change"].abs()).sort_values(
        ["_place", "_size", "customer_id"], ascending=[True, False, True], kind="stable"
    )
    return Monday(by[columns].reset_index(drop=True), document)


def days_between(now: pd.DataFrame, last: pd.DataFrame) -> int:
    """Days from the as-of of ``last`` to that of ``now``.

    Raises:
        InputRejected: a table has no churn or value, or nobody in it.
        UsageError: the tables do not compare: another horizon, or ``last`` is the later one.
    """
    for table in (now, last):
        if absent := [name for name in _NEEDED if name not in table]:
            raise InputRejected(
                f"these scores have no {', '.join(absent)}",
                fix="score purchases with a model that has a purchase and a spend part",
                code="scores_without_value",
            )
        if table.empty:
            raise InputRejected(
                "these scores are of nobody", fix="give scores of customers", code="empty"
            )
    for name in ("horizon_days", "value_horizon_days"):
        values = {int(value) for table in (now, last) for value in table[name].unique()}
        if len(values) > 1:
            raise UsageError(
                f"the two scorings have other horizons ({name} {' and '.join(map(str, values))})",
                fix="score both with the same --horizon and --value-horizon",
            )
    days = int((_day(now) - _day(last)) / np.timedelta64(1, "D"))
    if days < 0:
        raise UsageError(
            f"the scores given by --since are {-days} days later than these", fix="swap the two"
        )
    return days


def _day(table: pd.DataFrame) -> Any:
    return np.datetime64(str(table["as_of"].iloc[0])[:10], "D")


def _change(both: pd.DataFrame) -> pd.Series:
    """Of clv, in currency; who is not in one of the tables counts nothing there."""
    return both["clv_now"].fillna(0.0) - both["clv_before"].fillna(0.0)


def _by_model(both: pd.DataFrame, again: pd.DataFrame) -> pd.Series:
    """The change of clv at an unchanged history."""
    same = again.set_index("customer_id")["clv"].reindex(both["customer_id"])
    return (same.reset_index(drop=True) - both["clv_before"]).where(both["_merge"] == "both")


def _causes(
    both: pd.DataFrame, rank: Mapping[str, int], again: pd.DataFrame | None, *, refit: bool
) -> Any:
    """The cause of each change.

    A new model moved a customer where ``p_churn`` moved by it further, and in the direction of the move,
    than by what the customer did since; without the model's word, where somebody who did nothing is
    less likely to churn than before, which silence alone never makes.
    """
    import pandas as pd

    bought = both["frequency_now"] - both["frequency_before"]
    quiet = (bought == 0) & (both["days_since_last_now"] > both["typical_gap_days_now"])
    shift = both["p_churn_now"] - both["p_churn_before"]
    model = pd.Series(False, index=both.index)
    if refit and again is not None:
        same = again.set_index("customer_id")["p_churn"].reindex(both["customer_id"]).to_numpy()
        part = same - both["p_churn_before"]
        model = (part * shift > 0) & (part.abs() > (shift - part).abs())
    elif refit:
        model = (bought == 0) & (shift < 0)
    return np.select(
        [
            both["_merge"] == "left_only",
            both["_merge"] == "right_only",
            model,
            (bought > 0) & (shift <= 0),
            bought < 0,
            quiet,
        ],
        ["new", "gone", "model", "bought", "taken back", "silent"],
        "time",
    )


def _reasons(both: pd.DataFrame) -> pd.Series:
    """One line each: what happened since, in purchases, days and money."""
    import pandas as pd

    def whole(name: str) -> pd.Series:
        return both[name].fillna(0).round().astype("int64")

    bought = whole("frequency_now") - whole("frequency_before")
    silent = whole("days_since_last_now")
    times = _written(bought.abs())
    further = _written((silent - whole("days_since_last_before")).clip(lower=0))
    spend = both["monetary_value_now"] / both["monetary_value_before"] - 1
    more = spend.fillna(0).map(", mean spend {:+.0%}".format).astype(object)
    more = more.where(spend.abs() >= _SPENT, "")
    gap = _written(whole("typical_gap_days_now").clip(lower=1))
    quiet = "silent " + further + " more days, " + _written(silent) + " in all"
    quiet = quiet.where(
        bought <= 0, "bought (" + times + ") and silent for " + _written(silent) + " days"
    )
    texts: dict[str, Any] = {
        "new": "first purchase " + _written(whole("T_now")) + " days ago",
        "gone": "no longer in the scores",
        "model": "the model changed",
        "bought": "bought again ("
        + times
        + "), last "
        + silent.map("{:,}".format)
        + " days ago"
        + more,
        "taken back": times + " purchases taken back since" + more,
        "silent": quiet + ", usually buys every " + gap,
        "time": quiet,
    }
    rows = [both["cause"] == cause for cause in texts]
    return pd.Series(np.select(rows, [*texts.values()], ""), index=both.index)


def _written(numbers: pd.Series) -> pd.Series:
    return numbers.map("{:,}".format).astype(object)


def _sums(rows: pd.DataFrame, *, refit: bool) -> dict[str, Any]:
    """Customers and money of one move, by cause."""
    return {
        "customers": len(rows),
        "clv_before": float(rows["clv_before"].sum()),
        "clv_now": float(rows["clv_now"].sum()),
        "value_at_risk_now": float(rows["value_at_risk_now"].sum()),
        "by_model": float(rows["by_model"].sum())
        if refit and rows["by_model"].notna().any()
        else None,
        "causes": {
            cause: {"customers": int(own.sum()), "change": float(rows.loc[own, "change"].sum())}
            for cause in CAUSES
            if (own := rows["cause"] == cause).any()
        },
    }
