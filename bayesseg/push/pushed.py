"""What a destination said of what was sent. L10."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pushed:
    """Rows by what became of them; ``refused`` has the id and the destination's reason of each.

    ``unchanged`` is 0 where a destination does not tell: Salesforce and HubSpot call every row that was
    there updated. ``gone`` are rows marked inactive, for their customers have left the scores;
    ``removed`` are rows deleted, for their customers objected or were erased. ``overruled`` has the code
    and the words of each check that refused and was forced.
    """

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: tuple[tuple[str, str], ...] = ()
    gone: int = 0
    removed: int = 0
    overruled: tuple[tuple[str, str], ...] = ()

    def __add__(self, other: Pushed) -> Pushed:
        return Pushed(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.refused + other.refused,
            self.gone + other.gone,
            self.removed + other.removed,
            self.overruled + other.overruled,
        )

    @property
    def written(self) -> int:
        """Rows that had to be touched."""
        return self.inserted + self.updated + self.gone + self.removed
