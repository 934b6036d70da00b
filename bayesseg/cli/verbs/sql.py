"""``bayesseg sql``: the query that sums up customers where their purchases are."""

from __future__ import annotations

from typing import Annotated

import typer

from bayesseg import sql as texts
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.errors import UsageError
from bayesseg.spans import day


def sql(
    dialect: Annotated[
        str, typer.Option(metavar="NAME", help=f"{', '.join(texts.DIALECTS[:-1])} or spark.")
    ],
    table: Annotated[
        str, typer.Option(metavar="NAME", help="Table of purchase lines, such as sales.orders.")
    ],
    customer_id: Annotated[str, typer.Option(metavar="COLUMN", help="Column of the customer id.")],
    date: Annotated[str, typer.Option(metavar="COLUMN", help="Column of the day or moment.")],
    amount: Annotated[
        str,
        typer.Option(help='Column of the amount, or an expression such as "Quantity * UnitPrice".'),
    ],
    as_of: Annotated[str, typer.Option(metavar="DAY", help="Last day observed, inclusive.")],
    shell: Shell,
    order_id: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Column of the order id: refunds are netted within an order."
        ),
    ] = None,
    tz: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE",
            help="Where days begin, such as Europe/Paris: for moments that are instants.",
        ),
    ] = None,
    refunds: Annotated[str, typer.Option(help="net or drop negative amounts.")] = "net",
    dedupe: Annotated[
        bool, typer.Option("--dedupe", help="Keep one of several exactly equal rows.")
    ] = False,
    keep_id: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="A customer although the id looks like a placeholder; may be repeated.",
        ),
    ] = None,
    histogram: Annotated[
        bool, typer.Option("--histogram", help="Distinct histories with their number, no ids.")
    ] = False,
    account: Annotated[
        bool, typer.Option("--account", help="Lines used and left out, by reason.")
    ] = False,
    dbt: Annotated[
        bool, typer.Option("--dbt", help="A dbt model: ref or source, the day a variable as_of.")
    ] = False,
) -> Outcome:
    """Print the query that sums up customers in a warehouse.

    What ingest does to a file, as one SELECT: what comes out is for fit --summary and score --summary.
    Names are taken as typed, in Snowflake in capitals unless in double quotes. Nothing is connected to.

    Example: bayesseg sql --dialect postgres --table sales.orders --customer-id id --date day
    --amount total --as-of 2025-06-30
    """
    from bayesseg.ingest.ids import NOBODY

    if refunds not in ("net", "drop"):
        raise UsageError(
            f"--refunds {refunds!r} cannot be asked of a warehouse", fix="choose net or drop"
        )
    if histogram and account:
        raise UsageError("--histogram and --account are two queries", fix="give one of them")
    log = texts.Log(
        table,
        customer_id,
        date,
        amount,
        order_id,
        zone=tz,
        drop_refunds=refunds == "drop",
        dedupe=dedupe,
        nobody=tuple(NOBODY),
        keep_ids=tuple(keep_id or ()),
    )
    kind = "histogram" if histogram else "account" if account else "customers"
    text = texts.statement(log, day(as_of), dialect, kind, dbt=dbt)
    if dialect not in texts.EXECUTED:
        shell.say(f"{dialect}: transpiled, not run on a real one by our tests")
    if tz is None:
        shell.say(
            "instants in the date column would fall on the session's days: give --tz for them"
        )
    shell.show(text)
    return Outcome({"dialect": dialect, "kind": kind, "sql": text})
