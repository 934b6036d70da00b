"""Score tables as Arrow has them: one type a column. L7."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd

_TYPES: Mapping[str, pa.DataType] = {
    "flags": pa.list_(pa.string()),
    "as_of": pa.date32(),
    "scored_at": pa.timestamp("s", tz="UTC"),
    "priority_rank": pa.int64(),
}


_NONE: Mapping[str, Mapping[str, str]] = {}


def recorded(
    table: pd.DataFrame, fields: Mapping[str, Mapping[str, str]] = _NONE
) -> pa.RecordBatch:
    """``table`` with its types; ``fields`` is what is said of each column. What is all null is text."""
    if "scored_at" in table:
        table = table.assign(scored_at=table["scored_at"].dt.tz_convert(None))
    rows = pa.Table.from_pandas(table, preserve_index=False)
    (batch,) = rows.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], rows.schema)]
    return batch.cast(pa.schema([_field(field, fields) for field in batch.schema]))


def _field(field: pa.Field, fields: Mapping[str, Mapping[str, str]]) -> pa.Field:
    kind = _TYPES.get(field.name, pa.string() if pa.types.is_null(field.type) else field.type)
    return pa.field(field.name, kind, metadata=dict(fields.get(field.name, {})))
