"""Score tables as files: Parquet with units, CSV that no spreadsheet executes, NDJSON. L10."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg._files import refuse_existing, sha256_of, write_bytes, write_text
from bayesseg.errors import ArtefactBad, UsageError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

FORMATS = ("parquet", "csv", "ndjson")
_GUARDED = ("=", "+", "-", "@", "\t", "\r", "'")
"""What a guard ``'`` is put before; itself too, so that it can be taken off again."""
GUARD = (
    "text that starts with = + - @ TAB CR or ' carries one more ' in front, ids and headers too: take "
    "it off before joining by id, or use Parquet, NDJSON or --raw"
)
_CONTROLS = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]"
"""What drives a terminal or turns a line around; such ids are never scored, only set aside."""
_ROWS = 50_000
_TEXT = ("customer_id", "segment", "segment_name", "runner_up", "flags", "model_id", "verdict")


def format_of(target: str, given: str | None) -> str:
    """The format asked for, else that of the extension; CSV on stdout."""
    name = given or ("csv" if target == "-" else Path(target).suffix.removeprefix("."))
    if name not in FORMATS:
        raise UsageError(
            f"{name!r} is no format of scores" if given else f"cannot tell the format of {target}",
            fix=f"formats: {', '.join(FORMATS)}",
        )
    return name


def encoded(
    table: pd.DataFrame,
    kind: str,
    fields: Mapping[str, Mapping[str, str]] | None = None,
    *,
    raw: bool = False,
    header: bool = True,
) -> bytes:
    """The bytes of ``table``; ``raw`` leaves out the guard of CSV cells, ``header`` False the names.

    ``fields`` is what a Parquet file says of each column, such as its unit.
    """
    if kind == "parquet":
        return _parquet(table, fields or {})
    if kind == "ndjson":
        plain = table.assign(**{name: _days(table[name]) for name in table if name == "as_of"})
        return plain.to_json(orient="records", lines=True, date_format="iso").encode()
    buffer = io.BytesIO()
    for start in range(0, max(len(table), 1), _ROWS):  # the text of one slice at a time in memory
        some = _plain(table.iloc[start : start + _ROWS], raw=raw)
        some.to_csv(buffer, index=False, header=header and start == 0, lineterminator="\n")
    return buffer.getvalue()


def _parquet(table: pd.DataFrame, fields: Mapping[str, Mapping[str, str]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from bayesseg.scoring.arrow import recorded

    arrow = pa.Table.from_batches([recorded(table, fields)])
    buffer = io.BytesIO()
    pq.write_table(arrow, buffer, use_dictionary=repeated(arrow.schema), write_page_checksum=True)
    return buffer.getvalue()


def parquet_blocks(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[bytes]:
    """The bytes of a Parquet file, a row group a batch: no more than one batch in memory."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()

    def drained() -> bytes:
        content = buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
        return content

    with pq.ParquetWriter(
        buffer, schema, use_dictionary=repeated(schema), write_page_checksum=True
    ) as writer:
        for batch in batches:
            writer.write_batch(batch)
            yield drained()
    yield drained()


def blocks(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, kind: str, *, raw: bool = False
) -> Iterator[bytes]:
    """The bytes of a score table, of which no more than a batch is in memory."""
    if kind == "parquet":
        yield from parquet_blocks(batches, schema)
        return
    for i, batch in enumerate(batches):
        yield encoded(batch.to_pandas(), kind, raw=raw, header=i == 0)


def repeated(schema: Any) -> list[str]:
    """Columns worth a dictionary: one of a million different numbers is built for nothing."""
    import pyarrow as pa

    return [field.name for field in schema if not pa.types.is_floating(field.type)]


def _plain(table: pd.DataFrame, *, raw: bool) -> pd.DataFrame:
    """Flags joined, days as days, and text that a spreadsheet could take for a formula guarded."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name in table:
        column = table[name]
        if name == "flags":
            column = column.map(";".join)
        elif name == "as_of":
            column = _days(column)
        elif isinstance(column.dtype, pd.DatetimeTZDtype):
            column = column.dt.strftime("%Y-%m-%dT%H:%M:%SZ")
        if not raw and pd.api.types.infer_dtype(column, skipna=True) in ("string", "mixed"):
            text = column.astype("str").str.replace(
                _CONTROLS, "\N{REPLACEMENT CHARACTER}", regex=True
            )
            text = text.where(~text.str.startswith(_GUARDED), "'" + text)
            column = column.where(column.isna(), text)
        columns[str(name) if raw else _guarded(str(name))] = column
    return pd.DataFrame(columns)


def _guarded(text: str) -> str:
    return f"'{text}" if text.startswith(_GUARDED) else text


def unguarded(text: str) -> str:
    """``text`` without the guard of a CSV for people."""
    return text[1:] if text[:1] == "'" and text[1:2] in _GUARDED else text


def _days(column: pd.Series) -> pd.Series:
    return column.astype("datetime64[s]").dt.strftime("%Y-%m-%d")


def emit(content: bytes, target: str, *, force: bool) -> Path | None:
    """Write ``content`` at ``target`` atomically, or on stdout for ``-``."""
    if target == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return None
    path = Path(target)
    refuse_existing(path, force=force, file=True)
    write_bytes(path, content)
    return path


def untrusted(path: str) -> str:
    """``scores.parquet`` as ``scores.untrusted.parquet``; ``-`` stays."""
    name = Path(path)
    return path if path == "-" else str(name.with_name(f"{name.stem}.untrusted{name.suffix}"))


def sidecar(path: Path) -> Path:
    """The JSON document beside a table or a page."""
    if path.suffix == ".json":
        raise UsageError(
            f"{path} is where the document beside it goes", fix="give another extension"
        )
    return path.with_suffix(".json")


def write_document(path: Path, document: Mapping[str, Any], *, force: bool) -> None:
    """Write a JSON document, numbers that do not exist as null."""
    refuse_existing(path, force=force, file=True)
    write_text(path, json.dumps(document, indent=1, allow_nan=False, default=str) + "\n")


def read_scores(path: Path) -> pd.DataFrame:
    """Read a score table back; ids stay text as they were."""
    import pandas as pd

    kind = format_of(str(path), None)
    if not path.exists():
        raise UsageError(f"{path} does not exist", fix="check the path")
    table: pd.DataFrame
    try:
        if kind == "parquet":
            import pyarrow.parquet as pq

            table = pq.ParquetFile(path, page_checksum_verification=True).read().to_pandas()
        elif kind == "csv":
            table = pd.read_csv(
                path,
                dtype=dict.fromkeys(_TEXT, "str"),
                keep_default_na=False,
                na_values={name: [""] for name in _numeric(path)},
            )
            for name in table.columns.intersection(list(_TEXT)):
                table[name] = table[name].map(unguarded)
            if "flags" in table:
                table["flags"] = table["flags"].map(lambda text: text.split(";") if text else ())
        else:
            table = pd.read_json(
                path,
                lines=True,
                dtype=dict.fromkeys((name for name in _TEXT if name != "flags"), "str"),
            )
        if "flags" in table:
            table["flags"] = table["flags"].map(tuple)
    except (OSError, ValueError, KeyError) as error:
        raise ArtefactBad(
            f"{path} cannot be read as scores ({error})", fix="score again"
        ) from error
    if "customer_id" not in table or "model_id" not in table:
        raise ArtefactBad(
            f"{path} is not a score table: it has no customer_id and model_id",
            fix="give a file written by bayesseg score",
        )
    return table


def _numeric(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as handle:
        names = handle.readline().strip().split(",")
    return [name for name in names if name not in _TEXT]


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with a hash of all it says, so that a changed number is noticed."""
    said: dict[str, Any] = json.loads(json.dumps(document, allow_nan=False, default=str))
    return {**said, "seal": _seal(said)}


def intact(document: Mapping[str, Any]) -> bool:
    """Whether the document still says what it was sealed with."""
    return document.get("seal") == _seal(document)


def _seal(document: Mapping[str, Any]) -> str:
    """The hash of a document less its own seal, and less what ``erase`` is about to make of it."""
    said = {name: item for name, item in document.items() if name not in ("seal", "erasing")}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read_document(scores: Path) -> dict[str, Any]:
    """The document beside a score file, refused (exit 5) where it describes another file.

    Its totals and settings are those of the very rows it was written with: a table that was cut,
    filtered or overwritten since would be shown with numbers that are not its own.
    """
    path = sidecar(scores)
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ArtefactBad(
            f"{path} cannot be read ({error})",
            fix="it is written beside the scores by bayesseg score: score again",
        ) from error
    if not isinstance(document, dict) or "model_id" not in document:
        raise ArtefactBad(f"{path} is not the document of a score file", fix="score again")
    if document.get("schema_version") != 1 and not intact(document):
        raise ArtefactBad(f"{path} has changed since it was written", fix="score again")
    if document.get("table", {}).get("sha256") != sha256_of(scores):
        raise ArtefactBad(
            f"{scores} is not the file that {path} describes: it has changed since it was scored",
            fix="score again",
        )
    return document
