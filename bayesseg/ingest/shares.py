"""Where a customer's money goes: shares of spend by category, product, channel or shop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from bayesseg._types import SMALLEST
from bayesseg.ingest.findings import finding, many

MOST_LEVELS = 10
"""Levels that are learned of a column at most; the rest are ``OTHER``."""
OTHER = "(other)"

type Shares = tuple[dict[str, npt.NDArray[Any]], dict[str, list[str]]]


def shares(
    connection: duckdb.DuckDBPyConnection,
    asked: Mapping[str, Sequence[str]],
    as_of: date,
    since: date = date.min,
) -> Shares:
    """Columns of each customer in table ``bought``, in the order of their numbers, and the levels.

    Of a column ``category`` come ``category=toys``, ... and ``category=(other)``, shares of the
    customer's spend (the amounts, also where money is margin) that sum to 1, and ``main_category``,
    the level with the largest. Only rows known on ``as_of`` of purchase days from ``since`` on count;
    refunds lower their own level, to 0 at the least; who has no spend at all has neither. Levels
    that are not asked for are learned of the same rows: those most customers bought of.

    Args:
        connection: a cursor with ``bought`` of that day and ``bayesseg_source``.
        asked: column -> levels, none where they are to be learned; columns are ``s0, s1, ...``.
        as_of: last day observed, inclusive.
        since: first purchase day that counts.
    """
    columns: dict[str, npt.NDArray[Any]] = {}
    levels: dict[str, list[str]] = {}
    days = {"as_of": as_of, "since": since}
    for place, (name, given) in enumerate(asked.items()):
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE spent AS SELECT customer_id, s{place} AS level, "
            "greatest(sum(amount), 0) AS net FROM bayesseg_source JOIN bought "
            "USING (customer_id, purchase_day) WHERE recorded_day <= $as_of "
            "AND purchase_day >= $since GROUP BY ALL",
            days,
        )
        kept = list(given) or _learned(connection)
        each = ", ".join(
            f"coalesce(sum(net) FILTER (level = ${i}), 0) AS l{i}" for i in range(1, len(kept) + 1)
        )
        table = connection.execute(
            f"SELECT customer_id, sum(net)::DOUBLE AS total{', ' if each else ''}{each} FROM spent "
            "GROUP BY customer_id ORDER BY customer_id",
            kept,
        ).fetchnumpy()
        parts = [np.asarray(table[f"l{i}"], dtype=np.float64) for i in range(1, len(kept) + 1)]
        total = np.asarray(table["total"], dtype=np.float64)
        rest = total - sum(parts, np.zeros_like(total))
        money = np.stack([*parts, np.maximum(rest, 0.0)])
        share = np.divide(money, total, out=np.full_like(money, np.nan), where=total > 0)
        names = np.array([*kept, OTHER], dtype=object)
        columns |= {f"{name}={level}": share[i] for i, level in enumerate(names)}
        columns[f"main_{name}"] = main = names[money.argmax(axis=0)]
        main[total <= 0] = None
        levels[name] = kept
    return columns, levels


def _learned(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The levels most customers bought of, in the order of their texts."""
    found = connection.execute(
        f"SELECT level FROM spent WHERE level IS NOT NULL AND net > 0 AND level <> '{OTHER}' "
        f"GROUP BY level HAVING count(*) >= {SMALLEST} ORDER BY count(*) DESC, level "
        f"LIMIT {MOST_LEVELS}"
    ).fetchall()
    return sorted(level for (level,) in found)


def unmet_levels(
    connection: duckdb.DuckDBPyConnection, asked: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """A finding for each column of ``bayesseg_source`` that lacks levels asked for."""
    found = []
    for place, (name, given) in enumerate(asked.items()):
        rows = connection.execute(
            f"SELECT unnest(?) EXCEPT SELECT s{place} FROM bayesseg_source ORDER BY ALL",
            [list(given)],
        ).fetchall()
        if rows:
            found.append(
                finding(
                    "share_level_absent",
                    "warning",
                    len(rows),
                    f"{many(len(rows), 'level')} of {name!r} in no row: "
                    + ", ".join(repr(level) for (level,) in rows),
                    "check how --shares spells the levels",
                )
            )
    return found
