"""Whom to turn to first: the save list and the win-back list. L8.

Two lists that never share a customer. *Win back* are those silent beyond their own rhythm: more
likely gone than here, and a silence as long as theirs would be seen in at most one of ten who stayed.
*Save* are those more likely here than gone. Some are on neither: gone, as far as one can tell, but not
for long enough to say so against their own rhythm. Each is ranked by what is at stake there, never by
``p_churn * value``, which puts those long gone first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bayesseg.errors import InputRejected, UsageError

if TYPE_CHECKING:
    import pandas as pd

STAKE = {"save": "value_at_risk", "win-back": "win_back_value"}
"""The column that ranks each list."""
SILENT = 0.1
GONE = 0.5
_SHOWN = ("p_alive", "p_churn", "typical_gap_days", "days_since_last", "clv")


def lapsed(scores: pd.DataFrame) -> pd.Series:
    """Whether each customer is silent beyond their own rhythm (``overdue``, ``p_alive``)."""
    return (scores["overdue"] <= SILENT) & (scores["p_alive"] < GONE)


def ranked(
    scores: pd.DataFrame,
    which: str,
    count: int | None = None,
) -> pd.DataFrame:
    """The ``which`` list, most at stake first, one row a customer.

    Args:
        scores: a score table.
        which: ``"save"`` or ``"win-back"``.
        count: at most this many rows; all when None.

    Returns:
        ``rank``, ``customer_id``, ``segment_name`` (where there are segments), ``value`` (currency
        within the value horizon: ``value_at_risk`` or ``win_back_value``), ``p_alive``, ``p_churn``,
        ``typical_gap_days``, ``days_since_last``, ``clv``, ``reason`` and ``verdict``. Ties by id.

    Raises:
        UsageError: there is no such list, or ``count`` is below 1.
        InputRejected: the scores carry no value (a model of attributes alone).
    """
    if which not in STAKE:
        raise UsageError(f"there is no list named {which!r}", fix=f"lists: {', '.join(STAKE)}")
    if count is not None and count < 1:
        raise UsageError(f"a list of {count} customers is empty", fix="give a --count of 1 or more")
    stake = STAKE[which]
    needed = [stake, "overdue", "frequency", "value_horizon_days", *_SHOWN]
    absent = [column for column in needed if column not in scores]
    if absent:
        raise InputRejected(
            f"these scores have no {', '.join(absent)}",
            fix="score purchases with a model that has a purchase and a spend part",
            code="scores_without_value",
        )
    chosen = lapsed(scores) if which == "win-back" else scores["p_alive"] >= GONE
    chosen = chosen & (scores[stake] > 0)
    table = scores[chosen].sort_values(
        [stake, "customer_id"], ascending=[False, True], kind="stable", ignore_index=True
    )
    table = table if count is None else table.head(count)
    table = table.assign(
        rank=np.arange(1, len(table) + 1), value=table[stake], reason=reasons(table, stake)
    )
    columns = ["rank", "customer_id", "segment_name", "value", *_SHOWN, "reason", "verdict"]
    return table[[column for column in columns if column in table]]


def reasons(scores: pd.DataFrame, stake: str = "value_at_risk") -> pd.Series:
    """Why a customer is listed: "buys every 24 days, silent 51 days, worth 310 a year".

    On the win-back list the worth is that of a customer who is back: the value without the
    probability of being gone.
    """
    every = scores["typical_gap_days"].round().clip(lower=1).astype("int64").astype(str)
    silent = ", silent " + scores["days_since_last"].astype("int64").astype(str) + " days"
    back = stake == "win_back_value"
    rhythm = ("bought" if back else "buys") + " every " + every + " days"
    rhythm = rhythm.where(scores["frequency"] > 0, "bought once")
    value = scores[stake] / (1.0 - scores["p_alive"]) if back else scores["clv"]
    worth = value.fillna(0).round().astype("int64").map("{:,}".format).astype("str")
    days = scores["value_horizon_days"].astype("int64")
    span = ("in " + days.astype(str) + " days").where(~days.between(360, 370), "a year")
    said = ", if back worth " if back else ", worth "
    return rhythm + silent + said + worth + " " + span
