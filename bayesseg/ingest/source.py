"""Any source as one relation inside a DuckDB session: a file, a frame, a database."""

from __future__ import annotations

import codecs
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from bayesseg._files import NO_ROOM, no_room, sha256_of
from bayesseg.errors import BayessegError, InputRejected, UsageError
from bayesseg.ingest import cells
from bayesseg.ingest.database import (
    duckdb_rows,
    is_address,
    numerics,
    of_server,
    postgres_rows,
    unquoted,
)
from bayesseg.ingest.findings import finding
from bayesseg.ingest.foreign import refuse_foreign
from bayesseg.ingest.jsonlines import json_batches
from bayesseg.ingest.options import How
from bayesseg.ingest.session import identifier, literal, open_session
from bayesseg.ingest.text import Text, distinct, first_bytes, read_text
from bayesseg.ingest.workbook import read_workbook


@runtime_checkable
class Frame(Protocol):
    """Anything that hands out Arrow batches: pandas from 3, polars, pyarrow, DuckDB, Ibis."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """An Arrow C stream of the rows."""
        ...


type Source = str | Path | Frame
"""A path, the address of a PostgreSQL server (``postgresql://...``) or a frame."""


@dataclass(frozen=True, slots=True)
class Relation:
    """Rows that can be scanned once.

    Attributes:
        connection: the session that holds them.
        sql: what stands after FROM.
        types: DuckDB type of each column, in order.
        zones: time zone of the columns that carry one.
        info: kind, sha256 and size of the source, sheet or table (JSON-able, no path, no address).
        found: dialect entries, ``(value, evidence, origin)`` by name.
        pointed: columns of text that hold numbers written by a program, with a decimal point.
        unfit: why a column cannot hold ids, where the source itself tells.
        numbers: columns in which the source stores some cells as numbers, without leading zeros.
    """

    connection: duckdb.DuckDBPyConnection
    sql: str
    types: Mapping[str, str]
    zones: Mapping[str, str]
    info: Mapping[str, Any]
    found: Mapping[str, tuple[str, str, str]] = field(default_factory=dict)
    pointed: frozenset[str] = frozenset()
    unfit: Mapping[str, str] = field(default_factory=dict)
    numbers: frozenset[str] = frozenset()

    def findings(self, customer_id: str | None) -> list[dict[str, Any]]:
        """What the source itself says against the column of ids."""
        if customer_id not in self.numbers:
            return []
        message = f"ids in {customer_id!r} are stored as numbers: 42.0 is read as 42"
        fix = "if ids such as 00042 were meant, format the column as text in the workbook"
        return [finding("id_numbers", "note", 1, message, fix)]


_USUAL = How()
_AGAIN = "write the file again"
_UNREAD = ("decimal256", "halffloat")
"""Arrow types that DuckDB refuses, whether the column is wanted or not."""
_WORKBOOKS = (".xlsx", ".xlsm")
_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")


@contextmanager
def opened(source: Source, scratch: Path, how: How = _USUAL) -> Iterator[Relation]:
    """Open ``source``; whatever goes wrong while it is scanned inside becomes ``InputRejected``."""
    path = Path(source) if isinstance(source, str | Path) and not is_address(source) else None
    before = _stamp(path) if path is not None else None
    with ExitStack() as stack:
        try:
            if path is not None:
                relation = _from_path(path, scratch, how, stack)
            elif isinstance(source, str):
                relation = _from_postgres(source, scratch, how, stack)
            elif isinstance(source, Frame):
                _only(how, "a frame")
                relation = _from_frame(source, scratch)
            else:
                raise UsageError(
                    f"a {type(source).__name__} is not a source of rows",
                    fix="give a path, or a pandas, polars or Arrow table",
                )
            yield relation
        except duckdb.OutOfMemoryException:
            raise
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            if "CSV" in str(error):
                raise _csv_error(str(error)) from error
            raise _unreadable(error, source) from error
    if path is not None and _stamp(path) != before:
        raise InputRejected(
            "the file changed while it was read", fix="read a copy", code="file_changed"
        )


def _unreadable(error: Exception, source: Source) -> BayessegError:
    reason = (getattr(error, "strerror", None) or str(error)).splitlines()[0]
    reason = reason.partition(" Detail: ")[0]
    if is_address(source):
        return of_server(reason)
    full = isinstance(error, duckdb.IOException) and any(os.strerror(n) in reason for n in NO_ROOM)
    if full or getattr(error, "errno", None) in NO_ROOM:
        return no_room(reason)
    fix = "let each column hold one kind of value" if isinstance(source, Frame) else _AGAIN
    if isinstance(error, PermissionError):
        fix = "let yourself read it (chmod u+r), or give a copy"
    return InputRejected(
        f"the source cannot be read: {unquoted(reason)}", fix=fix, code="unreadable"
    )


def _stamp(path: Path) -> tuple[int, int]:
    if not path.exists():
        raise UsageError(f"{path} does not exist", fix="check the path")
    if path.is_dir():
        raise InputRejected(f"{path} is a folder", fix="give one file", code="not_a_file")
    if not path.is_file():
        raise InputRejected(
            f"{path} is a pipe or a device, not a file",
            fix=f"let stdin read it: - < {path}",
            code="not_a_file",
        )
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _from_path(path: Path, scratch: Path, how: How, stack: ExitStack) -> Relation:
    """What a file is, its first bytes say; only a workbook must also be named as one."""
    name, path = path.name.lower(), path.resolve()
    with path.open("rb") as handle:
        magic = handle.read(12)
    if magic[8:] == b"DUCK":
        _only(how, "a DuckDB file", "table", "query")
        reader = stack.enter_context(duckdb_rows(path, scratch, how.table, how.query))
        return _from_reader(reader, scratch, {"kind": "duckdb", **_asked(how)})
    info = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    if magic.startswith(b"PK\x03\x04") and name.endswith(_WORKBOOKS):
        _only(how, "a workbook", "sheet")
        return _from_workbook(path, scratch, how, info)
    if magic.startswith(b"\xd0\xcf\x11\xe0"):
        raise InputRejected(
            "the file is an old (.xls) or an encrypted Excel workbook",
            fix="save it as .xlsx without a password",
            code="workbook",
        )
    _only(how, "a plain file")
    if magic.startswith(b"PAR1"):
        file = pq.ParquetFile(path, page_checksum_verification=True)
        groups = range(file.num_row_groups)  # one at a time: together they would all stay in memory
        batches = (batch for group in groups for batch in file.iter_batches(row_groups=[group]))
        reader = pa.RecordBatchReader.from_batches(file.schema_arrow, batches)
        return _from_reader(reader, scratch, {"kind": "parquet", **info})
    head = first_bytes(path)
    refuse_foreign(head)
    if name.endswith(_LINES) or _is_json(head):
        return _from_json(path, scratch, how, info)
    text = read_text(path, scratch, encoding=how.encoding, delimiter=how.delimiter)
    types = dict.fromkeys(text.names, "VARCHAR")
    connection = open_session(scratch, [text.path])
    return Relation(connection, _read_csv(text), types, {}, {"kind": "csv", **info}, text.found)


def _only(how: How, what: str, *fit: str) -> None:
    """Refuse what was asked of a source that has no such thing."""
    needs = {"sheet": "a workbook", "table": "a database", "query": "a database"}
    for name, owner in needs.items():
        if name not in fit and getattr(how, name) is not None:
            option = "--query-file" if name == "query" else f"--{name}"
            raise UsageError(
                f"{option} is for {owner}, and the source is {what}", fix=f"leave out {option}"
            )


def _asked(how: How) -> dict[str, Any]:
    """What of a database was read; a query is told by its hash, for it may hold names of people."""
    if how.query is not None:
        return {"query_sha256": hashlib.sha256(how.query.encode()).hexdigest(), **_UNKNOWN}
    return {"table": how.table, **_UNKNOWN}


_UNKNOWN: Mapping[str, Any] = {"sha256": None, "bytes": None}


def _is_json(head: bytes) -> bool:
    head = head[:1024].removeprefix(codecs.BOM_UTF8).lstrip()
    if re.match(rb"\[\s*\{", head):
        raise InputRejected(
            "the file is one JSON array", fix="write one object a line: jq -c '.[]'", code="json"
        )
    return re.match(rb'\{\s*["}]', head) is not None


def _from_json(path: Path, scratch: Path, how: How, info: Mapping[str, Any]) -> Relation:
    found = cells.survey(json_batches(path, how.encoding))
    if not found.types:
        raise InputRejected("the file is empty", fix="give one object a line", code="empty")
    reader = cells.reader(found, lambda: json_batches(path, how.encoding))
    relation = _from_reader(reader, scratch, {"kind": "jsonlines", **info})
    return replace(relation, pointed=found.pointed, unfit=found.unfit)


def _from_workbook(path: Path, scratch: Path, how: How, info: Mapping[str, Any]) -> Relation:
    book = read_workbook(path, how.sheet)
    found = cells.survey(book.batches())
    reader = cells.reader(found, book.batches)
    relation = _from_reader(reader, scratch, {"kind": "excel", "sheet": book.sheet, **info})
    return replace(relation, pointed=found.pointed, unfit=found.unfit, numbers=found.whole)


def _from_postgres(address: str, scratch: Path, how: How, stack: ExitStack) -> Relation:
    _only(how, "a database", "table", "query")
    reader = stack.enter_context(postgres_rows(address, how.table, how.query))
    relation = _from_reader(reader, scratch, {"kind": "postgres", **_asked(how)})
    return replace(relation, pointed=numerics(reader.schema))


def _read_csv(text: Text) -> str:
    # columns= binds by position, so the names are those just read from the same header
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in text.names)
    return (
        f"read_csv({literal(str(text.path))}, header = true, auto_detect = false, "
        f"delim = {literal(text.delimiter)}, quote = '\"', escape = '\"', strict_mode = true, "
        f"null_padding = false, ignore_errors = false, skip = {text.skip}, "
        f"columns = {{{columns}}})"
    )


def _from_frame(frame: Frame, scratch: Path) -> Relation:
    reader = pa.RecordBatchReader.from_stream(frame)
    return _from_reader(reader, scratch, {"kind": "frame", **_UNKNOWN})


def _from_reader(reader: pa.RecordBatchReader, scratch: Path, info: Mapping[str, Any]) -> Relation:
    connection = open_session(scratch)
    distinct(reader.schema.names)
    if odd := [one.name for one in reader.schema if str(one.type).startswith(_UNREAD)]:
        raise InputRejected(
            f"column {odd[0]!r} holds {reader.schema.field(odd[0]).type}, which is not read",
            fix="write it as double or as decimal of at most 38 digits, or leave it out",
            code="column_type",
        )
    connection.register("incoming", reader)
    types = {
        name: str(kind) for name, kind, *_ in connection.execute("DESCRIBE incoming").fetchall()
    }
    zones = {
        field.name: field.type.tz
        for field in reader.schema
        if pa.types.is_timestamp(field.type) and field.type.tz
    }
    return Relation(connection, "incoming", types, zones, info)


def fingerprint(names: Sequence[str]) -> str:
    """SQL for a hash of whole rows: equal rows have equal hashes."""
    return f"hash({', '.join(identifier(name) for name in names)})"


def _csv_error(message: str) -> InputRejected:
    """What DuckDB found, without the text of the row: rows hold personal data."""
    line = re.search(r"CSV Error on Line: (\d+)", message)
    where = f"line {line[1]}" if line else "the file"
    if count := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", message):
        return InputRejected(
            f"{where} has {count[2]} fields where the header has {count[1]}",
            fix="quote fields that hold the delimiter, or give --delimiter",
            code="ragged",
        )
    if "unterminated quote" in message:
        return InputRejected(
            f"{where} opens a quote that is never closed",
            fix='write a quote inside a field as ""',
            code="open_quote",
        )
    reason = message.splitlines()[0].removeprefix("Invalid Input Error: ").rstrip(".")
    return InputRejected(
        f"{where} is not valid delimited text: {reason}",
        fix='quote fields that hold quotes, delimiters or line ends; write a quote as ""',
        code="malformed",
    )
