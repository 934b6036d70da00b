"""Whom to turn to first: the save list and the win-back list.

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


def facts_of(scores: pd.DataFrame, stake: str = "value_at_risk") -> pd.DataFrame:
    """The numbers that say why a customer is listed, whole, in the order of ``scores``.

    Returns:
        ``once`` (bool: bought once only), ``gap`` (usual days between purchases, at least 1),
        ``silent`` (days since the last purchase), ``worth`` (currency within ``span`` days; on the
        win-back list that of a customer who is back: the value without the probability of being gone).
    """
    back = stake == "win_back_value"
    worth = scores[stake] / (1.0 - scores["p_alive"]) if back else scores["clv"]
    return scores[[]].assign(
        once=scores["frequency"] == 0,
        gap=scores["typical_gap_days"].round().clip(lower=1).astype("int64"),
        silent=scores["days_since_last"].astype("int64"),
        worth=worth.fillna(0).round().astype("int64"),
        span=scores["value_horizon_days"].astype("int64"),
    )


def yearly(span: pd.Series) -> pd.Series:
    """Whether a span of days is called a year."""
    return span.between(360, 370)


def reasons(scores: pd.DataFrame, stake: str = "value_at_risk") -> pd.Series:
    """Why a customer is listed: "buys every 24 days, silent 51 days, worth 310 a year"."""
    facts, back = facts_of(scores, stake), stake == "win_back_value"
    gap = _days(facts["gap"]).where(facts["gap"] > 1, "day")
    rhythm = ("bought every " if back else "buys every ") + gap
    rhythm = rhythm.where(~facts["once"], "bought once")
    silent = ", silent " + _days(facts["silent"])
    worth = facts["worth"].map("{:,}".format).astype("str")
    span = ("in " + facts["span"].astype("str") + " days").where(~yearly(facts["span"]), "a year")
    return rhythm + silent + (", if back worth " if back else ", worth ") + worth + " " + span


def _days(count: pd.Series) -> pd.Series:
    """``1 day``, ``51 days``."""
    return (count.astype("str") + " days").where(count != 1, "1 day")
