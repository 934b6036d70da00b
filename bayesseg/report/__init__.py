"""The offline report: one page for people, the same numbers for programs. L9."""

from bayesseg.report.blocks import Beside
from bayesseg.report.page import Page, build

__all__ = ["Beside", "Page", "build"]
