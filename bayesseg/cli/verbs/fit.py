"""``bayesseg fit``: from a purchase log (or a table of clients) to a judged run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesseg.cli import steps
from bayesseg.cli.flags import Data, FitFlags, Force, SourceFlags
from bayesseg.cli.shell import Outcome, Shell


def fit(
    data: Data,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="RUN", help="Run directory to write.")
    ],
    source: SourceFlags,
    model: FitFlags,
    shell: Shell,
    force: Force = False,
) -> Outcome:
    """Fit a model and judge it by its gates.

    A run whose hard gates fail is kept as RUN.untrusted (exit 4).

    Example: bayesseg fit orders.csv --model retail -o runs/june
    """
    from bayesseg._files import lock
    from bayesseg.spec import load_spec

    spec = load_spec(model.model)
    steps.reserve(out, force=force)
    with lock(out):
        steps.warm_up(spec)
        loaded = steps.load(data, source, shell, spec=spec, attributes=model.attributes)
        steps.ready(loaded, spec, shell)
        path, posterior = steps.fit(loaded, spec, out, model, shell, force=force)
    steps.show_fit(posterior, shell)
    return Outcome(steps.fit_document(path, posterior), steps.gate_error(posterior.manifest, path))
