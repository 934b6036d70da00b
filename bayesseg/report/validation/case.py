"""What the sections of the validation page read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bayesseg.report.words import NOTHING, Words
from bayesseg.validation.advice import Advice
from bayesseg.validation.comparison import Document


@dataclass(frozen=True, slots=True)
class Case:
    """A validation, what it means and the language to say it in."""

    document: Document
    advice: tuple[Advice, ...]
    words: Words
    command: tuple[str, ...]

    @property
    def last(self) -> Mapping[str, Any]:
        """The newest origin, of which single customers are shown."""
        return dict(self.document["origins"][-1])

    def families(self) -> list[Mapping[str, Any]]:
        """The rows of the families at the newest origin, the model's own first."""
        return [row for row in self.last["rows"] if row["kind"] == "family"]

    def signed(self, share: float | None) -> str:
        """``+12%``."""
        if share is None:
            return NOTHING
        return ("+" if share > 0 else "−" if share < 0 else "") + self.words.percent(abs(share))

    def decimals(self, value: float | None, places: int = 3) -> str:
        """A score with a fixed number of decimals."""
        return NOTHING if value is None else self.words.fixed(value, places)
