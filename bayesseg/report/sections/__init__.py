"""The sections of the page, in order. One line adds one."""

from __future__ import annotations

from collections.abc import Callable

from bayesseg.report.blocks import Context, Section
from bayesseg.report.sections import (
    baseline,
    customers,
    data,
    fit,
    forecasts,
    limits,
    model,
    portrait,
    record,
    reproduce,
    rivals,
    sampling,
    segments,
    stability,
    verdict,
)

SECTIONS: tuple[Callable[[Context], Section | None], ...] = (
    verdict.section,
    data.section,
    segments.section,
    portrait.section,
    rivals.section,
    customers.section,
    forecasts.section,
    record.section,
    fit.section,
    sampling.section,
    stability.section,
    baseline.section,
    model.section,
    limits.section,
    reproduce.section,
)
"""Each says nothing (None) where the model lacks what it is about."""
