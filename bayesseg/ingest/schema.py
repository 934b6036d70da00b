"""What the columns of a table of clients are: numbers, levels, days or names, and which say the same."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

MOST_LEVELS = 50
"""A text with more levels is no category."""
COLLINEAR = 0.95
"""Correlation from which on two columns are named as saying the same."""
_GRADES = 10
_OWN = 0.9
_DAY = re.compile(r"\d{4}-\d\d?-\d\d?([T ].*)?|\d\d?[./-]\d\d?[./-]\d{4}( .*)?")
_MOST_PAIRS = 20

KINDS: Mapping[str, str] = {
    "number": "a measurement",
    "binary": "0 or 1",
    "ordinal": f"3 to {_GRADES} whole numbers, which may be grades",
    "category": f"2 to {MOST_LEVELS} texts",
    "date": "days, written out",
    "id": "a text for nearly each row: a name or an id",
    "text": f"more than {MOST_LEVELS} texts",
    "constant": "one value or none: says nothing",
}
"""What a column can be taken for."""


def schema(columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """What each column is taken for, and which numbers go together (JSON-able, no values).

    Returns:
        ``columns``: ``kind`` (see ``KINDS``), ``distinct`` values and ``missing`` ones, by name;
        ``collinear``: ``columns`` (two names) and ``correlation`` (Pearson, of rows that have both)
        of at least 0.95 in size, the 20 closest.
    """
    found = {name: _column(values) for name, values in columns.items()}
    measured = {n: columns[n] for n, one in found.items() if one["kind"] in _MEASURED}
    return {"columns": found, "collinear": _collinear(measured)}


_MEASURED = ("number", "binary", "ordinal")


def _column(values: npt.NDArray[Any]) -> dict[str, Any]:
    levels = pd.Series(values).dropna()
    different = levels.unique()
    kind = _of_numbers(different) if values.dtype != object else _of_texts(different, len(levels))
    return {
        "kind": kind if len(different) > 1 else "constant",
        "distinct": len(different),
        "missing": len(values) - len(levels),
    }


def _of_numbers(different: npt.NDArray[Any]) -> str:
    if np.isin(different, (0.0, 1.0)).all():
        return "binary"
    whole = len(different) <= _GRADES and bool((different == np.round(different)).all())
    return "ordinal" if whole and len(different) > 2 else "number"


def _of_texts(different: npt.NDArray[Any], rows: int) -> str:
    if all(_DAY.fullmatch(text) for text in different):
        return "date"
    if len(different) > max(_GRADES, _OWN * rows):
        return "id"
    return "category" if len(different) <= MOST_LEVELS else "text"


def _collinear(columns: Mapping[str, npt.NDArray[Any]]) -> list[dict[str, Any]]:
    if len(columns) < 2:
        return []
    names = list(columns)
    together = pd.DataFrame(dict(columns)).corr(min_periods=3).to_numpy()
    first, second = np.nonzero(np.triu(np.abs(together) >= COLLINEAR, 1))
    closest = np.argsort(-np.abs(together[first, second]), kind="stable")[:_MOST_PAIRS]
    return [
        {
            "columns": [names[first[i]], names[second[i]]],
            "correlation": float(together[first[i], second[i]]),
        }
        for i in closest
    ]
