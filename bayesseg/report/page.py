"""Put the page together: sections in, one self-contained HTML file and its numbers out."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bayesseg.posterior import Posterior, to_datatree
from bayesseg.report.blocks import Context, Section
from bayesseg.report.sections import SECTIONS
from bayesseg.report.small import shown_safely
from bayesseg.report.words import Words, load_words

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Page:
    """The report: ``html`` for people, ``data`` (JSON-able, untranslated) for programs."""

    html: str
    data: dict[str, Any]


def build(
    posterior: Posterior,
    scores: pd.DataFrame,
    document: Mapping[str, Any],
    *,
    include_ids: bool = False,
    stability: Mapping[str, Any] | None = None,
    language: str = "en",
) -> Page:
    """Build the report of a run and its scores.

    Args:
        posterior: the run.
        scores: the score table; columns of parts that the model lacks may be absent.
        document: ``Scores.document``, which stands beside the score file.
        include_ids: show customer ids in the table of customers at risk.
        stability: what ``segmentation.stability`` found of the run, where it was asked.
        language: a language of ``locale/``.

    Returns:
        One page that loads nothing: figures are inlined, style and script hashed in its
        Content-Security-Policy.
    """
    words = load_words(language, posterior.manifest.get("currency"))
    tree = to_datatree(posterior)
    safe = shown_safely(document, scores)
    context = Context(posterior, scores, safe, words, include_ids, tree, stability)
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


def rendered(
    words: Words,
    sections: Sequence[Section],
    *,
    title: str,
    facts: Sequence[tuple[str, str]],
    verdict: str,
    hint: str,
) -> str:
    """One page that loads nothing; ``hint`` stands below the verdict, ``facts`` under the title."""
    environment = Environment(
        loader=PackageLoader("bayesseg.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = (_asset(name) for name in ("style.css", "table.js"))
    return environment.get_template("page.html.j2").render(
        words=words,
        title=title,
        facts=facts,
        verdict=verdict,
        hint=hint,
        sections=sections,
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
        made_by=words("page.made_by", version=version("bayesseg")),
    )


def _facts(context: Context, words: Words) -> list[tuple[str, str]]:
    manifest = context.posterior.manifest
    found = [("model", manifest["name"]), ("as_of", context.document.get("as_of"))]
    found.append(("customers", words.count(context.document["customers"])))
    return [(words(f"page.{key}"), value) for key, value in found if value]


def _asset(name: str) -> str:
    return (files("bayesseg.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


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


def plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """``data`` as JSON reads it back: no NumPy, and null for what is not finite."""
    return dict(json.loads(json.dumps(_plain(data), allow_nan=False)))


def _plain(value: Any) -> Any:
    """JSON without NumPy and without NaN, which becomes null."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str | int | float | None):
        return value
    return _plain(value.item()) if type(value).__module__ == "numpy" else str(value)
