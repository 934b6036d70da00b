"""``bayesseg push``: send the scores where they are used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bayesseg.cli.flags import Pseudonymise, SuppressKey, named_file
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import pushing
from bayesseg.cli.steps.pushing import How, Where
from bayesseg.errors import UsageError


@dataclass(frozen=True, slots=True)
class WhereFlags:
    """Where to; what is secret comes from the environment."""

    to: Annotated[str, typer.Option("--to", metavar="NAME", help=f"{', '.join(pushing.NAMES)}.")]
    dsn: Annotated[
        str,
        typer.Option(metavar="env:NAME", help="postgres: the variable that holds the address."),
    ] = "env:BAYESSEG_DSN"
    table: Annotated[
        str | None,
        typer.Option(metavar="SCHEMA.NAME", help="postgres: the table; made where it is absent."),
    ] = None
    address: Annotated[
        str | None,
        typer.Option(metavar="https://HOST", help="salesforce: My Domain; hubspot: another host."),
    ] = None
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=lambda path: None if path is None else named_file(path),
            help="salesforce, hubspot: what was told last (Parquet); made by the first push.",
        ),
    ] = None
    map: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="salesforce, hubspot: which columns, by what names (TOML)."
        ),
    ] = None

    def place(self) -> Where:
        """The same, for the step."""
        return Where(self.to, self.dsn, self.table, self.address, self.state, self.map)


@dataclass(frozen=True, slots=True)
class EraseFlags:
    """Whom to forget, there and in files."""

    erase: Annotated[
        Path | None,
        typer.Option(
            metavar="IDS",
            help="Push nothing: delete these people there (postgres) and take them out of the files "
            "given.",
        ),
    ] = None
    tombstones: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=lambda path: None if path is None else named_file(path),
            help="With --erase: add their pseudonyms there, for --suppress-list.",
        ),
    ] = None
    key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="With --erase: key of the pseudonyms, a file or env:NAME."
        ),
    ] = None
    customer_id: Annotated[
        str | None,
        typer.Option(help="With --erase: column of the customer id, where its name does not tell."),
    ] = None


def push(
    where: WhereFlags,
    whom: EraseFlags,
    shell: Shell,
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Scores written by bayesseg score; with --erase any files that name people.",
            metavar="SCORES",
        ),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact", help="Numbers as they are, not rounded: nearly every row, every night."
        ),
    ] = False,
    campaign: Annotated[
        str | None, typer.Option(help="With --holdout: the campaign they are held out of.")
    ] = None,
    holdout: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Mark this share of customers as held out."),
    ] = None,
    suppress_list: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Who must not be there: ids, one a line or in a column, or tombstones of erase.",
        ),
    ] = None,
    suppress_key: SuppressKey = None,
    pseudonymise: Pseudonymise = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the tables to make, and send nothing.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Overrule what refuses; only with --reason.")
    ] = False,
    reason: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="With --force: why; the ledger or the state keeps it."),
    ] = None,
) -> Outcome:
    """Send scores where they are used: PostgreSQL, Salesforce or HubSpot.

    Numbers are rounded and stay until they have truly moved, so what did not change is not sent again.
    Refused (exit 4) without --force --reason: parts that failed their gates, scores older than those
    there, and too much at once (20 % of customers appear or disappear, 30 % change segment or tier).
    Where people were erased, their tombstones are wanted (--suppress-list), forced or not.
    Exit 6: the destination failed, and the same call may be repeated; 7: it refuses rows; 8: another
    push is at work. A push to PostgreSQL is one transaction, noted in bayesseg_runs beside the table.

    Example: bayesseg push scores.parquet --to postgres --table crm.scores --dry-run
    """
    given = files or []
    if whom.erase is not None:
        if where.to != "postgres":
            raise UsageError(
                f"push does not erase people in {where.to}",
                fix="erase them there by its own means, and in files by bayesseg erase",
            )
        _alone(
            "beside --erase",
            exact=exact,
            campaign=campaign,
            holdout=holdout,
            suppress_list=suppress_list,
            suppress_key=suppress_key,
            pseudonymise=pseudonymise,
            schema=schema,
            force=force,
            reason=reason,
        )
        return pushing.erase(
            whom.erase,
            given,
            where.place(),
            whom.tombstones,
            whom.key,
            whom.customer_id,
            shell,
            dry_run=dry_run,
        )
    _alone(
        "without --erase",
        tombstones=whom.tombstones,
        key=whom.key,
        customer_id=whom.customer_id,
    )
    place = where.place()
    if len(given) != 1:
        raise UsageError("push wants one file of scores", fix="give SCORES")
    how = How(
        exact,
        campaign,
        holdout,
        suppress_list,
        suppress_key,
        pseudonymise,
        dry_run,
        force,
        reason,
    )
    send = pushing.schema if schema else pushing.push
    return send(given[0], place, how, shell)


def _alone(beside: str, **flags: object) -> None:
    """Refuse flags that would say nothing there."""
    if said := [f"--{name.replace('_', '-')}" for name, value in flags.items() if value]:
        raise UsageError(f"{', '.join(said)} says nothing {beside}", fix="leave it out")
