"""The SQL of every warehouse from that of DuckDB.

    python tests/transpiled.py

A script and what its test imports: writes ``bayesseg/sql/*.sql`` anew after ``duckdb.sql`` has changed.
"""

import logging
from importlib.resources import files
from pathlib import Path

import sqlglot

from bayesseg import sql

HEAD = "-- Transpiled from duckdb.sql by tests/transpiled.py; edit that one.\n"


def transpiled(dialect):
    """Every step of ``duckdb.sql`` in the words of ``dialect``; what it cannot say is an error."""
    text = files(sql).joinpath("duckdb.sql").read_text(encoding="utf-8")
    level = sqlglot.ErrorLevel.RAISE
    written = [HEAD]
    for name, step in sql.steps(text).items():
        (one,) = sqlglot.transpile(
            step, read="duckdb", write=dialect, unsupported_level=level, pretty=True, comments=False
        )
        written.append(f"\n-- step: {name}\n{one}\n")
    return "".join(written)


if __name__ == "__main__":
    logging.basicConfig()
    for dialect in sql.WAREHOUSES:
        (Path(sql.__file__).parent / f"{dialect}.sql").write_text(transpiled(dialect), "utf-8")
