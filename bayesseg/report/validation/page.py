"""Put the page together: verdict, findings, totals, forecasters, customers, money, how to repeat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from bayesseg.report.blocks import Section
from bayesseg.report.rendering import Page, plain, rendered
from bayesseg.report.validation import customers, forecasters, totals, verdict
from bayesseg.report.validation.case import Case
from bayesseg.report.validation.reproduce import section as reproduce
from bayesseg.report.words import Words, load_words
from bayesseg.validation.advice import advise
from bayesseg.validation.comparison import Document

SECTIONS: tuple[Callable[[Case], Section | None], ...] = (
    verdict.section,
    verdict.findings,
    totals.purchases,
    forecasters.section,
    customers.section,
    totals.spend,
    reproduce,
)


def build(
    document: Document,
    *,
    command: Sequence[str] = (),
    currency: str | None = None,
    language: str = "en",
) -> Page:
    """Build the page of a validation.

    Args:
        document: what ``validation.document`` describes.
        command: the command lines that give it again.
        currency: follows every amount of money.
        language: a language of ``locale/``.

    Returns:
        One page that loads nothing and names no customer, and its ``numbers``.
    """
    words = load_words(language, currency)
    case = Case(_titled(document, words), advise(document), words, tuple(command))
    sections = [found for make in SECTIONS if (found := make(case)) is not None]
    judged = verdict.of(document)
    html = rendered(
        words,
        sections,
        title=words("validation.title"),
        facts=_facts(case),
        verdict="caution" if judged == "not-assessed" else judged,
        hint=words("validation.hint", level=words.percent(document["level"])),
    )
    return Page(html, numbers(document, command))


def numbers(document: Document, command: Sequence[str] = ()) -> dict[str, Any]:
    """The document for programs: with its advice, the command and the version, as JSON reads it."""
    advice = [asdict(one) for one in advise(document)]
    more = {"advice": advice, "command": list(command), "version": version("bayesseg")}
    return plain({**document, **more})


def _titled(document: Document, words: Words) -> Document:
    """The document with the titles and notes of its forecasters in the language of the page."""
    origins = [
        {
            **origin,
            "rows": [
                {**row, "title": words.said(row["title"]), "note": words.said(row["note"])}
                for row in origin["rows"]
            ],
        }
        for origin in document["origins"]
    ]
    return {**document, "origins": origins}


def _facts(case: Case) -> list[tuple[str, str]]:
    words, document = case.words, case.document
    data = document["data"]
    return [
        (words("page.model"), document["model"]),
        (words("page.customers"), words.count(data["customers"])),
        (words("validation.facts.cuts"), words.count(len(document["origins"]))),
        (
            words("validation.facts.horizon"),
            words.plural("validation.days", document["horizon_days"]),
        ),
        (
            words("validation.facts.data"),
            words(
                "validation.facts.span",
                first=words.date(data["first"]),
                last=words.date(data["last"]),
            ),
        ),
    ]
