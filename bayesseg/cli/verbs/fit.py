"""``bayesseg fit``: from a purchase log (or a table of clients) to a judged run."""

from __future__ import annotations

from bayesseg.cli.flags import (
    FitFlags,
    Force,
    LineageFlags,
    MaybeData,
    Out,
    SourceFlags,
    SummaryFlags,
)
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import fitting, reading


def fit(
    out: Out,
    source: SourceFlags,
    summary: SummaryFlags,
    model: FitFlags,
    lineage: LineageFlags,
    shell: Shell,
    data: MaybeData = None,
    force: Force = False,
) -> Outcome:
    """Fit a model and judge it by its gates.

    Without DATA, from a summary of customers: no log has to leave the warehouse (see bayesseg sql), and
    forecasts stay unassessed, for no backtest can be made.

    A run whose hard gates fail is kept as RUN.untrusted (exit 4). With --previous, segments that are
    still there keep their ids and names; a locked one that is lost is said (exit 4, the run is kept).

    Example: bayesseg fit orders.csv --model retail -o runs/june
    """
    from bayesseg._files import lock

    spec, data = model.spec(), reading.source_of(data, source, shell, summary)
    before = fitting.before(lineage)
    with lock(out):
        fitting.reserve(out, force=force)
        fitting.warm_up(spec, data)
        loaded = reading.load(
            data, source, shell, spec=spec, attributes=model.attributes, summary=summary
        )
        fitting.ready(loaded, spec, shell)
        path, posterior = fitting.fit(loaded, spec, out, model, before, shell, force=force)
    fitting.show_fit(posterior, shell)
    return Outcome(
        fitting.fit_document(path, posterior), fitting.fit_error(posterior.manifest, path)
    )
