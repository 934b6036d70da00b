"""Sections in, one self-contained HTML file and JSON-able numbers out."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bayesseg.report.blocks import Section
from bayesseg.report.words import Words


@dataclass(frozen=True, slots=True)
class Page:
    """The report: ``html`` for people, ``data`` (JSON-able, untranslated) for programs."""

    html: str
    data: dict[str, Any]


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


def _asset(name: str) -> str:
    return (files("bayesseg.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


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
