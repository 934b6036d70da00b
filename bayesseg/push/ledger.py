"""What was pushed into a schema of PostgreSQL, run by run: the table ``bayesseg_runs``. L10.

It answers three questions before anything is written: whether this very push got through although its
answer was lost, whether a newer run stands there already, and whether people were erased there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayesseg.errors import ArtefactBad, GateFailed, UsageError
from bayesseg.push.pushed import Pushed
from bayesseg.push.tables import Column, Place

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

    from bayesseg.ingest import Key, Objections

NAME = "bayesseg_runs"
COMMENT = "what bayesseg pushed into the tables of this schema, one row a push; it names nobody"
COLUMNS = (
    Column("run_id", "text", "of this push, made anew for each", key=True),
    Column("run_seq", "bigint", "order of the pushes", generated=True),
    Column("action", "text", "push or erase"),
    Column("table_name", "text", "where to"),
    Column("table_oid", "bigint", "the same to the server; it stays when the table is renamed"),
    Column("model_name", "text", "whose rows; a table may hold those of several models"),
    Column("model_id", "text", "hash of the posterior"),
    Column("as_of", "date", "last day observed"),
    Column("scored_at", "timestamp with time zone", "when the scores were made"),
    Column("sha256", "text", "of the score file"),
    Column("rows", "bigint", "rows of the feed"),
    Column("inserted", "bigint", "rows that were new"),
    Column("updated", "bigint", "rows that changed"),
    Column("unchanged", "bigint", "rows left as they were"),
    Column("gone", "bigint", "rows marked inactive: the customer is no longer in the scores"),
    Column("removed", "bigint", "rows deleted: the customer objected or was erased"),
    Column("reason", "text", "why it went through although a check refused it"),
    Column("key_check", "text", "erase: which key the tombstones are of"),
    Column("tombstones", "bigint", "erase: how many of them there were at least"),
    Column("pushed_at", "timestamp with time zone", "when the transaction began"),
)
_HERE = "(table_name = $1 OR table_oid = to_regclass($2::text)::oid::bigint)"
_COUNTS = ("inserted", "updated", "unchanged", "gone", "removed")


@dataclass(frozen=True, slots=True)
class Run:
    """A scoring, as it tells which of two is newer; ``as_of`` is None for models of attributes."""

    model_name: str
    model_id: str
    as_of: dt.date | None
    scored_at: dt.datetime
    sha256: str

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Run:
        """The run that the document of a score file describes."""
        try:
            day, at = document.get("as_of"), dt.datetime.fromisoformat(document["scored_at"])
            return cls(
                str(document["model"]),
                str(document["model_id"]),
                dt.date.fromisoformat(day) if day else None,
                at if at.tzinfo else at.replace(tzinfo=dt.UTC),
                str(document["table"]["sha256"]),
            )
        except (LookupError, TypeError, ValueError) as error:
            raise ArtefactBad(
                f"the document beside the scores does not say when they were made ({error})",
                fix="score again",
            ) from error

    @property
    def said(self) -> str:
        """Its age in words."""
        day = f"as of {self.as_of}, " if self.as_of else ""
        return f"{day}scored {self.scored_at:%Y-%m-%d %H:%M} UTC"

    def older_than(self, other: Run) -> bool:
        """Whether it knows less: an earlier last day or, of one day, an earlier scoring."""
        if self.as_of and other.as_of and self.as_of != other.as_of:
            return self.as_of < other.as_of
        return self.scored_at < other.scored_at


def place(of: Place) -> Place:
    """The ledger of the schema of a table."""
    return Place(of.schema, NAME)


def recorded(cursor: Cursor, at: Place, run_id: str) -> Pushed | None:
    """What a push did, if it got through."""
    names = ", ".join(_COUNTS)
    cursor.execute(f"SELECT {names} FROM {place(at).sql} WHERE run_id = $1", (run_id,))
    found = cursor.fetchone()
    return None if found is None else Pushed(**dict(zip(_COUNTS, found, strict=True)))


def counts(plan: Pushed) -> dict[str, int]:
    """The counts of a push as the ledger has them."""
    return {name: getattr(plan, name) for name in _COUNTS}


def latest(cursor: Cursor, at: Place, model_name: str) -> Run | None:
    """The run whose rows stand there."""
    cursor.execute(
        f"SELECT model_name, model_id, as_of, scored_at, sha256 FROM {place(at).sql} "
        f"WHERE action = 'push' AND {_HERE} AND model_name = $3 ORDER BY run_seq DESC LIMIT 1",
        (str(at), at.sql, model_name),
    )
    found = cursor.fetchone()
    return None if found is None else Run(*found)


def refuse_older(run: Run, there: Run | None) -> None:
    """Refuse (exit 4) a run older than the one whose rows stand there."""
    if there is None or not run.older_than(there):
        return
    raise GateFailed(
        f"these scores ({run.said}) are older than those that stand there ({there.said})",
        fix='give the newest scores, or --force --reason "..." to go back',
        code="older_run",
    )


def overruled(said: str, *checks: Callable[[], object]) -> dict[str, str]:
    """The checks that refuse, code to words, where there is a reason to go on."""
    found = {}
    for check in checks:
        try:
            check()
        except GateFailed as error:
            if not said:
                raise
            found[error.code] = error.message
    return found


def refuse_erased(cursor: Cursor, at: Place, objections: Objections | None) -> None:
    """Refuse (exit 4) a push that could bring back who was erased there.

    The ledger holds no pseudonym of anybody, only of which key the tombstones are and how many.
    """
    given = {}
    if objections is not None and objections.buried and objections.key is not None:
        given[objections.key.check] = len(objections)
    cursor.execute(
        f"SELECT key_check, max(tombstones) FROM {place(at).sql} "
        f"WHERE action = 'erase' AND {_HERE} GROUP BY 1",
        (str(at), at.sql),
    )
    for check, held in cursor.fetchall():
        if given.get(check, 0) < held:
            raise GateFailed(
                f"people were erased from {at}, and "
                + (
                    "the list of tombstones is an older one"
                    if check in given
                    else "no tombstones are given"
                )
                + ": this push could bring them back",
                fix="give --suppress-list TOMBSTONES --suppress-key KEY, as push --erase wrote them",
                code="erased",
            )


def refuse_key(cursor: Cursor, at: Place, key: Key) -> None:
    """Refuse a key other than that by which people were erased there: a push takes tombstones of one.

    Raises:
        UsageError: it is another.
    """
    cursor.execute(
        f"SELECT FROM {place(at).sql} WHERE action = 'erase' AND {_HERE} AND key_check <> $3",
        (str(at), at.sql, key.check),
    )
    if cursor.fetchone() is not None:
        raise UsageError(
            f"people were erased from {at} with another key, and a push takes tombstones of one only",
            fix="give that key, and its tombstones, by --key and --tombstones",
        )


def others(cursor: Cursor, at: Place) -> tuple[str, ...]:
    """The other tables that this ledger knows, and that are still there, by their names of today."""
    cursor.execute(
        "SELECT DISTINCT nspname || '.' || relname FROM pg_class c "
        f"JOIN pg_namespace n ON n.oid = relnamespace JOIN {place(at).sql} r ON r.table_oid = c.oid "
        "WHERE r.action = 'push' AND c.oid <> to_regclass($1::text) ORDER BY 1",
        (at.sql,),
    )
    return tuple(name for (name,) in cursor.fetchall())


def note(cursor: Cursor, at: Place, row: Mapping[str, Any]) -> None:
    """Write a row of the ledger."""
    given = {"table_name": str(at), **row}
    of = {c.name: c.kind for c in COLUMNS}
    values = ", ".join(f"${n}::{of[name]}" for n, name in enumerate(given, start=2))
    names = ", ".join(f'"{name}"' for name in given)
    cursor.execute(
        f"INSERT INTO {place(at).sql} (table_oid, {names}, pushed_at) "
        f"VALUES (to_regclass($1::text)::oid::bigint, {values}, now())",
        (at.sql, *given.values()),
    )
