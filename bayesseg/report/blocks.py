"""What a section is made of: plain values, which the template turns into HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bayesseg.posterior import Posterior
from bayesseg.report.words import Words

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Beside:
    """What other verbs found of the run and its scores, each None where it was not asked.

    Attributes:
        stability: what ``segmentation.stability`` found of the run.
        drift: what ``segmentation.drift`` found of the run and later data.
        listed: the document of a contact list made of the scores.
        record: the entries of the track record, oldest first.
    """

    stability: Mapping[str, Any] | None = None
    drift: Mapping[str, Any] | None = None
    listed: Mapping[str, Any] | None = None
    record: Sequence[Mapping[str, Any]] | None = None


ALONE = Beside()
"""A run and its scores, and nothing else."""


@dataclass(frozen=True, slots=True)
class Context:
    """Everything a section may read. ``tree`` is the posterior as ArviZ takes it."""

    posterior: Posterior
    scores: pd.DataFrame
    document: Mapping[str, Any]
    words: Words
    include_ids: bool
    tree: Any
    beside: Beside = ALONE


@dataclass(frozen=True, slots=True)
class Cell:
    """One table cell: what is read, and what it sorts by.

    ``small`` is a second line, ``heat`` a shade from -4 to 4, ``hint`` what is said on hovering.
    """

    text: str
    sort: float | str | None = None
    small: str = ""
    heat: int = 0
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column head; ``number`` columns are set right, ``wide`` ones may wrap.

    Rows of a sortable table can be chosen by the values of a ``choice``, which are few. The first column
    that is no ``number`` names its row.
    """

    label: str
    number: bool = True
    wide: bool = False
    choice: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table. ``sortable`` ones get buttons in their heads and a filter box."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    id: str = ""
    sortable: bool = False
    sorted_by: int = 0
    kind: str = field(default="table", init=False)


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture under a heading (``minor``: a lower one), its words and its numbers.

    ``of`` is the key of the section's data under which the numbers stand for programs.
    """

    title: str
    src: str
    alt: str
    caption: str
    table: Table | None = None
    minor: bool = False
    of: str = ""
    kind: str = field(default="figure", init=False)


@dataclass(frozen=True, slots=True)
class Text:
    """Paragraphs; ``tone`` is ``""``, ``"note"`` or ``"warn"``."""

    paragraphs: tuple[str, ...]
    tone: str = ""
    kind: str = field(default="text", init=False)


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading inside a section."""

    text: str
    kind: str = field(default="heading", init=False)


@dataclass(frozen=True, slots=True)
class Items:
    """A bulleted list."""

    items: tuple[str, ...]
    kind: str = field(default="items", init=False)


@dataclass(frozen=True, slots=True)
class Formula:
    """Lines of mathematics or shell, kept as they are."""

    lines: tuple[str, ...]
    kind: str = field(default="formula", init=False)


@dataclass(frozen=True, slots=True)
class Fact:
    """A number with its name, its interval and one plain sentence about it."""

    label: str
    value: str
    span: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Headline numbers side by side."""

    facts: tuple[Fact, ...]
    kind: str = field(default="facts", init=False)


@dataclass(frozen=True, slots=True)
class Card:
    """A titled box of facts; ``mark`` picks colour and shape."""

    title: str
    badge: str
    facts: tuple[Fact, ...]
    text: str = ""
    mark: int = 0
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Cards:
    """Cards side by side."""

    cards: tuple[Card, ...]
    kind: str = field(default="cards", init=False)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one part: two sentences and the reasons.

    ``tone`` is ``"passed"``, ``"note"``, ``"caution"`` or ``"failed"``.
    """

    title: str
    tone: str
    computation: str
    forecast: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Judgements:
    """Verdicts of all parts."""

    judgements: tuple[Judgement, ...]
    kind: str = field(default="judgements", init=False)


@dataclass(frozen=True, slots=True)
class Details:
    """Blocks behind a summary line."""

    summary: str
    blocks: tuple[Any, ...]
    kind: str = field(default="details", init=False)


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the page and its numbers, untranslated, for ``report.json``."""

    id: str
    title: str
    lead: str
    blocks: tuple[Any, ...]
    data: Mapping[str, Any]
