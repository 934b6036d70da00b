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
            gone[name] = _without_dominance(scores, segments, name, sizes, small)
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


def _without_dominance(
    scores: pd.DataFrame,
    segments: Sequence[Mapping[str, Any]],
    name: str,
    sizes: Array,
    small: npt.NDArray[np.bool_],
) -> npt.NDArray[np.bool_]:
    """Segments whose money is hidden, (K,): no customer has nearly all of what is missing."""
    value = np.nan_to_num(scores[name].to_numpy(float))
    columns = [f"membership_{one['id']}" for one in segments]

    def dominated(cells: npt.NDArray[np.bool_]) -> bool:
        held = np.zeros(len(value))
        for k in np.flatnonzero(cells):  # the money of one customer, by mean memberships
            held += value * scores[columns[k]].to_numpy(float) if columns[k] in scores else value
        return bool(held.max(initial=0.0) > DOMINANT * held.sum())

    alone = [dominated(cell) for cell in np.eye(len(segments), dtype=bool)]
    return hidden(sizes, small | np.array(alone), dominated)
