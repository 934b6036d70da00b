"""``bayesseg sql``: the query that sums up customers where their purchases are."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated

import typer

from bayesseg import sql as texts
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.errors import UsageError
from bayesseg.spans import day


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What ingest does to a file and our SELECT does not: asked for, it is refused with advice."""

    shares: Annotated[list[str] | None, typer.Option(hidden=True)] = None
    currency: Annotated[str | None, typer.Option(hidden=True)] = None
    rates: Annotated[str | None, typer.Option(hidden=True)] = None
    id_trim: Annotated[bool, typer.Option("--id-trim", hidden=True)] = False
    id_normalize: Annotated[str | None, typer.Option(hidden=True)] = None
    epoch: Annotated[str | None, typer.Option(hidden=True)] = None

    def __post_init__(self) -> None:
        for one in fields(self):
            if getattr(self, one.name):
                option = f"--{one.name.replace('_', '-')}"
                raise UsageError(f"{option} cannot be asked of a warehouse", fix=_ADVICE[one.name])


_VIEW = "in a view, and give the view as --table"
_ADVICE = {
    "shares": "levels are learned from the lines: query one row a customer with a share of spend a "
    "column, and give it to fit and score as --attributes",
    "currency": f"convert all amounts to one currency {_VIEW}",
    "rates": f"convert all amounts to one currency {_VIEW}",
    "id_trim": f"trim the ids {_VIEW}",
    "id_normalize": f"normalise the ids {_VIEW}",
    "epoch": f"make moments of the numbers {_VIEW}",
}


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
    elsewhere: Elsewhere,
    cost: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN|EXPR",
            help="Column of what the line cost, or an expression: money is then margin, not revenue.",
        ),
    ] = None,
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of the company or household that several accounts are: it becomes the "
            "customer.",
        ),
    ] = None,
    order_id: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Column of the order id: refunds are netted within an order."
        ),
    ] = None,
    extract: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column naming overlapping extracts: each order is kept from one only.",
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
    min_date: Annotated[
        str, typer.Option(metavar="DAY", help="Days before it are unusable.")
    ] = "1980-01-01",
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
    Names are taken as typed, in Snowflake in capitals unless in double quotes. Nothing is connected to;
    where the server may be asked: fit --summary env:NAME --query-file q.sql.

    Example: bayesseg sql --dialect postgres --table sales.orders --customer-id id --date day
    --amount total --as-of 2025-06-30
    """
    from bayesseg.ingest.ids import NOBODY
    from bayesseg.ingest.numbers import MISSING

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
        cost=cost,
        group=group,
        extract=extract,
        zone=tz,
        drop_refunds=refunds == "drop",
        dedupe=dedupe,
        nobody=tuple(NOBODY),
        keep_ids=tuple(keep_id or ()),
        nothing=MISSING,
        min_date=day(min_date),
    )
    kind = "histogram" if histogram else "account" if account else "customers"
    text = texts.statement(log, day(as_of), dialect, kind, dbt=dbt)
    if dialect not in texts.EXECUTED:
        ours = "run on an emulator" if dialect in texts.EMULATED else "transpiled"
        shell.say(f"{dialect}: {ours}, not on a real one, by our tests")
    shell.say(
        "instants in the date column would fall on the session's days: give --tz for them"
        if tz is None
        else "--tz takes the date column for instants (timestamptz): for local times leave it out"
    )
    shell.show(text)
    return Outcome({"dialect": dialect, "kind": kind, "sql": text})
