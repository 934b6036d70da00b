"""``bayesseg run`` and ``demo``: check, fit, score, report and lists in one go."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from bayesseg.cli.flags import (
    LANGUAGE,
    Again,
    FitFlags,
    Folder,
    Force,
    Lang,
    LineageFlags,
    MaybeData,
    ScoreFlags,
    SourceFlags,
    SummaryFlags,
    WaiverFlags,
    argv,
    command_line,
    spoken,
)
from bayesseg.cli.shell import Outcome, Shell, heed
from bayesseg.cli.steps import choosing, fitting, people, reading, scoring, showing
from bayesseg.cli.text import risk_table, segment_table, verdict_lines
from bayesseg.cli.verbs.check import judged
from bayesseg.errors import ResourcesMissing, UsageError

_ALONE = LineageFlags(), WaiverFlags()
LISTS = ("save", "win-back")
SHOWN = 10


def run(
    out: Folder,
    source: SourceFlags,
    summary: SummaryFlags,
    model: FitFlags,
    lineage: LineageFlags,
    overlooked: WaiverFlags,
    settings: ScoreFlags,
    shell: Shell,
    data: MaybeData = None,
    lang: Lang = LANGUAGE,
    resume: Again = False,
    force: Force = False,
) -> Outcome:
    """Check, fit, score, report and list, all in one go.

    Every step prints the command that does it alone. What was stopped during the fit goes on by the
    same command with --resume.

    Example: bayesseg run orders.csv -o out/
    """
    from bayesseg._files import lock

    with lock(out):
        _reserve(out, force=force or resume)
        return everything(
            data, out, source, summary, model, (lineage, overlooked), settings, shell, lang, resume
        )


def demo(
    model: FitFlags,
    settings: ScoreFlags,
    shell: Shell,
    out: Folder = Path("demo"),
    lang: Lang = LANGUAGE,
    resume: Again = False,
    force: Force = False,
) -> Outcome:
    """Do all of it on real purchases that come along: CDNOW.

    Example: bayesseg demo -o demo/
    """
    from bayesseg._files import lock, write_text
    from bayesseg.cli.demo import cdnow_csv

    with lock(out):
        _reserve(out, force=force or resume)
        orders = out / "orders.csv"
        write_text(orders, cdnow_csv())
        shell.say(f"wrote {orders}: CDNOW, 2,357 customers who first bought in early 1997")
        plain = SourceFlags(), SummaryFlags()
        return everything(str(orders), out, *plain, model, _ALONE, settings, shell, lang, resume)


def _reserve(out: Path, *, force: bool) -> None:
    """Refuse a folder with something in it unless forced, a file in any case."""
    from bayesseg._files import refuse_existing
    from bayesseg.inference.pieces import count
    from bayesseg.posterior import unfinished

    if not force and (pieces := count(unfinished(out / "run"))):
        raise UsageError(
            f"{out} holds {pieces} finished pieces of a stopped fit",
            fix="go on with it by the same command with --resume, or start anew with --force",
        )
    if not out.is_dir():
        refuse_existing(out, force=False)
    elif any(out.iterdir()):
        refuse_existing(out, force=force)
    if out.is_dir() and not os.access(out, os.W_OK):
        raise ResourcesMissing(f"cannot write into {out}", fix="check its permissions")


def everything(
    data: str | None,
    out: Path,
    source: SourceFlags,
    summary: SummaryFlags,
    model: FitFlags,
    beside: tuple[LineageFlags, WaiverFlags],
    settings: ScoreFlags,
    shell: Shell,
    lang: str,
    resume: bool,
) -> Outcome:
    """All steps, each after the command that does it alone; files go into ``out``."""
    from bayesseg.decide import ranked
    from bayesseg.gates import withheld
    from bayesseg.inference.pieces import count
    from bayesseg.posterior import unfinished

    spec, given = model.spec(), [data] if data else argv(summary)
    where = reading.source_of(data, source, shell, summary)
    before, waivers = fitting.before(beside[0]), fitting.waivers_of(beside[1], spec)
    pieces = unfinished(out / "run")
    fitting.reserve_pieces(out / "run", resume=resume and count(pieces) > 0, force=True)
    fitting.require_room(out / "run", spec)
    fitting.warm_up(spec, where)
    purchases = "purchase" in spec.parts
    dialect = argv(source)
    said: dict[str, Any] = {}
    joined = [word for path in model.attributes or () for word in ("--attributes", path)]
    if purchases and summary.summary is None:
        _say(shell, "check", *given, *dialect)
    loaded = reading.load(
        where, source, shell, spec=spec, attributes=model.attributes, summary=summary
    )
    reading.refuse_nameless(loaded)
    if purchases:
        said, error = judged(loaded, shell)
        if error is not None:
            return Outcome(said, error)
    _say(shell, "fit", *given, *argv(model, *beside), *dialect, "-o", out / "run")
    path, posterior = fitting.fit(
        loaded,
        spec,
        out / "run",
        model,
        before,
        shell,
        force=True,
        waivers=waivers,
        folder=pieces,
        again="--resume",
    )
    files = [path]

    target = scoring.target_of(posterior.manifest, str(out / "scores.parquet"), force=True)
    _say(
        shell,
        "score",
        path,
        *given,
        *argv(settings),
        *joined,
        *dialect,
        "-o",
        out / "scores.parquet",
    )
    scores = people.pseudonymous(
        scoring.score(posterior, loaded.customers, settings, shell), loaded.key
    )
    files += scoring.write_scores(scores, target, "parquet", shell, force=True)

    page = out / "report.html"
    _say(shell, "report", path, "--scores", target, "--include-ids", *spoken(lang), "-o", page)
    files += showing.report(
        posterior,
        scores.table,
        scores.document,
        page,
        shell,
        scores=Path(target),
        beside=showing.beside_of(path, posterior, shell),
        include_ids=True,
        lang=lang,
        force=True,
    )
    if scores.document["segments"]:
        _say(shell, "segments", path, target)
        shell.show("\n" + segment_table(scores.document["segments"]))
    needs = [part for part in ("purchase", "spend") if part in posterior.spec.parts]
    if held := withheld(posterior.manifest, needs):
        shell.say(f"\nno lists: the {' and '.join(held)} part failed its gates")
    elif "value_at_risk" in scores.table:
        for which in LISTS:
            listed, said = choosing.plain(scores.table, which, scores.document, shell)
            command = "prioritise", target, "--list", which, *spoken(lang)
            _say(shell, *command, "-o", out / f"{which}.csv")
            files += showing.write_list(
                showing.told(listed, lang),
                said,
                str(out / f"{which}.csv"),
                shell,
                force=True,
            )
        shell.show("\nMost value at risk")
        shell.show(risk_table(ranked(scores.table, "save", SHOWN)))
    shell.show("\nVerdict")
    for line in verdict_lines(posterior.manifest):
        shell.show(line)
    shell.show("\nWritten\n" + "\n".join(f"  {path}" for path in files))
    document = {
        "check": said,
        "fit": fitting.fit_document(path, posterior),
        "score": scores.document,
        "written": [str(path) for path in files],
    }
    return Outcome(document, fitting.fit_error(posterior.manifest, path))


def _say(shell: Shell, *words: object) -> None:
    heed()
    shell.say("\n$ " + command_line(*words))
