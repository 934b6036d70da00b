"""What is said of a source, one observation at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

EXAMPLES = 5
"""Records named with a finding."""

CATALOGUE: Mapping[str, int] = {
    "empty": 1,
    "no_rows": 2,
    "encoding_assumed": 5,
    "encoding_of_ids": 5,
    "encoding": 5,
    "mixed_encodings": 6,
    "decimal_ambiguous": 7,
    "decimal_mixed": 7,
    "ragged": 10,
    "not_delimited": 10,
    "open_quote": 12,
    "malformed": 12,
    "nul_byte": 16,
    "header": 17,
    "column_missing": 18,
    "columns_unknown": 18,
    "truncated": 20,
    "bomb": 20,
    "not_text": 20,
    "unreadable": 21,
    "file_changed": 22,
    "not_a_file": 23,
    "id_missing": 31,
    "id_near_duplicates": 32,
    "id_unusable": 35,
    "placeholder": 37,
    "date_ambiguous": 38,
    "date_mixed": 39,
    "time_zones_mixed": 40,
    "date_missing": 45,
    "date_unreadable": 46,
    "date_too_early": 47,
    "date_in_future": 48,
    "as_of_too_early": 49,
    "lines_of_a_day": 51,
    "refund": 54,
    "refunds": 54,
    "no_purchase_left": 55,
    "amount_zero": 56,
    "amount_missing": 57,
    "amount_rounded": 60,
    "amount_unreadable": 61,
    "currencies_mixed": 62,
    "scales_mixed": 63,
    "duplicate": 64,
    "amount_dominates": 66,
    "not_ready": 67,
    "first_seen_last_day": 75,
    "id_type": 103,
}
"""Number of the case in the catalogue of bad inputs, by code."""


def finding(
    code: str, level: str, count: int, message: str, fix: str = "", records: Sequence[int] = ()
) -> dict[str, Any]:
    """One observation about the data (JSON-able): ``level`` is ``note``, ``warning`` or ``reject``."""
    return {
        "code": code,
        "level": level,
        "count": count,
        "message": message,
        "fix": fix,
        "records": list(records),
    }


def many(count: int, noun: str) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def records(connection: duckdb.DuckDBPyConnection, tail: str) -> list[int]:
    """The first records ``tail`` (``FROM ... WHERE ...``) yields; 1 is the first after the header."""
    (found,) = connection.execute(f"SELECT min(record, {EXAMPLES}) {tail}").fetchall()[0]
    return [int(record) for record in found or ()]
