"""A purchase log, read and accounted for: the entry of the whole toolkit."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from bayesseg.errors import InputRejected, ResourcesMissing
from bayesseg.ingest.clean import FIXES, clean
from bayesseg.ingest.columns import Roles, resolve
from bayesseg.ingest.findings import finding, many
from bayesseg.ingest.numbers import trimmed
from bayesseg.ingest.options import Options
from bayesseg.ingest.quality import quality
from bayesseg.ingest.raw import infer, load, shown
from bayesseg.ingest.refusals import collected, together
from bayesseg.ingest.session import identifier
from bayesseg.ingest.shares import unmet_levels
from bayesseg.ingest.source import Source, opened

if TYPE_CHECKING:
    import pandas as pd

_ANYTHING = Options()
_QUARANTINE = "SELECT * FROM quarantine ORDER BY record"
_ROWS = 50_000
_KEPT = ("bayesseg_source", "bayesseg_ids", "incoming", "quarantine", "who")


@dataclass(frozen=True, slots=True)
class Purchases:
    """Clean purchase rows in a DuckDB session, with the account of every raw row.

    Attributes:
        connection: holds ``bayesseg_source(customer_id, purchase_day, recorded_day, amount)``, with
            ``order_id``, ``cost`` and levels ``s0, s1, ...`` where they were asked for, in which
            customers are numbered in the order of their ids, and ``bayesseg_ids(customer_id, id)``,
            which says who is who.
        provenance: source, dialect, columns, policies, rows, days, quality and findings (JSON-able;
            neither ids nor paths).
        refused: what stands in the way of using them; empty unless :func:`examine` read them.
    """

    connection: duckdb.DuckDBPyConnection
    provenance: Mapping[str, Any]
    refused: tuple[InputRejected, ...] = ()

    @property
    def quarantine(self) -> pd.DataFrame:
        """Bad rows: ``record`` (1 is the first after the header), ``reason`` and the source's values."""
        frame: pd.DataFrame = self.connection.execute(_QUARANTINE).df()
        return frame

    def quarantine_batches(self) -> Iterator[pd.DataFrame]:
        """The same, some rows at a time."""
        with self.connection.cursor() as cursor:  # beside whatever the session has not fetched yet
            for batch in cursor.sql(_QUARANTINE).to_arrow_reader(_ROWS):
                yield batch.to_pandas()

    def ids_of(self, records: Sequence[int]) -> list[str]:
        """The ids in the named records, as far as they are readable; for people who asked for them."""
        found = self.connection.execute(
            f"SELECT id FROM who WHERE record IN (SELECT unnest(?)) AND {trimmed('id')} <> '' "
            "ORDER BY record",
            [list(records)],
        ).fetchall()
        return list(dict.fromkeys(one for (one,) in found))

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
        source: path of delimited text, JSON lines (both also gzipped), a Parquet file, a workbook or
            a DuckDB file; address of a PostgreSQL server; or any frame that hands out Arrow batches.
        options: columns, dialect and policies; ``None`` in them means inferred and recorded.
        today: rows after it are bad; the machine's own day by default.

    Raises:
        InputRejected: the source is unreadable, ambiguous, or too many rows are bad (exit 3).
        UsageError: the path does not exist, or the source is no source (exit 2).
    """
    purchases = examine(source, options, today=today)
    if purchases.refused:
        raise together(purchases.refused)
    return purchases


def examine(
    source: Source, options: Options = _ANYTHING, *, today: date | None = None
) -> Purchases:
    """Like :func:`read_purchases`, but what can be looked at in spite of a refusal comes back with it.

    Raises:
        InputRejected: nothing can be looked at.
        UsageError: as there.
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
    with opened(source, folder, options.how()) as relation:
        connection = relation.connection
        roles = resolve(list(relation.types), options)
        columns = load(relation, roles, options)
    (folder / "source.csv").unlink(missing_ok=True)
    refused: list[InputRejected] = []
    with collected(refused):
        _same_encoding(connection, relation.found)
    with collected(refused):
        typed = infer(connection, roles, columns, options)
    if refused:
        raise together(refused)
    cleaned = clean(connection, typed, options, today)
    judged = quality(connection, columns, cleaned.excluded)
    findings = [*cleaned.findings, *judged.findings, *_groups(connection, roles)]
    findings += unmet_levels(connection, roles.shares)
    _set_bad_rows_aside(connection, columns, options)
    connection.execute(
        "CREATE TABLE who AS SELECT record, c AS id FROM raw WHERE record IN (SELECT unnest(?))",
        [sorted({record for one in findings for record in one["records"]})],
    )
    days = connection.execute(
        "SELECT CAST(min(purchase_day) AS VARCHAR), CAST(max(recorded_day) AS VARCHAR), "
        "count(DISTINCT purchase_day), (SELECT count(*) FROM bayesseg_ids) FROM bayesseg_source"
    ).fetchone()
    assert days is not None
    for (table,) in connection.execute("SHOW TABLES").fetchall():
        if table not in _KEPT:
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
            "money": "margin" if roles.cost else "revenue",
            "day": options.tz or relation.zones.get(roles.date, "as written"),
            "currency": typed.currency.name,
            "ids_kept": len(options.keep_id),
            "suppress_list": len(options.suppress or ()),
            "given": options.given(),
        },
        "rows": {
            "in": cleaned.rows_in,
            "used": cleaned.rows_used,
            "excluded": dict(cleaned.excluded),
        },
        **(
            {"shares": {n: list(levels) for n, levels in roles.shares.items()}}
            if roles.shares
            else {}
        ),
        "days": {"first": days[0], "last": days[1], "distinct": int(days[2])},
        "ids": int(days[3]),
        "quality": dict(judged.facts),
        "findings": [
            *guessed,
            *relation.findings(roles.customer_id),
            *map(dict, findings),
        ],
    }
    return Purchases(connection, provenance, cleaned.refused)


def _groups(connection: duckdb.DuckDBPyConnection, roles: Roles) -> list[dict[str, Any]]:
    """How many accounts are how many customers, and what is odd about it."""
    if roles.group is None:
        return []
    connection.execute(
        "CREATE TABLE member AS SELECT own, c, g IS NOT NULL AND c IS DISTINCT FROM own AS moved, "
        "count(*) AS n FROM raw JOIN rows USING (record) WHERE reason IS NULL GROUP BY ALL"
    )
    row = connection.execute(
        "SELECT count(DISTINCT own), count(DISTINCT c), "
        "(SELECT count(*) FROM (SELECT own FROM member WHERE own <> '' GROUP BY own "
        "HAVING count(DISTINCT c) > 1)), "
        "(SELECT count(DISTINCT c) FROM member WHERE NOT moved AND c IN "
        "(SELECT c FROM member WHERE moved)) FROM member"
    ).fetchone()
    assert row is not None
    accounts, customers, several, alike = map(int, row)
    found = [
        finding(
            "grouped",
            "note",
            accounts,
            f"{many(accounts, 'account')} summed to {many(customers, 'customer')} by "
            f"{roles.group!r}; who has no group there stays a customer of its own",
        ),
        finding(
            "group_several",
            "warning",
            several,
            f"{many(several, 'account')} in several groups: each row counts for its own group",
            "if an account moved, give it one group throughout",
        ),
        finding(
            "group_like_account",
            "note",
            alike,
            f"{many(alike, 'group')} whose id is that of an account too: taken as one customer",
        ),
    ]
    return [one for one in found if one["count"]]


def _encoding_finding(dialect: Mapping[str, tuple[str, str, str]]) -> list[dict[str, Any]]:
    value, why, origin = dialect.get("encoding", ("utf-8", "", ""))
    if value != "cp1252" or origin == "given":
        return []
    message = f"{why}: the file is read as cp1252 (Western European Windows)"
    return [finding("encoding_assumed", "note", 1, message, "give --encoding if this is wrong")]


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


def _set_bad_rows_aside(
    connection: duckdb.DuckDBPyConnection, columns: Mapping[str, str], options: Options
) -> None:
    reasons = [r for r in FIXES if r != "id_missing" or not options.drop_missing_id]
    marks = ", ".join(f"'{reason}'" for reason in reasons)
    own = {"c": "own"} if "g" in columns else {}
    values = ", ".join(
        f"raw.{own.get(short, short)} AS {identifier(name)}" for short, name in columns.items()
    )
    connection.execute(
        f"CREATE TABLE quarantine AS SELECT record, reason, {values} FROM rows "
        f"JOIN raw USING (record) WHERE reason IN ({marks})"
    )
