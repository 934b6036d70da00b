"""The page of ``bayesseg validate``: forecasts against what came. L9."""

from bayesseg.report.validation.page import build, numbers

__all__ = ["build", "numbers"]
