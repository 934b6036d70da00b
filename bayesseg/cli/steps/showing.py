"""From scores to what people read: the page and the lists."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg._files import refuse_existing, write_text
from bayesseg.cli import scorefile
from bayesseg.cli.shell import Shell
from bayesseg.errors import ArtefactBad, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from bayesseg.posterior import Posterior
    from bayesseg.report import Beside


def beside_of(
    run: Path,
    posterior: Posterior,
    shell: Shell,
    *,
    stability: Path | None = None,
    drift: Path | None = None,
    listed: Path | None = None,
    log: Path | None = None,
) -> Beside:
    """What other verbs found of a run: the files given, and what is kept of its stability beside it.

    Raises:
        ArtefactBad: a file given is not about this run, or not what its verb writes.
    """
    from bayesseg.report import Beside
    from bayesseg.validation import record

    model_id = posterior.manifest["model_id"]
    return Beside(
        stability=stability_of(run, posterior, shell, stability),
        drift=_about(drift, model_id, {"status", "reasons", "migration", "psi"}, "drift"),
        listed=_about(listed, model_id, {"list"}, "prioritise"),
        record=None if log is None else record.read(log),
    )


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


def _about(
    path: Path | None, model_id: str, needed: Collection[str], verb: str
) -> dict[str, Any] | None:
    """A document that ``verb`` wrote of the run ``model_id``."""
    if path is None:
        return None
    again = f"give the .json that bayesseg {verb} writes with -o, made with this run"
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtefactBad(f"{path} cannot be read ({error})", fix=again) from error
    if not isinstance(found, dict) or not found.keys() >= {*needed, "model_id"}:
        raise ArtefactBad(f"{path} is not what bayesseg {verb} writes", fix=again)
    if found["model_id"] != model_id:
        raise ArtefactBad(f"{path} is about another run", fix=again)
    return found


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
    beside: Beside,
    include_ids: bool = False,
    lang: str = "en",
    force: bool = False,
) -> list[Path]:
    """Write the page and its numbers: ``report.html`` and ``report.json``."""
    from bayesseg.report import build

    numbers = numbers_beside(out, scores)
    for path in (out, numbers):
        refuse_existing(path, force=force, file=True)
    page = build(
        posterior,
        table,
        document,
        include_ids=include_ids,
        beside=beside,
        language=lang,
    )
    write_text(out, page.html)
    scorefile.write_document(numbers, page.data, force=force)
    for path in (out, numbers):
        shell.say(f"wrote {path}")
    return [out, numbers]


def list_beside(out: str, scores: Path) -> Path | None:
    """Where what belongs beside a list goes: never where ``scores`` or their document are.

    Raises:
        UsageError: the list would replace either.
    """
    if out == "-":
        return None
    beside = scorefile.sidecar(Path(out))
    theirs = (
        {scores.resolve(), scorefile.sidecar(scores).resolve()} if str(scores) != "-" else set()
    )
    if theirs & {Path(out).resolve(), beside.resolve()}:
        raise UsageError(
            f"{out} and {beside} belong to the scores, and the list would replace them",
            fix="choose another name for the list, such as save.csv",
        )
    return beside


_ROUNDED = {
    **dict.fromkeys(("value", "clv", "cost", "net_benefit", "net_benefit_lo", "net_benefit_hi"), 2),
    **dict.fromkeys(("p_alive", "p_churn", "p_positive"), 4),
    "typical_gap_days": 1,
}


def told(listed: pd.DataFrame, lang: str) -> pd.DataFrame:
    """A contact list whose reasons are in that language."""
    from bayesseg.report.words import load_words

    return listed.assign(reason=load_words(lang).column(listed["reason"]))


def write_list(
    listed: pd.DataFrame,
    document: Mapping[str, Any],
    target: str,
    shell: Shell,
    *,
    force: bool,
) -> list[Path]:
    """Write a contact list for people, money and probabilities rounded, and beside it what made it."""
    content = scorefile.encoded(listed.round(_ROUNDED), scorefile.format_of(target, None))
    path = scorefile.emit(content, target, force=force)
    if path is None:
        return []
    table = {"rows": len(listed), "sha256": hashlib.sha256(content).hexdigest()}
    written = [path, scorefile.sidecar(path)]
    entry = {"schema_version": 1, **document, "table": table}
    scorefile.write_document(written[1], scorefile.sealed(entry), force=force)
    for one in written:
        shell.say(f"wrote {one}")
    return written


def write_curve(document: Mapping[str, Any], path: Path, shell: Shell, *, force: bool) -> None:
    """Write benefit against budget, one row a number of contacts.

    Raises:
        UsageError: the benefit is not known.
    """
    import pandas as pd

    if "curve" not in document:
        raise UsageError(
            "--curve: what contacting brings is not known",
            fix="give --save-rate and --contact-cost",
        )
    content = scorefile.encoded(
        pd.DataFrame(document["curve"]), scorefile.format_of(str(path), None)
    )
    scorefile.emit(content, str(path), force=force)
    shell.say(f"wrote {path}")


def records(listed: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON has them: nothing is null."""
    plain = listed.astype(object).where(listed.notna(), None)
    return [{str(name): value for name, value in row.items()} for row in plain.to_dict("records")]
