"""One row a customer, as the destination holds it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bayesseg._types import Array
from bayesseg.errors import ArtefactBad, InputRejected, UsageError
from bayesseg.feed.rounding import scale_of
from bayesseg.scoring.table import unit_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = (
    "customer_id",
    "segment",
    "segment_probability",
    "p_churn",
    "expected_purchases",
    "clv",
    "clv_pred_lo",
    "clv_pred_hi",
    "value_at_risk",
    "risk_tier",
    "value_band",
    "holdout",
    "model_id",
    "verdict",
    "scored_at",
)
"""What a feed holds where the model has it, in this order."""
TIERS = {"low": -np.inf, "medium": 0.33, "high": 0.66}
"""From which ``p_churn`` on a customer is in each tier."""
_EDGES = np.array([digit * 10.0**power for power in range(15) for digit in (1, 2, 5)])
BANDS = (
    "under 1",
    *(f"{low:.0f} to {high:.0f}" for low, high in pairwise(_EDGES)),
    f"{_EDGES[-1]:.0f} and more",
)
"""The values of ``value_band``, lowest first; a spreadsheet would take 2-5 for a day in May."""
_QUIET = (
    "clv_pred_lo",
    "clv_pred_hi",
    "purchases_pred_lo",
    "purchases_pred_hi",
    "p_top_decile",
    "model_id",
    "scored_at",
)
"""Told with a row and no reason to tell it again: where it comes from, and what is read off simulated
futures (which alone would be news of half the customers every day)."""
FOLLOWS = {
    "risk_tier": "p_churn",
    "value_band": "clv",
    "segment_name": "segment",
    "segment_probability": "segment",
}
"""What stands as still as another column does, and needs it for that."""
_LIKELIER = 0.05
"""A segment stays while no other is likelier by more than this."""


def feed(
    scores: pd.DataFrame,
    document: Mapping[str, Any],
    before: pd.DataFrame | None = None,
    *,
    exact: bool = False,
    holdout: NDArray[np.bool_] | None = None,
    columns: Iterable[str] = COLUMNS,
) -> pd.DataFrame:
    """What the destination is told: a pure function of the scores and of what it was told ``before``.

    Numbers stand on a grid (see ``rounding``). A row that was told before stays as it was, its
    ``model_id`` and ``scored_at`` included, until one of its numbers is more than a step from where it
    is shown, or its segment, holdout or verdict is another; then all of it is told anew, each number
    as the nearest point. So a row is of one scoring, a refit is no news of a customer whose numbers it
    leaves, and however long a row stands, a probability in it is within 0.05 of the last scores, money
    and purchases within 13 % (or 1 of the currency, 0.01 purchases). What is read off simulated futures
    (``clv_pred_lo``, ``clv_pred_hi``, ``purchases_pred_lo``, ``purchases_pred_hi``, ``p_top_decile``) is
    another number every day: it is told with a row, is no reason to tell it, and how far it may lag
    behind the last scores has no bound.

    A segment stays while no other is likelier by more than 0.05, and the probability is that of the
    segment shown.

    ``risk_tier`` follows the ``p_churn`` that is shown (low, from 0.33 medium, from 0.66 high), and
    ``value_band`` the ``clv`` that is shown ("200 to 500"): they stand as still as it does.

    Args:
        scores: a score table, rows in any order.
        document: what is written beside it.
        before: an earlier feed: what the destination holds. None where it is empty.
        exact: the numbers as they are, whatever was told before.
        holdout: whether each row of ``scores`` is held out of a campaign, (N,), where it is no column
            of theirs.
        columns: what it holds: of ``COLUMNS`` those that the model has, and others of the score table:
            ``segment_name`` and numbers that have a scale; with ``exact`` any.

    Returns:
        One row a customer, sorted by id, in the order of ``COLUMNS`` and then of ``columns``; beside
        them the id, ``scored_at``, and what another column follows (``p_churn`` for ``risk_tier``).
        What is unknown or withheld is null (NaN in a column of numbers), and nothing is infinite.

    Raises:
        UsageError: one of ``columns`` is not there, or moves every night (a rank, days since).
        InputRejected: an id is missing or there twice.
        ArtefactBad: ``before`` has no ids, or one twice.
    """
    ids = scores["customer_id"]
    if ids.isna().any() or not ids.is_unique:
        raise InputRejected(
            "an id of these scores is missing or there twice: a destination cannot tell them apart",
            fix="score again",
        )
    wanted = _wanted(scores, columns, exact=exact)
    given = scores if holdout is None else scores.assign(holdout=holdout)
    given = given.sort_values("customer_id", kind="stable", ignore_index=True)
    names = [name for name in wanted if name in given]
    if exact or before is None:
        return _derived({name: _shown(given[name], exact=exact) for name in names}, wanted)
    old, known = aligned(before, given["customer_id"])
    given = _settled(given, document, old)
    fresh = {name: _shown(given[name]) for name in names}
    kept = {name: _shown(old[name]) if name in old else fresh[name] for name in names}
    told = ~known
    for name in names:
        scale = scale_of(unit_of(name))
        if name not in old:
            told |= True
        elif name in _QUIET:
            told |= differ(fresh[name].isna(), kept[name].isna())
        elif scale is not None:
            told |= scale.left(_numbers(given[name]), _numbers(kept[name]))
        else:
            told |= differ(fresh[name], kept[name])
    return _derived({name: fresh[name].where(told, kept[name]) for name in names}, wanted)


def _wanted(scores: pd.DataFrame, columns: Iterable[str], *, exact: bool) -> tuple[str, ...]:
    """The columns of the feed, in order, with those that they follow."""
    columns = tuple(columns)
    also = [name for name in columns if name not in COLUMNS]
    for name in also:
        if name not in scores or name == "flags":
            raise UsageError(
                f"these scores have no column {name!r} that can be sent",
                fix=f"columns: {', '.join(str(c) for c in scores if c != 'flags')}",
            )
        if not exact and name != "segment_name" and scale_of(unit_of(name)) is None:
            raise UsageError(
                f"the column {name!r} is not rounded: it would be news of everybody every night",
                fix="leave it out, or give --exact",
            )
    asked = {"customer_id", "scored_at", *columns}
    asked |= {of for name, of in FOLLOWS.items() if name in asked}
    return (*(name for name in COLUMNS if name in asked), *dict.fromkeys(also))


def aligned(before: pd.DataFrame, ids: pd.Series) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """What was told before of each of ``ids``, and of whom something was."""
    if "customer_id" not in before or not before["customer_id"].is_unique:
        raise ArtefactBad(
            "the earlier feed has no customer_id, or one of them twice",
            fix="give a feed.parquet written by bayesseg export",
        )
    at = pd.Index(before["customer_id"].astype("str")).get_indexer(pd.Index(ids))
    old = before.reset_index(drop=True).reindex(at).reset_index(drop=True)
    return old.assign(customer_id=ids), at >= 0


def _settled(given: pd.DataFrame, document: Mapping[str, Any], old: pd.DataFrame) -> pd.DataFrame:
    """The scores, each customer in the segment it was told while that is nearly the likeliest."""
    segments = [s for s in document.get("segments") or () if f"membership_{s['id']}" in given]
    if not segments or "segment" not in old:
        return given
    names = pd.Index([s["id"] for s in segments])
    share = given[[f"membership_{name}" for name in names]].to_numpy(np.float64)
    was, rows = names.get_indexer(pd.Index(old["segment"])), np.arange(len(given))
    stays = (was >= 0) & (share[rows, was] >= share.max(axis=1) - _LIKELIER)
    stays &= given["segment"].notna().to_numpy()
    changed = {
        "segment": names.to_numpy()[was],
        "segment_name": np.array([s["name"] for s in segments], dtype=object)[was],
    }
    for end in ("", "_lo", "_hi"):
        ends = [f"membership_{name}{end}" for name in names]
        if f"segment_probability{end}" in given and set(ends) <= set(given):
            changed[f"segment_probability{end}"] = given[ends].to_numpy(np.float64)[rows, was]
    return given.assign(
        **{name: given[name].where(~stays, v) for name, v in changed.items() if name in given}
    )


def _shown(column: pd.Series, *, exact: bool = False) -> pd.Series:
    """A column as it is told: numbers on their grid, finite or null, text as text, times in UTC."""
    if unit_of(str(column.name)):
        raw = _numbers(column)
        scale = None if exact else scale_of(unit_of(str(column.name)))
        return pd.Series(raw if scale is None else scale.rounded(raw), name=column.name)
    if column.name == "scored_at":
        return pd.to_datetime(column, utc=True).astype("datetime64[s, UTC]")
    return column.astype("boolean" if column.name == "holdout" else "str")


def _numbers(column: pd.Series) -> Array:
    """The numbers of a column, NaN where there is none."""
    values = pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def differ(one: pd.Series, other: pd.Series) -> NDArray[np.bool_]:
    """Where two columns say something else, (N,); null is equal to null."""
    same = (one == other).fillna(False).to_numpy(dtype=bool)
    return ~(same | (one.isna() & other.isna()).to_numpy(dtype=bool))


def _derived(columns: Mapping[str, pd.Series], wanted: Sequence[str]) -> pd.DataFrame:
    """The feed, with tier and band as the numbers that are shown give them."""
    found = dict(columns)
    if "p_churn" in found and "risk_tier" in wanted:
        found["risk_tier"] = _in_words(found["p_churn"], [*TIERS.values()], [*TIERS])
    if "clv" in found and "value_band" in wanted:
        found["value_band"] = _in_words(found["clv"], [-np.inf, *_EDGES], BANDS)
    return pd.DataFrame({name: found[name] for name in wanted if name in found})


def _in_words(column: pd.Series, edges: Sequence[float], words: Sequence[str]) -> pd.Series:
    """The word of each number: the last whose edge it reaches; null stays null."""
    values = column.to_numpy(np.float64)
    code = np.searchsorted(np.asarray(edges), values, side="right") - 1
    code = np.where(np.isnan(values), len(words), code)
    return pd.Series(np.array([*words, None], dtype=object)[code], dtype="str")
