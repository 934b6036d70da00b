"""``bayesseg score``: one row a customer, from a run and a purchase log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesseg.cli import scorefile
from bayesseg.cli.flags import (
    Facts,
    Force,
    MaybeData,
    Names,
    Run,
    ScoreFlags,
    SourceFlags,
    SummaryFlags,
    Table,
)
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import fitting, reading, scoring


def score(
    run: Run,
    out: Table,
    source: SourceFlags,
    summary: SummaryFlags,
    settings: ScoreFlags,
    shell: Shell,
    data: MaybeData = None,
    attributes: Facts = None,
    names: Names = None,
    format: Annotated[  # noqa: A002 - the flag's name
        str | None, typer.Option(help="parquet, csv or ndjson (default: the extension of FILE).")
    ] = None,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="CSV for machines: cells starting = + - @ stay as they are."),
    ] = False,
    force: Force = False,
) -> Outcome:
    """Score customers: segments, churn, purchases, value.

    Customers unseen at the fit are scored too. Flags about DATA that are not given are those of the
    fit. Scores of an untrusted run go to FILE.untrusted.EXT (exit 4).

    Example: bayesseg score runs/june orders.csv --horizon 90d --margin 0.3 -o scores.parquet
    """
    from bayesseg.posterior import load

    data = reading.source_of(data, source, shell, summary)
    kind = scorefile.format_of(out, format)
    posterior = scoring.named(load(run), names)
    target = scoring.target_of(posterior.manifest, out, force=force)
    if summary.summary is None:
        source = reading.as_fitted(source, posterior.manifest, shell)
    loaded = reading.load(
        data, source, shell, spec=posterior.spec, attributes=attributes, summary=summary
    )
    reading.refuse_nameless(loaded)
    scores = scoring.score(posterior, loaded.customers, settings, shell)
    written = scoring.write_scores(scores, target, kind, shell, raw=raw, force=force)
    return Outcome(
        {"written": [str(path) for path in written], **scores.document},
        fitting.gate_error(posterior.manifest, Path(target)),
    )
