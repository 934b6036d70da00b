"""A topic on librdkafka's mock cluster, stores to stream into, and what a batch makes of the same."""

import json
import random
import time
from datetime import date

import pandas as pd
import pyarrow as pa
import report_case

from bayesseg.customers import summarise
from bayesseg.ingest import read_purchases
from bayesseg.scoring import Settings, score
from bayesseg.scoring.arrow import recorded
from bayesseg.stream.broker import Where
from bayesseg.stream.event import Rules
from bayesseg.stream.follow import Job, follow
from bayesseg.stream.store import opened, transaction

AS_OF = report_case.AS_OF
SETTINGS = Settings(draws=100)
BAD = (
    ("empty", None),
    ("not_json", b"{"),
    ("not_json", b"[1]"),
    ("not_json", b'{"amount": NaN}'),
    ("not_json", b"\xff\xfe"),
    ("event_id_missing", {"event_id": " "}),
    ("event_id_missing", {"event_id": 1.5}),
    ("event_id_unusable", {"event_id": "a\u0000b"}),
    ("id_missing", {"customer_id": None}),
    ("id_unusable", {"customer_id": "x" * 257}),
    ("id_unusable", {"customer_id": "half \ud800"}),
    ("placeholder", {"customer_id": " Guest "}),
    ("placeholder", {"customer_id": 0}),
    ("date_missing", {"date": None}),
    ("date_unreadable", {"date": "1998-02-30"}),
    ("date_unreadable", {"date": 19980201}),
    ("date_too_early", {"date": "1970-01-01"}),
    ("date_in_future", {"date": "2999-01-01"}),
    ("amount_missing", {"amount": "n/a"}),
    ("amount_unreadable", {"amount": "12,50"}),
    ("amount_unreadable", {"amount": True}),
    ("amount_unreadable", {"amount": 1e14}),
    ("date_zone_unknown", {"date": "1998-02-01T23:30:00+02:00"}),
    *(
        (
            "amount_unreadable",
            b'{"event_id": "p", "customer_id": "c", "date": "1998-02-01", "amount": %s}' % one,
        )
        for one in (
            b"1e1000000",
            b"-1e1000000",
            b"1e99999999999999999999",
            b"1e-99999999999999999999",
        )
    ),
)
"""Messages that are no purchases, each with its reason; what is not said is as in ``GOOD``."""
GOOD = {"event_id": "e", "customer_id": "c", "date": "1998-02-01", "amount": "9.99"}


def message(**changes):
    """A message, good but for the changes."""
    return json.dumps(GOOD | changes).encode()


def bad():
    """The messages of ``BAD`` in their order."""
    return [
        message(**({"event_id": f"bad{n}"} | said)) if isinstance(said, dict) else said
        for n, (_, said) in enumerate(BAD)
    ]


def cluster():
    """A mock cluster: the producer that holds it, and its address."""
    from confluent_kafka import Producer

    producer = Producer(
        {
            "bootstrap.servers": "mock",
            "test.mock.num.brokers": 1,
            "compression.type": "lz4",  # the mock keeps 5 MB of a partition
            "log_level": 0,
            "queue.buffering.max.messages": 1_000_000,
        }
    )
    brokers = producer.list_topics(timeout=10).brokers.values()
    return producer, ",".join(f"{one.host}:{one.port}" for one in brokers)


def send(producer, topic, messages):
    """Send them, spread over the partitions of the topic."""
    for one in messages:
        producer.produce(topic, one)
        producer.poll(0)
    assert producer.flush(60) == 0


def lines(orders, customers):
    """A log of the first so many customers, lines and refunds of days included, with event ids."""
    ids = sorted(orders["customer_id"].unique())[:customers]
    log = orders[orders["customer_id"].isin(ids)].assign(amount=lambda t: t["amount"].round(2))
    refunds = log.iloc[::7].assign(amount=lambda t: -t["amount"])
    halves = log.iloc[1::5].assign(amount=lambda t: (t["amount"] / 3).round(4))
    whole = type(log)(
        {
            name: [*log[name], *refunds[name], *halves[name]]
            for name in ("customer_id", "date", "amount")
        }
    )
    return whole.assign(event_id=[f"e{n}" for n in range(len(whole))])


def messages(log, seed=1, again=0.1, *, shuffle=True):
    """A log as messages, in any order and some of them twice."""
    rng = random.Random(seed)
    made = [
        message(event_id=key, customer_id=who, date=f"{day:%Y-%m-%d}", amount=amount)
        for key, who, day, amount in zip(
            log["event_id"], log["customer_id"], log["date"], log["amount"], strict=True
        )
    ]
    made += rng.sample(made, round(again * len(made)))
    if shuffle:
        rng.shuffle(made)
    return made


def many(path, count):
    """So many lines of the whole of CDNOW, each of its lines in three parts."""
    names = ["customer_id", "date", "cds", "amount"]
    log = pd.read_csv(path, sep=r"\s+", skiprows=1, names=names, dtype={"customer_id": str})
    log = log.loc[log.index.repeat(3)[:count], names]
    day = pd.to_datetime(log["date"].astype(str))
    parts = log.assign(date=day, amount=(log["amount"] / 3).round(4))
    return parts.assign(event_id=[f"e{n}" for n in range(len(parts))])


def delayed(log, late=0.05, again=0.05, seed=1):
    """A log as messages in the order of their days, some of them late and some twice."""
    rng = random.Random(seed)
    made = messages(log.sort_values("date", kind="stable"), again=0.0, shuffle=False)
    at = [(n + (rng.random() < late) * rng.random() * len(made), one) for n, one in enumerate(made)]
    at += [(n + rng.random() * 1000, one) for n, one in rng.sample(at, round(again * len(at)))]
    return [one for _, one in sorted(at, key=lambda pair: pair[0])]


def pace(producer, topic, messages, rate):
    """Send so many a second."""
    began = time.monotonic()
    for n, one in enumerate(messages):
        producer.produce(topic, one)
        producer.poll(max(0.0, began + n / rate - time.monotonic()))
    producer.flush(10)


def batch(posterior, log, as_of=AS_OF):
    """What a batch makes of a log: columns, without when they were computed."""
    with read_purchases(log[["customer_id", "date", "amount"]]) as purchases:
        found = score(posterior, summarise(purchases, as_of=as_of), SETTINGS)
    return plain(pa.Table.from_batches([recorded(found.table)]))


def job(posterior, store, *, as_of=AS_OF, **more):
    """The job of a stream as of a day of long ago."""
    return Job(posterior, SETTINGS, Rules(), *store, as_of=as_of, **more)


def once(job, address, topic):
    """Read a topic to its end; what was done."""
    where = Where(address, topic, {"fetch.wait.max.ms": "50"})
    return follow(job, where, lambda: False, lambda _: None, once=True)


def held(job, table="scores", by="customer_id"):
    """What a table of a store holds."""
    with opened(job.store, job.schema) as store, transaction(store):
        return plain(store.arrow(f"SELECT * FROM {store.table(table)} ORDER BY {by}"))


def plain(table):
    """Columns by name as lists, without the moment of a score."""
    return {n: table[n].to_pylist() for n in sorted(table.column_names) if n != "scored_at"}


def later(days):
    """So many days after."""
    return date.fromordinal(AS_OF.toordinal() + days)
