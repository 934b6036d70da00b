"""From a log to judged forecasts; from simulations to a judged computation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg._files import refuse_existing, write_text
from bayesseg.cli import scorefile
from bayesseg.cli.flags import FitFlags, SourceFlags, ValidateFlags, argv, command_line, spoken
from bayesseg.cli.progress import progress
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import reading
from bayesseg.cli.text import advice_lines, comparison_notes, comparison_table, table, totals_table
from bayesseg.errors import GateFailed, UsageError
from bayesseg.spans import day

if TYPE_CHECKING:
    from bayesseg.validation.comparison import Document


def against_what_came(
    data: str,
    out: Path | None,
    source: SourceFlags,
    model: FitFlags,
    what: ValidateFlags,
    shell: Shell,
    *,
    lang: str,
    force: bool,
) -> Outcome:
    """Forecast from days in the past, compare, say what it means; write the page where asked."""
    from bayesseg import population
    from bayesseg.spec import variant

    spec = model.spec()
    if "purchase" not in spec.parts:
        raise UsageError(
            f"model {spec.name!r} forecasts no purchases: there is nothing to validate",
            fix="give --model retail or another model with purchases",
        )
    _refuse_unused(model)
    families = what.names(spec.parts["purchase"].family)
    for name in families:
        variant(spec, name)  # refuse an unknown one before the data are read
    columns = population.covariates(*spec.parts.values())
    if not (model.attributes or source.shares):
        population.require(columns, None)
    elif not columns:
        shell.say(f"note: no forecast of model {spec.name} reads attributes")
    if out is not None:
        for path in (out, scorefile.sidecar(out)):
            refuse_existing(path, force=force, file=True)
    from bayesseg.validation.document import validate

    loaded = reading.load(data, source, shell, spec=spec, attributes=model.attributes)
    assert loaded.purchases is not None
    with progress() as on_progress:
        document = validate(
            loaded.purchases,
            spec,
            attributes=reading.buyers(loaded).attributes,
            cut=None if what.cut is None else day(what.cut),
            origins=what.origins,
            horizon_days=what.horizon_days,
            families=families,
            as_of=reading.buyers(loaded).as_of,
            seed=model.seed,
            on_progress=on_progress,
        )
    command = command_line(
        "validate", "DATA", *argv(what, model, source), *spoken(lang), "-o", "OUT.html"
    )
    return judged(document, (command,), out, shell, lang=lang, force=force)


def judged(
    document: Document,
    command: tuple[str, ...],
    out: Path | None,
    shell: Shell,
    *,
    lang: str,
    force: bool,
) -> Outcome:
    """Say what was found and write the page; an error where even widened intervals miss."""
    from bayesseg.report.validation import build, numbers
    from bayesseg.validation.advice import advise

    show(document, shell)
    written = []
    if out is not None:
        page = build(document, command=command, language=lang)
        written = [out, scorefile.sidecar(out)]
        write_text(out, page.html)
        scorefile.write_document(written[1], page.data, force=force)
        for path in written:
            shell.say(f"wrote {path}")
    first = advise(document)[0]
    return Outcome(
        {**numbers(document, command), "written": [str(path) for path in written]},
        GateFailed(first.says, fix=first.fix) if verdict_of(document) == "failed" else None,
    )


def _refuse_unused(model: FitFlags) -> None:
    if model.inference not in (None, "auto", "laplace"):
        raise UsageError(
            f"validate fits every cut with laplace, not with {model.inference}",
            fix="leave --engine out; it counts with --sbc",
        )


def show(document: Document, shell: Shell) -> None:
    """Print totals by cut, the forecasters side by side and the findings."""
    from bayesseg.validation.advice import advise

    n = document["horizon_days"]
    shell.say(f"forecast over {n} days, with {document['draws']:,} draws by {document['engine']}")
    for one in document["skipped"]:
        shell.warn(f"the cut at {one['cut']} was left out: {one['reason']}")
    for note in document["notes"]:
        shell.say(f"note: {note}")
    shell.show(totals_table(document) + "\n")
    shell.show(comparison_table(document) + "\n")
    for line in comparison_notes(document):
        shell.show(line)
    shell.show(f"Verdict on the totals: {verdict_of(document)}")
    for line in advice_lines(advise(document)):
        shell.show(line)


def verdict_of(document: Document) -> str:
    """The verdict on the totals of purchases."""
    from bayesseg.validation.comparison import subject

    return str(document["forecasts"][subject(document)]["verdict"]["verdict"])


def calibrate(model: FitFlags, what: ValidateFlags, shell: Shell) -> Outcome:
    """Simulation-based calibration of a model: one table a part, exit 4 where one fails."""
    from bayesseg import calibration

    assert what.sbc is not None
    spec = model.spec()
    shell.say(f"calibrate model {spec.name}, {what.sbc} simulations a part, seed {model.seed}")
    with progress() as on_progress:
        document: dict[str, Any] = calibration.run(
            spec,
            what.sbc,
            seed=model.seed,
            engine=model.inference,
            processes=os.cpu_count() or 1,
            folder=what.sbc_folder,
            on_progress=on_progress,
        )
    reasons = []
    for name, part in document["parts"].items():
        shell.show(table(calibration.HEADERS, calibration.table(part)) + "\n")
        shell.show("\n".join(calibration.said(part)) + "\n")
        reasons += [f"{name}: {reason}" for reason in part["reasons"]]
    error = GateFailed(
        f"calibration failed: {'; '.join(reasons)}",
        fix="run again with another --seed: a true fault stays, chance does not; then look for the "
        "quantity that breaches first",
    )
    return Outcome(document, None if document["passed"] else error)
