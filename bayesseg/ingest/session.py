"""A DuckDB session that can spill to disk, reads the given files and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

MEMORY_LIMIT = "800MB"
"""Of DuckDB alone: with rows on their way in and customers on their way out it is below 2 GB."""
DISK_LIMIT = "100GB"


def open_session(scratch: Path, inputs: Sequence[Path] = ()) -> duckdb.DuckDBPyConnection:
    """An in-memory database that spills into ``scratch`` and may read ``inputs`` only."""
    return confined(duckdb.connect(":memory:"), scratch, inputs)


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


def literal(text: str) -> str:
    """``text`` as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def identifier(name: str) -> str:
    """``name`` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
