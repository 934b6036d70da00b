"""What was pushed into a schema of PostgreSQL, run by run: the table ``bayesseg_runs``. L10.

It answers three questions before anything is written: whether this very push got through although its
answer was lost, whether a newer run stands there already, and whether people were erased there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bayesseg.errors import GateFailed
from bayesseg.push.pushed import Pushed
from bayesseg.push.tables import Column, Place

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

    from bayesseg.ingest import Objections

NAME = "bayesseg_runs"
COMMENT = "what bayesseg pushed into the tables of this schema, one row a push; it names nobody"
COLUMNS = (
    Column("run_id", "text", "of this push, made anew for each", key=True),
    Column("run_seq", "bigint", "order of the pushes", generated=True),
    Column("action", "text", "push or erase"),
    Column("table_name", "text", "where to"),
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
        day, at = document.get("as_of"), dt.datetime.fromisoformat(document["scored_at"])
        return cls(
            str(document["model"]),
            str(document["model_id"]),
            dt.date.fromisoformat(day) if day else None,
            at if at.tzinfo else at.replace(tzinfo=dt.UTC),
            str(document["table"]["sha256"]),
        )

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
        "WHERE action = 'push' AND table_name = $1 AND model_name = $2 "
        "ORDER BY run_seq DESC LIMIT 1",
        (str(at), model_name),
    )
    found = cursor.fetchone()
    return None if found is None else Run(*found)


def refuse_older(run: Run, there: Run | None) -> None:
    """Refuse (exit 4) a run older than the one whose rows stand there."""
    if there is None or not run.older_than(there):
        return
    raise GateFailed(
        f"these scores ({run.said}) are older than those that stand there ({there.said})",
        fix='push the newest scores, or --force --reason "..." to go back',
        code="older_run",
    )


def refuse_older_than(document: Mapping[str, Any], told: dt.datetime) -> None:
    """The same, where all that is known of what stands there is when the last of it was scored."""
    run = Run.of(document)
    refuse_older(run, replace(run, as_of=None, scored_at=told))


def refuse_erased(cursor: Cursor, at: Place, objections: Objections | None) -> None:
    """Refuse (exit 4) a push that could bring back who was erased there.

    The ledger holds no pseudonym of anybody, only of which key the tombstones are and how many.
    """
    given = {}
    if objections is not None and objections.buried and objections.key is not None:
        given[objections.key.check] = len(objections)
    cursor.execute(
        f"SELECT key_check, max(tombstones) FROM {place(at).sql} "
        "WHERE action = 'erase' AND table_name = $1 GROUP BY 1",
        (str(at),),
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


def note(cursor: Cursor, at: Place, row: Mapping[str, Any]) -> None:
    """Write a row of the ledger."""
    given = {"table_name": str(at), **row}
    of = {c.name: c.kind for c in COLUMNS}
    values = ", ".join(f"${n}::{of[name]}" for n, name in enumerate(given, start=1))
    names = ", ".join(f'"{name}"' for name in given)
    cursor.execute(
        f"INSERT INTO {place(at).sql} ({names}, pushed_at) VALUES ({values}, now())",
        tuple(given.values()),
    )
