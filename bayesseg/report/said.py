"""Sentences that reach the report from below in English, known by their shape, in another language.

Gates, findings and advice are words before they reach a page, and stored runs hold them. So
``locale/LANGUAGE.said.toml`` maps the shape of each to its translation, as catalogues of messages do::

    "the data hardly inform {name} (posterior sd is {ratio} of the prior's)" = "..."

A blank takes what stands there and translates it in turn; numbers and days are written anew.
``{x!s}`` is somebody's own words, kept as they are; ``{x!a}`` is a list, "a, b and c"; ``{x!r}`` is one
word or number.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Formatter
from typing import Any

_SEGMENT = re.compile(r"((?:S\d+[ab_S\d]*)(?: \+ S\d+[ab_S\d]*)*) (.+)", re.DOTALL)
_DAY = r"(?<![\w-])\d{4}-\d\d-\d\d(?![\w-])"
_NUMBER = r"(?<![\w.,])-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e-?\d+)?%?(?![\w]|\.\d)"
_FIGURES = re.compile(f"({_DAY})|({_NUMBER})")
_LIST = re.compile(r"(, and |, | and )")


@dataclass(frozen=True, slots=True)
class Phrase:
    """The shape of a sentence, the kind of each of its blanks, and its translation."""

    shape: re.Pattern[str]
    kinds: Mapping[str, str | None]
    text: str
    literal: int


@dataclass(frozen=True, slots=True)
class Marks:
    """How a language writes a number and a day that English wrote, "and", and the mark between parts."""

    number: Callable[[str], str]
    day: Callable[[str], str]
    also: str
    part: str


def translated(phrases: Sequence[Phrase], text: str, marks: Marks) -> str | None:
    """``text`` by the first of the ``phrases`` that has its shape; None where none has."""
    for phrase in phrases:
        if found := phrase.shape.fullmatch(text):
            blanks = {
                name: _filled(phrases, value, phrase.kinds[name], marks)
                for name, value in found.groupdict().items()
            }
            return phrase.text.format(**blanks)
    return None


def _filled(phrases: Sequence[Phrase], value: str, kind: str | None, marks: Marks) -> str:
    """What stands in a blank: translated, in pieces where it is a row of things, else its figures."""

    def again(text: str) -> str:
        return _filled(phrases, text, kind, marks)

    if kind == "s" or not value.strip():
        return value
    inner = value.strip()
    if (found := translated(phrases, inner, marks)) is not None:
        return value.replace(inner, found)
    if "; " in value:
        return marks.part.join(map(again, value.split("; ")))
    if segment := _SEGMENT.fullmatch(value):
        return f"{segment[1]} {translated(phrases, segment[2], marks) or segment[2]}"
    pieces = _LIST.split(value)
    if kind == "a" and len(pieces) > 1:
        joints = {", and ": f", {marks.also} ", ", ": ", ", " and ": f" {marks.also} "}
        return "".join(joints.get(piece) or again(piece) for piece in pieces)
    return _FIGURES.sub(lambda m: marks.day(m[1]) if m[1] else marks.number(m[2]), value)


@cache
def read_phrases(language: str) -> tuple[Phrase, ...]:
    """The catalogue of a language, the most literal shapes first; English has none and needs none."""
    place = files("bayesseg.report") / "locale" / f"{language}.said.toml"
    if not place.is_file():
        return ()
    found = _entries(tomllib.loads(place.read_text(encoding="utf-8")))
    return tuple(sorted((_phrase(*one) for one in found), key=lambda one: -one.literal))


def _entries(table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _entries(value)
        else:
            yield key, value


def exactly(english: str, text: str) -> Phrase:
    """A phrase without blanks."""
    return Phrase(
        re.compile(re.escape(english)), {}, text.replace("{", "{{").replace("}", "}}"), len(english)
    )


def _phrase(english: str, text: str) -> Phrase:
    shape, kinds, letters = "", dict[str, str | None](), 0
    for literal, name, _, kind in Formatter().parse(english):
        shape, letters = shape + re.escape(literal), letters + len(literal)
        if name is None:
            continue
        shape += (
            f"(?P={name})" if name in kinds else f"(?P<{name}>{r'\S+' if kind == 'r' else '.*?'})"
        )
        kinds.setdefault(name, kind)
    return Phrase(re.compile(shape, re.DOTALL), kinds, text, letters)
