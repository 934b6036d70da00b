"""``bayesseg export``: the files that a CRM, a warehouse or a BI tool reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bayesseg._files import refuse_existing
from bayesseg.cli import scorefile
from bayesseg.cli.flags import Force, Pseudonymise, Reason
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import exporting, leaving, people
from bayesseg.cli.verbs.segments import Scores
from bayesseg.errors import UsageError


@dataclass(frozen=True, slots=True)
class HoldoutFlags:
    """Which campaign's hold-out to mark."""

    campaign: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --holdout: whose hold-out to mark.")
    ] = None
    holdout: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", help="Mark this share of customers as held out of --campaign."
        ),
    ] = None

    def __post_init__(self) -> None:
        if (self.campaign is None) is not (self.holdout is None):
            raise UsageError("--campaign and --holdout go together", fix="give both, or neither")


def export(
    scores: Scores,
    shell: Shell,
    to: Annotated[
        str,
        typer.Option(
            metavar="TARGET",
            help="salesforce, hubspot, klaviyo, braze, warehouse (Parquet and SQL), csv or bi.",
        ),
    ],
    group: HoldoutFlags,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="OUT", help="Folder to write.")
    ] = None,
    map_: Annotated[
        Path | None,
        typer.Option(
            "--map", metavar="TOML", help="Which columns go, and what each is called there."
        ),
    ] = None,
    changed_since: Annotated[
        Path | None,
        typer.Option(
            metavar="EARLIER",
            help="Write only what is news since that export: its folder, or the feed.parquet in it.",
        ),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option("--exact", help="The numbers as they are: every row is news every night."),
    ] = False,
    suppress_list: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Who must not be handed on: ids, one a line or in a column, or tombstones of erase.",
        ),
    ] = None,
    suppress_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="Key of the tombstones (default: that of --pseudonymise)."
        ),
    ] = None,
    pseudonymise: Pseudonymise = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print what to create at the destination first.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written, show the first rows.")
    ] = False,
    force: Force = False,
    reason: Reason = None,
) -> Outcome:
    """Write the files that a CRM, a warehouse or a BI tool reads: rounded, and only what is news.

    Numbers stand on a grid and stay until they truly move, so that a night without purchases rewrites
    few rows (--exact: as they are). feed.parquet in OUT is what the destination then holds: give OUT to
    the next --changed-since. Refused (exit 4) without --force --reason: parts that failed their gates,
    and more than 20 % of customers who come or go, or 30 % who change segment or tier. Customers whom
    the destination cannot hold are in rejects.csv (exit 7).

    Example: bayesseg export scores.parquet --to hubspot --changed-since crm/monday -o crm/tuesday
    """
    if dry_run or schema:
        out = None
    elif out is None:
        raise UsageError("there is nowhere to write", fix="give -o OUT, --dry-run or --schema")
    table, document = scorefile.read_scores(scores), scorefile.read_document(scores)
    parts = leaving.parts_of(table)
    released = leaving.accept(document, parts, shell, force=force, reason=reason)
    if out is not None:
        out = Path(scorefile.untrusted(str(out))) if released.parts else out
        refuse_existing(out, force=force)
    if group.holdout is not None:
        from bayesseg.decide.holdout import held

        ids = table["customer_id"].to_numpy(dtype=object)
        table = table.assign(holdout=held(ids, str(group.campaign), group.holdout))
    table, left = people.permitted(
        table, document, suppress_list, pseudonymise, shell, suppress_key
    )
    taken = ("model", "model_id", "verdict", "as_of", "scored_at", "money", "settings")
    manifest = {
        "target": to,
        **{name: document.get(name) for name in taken},
        "scores": document["table"],
        "released": dict.fromkeys(released.parts, released.reason),
        "suppressed": left,
        "campaign": group.campaign,
        "holdout": group.holdout,
        "exact": exact,
    }
    if to == "bi":
        given = {"--map": map_, "--changed-since": changed_since, "--schema": schema or None}
        if asked := [flag for flag, value in given.items() if value is not None]:
            raise UsageError(
                f"--to bi writes whole tables in their own names: {', '.join(asked)} says nothing there",
                fix=f"leave {', '.join(asked)} out",
            )
        return exporting.tables(table, document, out, manifest, shell, force=force)
    before = None if changed_since is None else exporting.earlier(changed_since)
    news = exporting.news(table, document, to, map_, before, exact=exact)
    if schema:
        return exporting.schema(news, manifest, shell)
    return exporting.write(news, out, manifest, shell, force=force, reason=reason)
