"""Purchases as they come, into scores as they are: the loop of a stream. L10."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from datetime import time as clock_time
from functools import partial
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from bayesseg.errors import DestinationFailed, Locked, UsageError
from bayesseg.scoring import Settings, accept
from bayesseg.scoring.kernel import Kernel, kernel_of
from bayesseg.stream.broker import Raw, Reader, Where, at_end, pause, poll, reading
from bayesseg.stream.event import Rules, read
from bayesseg.stream.fold import Message, begin, fold, make_room, offsets
from bayesseg.stream.store import Store, StoreLost, opened
from bayesseg.stream.sweep import done, floor, key_of, sample_of, sweep, top_of

if TYPE_CHECKING:
    from bayesseg.posterior import Posterior

type Say = Callable[[str], None]

_IDLE = 0.5
"""Seconds to wait for a message before looking at the clock."""
_CATCH_UP = 3600.0
"""Seconds for which a sweep waits for the end of what is to be read."""
_BINS = np.logspace(-3, 6, 901)
"""Latencies in seconds, 2.3 % apart: the ends of the bins in which they are counted."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a stream does.

    Attributes:
        posterior: what scores.
        settings: of scores.
        rules: how messages are read.
        store: address of a PostgreSQL server, or path of a DuckDB file.
        schema: of its tables.
        released: parts that failed and are scored all the same, each with the reason.
        as_of: the day of the scores; None is today, wherever ``rules.zone`` is.
        sweep_at: when the sweep of a day begins, by the clock there.
        remember: days for which event ids are remembered; None for ever.
        batch: most messages a transaction.
        patience: seconds to wait for a store that is away, before giving up.
    """

    posterior: Posterior
    settings: Settings
    rules: Rules
    store: str
    schema: str = "bayesseg_stream"
    released: Mapping[str, str] = field(default_factory=dict)
    as_of: date | None = None
    sweep_at: clock_time = clock_time(0)
    remember: int | None = None
    batch: int = 2_000
    patience: float = 600.0


@dataclass(slots=True)
class Tally:
    """What a stream has done since it began."""

    counts: Counter[str] = field(default_factory=Counter)
    latency: Counter[int] = field(default_factory=Counter)
    working: float = 0.0

    def document(self) -> dict[str, Any]:
        """The counts, JSON-able; latencies in seconds from produce to commit, None without any."""
        reasons = {n for n in self.counts if n not in ("messages", "used", "repeated", *_DID)}
        return {
            **{name: self.counts[name] for name in ("messages", "used", "repeated", *_DID)},
            "dead": {name: self.counts[name] for name in sorted(reasons)},
            "per_second": self.counts["messages"] / self.working if self.working else None,
            "latency_p50": self.quantile(0.5),
            "latency_p99": self.quantile(0.99),
        }

    def quantile(self, share: float) -> float | None:
        """A latency that this share of messages did not exceed, in seconds."""
        total, seen = sum(self.latency.values()), 0
        for place in sorted(self.latency):
            seen += self.latency[place]
            if seen >= share * total:
                return round(float(_BINS[min(place, len(_BINS) - 1)]), 4)
        return None


_DID = ("batches", "customers", "swept", "sweeps")


def follow(
    job: Job, where: Where, stopped: Callable[[], bool], say: Say, *, once: bool = False
) -> Tally:
    """Read a topic and keep the scores of the store up to date, until stopped.

    The store is asked where to go on, so whatever ended the last call has lost nothing and counts
    nothing twice. A store that goes away is waited for.

    Args:
        job: what to do.
        where: the topic.
        stopped: asked between transactions whether to end.
        say: told of what goes and comes.
        once: end when all that the topic had was read and the sweep of the day is done.

    Raises:
        DestinationFailed: brokers or the store were away for too long, or refuse.
        Locked: another stream has the store.
        UsageError: no such topic.
    """
    tally = Tally()

    def work(store: Store) -> None:
        _follow(store, job, where, stopped, say, tally, once=once)

    _held(job, work, stopped, say)
    return tally


def sweep_now(job: Job, stopped: Callable[[], bool], say: Say) -> Tally:
    """Score everybody in the store as of the day of ``job``, and rank them."""
    tally = Tally()

    def work(store: Store) -> None:
        for _ in _sweeping(store, job, _day(store, job, again=True), tally):
            if stopped():
                return

    _held(job, work, stopped, say)
    return tally


def _held(job: Job, work: Callable[[Store], None], stopped: Callable[[], bool], say: Say) -> None:
    """Do ``work`` with the store open; where the connection goes it is opened and begun again.

    The server may take our old session for alive a while longer than we do, and hold its lock.
    """
    since: float | None = None
    wait = 0.5
    while not stopped():
        try:
            with opened(job.store, job.schema) as store:
                since, wait = None, 0.5
                return work(store)
        except (StoreLost, Locked) as error:
            held = isinstance(error, Locked)
            if held and since is None:
                raise
            since = since or time.monotonic()
            if time.monotonic() - since > job.patience:
                if held:
                    raise
                raise DestinationFailed(
                    f"the store was away for {job.patience:,.0f} s: {error}",
                    fix="check --store; run it again: it goes on where it stopped",
                ) from None
            say(f"{error.args[0]}; again in {wait:g} s")
            pause(wait, stopped)
            wait = min(2 * wait, 30.0)
    return None


@dataclass(frozen=True, slots=True)
class _Day:
    """The day that rows are scored as of, what scores them, and since when (of the process's clock)."""

    as_of: date
    key: str
    kernel: Kernel
    began: float


def _day(store: Store, job: Job, *, again: bool = False) -> _Day:
    """The day it is; the sweep of the day says where the top tenth begins, or else who is in the store.

    Raises:
        UsageError: the day is one that is yet to come.
    """
    as_of = _today(job)
    if as_of > _now(job).date() + timedelta(days=1):
        raise UsageError(
            f"--as-of {as_of} is yet to come: purchases until then are not known",
            fix="leave it out, or give a day up to tomorrow",
        )
    policies = {"money": "revenue", "day": job.rules.zone or "as written"}
    accept(job.posterior, job.settings, {"policies": policies}, as_of)
    key = key_of(job.posterior, job.settings, as_of, sorted(job.released))
    top = top_of(store, key, again=again)
    kernel = kernel_of(
        job.posterior,
        job.settings,
        as_of,
        released=job.released,
        sample=sample_of(store, as_of, job.posterior.manifest["seed"]) if top is None else None,
    )
    kernel = replace(kernel, top=kernel.top if top is None else top)
    make_room(store, kernel)
    return _Day(as_of, key, kernel, time.monotonic())


def _sweeping(store: Store, job: Job, day: _Day, tally: Tally) -> Iterator[int]:
    """The steps of a sweep, counted."""
    for count in sweep(store, day.kernel, day.key, job.remember):
        tally.counts["swept"] += count
        yield count
    tally.counts["sweeps"] += 1


def _now(job: Job) -> datetime:
    return datetime.now(ZoneInfo(job.rules.zone) if job.rules.zone else None)


def _today(job: Job) -> date:
    return job.as_of or _now(job).date()


def _due(job: Job, day: _Day, swept: str) -> bool:
    """Whether the time of the day's sweep has come, and it is not ``swept``."""
    return day.key != swept and _now(job).time() >= job.sweep_at


def _follow(
    store: Store,
    job: Job,
    where: Where,
    stopped: Callable[[], bool],
    say: Say,
    tally: Tally,
    *,
    once: bool,
) -> None:
    day = _day(store, job)
    first, swept = floor(store), ""
    sweeping: Iterator[int] | None = None
    begun = partial(begin, store, where.topic)
    with reading(where, offsets(store, where.topic), stopped, say, begun) as reader:
        say(f"reading {where.topic}: {len(reader.partitions)} partitions, as of {day.as_of}")
        while not stopped():
            if day.as_of != _today(job):
                day, sweeping, swept = _day(store, job), None, ""
                say(f"as of {day.as_of}")
            # what was waiting comes first, for a sweep of an empty store would be the sweep of the day
            ready = at_end(reader) or (not once and time.monotonic() - day.began > _CATCH_UP)
            if sweeping is None and ready and _due(job, day, swept):
                if done(store, day.key):
                    swept = day.key
                else:
                    day = _day(store, job, again=True)
                    sweeping = _sweeping(store, job, day, tally)
            if sweeping is not None and next(sweeping, None) is None:
                sweeping, first = None, floor(store)
                say(f"everybody scored as of {day.as_of}")
            _take(store, job, reader, day, first, tally, wait=_IDLE * (sweeping is None))
            if once and at_end(reader) and sweeping is None and not _due(job, day, swept):
                return


def _take(
    store: Store,
    job: Job,
    reader: Reader,
    day: _Day,
    first: date,
    tally: Tally,
    *,
    wait: float,
) -> None:
    """Read a batch and count it in."""
    messages = poll(reader, job.batch, wait)
    if not messages:
        return
    began = time.perf_counter()
    latest = max(_today(job), _now(job).date()) + timedelta(days=1)
    read_ones = [
        Message(m.partition, m.offset, m.content, read(m.content, job.rules, first, latest))
        for m in messages
    ]
    after = {m.partition: m.offset + 1 for m in messages}  # the last one of each stays
    tally.counts += fold(store, reader.where.topic, read_ones, after, day.kernel, day.key)
    tally.counts += Counter(messages=len(messages), batches=1)
    tally.latency += _late(messages)
    tally.working += time.perf_counter() - began


def _late(messages: list[Raw]) -> Counter[int]:
    sent = np.array([m.sent for m in messages if m.sent is not None])
    return Counter(np.searchsorted(_BINS, time.time() - sent).tolist())
