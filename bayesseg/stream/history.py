"""The past before the first message: purchase days of a log, loaded once. L10."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from bayesseg import sql
from bayesseg.errors import UsageError
from bayesseg.stream.store import Store, note, transaction
from bayesseg.stream.sweep import raise_floor

if TYPE_CHECKING:
    from bayesseg.ingest import Purchases

_ROWS = 50_000


def load(store: Store, purchases: Purchases) -> tuple[int, date]:
    """Load the purchase days of a log into a store that has none, in one transaction.

    A log tells no event ids, so messages about its days are too late from then on: its last day should
    be a whole one.

    Returns:
        How many days of customers there are, and the last day of the log.

    Raises:
        UsageError: the store has purchase days already, of this history or of messages.
    """
    last = date.fromisoformat(purchases.provenance["days"]["last"])
    connection = purchases.connection.cursor()
    read = connection.sql(
        "SELECT id AS customer_id, purchase_day, net, lowest, row_count, "
        f"CAST(orders AS BIGINT) AS orders FROM ({sql.of_lines('duckdb')}) AS daily "
        "JOIN bayesseg_ids USING (customer_id)"
    ).to_arrow_reader(_ROWS)
    count = 0
    with transaction(store):
        days = store.table("days")
        if store.ask(f"SELECT 1 FROM {days} LIMIT 1"):
            raise UsageError(
                "--history is for a new store, and this one has purchase days: they would count twice",
                fix="leave it out, or give another --store or --schema",
            )
        for batch in read:
            store.bring("bayesseg_history", pa.Table.from_batches([batch]))
            store.ask(f"INSERT INTO {days} SELECT * FROM bayesseg_history")
            count += len(batch)
        raise_floor(store, last + timedelta(days=1))
        note(store, "history", str(last))
    return count, last
