"""``bayesseg export``: the files that a CRM, a warehouse or a BI tool reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bayesseg.cli import scorefile
from bayesseg.cli.flags import Force, Pseudonymise, Reason, SuppressKey
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import exporting, holding, leaving
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
    suppress_key: SuppressKey = None,
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
    few rows (--exact: as they are); clv_pred_lo, clv_pred_hi and p_top_decile go with a row and may lag
    behind without a bound. feed.parquet in OUT is what the destination then holds: give OUT to the next
    --changed-since. Who objected since is in cleared, to be sent as updates; Klaviyo and Braze cannot be
    told that a number is gone. Parts that failed their gates are left out. Refused (exit 4) without
    --force --reason: such a part where nothing else or its column is asked for, older scores than were
    told, and more than 20 % of customers who come or go, or 30 % who change segment or tier. Customers
    whom the destination cannot hold are in rejects.csv (exit 7).

    Example: bayesseg export scores.parquet --to hubspot --changed-since crm/monday -o crm/tuesday
    """
    from bayesseg.feed import mapping
    from bayesseg.feed.targets import key_of, target_of

    if dry_run or schema:
        out = None
    elif out is None:
        raise UsageError("there is nowhere to write", fix="give -o OUT, --dry-run or --schema")
    if to == "bi":
        given = {
            "--map": map_ is not None,
            "--changed-since": changed_since is not None,
            "--exact": exact,
            "--campaign": group.campaign is not None,
            "--holdout": group.holdout is not None,
            "--schema": schema,
        }
        if asked := ", ".join(flag for flag, value in given.items() if value):
            raise UsageError(
                f"--to bi writes whole tables in their own names, exact: {asked} says nothing there",
                fix=f"leave {asked} out",
            )
    how = leaving.How(
        exact=exact,
        campaign=group.campaign,
        holdout=group.holdout,
        suppress_list=suppress_list,
        suppress_key=suppress_key,
        pseudonymise=pseudonymise,
        dry_run=dry_run,
        force=force,
        reason=reason,
    )
    names = None if map_ is None else mapping.read(map_)
    ready = leaving.ready(scores, how, names or (), shell)
    document = ready.document
    if out is not None:
        out = Path(scorefile.untrusted(str(out))) if ready.released else out
        exporting.reserve(out, changed_since, force=force)
    taken = ("model", "model_id", "verdict", "as_of", "scored_at", "money", "settings")
    manifest = {
        "target": to,
        **{name: document.get(name) for name in taken},
        "scores": document["table"],
        "released": ready.released,
        "suppressed": ready.suppressed,
        "campaign": group.campaign,
        "holdout": group.holdout,
        "exact": exact,
    }
    if to == "bi":
        return exporting.tables(ready.table, document, out, manifest, shell, force=force)
    target = target_of(to)
    place = holding.whose(to, key_of(target, names), ready.names)
    held = None if changed_since is None else holding.earlier(changed_since, place)
    before = None if held is None else holding.known(held, target, names)
    news = exporting.news(ready.table, document, to, map_, before, exact=exact)
    if schema:
        return exporting.schema(news, manifest, shell)
    gone: list[str] = []
    if held is not None:
        holding.require_newer(held, document, shell, force=force, reason=reason)
        holding.say_holdout(held, news.names, shell)
        gone = holding.emptied(held, news.feed, ready, leaving.listed(how, shell))
    told = holding.after(held, place, news.feed, news.names, gone, document)
    return exporting.write(news, told, gone, out, manifest, shell, force=force, reason=reason)
