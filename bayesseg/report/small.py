"""Cells of too few customers, hidden before anything is drawn or written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bayesseg._types import SMALLEST, Array
from bayesseg.aggregates.cells import hidden

if TYPE_CHECKING:
    import pandas as pd

DOMINANT = 0.85
"""A customer with more than this share of a cell's money can be told from its total."""
MONEY = ("clv", "value_at_risk")
_COUNTED = ("customers", "share", "p_churn", *MONEY)
_DESCRIBED = ("profile", "known", "medians", "levels")


def shown_safely(document: Mapping[str, Any], scores: pd.DataFrame) -> dict[str, Any]:
    """The document of a score file as a report may show it.

    Of segments of fewer than 11 expected customers every number is null; where one customer holds more
    than 85 % of a segment's money, that money is. ``hidden`` says how many cells, and why.
    """
    segments: Sequence[Mapping[str, Any]] = document.get("segments") or ()
    if not segments:
        return dict(document)
    sizes = np.array([one["customers"]["mean"] or 0.0 for one in segments])
    small = hidden(sizes, sizes < SMALLEST)
    gone: dict[str, npt.NDArray[np.bool_]] = dict.fromkeys((*_COUNTED, *_DESCRIBED), small)
    for name in MONEY:
        if name in scores and name in segments[0]:
            gone[name] = hidden(sizes, small | (_largest_share(scores, segments, name) > DOMINANT))
    cleared = [
        {name: _blank(value) if name in gone and gone[name][k] else value for name, value in own}
        for k, own in enumerate(one.items() for one in segments)
    ]
    money = np.any([gone[name] for name in MONEY], axis=0) & ~small
    why = {"small": int(small.sum()), "dominated": int(money.sum())}
    return {**document, "segments": cleared, "hidden": {**why, "smallest": SMALLEST}}


def _blank(value: Any) -> Any:
    """The same shape without a number."""
    if isinstance(value, Mapping):
        return {name: _blank(one) for name, one in value.items()}
    return None


def _largest_share(scores: pd.DataFrame, segments: Sequence[Mapping[str, Any]], name: str) -> Array:
    """Of each segment's money the share of its greatest customer, by mean memberships."""
    value = np.nan_to_num(scores[name].to_numpy(float))
    found = []
    for one in segments:
        column = f"membership_{one['id']}"
        held = value * scores[column].to_numpy(float) if column in scores else value
        found.append(held.max(initial=0.0) / max(held.sum(), np.finfo(float).tiny))
    return np.array(found)
