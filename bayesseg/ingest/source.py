"""Any source as one relation inside a DuckDB session: delimited text, Parquet or a frame."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from bayesseg._files import sha256_of
from bayesseg.errors import InputRejected, UsageError
from bayesseg.ingest.session import identifier, literal, open_session
from bayesseg.ingest.text import Text, read_text


@runtime_checkable
class Frame(Protocol):
    """Anything that hands out Arrow batches: pandas from 3, polars, pyarrow, DuckDB, Ibis."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """An Arrow C stream of the rows."""
        ...


type Source = str | Path | Frame


@dataclass(frozen=True, slots=True)
class Relation:
    """Rows that can be scanned once.

    Attributes:
        connection: the session that holds them.
        sql: what stands after FROM.
        types: DuckDB type of each column, in order.
        zones: time zone of the columns that carry one.
        info: kind, sha256 and size of the source (JSON-able, no path).
        found: dialect entries, ``(value, evidence, origin)`` by name.
    """

    connection: duckdb.DuckDBPyConnection
    sql: str
    types: Mapping[str, str]
    zones: Mapping[str, str]
    info: Mapping[str, Any]
    found: Mapping[str, tuple[str, str, str]]


@contextmanager
def opened(
    source: Source, scratch: Path, *, encoding: str | None = None, delimiter: str | None = None
) -> Iterator[Relation]:
    """Open ``source``; whatever goes wrong while it is scanned inside becomes ``InputRejected``."""
    path = Path(source) if isinstance(source, str | Path) else None
    before = _stamp(path) if path is not None else None
    try:
        if path is not None:
            relation = _from_path(path.resolve(), scratch, encoding, delimiter)
        elif isinstance(source, Frame):
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
        reason = str(error).splitlines()[0].partition(" Detail: ")[0]
        raise InputRejected(
            f"the source cannot be read: {reason}",
            fix="write the file again" if path else "let each column hold one kind of value",
            code="unreadable",
        ) from error
    if path is not None and _stamp(path) != before:
        raise InputRejected(
            "the file changed while it was read", fix="read a copy", code="file_changed"
        )


def _stamp(path: Path) -> tuple[int, int]:
    if not path.exists():
        raise UsageError(f"{path} does not exist", fix="check the path")
    if not path.is_file():
        raise InputRejected(f"{path} is not a regular file", fix="give a file", code="not_a_file")
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _from_path(path: Path, scratch: Path, encoding: str | None, delimiter: str | None) -> Relation:
    info = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    with path.open("rb") as handle:
        parquet = handle.read(4) == b"PAR1"
    if parquet:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        reader = pa.RecordBatchReader.from_batches(file.schema_arrow, file.iter_batches())
        return _from_reader(reader, scratch, {"kind": "parquet", **info})
    text = read_text(path, scratch, encoding=encoding, delimiter=delimiter)
    types = dict.fromkeys(text.names, "VARCHAR")
    connection = open_session(scratch, [text.path])
    return Relation(connection, _read_csv(text), types, {}, {"kind": "csv", **info}, text.found)


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
    return _from_reader(reader, scratch, {"kind": "frame", "sha256": None, "bytes": None})


def _from_reader(reader: pa.RecordBatchReader, scratch: Path, info: Mapping[str, Any]) -> Relation:
    connection = open_session(scratch)
    names = reader.schema.names
    if len(set(names)) != len(names):
        raise InputRejected("two columns have the same name", fix="rename one", code="header")
    connection.register("incoming", reader)
    types = {
        name: str(kind) for name, kind, *_ in connection.execute("DESCRIBE incoming").fetchall()
    }
    zones = {
        field.name: field.type.tz
        for field in reader.schema
        if pa.types.is_timestamp(field.type) and field.type.tz
    }
    return Relation(connection, "incoming", types, zones, info, {})


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
