"""``bayesseg report``: one offline page for people, the same numbers for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesseg.cli import scorefile
from bayesseg.cli.flags import Force, Html, Run
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import scoring, showing
from bayesseg.errors import UsageError


def report(
    run: Run,
    scores: Annotated[Path, typer.Option(help="Scores written by bayesseg score.")],
    out: Html,
    shell: Shell,
    include_ids: Annotated[
        bool,
        typer.Option("--include-ids", help="Name customers in the table of whom to turn to."),
    ] = False,
    force: Force = False,
) -> Outcome:
    """Write one offline HTML page and its numbers as JSON.

    Example: bayesseg report runs/june --scores scores.parquet -o report.html
    """
    from bayesseg.posterior import load

    if scorefile.sidecar(out).resolve() == scorefile.sidecar(scores).resolve():
        raise UsageError(
            f"{scorefile.sidecar(scores)} is the document of the scores, and the report would "
            "replace it by its own",
            fix="choose another name for the page",
        )
    posterior = load(run)
    table, document = scoring.read_of_run(posterior, scores)
    written = showing.report(
        posterior, table, document, out, shell, include_ids=include_ids, force=force
    )
    return Outcome({"written": [str(path) for path in written]})
