"""The sections of the page, in order. One line adds one."""

from __future__ import annotations

from collections.abc import Callable

from bayesseg.report.blocks import Context, Section
from bayesseg.report.sections import (
    baseline,
    customers,
    data,
    forecasts,
    limits,
    model,
    portrait,
    reproduce,
    rivals,
    sampling,
    segments,
    verdict,
)

SECTIONS: tuple[Callable[[Context], Section | None], ...] = (
    verdict.section,
    segments.section,
    portrait.section,
    rivals.section,
    customers.section,
    forecasts.section,
    baseline.section,
    data.section,
    sampling.section,
    model.section,
    limits.section,
    reproduce.section,
)
"""Each says nothing (None) where the model lacks what it is about."""
