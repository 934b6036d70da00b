"""``bayesseg prioritise``: whom to turn to first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesseg.cli import scorefile
from bayesseg.cli.flags import Force, List, Pseudonymise, Reason, objections
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import leaving, people, showing
from bayesseg.cli.text import risk_table
from bayesseg.cli.verbs.segments import Scores


def prioritise(
    scores: Scores,
    shell: Shell,
    which: Annotated[
        str,
        typer.Option("--list", help="save (slipping) or win-back (silent beyond their rhythm)."),
    ] = "save",
    count: Annotated[int | None, typer.Option(min=1, help="At most this many customers.")] = None,
    suppress_list: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Who must not be contacted: ids, one a line or in a column, or tombstones of erase.",
        ),
    ] = None,
    pseudonymise: Pseudonymise = None,
    out: List = None,
    force: Force = False,
    reason: Reason = None,
) -> Outcome:
    """Rank customers by what is at stake: whom to turn to first.

    Where the purchase or the spend part failed its gates nobody is listed (exit 4), unless the scores
    were made with --force --reason and this is, too; the list is then named FILE.untrusted.EXT.

    Example: bayesseg prioritise scores.parquet --list save --count 200 -o list.csv
    """
    from bayesseg.decide import ranked
    from bayesseg.ingest import read_key

    table = scorefile.read_scores(scores)
    document, key = scorefile.read_document(scores), None
    # scores of attributes alone have no such parts, and nothing to rank
    parts = ("purchase", "spend") if "clv" in table else ()
    released = leaving.accept(document, parts, shell, force=force, reason=reason)
    if pseudonymise is not None:
        key = read_key(pseudonymise)
    named = people.accept_key(document, key, asked=suppress_list is not None)
    left = people.suppressed(table, objections(suppress_list, pseudonymise))
    if left is not None:
        tell = shell.warn if left["unknown"] == left["entries"] else shell.say
        tell(
            f"{left['count']:,} of {len(table):,} customers left out by --suppress-list; "
            f"{left['unknown']:,} of its {left['entries']:,} entries are unknown here"
        )
        table = table[~left.pop("rows")]
    listed = ranked(table, which, count)
    if key is not None and not named:
        listed = people.renamed(listed, key)
    if out is not None:
        out = scorefile.untrusted(out) if released.parts else out
        showing.write_list(listed, out, shell, force=force)
    elif not shell.as_json:
        shell.show(risk_table(listed))
    shell.say(
        "ranked by value at stake; what contacting them brings is unknown (no save rate given)"
    )
    records = listed.to_dict("records") if shell.as_json else []
    reasons = dict.fromkeys(released.parts, released.reason)
    return Outcome({"list": which, "suppressed": left, "released": reasons, "customers": records})
