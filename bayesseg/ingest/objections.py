"""Who is to be left out: those who objected, and those who were erased."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bayesseg.errors import UsageError
from bayesseg.ingest.columns import matching
from bayesseg.ingest.findings import finding, many
from bayesseg.ingest.pseudonyms import Key, pseudonym, pseudonyms

TOMBSTONES = "bayesseg tombstones"
"""How a file of erased customers begins; the check of its key follows."""


@dataclass(frozen=True, slots=True)
class Objections:
    """Entries of a list, each an id, or the pseudonym of one that was erased (``buried``).

    ``key`` made the pseudonyms; an entry of either kind then also meets ids that are pseudonyms.
    """

    entries: tuple[str, ...]
    buried: bool = False
    key: Key | None = None

    def __len__(self) -> int:
        return len(self.entries)


def read_objections(path: Path, key: Key | None = None) -> Objections:
    """Read ids, one a line or in the id column of a CSV file; or the tombstones of ``erase``.

    A leading ``'`` before ``= + - @ TAB CR '`` is taken for the guard of a CSV for people.

    Raises:
        UsageError: unreadable, empty, or tombstones without the key that made them.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--suppress-list {path} cannot be read", fix="give a file of UTF-8 text"
        ) from error
    if lines and lines[0].startswith(TOMBSTONES):
        if key is None or lines[0].split()[-1] != key.check:
            raise UsageError(
                f"{path} holds tombstones, and the key is {'missing' if key is None else 'another'}",
                fix="give the key they were made with by --suppress-key",
            )
        return Objections(tuple(dict.fromkeys(lines[1:])), True, key)
    delimiter = next((mark for mark in ",;\t|" if lines and mark in lines[0]), ",")
    names = next(csv.reader(lines[:1], delimiter=delimiter), [])
    if known := matching("customer_id", names):
        at = names.index(known[0])
        rows = csv.reader(lines[1:], delimiter=delimiter)
        lines = [row[at] for row in rows if len(row) > at]
    entries = tuple(dict.fromkeys(line for line in lines if line.strip()))
    if not entries:
        raise UsageError(f"--suppress-list {path} holds no id", fix="give one id a line")
    return Objections(entries, key=key)


def written(buried: npt.NDArray[np.object_], key: Key) -> str:
    """A file of tombstones: no id, only pseudonyms, which block what comes back."""
    return "\n".join([f"{TOMBSTONES} {key.check}", *np.unique(buried.astype(str)).tolist()]) + "\n"


def refused(ids: npt.NDArray[np.object_], objections: Objections) -> tuple[npt.NDArray[Any], int]:
    """Which of ``ids`` are on the list, (N,), and how many entries of it are nobody's here."""
    with duckdb.connect() as connection:
        connection.register("given", pa.table({"id": pa.array(ids, pa.string())}))
        object_to(connection, "SELECT DISTINCT id FROM given", objections)
        met = connection.execute("SELECT id FROM objected").fetchnumpy()["id"]
        unknown = unmet(connection)
    return np.isin(ids.astype(str), np.asarray(met, dtype=str)), unknown


def object_to(
    connection: duckdb.DuckDBPyConnection,
    ids: str,
    objections: Objections,
    as_id: str = "value",
) -> None:
    """Make the table ``objected(id, entry)`` of those of ``ids`` (SQL of a column ``id``) on the list.

    ``as_id`` is SQL of what ingest makes of an id ``value``.
    """
    entries = np.asarray(objections.entries, dtype=object)
    given = {"entry": np.arange(len(entries)), "value": pa.array(entries, pa.string())}
    connection.register("bayesseg_listed", pa.table(given))
    bare = "regexp_replace(value, '^''([=+@\\t\\r''-])', '\\1')"
    texts = f"SELECT entry, {as_id} AS id FROM (SELECT entry, unnest([value, {bare}]) AS value "
    connection.execute(f"CREATE TEMP TABLE wanted AS {texts} FROM bayesseg_listed)")
    connection.unregister("bayesseg_listed")
    connection.execute(f"CREATE TEMP TABLE asked AS {ids}")
    joins = ["asked.id = wanted.id"]
    if objections.key is not None:
        by, of = ("asked", "wanted") if objections.buried else ("wanted", "asked")
        joins.append(f"{pseudonym(f'{by}.id')} = {of}.id")
    pads = objections.key.pads() if objections.key is not None else None
    found = " UNION ".join(f"SELECT asked.id, entry FROM asked JOIN wanted ON {j}" for j in joins)
    connection.execute(f"CREATE TEMP TABLE objected AS {found}", pads)


def unmet(connection: duckdb.DuckDBPyConnection) -> int:
    """Entries of the list that are nobody's here."""
    row = connection.execute(
        "SELECT count(DISTINCT entry) FROM wanted WHERE entry NOT IN (SELECT entry FROM objected)"
    ).fetchone()
    assert row is not None
    return int(row[0])


def left_out(count: int, entries: int, unknown: int) -> dict[str, Any]:
    """The finding about rows that were left out; it names nobody."""
    return finding(
        "suppressed",
        "note",
        max(count, unknown),
        f"{many(count, 'row')} left out by --suppress-list: {entries - unknown:,} of its "
        f"{many(entries, 'entry').replace('entrys', 'entries')} are here, {unknown:,} unknown",
    )


def buried(objections: Objections) -> npt.NDArray[np.object_]:
    """The pseudonyms of the entries, by their key."""
    entries = np.asarray(objections.entries, dtype=object)
    if objections.buried:
        return entries
    assert objections.key is not None
    return pseudonyms(entries, objections.key)
