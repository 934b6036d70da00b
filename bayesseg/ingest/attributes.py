"""Facts about customers, one row each, from a file or a frame."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bayesseg.errors import InputRejected, UsageError
from bayesseg.ingest.columns import known, matching
from bayesseg.ingest.findings import many, records
from bayesseg.ingest.numbers import as_decimal, decimal_mark, is_missing, trimmed
from bayesseg.ingest.objections import Objections, left_out, object_to, unmet
from bayesseg.ingest.options import How, one_of
from bayesseg.ingest.raw import NUMBER, TEXT, id_column, shown, unusable
from bayesseg.ingest.session import identifier, room_told
from bayesseg.ingest.source import Relation, Source, opened

_ROWS = 50_000
_ONE_MARK = "write all numbers with one decimal mark in the source"

type Facts = tuple[npt.NDArray[np.object_], dict[str, npt.NDArray[Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of facts in a session, in the order of the source.

    Attributes:
        connection: holds ``facts(record, id, v0, v1, ...)``.
        values: SQL of each column of the source over ``facts``: a DOUBLE, or text.
        provenance: as ``read_table`` returns it.
    """

    connection: duckdb.DuckDBPyConnection
    values: Mapping[str, str]
    provenance: Mapping[str, Any]

    def __len__(self) -> int:
        return int(self.provenance["rows"]["used"])

    def whole(self) -> tuple[npt.NDArray[np.object_], dict[str, npt.NDArray[Any]]]:
        """Ids and columns, all rows at once."""
        return self._arrays(self._query("ORDER BY record").to_arrow_table())

    def pieces(
        self, rows: int
    ) -> Iterator[tuple[npt.NDArray[np.object_], dict[str, npt.NDArray[Any]]]]:
        """The same, at most so many rows at a time."""
        for batch in self._query("").to_arrow_reader(rows):
            yield self._arrays(batch)

    def columns(self, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        """Some of the columns, all rows at once."""
        return self._named(names, self._some(names, "", "ORDER BY record"))

    def counted(
        self, names: Sequence[str]
    ) -> tuple[dict[str, npt.NDArray[Any]], npt.NDArray[np.int64]]:
        """Some of the columns, rows that agree in all of them once, and how many agreed, sorted."""
        *columns, count = self._some(names, ", count(*)", "GROUP BY ALL ORDER BY ALL")
        return self._named(names, columns), np.asarray(count, dtype=np.int64)

    def _some(self, names: Sequence[str], more: str, tail: str) -> list[npt.NDArray[Any]]:
        each = ", ".join(f"{self.values[name]} AS c{i}" for i, name in enumerate(names))
        rows = self.connection.cursor().sql(f"SELECT {each}{more} FROM facts {tail}")
        return [column.to_numpy() for column in rows.to_arrow_table().columns]

    def _named(
        self, names: Sequence[str], found: Sequence[npt.NDArray[Any]]
    ) -> dict[str, npt.NDArray[Any]]:
        kinds = self.provenance["kinds"]
        return {
            name: np.asarray(values, dtype=np.float64 if kinds[name] == "number" else object)
            for name, values in zip(names, found, strict=True)
        }

    def distinct(self, name: str, plain: Callable[[str], str]) -> npt.NDArray[np.object_]:
        """What a column holds after ``plain``; of very many some, and always two where they differ."""
        found: dict[str, None] = {}
        rows = self.connection.cursor().sql(
            f"SELECT DISTINCT {self.values[name]} AS c FROM facts ORDER BY c"
        )
        for batch in rows.to_arrow_reader(_ROWS):
            found |= dict.fromkeys(plain(str(one)) for one in batch["c"].to_pylist())
            if len(found) > 1:
                break
        return np.array(list(found), dtype=object)

    def _query(self, tail: str) -> duckdb.DuckDBPyRelation:
        each = [f"{sql} AS c{i}" for i, sql in enumerate(self.values.values())]
        return self.connection.cursor().sql(f"SELECT {', '.join(['id', *each])} FROM facts {tail}")

    def _arrays(
        self, rows: pa.Table | pa.RecordBatch
    ) -> tuple[npt.NDArray[np.object_], dict[str, npt.NDArray[Any]]]:
        ids, *columns = (column.to_numpy(zero_copy_only=False) for column in rows.columns)
        return ids, {
            name: np.array(found, dtype=np.float64 if kind == "number" else object)
            for (name, kind), found in zip(self.provenance["kinds"].items(), columns, strict=True)
        }


def read_table(source: Source, customer_id: str | None = None, **how: Any) -> Facts:
    """Read one row a customer: ids, columns by name, provenance; see :func:`table_of`."""
    with table_of(source, customer_id, **how) as table:
        return *table.whole(), dict(table.provenance)


@contextmanager
def table_of(
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
) -> Iterator[Table]:
    """One row a customer, inside a session that may keep them on disk.

    A column is a number where every text in it reads as one (missing ones apart), without the
    leading zeros of a code; everything else stays text. The id column is ``customer_id``, else the
    one named ``like`` another table's, else one of a known name. Without any the row number is the
    id, and the provenance says so. Rows of those in ``suppress`` are left out and counted.

    Raises:
        InputRejected: unreadable source, missing or repeated ids, an infinite number, or one that the
            decimal mark cannot read.
        UsageError: ``decimal`` is no mark.
        ResourcesMissing: no memory or disk space for it, or for what is asked of it.
    """
    if decimal is not None:
        one_of("decimal", decimal, ".,")
    with (
        room_told("the table of customers was read"),
        tempfile.TemporaryDirectory(prefix="bayesseg-", ignore_cleanup_errors=True) as scratch,
    ):
        how = How(encoding, delimiter, sheet, table, query)
        with opened(source, Path(scratch), how) as relation:
            name = _id_name(list(relation.types), customer_id, like)
            facts = {n: f"v{i}" for i, n in enumerate(relation.types) if n != name}
            _load(relation, name, facts)
        with relation.connection as connection:
            lost = None if suppress is None else _leave_out(connection, name, suppress)
            count = _identified(connection)
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
            numbers = {n for n, v in facts.items() if v in numeric or v not in texts}
            values = {
                n: f"nullif({v}, '')"
                if n not in numbers
                else f"CAST({as_decimal(v, mark, 'DOUBLE') if v in texts else v} AS DOUBLE)"
                for n, v in facts.items()
            }
            gaps = _gaps(connection, values, numbers)
            origin = "row number" if name is None else "given" if customer_id else "guessed"
            yield Table(
                connection,
                values,
                {
                    "schema_version": 1,
                    "source": dict(relation.info),
                    "dialect": shown(dialect),
                    "columns": {
                        "customer_id": {"value": name, "origin": origin, "flag": "--customer-id"}
                    },
                    "kinds": {n: "number" if n in numbers else "text" for n in facts},
                    "missing": {n: gap for n, gap in gaps.items() if gap},
                    "rows": {
                        "in": count + (lost["rows"] if lost else 0),
                        "used": count,
                        "excluded": {"suppressed": lost["rows"]} if lost and lost["rows"] else {},
                    },
                    "findings": [*relation.findings(name), *([lost["finding"]] if lost else [])],
                },
            )


def _gaps(
    connection: duckdb.DuckDBPyConnection, values: Mapping[str, str], numbers: Collection[str]
) -> dict[str, int]:
    """How many cells of each column are missing; a number that is infinite is refused."""
    found = {}
    for name, sql in values.items():
        odd, endless = (f"isnan({sql})", f"isinf({sql})") if name in numbers else ("false", "false")
        row = connection.execute(
            f"SELECT count(*) FILTER ({sql} IS NULL OR {odd}), min(record) FILTER ({endless}) "
            "FROM facts"
        ).fetchone()
        assert row is not None
        found[name], first = int(row[0]), row[1]
        if first is not None:
            raise InputRejected(
                f"column {name!r} holds an infinite number (row {first})",
                fix="leave the value empty where it is unknown",
                code="not_finite",
            )
    return found


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


def _identified(connection: duckdb.DuckDBPyConnection) -> int:
    """How many rows there are; refuse ids that name nobody, or two."""
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
    return rows


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
