"""Messages of a Kafka topic, from where the store says; offsets are kept nowhere else. L10.

There is no group of consumers: one process reads all partitions, for a customer's events may be in
any of them, and nothing is committed to the broker.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg.errors import DestinationFailed, ResourcesMissing, UsageError

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError

type Say = Callable[[str], None]

_ALLOWED = re.compile(
    r"(security|sasl|ssl|https|client|socket|reconnect|broker\.address|metadata|fetch|queued)\..+"
    r"|(enable\.)?ssl\..+"
)
_CODE = ("cmd", "library", "location.engine", "engine", "providers", "callback")
"""Words in names of settings that run or load something."""
_OURS = {
    "group.id": "bayesseg",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "log.connection.close": False,
}
_ASK = 5.0
"""Seconds to wait for what a broker says of a topic."""
_LINGER = 0.05
"""Seconds to wait for more messages after the first one of a batch."""
_PIECE = 0.2
"""Seconds for which a pause does not ask whether we are to end."""
_LOOK = 60.0
"""Seconds after which new partitions are looked for."""
_REFUSED = (
    "_AUTHENTICATION",
    "SASL_AUTHENTICATION_FAILED",
    "TOPIC_AUTHORIZATION_FAILED",
    "GROUP_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
    "_SSL",
)


@dataclass(frozen=True, slots=True)
class Where:
    """Where messages are.

    Attributes:
        brokers: ``host:port``, several with commas between.
        topic: whose messages are read.
        config: further settings of librdkafka: security and sockets.
        patience: seconds to wait for brokers that are away, before giving up.
    """

    brokers: str
    topic: str
    config: Mapping[str, str] = field(default_factory=dict, repr=False)
    patience: float = 600.0


@dataclass(frozen=True, slots=True)
class Raw:
    """A message as it came; ``sent`` in seconds since 1970, None where it does not say."""

    partition: int
    offset: int
    content: bytes | None
    sent: float | None


@dataclass(slots=True)
class Reader:
    """A consumer at work.

    Attributes:
        consumer: of librdkafka.
        where: what it reads.
        say: told when brokers go and come.
        stopped: whether we are to end.
        begun: told where partitions begin that are read for the first time, before they are.
        partitions: those that are read.
        ended: those read to the end.
        away: since when no broker answers.
        looked: when partitions were asked for.
        errors: what librdkafka told since.
    """

    consumer: Consumer
    where: Where
    say: Say
    stopped: Callable[[], bool]
    begun: Callable[[Mapping[int, int]], None]
    partitions: set[int] = field(default_factory=set)
    ended: set[int] = field(default_factory=set)
    away: float | None = None
    looked: float = field(default_factory=time.monotonic)
    errors: list[KafkaError] = field(default_factory=list)


def settings(path: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Settings of librdkafka in a file, ``name=value`` a line; ``env:NAME`` stands for a variable.

    Raises:
        UsageError: it cannot be read, or names what is not about access, runs code, or is absent.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"--kafka-config {path} cannot be read", fix="check the name") from error
    found = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, value = (part.strip() for part in line.partition("="))
        if not equals or not _ALLOWED.fullmatch(name) or any(word in name for word in _CODE):
            raise UsageError(
                f"{path}, line {number}: {name!r} is no setting that a stream takes"
                if equals
                else f"{path}, line {number} is not name=value",
                fix="security.protocol, sasl.*, ssl.*, client.* and the like; none that runs code",
            )
        found[name] = value_of(value, environ)
    return found


def value_of(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """``text``, or of ``env:NAME`` what the environment holds.

    Raises:
        UsageError: it has no such variable.
    """
    kind, _, name = text.partition(":")
    if kind != "env":
        return text
    if not environ.get(name):
        raise UsageError(f"the environment has no variable {name!r}", fix="export it first")
    return environ[name]


@contextmanager
def reading(
    where: Where,
    offsets: Mapping[int, int],
    stopped: Callable[[], bool],
    say: Say,
    begun: Callable[[Mapping[int, int]], None],
) -> Iterator[Reader]:
    """Read a topic from ``offsets`` on, partitions that are not among them from their beginning.

    Raises:
        UsageError: no such topic, or a setting that librdkafka refuses.
        DestinationFailed: no broker answers, it does not let us in, or a partition that came since has
            lost its beginning.
        ResourcesMissing: confluent-kafka is not installed.
    """
    try:
        from confluent_kafka import Consumer, KafkaException
    except ImportError as error:
        raise ResourcesMissing(
            "a stream needs confluent-kafka", fix="pip install 'bayesseg[kafka]'"
        ) from error
    told: list[KafkaError] = []
    silent = logging.Logger("kafka", logging.CRITICAL + 1)  # what it says comes by error_cb as well
    config: dict[str, Any] = {**where.config, **_OURS, "bootstrap.servers": where.brokers}
    try:
        consumer = Consumer({**config, "error_cb": told.append}, logger=silent)
    except KafkaException as error:
        name = re.search(r"property:? \"?([\w.]+)", str(error))
        raise UsageError(
            f"librdkafka refuses {name[1] if name else 'a setting'}",
            fix="check --brokers and --kafka-config against librdkafka's list of settings",
        ) from None
    try:
        reader = Reader(consumer, where, say, stopped, begun, errors=told)
        _assign(reader, _partitions(reader), offsets)
        yield reader
    finally:
        consumer.close()


def _partitions(reader: Reader) -> set[int]:
    """The partitions of the topic, asked for until a broker answers, patience ends or we are stopped."""
    from confluent_kafka import KafkaException

    topic, wait = reader.where.topic, 0.5
    while not reader.stopped():
        try:
            answer = reader.consumer.list_topics(topic, timeout=min(_ASK, reader.where.patience))
        except KafkaException as error:
            heed(reader, error.args[0], waiting=True)
        else:
            found = answer.topics[topic]
            if found.error is None:
                _back(reader)
                return set(found.partitions)
            heed(reader, found.error, waiting=True)
        pause(wait, reader.stopped)
        wait = min(2 * wait, 30.0)
    return reader.partitions


def _assign(reader: Reader, partitions: set[int], offsets: Mapping[int, int]) -> None:
    from confluent_kafka import TopicPartition

    new = sorted(partitions - reader.partitions)
    if not new:
        return
    starts = {one: _first(reader, one) for one in new if one not in offsets}
    if reader.stopped():
        return
    for one, low in starts.items():
        if low and (offsets or reader.partitions):
            raise _lost(f"partition {one}, which came since, begins at message {low:,}")
        if low:
            reader.say(
                f"partition {one} begins at message {low:,}: earlier ones are deleted, and not "
                "counted; a new store takes them by --history"
            )
    if starts:
        reader.begun(starts)
    at = {**offsets, **starts}
    reader.consumer.incremental_assign(
        [TopicPartition(reader.where.topic, one, at[one]) for one in new]
    )
    reader.partitions |= partitions


def _first(reader: Reader, partition: int) -> int:
    """The first message of a partition that is there, asked for as partitions are."""
    from confluent_kafka import KafkaException, TopicPartition

    at, wait = TopicPartition(reader.where.topic, partition), 0.5
    while not reader.stopped():
        try:
            low, _ = reader.consumer.get_watermark_offsets(
                at, timeout=min(_ASK, reader.where.patience)
            )
        except KafkaException as error:
            heed(reader, error.args[0], waiting=True)
        else:
            _back(reader)
            return int(low)
        pause(wait, reader.stopped)
        wait = min(2 * wait, 30.0)
    return 0


def pause(seconds: float, stopped: Callable[[], bool]) -> None:
    """Wait, but not on when we are to end."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not stopped():
        time.sleep(min(left, _PIECE))


def _lost(what: str) -> DestinationFailed:
    return DestinationFailed(
        f"{what}: messages were deleted after their retention, or the topic was made anew",
        fix="start a new store, with --history of the purchases so far; keep messages for longer "
        "than a stream may rest",
        code="messages_lost",
    )


def poll(reader: Reader, most: int, seconds: float) -> list[Raw]:
    """The next messages, at most ``most``; none where none came within ``seconds``.

    Raises:
        DestinationFailed: brokers were away for too long, do not let us in, or no longer have what the
            store wants next.
    """
    if time.monotonic() - reader.looked > _LOOK:
        reader.looked = time.monotonic()
        _assign(reader, _partitions(reader), {})
    got = reader.consumer.consume(1, seconds)
    if got and most > 1:
        got += reader.consumer.consume(most - 1, _LINGER)
    found = []
    for one in got:
        error = one.error()
        if error is None:
            kind, moment = one.timestamp()
            sent = moment / 1000 if kind else None
            found.append(Raw(one.partition(), one.offset(), one.value(), sent))
            reader.ended.discard(one.partition())
        elif error.name() == "_PARTITION_EOF":
            reader.ended.add(one.partition())
        else:
            heed(reader, error)
    if found:
        _back(reader)
    while reader.errors:
        heed(reader, reader.errors.pop(0))
    if reader.away is not None:
        _partitions(reader)
    return found


def at_end(reader: Reader) -> bool:
    """Whether all that the topic had was read."""
    return reader.partitions <= reader.ended


def heed(reader: Reader, error: KafkaError, *, waiting: bool = False) -> None:
    """What to do about an error: nothing, say it and wait, or give up."""
    name = error.name()
    if name in _REFUSED:
        raise DestinationFailed(
            f"the broker does not let us in: {name.strip('_').lower()}",
            fix="check security.protocol, sasl.* and ssl.* in --kafka-config, and that the user may "
            "read and describe the topic",
            code="not_allowed",
        )
    if name in ("UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "TOPIC_EXCEPTION"):
        raise UsageError(
            f"the broker has no topic {reader.where.topic!r}", fix="check --topic, or create it"
        )
    if name in ("OFFSET_OUT_OF_RANGE", "_AUTO_OFFSET_RESET"):
        raise _lost("the broker no longer has the message that comes next")
    if waiting or name == "_ALL_BROKERS_DOWN":
        if reader.away is None:
            reader.away = time.monotonic()
            reader.say("no broker answers: waiting for one")
        elif time.monotonic() - reader.away > reader.where.patience:
            raise DestinationFailed(
                f"no broker answered for {reader.where.patience:,.0f} s",
                fix="check --brokers; run it again: it goes on where it stopped",
            )
    elif error.fatal():
        raise DestinationFailed(f"the broker ended it: {name}", fix="run it again: it goes on")


def _back(reader: Reader) -> None:
    if reader.away is not None:
        reader.say("a broker answers again")
        reader.away = None
