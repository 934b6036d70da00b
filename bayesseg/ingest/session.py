"""A DuckDB session that can spill to disk, reads the given files and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from bayesseg.errors import ResourcesMissing

MEMORY_LIMIT = "400MB"
"""Of DuckDB alone: with rows on their way in and customers on their way to disk it is below 1 GB."""
DISK_LIMIT = "100GB"


def open_session(
    scratch: Path, inputs: Sequence[Path] = (), memory: str = MEMORY_LIMIT
) -> duckdb.DuckDBPyConnection:
    """An in-memory database that spills into ``scratch`` and may read ``inputs`` only."""
    return confined(duckdb.connect(":memory:"), scratch, inputs, memory)


def confined(
    connection: duckdb.DuckDBPyConnection,
    scratch: Path,
    inputs: Sequence[Path] = (),
    memory: str = MEMORY_LIMIT,
) -> duckdb.DuckDBPyConnection:
    """``connection``, which from now on spills into ``scratch`` and reads ``inputs`` and itself only.

    The order of the settings matters: paths are allowed first, access is closed, then all is locked.
    """
    allowed = ", ".join(literal(str(path)) for path in inputs)
    for setting in (
        f"memory_limit = '{memory}'",
        f"temp_directory = {literal(str(scratch))}",
        f"max_temp_directory_size = '{DISK_LIMIT}'",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "python_enable_replacements = false",
        "enable_progress_bar = false",
        "TimeZone = 'UTC'",
        f"allowed_paths = [{allowed}]",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        connection.execute(f"SET {setting}")
    return connection


@contextmanager
def room_told(what: str) -> Iterator[None]:
    """Say (exit 9) what the disk or the memory had no room for: ``the customers were read``."""
    try:
        yield
    except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
        raise ResourcesMissing(
            f"memory or temporary disk space ran out while {what}",
            fix="free some space where the result goes, and where temporary files go (TMPDIR)",
        ) from error


def literal(text: str) -> str:
    """``text`` as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """``name`` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
