"""Rows of a database, streamed: a DuckDB file or a PostgreSQL server, read and never written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from bayesseg.errors import InputRejected, ResourcesMissing, UsageError
from bayesseg.ingest.session import confined, identifier, literal

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection

BATCH = 100_000
_MEMORY = "500MB"
_TIMEOUT = 10
_LAST_SEMICOLON = re.compile(r";(\s|--[^\n]*(\n|$))*$")
_URL = r"postgres(ql)?://"
_ADDRESS = rf"{_URL}|\s*(host|hostaddr|port|dbname|user|password|service)\s*="
_PART = r'"(?:[^"]|"")+"|[^".]+'

# what libpq says may hold parts of the address, so it is put into words of ours
_UNREACHABLE = {
    "password authentication failed|no password supplied|authentication": "it refuses the user "
    "or the password",
    "database .* does not exist": "it has no such database",
    "role .* does not exist": "it knows no such user",
    "could not translate host name|Name or service": "its host is unknown",
    "refused|No such file": "nothing answers at that host and port",
    "timeout|timed out": f"nothing answered within {_TIMEOUT} seconds",
    "terminating connection|closed the connection": "it ended the connection",
    "starting up|shutting down|recovery mode": "it is starting or stopping",
    "SSL|certificate": "no secure connection could be made",
    "too many (clients|connections)|remaining connection slots": "it has no connection left",
    "invalid|missing|unexpected": "the address is malformed",
}


def is_address(source: object) -> bool:
    """Whether a source is the address of a PostgreSQL server: a URL, or ``host=... dbname=...``."""
    return isinstance(source, str) and re.match(_ADDRESS, source) is not None


def statement(table: str | None, query: str | None) -> str:
    """SQL of the rows asked for: a whole table, or one query, which can only read.

    Names are taken as written; ``"a.b".c`` is table ``c`` of schema ``a.b``.

    Raises:
        UsageError: neither or both are given, or the table is no name.
    """
    if (table is None) == (query is None):
        raise UsageError(
            "a database is read by --table or by --query-file"
            + ("" if table is None else ", not both"),
            fix="for example --table sales.orders",
        )
    if query is not None:
        # within a query nothing can write; the line ends a comment that stands last
        return f"SELECT * FROM (\n{_LAST_SEMICOLON.sub('', query)}\n) AS source"
    assert table is not None
    return f"SELECT * FROM {'.'.join(map(identifier, parts(table)))}"


def parts(table: str) -> list[str]:
    """The parts of a table's name; ``"a.b".c`` is table ``c`` of schema ``a.b``.

    Raises:
        UsageError: it is no name.
    """
    if not re.fullmatch(rf"({_PART})(\.({_PART})){{0,2}}", table):
        raise UsageError(f"--table {table!r} is no name", fix="write schema.name")
    return [p[1:-1].replace('""', '"') if p[0] == '"' else p for p in re.findall(_PART, table)]


@contextmanager
def duckdb_rows(
    path: Path, scratch: Path, table: str | None, query: str | None
) -> Iterator[pa.RecordBatchReader]:
    """Stream rows of a DuckDB file, opened read-only and apart; the query reaches no other file.

    Raises:
        InputRejected: no such table, a query that fails or does more than read, a file that is in use.
    """
    folder = scratch / "database"
    folder.mkdir()
    try:
        connection = duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        raise InputRejected(
            f"the database cannot be opened: {_first_line(error)}",
            fix="close it where it is open for writing, or give a copy; "
            "in Python give a relation of your own connection",
            code="database",
        ) from error
    with connection:
        confined(connection, folder, memory=_MEMORY)
        if table is None and query is None:
            raise UsageError(
                "a database is read by --table or by --query-file", fix=_tables(connection)
            )
        sql = statement(table, query)
        try:
            if len(connection.extract_statements(sql)) != 1:
                raise _many()
            rows = connection.sql(sql)
            if rows is None:
                raise _many()
            reader = rows.to_arrow_reader(BATCH)
        except duckdb.CatalogException as error:
            raise InputRejected(
                _first_line(error), fix=_tables(connection), code="table_missing"
            ) from error
        except (duckdb.ParserException, duckdb.BinderException, duckdb.PermissionException) as e:
            raise _query_refused(_first_line(e)) from e
        yield reader


def _tables(connection: duckdb.DuckDBPyConnection) -> str:
    rows = connection.execute(
        "SELECT table_schema, table_name FROM information_schema.tables "
        "WHERE table_schema <> 'information_schema' ORDER BY ALL LIMIT 20"
    ).fetchall()
    names = [name if schema == "main" else f"{schema}.{name}" for schema, name in rows]
    return f"give --table, one of: {', '.join(names)}" if names else "the database has no table"


def _many() -> InputRejected:
    return _query_refused("it is not one single query")


def _query_refused(why: str) -> InputRejected:
    return InputRejected(
        f"the query cannot be run: {why}",
        fix="give one SELECT that reads and does nothing else",
        code="query",
    )


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]


@contextmanager
def postgres_rows(
    address: str, table: str | None, query: str | None
) -> Iterator[pa.RecordBatchReader]:
    """Stream rows of a PostgreSQL server inside a read-only transaction.

    NUMERIC comes as exact text. The address may hold a password: no message repeats any of it.

    Raises:
        ResourcesMissing: no driver, or the server is not to be reached.
        InputRejected: no such table, a query that fails or does more than read, a column of type money.
    """
    sql = statement(table, query)
    connection = connected(address)
    from adbc_driver_manager import Error

    with connection, connection.cursor() as cursor:
        try:
            cursor.execute("SET TRANSACTION READ ONLY")
            cursor.execute(sql)
            reader = cursor.fetch_record_batch()
        except Error as error:
            raise of_server(str(error), error.sqlstate, table) from None
        for field in reader.schema:
            if _postgres_type(field) == "money":
                raise InputRejected(
                    f"column {field.name!r} is of type money, whose unit depends on the server",
                    fix=f"give a query with {literal(field.name)[1:-1]}::numeric",
                    code="column_type",
                )
        yield reader


def connected(address: str) -> Connection:
    """A connection to a PostgreSQL server, in a transaction; no message repeats any of ``address``.

    Raises:
        ResourcesMissing: no driver, or the server is not to be reached (code ``database_unreachable``).
    """
    try:
        from adbc_driver_manager import Error
        from adbc_driver_postgresql import dbapi
    except ImportError as error:
        raise ResourcesMissing(
            "PostgreSQL needs the package adbc-driver-postgresql",
            fix="pip install 'bayesseg[postgres]', or use a Parquet file",
        ) from error
    if "connect_timeout" not in address:
        joint = " " if not re.match(_URL, address) else "&" if "?" in address else "?"
        address += f"{joint}connect_timeout={_TIMEOUT}"
    why = None
    try:
        return dbapi.connect(address)
    except Error as error:
        why = next(
            (words for sign, words in _UNREACHABLE.items() if re.search(sign, str(error))),
            "it does not let us in",
        )
    # outside the except, so that no traceback shows what libpq said
    raise ResourcesMissing(
        f"the PostgreSQL server cannot be reached: {why}",
        fix="check host, port, database, user and password (PGPASSWORD or a password file "
        "keep it out of the address), and that psql connects with them",
        code="database_unreachable",
    )


def numerics(schema: pa.Schema) -> frozenset[str]:
    """The columns of a PostgreSQL stream that are NUMERIC, and so text with a decimal point."""
    return frozenset(field.name for field in schema if _postgres_type(field) == "numeric")


def _postgres_type(field: pa.Field) -> str:
    found: bytes = (field.metadata or {}).get(b"POSTGRESQL:type", b"")
    return found.decode() or str(getattr(field.type, "type_name", ""))


def of_server(message: str, state: str | None = None, table: str | None = None) -> InputRejected:
    """What the server says of a statement, in its own words; ``state`` is its SQLSTATE."""
    if state in ("42P01", "3F000") and table is not None:
        return InputRejected(
            f"the server has no table {table!r} that this user may see",
            fix="give schema.name, written as the server has it",
            code="table_missing",
        )
    said = re.search(r"ERROR:\s+([^\n]+)", message)
    words = said[1] if said else f"the server ended it (SQLSTATE {state or 'unknown'})"
    # of names and grammar the words are the query's own
    return _query_refused(words if (state or "").startswith("42") else unquoted(words))


def unquoted(message: str) -> str:
    """``message`` without what stands in quotation marks: it may be a value, which is personal data."""
    return re.sub(r"\"[^\"]*\"|'[^']*'", "…", message)
