"""How to get the same numbers again."""

from __future__ import annotations

from typing import Any

from bayesseg.report.blocks import Cell, Column, Context, Formula, Section, Table

_FACTS = ("model_id", "fingerprint", "name", "seed", "as_of", "time_unit", "created_at")


def section(context: Context) -> Section:
    """Commands, seed, versions and hashes."""
    words, manifest = context.words, context.posterior.manifest
    settings = context.document.get("settings", {})
    fit = f"bayesseg fit DATA --model {context.posterior.spec.name} --seed {manifest['seed']}"
    if manifest.get("as_of"):
        fit += f" --as-of {manifest['as_of']}"
    score = "bayesseg score RUN DATA -o scores.parquet"
    if manifest.get("as_of"):
        score += (
            f" --horizon {settings['horizon_days']}d --value-horizon {settings['value_horizon_days']}d"
            f" --margin {settings['margin']:g} --annual-discount {settings['annual_discount']:g}"
        )
    lines = (f"{fit} -o RUN", score, "bayesseg report RUN --scores scores.parquet -o report.html")
    facts: dict[str, Any] = {
        key: manifest.get(key) for key in _FACTS if manifest.get(key) is not None
    }
    facts["scored_at"] = context.document.get("scored_at")
    rows = [
        (Cell(words(f"reproduce.{key}")), Cell(words.said(str(value))))
        for key, value in facts.items()
        if value is not None
    ]
    rows += [
        (Cell(name), Cell(str(number)))
        for name, number in sorted(manifest.get("versions", {}).items())
    ]
    head = (
        Column(words("reproduce.what"), number=False),
        Column(words("reproduce.value"), number=False, wide=True),
    )
    return Section(
        "reproduce",
        words("reproduce.title"),
        words("reproduce.lead"),
        (Formula(lines), Table(words("reproduce.caption"), head, tuple(rows))),
        {**facts, "versions": dict(manifest.get("versions", {})), "settings": dict(settings)},
    )
