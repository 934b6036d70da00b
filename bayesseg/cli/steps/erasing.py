"""Taking people out of the files that name them: score files, lists, rows set aside."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bayesseg._files import sha256_of, write_bytes, write_text
from bayesseg.cli import scorefile
from bayesseg.errors import ArtefactBad, UsageError

if TYPE_CHECKING:
    from bayesseg.ingest import Objections

STALE = (
    "its totals and segments were computed before customers were erased: score again for new ones"
)


@dataclass(frozen=True, slots=True)
class Erased:
    """A file without those on a list: its new ``content``, ``rows`` left and ``count`` taken out."""

    path: Path
    content: bytes
    rows: int
    count: int


def without(path: Path, objections: Objections, column: str | None = None) -> Erased:
    """``path`` without the rows of those on the list; everything else stays as it is written.

    Args:
        path: Parquet, CSV or NDJSON with a column of ids, or of their pseudonyms.
        objections: whom to take out.
        column: the column of ids, where its name does not tell.

    Raises:
        UsageError: not such a file, or a link, whose target would keep them.
        ArtefactBad: it cannot be read.
    """
    if path.is_symlink() or not path.is_file():
        raise UsageError(f"{path} is no file of its own", fix="give the file itself")
    kind = scorefile.format_of(str(path), None)
    try:
        return {"parquet": _parquet, "csv": _csv, "ndjson": _lines}[kind](path, objections, column)
    except (OSError, ValueError) as error:
        raise ArtefactBad(
            f"{path} cannot be read ({error}): nothing was erased", fix="give an undamaged file"
        ) from error


def replace(one: Erased) -> None:
    """Put the file in place of the old one, and let the document beside it describe it."""
    beside = one.path.with_suffix(".json")
    document = _describing(beside, one.path)
    write_bytes(one.path, one.content)
    if document is None:
        return
    table = {**document["table"], "rows": one.rows}
    table["sha256"] = hashlib.sha256(one.content).hexdigest()
    table["erased"] = table.get("erased", 0) + one.count
    notes = list(dict.fromkeys([*document.get("notes", ()), STALE]))
    scorefile.write_document(beside, {**document, "table": table, "notes": notes}, force=True)


def bury(objections: Objections, tombstones: Path) -> int:
    """Add the pseudonyms of the list to a file, so that they can never come back; how many it holds.

    Raises:
        UsageError: the file there is none of tombstones, or was made with another key.
    """
    from bayesseg.ingest import read_objections
    from bayesseg.ingest.objections import TOMBSTONES, buried, written

    assert objections.key is not None
    held = buried(objections)
    if tombstones.exists():
        if not tombstones.read_bytes().startswith(TOMBSTONES.encode()):
            raise UsageError(
                f"{tombstones} is there and holds no tombstones", fix="choose another name"
            )
        held = np.union1d(held.astype(str), buried(read_objections(tombstones, objections.key)))
    text = written(held, objections.key)
    write_text(tombstones, text)
    return text.count("\n") - 1


def _describing(beside: Path, table: Path) -> dict[str, Any] | None:
    """The document that describes ``table`` as it is, if there is one."""
    if not beside.is_file():
        return None
    document = json.loads(beside.read_bytes())
    described = isinstance(document, dict) and isinstance(document.get("table"), dict)
    same = described and document["table"].get("sha256") == sha256_of(table)
    return document if same else None


def _column(names: list[str], given: str | None) -> str:
    from bayesseg.ingest.columns import known, matching

    if given is not None:
        return known(given, names, "--customer-id")
    if found := matching("customer_id", names):
        return found[0]
    raise UsageError("no column is known to hold ids", fix="give --customer-id COLUMN")


def _rows(ids: Any, objections: Objections) -> npt.NDArray[np.bool_]:
    """Which rows go; an id may stand there with the guard of a CSV for people."""
    from bayesseg.ingest.objections import refused

    texts = np.asarray(ids, dtype=object)
    bare = np.asarray(ids.map(scorefile.unguarded, na_action="ignore"), dtype=object)
    return np.asarray(refused(texts, objections)[0] | refused(bare, objections)[0])


def _parquet(path: Path, objections: Objections, column: str | None) -> Erased:
    import pyarrow.parquet as pq

    table = pq.ParquetFile(path, page_checksum_verification=True).read()
    ids = table[_column(table.column_names, column)].to_pandas().astype("str")
    gone = _rows(ids, objections)
    buffer = io.BytesIO()
    pq.write_table(table.filter(~gone), buffer, write_page_checksum=True)
    return Erased(path, buffer.getvalue(), int((~gone).sum()), int(gone.sum()))


def _csv(path: Path, objections: Objections, column: str | None) -> Erased:
    import pandas as pd

    table = pd.read_csv(path, dtype="str", keep_default_na=False)
    gone = _rows(table[_column(list(table.columns), column)], objections)
    content = table[~gone].to_csv(index=False, lineterminator="\n").encode()
    return Erased(path, content, int((~gone).sum()), int(gone.sum()))


def _lines(path: Path, objections: Objections, column: str | None) -> Erased:
    import pandas as pd

    lines = np.asarray(path.read_bytes().splitlines(keepends=True), dtype=object)
    table = pd.read_json(path, lines=True, dtype=False)
    gone = _rows(table[_column(list(table.columns), column)].astype("str"), objections)
    if len(gone) != len(lines):
        raise ValueError("it has blank lines")
    return Erased(path, b"".join(lines[~gone]), int((~gone).sum()), int(gone.sum()))
