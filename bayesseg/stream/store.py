"""Where a stream keeps what it knows: a PostgreSQL server or a DuckDB file, by one SQL for both. L10.

The tables, in a schema of their own: ``events`` (each event once, what it said), ``days`` (what a
customer's lines of a day net to), ``scores`` (the columns of a score file), ``offsets`` (the next
message of each partition), ``dead`` (messages that are no purchases, with the reason) and ``state``.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from bayesseg.errors import (
    BayessegError,
    DestinationFailed,
    Locked,
    ResourcesMissing,
    RowsRefused,
    UsageError,
)
from bayesseg.ingest.database import connected, is_address, unquoted
from bayesseg.ingest.session import confined, identifier, literal

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

TABLES = {
    "events": "event_id TEXT PRIMARY KEY, customer_id TEXT NOT NULL, purchase_day DATE NOT NULL, "
    "amount DECIMAL(18,4) NOT NULL",
    # ids in the order of their code points, whatever the server's own
    "days": 'customer_id TEXT COLLATE "C", purchase_day DATE, net DECIMAL(38,4) NOT NULL, '
    "lowest DECIMAL(18,4) NOT NULL, row_count BIGINT NOT NULL, orders BIGINT NOT NULL, "
    "PRIMARY KEY (customer_id, purchase_day)",
    "offsets": 'topic TEXT, "partition" BIGINT, next BIGINT NOT NULL, '
    'PRIMARY KEY (topic, "partition")',
    "dead": 'topic TEXT, "partition" BIGINT, "offset" BIGINT, reason TEXT NOT NULL, payload BYTEA, '
    'PRIMARY KEY (topic, "partition", "offset")',
    "state": "name TEXT PRIMARY KEY, value TEXT NOT NULL",
}
_MEMORY = "700MB"
_LONGEST = 63
"""Bytes of a name on a PostgreSQL server, which cuts longer ones off."""
_FILE = "bayesseg_store"
"""What a DuckDB file is called inside, whatever its name."""
_ISOLATION = "ISOLATION LEVEL READ COMMITTED, READ WRITE"
_SHORT = (duckdb.OutOfMemoryException, duckdb.IOException)
_ROWS = 50_000
_TRIES, _WAIT = 5, 1.0
"""How often, and how many seconds apart, a store is asked for that somebody else holds."""
_GONE = re.compile(r"08\w{3}|57P0\w|40001|40P01")
"""SQLSTATE of connections lost, servers that stop and transactions that were in the way."""


class StoreLost(Exception):
    """The connection went: what was not committed is not there, and the rest is."""


@dataclass(frozen=True, slots=True)
class Store:
    """A database in use by this process alone.

    Attributes:
        dialect: of its SQL.
        schema: of the tables, as a name.
        home: the same as statements name it.
        ask: run a statement with its ``$1`` values; the rows it returns.
        arrow: the same of a query, as Arrow.
        batches: the same for much.
        bring: make a temporary table of such rows, in place of the one there was.
        end: end the transaction; True commits it.
    """

    dialect: str
    schema: str
    home: str
    ask: Callable[..., list[tuple[Any, ...]]]
    arrow: Callable[..., pa.Table]
    batches: Callable[..., Iterator[pa.RecordBatch]]
    bring: Callable[[str, pa.Table], None]
    end: Callable[[bool], None]

    def table(self, name: str) -> str:
        """A table as a statement names it."""
        return f"{self.home}.{identifier(name)}"


@contextmanager
def transaction(store: Store) -> Iterator[None]:
    """Commit what is done inside, all of it or nothing.

    Raises:
        StoreLost: nobody knows whether it was: the store says so when it is opened again.
    """
    try:
        yield
    except BaseException:
        with suppress(BayessegError, StoreLost):
            store.end(False)
        raise
    store.end(True)


@contextmanager
def opened(where: str, schema: str) -> Iterator[Store]:
    """Open the store and take it for this process; its tables are made where they are absent.

    Args:
        where: address of a PostgreSQL server, or path of a DuckDB file, made where it is absent.
        schema: of the tables.

    Raises:
        Locked: another stream has it.
        ResourcesMissing: out of reach, or not allowed.
        StoreLost: the connection went.
        UsageError: the schema has no name that both stores take, or the server is not of UTF-8.
    """
    if not 0 < len(schema.encode(errors="replace")) <= _LONGEST or not schema.isprintable():
        raise UsageError(
            "--schema is no name of a schema", fix=f"give one of 1 to {_LONGEST} bytes"
        )
    with (_postgres if is_address(where) else _duckdb)(where, schema) as store:
        with transaction(store):
            store.ask(f"CREATE SCHEMA IF NOT EXISTS {store.home}")
            for name, columns in TABLES.items():
                store.ask(f"CREATE TABLE IF NOT EXISTS {store.table(name)} ({columns})")
        yield store


def state(store: Store, name: str) -> str | None:
    """What was noted under a name."""
    found = store.ask(f"SELECT value FROM {store.table('state')} WHERE name = $1::text", name)
    return found[0][0] if found else None


def note(store: Store, name: str, value: str) -> None:
    """Note something under a name, in place of what was."""
    store.ask(
        f"INSERT INTO {store.table('state')} VALUES ($1::text, $2::text) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        name,
        value,
    )


def discard(store: Store, *names: str) -> None:
    """Note nothing any more under these names."""
    listed = ", ".join(f"'{name}'" for name in names)
    store.ask(f"DELETE FROM {store.table('state')} WHERE name IN ({listed})")


SWEEP = "swept", "sweep", "top"
"""Under which names a sweep notes what it has done."""
_KEY = "key"


def claim(store: Store, key: str) -> None:
    """Say what scores rows from now on: what was swept for another day or model is whole no longer."""
    if state(store, _KEY) != key:
        discard(store, *SWEEP)
        note(store, _KEY, key)


def noted(store: Store, key: str, name: str) -> str | None:
    """What a sweep of this key noted under a name."""
    return state(store, name) if state(store, _KEY) == key else None


def kind_of(kind: pa.DataType) -> str:
    """The type of a column that holds such values, as both stores spell it."""
    if pa.types.is_list(kind):
        return f"{kind_of(kind.value_type)}[]"
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP WITH TIME ZONE"
    return _KINDS[str(kind)]


_KINDS = {
    "string": "TEXT",
    "large_string": "TEXT",
    "int64": "BIGINT",
    "int32": "INTEGER",
    "double": "DOUBLE PRECISION",
    "bool": "BOOLEAN",
    "date32[day]": "DATE",
    "binary": "BYTEA",
}


@contextmanager
def _duckdb(where: str, schema: str) -> Iterator[Store]:
    path = Path(where).absolute()
    connection = _taken(path)
    with connection:
        confined(connection, path.with_name(f"{path.name}.tmp"), memory=_MEMORY)
        begun = [False]

        def begin() -> None:
            if not begun[0]:
                connection.execute("BEGIN")
                begun[0] = True

        def ask(statement: str, *values: Any) -> list[tuple[Any, ...]]:
            with _explained():
                begin()
                found: list[tuple[Any, ...]] = connection.execute(
                    statement, list(values)
                ).fetchall()
                return found

        def arrow(statement: str, *values: Any) -> pa.Table:
            with _explained():
                begin()
                return connection.sql(statement, params=list(values)).to_arrow_table()

        def batches(statement: str, *values: Any) -> Iterator[pa.RecordBatch]:
            with _explained():
                begin()
                yield from connection.sql(statement, params=list(values)).to_arrow_reader(_ROWS)

        def bring(name: str, table: pa.Table) -> None:
            with _explained():
                begin()
                connection.register(name, table)

        def end(commit: bool) -> None:
            begun[0] = False
            with _explained():
                connection.execute("COMMIT" if commit else "ROLLBACK")

        home = f"{_FILE}.{identifier(schema)}"
        yield Store("duckdb", schema, home, ask, arrow, batches, bring, end)


def _taken(path: Path) -> duckdb.DuckDBPyConnection:
    """The file, open for writing: DuckDB lets one process have it."""
    for left in reversed(range(_TRIES)):
        connection = duckdb.connect()
        try:
            connection.execute(f"ATTACH {literal(str(path))} AS {_FILE} (TYPE duckdb)")
        except duckdb.Error as error:
            said = str(error)
        else:
            return connection
        connection.close()
        if "Could not set lock" not in said:
            raise ResourcesMissing(
                f"{path} cannot be opened as a DuckDB file", fix="check --store, and its folder"
            )
        if left:
            time.sleep(_WAIT)
    raise Locked(
        f"{path} is open in another process",
        fix="a store is of one stream at a time: stop the other one; read a copy meanwhile",
    )


@contextmanager
def _explained() -> Iterator[None]:
    """What DuckDB says, in its words and without values, which may be personal data."""
    try:
        yield
    except duckdb.Error as error:
        said, short = str(error).partition("\n")[0], isinstance(error, _SHORT)
    else:
        return
    if short:
        raise ResourcesMissing(
            f"the store cannot be written: {unquoted(said)}", fix="free memory or disk space"
        )
    raise DestinationFailed(
        f"the store does not take it: {unquoted(said)}", fix="give another --store or --schema"
    )


@contextmanager
def _postgres(where: str, schema: str) -> Iterator[Store]:
    try:
        connection = connected(where)
    except ResourcesMissing as error:
        if error.code != "database_unreachable" or _hopeless(error.message):
            raise
        raise StoreLost(error.message) from None
    from adbc_driver_manager import Error

    try:
        with connection.cursor() as cursor:

            def run(statement: str, values: Sequence[Any]) -> None:
                try:
                    cursor.execute(statement, tuple(values) or None)
                except Error as error:
                    found = _told(error)
                else:
                    return
                raise found  # outside the except: no traceback shows what libpq said

            def ask(statement: str, *values: Any) -> list[tuple[Any, ...]]:
                run(statement, values)
                return cursor.fetchall() if cursor.description else []

            def arrow(statement: str, *values: Any) -> pa.Table:
                run(statement, values)
                return cursor.fetch_arrow_table()

            def batches(statement: str, *values: Any) -> Iterator[pa.RecordBatch]:
                run(statement, values)
                yield from cursor.fetch_record_batch()

            def bring(name: str, table: pa.Table) -> None:
                columns = ", ".join(
                    f"{identifier(one.name)} {kind_of(one.type)}" for one in table.schema
                )
                run(f"CREATE TEMP TABLE IF NOT EXISTS {name} ({columns}) ON COMMIT DELETE ROWS", ())
                run(f"DELETE FROM pg_temp.{name}", ())
                _copied(cursor, name, table)

            def end(commit: bool) -> None:
                try:
                    connection.commit() if commit else connection.rollback()
                except Error as error:
                    found = _told(error)
                else:
                    return
                raise found

            if (coding := ask("SELECT current_setting('server_encoding')")[0][0]) != "UTF8":
                raise UsageError(
                    f"the database keeps text as {coding}, which does not hold every id",
                    fix="make one for the stream: createdb --encoding UTF8 --template template0",
                )
            run("SET client_min_messages = warning", ())
            run("SET TIME ZONE 'UTC'", ())
            run("SET row_security = off", ())
            # not a server's own default, which may be read only
            run(f"SET SESSION CHARACTERISTICS AS TRANSACTION {_ISOLATION}", ())
            _alone(ask, schema)
            end(True)
            yield Store("postgres", schema, identifier(schema), ask, arrow, batches, bring, end)
    finally:
        with suppress(Error):  # a connection that is lost cannot be closed
            connection.close()


def _copied(cursor: Cursor, name: str, table: pa.Table) -> None:
    from adbc_driver_manager import Error

    try:
        cursor.adbc_ingest(name, table, mode="append", temporary=True)
    except Error as error:
        found = _told(error)
    else:
        return
    raise found


def _alone(ask: Callable[..., list[tuple[Any, ...]]], schema: str) -> None:
    """Hold the schema as long as this connection lives: the lock goes with what is not committed."""
    for left in reversed(range(_TRIES)):
        key = f"bayesseg stream {schema}"
        if ask("SELECT pg_try_advisory_lock(hashtextextended($1::text, 0))", key) == [(True,)]:
            return
        if left:
            time.sleep(_WAIT)
    raise Locked(
        f"another stream is at work in the schema {schema}",
        fix="a store is of one stream at a time: stop the other one, or give another --schema",
    )


def _hopeless(message: str) -> bool:
    return any(words in message for words in ("refuses", "no such", "malformed", "let us in"))


def _told(error: Any) -> BayessegError | StoreLost:
    """What the server said, in its words and without values, which may be personal data."""
    from adbc_driver_manager import AdbcStatusCode

    code = error.sqlstate or ""
    if _GONE.fullmatch(code) or (not code and error.status_code == AdbcStatusCode.IO):
        return StoreLost("the connection to the server was lost")
    said = re.search(r"(?:ERROR|FATAL):\s+([^\n]+)", str(error))
    words = said[1] if said else f"SQLSTATE {code or 'unknown'}"
    if code.startswith("42"):
        return ResourcesMissing(
            f"the server does not allow it: {words}",
            fix="let the user make a schema and temporary tables there",
            code="not_allowed",
        )
    if code[:2] in ("22", "23", "54"):
        return RowsRefused(
            f"the server refuses rows: {unquoted(words)}; the batch was not written",
            fix="see what the tables of the stream demand: nobody else should change them",
        )
    return DestinationFailed(
        f"the server ended it: {unquoted(words)}", fix="see the log of the server, and run it again"
    )
