"""Customers on disk: those of a file too large to be held in memory. L3.

DuckDB sorts them there, and no customer is ever a Python object of its own. A row group of the roster is
what one call of the scoring kernel takes: customers of like histories, for it reckons what several have
in common once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from bayesseg import sql
from bayesseg._types import IntArray
from bayesseg.customers import Customers, summed
from bayesseg.ingest import Key, Purchases, Source
from bayesseg.ingest.attributes import table_of
from bayesseg.ingest.pseudonyms import pseudonym
from bayesseg.ingest.session import literal, open_session, room_told
from bayesseg.summary import account, customers_in, settled

LARGE = 200_000
"""Customers from which they are put on disk: fewer take less memory than the processes it needs."""
GROUP = 32_768
"""Customers of a row group."""
BYTES = 1_500
"""Disk space a customer takes on the way to its scores, them included."""
_PIECE = 2 * GROUP
_MEMORY = "256MB"
_COUNTS = ("x", "t_x", "t_end", "x_paid", "n_orders")
_MONEY = ("repeat_spend", "first_spend")
_HISTORY = ("x", "t_end", "t_x", "x_paid", "repeat_spend")
_STAGED = pa.schema(
    [
        ("customer_id", pa.string()),
        *((name, pa.int64()) for name in _COUNTS),
        *((name, pa.float64()) for name in _MONEY),
    ]
)


@dataclass(frozen=True, slots=True)
class Roster:
    """Customers in a Parquet file, those of like histories side by side.

    Attributes:
        path: columns ``customer_id, x, t_x, t_end, x_paid, n_orders, repeat_spend, first_spend`` (null
            where it is not known), ``place``, the rank of the id, and, where names are pseudonyms,
            ``name`` with its rank ``line``; ranks count from 0, in code-point order.
        count: customers.
        group: customers of a row group, but for the last.
        as_of: last day observed, inclusive.
        named: whether customers are written by pseudonyms.
        provenance: the account of the rows behind them (JSON-able, no ids, no paths).
    """

    path: Path
    count: int
    group: int
    as_of: date
    named: bool
    provenance: Mapping[str, Any]

    def __len__(self) -> int:
        return self.count

    @property
    def groups(self) -> int:
        """How many row groups there are."""
        return -(-self.count // self.group)


def roster_of(
    purchases: Purchases,
    folder: Path,
    as_of: date | str | None = None,
    key: Key | None = None,
    group: int = GROUP,
) -> Roster:
    """The customers of a purchase log, put into ``folder``; the log is closed.

    Args:
        purchases: the log, without ``shares``.
        folder: an empty one, whose owner removes it.
        as_of: last day observed, inclusive; by default the last day in the data.
        key: of the pseudonyms by which they are written; ids where there is none.
        group: customers of a row group.

    Raises:
        InputRejected, UsageError: as ``customers.summarise``.
        ResourcesMissing: no memory or disk space for it.
    """
    with _told():
        connection, provenance = summed(purchases, as_of)
        day = date.fromisoformat(provenance["as_of"])
        columns = ", ".join(f"CAST({name} AS BIGINT) AS {name}" for name in _COUNTS)
        found = connection.sql(
            f"SELECT id AS customer_id, {columns}, {', '.join(_MONEY)} FROM ({sql.summary(day)}) "
            "JOIN bayesseg_ids USING (customer_id)"
        ).to_arrow_reader(_PIECE)
        _stage((batch.cast(_STAGED) for batch in found), folder)
    purchases.close()
    with _told(), _staged(folder) as staged:
        return _laid(staged, folder, day, key, provenance, group)


def summary_of(
    source: Source,
    room: Callable[[int], Path],
    *,
    least: int = LARGE,
    as_of: date | str | None = None,
    time_unit: str | None = None,
    money: str | None = None,
    key: Key | None = None,
    group: int = GROUP,
    **how: Any,
) -> Customers | Roster:
    """Customers summed up elsewhere, on disk where there are at least ``least``, else in memory.

    ``room`` gives the empty folder for so many. Other arguments and errors are those of
    ``read_summary`` and :func:`roster_of`; a refusal of values tells the row within some 65,000.
    """
    with table_of(source, **how) as table:
        given: dict[str, Any] = {"as_of": as_of, "time_unit": time_unit, "money": money}
        if len(table) < least or table.provenance["columns"]["customer_id"]["value"] is None:
            return customers_in(*table.whole(), table.provenance, **given)
        day, unit, _ = settled(table, **given)
        told: dict[str, Any] = {}

        def checked() -> Iterator[pa.RecordBatch]:
            for ids, columns in table.pieces(_PIECE):
                some = customers_in(ids, columns, table.provenance, **given)
                told.update(some.provenance)
                own = {name: getattr(some, name) for name in (*_COUNTS, *_MONEY)}
                yield pa.RecordBatch.from_pydict({"customer_id": some.ids, **own}, schema=_STAGED)

        folder = room(len(table))
        _stage(checked(), folder)
    with _told(), _staged(folder) as connection:
        count, oldest, fresh, known = _fetched(
            connection,
            "SELECT count(*), max(t_end), count(*) FILTER (t_end = 0), "
            "bool_or(NOT isnan(first_spend)) FROM staged",
        )
        facts = account(table.provenance, day, unit, count, oldest, fresh, first_known=known)
        return _laid(connection, folder, day, key, {**told, **facts}, group)


def ranks(values: pa.RecordBatchReader, folder: Path, size: int) -> Iterator[IntArray]:
    """Places by value at risk in the order of ``line``, ``size`` at a time; the largest value is 1.

    What is unknown comes last; ties go by ``place``.

    Args:
        values: ``line``, ``place`` and ``value_at_risk``, in any order.
        folder: room for the sorting.
        size: how many at a time.
    """
    with _told(), open_session(folder / "spilt", memory=_MEMORY) as connection:
        connection.register("given", values)
        connection.execute(
            "CREATE TABLE ranked AS SELECT line, row_number() OVER () AS rank FROM (SELECT line "
            "FROM given ORDER BY CASE WHEN NOT isnan(value_at_risk) THEN value_at_risk END DESC "
            "NULLS LAST, place)"
        )
        found = connection.sql("SELECT rank FROM ranked ORDER BY line").to_arrow_reader(_PIECE)
        for table in even(found, size):
            yield table["rank"].to_numpy()


def even(batches: Iterable[pa.RecordBatch], size: int) -> Iterator[pa.Table]:
    """The same rows, ``size`` at a time and what is left at the end."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        while sum(map(len, held)) >= size:
            table = pa.Table.from_batches(held)
            yield table.slice(0, size)
            held = table.slice(size).to_batches()
    if held:
        yield pa.Table.from_batches(held)


def _told() -> AbstractContextManager[None]:
    return room_told("the customers were put in order")


def _stage(batches: Iterable[pa.RecordBatch], folder: Path) -> None:
    """Write customers as they come."""
    with pq.ParquetWriter(folder / "staged", _STAGED, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)


@contextmanager
def _staged(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A session with a view ``staged`` of the customers as they came, removed at the end."""
    path = folder / "staged"
    with open_session(folder / "spilt", [path], _MEMORY) as connection:
        connection.execute(
            f"CREATE VIEW staged AS SELECT * FROM read_parquet({literal(str(path))})"
        )
        yield connection
    path.unlink()


def _laid(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    day: date,
    key: Key | None,
    provenance: Mapping[str, Any],
    group: int,
) -> Roster:
    """Rank the staged customers by id, and by pseudonym, and lay those of like histories together."""
    ranked = "SELECT *, row_number() OVER () - 1 AS place FROM (FROM staged ORDER BY customer_id)"
    if key is not None:
        ranked = (
            "SELECT *, row_number() OVER () - 1 AS line FROM "
            f"(SELECT *, {pseudonym('customer_id')} AS name FROM ({ranked}) ORDER BY name, place)"
        )
    reader = connection.sql(
        f"FROM ({ranked}) ORDER BY {', '.join(_HISTORY)}, place",
        params=None if key is None else key.pads(),
    ).to_arrow_reader(_PIECE)
    path = folder / "roster"
    with pq.ParquetWriter(path, reader.schema, compression="zstd") as writer:
        for table in even(reader, group):
            writer.write_table(table, row_group_size=group)
    count = pq.read_metadata(path).num_rows
    return Roster(path, count, group, day, key is not None, provenance)


def _fetched(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    (row,) = connection.execute(query).fetchall()
    return tuple(row)
