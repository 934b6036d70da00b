"""A feed and a table of PostgreSQL: what stands there, what would change, and changing it. L10.

Temporary tables live in ``pg_temp``, which is named: nothing of the same name can stand in for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from bayesseg.errors import ArtefactBad, RowsRefused
from bayesseg.feed import COLUMNS
from bayesseg.feed.rounding import scale_of
from bayesseg.ingest.objections import refused
from bayesseg.ingest.session import identifier
from bayesseg.push.pushed import Pushed
from bayesseg.push.tables import Column, Place, obstacles, there
from bayesseg.push.transaction import Passing
from bayesseg.scoring.table import meaning_of, unit_of

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

    from bayesseg.ingest import Objections

COMMENT = (
    "customers as bayesseg sees them, one row a customer and model; bayesseg_runs has the pushes"
)
_STAGE, _LISTED = "bayesseg_stage", "bayesseg_listed"
_NUMBER = "double precision"
_KINDS = {"holdout": "boolean", "scored_at": "timestamp with time zone"}
_ARROW = {
    "text": pa.string(),
    _NUMBER: pa.float64(),
    "boolean": pa.bool_(),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
}
_ON_LIST = f"customer_id IN (SELECT customer_id FROM pg_temp.{_LISTED})"


def columns(names: Iterable[object], model: str | None = None) -> tuple[Column, ...]:
    """The columns of a table for a feed of such columns, with their units.

    Rows that are there without a ``model_name`` are said to be of ``model``.
    """
    first, *rest = (
        Column(name, _kind(name), _said(name), key=name == "customer_id")
        for name in dict.fromkeys([*map(str, names), "holdout"])
    )
    return (
        first,
        Column("model_name", "text", "the model that the numbers are of", key=True, fill=model),
        *rest,
        Column("active", "boolean", "whether the customer is in the scores; else the last row"),
    )


def _kind(name: str) -> str:
    return _NUMBER if scale_of(unit_of(name)) else _KINDS.get(name, "text")


def _said(name: str) -> str:
    unit = unit_of(name)
    return "; ".join(filter(None, (meaning_of(name), unit and f"unit: {unit}")))


def told(cursor: Cursor, at: Place, now: pd.DataFrame) -> list[str]:
    """The columns of a feed, and those of earlier feeds that the table has: nobody else fills them."""
    own = there(cursor, at)
    return [name for name in COLUMNS if name in now or (name in own and name != "holdout")]


def held(cursor: Cursor, at: Place, model: str) -> pd.DataFrame | None:
    """The feed that the table holds; None where it holds nothing of this model."""
    own = there(cursor, at)
    names = [name for name in COLUMNS if name in own]
    cursor.execute(
        f"SELECT {_names(names)} FROM {at.sql} WHERE model_name = $1::text AND active", (model,)
    )
    found = cursor.fetch_arrow_table().to_pandas()
    return None if found.empty else found


def bring(cursor: Cursor, now: pd.DataFrame) -> None:
    """Bring the feed to the server and have it looked at there: whole, one row an id, in range."""
    names = [str(name) for name in now]
    fields = pa.schema([(name, _ARROW[_kind(name)]) for name in names])
    plain = now.assign(scored_at=now["scored_at"].dt.tz_convert(None))
    rows = pa.Table.from_pandas(plain, preserve_index=False).cast(fields)
    cursor.adbc_ingest(_STAGE, rows, mode="create", temporary=True)
    cursor.execute(f"ANALYZE pg_temp.{_STAGE}")
    odd = [
        f"{identifier(name)} NOT BETWEEN 0 AND 1"
        if unit_of(name).startswith("probability")
        else f"abs({identifier(name)}) >= 'infinity'"  # here NaN is greater than infinity
        for name in names
        if _kind(name) == _NUMBER
    ]
    *counts, wrong = _row(
        cursor,
        "SELECT count(*), count(customer_id), count(DISTINCT customer_id), "
        f"count(*) FILTER (WHERE {' OR '.join(odd) or 'false'}) FROM pg_temp.{_STAGE}",
    )
    if counts != [len(now)] * 3:
        raise Passing(f"of {len(now):,} rows not all arrived, each once")
    if wrong:
        raise ArtefactBad(
            f"{wrong:,} rows hold a probability beyond 0 and 1 or a number that is none",
            fix="score again",
        )


def name(cursor: Cursor, ids: Sequence[str]) -> None:
    """Name those whose rows are to be removed."""
    rows = pa.table({"customer_id": pa.array(ids, pa.string())})
    cursor.adbc_ingest(_LISTED, rows, mode="create", temporary=True)


def planned(cursor: Cursor, at: Place, model: str, now: pd.DataFrame) -> Pushed:
    """What writing the stage would do."""
    here, differs = "s.customer_id = t.customer_id", _differs(now, "s")
    inserted, updated, unchanged, gone, removed = _row(
        cursor,
        "SELECT count(*) FILTER (WHERE t.customer_id IS NULL), "
        f"count(*) FILTER (WHERE {here} AND {differs}), "
        f"count(*) FILTER (WHERE {here} AND NOT {differs}), "
        f"count(*) FILTER (WHERE s.customer_id IS NULL AND t.active AND NOT t.{_ON_LIST}), "
        f"count(*) FILTER (WHERE s.customer_id IS NULL AND t.{_ON_LIST}) "
        f"FROM pg_temp.{_STAGE} s "
        f"FULL JOIN (SELECT * FROM {at.sql} WHERE model_name = $1::text) t "
        "ON s.customer_id = t.customer_id",
        model,
    )
    return Pushed(inserted, updated, unchanged, gone=gone, removed=removed)


def write(cursor: Cursor, at: Place, model: str, now: pd.DataFrame, plan: Pushed) -> None:
    """Bring the table to the stage; just what was planned is done, or nothing."""
    _, *told = names = [str(name) for name in now]
    done = _count(
        cursor,
        f"INSERT INTO {at.sql} AS t ({_names(names)}, model_name, active) "
        f"SELECT {_names(names)}, $1::text, true FROM pg_temp.{_STAGE} "
        "ON CONFLICT (customer_id, model_name) DO UPDATE SET active = true, "
        + ", ".join(f"{identifier(one)} = excluded.{identifier(one)}" for one in told)
        + f" WHERE {_differs(now, 'excluded')}",
        model,
    )
    off = removed(cursor, at, model)
    gone = _count(
        cursor,
        f"UPDATE {at.sql} t SET active = false WHERE model_name = $1::text AND active AND NOT EXISTS "
        f"(SELECT FROM pg_temp.{_STAGE} s WHERE s.customer_id = t.customer_id)",
        model,
    )
    if (done, off, gone) != (plan.inserted + plan.updated, plan.removed, plan.gone):
        raise Passing(f"somebody else changed rows of {at} meanwhile", _obstructed(cursor, at))


def _obstructed(cursor: Cursor, at: Place) -> RowsRefused | None:
    """What to say where it stays so, and something of the table itself may keep rows out."""
    if found := obstacles(cursor, at):
        return RowsRefused(
            f"{at} does not take the rows as they are; nothing was written. It has {', '.join(found)}",
            fix="let them pass what is pushed, or push to a table without them",
            code="table_differs",
        )
    return None


def removed(cursor: Cursor, at: Place, model: str | None = None) -> int:
    """Delete the rows of those who were named, of one model or of all; how many there were."""
    of = "" if model is None else " AND model_name = $1::text"
    return _count(cursor, f"DELETE FROM {at.sql} WHERE {_ON_LIST}{of}", *([model] if model else []))


def listed(
    cursor: Cursor, at: Place, objections: Objections | None
) -> tuple[list[str], frozenset[int]]:
    """The ids of a table that are on a list, and the entries of the list that were met."""
    if objections is None:
        return [], frozenset()
    cursor.execute(f"SELECT DISTINCT customer_id FROM {at.sql}")
    ids = np.asarray(cursor.fetch_arrow_table()["customer_id"].to_pylist(), dtype=object)
    rows, met = refused(ids, objections)
    return ids[rows].tolist(), frozenset(met.tolist())


def _differs(now: pd.DataFrame, new: str) -> str:
    """SQL: whether a row of the table says something else than the ``new`` one; when is not what."""
    names = [identifier(str(n)) for n in now if n not in ("customer_id", "scored_at")]
    old, told = (", ".join(f"{of}.{name}" for name in names) for of in ("t", new))
    return f"((t.active, {old}) IS DISTINCT FROM (true, {told}))"


def _row(cursor: Cursor, query: str, *values: str) -> tuple[Any, ...]:
    cursor.execute(query, values or None)
    found = cursor.fetchone()
    assert found is not None
    return tuple(found)


def _count(cursor: Cursor, change: str, *values: str) -> int:
    """Make a change and count its rows."""
    query = f"WITH done AS ({change} RETURNING 1) SELECT count(*) FROM done"
    return int(_row(cursor, query, *values)[0])


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(identifier, names))
