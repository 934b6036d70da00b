"""``bayesseg score``: one row a customer, from a run and a purchase log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesseg.cli import scorefile, steps
from bayesseg.cli.flags import Data, Force, Run, ScoreFlags, SourceFlags
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.errors import UsageError


def score(
    run: Run,
    data: Data,
    out: Annotated[
        str, typer.Option("-o", "--out", metavar="FILE", help="Scores to write; - is stdout (CSV).")
    ],
    source: SourceFlags,
    settings: ScoreFlags,
    shell: Shell,
    attributes: Annotated[
        Path | None, typer.Option(help="Facts about customers, one row each, joined by id.")
    ] = None,
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
    from bayesseg._files import refuse_existing
    from bayesseg.posterior import load

    if out == "-" and shell.as_json:
        raise UsageError("--json and -o - both want stdout", fix="give -o FILE")
    kind = scorefile.format_of(out, format)
    if out != "-":
        refuse_existing(Path(out), force=force)
    posterior = load(run)
    source = steps.as_fitted(source, posterior.manifest, shell)
    loaded = steps.load(data, source, shell, spec=posterior.spec, attributes=attributes)
    scores = steps.score(posterior, loaded.customers, settings, shell)
    written = steps.write_scores(scores, [out], shell, given=kind, raw=raw, force=force)
    return Outcome(
        {"written": [str(path) for path in written], **scores.document},
        steps.gate_error(posterior.manifest, written[0] if written else Path("-")),
    )
