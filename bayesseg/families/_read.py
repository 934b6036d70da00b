"""The border of a family: columns are numbers, finite and of one length, or refused by name. L4."""

from __future__ import annotations

import numpy as np

from bayesseg._types import Array, Columns
from bayesseg.errors import InputRejected


def read(columns: Columns, names: tuple[str, ...]) -> list[Array]:
    """The named columns and ``weight``, how many customers each row counts for (1 where absent).

    Raises:
        InputRejected: a column is missing, not of numbers, not finite or of another length.
    """
    found = [_numbers(columns, name) for name in names]
    size = len(found[0])
    found.append(_numbers(columns, "weight") if "weight" in columns else np.ones(size))
    for name, values in zip((*names, "weight"), found, strict=True):
        if values.shape != (size,):
            raise InputRejected(
                f"column {name!r} has shape {values.shape}, where {names[0]!r} has {size} rows",
                fix="give every column one number a customer",
                code="ragged_columns",
            )
    return found


def _numbers(columns: Columns, name: str) -> Array:
    if name not in columns:
        raise InputRejected(
            f"there is no column {name!r}",
            fix=f"columns there are: {', '.join(columns)}",
            code="missing_column",
        )
    try:
        values = np.ascontiguousarray(columns[name], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputRejected(
            f"column {name!r} is not of numbers: {error}", code="not_a_number"
        ) from error
    odd = ~np.isfinite(values)
    if odd.any():
        row = int(np.argmax(odd))
        raise InputRejected(
            f"column {name!r} is {values.flat[row]} in row {row + 1}",
            fix="leave such customers out, or mend the summary",
            code="not_finite",
        )
    return values
