"""``bayesseg report``: one offline page for people, the same numbers for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesseg.cli.flags import LANGUAGE, Force, Html, Lang, Run
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import scoring, showing


def report(
    run: Run,
    scores: Annotated[Path, typer.Option(help="Scores written by bayesseg score.")],
    out: Html,
    shell: Shell,
    stability: Annotated[
        Path | None,
        typer.Option(
            metavar="JSON", help="What stability found of RUN (default: what is kept beside RUN)."
        ),
    ] = None,
    drift: Annotated[
        Path | None,
        typer.Option(metavar="JSON", help="What drift found of RUN and later data."),
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option("--list", metavar="JSON", help="What stands beside a list of prioritise."),
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The track record that validate --scores keeps."),
    ] = None,
    include_ids: Annotated[
        bool,
        typer.Option("--include-ids", help="Name customers in the table of whom to turn to."),
    ] = False,
    lang: Lang = LANGUAGE,
    force: Force = False,
) -> Outcome:
    """Write one offline HTML page and its numbers as JSON.

    The numbers go beside the page, as PAGE.json, or PAGE.report.json where PAGE.json belongs to SCORES.

    Example: bayesseg report runs/june --scores scores.parquet -o report.html
    """
    showing.numbers_beside(out, scores)
    posterior = scoring.opened(run)
    table, document = scoring.read_of_run(posterior, scores)
    written = showing.report(
        posterior,
        table,
        document,
        out,
        shell,
        scores=scores,
        beside=showing.beside_of(
            run, posterior, shell, stability=stability, drift=drift, listed=listed, log=record
        ),
        include_ids=include_ids,
        lang=lang,
        force=force,
    )
    return Outcome({"written": [str(path) for path in written]})
