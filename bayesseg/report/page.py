"""Put the report of a run and its scores together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bayesseg.posterior import Posterior, to_datatree
from bayesseg.report.blocks import ALONE, Beside, Context, Section
from bayesseg.report.rendering import Page, plain, rendered
from bayesseg.report.sections import SECTIONS
from bayesseg.report.small import shown_safely
from bayesseg.report.words import Words, load_words

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 2
"""2: sections in the page's order, with the numbers of every figure under its ``of``."""

__all__ = ["SCHEMA_VERSION", "Page", "build"]


def build(
    posterior: Posterior,
    scores: pd.DataFrame,
    document: Mapping[str, Any],
    *,
    include_ids: bool = False,
    beside: Beside = ALONE,
    language: str = "en",
) -> Page:
    """Build the report of a run and its scores.

    Args:
        posterior: the run.
        scores: the score table; columns of parts that the model lacks may be absent.
        document: ``Scores.document``, which stands beside the score file.
        include_ids: show customer ids in the table of customers at risk.
        beside: what other verbs found of the run and its scores.
        language: a language of ``locale/``.

    Returns:
        One page that loads nothing: figures are inlined, style and script hashed in its
        Content-Security-Policy.
    """
    words = load_words(language, posterior.manifest.get("currency"))
    words = words.naming(posterior.manifest.get("segments"))
    tree = to_datatree(posterior)
    safe = shown_safely(document, scores)
    context = Context(posterior, scores, safe, words, include_ids, tree, beside)
    sections = [found for make in SECTIONS if (found := make(context)) is not None]
    purchases = "purchase" in posterior.spec.parts
    html = rendered(
        words,
        sections,
        title=words("page.title" if purchases else "page.title_clients"),
        facts=_facts(context, words),
        verdict=posterior.manifest["verdict"],
        hint=words("page.intervals"),
    )
    return Page(html, _data(context, sections))


def _facts(context: Context, words: Words) -> list[tuple[str, str]]:
    manifest = context.posterior.manifest
    found = [
        ("model", manifest["name"]),
        ("as_of", words.date(context.document.get("as_of") or "")),
    ]
    found.append(("customers", words.count(context.document["customers"])))
    return [(words(f"page.{key}"), value) for key, value in found if value]


def _data(context: Context, sections: list[Section]) -> dict[str, Any]:
    """What ``report.json`` holds: the sections' own numbers, by section."""
    manifest = context.posterior.manifest
    data = {
        "schema_version": SCHEMA_VERSION,
        "model": manifest["name"],
        "model_id": manifest["model_id"],
        "as_of": context.document.get("as_of"),
        "customers": context.document["customers"],
        "sections": {section.id: section.data for section in sections},
    }
    return plain(data)
