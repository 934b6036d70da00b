"""Tables of PostgreSQL as they have to be: made where they are absent, else held against that. L10."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bayesseg.errors import RowsRefused, UsageError
from bayesseg.ingest.database import parts
from bayesseg.ingest.session import identifier, literal

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its ``kind`` as PostgreSQL spells it out, what it says, whether it is of the key.

    ``fill`` is what rows that lack it are given, where it is of the key.
    """

    name: str
    kind: str
    comment: str = ""
    key: bool = False
    generated: bool = False
    fill: str | None = None

    @property
    def sql(self) -> str:
        """As CREATE TABLE has it."""
        more = (
            " NOT NULL" if self.key else " GENERATED ALWAYS AS IDENTITY" if self.generated else ""
        )
        return f"{identifier(self.name)} {self.kind}{more}"


@dataclass(frozen=True, slots=True)
class Place:
    """A table of a schema."""

    schema: str
    name: str

    @property
    def sql(self) -> str:
        """As a statement names it."""
        return f"{identifier(self.schema)}.{identifier(self.name)}"

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


def resolved(cursor: Cursor, table: str) -> Place:
    """Where ``table`` is, or would be made; one table has one name, however it is written.

    Raises:
        UsageError: no name, another database, or a user without a schema of its own.
    """
    *path, name = parts(table)
    cursor.execute(
        "SELECT current_database(), coalesce((SELECT nspname FROM pg_class c JOIN pg_namespace n "
        "ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1::text)), current_schema())",
        (identifier(name),),
    )
    found = cursor.fetchone()
    assert found is not None
    database, schema = found
    if len(path) == 2 and path[0] != database:
        raise UsageError(
            f"--table {table!r} is of another database than the one connected to",
            fix="write schema.name, and let the DSN name the database",
        )
    if not path and schema is None:
        raise UsageError("this user has no schema of its own", fix="write --table schema.name")
    return Place(path[-1] if path else schema, name)


def there(cursor: Cursor, at: Place) -> dict[str, str]:
    """The columns of a table and their types; none where it is absent."""
    cursor.execute(
        "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = to_regclass($1::text) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (at.sql,),
    )
    return dict(cursor.fetchall())


def statements(at: Place, columns: Sequence[Column], comment: str) -> list[str]:
    """What makes a table, with its comments."""
    key = ", ".join(identifier(c.name) for c in columns if c.key)
    body = ",\n  ".join([*(c.sql for c in columns), f"PRIMARY KEY ({key})"])
    return [
        f"CREATE SCHEMA IF NOT EXISTS {identifier(at.schema)}",
        f"CREATE TABLE {at.sql} (\n  {body}\n)",
        f"COMMENT ON TABLE {at.sql} IS {literal(comment)}",
        *(
            f"COMMENT ON COLUMN {at.sql}.{identifier(c.name)} IS {literal(c.comment)}"
            for c in columns
            if c.comment
        ),
    ]


def ensure(cursor: Cursor, at: Place, columns: Sequence[Column], comment: str) -> list[str]:
    """Make the table where it is absent, and say what was made; columns of others are let be.

    Raises:
        UsageError: something else than a table bears that name.
        RowsRefused: it is there and lacks a column, a type or the key; ``fix`` is what to run.
    """
    found = there(cursor, at)
    if not found:
        schema, *rest = statements(at, columns, comment)
        cursor.execute("SELECT 1 WHERE to_regnamespace($1::text) IS NULL", (identifier(at.schema),))
        new = cursor.fetchone() is not None
        for statement in [schema, *rest] if new else rest:
            cursor.execute(statement)
        return [*([f"the schema {at.schema}"] if new else []), f"the table {at}"]
    cursor.execute(
        "SELECT relkind::text FROM pg_class WHERE oid = to_regclass($1::text)", (at.sql,)
    )
    if (kind := cursor.fetchone()) not in (("r",), ("p",)):
        what = "a view" if kind in (("v",), ("m",)) else "no table of its own"
        raise UsageError(f"{at} is {what}: rows are pushed into tables", fix="check --table")
    if lost := [c.name for c in columns if c.key and c.fill is None and c.name not in found]:
        raise RowsRefused(
            f"the table {at} is there and is of something else: it has no {', '.join(lost)}",
            fix="choose another table or schema",
            code="table_differs",
        )
    if wanting := _wanting(found, columns) + _key(cursor, at, columns):
        raise RowsRefused(
            f"the table {at} is there and is not as it has to be; nothing was written",
            fix="run, or have its owner run: "
            + " ".join(f"ALTER TABLE {at.sql} {one};" for one in wanting),
            code="table_differs",
        )
    return []


def obstacles(cursor: Cursor, at: Place) -> list[str]:
    """What of a table may keep rows out or change them without an error: triggers and rules."""
    cursor.execute(
        "SELECT 'the trigger ' || tgname FROM pg_trigger WHERE tgrelid = to_regclass($1::text) "
        "AND NOT tgisinternal AND tgenabled <> 'D' UNION ALL "
        "SELECT 'the rule ' || rulename FROM pg_rewrite WHERE ev_class = to_regclass($1::text) "
        "ORDER BY 1",
        (at.sql,),
    )
    return [name for (name,) in cursor.fetchall()]


def _wanting(found: Mapping[str, str], columns: Iterable[Column]) -> list[str]:
    found = {name: "text" if kind == "character varying" else kind for name, kind in found.items()}
    return [
        f"ALTER COLUMN {identifier(c.name)} TYPE {c.kind} USING {identifier(c.name)}::{c.kind}"
        if c.name in found
        else f"ADD COLUMN {c.sql}" + (f" DEFAULT {literal(c.fill)}" if c.fill else "")
        for c in columns
        if found.get(c.name) != c.kind
    ]


def _key(cursor: Cursor, at: Place, columns: Iterable[Column]) -> list[str]:
    """The key, where no unique index over just these columns stands in for it."""
    names = [c.name for c in columns if c.key]
    cursor.execute(
        "SELECT (SELECT string_agg(attname, ' ' ORDER BY attname) FROM pg_attribute "
        "WHERE attrelid = indrelid AND attnum = ANY (indkey)) FROM pg_index "
        "WHERE indrelid = to_regclass($1::text) AND indisunique AND indisvalid AND indimmediate "
        "AND indpred IS NULL AND indexprs IS NULL",
        (at.sql,),
    )
    if (" ".join(sorted(names)),) in cursor.fetchall():
        return []
    return [f"ADD UNIQUE ({', '.join(map(identifier, names))})"]
