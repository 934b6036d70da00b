"""Probabilistic customer segmentation: segments, churn and value with honest intervals.

The names below load on first use, so that ``import bayesseg`` and ``bayesseg --help`` stay fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayesseg.api import (
        Attributes,
        Check,
        Customers,
        Posterior,
        Scores,
        check,
        days,
        fit,
        load,
        read_attributes,
        read_summary,
        save,
        score,
        summarise,
        to_datatree,
    )

__all__ = [
    "Attributes",
    "Check",
    "Customers",
    "Posterior",
    "Scores",
    "check",
    "days",
    "fit",
    "load",
    "read_attributes",
    "read_summary",
    "save",
    "score",
    "summarise",
    "to_datatree",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("bayesseg.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
