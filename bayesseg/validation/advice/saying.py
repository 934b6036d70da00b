"""One finding, and how its numbers are written. L8."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LEVELS = ("caution", "note", "good")


@dataclass(frozen=True, slots=True)
class Advice:
    """One finding: ``level`` is ``"caution"``, ``"note"`` or ``"good"``; ``fix`` says what to do."""

    name: str
    level: str
    says: str
    fix: str


def signed(value: float) -> str:
    """``+0.21``."""
    return f"{value:+.2f}".replace("-", "−")


def percent(value: float | None) -> str:
    """``+42 %`` of a share; an en dash where there is none."""
    if value is None:
        return "–"
    return f"{100 * value:+.0f}%".replace("-", "−").replace("+0%", "0%").replace("−0%", "0%")


def percents(found: Sequence[float]) -> str:
    """``+42%, 0% and −20%``."""
    return listed([percent(one) for one in found])


def listed(words: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def p_value(value: float) -> str:
    """``= 0.012``."""
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"
