"""``bayesseg fit``: from a purchase log (or a table of clients) to a judged run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bayesseg.cli.flags import (
    SPARK,
    FitFlags,
    Force,
    LineageFlags,
    Master,
    MaybeData,
    MaybeOut,
    Resume,
    SourceFlags,
    SparkFlags,
    SummaryFlags,
    WaiverFlags,
)
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import fitting, onspark, reading
from bayesseg.errors import UsageError

if TYPE_CHECKING:
    from bayesseg.posterior import Posterior


def fit(
    source: SourceFlags,
    summary: SummaryFlags,
    model: FitFlags,
    lineage: LineageFlags,
    overlooked: WaiverFlags,
    shell: Shell,
    data: MaybeData = None,
    out: MaybeOut = None,
    resume: Resume = None,
    master: Master = None,
    force: Force = False,
) -> Outcome:
    """Fit a model and judge it by its gates.

    Without DATA, from a summary of customers: no log has to leave the warehouse (see bayesseg sql), and
    forecasts stay unassessed, for no backtest can be made. With --engine spark that summary is made of
    DATA on Spark, and the fit here; --engine nuts beside it says by what.

    A run whose hard gates fail is kept as RUN.untrusted (exit 4). With --previous, segments that are
    still there keep their ids and names; a locked one that is lost is said (exit 4, the run is kept).
    --waivers overlooks gates that you answer for; the run and its report say so.

    A fit that was stopped (Ctrl-C, SIGTERM, a crash) keeps its finished chains as RUN.unfinished. The
    same command with --resume RUN in place of -o RUN goes on from them and ends in the same bits.

    Example: bayesseg fit orders.csv --model retail -o runs/june
    """
    from bayesseg._files import lock
    from bayesseg.posterior import unfinished

    if (target := out or resume) is None or (out and resume):
        raise UsageError(
            "where to?", fix="give -o RUN, or --resume RUN to go on with a stopped fit"
        )
    spec = model.spec(spark=True)
    spark = SparkFlags(SPARK if SPARK in (model.engine or ()) else None, master)
    data = reading.source_of(data, source, shell, summary)
    if spark.engine and (summary.summary or model.attributes):
        raise UsageError(
            "--engine spark sums up purchase lines: neither --summary nor --attributes goes with it",
            fix="leave one of them out; a summary that Spark made is for --summary",
        )
    before, waivers = fitting.before(lineage), fitting.waivers_of(overlooked, spec)
    with lock(target):
        if resume and not force and (done := fitting.completed(target, shell)):
            return _told(done, shell)
        fitting.reserve(target, force=force)
        fitting.reserve_pieces(target, resume=resume is not None, force=force)
        fitting.require_room(target, spec)
        fitting.warm_up(spec, data)
        loaded = (
            onspark.loaded(data, source, spark, spec, shell)
            if spark.engine
            else reading.load(
                data,
                source,
                shell,
                spec=spec,
                attributes=model.attributes,
                summary=summary,
                people="segments" in spec.parts,
            )
        )
        fitting.ready(loaded, spec, shell)
        done = fitting.fit(
            loaded,
            spec,
            target,
            model,
            before,
            shell,
            force=force,
            waivers=waivers,
            folder=unfinished(target),
        )
    return _told(done, shell)


def _told(done: tuple[Path, Posterior], shell: Shell) -> Outcome:
    path, posterior = done
    fitting.show_fit(posterior, shell)
    return Outcome(
        fitting.fit_document(path, posterior), fitting.fit_error(posterior.manifest, path)
    )
