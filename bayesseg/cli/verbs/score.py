"""``bayesseg score``: one row a customer, from a run and a purchase log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesseg.cli import scorefile
from bayesseg.cli.flags import Data, Force, Names, Run, ScoreFlags, SourceFlags, Table
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import fitting, reading, scoring


def score(
    run: Run,
    data: Data,
    out: Table,
    source: SourceFlags,
    settings: ScoreFlags,
    shell: Shell,
    attributes: Annotated[
        Path | None, typer.Option(help="Facts about customers, one row each, joined by id.")
    ] = None,
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

    kind = scorefile.format_of(out, format)
    posterior = scoring.named(load(run), names)
    target = scoring.target_of(posterior.manifest, out, force=force)
    source = reading.as_fitted(source, posterior.manifest, shell)
    loaded = reading.load(data, source, shell, spec=posterior.spec, attributes=attributes)
    scores = scoring.score(posterior, loaded.customers, settings, shell)
    written = scoring.write_scores(scores, target, kind, shell, raw=raw, force=force)
    return Outcome(
        {"written": [str(path) for path in written], **scores.document},
        fitting.gate_error(posterior.manifest, Path(target)),
    )
