"""From scores to the files of a destination."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg._files import sha256_of, write_directory
from bayesseg.cli import scorefile, text
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.errors import ArtefactBad, RowsRefused, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from bayesseg.feed import Delta
    from bayesseg.feed.targets import Target

FEED, MANIFEST, REJECTS = "feed.parquet", "manifest.json", "rejects.csv"
"""What the destination holds after these files, for the next ``--changed-since``; what the files are;
and whom the destination cannot hold."""
_SLICE = 50_000
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class News:
    """A feed as a destination takes it, and what is news of it since what was told ``before``.

    ``names`` has each column's name there, ``refused`` the rows that the destination cannot hold.
    """

    target: Target
    feed: pd.DataFrame
    before: pd.DataFrame | None
    delta: Delta
    names: Mapping[str, str]
    refused: pd.DataFrame

    @property
    def told(self) -> dict[str, pd.DataFrame]:
        """The rows to send, by what is to be done with them."""
        if self.before is None:
            return {"customers": self.feed}
        return {"changed": self.delta.changed, "entered": self.delta.entered}

    def counts(self) -> dict[str, int]:
        """Customers by what became of them."""
        found = self.delta
        return {
            "customers": len(self.feed),
            "changed": len(found.changed),
            "entered": len(found.entered),
            "left": len(found.left),
            "unchanged": found.unchanged,
            "moved": int(found.moved["customers"].sum()),
            "refused": len(self.refused),
        }


@dataclass(frozen=True, slots=True)
class File:
    """What is in a file, and how many rows of a table that is."""

    content: bytes
    rows: int


def news(
    table: pd.DataFrame,
    document: Mapping[str, Any],
    to: str,
    given: Path | None,
    before: pd.DataFrame | None,
    *,
    exact: bool,
) -> News:
    """What ``to`` is told of the scores by the map ``given``, where it was told ``before``."""
    from bayesseg.feed import COLUMNS, delta, feed, mapping
    from bayesseg.feed.targets import names_of, target_of, unfit

    target = target_of(to)
    names = None if given is None else mapping.read(given)
    also = [name for name in names or () if name not in COLUMNS]
    now = feed(table, document, before, exact=exact, also=also)
    wrong = unfit(now["customer_id"], target)
    fit = now[~wrong].reset_index(drop=True)
    there = names_of(fit, target, names)
    return News(target, fit, before, delta(fit, before, there), there, now[wrong])


def earlier(path: Path) -> pd.DataFrame:
    """The feed that an earlier export left: its folder, or the ``feed.parquet`` of it.

    Raises:
        UsageError: there is none.
        ArtefactBad: it is not what its manifest says, or no feed.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = path / FEED if path.is_dir() else path
    if not file.exists():
        raise UsageError(
            f"{file} does not exist", fix=f"give the folder of an earlier export, or its {FEED}"
        )
    again = "export everything again, without --changed-since"
    manifest = file.with_name(MANIFEST)
    try:
        if manifest.exists():
            known = {
                one["name"]: one["sha256"] for one in json.loads(manifest.read_bytes())["files"]
            }
            if known[file.name] != sha256_of(file):
                raise ArtefactBad(f"{file} has changed since {manifest} was written", fix=again)
        found: pd.DataFrame = (
            pq.ParquetFile(file, page_checksum_verification=True).read().to_pandas()
        )
    except (OSError, ValueError, LookupError, pa.ArrowException) as error:
        raise ArtefactBad(f"{file} cannot be read as a feed ({error})", fix=again) from error
    return found


def schema(found: News, manifest: Mapping[str, Any], shell: Shell) -> Outcome:
    """Print what to create at the destination."""
    from bayesseg.feed.targets import kinds

    said = found.target.schema(kinds(found.feed, found.names))
    shell.show(said.removesuffix("\n"))
    return Outcome({**manifest, "columns": found.names, "schema": said})


def write(
    found: News,
    out: Path | None,
    manifest: Mapping[str, Any],
    shell: Shell,
    *,
    force: bool,
    reason: str | None,
) -> Outcome:
    """Write what is to be told, all files or none; show it where there is no ``out``.

    Raises:
        GateFailed: too much would change at once (see ``feed.accept_radius``).
    """
    from bayesseg.feed import accept_radius, radius
    from bayesseg.feed.schemas import DIALECTS, statements
    from bayesseg.feed.targets import kinds, mapped

    counts = found.counts()
    manifest = {**manifest, "columns": found.names, "counts": counts}
    shell.say(", ".join(f"{count:,} {what}" for what, count in counts.items()))
    for row in found.delta.moved.to_dict("records"):
        shell.say(f"{row['customers']:,} moved from {row['segment_from']} to {row['segment_to']}")
    if found.before is not None:
        extent = radius(found.feed, found.before)
        manifest["radius"] = {
            **asdict(extent),
            "reason": accept_radius(extent, force=force, reason=reason),
        }
    if out is None:
        rows = next((rows for rows in found.told.values() if len(rows)), found.feed.head(0))
        shown = mapped(rows.head(_SHOWN), found.target, found.names)
        cells = shown.astype("str").where(shown.notna(), "")
        shell.show(text.table([*shown], cells.to_numpy().tolist()))
        return Outcome(manifest)
    target, key = found.target, [found.names["customer_id"]]
    files = {
        name: file for what, rows in found.told.items() for name, file in native(what, rows, found)
    }
    if found.before is not None:
        kind, moved = "parquet" if target.kind == "parquet" else "csv", found.delta.moved
        gone = found.delta.left[["customer_id"]].set_axis(key, axis=1)
        files[f"left.{kind}"] = File(
            scorefile.encoded(gone, kind, raw=not target.people), len(gone)
        )
        files["moved.csv"] = File(scorefile.encoded(moved, "csv"), len(moved))
    if len(found.refused):
        ids = found.refused[["customer_id"]].assign(reason="the destination cannot hold this id")
        files[REJECTS] = File(scorefile.encoded(ids, "csv"), len(ids))
    if target.kind == "parquet":
        held = kinds(found.feed, found.names)
        for dialect in DIALECTS:
            files[f"{dialect}.sql"] = File(statements(held, dialect).encode(), 0)
    files[FEED] = File(scorefile.encoded(found.feed, "parquet"), len(found.feed))
    return _written(files, out, manifest, shell, force=force)


def tables(
    table: pd.DataFrame,
    document: Mapping[str, Any],
    out: Path | None,
    manifest: Mapping[str, Any],
    shell: Shell,
    *,
    force: bool,
) -> Outcome:
    """Write the tables of business intelligence, and what their keys are."""
    from bayesseg.feed.star import README, star

    made = star(table, document)
    shell.say(", ".join(f"{name}: {len(one):,} rows" for name, one in made.items()))
    if out is None:
        return Outcome(manifest)
    files = {
        f"{name}.parquet": File(scorefile.encoded(one, "parquet"), len(one))
        for name, one in made.items()
    }
    files["README.md"] = File(README.encode(), 0)
    return _written(files, out, manifest, shell, force=force)


def _written(
    files: Mapping[str, File],
    out: Path,
    manifest: Mapping[str, Any],
    shell: Shell,
    *,
    force: bool,
) -> Outcome:
    """Write the folder in one step, its manifest in it; an error where rows were refused."""
    listed = [
        {
            "name": name,
            "rows": file.rows,
            "bytes": len(file.content),
            "sha256": hashlib.sha256(file.content).hexdigest(),
        }
        for name, file in files.items()
    ]
    document = {"schema_version": 1, **manifest, "files": listed}
    said = json.dumps(document, indent=1, allow_nan=False, default=str) + "\n"
    content = {name: file.content for name, file in files.items()}
    write_directory(out, {**content, MANIFEST: said.encode()}, force=force)
    shell.say(f"wrote {out} ({', '.join([*files, MANIFEST])})")
    if REJECTS not in files:
        return Outcome({"written": str(out), **document})
    refused = files[REJECTS].rows
    error = RowsRefused(
        f"ids that cannot be held there were left out: {refused:,} of {files[FEED].rows + refused:,}",
        fix=f"see {out / REJECTS}; everybody else is written",
    )
    return Outcome({"written": str(out), **document}, error)


def native(what: str, rows: pd.DataFrame, found: News) -> Iterator[tuple[str, File]]:
    """Rows as files of the destination: CSV in numbered pieces, else one file."""
    from bayesseg.feed.targets import mapped, requests

    target = found.target
    table = mapped(rows, target, found.names)
    if target.kind == "csv":
        for number, piece in enumerate(_cut(table, target), start=1):
            yield f"{what}-{number:03}.csv", piece
    elif target.kind == "parquet":
        yield f"{what}.parquet", File(scorefile.encoded(table, "parquet"), len(table))
    else:
        lines = requests(rows, target, found.names)
        yield f"{what}.ndjson", File(b"".join(line + b"\n" for line in lines), len(rows))


def _cut(table: pd.DataFrame, target: Target) -> Iterator[File]:
    """CSV in files of at most ``target.size`` bytes, each with its header."""
    raw = not target.people
    header = scorefile.encoded(table.head(0), "csv", raw=raw)
    lines, size = [header], len(header)
    for start in range(0, len(table), _SLICE):
        some = _cells(table.iloc[start : start + _SLICE], target)
        for line in scorefile.encoded(some, "csv", raw=raw, header=False).splitlines(keepends=True):
            if len(lines) > 1 and target.size is not None and size + len(line) > target.size:
                yield File(b"".join(lines), len(lines) - 1)
                lines, size = [header], len(header)
            lines.append(line)
            size += len(line)
    yield File(b"".join(lines), len(lines) - 1)


def _cells(table: pd.DataFrame, target: Target) -> pd.DataFrame:
    """Cells as machines read them: true and false in small letters, the word there for nothing."""
    plain = {
        str(name): column.map({True: "true", False: "false"})
        if column.dtype == "boolean"
        else column
        for name, column in table.items()
    }
    if target.null:
        plain = {n: c.astype("object").where(c.notna(), target.null) for n, c in plain.items()}
    return table.assign(**plain)
