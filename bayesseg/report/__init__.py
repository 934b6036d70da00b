"""The offline report: one page for people, the same numbers for programs. L9."""

from bayesseg.report.page import Page, build

__all__ = ["Page", "build"]
