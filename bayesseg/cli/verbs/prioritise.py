"""``bayesseg prioritise``: whom to turn to first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesseg.cli import scorefile
from bayesseg.cli.flags import Force, List
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import showing
from bayesseg.cli.text import risk_table
from bayesseg.cli.verbs.segments import Scores
from bayesseg.errors import GateFailed, UsageError


def prioritise(
    scores: Scores,
    shell: Shell,
    which: Annotated[
        str,
        typer.Option("--list", help="save (slipping) or win-back (silent beyond their rhythm)."),
    ] = "save",
    count: Annotated[int | None, typer.Option(min=1, help="At most this many customers.")] = None,
    suppress_list: Annotated[
        Path | None, typer.Option(help="File of ids that must not be contacted, one a line.")
    ] = None,
    out: List = None,
    force: Force = False,
) -> Outcome:
    """Rank customers by what is at stake: whom to turn to first.

    Example: bayesseg prioritise scores.parquet --list save --count 200 -o list.csv
    """
    from bayesseg.decide import ranked

    table = scorefile.read_scores(scores)
    listed = ranked(table, which, count, suppress=_ids(suppress_list))
    failed = _failed_parts(scores)
    if out is not None:
        showing.write_list(listed, out, shell, force=force)
    elif not shell.as_json:
        shell.show(risk_table(listed))
    shell.say(
        "ranked by value at stake; what contacting them brings is unknown (no save rate given)"
    )
    error = GateFailed(
        f"the {' and '.join(failed)} part of this model failed its gates: the ranking is not reliable",
        fix="fit again; bayesseg inspect RUN says which gate missed and what to do",
    )
    records = listed.to_dict("records") if shell.as_json else []
    return Outcome({"list": which, "customers": records}, error if failed else None)


def _failed_parts(scores: Path) -> list[str]:
    """The parts behind the ranking that failed; a failed segmentation does not touch it."""
    verdicts = scorefile.read_document(scores)["verdicts"]
    return [
        part
        for part in ("purchase", "spend")
        if verdicts.get(part, {}).get("computation") == "failed"
    ]


def _ids(path: Path | None) -> frozenset[str]:
    if path is None:
        return frozenset()
    try:
        return frozenset(path.read_text(encoding="utf-8-sig").splitlines()) - {""}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read --suppress-list {path}: {error}") from error
