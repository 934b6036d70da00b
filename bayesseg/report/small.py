"""Cells of too few customers, hidden before anything is drawn or written."""

from __future__ import annotations

import re
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
_OF_THE_FILE = ("encoding_assumed", "id_numbers", "currency_converted", "date_gap")
"""Codes of findings that are about no row."""
_FEW = re.compile(r"(?<![\w.,'-])(?:[1-9]|10)(?![\w%-]|[.,]\d)")
"""A whole number from 1 to 10."""


def told_safely(accounting: Mapping[str, Any]) -> dict[str, Any]:
    """The accounting of a log as a report without ids may tell it: nothing of fewer than 11 rows.

    Reasons that left out so few are ``others``, measures of so few are null, findings about so few are
    counted as ``findings_untold``. No finding has example rows, and the largest row has no share.
    """
    findings: Sequence[Mapping[str, Any]] = accounting.get("findings", ())
    told = [one for one in findings if _tellable(one, accounting)]
    safe = {name: value for name, value in accounting.items() if name != "dialect"} | {
        "findings": [{k: v for k, v in one.items() if k != "records"} for one in told],
        "findings_untold": len(findings) - len(told),
    }
    if rows := accounting.get("rows"):
        own: Mapping[str, int] = rows.get("excluded", {})
        few = sum(n for n in own.values() if n < SMALLEST)
        many = {name: n for name, n in own.items() if n >= SMALLEST}
        safe["rows"] = {**rows, "excluded": {**many, **({"others": few} if few else {})}}
    if quality := accounting.get("quality"):
        amounts = dict(quality.get("amounts", {}))
        amounts.pop("largest_share", None)
        safe["quality"] = _measured({**quality, "amounts": amounts})
    if policies := accounting.get("policies"):
        lists = ("suppress_list", "ids_kept")
        short = [name for name in lists if 0 < (policies.get(name) or 0) < SMALLEST]
        safe["policies"] = {**policies, **dict.fromkeys(short)}
    if customers := accounting.get("customers"):
        safe["customers"] = _measured(customers)
    return safe


def _tellable(finding: Mapping[str, Any], accounting: Mapping[str, Any]) -> bool:
    if finding.get("code") == "volume_odd":
        weeks = accounting["quality"]["time"]["odd_weeks"]
        return all(min(one["rows"], one["usual"]) >= SMALLEST for one in weeks)
    small = finding.get("count", SMALLEST) < SMALLEST or _FEW.search(str(finding.get("message")))
    return finding.get("code") in _OF_THE_FILE or not small


_COUNTS = ("rows", "missing", "failing", "customers", "no_purchase_left")


def _measured(value: Any) -> Any:
    """Measures, without the numbers of those that count fewer than 11."""
    if isinstance(value, list):
        return [_measured(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    counts = [value[name] for name in _COUNTS if isinstance(value.get(name), int)]
    few = any(0 < n < SMALLEST for n in counts)
    return {
        name: None if few and isinstance(one, int | float) else _measured(one)
        for name, one in value.items()
    }


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
