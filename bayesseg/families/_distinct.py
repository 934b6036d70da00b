"""Distinct values and distinct rows, in the order of their values. L4."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg._types import IntArray

_FEW = 4096
"""Values from which a hash table is faster than sorting them."""


def codes(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], IntArray]:
    """Sorted distinct values and the index of each value among them."""
    if len(values) < _FEW:
        found, place = np.unique(values, return_inverse=True)
        return found, place.astype(np.int64)
    from pandas import factorize

    index, known = factorize(values, sort=True, use_na_sentinel=False)
    return np.asarray(known), np.asarray(index, dtype=np.int64)


def distinct(*columns: npt.NDArray[Any]) -> tuple[IntArray, IntArray]:
    """Distinct rows of columns of one length, sorted by the first column, then the next.

    Returns:
        ``(where, index)``: where a row of each kind stands, and the kind of each row.
    """
    key = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        known, index = codes(column)
        key = key * max(len(known), 1) + index
    kinds, index = codes(key)
    where = np.empty(len(kinds), dtype=np.int64)
    where[index] = np.arange(len(index))
    return where, index
