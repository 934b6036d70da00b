"""Cells that carry their own kind (JSON, workbooks) as Arrow batches in which ids stay exact text."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from bayesseg.errors import InputRejected

type Cell = str | int | bool | tuple[str] | dt.date | dt.time | dt.timedelta | None
"""A tuple holds a number with decimals or an exponent, as it was written."""
type Batch = Mapping[str, Sequence[Cell]]
"""Some records by column; a column may be absent."""

BATCH = 50_000
_MOST_COLUMNS = 2_000
_NOTHING = type(None)
_SEVERAL: Mapping[type, str] = {dict: "an object", list: "a list"}
_NO_ID: Mapping[type, str] = {tuple: "a number with decimals", bool: "yes or no"}
_DAYS = {dt.date, dt.datetime}
_THOUSANDS_OR_DECIMALS = re.compile(r"[-+]?\d{1,3}\.\d{3}")


@dataclass(frozen=True, slots=True)
class Columns:
    """What a first pass found.

    Attributes:
        types: Arrow type of each column: text, unless it holds nothing but days or yes and no.
        pointed: columns of numbers alone, whose decimal mark is a point whatever stands elsewhere.
        unfit: why a column cannot hold ids.
        whole: columns in which some cell is a whole number.
    """

    types: Mapping[str, pa.DataType]
    pointed: frozenset[str]
    unfit: Mapping[str, str]
    whole: frozenset[str]


def survey(batches: Iterable[Batch]) -> Columns:
    """Which columns there are and what they hold.

    Raises:
        InputRejected: a cell is no single value, or there are too many columns.
    """
    kinds: dict[str, set[type]] = {}
    unfit: dict[str, str] = {}
    before = 0
    for batch in batches:
        rows = 0
        for name, cells in batch.items():
            rows = len(cells)
            found = set(map(type, cells))
            kinds.setdefault(name, set()).update(found)
            for kind, words in _SEVERAL.items():
                if kind in found:
                    raise InputRejected(
                        f"record {before + _first(cells, kind):,} holds {words} in {name!r}",
                        fix="give flat records: one value a column",
                        code="nested",
                    )
            for kind, words in _NO_ID.items():
                if kind in found and name not in unfit:
                    unfit[name] = f"record {before + _first(cells, kind):,} holds {words}"
        before += rows
        if len(kinds) > _MOST_COLUMNS:
            raise InputRejected(
                f"the records name more than {_MOST_COLUMNS:,} different columns",
                fix="give records that name the same columns: values belong behind the colon",
                code="header",
            )
    kinds = {name: found - {_NOTHING} for name, found in kinds.items()}
    return Columns(
        types={name: _type(found) for name, found in kinds.items()},
        pointed=frozenset(n for n, found in kinds.items() if found and found <= {int, tuple}),
        unfit=unfit,
        whole=frozenset(name for name, found in kinds.items() if int in found),
    )


def _first(cells: Sequence[Cell], kind: type) -> int:
    return next(i for i, cell in enumerate(cells, start=1) if type(cell) is kind)


def _type(found: set[type]) -> pa.DataType:
    if found and found <= _DAYS:
        return pa.timestamp("us")
    return pa.bool_() if found == {bool} else pa.string()


def reader(columns: Columns, batches: Callable[[], Iterator[Batch]]) -> pa.RecordBatchReader:
    """The cells as a stream: one more pass over ``batches``."""
    schema = pa.schema(list(columns.types.items()))

    def made() -> Iterator[pa.RecordBatch]:
        for batch in batches():
            rows = len(next(iter(batch.values()), ()))
            arrays = [
                _array(batch[f.name], f.type, f.name in columns.pointed)
                if f.name in batch
                else pa.nulls(rows, f.type)
                for f in schema
            ]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    return pa.RecordBatchReader.from_batches(schema, made())


def _array(cells: Sequence[Cell], kind: pa.DataType, pointed: bool) -> pa.Array:
    found = set(map(type, cells))
    if pa.types.is_timestamp(kind):
        return pa.array([_moment(cell) for cell in cells], kind)
    if pa.types.is_string(kind) and not found <= {str, _NOTHING}:
        return pa.array([None if c is None else _text(c, pointed) for c in cells], kind)
    return pa.array(cells, kind)


def _moment(cell: Any) -> dt.datetime | None:
    if cell is None or isinstance(cell, dt.datetime):
        return cell
    return dt.datetime.combine(cell, dt.time())


def _text(cell: Any, pointed: bool) -> str:
    if isinstance(cell, tuple):
        # beside texts, 1.125 could be taken for a thousand and more; 1.1250 cannot
        number: str = cell[0]
        apart = not pointed and _THOUSANDS_OR_DECIMALS.fullmatch(number)
        return number + "0" if apart else number
    return str(cell).lower() if isinstance(cell, bool) else str(cell)
