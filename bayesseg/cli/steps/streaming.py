"""What a stream is told by flags and by the run it scores with."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg.cli.flags import ScoreFlags, SourceFlags
from bayesseg.cli.shell import SIGNALS, Outcome, Shell
from bayesseg.cli.steps import reading, scoring
from bayesseg.errors import UsageError
from bayesseg.spans import days

if TYPE_CHECKING:
    from bayesseg.posterior import Posterior
    from bayesseg.stream.event import Rules
    from bayesseg.stream.follow import Job

_FOREIGN = {"group": "--group", "cost": "--cost", "order_id": "--order-id", "rates": "--rates"}
"""What a fit may have been given that a message has not."""


@dataclass(frozen=True, slots=True)
class Members:
    """What messages call what they hold."""

    event_id: str
    customer_id: str
    date: str
    amount: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a stream, as the flags have it."""

    run: Path
    store: str
    schema: str
    settings: ScoreFlags
    members: Members
    keep_id: tuple[str, ...]
    tz: str | None
    as_of: date | None
    sweep_at: str
    remember: str | None
    batch: int
    patience: float
    names: Path | None
    signed: bool
    force: bool
    reason: str | None


def job_of(asked: Asked, shell: Shell) -> Job:
    """The job of a stream.

    Raises:
        GateFailed: parts of the run failed their gates, and no force and reason are given.
        InputRejected: its segments are made of columns that messages have not.
        UsageError: the run was fitted on what messages do not tell, or a flag makes no sense.
    """
    from bayesseg.cli.steps.leaving import said
    from bayesseg.gates import release
    from bayesseg.stream.follow import Job

    posterior = scoring.opened(asked.run, asked.names, signed=asked.signed)
    manifest = posterior.manifest
    found = release(manifest, manifest["verdicts"], force=asked.force, reason=asked.reason)
    said(found, shell)
    return Job(
        posterior,
        asked.settings.settings(),
        rules(posterior, asked, shell),
        _address(asked.store),
        asked.schema,
        dict.fromkeys(found.parts, found.reason),
        asked.as_of,
        _clock(asked.sweep_at),
        None if asked.remember is None else days(asked.remember),
        asked.batch,
        asked.patience,
    )


def rules(posterior: Posterior, asked: Asked, shell: Shell) -> Rules:
    """How messages are read: as the log of the fit was."""
    from bayesseg.population import covariates
    from bayesseg.stream.event import EARLIEST, Rules

    if "purchase" not in posterior.spec.parts:
        raise UsageError(
            f"model {posterior.spec.name!r} reads no purchases, and a stream brings nothing else",
            fix="score the table of clients by bayesseg score",
        )
    if named := covariates(*posterior.spec.parts.values()):
        raise UsageError(
            f"model {posterior.spec.name!r} reads {', '.join(named)}, of which a message says nothing",
            fix="fit a model without covariates for the stream",
        )
    accounting: Mapping[str, Any] = posterior.manifest["accounting"]
    columns, policies = accounting.get("columns", {}), accounting.get("policies", {})
    foreign = [flag for name, flag in _FOREIGN.items() if columns.get(name, {}).get("value")]
    if accounting.get("shares"):
        foreign.append("--shares")
    if foreign:
        raise UsageError(
            f"the run was fitted with {' and '.join(foreign)}, of which a message says nothing",
            fix="fit a run without it for the stream; refunds are netted within the day there",
        )
    _columns(posterior, shell)
    given = policies.get("given", {})
    if policies.get("ids_kept") and not asked.keep_id:
        shell.warn("the fit kept ids that look like placeholders: give --keep-id as at the fit")
    if policies.get("suppress_list"):
        shell.warn("the fit left out who had objected: a stream scores whomever messages name")
    return Rules(
        asked.members.event_id,
        asked.members.customer_id,
        asked.members.date,
        asked.members.amount,
        _zone(asked.tz, given.get("tz") or policies.get("day")),
        given.get("id_trim", False),
        given.get("id_normalize"),
        frozenset(one.strip().lower() for one in asked.keep_id),
        given.get("refunds", "net"),
        date.fromisoformat(given["min_date"]) if "min_date" in given else EARLIEST,
    )


def _columns(posterior: Posterior, shell: Shell) -> None:
    """Refuse or warn, as a score of the same columns would."""
    import pyarrow as pa

    from bayesseg.features import absent
    from bayesseg.scoring import accept_columns
    from bayesseg.scoring.kernel import COUNTS, MONEY, customers_of

    if posterior.features is None:
        return
    row = {"customer_id": ["somebody"], **{name: [1] for name in (*COUNTS, *MONEY)}}
    somebody = customers_of(
        pa.RecordBatch.from_pydict(row), date.fromisoformat(posterior.manifest["as_of"])
    )
    accept_columns(posterior, somebody)
    if gone := absent(somebody, posterior.features)[0]:
        shell.warn(f"a message says nothing of {', '.join(gone)}: missing in every segment")


def _zone(asked: str | None, fitted: str | None) -> str | None:
    """The zone of the business day: as asked, or that of the fit, which a column may have had."""
    from bayesseg.ingest.options import known_zone

    zone = asked or (None if fitted == "as written" else fitted)
    if zone is not None:
        known_zone(zone)
    return zone


def history(job: Job, data: str, source: SourceFlags, shell: Shell) -> Outcome:
    """Load the purchase days of a log into a new store."""
    from bayesseg.ingest import together
    from bayesseg.stream import history as past
    from bayesseg.stream.store import opened

    purchases = reading.examined(
        data, reading.as_fitted(source, job.posterior.manifest, shell), shell
    )
    if purchases.refused:
        raise together(purchases.refused)
    with opened(job.store, job.schema) as store:
        count, last = past.load(store, purchases)
    shell.say(
        f"loaded {count:,} purchase days, the last of {last}; messages of those days are too late"
    )
    return Outcome({"days": count, "last": str(last)})


def sweep(job: Job, shell: Shell) -> Outcome:
    """Score everybody in the store."""
    from bayesseg.stream.follow import sweep_now

    with stoppable() as stopped:
        tally = sweep_now(job, stopped, shell.say)
    shell.say(f"scored {tally.counts['swept']:,} customers")
    return Outcome(tally.document())


def follow(
    job: Job,
    brokers: str,
    topic: str,
    config: Path | None,
    shell: Shell,
    *,
    once: bool,
) -> Outcome:
    """Read the topic until stopped, or with ``once`` until its end."""
    from bayesseg.stream.broker import Where, settings, value_of
    from bayesseg.stream.follow import follow as follow_topic

    known = {} if config is None else settings(config)
    where = Where(value_of(brokers), topic, known, job.patience)
    with stoppable() as stopped:
        tally = follow_topic(job, where, stopped, shell.say, once=once)
    document = tally.document()
    dead = sum(document["dead"].values())
    shell.say(
        f"{tally.counts['messages']:,} messages: {tally.counts['used']:,} used, "
        f"{tally.counts['repeated']:,} repeated, {dead:,} dead letters"
    )
    if document["per_second"] is not None:
        shell.say(
            f"{document['per_second']:,.0f} a second while at work; produce to commit "
            f"p50 {document['latency_p50']:.3g} s, p99 {document['latency_p99']:.3g} s"
        )
    return Outcome(document)


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Take Ctrl-C and SIGTERM for a wish: what is under way is finished. A second one stops at once."""
    asked: list[int] = []
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def heed(number: int, frame: Any) -> None:
        if asked and callable(stop := before[signal.Signals(number)]):
            stop(number, frame)
        asked.append(number)

    for number in SIGNALS:
        signal.signal(number, heed)
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _address(store: str) -> str:
    """A path, or the address of a server, which only the environment may hold."""
    from bayesseg.ingest.database import is_address
    from bayesseg.stream.broker import value_of

    if is_address(store):
        raise UsageError(
            "--store holds the address of a server, which others can read in the list of processes",
            fix="--store env:NAME, the variable NAME holding it",
        )
    found = value_of(store)
    if "://" in found and not is_address(found):
        raise UsageError(
            f"--store {store} holds no address of a PostgreSQL server",
            fix="postgresql://user@host/database, or the path of a DuckDB file",
        )
    return found


def _clock(text: str) -> time:
    try:
        found = time.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is not None:
        raise UsageError(
            f"--sweep-at {text!r} is no time of day",
            fix="write 03:30, by the clock of the business day (--tz)",
        )
    return found
