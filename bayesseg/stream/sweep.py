"""Everybody scored again for a new day: silence is what churn looks like. L10.

A sweep goes by id, some customers a transaction, and notes how far it is: after a crash it goes on from
there. Each row is of one day, which it says; while a sweep is under way there are rows of two. Its last
transaction ranks the table and forgets events beyond the window.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from bayesseg._types import Array
from bayesseg.customers import Customers
from bayesseg.posterior import now
from bayesseg.scoring.kernel import Kernel, customers_of
from bayesseg.scoring.sample import SAMPLE, lowest
from bayesseg.stream.fold import customers, rescore
from bayesseg.stream.store import SWEEP, Store, claim, discard, note, noted, state, transaction

if TYPE_CHECKING:
    from bayesseg.posterior import Posterior
    from bayesseg.scoring import Settings

CHUNK = 20_000
_DONE, _UNDER_WAY, _TOP = SWEEP
_FLOOR = "floor"


def key_of(posterior: Posterior, settings: Settings, as_of: date, released: object) -> str:
    """What the scores of a whole table have in common."""
    return json.dumps(
        [str(as_of), posterior.manifest["model_id"], asdict(settings), released], sort_keys=True
    )


def done(store: Store, key: str) -> bool:
    """Whether everybody was scored for this."""
    with transaction(store):
        return noted(store, key, _DONE) is not None


def top_of(store: Store, key: str, *, again: bool) -> Array | None:
    """Where the top tenth begins as the sweep of this key found it, (S,); None where none did.

    Args:
        store: where.
        key: of the sweep.
        again: leave out one that is over, for another begins.
    """
    with transaction(store):
        if again and noted(store, key, _UNDER_WAY) is None:
            return None
        found = noted(store, key, _TOP)
    return None if found is None else np.array(json.loads(found), dtype=np.float64)


def floor(store: Store) -> date:
    """The first day whose events are remembered."""
    with transaction(store):
        return date.fromisoformat(state(store, _FLOOR) or str(date.min))


def raise_floor(store: Store, day: date) -> None:
    """Forget events of days before ``day``; it never falls, so what is forgotten stays too late."""
    if day > date.fromisoformat(state(store, _FLOOR) or str(date.min)):
        note(store, _FLOOR, str(day))
        store.ask(f"DELETE FROM {store.table('events')} WHERE purchase_day < DATE '{day}'")


def sample_of(store: Store, as_of: date, seed: int) -> Customers | None:
    """The customers who say where the top tenth begins: those of the lowest keys, read as they come."""
    kept: pa.Table | None = None
    with transaction(store):
        for batch in store.batches(customers(store, as_of, "true")):
            some = pa.Table.from_batches([batch])
            kept = some if kept is None else pa.concat_tables([kept, some])
            if len(kept) > 2 * SAMPLE:
                kept = _lowest(kept, seed)
    if kept is None or not len(kept):
        return None
    batch = _lowest(kept, seed).combine_chunks().to_batches()[0]
    found = customers_of(batch, as_of)
    assert isinstance(found, Customers)
    return found


def _lowest(table: pa.Table, seed: int) -> pa.Table:
    ids = np.asarray(table["customer_id"].to_pylist(), dtype=object)
    return table.take(pa.array(lowest(ids, seed)))


def sweep(
    store: Store, kernel: Kernel, key: str, remember: int | None, size: int = CHUNK
) -> Iterator[int]:
    """Score everybody, a chunk and a transaction at each step, and rank them in the last one.

    Args:
        store: where.
        kernel: of the day.
        key: of it; a sweep of the same that was broken off goes on.
        remember: days for which events are remembered; None for ever.
        size: customers a chunk.

    Yields:
        How many were scored in this step.
    """
    assert kernel.as_of is not None
    while True:
        with transaction(store):
            claim(store, key)
            after = state(store, _UNDER_WAY)
            if after is None:
                after = ""
                _begin(store, kernel)
            (last,) = store.ask(
                "SELECT max(customer_id) FROM (SELECT DISTINCT customer_id FROM "
                f"{store.table('days')} WHERE customer_id > $1::text "
                f"ORDER BY customer_id LIMIT {size}) AS following",
                after,
            )[0]
            if last is None:
                _rank(store, kernel)
                if remember is not None:
                    _forget(store, kernel.as_of, remember)
                discard(store, _UNDER_WAY)
                note(store, _DONE, str(now()))
                break
            which = "customer_id > $1::text AND customer_id <= $2::text"
            count = rescore(store, kernel, key, which, after, last)
            note(store, _UNDER_WAY, last)
        yield count


def _begin(store: Store, kernel: Kernel) -> None:
    """Note what must stay the same until the end, whoever gets there."""
    discard(store, *SWEEP)
    if kernel.top is not None:
        note(store, _TOP, json.dumps(kernel.top.tolist()))


def _forget(store: Store, as_of: date, remember: int) -> None:
    """Remember so many days before the last purchase: a clock that runs ahead makes nothing too late."""
    ((last,),) = store.ask(f"SELECT max(purchase_day) FROM {store.table('days')}")
    if last is not None:
        raise_floor(store, date.fromordinal(max(1, min(last, as_of).toordinal() - remember)))


def _rank(store: Store, kernel: Kernel) -> None:
    """Rank the table as a score file is: the largest value at risk first, equal ones by id."""
    if not kernel.plan.spend:
        return
    at = store.table("scores")
    store.ask(
        f"UPDATE {at} AS s SET priority_rank = ranked.place FROM (SELECT customer_id, "
        "row_number() OVER (ORDER BY value_at_risk DESC NULLS LAST, customer_id) AS place "
        f"FROM {at}) AS ranked WHERE s.customer_id = ranked.customer_id "
        "AND s.priority_rank IS DISTINCT FROM ranked.place"
    )
