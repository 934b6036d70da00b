"""What these numbers are not for."""

from __future__ import annotations

from bayesseg.report.blocks import Context, Items, Section


def section(context: Context) -> Section:
    """Limits of the parts that this model has."""
    words, parts = context.words, context.posterior.spec.parts
    keys = ["decision", "excluded"]
    keys += ["contract", "holdout", "early"] if "purchase" in parts else []
    keys += ["margin"] if context.document.get("money") == "revenue" and "spend" in parts else []
    keys += ["segments"] if "segments" in parts else []
    keys += ["privacy"]
    items = tuple(words(f"limits.{key}") for key in keys)
    return Section(
        "limits", words("limits.title"), words("limits.lead"), (Items(items),), {"limits": keys}
    )
