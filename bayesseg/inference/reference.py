"""The value and slope of a family's readable likelihood, by automatic differentiation. L5."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytensor
import pytensor.tensor as pt

from bayesseg._types import Array, Columns, Family


def reference(
    family: Family, theta: Mapping[str, Array], columns: Columns
) -> list[tuple[float, Array]]:
    """Total log-likelihood and its gradient in the textbook parameters, at each of S points.

    Args:
        family: with a ``logp``.
        theta: textbook parameters, each (S,).
        columns: what the family reads, each (N,).
    """
    assert family.logp is not None
    vector = pt.dvector()
    values = {name: vector[i] for i, name in enumerate(family.textbook)}
    total = family.logp(values, {n: pt.constant(columns[n]) for n in family.columns}).sum()
    # Python takes a minute for the slopes of 2F1, and one rewrite fails on them
    mode = pytensor.compile.mode.get_mode("NUMBA").excluding("fusion", "split_2f1grad_loop")
    evaluate = pytensor.function([vector], [total, pt.grad(total, vector)], mode=mode)
    points = np.stack([theta[name] for name in family.textbook], axis=1)
    return [(float(value), np.asarray(slope)) for value, slope in map(evaluate, points)]
