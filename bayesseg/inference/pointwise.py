"""The log-likelihood of each row at each draw, from a family's readable reference. L5."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

from bayesseg._types import Array, Columns, Family

_CELLS = 2_000_000


def pointwise(family: Family, theta: Mapping[str, Array], columns: Columns) -> Array:
    """Log-likelihood of each customer's history, shape (S, N).

    Args:
        family: with a ``logp``.
        theta: textbook parameters, each (S,).
        columns: what the family reads, each (N,).
    """
    evaluate = _readable(family.logp, family.textbook, family.columns)
    values = [np.asarray(theta[name], dtype=np.float64)[:, None] for name in family.textbook]
    own = [np.asarray(columns[name], dtype=np.float64)[None, :] for name in family.columns]
    step = max(1, _CELLS // len(values[0]))
    pieces = [
        evaluate(*values, *(column[:, start : start + step] for column in own))
        for start in range(0, own[0].shape[1], step)
    ]
    return np.concatenate(pieces, axis=1)


@lru_cache(maxsize=8)
def _readable(logp: Any, textbook: tuple[str, ...], columns: tuple[str, ...]) -> Any:
    draws = {name: pt.dcol(name) for name in textbook}
    rows = {name: pt.drow(name) for name in columns}
    # interpreted: NumPy is as fast as compiled code on whole arrays
    return pytensor.function(
        [*draws.values(), *rows.values()],
        logp(draws, rows),
        mode=pytensor.compile.mode.Mode(linker="py", optimizer="fast_compile"),
    )
