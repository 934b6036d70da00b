"""What a CRM was told, for it does not say what it holds: one Parquet file a destination. L10.

The file says whose it is, which fields were ever filled, by which scoring, and why a push went through
although a check refused it. Its rows are the last feed, with two columns more: ``active``, whether the
customer was in the last scores, and ``unknown``, whether what stands there is not known because a push
broke off or the row was refused: such a row is told again whatever it says.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bayesseg._files import write_bytes
from bayesseg.errors import ArtefactBad, UsageError
from bayesseg.push.ledger import Run
from bayesseg.scoring.table import unit_of

VERSION = 1
NOTE = b"bayesseg"
_KINDS = {
    "holdout": pa.bool_(),
    "active": pa.bool_(),
    "unknown": pa.bool_(),
    "scored_at": pa.timestamp("ms", tz="UTC"),  # Parquet has no seconds
}
_NEEDED = {"customer_id", "scored_at", "active", "unknown"}


@dataclass(frozen=True, slots=True)
class Whose:
    """A place that can be told something: the kind of CRM, its address, the object and its key."""

    to: str
    address: str
    object: str
    key: str


@dataclass(frozen=True, slots=True)
class State:
    """What one place was told.

    Attributes:
        whose: the place.
        names: every field there that was ever filled, to the column it had.
        scoring: of the document of the last scores, what ``ledger.Run`` is made of.
        reasons: each time a check was overruled: which, why, and of which scoring.
        table: one row a customer ever told; see above.
    """

    whose: Whose
    names: Mapping[str, str]
    scoring: Mapping[str, Any]
    reasons: tuple[Mapping[str, str], ...]
    table: pd.DataFrame

    @property
    def run(self) -> Run:
        """The scoring that was told last."""
        return Run.of(self.scoring)


def scoring(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a state keeps of the document of a score file."""
    own = ("model", "model_id", "as_of", "scored_at")
    taken = {name: document.get(name) for name in own}
    return {**taken, "table": {"sha256": document["table"]["sha256"]}}


def after(
    now: pd.DataFrame, before: pd.DataFrame | None, unknown: Iterable[str], gone: Iterable[str]
) -> pd.DataFrame:
    """The table of a state once ``now`` was told.

    Args:
        now: the feed.
        before: the table of the state until now; what it has and ``now`` lacks is kept.
        unknown: of whom nobody knows what stands there.
        gone: whose fields were emptied.
    """
    unknown = list(unknown)
    table = now.assign(active=True, unknown=now["customer_id"].isin(unknown))
    if before is None:
        return table
    rest = before[~before["customer_id"].isin([*now["customer_id"], *gone])]
    rest = rest.assign(active=False, unknown=rest["unknown"] | rest["customer_id"].isin(unknown))
    kept = before[["customer_id", *(name for name in before if name not in table)]]
    table = table.merge(kept, on="customer_id", how="left")
    return pd.concat([table, rest], ignore_index=True) if len(rest) else table


def encoded(state: State) -> bytes:
    """A state as a file."""
    note = {"schema_version": VERSION, **asdict(state.whose)}
    note |= {"names": dict(state.names), "scoring": dict(state.scoring)}
    note |= {"reasons": [*state.reasons]}
    plain = state.table.assign(scored_at=state.table["scored_at"].dt.tz_convert(None))
    rows = pa.Table.from_pandas(plain, preserve_index=False)
    rows = rows.cast(_schema(rows.column_names, rows.schema.metadata))
    said = {**(rows.schema.metadata or {}), NOTE: json.dumps(note).encode()}
    buffer = io.BytesIO()
    pq.write_table(rows.replace_schema_metadata(said), buffer, write_page_checksum=True)
    return buffer.getvalue()


def write(path: Path, state: State) -> None:
    """Write a state, whole or not at all."""
    write_bytes(path, encoded(state))


def read(path: Path, whose: Whose) -> State | None:
    """The state of a place; None where there is no such file.

    Raises:
        UsageError: it is the state of another place.
        ArtefactBad: it is damaged, or none.
    """
    if not path.exists():
        return None
    try:
        rows = pq.ParquetFile(path, page_checksum_verification=True).read()
        note = json.loads(rows.schema.metadata[NOTE])
        found = State(
            Whose(**{field.name: str(note[field.name]) for field in fields(Whose)}),
            {str(name): str(column) for name, column in note["names"].items()},
            note["scoring"],
            tuple(dict(one) for one in note["reasons"]),
            rows.to_pandas().astype({"scored_at": "datetime64[s, UTC]"}),
        )
        whole = note["schema_version"] == VERSION and found.run is not None
        whole &= set(rows.column_names) >= _NEEDED and rows.schema == _schema(rows.column_names)
        ids = found.table["customer_id"]
        whole &= bool(ids.notna().all() and ids.is_unique)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArtefactBad) as error:
        raise _damaged(path) from error  # errors of Arrow are among these
    if not whole:
        raise _damaged(path)
    if found.whose != whose:
        there, here = (
            f"{one.to} {one.address} ({one.object}.{one.key})" for one in (found.whose, whose)
        )
        raise UsageError(
            f"{path} says what {there} was told, not {here}",
            fix="each destination has a file of its own",
        )
    return found


def _schema(names: Iterable[str], metadata: Any = None) -> pa.Schema:
    """The types of the columns of a state, by their names as everywhere."""
    other = {name: pa.float64() if unit_of(name) else pa.string() for name in names}
    return pa.schema([(name, _KINDS.get(name, kind)) for name, kind in other.items()], metadata)


def _damaged(path: Path) -> ArtefactBad:
    return ArtefactBad(
        f"{path} is no state of a push, or is damaged",
        fix="put back the file as the last push left it; without one (move it away) everybody is told "
        "again, and the fields of those who left the scores and object are not emptied",
    )
