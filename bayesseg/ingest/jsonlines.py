"""JSON lines: one flat object a line; numbers stay as they are written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bayesseg.errors import InputRejected
from bayesseg.ingest.cells import BATCH, Batch
from bayesseg.ingest.text import byte_lines

_LONGEST = 1 << 24
_FIX = (
    "give one flat JSON object a line, such as {...} and {...} on the next (jq -c '.[]' makes it)"
)


def json_batches(path: Path, encoding: str | None = None) -> Iterator[Batch]:
    """The records of a file (also gzipped), a batch at a time; blank lines are skipped.

    Raises:
        InputRejected: a line is no object or names a key twice; the message says which.
    """
    held: list[dict[str, Any]] = []
    for number, line in enumerate(byte_lines(path, _LONGEST), start=1):
        if record := _record(line, number, encoding or "utf-8"):
            held.append(record)
        if len(held) == BATCH:
            yield _columns(held)
            held = []
    if held:
        yield _columns(held)


def _columns(records: list[dict[str, Any]]) -> Batch:
    names: dict[str, None] = {}
    for record in records:
        if not record.keys() <= names.keys():
            names |= dict.fromkeys(record)
    return {name: [record.get(name) for record in records] for name in names}


def _record(line: bytes, number: int, encoding: str) -> dict[str, Any] | None:
    try:
        text = line.decode(encoding).removeprefix("\ufeff")
        if not text.strip():
            return None
        record = _DECODER.decode(text)
        if b"\\u" in line:
            json.dumps(record, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except UnicodeError as error:
        raise _refused(number, f"is not {encoding}", "encoding") from error
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "it holds too much"
        raise _refused(number, f"is not JSON ({why})", "malformed") from error
    if not isinstance(record, dict):
        raise _refused(number, "is not a JSON object", "malformed")
    if not record or "" in record:
        raise _refused(number, "names no column" if not record else "has a nameless key", "header")
    return record


def _refused(number: int, problem: str, code: str) -> InputRejected:
    return InputRejected(f"line {number:,} {problem}", fix=_FIX, code=code)


def _once(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise json.JSONDecodeError("a key stands twice in one object", "", 0)
    return record


def _written(text: str) -> tuple[str]:
    return (text,)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_once, parse_float=_written, parse_constant=_written, strict=True
)
