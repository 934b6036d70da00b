"""What the numbers of a validation mean and what to do about them, in words. L8.

Pure functions from a document (``document.py``) to sentences; each returns None where its numbers
are absent or give no reason to speak.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bayesseg.validation.advice.attributes import attributes
from bayesseg.validation.advice.data import early, identification, independence, regime, timing
from bayesseg.validation.advice.forecasters import benchmarks, calibration, preference
from bayesseg.validation.advice.saying import LEVELS, Advice
from bayesseg.validation.advice.totals import between_cuts, season, totals
from bayesseg.validation.comparison import Document

__all__ = ["FINDINGS", "LEVELS", "Advice", "advise"]

FINDINGS: Sequence[Callable[[Document], Advice | None]] = (
    between_cuts,
    season,
    preference,
    benchmarks,
    calibration,
    attributes,
    identification,
    independence,
    timing,
    early,
    regime,
)


def advise(document: Document) -> tuple[Advice, ...]:
    """Everything there is to say, the verdict on the totals first, then cautions, notes, the rest."""
    first = [totals(document, what) for what in ("purchases", "spend")]
    rest = [find(document) for find in FINDINGS]
    found = [one for one in rest if one is not None]
    return (
        *(one for one in first if one is not None),
        *sorted(found, key=lambda one: LEVELS.index(one.level)),
    )
