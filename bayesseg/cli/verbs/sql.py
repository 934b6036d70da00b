"""``bayesseg sql``: the query that sums up customers where their purchases are."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated

import typer

from bayesseg import sql as texts
from bayesseg.cli.flags import argv
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


@dataclass(frozen=True, slots=True)
class Lines:
    """The table of purchase lines, and the policies that ingest has as well."""

    table: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Table of purchase lines, such as sales.orders."),
    ] = None
    customer_id: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of the customer id.")
    ] = None
    date: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of the day or moment.")
    ] = None
    amount: Annotated[
        str | None,
        typer.Option(help='Column of the amount, or an expression such as "Quantity * UnitPrice".'),
    ] = None
    as_of: Annotated[
        str | None, typer.Option(metavar="DAY", help="Last day observed, inclusive.")
    ] = None
    cost: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN|EXPR",
            help="Column of what the line cost, or an expression: money is then margin, not revenue.",
        ),
    ] = None
    group: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column of the company or household that several accounts are: it becomes the "
            "customer.",
        ),
    ] = None
    order_id: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Column of the order id: refunds are netted within an order."
        ),
    ] = None
    extract: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Column naming overlapping extracts: each order is kept from one only.",
        ),
    ] = None
    tz: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE",
            help="Where days begin, such as Europe/Paris: for moments that are instants.",
        ),
    ] = None
    refunds: Annotated[str, typer.Option(help="net or drop negative amounts.")] = "net"
    dedupe: Annotated[
        bool, typer.Option("--dedupe", help="Keep one of several exactly equal rows.")
    ] = False
    min_date: Annotated[str, typer.Option(metavar="DAY", help="Days before it are unusable.")] = (
        "1980-01-01"
    )
    keep_id: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="A customer although the id looks like a placeholder; may be repeated.",
        ),
    ] = None

    def __post_init__(self) -> None:
        if self.refunds not in ("net", "drop"):
            raise UsageError(
                f"--refunds {self.refunds!r} cannot be asked of a warehouse",
                fix="choose net or drop",
            )


@dataclass(frozen=True, slots=True)
class Tables:
    """What the warehouse holds already."""

    summary: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Instead of lines: the table that this query made of them."
        ),
    ] = None
    lookup: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Scores of the customers of --summary: the table of histories of score --table.",
        ),
    ] = None
    spend: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The table of spend beside it (default: --lookup with _spend)."
        ),
    ] = None

    def __post_init__(self) -> None:
        for name, other in (("lookup", "summary"), ("spend", "lookup")):
            if getattr(self, name) is not None and getattr(self, other) is None:
                raise UsageError(f"--{name} goes with --{other}, which is not given")


@dataclass(frozen=True, slots=True)
class Kinds:
    """What to print in place of the summary."""

    histogram: Annotated[
        bool, typer.Option("--histogram", help="Distinct customers with their number, no ids.")
    ] = False
    histories: Annotated[
        bool,
        typer.Option(
            "--histories", help="Distinct histories with their number, for score --table."
        ),
    ] = False
    account: Annotated[
        bool,
        typer.Option(
            "--account",
            help="Lines used and left out, by reason; with --lookup, customers scored and not.",
        ),
    ] = False

    def __post_init__(self) -> None:
        asked = [f"--{f.name}" for f in fields(self) if getattr(self, f.name)]
        if len(asked) > 1:
            raise UsageError(f"{' and '.join(asked)} are two queries", fix="give one of them")

    def of(self, usual: str) -> str:
        """The kind that was asked for."""
        return next((f.name for f in fields(self) if getattr(self, f.name)), usual)


def sql(
    dialect: Annotated[
        str, typer.Option(metavar="NAME", help=f"{', '.join(texts.DIALECTS[:-1])} or spark.")
    ],
    lines: Lines,
    tables: Tables,
    kinds: Kinds,
    shell: Shell,
    elsewhere: Elsewhere,
    dbt: Annotated[
        bool, typer.Option("--dbt", help="A dbt model: ref or source, the day a variable as_of.")
    ] = False,
) -> Outcome:
    """Print the query that sums up customers in a warehouse.

    What ingest does to a file, as one SELECT: what comes out is for fit --summary and score --summary;
    with --lookup the one that scores them there. Names are taken as typed, in Snowflake in capitals
    unless in double quotes. Nothing is connected to; where the server may be asked: fit --summary
    env:NAME --query-file q.sql.

    Example: bayesseg sql --dialect postgres --table sales.orders --customer-id id --date day
    --amount total --as-of 2025-06-30
    """
    if tables.summary is None:
        kind = kinds.of("customers")
        text = _of_lines(lines, dialect, kind, shell, dbt=dbt)
    else:
        kind = kinds.of("scores")
        text = _of_summary(lines, tables, dialect, kind, dbt=dbt)
    if dialect not in texts.EXECUTED:
        ours = "run on an emulator" if dialect in texts.EMULATED else "transpiled"
        shell.say(f"{dialect}: {ours}, not on a real one, by our tests")
    shell.show(text)
    return Outcome({"dialect": dialect, "kind": kind, "sql": text})


def _of_lines(lines: Lines, dialect: str, kind: str, shell: Shell, *, dbt: bool) -> str:
    """The text over the table of purchase lines."""
    table, customer_id, date, amount, as_of = (getattr(lines, name) for name in _NEEDED)
    if missing := [name for name in _NEEDED if getattr(lines, name) is None]:
        raise UsageError(
            f"--{', --'.join(missing).replace('_', '-')} missing",
            fix="name the table of purchase lines, its columns and the last day; or the table that "
            "holds customers already, --summary",
        )
    from bayesseg.ingest.ids import NOBODY
    from bayesseg.ingest.numbers import MISSING

    log = texts.Log(
        table,
        customer_id,
        date,
        amount,
        lines.order_id,
        cost=lines.cost,
        group=lines.group,
        extract=lines.extract,
        zone=lines.tz,
        drop_refunds=lines.refunds == "drop",
        dedupe=lines.dedupe,
        nobody=tuple(NOBODY),
        keep_ids=tuple(lines.keep_id or ()),
        nothing=MISSING,
        min_date=day(lines.min_date),
    )
    text = texts.statement(log, day(as_of), dialect, kind, dbt=dbt)
    shell.say(
        "instants in the date column would fall on the session's days: give --tz for them"
        if lines.tz is None
        else "--tz takes the date column for instants (timestamptz): for local times leave it out"
    )
    return text


_NEEDED = ("table", "customer_id", "date", "amount", "as_of")


def _of_summary(lines: Lines, tables: Tables, dialect: str, kind: str, *, dbt: bool) -> str:
    """The text over a table of customers."""
    assert tables.summary is not None
    if others := argv(lines):
        raise UsageError(
            f"{others[0]} is about purchase lines, and --summary is what was made of them",
            fix="leave it out: as of which day, and what counts, the summary has decided",
        )
    if (tables.lookup is None) is (kind not in texts.COUNTED):
        raise UsageError(
            f"--{kind} is of the summary alone, without --lookup"
            if tables.lookup
            else "--summary alone says nothing new",
            fix="leave one of them out"
            if tables.lookup
            else "add --lookup NAME, the table that bayesseg score --table wrote, or --histories",
        )
    lookup, spend = tables.lookup, tables.spend
    if lookup is not None and spend is None:
        spend = f'{lookup[:-1]}_spend"' if lookup.endswith('"') else f"{lookup}_spend"
    return texts.statement_over(texts.Summed(tables.summary, lookup, spend), dialect, kind, dbt=dbt)
