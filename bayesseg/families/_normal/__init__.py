"""Blocks of number columns: normal or Student-t, correlated or not. L4.

A kind of covariance is an entry of ``KINDS``: compiled kernels over rows (``independent``,
``correlated``) and a conjugate law of means and spreads (``conjugate``); ``tails`` makes it Student's t.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import ModuleType

import numpy as np

from bayesseg.families._blocks import Block, Numbers, Params
from bayesseg.families._normal import conjugate, correlated, independent
from bayesseg.families._normal.conjugate import Law
from bayesseg.families._normal.tails import DEGREES, with_tails

__all__ = ["DEGREES", "KINDS", "block"]

KINDS: Mapping[str, tuple[ModuleType, Law]] = {
    "full": (correlated, conjugate.correlated(None)),
    "tied": (correlated, conjugate.correlated(1)),
    "diag": (independent, conjugate.independent(None)),
    "spherical": (independent, conjugate.independent(2)),
}
"""Covariance of the number features within a segment: kernels, and the law of means and spreads."""


def block(kind: str, columns: slice, prior: Numbers) -> Block:
    """Number columns of one kind of covariance.

    Args:
        kind: a key of ``KINDS``.
        columns: where they stand in the matrix.
        prior: ``mean`` with ``sd``, or for ``full`` with ``kappa``; ``extra_df`` and ``scale`` of
            IG((1 + extra_df)/2, scale/2) variances or IW(D + extra_df, scale I) covariances; ``df`` of
            Student's t, a number or "learn".
    """
    kernels, law = KINDS[kind]
    width = columns.stop - columns.start

    def start(starts: int, components: int, prior: Numbers) -> Params:
        shape, unit = (starts, components), law.unit(width)
        mean = np.full((*shape, width), float(prior["mean"]))
        return mean, np.broadcast_to(unit, (*shape, *unit.shape)).copy()

    return with_tails(
        Block(
            ("mean", law.spread),
            columns,
            prior,
            kernels.prepare,
            kernels.loglik,
            kernels.expected,
            kernels.drawn,
            partial(conjugate.draw, law),
            partial(conjugate.mode, law),
            partial(conjugate.log_prior, law),
            start,
            tail=kernels.tail,
            patterned=kernels is correlated,
        )
    )
