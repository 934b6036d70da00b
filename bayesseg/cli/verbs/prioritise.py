"""``bayesseg prioritise``: whom to turn to first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesseg._files import refuse_existing
from bayesseg.cli import scorefile
from bayesseg.cli.flags import (
    LANGUAGE,
    Force,
    Lang,
    List,
    Pseudonymise,
    Reason,
    SuppressKey,
    argv,
    spoken,
)
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import choosing, leaving, monday, people, scored, showing
from bayesseg.cli.text import risk_table
from bayesseg.errors import UsageError

Scores = Annotated[
    Path,
    typer.Argument(help="Scores written by bayesseg score; - is stdin.", metavar="SCORES"),
]


def prioritise(
    scores: Scores,
    shell: Shell,
    terms: choosing.TermFlags,
    limits: choosing.LimitFlags,
    campaign: choosing.CampaignFlags,
    which: Annotated[
        str,
        typer.Option("--list", help="save (slipping) or win-back (silent beyond their rhythm)."),
    ] = "save",
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Run the scores were made with: each customer's own future is drawn for intervals.",
        ),
    ] = None,
    document: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What score wrote beside the scores that stdin gives."),
    ] = None,
    since: Annotated[
        Path | None,
        typer.Option(
            metavar="LAST",
            help="Instead of a list: who fell, rose, came or went since these scores, and why.",
        ),
    ] = None,
    suppress_list: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Who must not be contacted: ids, one a line or in a column, or tombstones of erase.",
        ),
    ] = None,
    suppress_key: SuppressKey = None,
    pseudonymise: Pseudonymise = None,
    curve: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write what each budget would bring, with its band: .csv, .ndjson."
        ),
    ] = None,
    out: List = None,
    lang: Lang = LANGUAGE,
    force: Force = False,
    reason: Reason = None,
) -> Outcome:
    """Rank customers by what is at stake, or by what contacting them brings under a budget.

    With --save-rate and --contact-cost only those stay whose expected benefit is above its cost, most
    benefit per cost first, as far as --budget, --count and --capacity reach; with --model also its
    interval, how likely it is to be worth it and by which day. Settings, curve and hold-out go beside
    the list, as LIST.json.

    Where the purchase or the spend part failed its gates nobody is listed (exit 4), unless the scores
    were made with --force --reason and this is, too; the list is then named FILE.untrusted.EXT.

    Example: bayesseg prioritise scores.parquet --list save --count 200 -o list.csv
    """
    if since is not None:
        others = argv(terms, limits, campaign) + ([] if curve is None else ["--curve"])
        others += [*([] if which == "save" else ["--list"]), *spoken(lang)]
        if others:
            raise UsageError(
                f"--since shows what has changed and makes no list: {others[0]} says nothing there",
                fix="leave one of them out",
            )
    given = scored.read(scores, document, model)
    # scores of attributes alone have no such parts, and nothing to rank
    parts = ("purchase", "spend") if "clv" in given.table else ()
    released = leaving.accept(given.document, parts, shell, force=force, reason=reason)
    if out is not None:
        out = scorefile.untrusted(out) if released.parts else out
        if beside := showing.list_beside(out, scores):
            for path in (Path(out), beside):
                refuse_existing(path, force=force, file=True)
    those = people.admitted(
        given.table, given.document, suppress_list, pseudonymise, shell, suppress_key
    )
    if since is not None:
        renaming = None if those.named else those.key
        return monday.view(those.table, given, since, out, shell, key=renaming, force=force)
    chosen = choosing.choose(
        those.table,
        which,
        terms,
        limits,
        campaign,
        shell,
        posterior=given.posterior,
        document=given.document,
        key=those.key if those.named else None,
    )
    listed = showing.told(those.written(chosen.table), lang)
    reasons = dict.fromkeys(released.parts, released.reason)
    said = {
        **chosen.document,
        "renamed": those.key is not None and not those.named,
        "suppressed": those.left,
        "released": reasons,
    }
    if curve is not None:
        showing.write_curve(chosen.document, curve, shell, force=force)
    if out is not None:
        showing.write_list(listed, said, out, shell, force=force)
    elif not shell.as_json:
        shell.show(risk_table(listed))
    choosing.say(chosen.document, shell)
    return Outcome({**said, "customers": showing.records(listed) if shell.as_json else []})
