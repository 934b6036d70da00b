"""``bayesseg report``: one offline page for people, the same numbers for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesseg.cli import scorefile, steps
from bayesseg.cli.flags import Force, Run
from bayesseg.cli.shell import Outcome, Shell


def report(
    run: Run,
    scores: Annotated[Path, typer.Option(help="Scores written by bayesseg score.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="HTML", help="Page to write.")],
    shell: Shell,
    include_ids: Annotated[
        bool, typer.Option(help="Name customers in the table of whom to turn to.")
    ] = True,
    force: Force = False,
) -> Outcome:
    """Write one offline HTML page and its numbers as JSON.

    Example: bayesseg report runs/june --scores scores.parquet -o report.html
    """
    from bayesseg.posterior import load

    posterior = load(run)
    table, document = scorefile.read_scores(scores), scorefile.read_document(scores)
    steps.same_model(posterior, document["model_id"], scores)
    written = steps.report(
        posterior, table, document, out, shell, include_ids=include_ids, force=force
    )
    return Outcome({"written": [str(path) for path in written]})
