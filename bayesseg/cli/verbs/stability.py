"""``bayesseg stability``: do the segments of a run come back when its customers are drawn again?"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from bayesseg.cli.flags import (
    LANGUAGE,
    SEED,
    Facts,
    Force,
    Lang,
    MaybeData,
    MaybeHtml,
    Run,
    SourceFlags,
    argv,
    command_line,
    spoken,
)
from bayesseg.cli.progress import progress
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import reading, scoring, segmenting
from bayesseg.errors import GateFailed, ResourcesMissing


def stability(
    run: Run,
    source: SourceFlags,
    shell: Shell,
    data: MaybeData = None,
    attributes: Facts = None,
    refits: Annotated[int, typer.Option(min=10, help="Refits to reweighted customers.")] = 50,
    seed: Annotated[int, typer.Option(help="Seed of every random number.", min=0)] = SEED,
    out: MaybeHtml = None,
    lang: Lang = LANGUAGE,
    force: Force = False,
) -> Outcome:
    """Ask whether the segments of a run are there, or made by chance.

    Refits to reweighted customers and to halves of them, Jaccard of each segment with Hennig's words.
    Exit 4 where a segment is untrusted (below 0.6). The answer is kept beside the run, as
    RUN.stability.json, where report and inspect look for it.

    Example: bayesseg stability runs/june orders.csv --refits 50 -o stability.html
    """
    from bayesseg.posterior import now
    from bayesseg.report.segmentation.stability import build
    from bayesseg.segmentation.assessed import keep
    from bayesseg.segmentation.refits import THOROUGH
    from bayesseg.segmentation.stability import stability as of
    from bayesseg.segmentation.stability import with_refits

    where = reading.source_of(data, source, shell)
    segmenting.refuse_page(out, force=force)
    posterior = scoring.segmented(run)
    source = reading.as_fitted(source, posterior.manifest, shell)
    if source.as_of is None and posterior.manifest["as_of"]:
        source = replace(source, as_of=posterior.manifest["as_of"])
    loaded = reading.load(where, source, shell, spec=posterior.spec, attributes=attributes)
    with progress() as on_progress:
        document = of(
            posterior,
            loaded.customers,
            effort=with_refits(THOROUGH, refits),
            seed=seed,
            on_progress=on_progress,
        )
    document |= {"assessed_on": now().date().isoformat()}
    segmenting.show_stability(document, shell)
    given = ["--refits", refits, "--seed", seed, *argv(source)]
    command = command_line(
        "stability", "RUN", *(("DATA",) if data else ()), *given, *spoken(lang), "-o", "OUT.html"
    )
    try:
        kept = keep(document, run, posterior.manifest["customers"]["all"])
        shell.say(
            f"kept {kept}, for report and inspect"
            if kept
            else "not kept: it was not asked of the customers of the fit, and what stands beside the "
            "run was; report --stability takes the JSON of -o"
        )
    except ResourcesMissing as refused:  # runs may stand where nobody writes
        shell.warn(f"{refused.message}: give report --stability the JSON of -o")
    document = segmenting.written(build, document, command, out, shell, lang=lang, force=force)
    weak = [one for one in document["segments"] if one["word"] in ("dissolved", "untrusted")]
    error = GateFailed(
        f"{len(weak)} of {len(document['segments'])} segments do not come back",
        fix="bayesseg compare says which number of segments does",
        details={"segments": [one["id"] for one in weak]},
    )
    return Outcome(document, error if weak else None)
