"""A purchase log, read and accounted for: the entry of the whole toolkit."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from bayesseg.errors import InputRejected, ResourcesMissing
from bayesseg.ingest.clean import FIXES, clean, finding
from bayesseg.ingest.columns import resolve
from bayesseg.ingest.options import Options
from bayesseg.ingest.raw import infer, load, shown
from bayesseg.ingest.session import identifier
from bayesseg.ingest.source import Source, opened

if TYPE_CHECKING:
    import pandas as pd

_ANYTHING = Options()


@dataclass(frozen=True, slots=True)
class Purchases:
    """Clean purchase rows in a DuckDB session, with the account of every raw row.

    Attributes:
        connection: holds ``bayesseg_source(customer_id, purchase_day, recorded_day, order_id,
            amount)``, in which customers are numbered in the order of their ids, and
            ``bayesseg_ids(customer_id, id)``, which says who is who.
        provenance: source, dialect, columns, policies, rows, days and findings (JSON-able; neither
            ids nor paths).
        quarantine: bad rows: ``record`` (1 is the first after the header), ``reason``, and the
            source's own values.
    """

    connection: duckdb.DuckDBPyConnection
    provenance: Mapping[str, Any]
    quarantine: pd.DataFrame

    def close(self) -> None:
        """Give back the memory and the disk space; both also go with the last reference."""
        self.connection.close()

    def __enter__(self) -> Purchases:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_purchases(
    source: Source, options: Options = _ANYTHING, *, today: date | None = None
) -> Purchases:
    """Read a purchase log; each row is used or set aside with one reason.

    Args:
        source: path of a delimited file (also gzipped) or of a Parquet file, or any frame that
            hands out Arrow batches.
        options: columns, dialect and policies; ``None`` in them means inferred and recorded.
        today: rows after it are bad; the machine's own day by default.

    Raises:
        InputRejected: the source is unreadable, ambiguous, or too many rows are bad (exit 3).
        UsageError: the path does not exist, or the source is no source (exit 2).
    """
    folder = Path(tempfile.mkdtemp(prefix="bayesseg-"))
    try:
        purchases = _read(source, options, today or date.today(), folder)
    except duckdb.OutOfMemoryException as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ResourcesMissing(
            "memory or temporary disk space ran out while reading the purchases",
            fix="free some disk space, or give a Parquet file with only the needed columns",
        ) from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(purchases.connection, shutil.rmtree, folder, ignore_errors=True)
    return purchases


def _read(source: Source, options: Options, today: date, folder: Path) -> Purchases:
    with opened(source, folder, encoding=options.encoding, delimiter=options.delimiter) as relation:
        connection = relation.connection
        roles = resolve(list(relation.types), options)
        columns = load(relation, roles)
    (folder / "source.csv").unlink(missing_ok=True)
    _same_encoding(connection, relation.found)
    typed = infer(connection, roles, columns, options)
    cleaned = clean(connection, typed, options, today)
    quarantine = _quarantine(connection, columns, options)
    days = connection.execute(
        "SELECT CAST(min(purchase_day) AS VARCHAR), CAST(max(recorded_day) AS VARCHAR), "
        "count(DISTINCT purchase_day), (SELECT count(*) FROM bayesseg_ids) FROM bayesseg_source"
    ).fetchone()
    assert days is not None
    for (table,) in connection.execute("SHOW TABLES").fetchall():
        if table not in ("bayesseg_source", "bayesseg_ids", "incoming"):
            connection.execute(f"DROP TABLE {identifier(table)}")
    dialect = {**relation.found, **typed.dialect}
    guessed = _encoding_finding(dialect)
    unused = [name for name in relation.types if name not in columns.values()]
    provenance = {
        "schema_version": 1,
        "source": dict(relation.info),
        "dialect": shown(dialect),
        "columns": roles.record(),
        "columns_unused": unused,
        "policies": {
            "refunds": options.refunds,
            "refunds_within": "order" if options.order_id else "day",
            "duplicates": "drop" if options.dedupe else "keep",
            "missing_ids": "drop" if options.drop_missing_id else "quarantine",
            "max_bad": options.max_bad,
            "purchase": "one per customer and day",
            "day": relation.zones.get(roles.date, "as written"),
        },
        "rows": {
            "in": cleaned.rows_in,
            "used": cleaned.rows_used,
            "excluded": dict(cleaned.excluded),
        },
        "days": {"first": days[0], "last": days[1], "distinct": int(days[2])},
        "ids": int(days[3]),
        "findings": [*guessed, *map(dict, cleaned.findings)],
    }
    return Purchases(connection, provenance, quarantine)


def _encoding_finding(dialect: Mapping[str, tuple[str, str, str]]) -> list[dict[str, Any]]:
    value, why, origin = dialect.get("encoding", ("utf-8", "", ""))
    if value != "cp1252" or origin == "given":
        return []
    message = f"{why}: the file is read as cp1252 (Western European Windows)"
    return [finding("encoding_assumed", "warning", 1, message, "give --encoding if this is wrong")]


def _same_encoding(
    connection: duckdb.DuckDBPyConnection, found: Mapping[str, tuple[str, str, str]]
) -> None:
    """An id may not rest on an encoding that was only assumed."""
    value, _, origin = found.get("encoding", ("utf-8", "", ""))
    if value != "cp1252" or origin == "given":
        return
    row = connection.execute(
        "SELECT record FROM raw WHERE regexp_matches(c, '[^\\x00-\\x7f]') ORDER BY record LIMIT 1"
    ).fetchone()
    if row is not None:
        raise InputRejected(
            f"the id in row {row[0]} holds a byte that is not UTF-8, and which letter it means "
            "depends on the encoding",
            fix="give --encoding (cp1252 is usual for Western European Windows)",
            code="encoding_of_ids",
        )


def _quarantine(
    connection: duckdb.DuckDBPyConnection, columns: Mapping[str, str], options: Options
) -> pd.DataFrame:
    reasons = [r for r in FIXES if r != "id_missing" or not options.drop_missing_id]
    marks = ", ".join(f"'{reason}'" for reason in reasons)
    values = ", ".join(f"raw.{short} AS {identifier(name)}" for short, name in columns.items())
    frame: pd.DataFrame = connection.execute(
        f"SELECT record, reason, {values} FROM rows JOIN raw USING (record) "
        f"WHERE reason IN ({marks}) ORDER BY record"
    ).df()
    return frame
