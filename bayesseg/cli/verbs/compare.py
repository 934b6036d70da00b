"""``bayesseg compare``: how many segments, of which shape, and what others would have found."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from bayesseg.cli.flags import (
    KINDS,
    LANGUAGE,
    FitFlags,
    Force,
    Lang,
    MaybeHtml,
    SourceFlags,
    argv,
    command_line,
    spoken,
)
from bayesseg.cli.progress import progress
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import reading, segmenting
from bayesseg.errors import UsageError


def compare(
    source: SourceFlags,
    model: FitFlags,
    shell: Shell,
    data: Annotated[
        str | None, typer.Option("--data", metavar="DATA", help=f"{KINDS} Or see --from.")
    ] = None,
    components: Annotated[
        str,
        typer.Option(metavar="A:B", help="Numbers of segments you could work with, both included."),
    ] = "2:8",
    covariance: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="full, tied, diag, spherical (default: MODEL's own and full).",
        ),
    ] = None,
    tails: Annotated[
        str | None, typer.Option(metavar="A,B", help="normal, t (default: both).")
    ] = None,
    min_segment: Annotated[
        int | None,
        typer.Option(min=1, help="Least customers in a segment (default: 50, fewer of few)."),
    ] = None,
    refits: Annotated[int, typer.Option(min=10, help="Bootstrap refits a candidate.")] = 50,
    no_classics: Annotated[
        bool, typer.Option("--no-classics", help="Leave out scikit-learn's clusterings.")
    ] = False,
    out: MaybeHtml = None,
    lang: Lang = LANGUAGE,
    force: Force = False,
) -> Outcome:
    """Compare segmentations: how many segments the data support, and how many you may work with.

    One table over the number of segments and their shape; the stable number by a stated rule, a working
    number inside the range you ask for, and what k-means, density and hierarchy would say.

    Example: bayesseg compare --data orders.csv --model retail --components 3:6 -o compare.html
    """
    from bayesseg.report.segmentation.comparison import build
    from bayesseg.segmentation.comparison import comparison
    from bayesseg.segmentation.refits import THOROUGH
    from bayesseg.segmentation.stability import with_refits

    low, high = _range(components)
    where = reading.source_of(data, source, shell)
    segmenting.refuse_page(out, force=force)
    spec = model.spec()
    loaded = reading.load(where, source, shell, spec=spec, attributes=model.attributes)
    own = str(spec.parts["segments"].options["covariance"]) if "segments" in spec.parts else ""
    with progress() as on_progress:
        document = comparison(
            loaded.customers,
            spec,
            components=(low, high),
            covariances=_names(covariance) or tuple(dict.fromkeys((own, "full"))),
            tails=_names(tails) or ("normal", "t"),
            min_segment=min_segment,
            effort=with_refits(THOROUGH, refits),
            seed=model.seed,
            purchases=loaded.purchases,
            with_classics=not no_classics,
            on_progress=on_progress,
        )
    segmenting.show_comparison(document, shell)
    asked = {"covariance": covariance, "tails": tails, "min-segment": min_segment}
    given: list[Any] = ["--components", components, "--refits", refits, *argv(model, source)]
    for name, value in asked.items():
        given += [] if value is None else [f"--{name}", value]
    given += ["--no-classics"] if no_classics else []
    command = command_line(
        "compare", *(("--data", "DATA") if data else ()), *given, *spoken(lang), "-o", "OUT.html"
    )
    return Outcome(segmenting.written(build, document, command, out, shell, lang=lang, force=force))


def _range(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)(?::(\d+))?", text.strip())
    if not match:
        raise UsageError(
            f"--components {text!r} is no range", fix="write 2:8, or 4 for exactly four"
        )
    low, high = int(match[1]), int(match[2] or match[1])
    if not 1 <= low <= high <= 30:
        raise UsageError(f"--components {text} is no range from 1 to 30", fix="write 2:8")
    return low, high


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, (n.strip() for n in (text or "").split(",")))))
