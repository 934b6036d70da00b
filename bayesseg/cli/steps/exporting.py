"""From scores to the files of a destination."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg._files import refuse_existing, refuse_others, write_directory
from bayesseg.cli import scorefile, text
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps.holding import FEED, MANIFEST, file_of
from bayesseg.errors import RowsRefused, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from bayesseg.feed import Delta
    from bayesseg.feed.targets import Target
    from bayesseg.push.state import State

REJECTS = "rejects.csv"
"""Whom the destination cannot hold."""
UNFIT = "the destination cannot hold this id"
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
    def rows(self) -> pd.DataFrame:
        """The rows to send."""
        import pandas as pd

        return pd.concat([self.delta.entered, self.delta.changed], ignore_index=True)

    @property
    def told(self) -> dict[str, pd.DataFrame]:
        """The rows to write, by what is to be done with them."""
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
    from bayesseg.feed import COLUMNS, delta, feed, mapping, whole
    from bayesseg.feed.targets import names_of, target_of, unfit

    target = target_of(to)
    names = None if given is None else mapping.read(given)
    columns = COLUMNS if names is None else (*names,)
    now = feed(table, document, before, exact=exact, columns=columns)
    if before is not None:
        own = [name for name in columns if name in COLUMNS and name != "holdout"]
        now = whole(now, (name for name in own if name in before))
    wrong = unfit(now["customer_id"], target)
    fit = now[~wrong].reset_index(drop=True)
    there = names_of(fit, target, names)
    return News(target, fit, before, delta(fit, before, there), there, now[wrong])


def reserve(out: Path, since: Path | None, *, force: bool) -> None:
    """Refuse (exit 2) a folder that is there unless forced, and one that is no mere export in any case.

    So is the folder ``since`` which news are told: what of it is not yet sent would be lost.
    """
    refuse_existing(out, force=force)
    if since is not None and file_of(since).resolve().parent == out.resolve():
        raise UsageError(
            f"the news since {since} would take its place before it is sent",
            fix="give another folder by -o",
        )
    try:
        listed = json.loads((out / MANIFEST).read_bytes())["files"]
        ours = [MANIFEST, *(str(one["name"]) for one in listed)]
    except (OSError, ValueError, LookupError, TypeError):
        ours = []
    refuse_others(out, ours, "an export")


def schema(found: News, manifest: Mapping[str, Any], shell: Shell) -> Outcome:
    """Print what to create at the destination."""
    from bayesseg.feed.targets import kinds

    said = found.target.schema(kinds(found.feed, found.names))
    shell.show(said.removesuffix("\n"))
    return Outcome({**manifest, "columns": found.names, "schema": said})


def write(
    found: News,
    told: State,
    gone: list[str],
    out: Path | None,
    manifest: Mapping[str, Any],
    shell: Shell,
    *,
    force: bool,
    reason: str | None,
) -> Outcome:
    """Write what is to be told, all files or none; show it where there is no ``out``.

    ``told`` is what the destination then holds, ``gone`` who was told of and has objected since.

    Raises:
        GateFailed: too much would change at once (see ``feed.accept_radius``).
    """
    from bayesseg.feed import accept_radius, radius
    from bayesseg.feed.news import silenced
    from bayesseg.feed.schemas import DIALECTS, statements
    from bayesseg.feed.targets import kinds, mapped
    from bayesseg.push.state import encoded

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
        if mute := 0 if found.target.clears else silenced(found.feed, found.before, found.names):
            shell.warn(
                f"of {mute:,} customers something told before is no longer known, and "
                f"{manifest['target']} cannot be told so: it keeps standing there"
            )
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
        left = found.delta.left[["customer_id"]].set_axis(key, axis=1)
        files[f"left.{kind}"] = File(
            scorefile.encoded(left, kind, raw=not target.people), len(left)
        )
        files["moved.csv"] = File(scorefile.encoded(moved, "csv"), len(moved))
    if gone:
        files |= _cleared(gone, found, manifest["target"], shell)
    if len(found.refused):
        ids = found.refused[["customer_id"]].assign(reason=UNFIT)
        files[REJECTS] = File(scorefile.encoded(ids, "csv"), len(ids))
    if target.kind == "parquet":
        held = kinds(found.feed, found.names)
        for dialect in DIALECTS:
            files[f"{dialect}.sql"] = File(statements(held, dialect).encode(), 0)
    files[FEED] = File(encoded(told), len(told.table))
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
    whole = manifest["counts"]["customers"] + refused
    error = RowsRefused(
        f"ids that cannot be held there were left out: {refused:,} of {whole:,}",
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


def _cleared(gone: list[str], found: News, to: str, shell: Shell) -> Mapping[str, File]:
    """Rows of nothing but the id, which empty what stands there; the mere ids where nothing can."""
    target = found.target
    if target.people or target.kind == "parquet":
        return {}  # left says it
    rows = found.feed.head(0).reindex(range(len(gone))).assign(customer_id=gone)
    if target.clears:
        shell.say(
            f"{len(gone):,} who objected are emptied there by cleared: send it as updates only"
        )
        return dict(native("cleared", rows, found))
    shell.warn(
        f"{len(gone):,} objected, and {to} cannot be emptied: erase those in cleared.csv there"
    )
    ids = rows[["customer_id"]].set_axis([found.names["customer_id"]], axis=1)
    return {"cleared.csv": File(scorefile.encoded(ids, "csv", raw=True), len(ids))}


def _cut(table: pd.DataFrame, target: Target) -> Iterator[File]:
    """CSV in files of at most ``target.size`` bytes, each with its header; cut between rows."""
    raw = not target.people
    header = scorefile.encoded(table.head(0), "csv", raw=raw)
    parts, size, rows = [header], len(header), 0
    waiting = [table.iloc[k : k + _SLICE] for k in range(0, len(table), _SLICE)][::-1]
    while waiting:
        some = waiting.pop()
        content = scorefile.encoded(_cells(some, target), "csv", raw=raw, header=False)
        full = target.size is not None and size + len(content) > target.size
        if full and len(some) > 1:
            waiting += [some.iloc[len(some) // 2 :], some.iloc[: len(some) // 2]]
            continue
        if full and rows:
            yield File(b"".join(parts), rows)
            parts, size, rows = [header], len(header), 0
        parts.append(content)
        size, rows = size + len(content), rows + len(some)
    yield File(b"".join(parts), rows)


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
