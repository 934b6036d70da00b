"""Who is to be left out: those who objected, and those who were erased."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
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
from bayesseg.ingest.numbers import trimmed
from bayesseg.ingest.pseudonyms import Key, pseudonym, pseudonyms

TOMBSTONES = "bayesseg tombstones"
"""How a file of erased customers begins; the check of its key follows."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


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


def read_objections(
    path: Path,
    key: Key | None = None,
    option: str = "--suppress-list",
    key_option: str = "--suppress-key",
) -> Objections:
    """Read ids from CSV: one a line, or a column whose name tells; or the tombstones of ``erase``.

    An entry means the id as it is written, without blanks at its ends, without the guard ``'`` of a CSV
    for people before ``= + - @ TAB CR '``, and with accents in either writing.

    Args:
        path: UTF-8 text.
        key: of pseudonyms.
        option: what the caller calls the list.
        key_option: what the caller calls the key.

    Raises:
        UsageError: unreadable, empty, columns of which none is known to hold ids, or tombstones
            without the key that made them.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{option} {path} cannot be read", fix="give a file of UTF-8 text"
        ) from error
    if text.startswith(TOMBSTONES):
        head, *lines = text.splitlines()
        if key is None or head.split()[-1] != key.check:
            raise UsageError(
                f"{path} holds tombstones, and the key is {'missing' if key is None else 'another'}",
                fix=f"give the key they were made with by {key_option}",
            )
        return Objections(tuple(dict.fromkeys(lines)), True, key)
    entries = tuple(dict.fromkeys(one for one in _listed(text, f"{option} {path}") if one.strip()))
    if not entries:
        raise UsageError(f"{option} {path} holds no id", fix="give one id a line")
    return Objections(entries, key=key)


def _listed(text: str, what: str) -> list[str]:
    """The ids of a CSV text; whatever could hide one is refused, for it would let somebody in."""
    if unfit := _CONTROLS.search(text):
        raise UsageError(
            f"{what} holds the character {unfit[0]!r}", fix="give a file of UTF-8 text"
        )
    tables: list[list[list[str]]] = []
    broken = None
    for mark in ",;\t|":
        try:
            reader = csv.reader(io.StringIO(text), delimiter=mark, strict=True)
            tables.append([row for row in reader if row])
        except csv.Error as error:
            broken = error  # a quote that stands wrong for this delimiter may be right for another
    split = [rows for rows in tables if any(len(row) > 1 for row in rows)]
    if broken is not None and not split:
        raise UsageError(f"{what} is no CSV ({broken})", fix="correct its quotes") from broken
    for rows in split:
        names = [name.strip() for name in rows[0]]
        if len(names) > 1 and (known := matching("customer_id", names)):
            at = names.index(known[0])
            for n, row in enumerate(rows[1:], start=2):
                if len(row) <= at or any(row[len(names) :]):
                    raise UsageError(
                        f"{what}: row {n} has {len(row)} cells where the header has {len(names)}",
                        fix="correct it, and put cells that hold the delimiter in quotes",
                    )
            return [row[at] for row in rows[1:]]
    if split:
        raise UsageError(
            f"{what} has several columns, and none is known to hold ids",
            fix="head that column with customer_id, or give one id a line, in quotes where it holds "
            "one of , ; | TAB",
        )
    ids = [one for (one,) in tables[0]]
    return ids[1:] if matching("customer_id", ids[:1]) else ids


def written(buried: npt.NDArray[np.str_], key: Key) -> str:
    """A file of tombstones: no id, only pseudonyms, which block what comes back."""
    return "\n".join([f"{TOMBSTONES} {key.check}", *buried.tolist()]) + "\n"


def refused(
    ids: npt.NDArray[np.object_], objections: Objections
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int_]]:
    """Which of ``ids`` are on the list, (N,), and the numbers of the entries that are somebody here."""
    with duckdb.connect() as connection:
        connection.register("given", pa.table({"id": pa.array(ids, pa.string())}))
        object_to(connection, "SELECT DISTINCT id FROM given", objections)
        met = connection.execute("SELECT id FROM objected").fetchnumpy()["id"]
        entries = connection.execute("SELECT DISTINCT entry FROM objected").fetchnumpy()["entry"]
    rows = np.isin(ids.astype(str), np.asarray(met, dtype=str))
    return rows, np.asarray(entries, dtype=int)


def object_to(connection: duckdb.DuckDBPyConnection, ids: str, objections: Objections) -> None:
    """Make the table ``objected(id, entry)`` of the ``ids`` (SQL of a column ``id``) on the list."""
    _want(connection, objections.entries)
    connection.execute(
        f"CREATE TEMP TABLE asked AS WITH own AS ({ids}) "
        "SELECT id, unnest(list_distinct([id, nfc_normalize(id)])) AS form FROM own"
    )
    joins = ["asked.form = wanted.form"]
    if objections.key is not None:
        by, of = ("asked", "wanted") if objections.buried else ("wanted", "asked")
        joins.append(f"{pseudonym(f'{by}.form')} = {of}.form")
    pads = objections.key.pads() if objections.key is not None else None
    found = " UNION ".join(f"SELECT asked.id, entry FROM asked JOIN wanted ON {j}" for j in joins)
    connection.execute(f"CREATE TEMP TABLE objected AS {found}", pads)


def _want(connection: duckdb.DuckDBPyConnection, entries: tuple[str, ...]) -> None:
    """Make the table ``wanted(entry, form)``: whatever an entry may stand for among the ids."""
    given = {"entry": np.arange(len(entries)), "value": pa.array(entries, pa.string())}
    connection.register("bayesseg_listed", pa.table(given))
    short = trimmed("value")
    forms = f"[value, {short}, {_bare('value')}, {_bare(short)}, {trimmed(_bare(short))}]"
    either = "unnest([value, nfc_normalize(value)])"
    connection.execute(
        f"CREATE TEMP TABLE wanted AS SELECT DISTINCT entry, {either} AS form FROM "
        f"(SELECT entry, unnest({forms}) AS value FROM bayesseg_listed)"
    )
    connection.unregister("bayesseg_listed")


def _bare(column: str) -> str:
    """SQL: the text without the guard of a CSV for people."""
    return f"regexp_replace({column}, '^''([=+@\\t\\r''-])', '\\1')"


def unmet(connection: duckdb.DuckDBPyConnection) -> int:
    """Entries of the list that are nobody's here."""
    row = connection.execute(
        "SELECT count(DISTINCT entry) FROM wanted WHERE entry NOT IN (SELECT entry FROM objected)"
    ).fetchone()
    assert row is not None
    return int(row[0])


def left_out(count: int, entries: int, unknown: int) -> dict[str, Any]:
    """The finding about rows that were left out; it names nobody, and warns where nobody was met."""
    return finding(
        "suppressed",
        "warning" if unknown == entries else "note",
        max(count, unknown),
        f"{many(count, 'row')} left out by --suppress-list: {entries - unknown:,} of its "
        f"{entries:,} {'entry is' if entries == 1 else 'entries are'} here, {unknown:,} unknown",
        "compare the ids of the list with those of the source" if unknown == entries else "",
    )


def buried(objections: Objections, met: Iterable[str] = ()) -> npt.NDArray[np.str_]:
    """The pseudonyms, by their key, of the entries and of the ids ``met`` by them, each once.

    Raises:
        UsageError: there is no key.
    """
    if objections.key is None:
        raise UsageError("tombstones need a key", fix="read the list with one")
    if objections.buried:
        return np.unique(np.asarray(objections.entries, dtype=str))
    with duckdb.connect() as connection:
        _want(connection, objections.entries)
        forms = connection.execute("SELECT DISTINCT form FROM wanted").fetchnumpy()["form"]
    held = pseudonyms(forms, objections.key).astype(str)
    more = np.setdiff1d(np.asarray(list(met), dtype=str), [*forms, *held])  # may be pseudonyms
    return np.union1d(held, pseudonyms(more, objections.key).astype(str))
