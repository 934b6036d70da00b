"""From scores to what people read: the page and the lists."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg._files import refuse_existing, write_text
from bayesseg.cli import scorefile
from bayesseg.cli.shell import Shell
from bayesseg.errors import ArtefactBad, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from bayesseg.posterior import Posterior


def stability_of(
    run: Path, posterior: Posterior, shell: Shell, given: Path | None = None
) -> dict[str, Any] | None:
    """What ``stability`` found of a run: the file ``given``, else what is kept beside the run.

    One that is kept and not about this run, which may have been made anew since, counts for nothing.

    Raises:
        ArtefactBad: the file ``given`` is not about this run.
    """
    from bayesseg.segmentation import assessed

    model_id = posterior.manifest["model_id"]
    if given is not None:
        return assessed.read(given, model_id)
    try:
        return assessed.of(run, model_id)
    except ArtefactBad as error:
        shell.warn(f"{error.message}: stability counts as not assessed; {error.fix}")
        return None


def numbers_beside(out: Path, scores: Path) -> Path:
    """Where the numbers of a page go: never where ``scores`` or their document are.

    Raises:
        UsageError: the page would replace the scores, or has no name that its numbers can share.
    """
    beside, document = scorefile.sidecar(out), scorefile.sidecar(scores)
    if out.resolve() in (scores.resolve(), document.resolve()):
        raise UsageError(
            f"{out} belongs to the scores, and the page would replace it",
            fix="choose another name for the page, such as report.html",
        )
    return out.with_suffix(".report.json") if beside.resolve() == document.resolve() else beside


def report(
    posterior: Posterior,
    table: pd.DataFrame,
    document: Mapping[str, Any],
    out: Path,
    shell: Shell,
    *,
    scores: Path,
    stability: Mapping[str, Any] | None = None,
    include_ids: bool = False,
    force: bool = False,
) -> list[Path]:
    """Write the page and its numbers: ``report.html`` and ``report.json``."""
    from bayesseg.report import build

    beside = numbers_beside(out, scores)
    for path in (out, beside):
        refuse_existing(path, force=force, file=True)
    page = build(posterior, table, document, include_ids=include_ids, stability=stability)
    write_text(out, page.html)
    scorefile.write_document(beside, page.data, force=force)
    for path in (out, beside):
        shell.say(f"wrote {path}")
    return [out, beside]


def write_list(listed: pd.DataFrame, target: str, shell: Shell, *, force: bool) -> Path | None:
    """Write a contact list as CSV for people, with money and probabilities rounded."""
    shown = listed.round({"value": 2, "clv": 2, "p_alive": 4, "p_churn": 4, "typical_gap_days": 1})
    content = scorefile.encoded(shown, scorefile.format_of(target, None))
    path = scorefile.emit(content, target, force=force)
    if path is not None:
        shell.say(f"wrote {path}")
    return path
