"""A feed into a table of PostgreSQL: whole, in one transaction, or not at all. L10.

A row is one customer under one model, key ``(customer_id, model_name)``, and of one scoring: a column
of the feed that the scores no longer have is emptied. Columns of other names, which others add, are let
be. Who is no longer in the scores keeps the last row, marked ``active = false``: others may have hung
notes on it, and whatever reads the table must see that somebody left. Who objected or was erased is
deleted.

Pushes into one schema come one after the other (an advisory lock), each reads what stands there, and a
row is written only where it says something else. So a push that is repeated writes nothing, and one that
is killed leaves the old rows.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from bayesseg.errors import UsageError
from bayesseg.feed import accept_radius, feed, radius, whole
from bayesseg.push import ledger, staging
from bayesseg.push.ledger import Run
from bayesseg.push.pushed import Pushed
from bayesseg.push.staging import COMMENT, columns
from bayesseg.push.tables import Place, ensure, resolved, statements, there
from bayesseg.push.transaction import transaction

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

    from bayesseg.ingest import Objections


@dataclass(frozen=True, slots=True)
class Order:
    """What to push and how.

    Attributes:
        scores: a score table without those who objected; with a column ``holdout`` it is told, too.
        document: what is written beside it.
        objections: who objected or was erased: their rows are deleted.
        objectors: further ids whose rows are deleted.
        exact: numbers as they are, not rounded.
        force: overrule what refuses but ``erased``, for a ``reason``, which the ledger keeps.
        reason: why.
        released: what already leaves although it failed, by part, with the reason.
        dry_run: plan, and write nothing.
        run_id: of this push.
    """

    scores: pd.DataFrame
    document: Mapping[str, Any]
    objections: Objections | None = None
    objectors: frozenset[str] = frozenset()
    exact: bool = False
    force: bool = False
    reason: str | None = None
    released: Mapping[str, str] = field(default_factory=dict)
    dry_run: bool = False
    run_id: str = field(default_factory=lambda: secrets.token_hex(16))


@dataclass(frozen=True, slots=True)
class Gone:
    """What an erasure came to.

    Attributes:
        rows: how many were deleted.
        met: numbers of the entries of the list that were met.
        others: further tables of the schema that were pushed to, where nobody was looked for.
    """

    rows: int
    met: frozenset[int]
    others: tuple[str, ...]


def schema(table: Place, names: Iterable[object]) -> str:
    """What to run where tables are made by somebody else."""
    made = [
        *statements(table, columns(names), COMMENT),
        *statements(ledger.place(table), ledger.COLUMNS, ledger.COMMENT)[1:],
    ]
    return "".join(f"{one};\n" for one in made)


def push(order: Order, address: str, table: str, say: Callable[[str], None]) -> Pushed:
    """Bring ``table`` to what the scores say, in one transaction.

    Args:
        order: what to push.
        address: of the server; no message repeats any of it.
        table: ``schema.name``; made where it is absent.
        say: told of what is made and of waits.

    Returns:
        What became of the rows and which checks were overruled; with ``dry_run`` what would.

    Raises:
        GateFailed: the scores are older than what stands there (``older_run``), too much would change
            at once (``blast_radius``) or people erased there could come back (``erased``).
        UsageError: the name is of a view or of the ledger.
        RowsRefused: the table is there and lacks columns or a key (``table_differs``, with what to
            run), or the server finds a value wrong; nothing was written.
        DestinationFailed: out of reach, or broken off: what stands there is old or new, never a mix.
        ResourcesMissing: no access: a wrong password, missing rights, rows that are hidden.
        Locked: somebody held the table too long.
    """
    run, said = Run.of(order.document), (order.reason or "").strip() if order.force else ""
    made: list[str] = []
    overruled: dict[str, str] = {}

    def work(cursor: Cursor) -> tuple[Pushed, bool]:
        at = _alone(cursor, table)
        new = ensure(cursor, ledger.place(at), ledger.COLUMNS, ledger.COMMENT)
        if (done := ledger.recorded(cursor, at, order.run_id)) is not None:
            return done, False  # an attempt got through, only its answer was lost
        names = staging.told(cursor, at, feed(order.scores.head(1), order.document))
        made[:] = [*new, *ensure(cursor, at, columns(names, run.model_name), COMMENT)]
        newest = ledger.latest(cursor, at, run.model_name)
        before = staging.held(cursor, at, run.model_name)
        now = whole(feed(order.scores, order.document, before, exact=order.exact), names)
        ledger.refuse_erased(cursor, at, order.objections)
        overruled.clear()
        overruled.update(
            ledger.overruled(
                said,
                lambda: ledger.refuse_older(run, newest),
                lambda: accept_radius(radius(now, before)),
            )
        )
        staging.bring(cursor, now)
        staging.name(cursor, [*staging.listed(cursor, at, order.objections)[0], *order.objectors])
        plan = staging.planned(cursor, at, run.model_name, now)
        same = newest is not None and newest.sha256 == run.sha256
        if order.dry_run or not (plan.written or (len(now) and not same)):
            return plan, False
        staging.write(cursor, at, run.model_name, now, plan)
        reasons = {**order.released, **dict.fromkeys(overruled, said)}
        told = "; ".join(f"{what}: {why}" for what, why in reasons.items())
        entry = {"run_id": order.run_id, "action": "push", **asdict(run), "rows": len(now)}
        ledger.note(cursor, at, {**entry, **ledger.counts(plan), "reason": told or None})
        return plan, True

    done, kept = transaction(address, work, say, keep=lambda found: found[1])
    if made and (kept or order.dry_run):
        say(f"{'made' if kept else 'would make'} {', '.join(made)}")
    return replace(done, overruled=tuple(overruled.items()))


def erase(
    objections: Objections,
    address: str,
    table: str,
    bury: Callable[[frozenset[str]], int],
    say: Callable[[str], None],
    *,
    dry_run: bool = False,
) -> Gone:
    """Delete the rows of everybody on a list, of every model, in one transaction.

    Args:
        objections: whom to forget, with the key of the tombstones.
        address: of the server; no message repeats any of it.
        table: ``schema.name``.
        bury: called with the ids found, before they are gone: makes the tombstones that keep them from
            coming back, and says how many it holds. May be called again.
        say: told of waits.
        dry_run: plan, and delete nothing.

    Returns:
        What was deleted; with ``dry_run`` what would be.

    Raises:
        UsageError: no such table, a list without a key, or with another one than people were erased
            there by before: a push takes the tombstones of one key.
        DestinationFailed: out of reach, or broken off: the rows are all there or all gone.
        Locked: somebody held the table too long.
    """
    run_id, key = secrets.token_hex(16), objections.key
    if key is None:
        raise UsageError("tombstones need a key", fix="read the list with one")
    met: frozenset[int] = frozenset()

    def work(cursor: Cursor) -> Gone:
        nonlocal met
        at = _alone(cursor, table)
        if "customer_id" not in there(cursor, at):
            raise UsageError(f"{at} is no table of customers", fix="check --table")
        ensure(cursor, ledger.place(at), ledger.COLUMNS, ledger.COMMENT)
        others = ledger.others(cursor, at)
        if (done := ledger.recorded(cursor, at, run_id)) is not None:
            return Gone(done.removed, met, others)
        ledger.refuse_key(cursor, at, key)
        ids, found = staging.listed(cursor, at, objections)
        met |= found
        held = bury(frozenset(ids))
        staging.name(cursor, ids)
        count = staging.removed(cursor, at)
        entry = {"run_id": run_id, "action": "erase", **ledger.counts(Pushed(removed=count))}
        ledger.note(cursor, at, {**entry, "key_check": key.check, "tombstones": held})
        return Gone(count, met, others)

    return transaction(address, work, say, keep=lambda _: not dry_run)


def _alone(cursor: Cursor, table: str) -> Place:
    """The place of ``table``, held against all other pushes into its schema until the end."""
    at = resolved(cursor, table)
    if at.name == ledger.NAME:
        raise UsageError(f"{at} is where pushes are noted", fix="choose another --table")
    cursor.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))", (f"bayesseg {at.schema}",)
    )
    cursor.fetchall()
    return at
