"""Facts about customers, one row each, from a file or a frame."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from bayesseg.errors import InputRejected, UsageError
from bayesseg.ingest.columns import known, matching
from bayesseg.ingest.findings import many, records
from bayesseg.ingest.numbers import as_decimal, decimal_mark, is_missing, trimmed
from bayesseg.ingest.objections import Objections, left_out, object_to, unmet
from bayesseg.ingest.options import How, one_of
from bayesseg.ingest.raw import NUMBER, TEXT, id_column, shown, unusable
from bayesseg.ingest.session import identifier
from bayesseg.ingest.source import Relation, Source, opened

_ONE_MARK = "write all numbers with one decimal mark in the source"

type Facts = tuple[npt.NDArray[np.object_], dict[str, npt.NDArray[Any]], dict[str, Any]]


def read_table(
    source: Source,
    customer_id: str | None = None,
    *,
    like: str | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    sheet: str | None = None,
    table: str | None = None,
    query: str | None = None,
    decimal: str | None = None,
    suppress: Objections | None = None,
) -> Facts:
    """Read one row a customer: ids, columns by name, provenance.

    A column is a number where every text in it reads as one (missing ones apart), without the
    leading zeros of a code; everything else stays text. The id column is ``customer_id``, else the
    one named ``like`` another table's, else one of a known name. Without any the row number is the
    id, and the provenance says so. Rows of those in ``suppress`` are left out and counted.

    Raises:
        InputRejected: unreadable source, missing or repeated ids, an infinite number, or one that the
            decimal mark cannot read.
        UsageError: ``decimal`` is no mark.
    """
    if decimal is not None:
        one_of("decimal", decimal, ".,")
    with tempfile.TemporaryDirectory(prefix="bayesseg-", ignore_cleanup_errors=True) as scratch:
        how = How(encoding, delimiter, sheet, table, query)
        with opened(source, Path(scratch), how) as relation:
            name = _id_name(list(relation.types), customer_id, like)
            facts = {n: f"v{i}" for i, n in enumerate(relation.types) if n != name}
            _load(relation, name, facts)
        with relation.connection as connection:
            lost = None if suppress is None else _leave_out(connection, name, suppress)
            ids = _ids(connection)
            texts = [
                v
                for n, v in facts.items()
                if not _is_number(relation.types[n]) and n not in relation.pointed
            ]
            numeric = [v for v in texts if _looks_numeric(connection, v)]
            dialect = dict(relation.found)
            if decimal:
                dialect["decimal"] = (decimal, "", "given")
            elif numeric:
                tables = {n: _texts_of(v) for n, v in facts.items() if v in numeric}
                mark, why = decimal_mark(connection, tables, 0.0, mixed=_ONE_MARK)
                dialect["decimal"] = (mark, why, "inferred")
            mark = dialect["decimal"][0] if "decimal" in dialect else "."
            _refuse_unreadable(connection, {n: v for n, v in facts.items() if v in numeric}, mark)
            columns = {
                n: _numbers(connection, n, as_decimal(v, mark, "DOUBLE") if v in texts else v)
                if v in numeric or v not in texts
                else _texts(connection, v)
                for n, v in facts.items()
            }
    origin = "row number" if name is None else "given" if customer_id else "guessed"
    gaps = {n: int(_absent(values).sum()) for n, values in columns.items()}
    provenance = {
        "schema_version": 1,
        "source": dict(relation.info),
        "dialect": shown(dialect),
        "columns": {"customer_id": {"value": name, "origin": origin, "flag": "--customer-id"}},
        "kinds": {n: "number" if v.dtype == np.float64 else "text" for n, v in columns.items()},
        "missing": {n: count for n, count in gaps.items() if count},
        "rows": {
            "in": len(ids) + (lost["rows"] if lost else 0),
            "used": len(ids),
            "excluded": {"suppressed": lost["rows"]} if lost and lost["rows"] else {},
        },
        "findings": [*relation.findings(name), *([lost["finding"]] if lost else [])],
    }
    return ids, columns, provenance


def _id_name(names: list[str], given: str | None, like: str | None) -> str | None:
    if given is not None:
        return known(given, names, "--customer-id")
    if like in names:
        return like
    return next(iter(matching("customer_id", names)), None)


def _load(relation: Relation, name: str | None, facts: Mapping[str, str]) -> None:
    """``facts(record, id, v0, v1, ...)``, in source order."""
    types = relation.types
    kinds = {**types, **dict.fromkeys(relation.pointed, "DOUBLE")}
    chosen = [f"{_plain(n, kinds[n])} AS {short}" for n, short in facts.items()]
    key = "CAST(row_number() OVER () AS VARCHAR)"
    if name is not None:
        key = id_column(identifier(name), name, types[name], relation.unfit.get(name))
    columns = ", ".join(["row_number() OVER () AS record", f"{key} AS id", *chosen])
    relation.connection.execute(f"CREATE TABLE facts AS SELECT {columns} FROM {relation.sql}")


def _leave_out(
    connection: duckdb.DuckDBPyConnection, name: str | None, suppress: Objections
) -> dict[str, Any]:
    """Take the rows of those on the list out of ``facts``; how many, and the finding about it."""
    if name is None:
        raise UsageError(
            "--suppress-list names customers, and the table has no column of ids",
            fix="give --customer-id COLUMN",
        )
    object_to(connection, "SELECT DISTINCT id FROM facts", suppress)
    row = connection.execute("DELETE FROM facts WHERE id IN (SELECT id FROM objected)").fetchone()
    assert row is not None
    rows = int(row[0])
    return {"rows": rows, "finding": left_out(rows, len(suppress), unmet(connection))}


def _plain(name: str, kind: str) -> str:
    """Texts and numbers as they are; yes and no as 1 and 0; anything else as text."""
    sql = identifier(name)
    if kind == "BOOLEAN":
        return f"CAST({sql} AS DOUBLE)"
    return sql if kind == TEXT or _is_number(kind) else f"CAST({sql} AS VARCHAR)"


def _is_number(kind: str) -> bool:
    return kind == "BOOLEAN" or NUMBER.match(kind) is not None


def _ids(connection: duckdb.DuckDBPyConnection) -> npt.NDArray[np.object_]:
    row = connection.execute(
        f"SELECT count(*), count(*) FILTER (id IS NULL OR {trimmed('id')} = ''), "
        f"count(id) - count(DISTINCT id), count(*) FILTER ({unusable('id')}), "
        f"min(record) FILTER ({unusable('id')}) FROM facts"
    ).fetchone()
    assert row is not None
    rows, missing, copies, odd, first = (int(one or 0) for one in row)
    if rows == 0:
        raise InputRejected("the source has no rows", fix="give one row a customer", code="no_rows")
    if missing:
        raise InputRejected(
            f"{many(missing, 'row')} without an id", fix="fill them in", code="id_missing"
        )
    if odd:
        raise InputRejected(
            f"{many(odd, 'id')} with control or invisible characters or over 256 characters (first in "
            f"row {first})",
            fix="write other ids in the source",
            code="id_unusable",
        )
    if copies:
        raise InputRejected(
            f"{many(copies, 'row')} with the id of another row",
            fix="give one row a customer",
            code="id_repeated",
        )
    values = connection.execute("SELECT id FROM facts ORDER BY record").fetchnumpy()["id"]
    return np.asarray(values, dtype=object)


def _texts_of(column: str) -> str:
    return f"(SELECT {column} AS v, 1 AS n FROM facts)"


def _looks_numeric(connection: duckdb.DuckDBPyConnection, column: str) -> bool:
    """Every text reads as a number by one of the two marks, and none is a code such as 00042."""
    either = f"coalesce({as_decimal(column, '.', 'DOUBLE')}, {as_decimal(column, ',', 'DOUBLE')})"
    row = connection.execute(
        f"SELECT count(*), count({either}), "
        f"count(*) FILTER (regexp_matches({trimmed(column)}, '^0[0-9]')) "
        f"FROM facts WHERE NOT {is_missing(column)}"
    ).fetchone()
    assert row is not None
    return bool(0 < row[0] == row[1] and row[2] == 0)


def _refuse_unreadable(
    connection: duckdb.DuckDBPyConnection, columns: Mapping[str, str], mark: str
) -> None:
    """Refuse columns of numbers in which ``mark`` leaves texts without a number."""
    for name, column in columns.items():
        read = as_decimal(column, mark, "DOUBLE")
        tail = f"FROM facts WHERE NOT {is_missing(column)} AND {read} IS NULL"
        row = connection.execute(f"SELECT count(*) {tail}").fetchone()
        assert row is not None
        if count := int(row[0]):
            found = records(connection, tail)
            more = ", …" if count > len(found) else ""
            raise InputRejected(
                f"{many(count, 'value')} of {name!r} cannot be read with the decimal mark {mark!r} "
                f"(rows {', '.join(map(str, found))}{more})",
                fix=_ONE_MARK,
                code="number_unreadable",
                details={"column": name, "count": count, "records": found},
            )


def _texts(connection: duckdb.DuckDBPyConnection, column: str) -> npt.NDArray[Any]:
    query = f"SELECT nullif({column}, '') AS v FROM facts ORDER BY record"
    values = np.ma.asarray(connection.execute(query).fetchnumpy()["v"], dtype=object)
    texts = values.data.copy()
    texts[np.ma.getmaskarray(values)] = None
    return texts


def _numbers(connection: duckdb.DuckDBPyConnection, name: str, sql: str) -> npt.NDArray[np.float64]:
    query = f"SELECT CAST({sql} AS DOUBLE) AS v FROM facts ORDER BY record"
    values = np.ma.asarray(connection.execute(query).fetchnumpy()["v"], dtype=np.float64)
    numbers: npt.NDArray[np.float64] = values.filled(np.nan)
    if np.isinf(numbers).any():
        raise InputRejected(
            f"column {name!r} holds an infinite number (row {int(np.isinf(numbers).argmax()) + 1})",
            fix="leave the value empty where it is unknown",
            code="not_finite",
        )
    return numbers


def _absent(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    nothing = np.array(None, dtype=object)
    return np.isnan(values) if values.dtype == np.float64 else values == nothing
