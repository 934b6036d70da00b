"""Forecasters side by side: one line each, averaged over the origins of a document. L8."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

type Document = Mapping[str, Any]
"""A validation as ``document.py`` lays it out."""

CHOSEN = "chosen"
"""The forecaster that takes at each origin the family which did best at the earlier ones."""
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "bias": ("purchases", "bias"),
    "mae": ("purchases", "mae"),
    "rmse": ("purchases", "rmse"),
    "crps": ("purchases", "crps"),
    "coverage": ("purchases", "coverage", "90"),
    "brier": ("active", "brier"),
    "log_loss": ("active", "log_loss"),
    "auc": ("active", "auc"),
    "top_decile": ("active", "top_decile_share"),
}
"""Columns of the comparison and where they stand in a row of an origin."""


def subject(document: Document) -> str:
    """Whose forecasts are judged: the nested choice where several families run, else the family."""
    return CHOSEN if CHOSEN in document["forecasts"] else str(document["families"][0])


def row(document: Document, at: int, name: str) -> Mapping[str, Any] | None:
    """The row of a forecaster at origin ``at``; that of ``CHOSEN`` is the family chosen there.

    The totals of ``CHOSEN`` are widened by the misses of what was chosen before.
    """
    if name == CHOSEN:
        step = document["chosen"]["path"][at]
        own = row(document, at, step["family"])
        assert own is not None  # the path goes over families
        return {**own, "purchases": step["purchases"], "spend": step["spend"]}
    return next((one for one in document["origins"][at]["rows"] if one["name"] == name), None)


def titles(document: Document) -> dict[str, str]:
    """The names people use, by forecaster, in the order of the rows."""
    return {one["name"]: one["title"] for origin in document["origins"] for one in origin["rows"]}


def spoken(document: Document) -> str:
    """How ``subject`` is called in a sentence: a family, or the families that were chosen."""
    if subject(document) != CHOSEN:
        return titles(document)[document["families"][0]]
    taken = dict.fromkeys(step["family"] for step in document["chosen"]["path"])
    return " or ".join(titles(document)[name] for name in taken)


def values(document: Document, name: str, *path: str) -> list[float | None]:
    """The number at ``path`` in each origin's row of a forecaster; None where it has none."""
    return [_at(row(document, at, name), path) for at in range(len(document["origins"]))]


def paired(document: Document, one: str, other: str, *path: str) -> Iterator[tuple[float, float]]:
    """The numbers of two forecasters at the origins where both have one."""
    for mine, theirs in zip(
        values(document, one, *path), values(document, other, *path), strict=True
    ):
        if mine is not None and theirs is not None:
            yield mine, theirs


def comparison(document: Document) -> list[dict[str, Any]]:
    """One line a forecaster: ``name, title, kind, note, origins``, ``COLUMNS`` and ``miss``.

    Numbers are means over the origins that have them, null where none has; ``miss`` is the mean
    absolute bias of the total, ``origins`` at how many there are numbers at all.
    """
    lines = []
    for name, title in titles(document).items():
        rows = [row(document, at, name) for at in range(len(document["origins"]))]
        last = next(one for one in reversed(rows) if one is not None)
        biases = values(document, name, *COLUMNS["bias"])
        active = values(document, name, *COLUMNS["auc"])
        lines.append(
            {
                "name": name,
                "title": title,
                "kind": last["kind"],
                "note": last["note"],
                "origins": sum(
                    b is not None or a is not None for b, a in zip(biases, active, strict=True)
                ),
                "miss": _mean([None if b is None else abs(b) for b in biases]),
                **{key: _mean(values(document, name, *path)) for key, path in COLUMNS.items()},
            }
        )
    return lines


def _at(value: Any, path: tuple[str, ...]) -> float | None:
    for key in path:
        if value is None:
            return None
        value = value[key]
    return None if value is None else float(value)


def _mean(numbers: list[float | None]) -> float | None:
    given = [number for number in numbers if number is not None]
    return sum(given) / len(given) if given else None
