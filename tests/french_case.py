"""What is left of English on a page in French: words that only the English texts know."""

import re
import tomllib
from functools import cache
from html.parser import HTMLParser
from importlib.resources import files

from page_case import pictures

from bayesseg.report.words import load_words

_WORD = re.compile(r"[A-Za-zÀ-ÿœŒ]{2,}")
_QUOTED = re.compile(r"«\s(\w+)\s»")
_NAMES = re.compile(
    r"(?:[\w.]*[\[_][\w\[\], =.-]*)"  # parameters, columns, keys of a model file
    r"|--[a-z-]+(?: [A-Z]+)?|bayesseg \w+|inference\.\w+"  # commands and flags
    r"|\b(?:Gamma|Beta|LogNormal|Normal|HalfNormal|Dirichlet|InverseGamma)\([^)]*\)[\w ]*"  # priors
)


class _Visible(HTMLParser):
    """Texts of a page that people meet, commands, formulas and literature left out."""

    def __init__(self, html):
        super().__init__()
        self.texts, self._hidden = [], 0
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self._hidden += tag in ("style", "script", "pre")
        self.texts += [
            value
            for name, value in attrs
            if name in ("alt", "title", "aria-label", "data-rows", "placeholder") and value
        ]

    def handle_endtag(self, tag):
        self._hidden -= tag in ("style", "script", "pre")

    def handle_data(self, data):
        if not self._hidden:
            self.texts.append(data)


def visible(html):
    """Every text of the page and of its pictures."""
    drawn = [text for svg in pictures(html) for text in re.findall("<!--(.*?)-->", svg, re.DOTALL)]
    return [" ".join(text.split()) for text in (*_Visible(html).texts, *drawn) if text.strip()]


@cache
def english_only():
    """Words of the English texts that no French text has."""
    locale = files("bayesseg.report") / "locale"
    said = _pairs(tomllib.loads((locale / "fr.said.toml").read_text(encoding="utf-8")))
    english = [*_texts("en"), *(one for one, _ in said)]
    french = [*_texts("fr"), *(text for _, text in said)]
    return words_of(english) - words_of(_QUOTED.sub(" ", text) for text in french)


def _texts(language):
    """Sentences of a language; formulas name parameters, which no language has."""
    texts = load_words(language).texts.items()
    return [text for key, text in texts if not key.endswith(".formulas")]


def english_left(html, *, names=()):
    """Texts of the page with an English word in them, the ``names`` of parameters left out."""
    wrong = english_only()
    found = []
    for text in visible(html):
        rest = _QUOTED.sub(lambda own: " " if own[1] in names else own[0], _NAMES.sub(" ", text))
        if text in names or re.fullmatch("[0-9a-f]{40,}", text):
            continue
        if " (19" in rest or " (20" in rest:  # literature keeps the language of its title
            continue
        if left := words_of([rest]) & wrong:
            found.append((text, sorted(left)))
    return found


def words_of(texts):
    """Words of texts, blanks and commands left out."""
    plain = (re.sub(r"\{\w*(?:!\w)?\}|`[^`]*`", " ", _NAMES.sub(" ", text)) for text in texts)
    return {word.lower() for text in plain for word in _WORD.findall(text)}


def _pairs(table):
    return [
        pair
        for key, value in table.items()
        for pair in (_pairs(value) if isinstance(value, dict) else [(key, value)])
    ]
