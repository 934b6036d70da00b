"""``bayesseg drift``: have customers moved between segments, and have the segments changed?"""

from __future__ import annotations

from typing import Annotated

import typer

from bayesseg.cli.flags import (
    KINDS,
    LANGUAGE,
    SEED,
    Facts,
    Force,
    Lang,
    MaybeHtml,
    Names,
    Run,
    SourceFlags,
    argv,
    command_line,
    spoken,
)
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import reading, scoring, segmenting
from bayesseg.errors import GateFailed, UsageError

NewData = Annotated[
    str | None,
    typer.Argument(help=f"The later log (or table of clients): {KINDS}", metavar="NEWDATA"),
]


def drift(
    run: Run,
    source: SourceFlags,
    shell: Shell,
    data: NewData = None,
    before: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="What RUN was fitted on, where NEWDATA begins later."),
    ] = None,
    attributes: Facts = None,
    names: Names = None,
    fail_on: Annotated[
        str | None, typer.Option(help="watch or refit: exit 4 at that status (default: never).")
    ] = None,
    refits: Annotated[int, typer.Option(min=10, help="Refits to reweighted customers.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of every random number.", min=0)] = SEED,
    out: MaybeHtml = None,
    lang: Lang = LANGUAGE,
    force: Force = False,
) -> Outcome:
    """Hold the segments of a run against later data: stable, watch or refit.

    The old model scores both periods (who moved, beside what uncertainty alone would move), and a refit
    to the later one says whether the segments themselves have changed. Periods are windows of equal
    length. With fewer customers than the segments have parameters the status is too_few, and --fail-on
    lets it pass.

    Example: bayesseg drift runs/2024 orders.csv --fail-on refit -o drift.html
    """
    from bayesseg.report.segmentation.drift import build
    from bayesseg.segmentation.drift import LEVELS

    if fail_on not in (None, *LEVELS[2:]):
        raise UsageError(f"--fail-on {fail_on!r} is no status", fix="give watch or refit")
    where = reading.source_of(data, source, shell)
    segmenting.refuse_page(out, force=force)
    posterior = scoring.segmented(run, names)
    document = segmenting.drifted(
        posterior, where, before, source, attributes, shell, refits=refits, seed=seed
    )
    segmenting.show_drift(document, shell)
    reached = fail_on is not None and LEVELS.index(document["status"]) >= LEVELS.index(fail_on)
    error = GateFailed(
        f"status {document['status']}: {document['reasons'][0]['says']}" if reached else "",
        fix="bayesseg fit NEWDATA --previous RUN: segments that are still there keep their names",
    )
    given = [*(("--before", "DATA") if before else ()), *(("--names", "MAP") if names else ())]
    given += ["--refits", refits, "--seed", seed]
    command = command_line(
        "drift",
        "RUN",
        *(("NEWDATA",) if data else ()),
        *given,
        *argv(source),
        *spoken(lang),
        "-o",
        "OUT.html",
    )
    document = segmenting.written(build, document, command, out, shell, lang=lang, force=force)
    return Outcome(document, error if reached else None)
