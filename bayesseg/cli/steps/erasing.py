"""Taking people out of the files that name them: score files, lists, rows set aside."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bayesseg._files import sha256_of, write_bytes, write_text
from bayesseg.cli import scorefile
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.errors import ArtefactBad, UsageError

if TYPE_CHECKING:
    from bayesseg.ingest import Objections

type Texts = npt.NDArray[np.object_]
type Read = tuple[Texts, Callable[[npt.NDArray[np.bool_]], bytes]]
"""The ids of a file, None where a row has none, and its bytes without some of its rows."""
type Bury = Callable[[frozenset[str]], int]
type Elsewhere = Callable[[Objections, Bury], tuple[int, frozenset[int]]]
"""Erases people at a destination: first tells the ids met there, to be buried; then the rows deleted and
the entries met."""

STALE = (
    "its totals and segments were computed before customers were erased: score again for new ones"
)


@dataclass(frozen=True, slots=True)
class Erased:
    """A file without those on a list: its new ``content``, ``rows`` left and ``count`` taken out.

    ``met`` are the entries met, by number, ``ids`` the ids taken out; ``document`` is what the file
    beside it has to say, if one describes it.
    """

    path: Path
    content: bytes
    rows: int
    count: int
    met: frozenset[int]
    ids: frozenset[str]
    document: dict[str, Any] | None


def forget(
    ids: Path,
    files: Iterable[Path],
    tombstones: Path,
    key: str,
    customer_id: str | None,
    shell: Shell,
    elsewhere: Elsewhere | None = None,
    *,
    dry_run: bool = False,
) -> Outcome:
    """Take the people of the list ``ids`` out of ``files``, and ``elsewhere``, and keep them out.

    With ``dry_run`` it only says what that would be, and no file is written.
    """
    from bayesseg.ingest import read_key, read_objections

    wanted = read_objections(ids, read_key(key, "--key"), "IDS", "--key")
    found = [without(path, wanted, customer_id) for path in dict.fromkeys(files)]
    gone = frozenset[str]().union(*(one.ids for one in found))
    met = frozenset[int]().union(*(one.met for one in found))
    held, deleted = 0, {}

    def buried(more: frozenset[str]) -> int:
        nonlocal held
        held = bury(wanted, tombstones, gone | more, dry_run=dry_run)
        return held

    # first: who is gone from anywhere must not return
    if elsewhere is None:
        buried(frozenset())
    else:
        rows, here = elsewhere(wanted, buried)
        shell.show(f"{rows:,} rows {'to erase' if dry_run else 'erased'} at the destination")
        met, deleted = met | here, {"deleted": rows}
    for one in found:
        if not dry_run:
            replace(one)
        what = "to erase" if dry_run else "erased"
        shell.show(f"{one.path}: {one.count:,} rows {what}, {one.rows:,} left")
    said = "it is a dry run" if dry_run else "give it to --suppress-list from now on"
    shell.say(f"{tombstones}: {held:,} tombstones; {said}")
    unknown = len(wanted) - len(met)
    if unknown:
        shell.warn(
            f"{unknown:,} of the {len(wanted):,} entries of {ids} were met in no file"
            f"{' and not there' if elsewhere else ''}: compare their ids"
        )
    document = {
        "dry_run": dry_run,
        "entries": len(wanted),
        "unknown": unknown,
        "files": [{"file": str(o.path), "erased": o.count, "rows": o.rows} for o in found],
        **deleted,
        "tombstones": held,
    }
    return Outcome(document)


def without(path: Path, objections: Objections, column: str | None = None) -> Erased:
    """``path`` without the rows of those on the list; everything else stays as it is written.

    Args:
        path: Parquet, CSV or NDJSON with a column of ids, or of their pseudonyms.
        objections: whom to take out.
        column: the column of ids, where its name does not tell.

    Raises:
        UsageError: not such a file, a link, whose target would keep them, or pseudonyms of another key.
        ArtefactBad: it or the document beside it cannot be read.
    """
    if path.is_symlink() or not path.is_file():
        raise UsageError(f"{path} is no file of its own", fix="give the file itself")
    kind = scorefile.format_of(str(path), None)
    try:
        document = _describing(path.with_suffix(".json"), path)
        ids, rest = {"parquet": _parquet, "csv": _csv, "ndjson": _lines}[kind](path, column)
        _accept(document, objections, path)
        gone, met = _rows(ids, objections)
        content, rows, count = rest(gone), int((~gone).sum()), int(gone.sum())
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise ArtefactBad(
            f"{path} cannot be read ({error}): nothing was erased", fix="give an undamaged file"
        ) from error
    if document is not None:
        document = _erased(document, content, rows, count)
    lost = frozenset(map(scorefile.unguarded, ids[gone]))
    return Erased(path, content, rows, count, met, lost, document)


def replace(one: Erased) -> None:
    """Put the file in place of the old one, and let the document beside it describe it.

    The document first holds what it will say, so that a run that was killed is finished by the next.
    """
    beside = one.path.with_suffix(".json")
    document = one.document
    if one.count:
        if document is not None:
            old = _describing(beside, one.path) or document
            scorefile.write_document(beside, {**old, "erasing": document}, force=True)
        write_bytes(one.path, one.content)
    if document is not None and json.loads(beside.read_bytes()) != document:
        scorefile.write_document(beside, document, force=True)


def bury(
    objections: Objections, tombstones: Path, met: Iterable[str] = (), *, dry_run: bool = False
) -> int:
    """Add the pseudonyms of the list to a file, so that they can never come back; how many it holds.

    ``met`` are ids that the list was found to name; with ``dry_run`` they are counted only.

    Raises:
        UsageError: the file there holds no tombstones or those of another key, or the list has no key.
    """
    from bayesseg.ingest import read_objections
    from bayesseg.ingest.objections import TOMBSTONES, buried, written

    held = buried(objections, met)
    if objections.key is None:
        raise UsageError("tombstones need a key", fix="read the list with one")
    if tombstones.exists():
        if not tombstones.read_bytes().startswith(TOMBSTONES.encode()):
            raise UsageError(
                f"{tombstones} is there and holds no tombstones", fix="choose another name"
            )
        there = read_objections(tombstones, objections.key, key_option="--key")
        held = np.union1d(held, buried(there))
    if not dry_run:
        write_text(tombstones, written(held, objections.key))
    return len(held)


def _describing(beside: Path, table: Path) -> dict[str, Any] | None:
    """The document that describes ``table`` as it is, if there is one, or was about to."""
    if not beside.is_file():
        return None
    document = json.loads(beside.read_bytes())
    if not isinstance(document, dict):
        return None
    own = sha256_of(table)
    for one in (document.pop("erasing", None), document):
        described = isinstance(one, dict) and isinstance(one.get("table"), dict)
        if described and one["table"].get("sha256") == own:
            return one
    return None


def _erased(document: dict[str, Any], content: bytes, rows: int, count: int) -> dict[str, Any]:
    """What the document says of the table without ``count`` of its rows."""
    if count == 0:
        return document
    table = {**document["table"], "rows": rows, "sha256": hashlib.sha256(content).hexdigest()}
    table["erased"] = table.get("erased", 0) + count
    notes = list(dict.fromkeys([*document.get("notes", ()), STALE]))
    changed = {**document, "table": table, "notes": notes}
    return scorefile.sealed(changed) if "seal" in document else changed


def _accept(document: dict[str, Any] | None, objections: Objections, path: Path) -> None:
    """Refuse a file of pseudonyms of another key: nobody would be found in it."""
    known = (document or {}).get("pseudonyms")
    if known is not None and (objections.key is None or objections.key.check != known["key_check"]):
        raise UsageError(
            f"{path} holds pseudonyms of another key",
            fix="give the key they were made with by --key",
        )


def _column(names: list[str], given: str | None) -> str:
    from bayesseg.ingest.columns import known, matching

    if given is not None:
        return known(given, names, "--customer-id")
    if found := matching("customer_id", names):
        return found[0]
    raise UsageError("no column is known to hold ids", fix="give --customer-id COLUMN")


def _rows(ids: Texts, objections: Objections) -> tuple[npt.NDArray[np.bool_], frozenset[int]]:
    """Which rows go and which entries were met; an id may have the guard of a CSV for people."""
    from bayesseg.ingest.objections import refused

    bare = np.array([None if one is None else scorefile.unguarded(one) for one in ids], object)
    (as_is, met), (less, more) = refused(ids, objections), refused(bare, objections)
    return as_is | less, frozenset([*met.tolist(), *more.tolist()])


def _parquet(path: Path, column: str | None) -> Read:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from bayesseg.push.state import NOTE

    table = pq.ParquetFile(path, page_checksum_verification=True).read()
    if NOTE in (table.schema.metadata or {}):
        raise UsageError(
            f"{path} says what a destination was told: without them it could not be emptied there",
            fix="push, or export --changed-since, with --suppress-list: that empties what stands there, "
            "and they leave this file",
        )
    ids = table[_column(table.column_names, column)].cast(pa.string())

    def rest(gone: npt.NDArray[np.bool_]) -> bytes:
        buffer = io.BytesIO()
        pq.write_table(table.filter(~gone), buffer, write_page_checksum=True)
        return buffer.getvalue()

    return np.asarray(ids.to_numpy(zero_copy_only=False), dtype=object), rest


def _csv(path: Path, column: str | None) -> Read:
    """Rows of CSV may span lines; each keeps its bytes, which no table would."""
    lines = list(io.StringIO(path.read_bytes().decode(), newline=""))
    reader = csv.reader(lines, strict=True)
    names = [name.removeprefix("\ufeff") for name in next(reader, [])]
    name, starts, ids = _column(names, column), [0, reader.line_num], []
    if names.count(name) > 1:
        raise UsageError(f"{path} has two columns {name!r}", fix="give --customer-id COLUMN")
    at = names.index(name)
    for row in reader:
        if len(row) != len(names) and row:
            raise ValueError(f"line {starts[-1] + 1} has {len(row)} cells, not {len(names)}")
        starts.append(reader.line_num)
        ids.append(row[at] if row else None)
    pieces = ["".join(lines[a:b]) for a, b in itertools.pairwise(starts)]
    return _texts(ids), lambda gone: "".join(
        [pieces[0], *itertools.compress(pieces[1:], ~gone)]
    ).encode()


def _lines(path: Path, column: str | None) -> Read:
    lines = path.read_bytes().splitlines(keepends=True)
    rows = [json.loads(line) for line in lines]
    name = _column(list(rows[0]) if rows else [], column)
    ids = [None if (one := row.get(name)) is None else str(one) for row in rows]
    return _texts(ids), lambda gone: b"".join(itertools.compress(lines, ~gone))


def _texts(ids: list[str | None]) -> Texts:
    found = np.empty(len(ids), dtype=object)
    found[:] = ids
    return found
