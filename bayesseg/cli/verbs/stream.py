"""``bayesseg stream``: keep scores up to date by purchases as they come."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bayesseg.cli.flags import Force, Names, Reason, Run, ScoreFlags, Signed, SourceFlags
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import streaming
from bayesseg.errors import UsageError
from bayesseg.spans import day


@dataclass(frozen=True, slots=True)
class TopicFlags:
    """Where purchases come from."""

    brokers: Annotated[
        str | None, typer.Option(metavar="HOST:PORT,...", help="Kafka's brokers, or env:NAME.")
    ] = None
    topic: Annotated[str | None, typer.Option(help="Topic of the purchases.")] = None
    kafka_config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Settings of librdkafka, name=value a line (security.protocol, sasl.*, ssl.*); "
            "env:NAME for what is secret.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class MessageFlags:
    """How messages are read."""

    event_id: Annotated[str, typer.Option(help="Member that holds the id of the event.")] = (
        "event_id"
    )
    customer_id: Annotated[str, typer.Option(help="Member of the customer.")] = "customer_id"
    date: Annotated[str, typer.Option(help="Member of the day or moment.")] = "date"
    amount: Annotated[str, typer.Option(help="Member of the amount.")] = "amount"
    keep_id: Annotated[
        list[str] | None,
        typer.Option(help="An id that is a customer although it looks like a placeholder."),
    ] = None
    tz: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="Zone of the business day (default: that of the fit)."),
    ] = None


def stream(
    run: Run,
    where: TopicFlags,
    messages: MessageFlags,
    settings: ScoreFlags,
    shell: Shell,
    store: Annotated[
        str,
        typer.Option(
            metavar="FILE|env:NAME",
            help="DuckDB file, or the variable that holds the address of a PostgreSQL server.",
        ),
    ],
    schema: Annotated[str, typer.Option(help="Schema of the tables there.")] = "bayesseg_stream",
    history: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="Load the purchases of the past into a new store, and stop."
        ),
    ] = None,
    once: Annotated[
        bool, typer.Option("--once", help="Stop at the end of the topic, its sweep done.")
    ] = False,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Score everybody in the store now, and stop.")
    ] = False,
    sweep_at: Annotated[
        str, typer.Option(metavar="HH:MM", help="When the daily sweep begins.")
    ] = "00:00",
    as_of: Annotated[
        str | None, typer.Option(metavar="DAY", help="Score as of this day (default: today).")
    ] = None,
    remember: Annotated[
        str | None,
        typer.Option(
            metavar="SPAN",
            help="Remember events so long; later ones are dead letters (default: for ever).",
        ),
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, max=100_000, help="Most messages a transaction.")
    ] = 2000,
    patience: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for what is away.")
    ] = 600.0,
    names: Names = None,
    require_signature: Signed = False,
    force: Force = False,
    reason: Reason = None,
) -> Outcome:
    """Keep scores up to date by purchases as they come (Kafka), in PostgreSQL or DuckDB.

    A message is a JSON object: event_id, customer_id, date, amount. What a batch changes is one
    transaction, its events, its scores and its offsets: killed at any moment it goes on where it
    stopped, and nothing counts twice. A daily sweep scores the silent. What is no purchase goes to the
    table dead, with the reason. Ctrl-C or SIGTERM: the batch is finished (exit 0).
    Exit 2: no such topic; 4: the run failed its gates; 6: brokers or store away; 8: another stream is at
    work in the store.

    Example: bayesseg stream runs/june --brokers kafka:9092 --topic purchases --store env:BAYESSEG_DSN
    """
    asked = streaming.Asked(
        run,
        store,
        schema,
        settings,
        streaming.Members(messages.event_id, messages.customer_id, messages.date, messages.amount),
        tuple(messages.keep_id or ()),
        messages.tz,
        None if as_of is None else day(as_of),
        sweep_at,
        remember,
        batch,
        patience,
        names,
        require_signature,
        force,
        reason,
    )
    told = [f"--{name}" for name, value in (("history", history), ("sweep", sweep)) if value]
    told += ["--brokers and --topic"] if where.brokers or where.topic else []
    if len(told) != 1 or (where.brokers is None) is not (where.topic is None):
        raise UsageError(
            f"{' and '.join(told)} do not go together" if len(told) > 1 else "nothing to read from",
            fix="give --brokers and --topic, or --sweep, or --history",
        )
    job = streaming.job_of(asked, shell)
    if history is not None:
        source = SourceFlags(tz=messages.tz, keep_id=messages.keep_id)
        return streaming.history(job, history, source, shell)
    if sweep:
        return streaming.sweep(job, shell)
    assert where.brokers is not None
    assert where.topic is not None
    return streaming.follow(job, where.brokers, where.topic, where.kafka_config, shell, once=once)
