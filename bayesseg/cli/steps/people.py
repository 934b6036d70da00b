"""Whom a table names, by what name, and whom it leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bayesseg.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from bayesseg.ingest import Key, Objections
    from bayesseg.scoring import Scores


def pseudonymous(scores: Scores, key: Key | None) -> Scores:
    """The same with pseudonyms in place of ids, and in their order, where there is a key.

    Applied to what was computed, so that no number depends on it.
    """
    from bayesseg.ingest.pseudonyms import METHOD

    if key is None:
        return scores
    table = renamed(scores.table, key).sort_values("customer_id", kind="stable", ignore_index=True)
    entry = {"method": METHOD, "key_check": key.check, "note": "they remain personal data"}
    return replace(scores, table=table, document={**scores.document, "pseudonyms": entry})


def renamed(table: pd.DataFrame, key: Key) -> pd.DataFrame:
    """``table`` with pseudonyms in place of ``customer_id``."""
    from bayesseg.ingest import pseudonyms

    return table.assign(customer_id=pseudonyms(table["customer_id"], key))


def accept_key(document: Mapping[str, Any], key: Key | None, *, asked: bool) -> bool:
    """Whether a score file holds pseudonyms already.

    Raises:
        UsageError: it does, and ids are ``asked`` for without a key or with another one.
    """
    known = document.get("pseudonyms")
    if known is None:
        return False
    if (asked and key is None) or (key is not None and key.check != known["key_check"]):
        raise UsageError(
            f"the scores hold pseudonyms, and the key is {'missing' if key is None else 'another'}",
            fix="give the key they were made with by --pseudonymise",
        )
    return True


def suppressed(table: pd.DataFrame, objections: Objections | None) -> dict[str, Any] | None:
    """Who of ``table`` is on the list: ``rows`` (a mask), and counts that name nobody."""
    from bayesseg.ingest.objections import refused

    if objections is None:
        return None
    rows, met = refused(table["customer_id"].to_numpy(dtype=object), objections)
    return {
        "rows": rows,
        "count": int(rows.sum()),
        "entries": len(objections),
        "unknown": len(objections) - len(met),
    }
