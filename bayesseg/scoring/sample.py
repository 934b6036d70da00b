"""A sample of customers that is the same in any order, cut and engine: those of the lowest keys. L7."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg._random import customer_keys
from bayesseg._types import IntArray
from bayesseg.customers import Attributes, Customers

SAMPLE = 50_000
"""Customers by whom the top tenth and the medians of a large file are known."""


def lowest(ids: npt.NDArray[Any], seed: int, count: int = SAMPLE) -> IntArray:
    """Places of the ``count`` customers with the smallest keys, ascending; all where there are no more.

    Those of a file are the lowest among the lowest of its parts; most stay when others come. Equal
    keys of different ids, which 64 bits make next to impossible, go by id.
    """
    if len(ids) <= count:
        return np.arange(len(ids))
    keys = customer_keys(ids, seed)
    last = np.partition(keys, count - 1)[count - 1]
    below, equal = np.flatnonzero(keys < last), np.flatnonzero(keys == last)
    equal = equal[np.argsort(ids[equal], kind="stable")][: count - len(below)]
    return np.sort(np.concatenate([below, equal]))


def sample_of(
    data: Customers | Attributes, seed: int, count: int = SAMPLE
) -> Customers | Attributes:
    """The customers of the lowest keys, in the order in which they stand."""
    return data if len(data) <= count else data.take(lowest(data.ids, seed, count))
