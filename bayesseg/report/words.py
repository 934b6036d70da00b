"""Words and numbers of one language: every sentence of the page comes from ``locale/``."""

from __future__ import annotations

import datetime as dt
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from bayesseg.errors import UsageError
from bayesseg.report.said import Marks, Phrase, exactly, read_phrases, translated
from bayesseg.segment_map import shown

if TYPE_CHECKING:
    import pandas as pd

NOTHING = "–"
ALL = 0.9995
"""Shares from here on are of all, as far as a percentage shows."""
TINY = 1e-9
"""A probability of nought is one too small for the machine, and is not written as impossible."""


@dataclass(frozen=True, slots=True)
class Words:
    """Sentences by dotted key, and the way this language writes numbers.

    ``currency`` follows every amount of money; an empty one adds nothing. ``phrases`` are the sentences
    that come in English from below.
    """

    texts: Mapping[str, str]
    currency: str = ""
    phrases: tuple[Phrase, ...] = ()

    def __call__(self, key: str, **values: Any) -> str:
        """The sentence at ``key`` with its blanks filled; a missing key is a bug."""
        return self.texts[key].format(**values)

    def has(self, key: str) -> bool:
        """Whether this language has a sentence at ``key``."""
        return key in self.texts

    def said(self, text: str) -> str:
        """A sentence from below in this language; what nobody has translated stays as it is."""
        marks = Marks(
            self._again, self.date, self.texts["marks.also"], self.texts["marks.part"] + " "
        )
        found = translated(self.phrases, text, marks)
        return text if found is None else _unbroken(found, self.texts["marks.spaced"])

    def column(self, texts: pd.Series) -> pd.Series:
        """Reasons of a list in this language; each of their three parts is said but once."""
        if not self.phrases or texts.empty:
            return texts
        parts = texts.str.split(", ", expand=True)
        told = {one: self.said(one) for at in parts for one in parts[at].unique()}
        spoken: pd.DataFrame = parts.apply(lambda part: part.map(told))
        joined: pd.Series = spoken[0].str.cat(spoken[parts.columns[1:]], sep=", ")
        return joined

    def naming(self, segments: Mapping[str, Any] | None) -> Words:
        """These words, which know what the ``segments`` of a manifest are called in this language."""
        if segments is None or not self.phrases:
            return self
        own = [(one.name, one.name_fr) for one in shown(segments)]
        own += [(one.action, one.action_fr) for one in shown(segments)]
        told = (exactly(en, fr.replace("'", "’")) for en, fr in own if en and fr and en != fr)
        return replace(self, phrases=(*told, *self.phrases))

    def called(self, one: Mapping[str, Any]) -> str:
        """A segment by its id and its name: ``S2 loyal``."""
        return f"{one['id']} {self.said(one['name'])}"

    def plural(self, key: str, n: int, **values: Any) -> str:
        """The sentence at ``key.one`` or ``key.many``, as this language counts."""
        singular = str(n) in self.texts["marks.singular"].split()
        return self(f"{key}.{'one' if singular else 'many'}", n=self.count(n), **values)

    def fixed(self, value: float, decimals: int) -> str:
        """A number with that many decimals in this language's marks."""
        text = f"{value:,.{decimals}f}"
        if float(text.replace(",", "")) == 0:
            text = text.lstrip("-")
        marks = {",": self.texts["marks.thousands"], ".": self.texts["marks.decimal"], "-": "−"}
        return "".join(marks.get(letter, letter) for letter in text)

    def count(self, value: Any) -> str:
        """A whole number."""
        return self._or_nothing(value, lambda v: self.fixed(v, 0))

    def number(self, value: Any) -> str:
        """A number to three digits, more where the whole part has more."""
        return self._or_nothing(value, lambda v: self.fixed(v, _decimals(v)))

    def digits(self, value: Any, significant: int = 4) -> str:
        """A parameter to ``significant`` digits."""
        return self._or_nothing(value, lambda v: self.fixed(v, _decimals(v, significant)))

    def plain(self, value: Any) -> str:
        """A number to four digits without trailing zeros: a limit, a tick."""

        def write(v: float) -> str:
            decimals = _decimals(v, 4)
            while decimals and round(v, decimals) == round(v, decimals - 1):
                decimals -= 1
            return self.fixed(v, decimals)

        return self._or_nothing(value, write)

    def percent(self, value: Any) -> str:
        """A share of one as a percentage; one decimal near 0 and 1, where it matters."""

        def write(share: float) -> str:
            if 0 < share < 0.0005:
                return "<" + self("marks.percent", v=self.fixed(0.1, 1))
            edge = 0 < share < 0.01 or 0.99 < share < 0.9995
            return self("marks.percent", v=self.fixed(100 * share, 1 if edge else 0))

        return self._or_nothing(value, write)

    def date(self, iso: str) -> str:
        """A day, given as ``1997-09-30``, as this language writes it; other text as it is."""
        try:
            day = dt.date.fromisoformat(str(iso))
        except ValueError:
            return str(iso)
        month = self.texts["marks.months"].split()[day.month - 1]
        number = self.texts["marks.first"] if day.day == 1 else str(day.day)
        return self("marks.date", day=number, month=month, year=day.year, iso=day.isoformat())

    def tick(self, day: dt.date) -> str:
        """A day on an axis; the first of a month goes without its number."""
        month = self.texts["marks.short_months"].split()[day.month - 1]
        return f"{month} {day.year}" if day.day == 1 else f"{day.day} {month} {day.year}"

    def parts(self, texts: Iterable[str]) -> str:
        """Texts in a row, a semicolon between."""
        return f"{self.texts['marks.part']} ".join(texts)

    def pair(self, head: str, rest: str) -> str:
        """``head: rest``."""
        return self("marks.colon", head=head, rest=rest)

    def money(self, value: Any, beside: float | None = None) -> str:
        """An amount; whole from 100 on, or where the largest amount ``beside`` it is."""

        def write(v: float) -> str:
            return self._coin(self.fixed(v, 0 if max(abs(v), beside or 0.0) >= 100 else 2))

        return self._or_nothing(value, write)

    def interval(
        self, of: Mapping[str, Any] | None, kind: str = "number", apart: float = 0.0
    ) -> str:
        """``{"mean", "lo", "hi"}`` as "12 (9–15)", no finer than its width deserves."""
        mean, span = self.halves(of, kind, apart)
        return f"{mean} ({span})" if span else mean

    def halves(
        self, of: Mapping[str, Any] | None, kind: str = "number", apart: float = 0.0
    ) -> tuple[str, str]:
        """The mean and the span of an interval apart: "12", "9–15"; the span may be empty.

        Where the numbers in one row lie ``apart`` from one another by less than three digits can show,
        there are more of them. Percentages have one decimal at most; an ``index``, which goes from 0
        to 1, always two.
        """
        if of is None:
            return NOTHING, ""
        if any(_missing(of.get(key)) for key in ("lo", "hi")):  # a point estimate has none
            write = {"percent": self.percent, "money": self.money}.get(kind, self.plain)
            return write(of.get("mean")), ""
        if _missing(of.get("mean")):  # it need not exist where quantiles do
            return NOTHING, self.halves({**of, "mean": of["lo"]}, kind, apart)[1]
        scale = 100.0 if kind == "percent" else 1.0
        numbers = [scale * float(of[key]) for key in ("mean", "lo", "hi")]
        if kind == "percent" and (0 <= numbers[1] <= numbers[2] < 0.05 or numbers[1] >= 99.95):
            return self.percent(of["hi"] or TINY), ""
        places = _places(numbers[2] - numbers[1], numbers[0], scale * apart)
        places = 2 if kind == "index" else min(places, 1) if kind == "percent" else places
        if kind != "index" and not any(round(number, places) for number in numbers):
            places = 0
        mean, lo, hi = (self.fixed(number, places) for number in numbers)
        if kind == "percent":
            mean, hi = self("marks.percent", v=mean), self("marks.percent", v=hi)
        if kind == "money":
            mean = self._coin(mean)
        return mean, self("marks.span", lo=lo, hi=hi)

    def _again(self, number: str) -> str:
        """A number that English marks were put into."""
        marks = {",": self.texts["marks.thousands"], ".": self.texts["marks.decimal"], "-": "−"}
        text = "".join(marks.get(letter, letter) for letter in number.removesuffix("%"))
        return self("marks.percent", v=text) if number.endswith("%") else text

    def _coin(self, text: str) -> str:
        return f"{text}\u00a0{self.currency}" if self.currency else text

    def _or_nothing(self, value: Any, write: Any) -> str:
        return NOTHING if _missing(value) else str(write(float(value)))


def _missing(value: Any) -> bool:
    return value is None or not math.isfinite(float(value))


def _decimals(value: float, significant: int = 3) -> int:
    if value == 0:
        return 0
    return min(max(0, significant - 1 - math.floor(math.log10(abs(value)))), 6)


def spread(found: Iterable[Mapping[str, Any] | None]) -> float:
    """How far apart the means of intervals lie, from the least to the greatest."""
    means = [float(one["mean"]) for one in found if one is not None and not _missing(one["mean"])]
    return max(means) - min(means) if means else 0.0


def _places(width: float, value: float, apart: float = 0.0) -> int:
    """Decimals at which an interval of that width shows its first digit.

    Never over three digits, or over two of what neighbours lie ``apart`` where that takes more.
    """
    most = max(_decimals(value), _decimals(apart, 2) if apart > 0 else 0)
    return most if width <= 0 else min(max(0, math.ceil(-math.log10(width / 4))), most)


LANGUAGES = ("en", "fr")
"""Languages of ``locale/``."""


def load_words(language: str, currency: str | None = None) -> Words:
    """Read ``locale/LANGUAGE.toml``.

    Raises:
        UsageError: there is no such language.
    """
    if language not in LANGUAGES:
        raise UsageError(
            f"there is no report in {language!r}", fix=f"give --lang {' or '.join(LANGUAGES)}"
        )
    text = (files("bayesseg.report") / "locale" / f"{language}.toml").read_text(encoding="utf-8")
    texts = _flat(tomllib.loads(text))
    spaced = texts["marks.spaced"]
    texts = {key: _unbroken(one, spaced) for key, one in texts.items()}
    return Words(texts, currency or "", read_phrases(language))


def _unbroken(text: str, spaced: str) -> str:
    """No line break between a word and the mark after it, where the language puts a space there."""
    if not spaced:
        return text
    return re.sub(f" (?=[{re.escape(spaced)}])|(?<=«) ", "\u00a0", text)


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = re.sub("[ \n]+", " ", str(value)).strip(" \n")
    return found
