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
    SparkFlags,
    SummaryFlags,
    Table,
)
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import fitting, large, leaving, lookup, onspark, reading, scoring
from bayesseg.errors import UsageError


def score(
    run: Run,
    out: Table,
    source: SourceFlags,
    summary: SummaryFlags,
    settings: ScoreFlags,
    spark: SparkFlags,
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
    failed blank; --force --reason TEXT fills them, and the text stays beside them. --table FILE alone
    scores distinct histories, which a warehouse joins its customers with (bayesseg sql --lookup).

    Example: bayesseg score runs/june orders.csv --horizon 90d --margin 0.3 -o scores.parquet
    """
    by_lookup = lookup.asked(data, source, summary)
    where = None if by_lookup else reading.source_of(data, source, shell, summary)
    kind = scorefile.format_of(out, format)
    posterior = scoring.opened(run, names, signed=require_signature)
    released = leaving.of_run(posterior.manifest, shell, force=force, reason=reason)
    target = scoring.target_of(posterior.manifest, out, force=force)
    if where is None:
        others: dict[str, object] = {"-o -": out == "-", "--engine": spark.engine}
        others |= {"--attributes": attributes, "--names": names}
        histories = lookup.read(source, shell, others)
        files, document = lookup.write(
            posterior, histories, settings, target, kind, shell, released, force=force
        )
        return Outcome(
            {"written": [str(path) for path in files], **document},
            fitting.gate_error(posterior.manifest, Path(target), released),
        )
    if summary.summary is None:
        source = reading.as_fitted(source, posterior.manifest, shell)
    if spark.engine is not None:
        if attributes:
            raise UsageError(
                "--attributes is not for Spark",
                fix="join them to the summary there, and give that as --summary",
            )
        files, document = onspark.score(
            posterior,
            where,
            source,
            summary,
            spark,
            settings,
            target,
            kind,
            shell,
            released,
            raw=raw,
            force=force,
        )
    else:
        files, document = large.score(
            posterior,
            where,
            attributes,
            source,
            summary,
            settings,
            target,
            kind,
            shell,
            released,
            raw=raw,
            force=force,
        )
    return Outcome(
        {"written": [str(path) for path in files], **document},
        fitting.gate_error(posterior.manifest, Path(target), released),
    )
