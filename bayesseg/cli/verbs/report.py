"""``bayesseg report``: one offline page for people, the same numbers for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesseg.cli.flags import Force, Html, Run
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
    include_ids: Annotated[
        bool,
        typer.Option("--include-ids", help="Name customers in the table of whom to turn to."),
    ] = False,
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
        stability=showing.stability_of(run, posterior, shell, stability),
        include_ids=include_ids,
        force=force,
    )
    return Outcome({"written": [str(path) for path in written]})
