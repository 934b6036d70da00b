"""``bayesseg run`` and ``demo``: check, fit, score, report and lists in one go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bayesseg.cli import steps
from bayesseg.cli.flags import Data, FitFlags, Force, ScoreFlags, SourceFlags, argv, command_line
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.text import risk_table, segment_table, verdict_lines
from bayesseg.cli.verbs.check import judged

LISTS = ("save", "win-back")
SHOWN = 10

Folder = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Folder to write.")]


def run(
    data: Data,
    out: Folder,
    source: SourceFlags,
    model: FitFlags,
    settings: ScoreFlags,
    shell: Shell,
    force: Force = False,
) -> Outcome:
    """Check, fit, score, report and list, all in one go.

    Every step prints the command that does it alone.

    Example: bayesseg run orders.csv -o out/
    """
    from bayesseg._files import lock, refuse_existing

    refuse_existing(out, force=force)
    with lock(out):
        return everything(data, out, source, model, settings, shell)


def demo(
    model: FitFlags,
    settings: ScoreFlags,
    shell: Shell,
    out: Folder = Path("demo"),
    force: Force = False,
) -> Outcome:
    """Do all of it on real purchases that come along: CDNOW.

    Example: bayesseg demo -o demo/
    """
    from bayesseg._files import lock, refuse_existing, write_text
    from bayesseg.cli.demo import cdnow_csv

    refuse_existing(out, force=force)
    with lock(out):
        orders = out / "orders.csv"
        write_text(orders, cdnow_csv())
        shell.say(f"wrote {orders}: CDNOW, 2,357 customers who first bought in early 1997")
        return everything(str(orders), out, SourceFlags(), model, settings, shell)


def everything(
    data: str,
    out: Path,
    source: SourceFlags,
    model: FitFlags,
    settings: ScoreFlags,
    shell: Shell,
) -> Outcome:
    """All steps, each after the command that does it alone; files go into ``out``."""
    from bayesseg.decide import ranked
    from bayesseg.spec import load_spec

    spec = load_spec(model.model)
    steps.warm_up(spec)
    purchases = "purchase" in spec.parts
    reading = argv(source)
    said: dict[str, Any] = {}
    joined = ["--attributes", model.attributes] if model.attributes else []
    if purchases:
        _say(shell, "check", data, *reading)
    loaded = steps.load(data, source, shell, spec=spec, attributes=model.attributes)
    if purchases:
        said, error = judged(loaded, shell)
        if error is not None:
            return Outcome(said, error)
    _say(shell, "fit", data, *argv(model), *reading, "-o", out / "run")
    path, posterior = steps.fit(loaded, spec, out / "run", model, shell, force=True)
    files = [path]

    target = str(out / "scores.parquet")
    _say(shell, "score", path, data, *argv(settings), *joined, *reading, "-o", target)
    scores = steps.score(posterior, loaded.customers, settings, shell)
    files += steps.write_scores(scores, [target], shell, force=True)
    table = files[1]

    _say(shell, "report", path, "--scores", table, "-o", out / "report.html")
    files += steps.report(
        posterior, scores.table, scores.document, out / "report.html", shell, force=True
    )
    if scores.document["segments"]:
        _say(shell, "segments", path, table)
        shell.show("\n" + segment_table(scores.document["segments"]))
    if "value_at_risk" in scores.table:
        for which in LISTS:
            _say(shell, "prioritise", table, "--list", which, "-o", out / f"{which}.csv")
            listed = ranked(scores.table, which)
            written = steps.write_list(listed, str(out / f"{which}.csv"), shell, force=True)
            files += [written] if written else []
        shell.show("\nMost value at risk")
        shell.show(risk_table(ranked(scores.table, "save", SHOWN)))
    shell.show("\nVerdict")
    for line in verdict_lines(posterior.manifest["verdicts"]):
        shell.show(line)
    shell.show("\nWritten\n" + "\n".join(f"  {path}" for path in files))
    document = {
        "check": said,
        "fit": steps.fit_document(path, posterior),
        "score": scores.document,
        "written": [str(path) for path in files],
    }
    return Outcome(document, steps.gate_error(posterior.manifest, path))


def _say(shell: Shell, *words: object) -> None:
    shell.say("\n$ " + command_line(*words))
