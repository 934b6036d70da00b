"""What ``stability`` found of a run, kept beside it: a run itself is never written into. L7."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayesseg._files import write_text
from bayesseg.errors import ArtefactBad

_NEEDED = {"model_id", "assessed_on", "customers", "missing", "prediction_strength", "segments"} | {
    "verdict",
    "words",
}
_AGAIN = "run bayesseg stability RUN DATA again"


def beside(run: Path) -> Path:
    """Where the answer for ``run`` is kept: ``june.stability.json`` beside ``june``."""
    whole = run.absolute()
    return whole.with_name(f"{whole.name}.stability.json")


def keep(document: Mapping[str, Any], run: Path, customers: int) -> Path | None:
    """Keep what ``stability`` found beside its run, in place of what it found before.

    An answer about the ``customers`` of the fit is never replaced by one about others: then None.

    Raises:
        ResourcesMissing: the folder cannot be written to.
    """
    path = beside(run)
    if not _of_the_fit(document, customers):
        try:
            before = of(run, document["model_id"])
        except ArtefactBad:
            before = None
        if before is not None and _of_the_fit(before, customers):
            return None
    write_text(path, json.dumps(document, indent=1, allow_nan=False) + "\n")
    return path


def _of_the_fit(document: Mapping[str, Any], customers: int) -> bool:
    return document["customers"] == customers and not document["missing"]


def read(path: Path, model_id: str) -> dict[str, Any]:
    """What ``stability`` found of the run ``model_id``.

    Raises:
        ArtefactBad: the file is unreadable, nothing of the kind, or about another run.
    """
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtefactBad(f"{path} cannot be read ({error})", fix=_AGAIN) from error
    if not isinstance(found, dict) or not found.keys() >= _NEEDED:
        raise ArtefactBad(f"{path} is not what bayesseg stability found", fix=_AGAIN)
    if found["model_id"] != model_id:
        raise ArtefactBad(
            f"{path} is about another run (model {str(found['model_id'])[:12]}, the run is "
            f"{model_id[:12]})",
            fix=_AGAIN,
        )
    return found


def of(run: Path, model_id: str) -> dict[str, Any] | None:
    """What is kept beside ``run``; None where nothing is.

    Raises:
        ArtefactBad: as ``read``.
    """
    path = beside(run)
    return read(path, model_id) if path.exists() else None
