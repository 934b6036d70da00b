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
    Reason,
    Run,
    ScoreFlags,
    Signed,
    SourceFlags,
    SummaryFlags,
    Table,
)
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import fitting, leaving, people, reading, scoring


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
    require_signature: Signed = False,
    force: Force = False,
    reason: Reason = None,
) -> Outcome:
    """Score customers: segments, churn, purchases, value.

    Customers unseen at the fit are scored too. Flags about DATA that are not given are those of the
    fit. Scores of an untrusted run go to FILE.untrusted.EXT (exit 4), the columns of the parts that
    failed blank; --force --reason TEXT fills them, and the text stays beside them.

    Example: bayesseg score runs/june orders.csv --horizon 90d --margin 0.3 -o scores.parquet
    """
    data = reading.source_of(data, source, shell, summary)
    kind = scorefile.format_of(out, format)
    posterior = scoring.opened(run, names, signed=require_signature)
    released = leaving.of_run(posterior.manifest, shell, force=force, reason=reason)
    target = scoring.target_of(posterior.manifest, out, force=force)
    if summary.summary is None:
        source = reading.as_fitted(source, posterior.manifest, shell)
    loaded = reading.load(
        data, source, shell, spec=posterior.spec, attributes=attributes, summary=summary
    )
    reading.refuse_nameless(loaded)
    scores = people.pseudonymous(
        scoring.score(posterior, loaded.customers, settings, shell, released), loaded.key
    )
    written = scoring.write_scores(scores, target, kind, shell, raw=raw, force=force)
    return Outcome(
        {"written": [str(path) for path in written], **scores.document},
        fitting.gate_error(posterior.manifest, Path(target), released),
    )
