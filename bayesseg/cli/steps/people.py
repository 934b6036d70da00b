"""Whom a table names, by what name, and whom it leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg.cli.flags import objections
from bayesseg.cli.shell import Shell
from bayesseg.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from bayesseg.ingest import Key, Objections
    from bayesseg.scoring import Scores


def pseudonymous(scores: Scores, key: Key | None) -> Scores:
    """The same with pseudonyms in place of ids, and in their order, where there is a key.

    Applied to what was computed, so that no number depends on it.
    """
    if key is None:
        return scores
    table = renamed(scores.table, key).sort_values("customer_id", kind="stable", ignore_index=True)
    return replace(scores, table=table, document={**scores.document, **entry(key)})


def entry(key: Key | None) -> dict[str, Any]:
    """What a document says of pseudonyms; nothing where there are none."""
    from bayesseg.ingest.pseudonyms import METHOD

    if key is None:
        return {}
    note = "they remain personal data"
    return {"pseudonyms": {"method": METHOD, "key_check": key.check, "note": note}}


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


@dataclass(frozen=True, slots=True)
class Admitted:
    """The rows of a score table that ``--suppress-list`` does not name.

    ``left`` counts who was left out, None without a list. ``key`` made the pseudonyms in ``table``
    (``named``), or is to make them of its ids; None where these leave as they are.
    """

    table: pd.DataFrame
    left: dict[str, Any] | None
    key: Key | None
    named: bool

    def written(self, table: pd.DataFrame) -> pd.DataFrame:
        """``table`` with the names under which it may leave."""
        return table if self.key is None or self.named else renamed(table, self.key)


def admitted(
    table: pd.DataFrame,
    document: Mapping[str, Any],
    suppress_list: Path | None,
    pseudonymise: str | None,
    shell: Shell,
    suppress_key: str | None = None,
) -> Admitted:
    """Take out whom ``suppress_list`` names, and say how many.

    ``suppress_key`` is the key of the list, if it is not that of the pseudonyms.
    """
    from bayesseg.ingest import read_key

    key = None if pseudonymise is None else read_key(pseudonymise)
    own = key if key or suppress_key is None else read_key(suppress_key, "--suppress-key")
    named = accept_key(document, own, asked=suppress_list is not None)
    option = "--pseudonymise" if suppress_key is None else "--suppress-key"
    left = suppressed(table, objections(suppress_list, suppress_key or pseudonymise, option))
    if left is not None:
        tell = shell.warn if left["unknown"] == left["entries"] else shell.say
        tell(
            f"{left['count']:,} of {len(table):,} customers left out by --suppress-list; "
            f"{left['unknown']:,} of its {left['entries']:,} entries are unknown here"
        )
        table = table[~left.pop("rows")]
    return Admitted(table, left, own if named else key, named)


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
