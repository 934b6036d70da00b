"""A batch of messages into the store, in one transaction with its offsets. L10.

What was committed is told by the offsets, and what is an event that came before by its id: so a batch
that is read again after a crash, and an event that is sent twice, change nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa

from bayesseg import sql
from bayesseg.posterior import now
from bayesseg.scoring.kernel import Kernel, schema_of, score_batch
from bayesseg.scoring.table import meaning_of, unit_of
from bayesseg.stream.event import Event
from bayesseg.stream.store import Store, claim, kind_of, transaction

if TYPE_CHECKING:
    from datetime import date

_EVENTS = pa.schema(
    [
        ("event_id", pa.string()),
        ("customer_id", pa.string()),
        ("purchase_day", pa.date32()),
        ("amount", pa.decimal128(18, 4)),
    ]
)
_DEAD = pa.schema(
    [
        ("partition", pa.int64()),
        ("offset", pa.int64()),
        ("reason", pa.string()),
        ("payload", pa.binary()),
    ]
)
_TOUCHED = "customer_id IN (SELECT customer_id FROM bayesseg_events)"


@dataclass(frozen=True, slots=True)
class Message:
    """One message: where it stands, what it holds, and the event or the reason why it is none."""

    partition: int
    offset: int
    content: bytes | None
    read: Event | str


def fold(
    store: Store,
    topic: str,
    messages: Sequence[Message],
    after: Mapping[int, int],
    kernel: Kernel,
    key: str,
) -> Counter[str]:
    """Count messages in: events, days, scores of whom they touch, dead letters, offsets; all or nothing.

    Args:
        store: where.
        topic: of the messages.
        messages: in the order in which they stand in their partitions.
        after: the next offset of each partition.
        kernel: scores whom they touch, as of its day.
        key: of it.

    Returns:
        How many were ``used`` and ``repeated``, how many ``customers`` were scored, and dead letters
        by reason.
    """
    with transaction(store):
        first: dict[str, Event] = {}
        for one in messages:
            if isinstance(one.read, Event):
                first.setdefault(one.read.event_id, one.read)
        fresh = _remembered(store, first)
        known = first | _said(store, first.keys() - fresh)
        used, dead = Counter[str](), []
        for one in messages:
            if isinstance(one.read, str):
                dead.append((one, one.read))
            elif known[one.read.event_id] != one.read:
                dead.append((one, "event_changed"))
            elif one.read.event_id in fresh:
                fresh.discard(one.read.event_id)
                used["used"] += 1
            else:
                used["repeated"] += 1
        if used["used"]:
            _add(store)
            used["customers"] = rescore(store, kernel, key, _TOUCHED)
        _bury(store, topic, dead)
        _move(store, topic, after)
    return used + Counter(reason for _, reason in dead)


def _remembered(store: Store, events: Mapping[str, Event]) -> set[str]:
    """Note those that were not known, which stand in ``bayesseg_events`` then; their ids."""
    if not events:
        return set()
    store.bring("bayesseg_events", _table(events.values()))
    names = ", ".join(_EVENTS.names)
    fresh = {
        one
        for (one,) in store.ask(
            f"INSERT INTO {store.table('events')} ({names}) SELECT {names} FROM bayesseg_events "
            "ON CONFLICT (event_id) DO NOTHING RETURNING event_id",
        )
    }
    if len(fresh) < len(events):
        store.bring("bayesseg_events", _table(events[one] for one in events if one in fresh))
    return fresh


def _table(events: Iterable[Event]) -> pa.Table:
    return pa.table(list(map(list, zip(*events, strict=True))) or [[]] * 4, schema=_EVENTS)


def _said(store: Store, ids: Iterable[str]) -> dict[str, Event]:
    """What events that are remembered said."""
    known = pa.table({"event_id": pa.array(list(ids), pa.string())})
    if not len(known):
        return {}
    store.bring("bayesseg_repeated", known)
    found = store.ask(
        "SELECT event_id, customer_id, purchase_day, CAST(amount AS TEXT) "
        f"FROM {store.table('events')} WHERE event_id IN (SELECT event_id FROM bayesseg_repeated)",
    )
    return {one: Event(one, who, day, Decimal(amount)) for one, who, day, amount in found}


def _add(store: Store) -> None:
    """Add the days of ``bayesseg_events`` to those that are there."""
    lines = "SELECT *, purchase_day AS recorded_day FROM bayesseg_events"
    store.ask(
        f"INSERT INTO {store.table('days')} AS d "
        f"(customer_id, purchase_day, net, lowest, row_count, orders) "
        f"WITH bayesseg_source AS ({lines}) {sql.of_lines(store.dialect)} "
        "ON CONFLICT (customer_id, purchase_day) DO UPDATE SET net = d.net + excluded.net, "
        "lowest = LEAST(d.lowest, excluded.lowest), row_count = d.row_count + excluded.row_count, "
        "orders = GREATEST(d.orders, excluded.orders)"
    )


def customers(store: Store, as_of: date, which: str) -> str:
    """SQL: the summary, as the kernel reads it, of customers that SQL tells from their ids."""
    daily = f"SELECT * FROM {store.table('days')} WHERE purchase_day <= DATE '{as_of}' AND {which}"
    counts = ", ".join(
        f"CAST({name} AS BIGINT) AS {name}" for name in ("x", "t_x", "t_end", "x_paid", "n_orders")
    )
    return (
        f"SELECT customer_id, {counts}, repeat_spend, first_spend "
        f"FROM ({sql.of_days(daily, as_of, store.dialect)}) AS summed ORDER BY customer_id"
    )


def rescore(store: Store, kernel: Kernel, key: str, which: str, *values: str) -> int:
    """Score whom ``which`` (SQL of a customer_id) means; who is no customer any more loses the row."""
    assert kernel.as_of is not None
    claim(store, key)
    summary = store.arrow(customers(store, kernel.as_of, which), *values).combine_chunks()
    if not len(summary):
        store.ask(f"DELETE FROM {store.table('scores')} WHERE {which}", *values)
        return 0
    batch = summary.to_batches()[0]
    found = score_batch(replace(kernel, scored_at=now()), batch)
    store.bring("bayesseg_scored", pa.Table.from_batches([found]))
    names = [f'"{name}"' for name in found.schema.names]
    rest = [f'"{name}"' for name in columns_there(store) if name not in found.schema.names]
    told = [*(f"{one} = excluded.{one}" for one in names[1:]), *(f"{one} = NULL" for one in rest)]
    store.ask(
        f"DELETE FROM {store.table('scores')} WHERE {which} "
        "AND customer_id NOT IN (SELECT customer_id FROM bayesseg_scored)",
        *values,
    )
    store.ask(
        f"INSERT INTO {store.table('scores')} ({', '.join(names)}) "
        f"SELECT {', '.join(names)} FROM bayesseg_scored "
        f"ON CONFLICT (customer_id) DO UPDATE SET {', '.join(told)}"
    )
    return len(summary)


def columns_there(store: Store) -> list[str]:
    """The columns that the table of scores has; none where there is no such table."""
    found = store.ask(
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_schema = $1::text AND table_name = 'scores'",
        store.schema,
    )
    return [str(name) for (name,) in found]


def make_room(store: Store, kernel: Kernel) -> None:
    """Make the table of scores, or give it the columns that this model has and it has not."""
    at = store.table("scores")
    with transaction(store):
        store.ask(f'CREATE TABLE IF NOT EXISTS {at} (customer_id TEXT COLLATE "C" PRIMARY KEY)')
        there = columns_there(store)
        for field in schema_of(kernel):
            if field.name not in there:
                store.ask(f'ALTER TABLE {at} ADD COLUMN "{field.name}" {kind_of(field.type)}')
                unit = unit_of(field.name)
                said = "; ".join(filter(None, (meaning_of(field.name), unit and f"unit: {unit}")))
                quoted = said.replace("'", "''")
                store.ask(f"COMMENT ON COLUMN {at}.\"{field.name}\" IS '{quoted}'")


def _bury(store: Store, topic: str, dead: Sequence[tuple[Message, str]]) -> None:
    if not dead:
        return
    lines = [(one.partition, one.offset, reason, one.content) for one, reason in dead]
    store.bring("bayesseg_dead", pa.table(list(map(list, zip(*lines, strict=True))), schema=_DEAD))
    store.ask(
        f"INSERT INTO {store.table('dead')} "
        'SELECT $1::text, "partition", "offset", reason, payload FROM bayesseg_dead',
        topic,
    )


def begin(store: Store, topic: str, starts: Mapping[int, int]) -> None:
    """Note where partitions begin that are read for the first time."""
    with transaction(store):
        _move(store, topic, starts)


def _move(store: Store, topic: str, after: Mapping[int, int]) -> None:
    values = ", ".join(f"($1::text, {int(one)}, {int(at)})" for one, at in after.items())
    store.ask(
        f"INSERT INTO {store.table('offsets')} VALUES {values} "
        'ON CONFLICT (topic, "partition") DO UPDATE SET next = excluded.next',
        topic,
    )


def offsets(store: Store, topic: str) -> dict[int, int]:
    """The next message of each partition that was read from."""
    with transaction(store):
        return dict(
            store.ask(
                f'SELECT "partition", next FROM {store.table("offsets")} WHERE topic = $1::text',
                topic,
            )
        )
