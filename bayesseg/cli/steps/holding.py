"""What a destination of files holds after an export, as the next one finds it."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg._files import sha256_of
from bayesseg.errors import ArtefactBad, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from bayesseg.cli.shell import Shell
    from bayesseg.cli.steps.leaving import Leaving
    from bayesseg.feed.targets import Target
    from bayesseg.ingest import Objections
    from bayesseg.push.state import State, Whose

FEED, MANIFEST = "feed.parquet", "manifest.json"
"""What the destination then holds, and what the files of an export are."""


def whose(to: str, key: str, names: str | None) -> Whose:
    """A destination of files: its kind, what the id is called, whose pseudonyms stand for ids."""
    from bayesseg.push.state import Whose

    return Whose(to, "files", "ids" if names is None else f"pseudonyms of key {names}", key)


def file_of(path: Path) -> Path:
    """The ``feed.parquet`` of the folder of an earlier export, or itself."""
    return path / FEED if path.is_dir() else path


def earlier(path: Path, place: Whose) -> State:
    """What ``place`` held after an earlier export: its folder, or the ``feed.parquet`` of it.

    Raises:
        UsageError: there is none, or it went to another place.
        ArtefactBad: it is not what its manifest says, or no feed.
    """
    from bayesseg.push.state import read

    file, again = file_of(path), "export everything again, without --changed-since"
    manifest = file.with_name(MANIFEST)
    try:
        if manifest.exists():
            listed = json.loads(manifest.read_bytes())["files"]
            if {one["name"]: one["sha256"] for one in listed}[file.name] != sha256_of(file):
                raise ArtefactBad(f"{file} has changed since {manifest} was written", fix=again)
        found = read(file, place)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ArtefactBad(f"{file} is no feed of an export ({error})", fix=again) from error
    except ArtefactBad as error:
        if error.fix == again:
            raise
        raise ArtefactBad(f"{file} is no feed of an export, or is damaged", fix=again) from error
    if found is None:
        raise UsageError(
            f"{file} does not exist", fix=f"give the folder of an earlier export, or its {FEED}"
        )
    return found


def known(held: State, target: Target, given: Mapping[str, str] | None) -> pd.DataFrame:
    """The rows that stand there, without the columns that are new there or get another name."""
    names = given or {name: target.name(name) for name in map(str, held.table)}
    new = [
        name
        for name, there in names.items()
        if name != "customer_id" and held.names.get(there) != name
    ]
    active = held.table[held.table["active"]].drop(columns=["active", "unknown"])
    return active.drop(columns=new, errors="ignore").reset_index(drop=True)


def require_newer(
    held: State, document: Mapping[str, Any], shell: Shell, *, force: bool, reason: str | None
) -> None:
    """Refuse (exit 4) scores older than those that were told, unless forced with a reason."""
    from bayesseg.push.ledger import Run, overruled, refuse_older

    said = (reason or "").strip() if force else ""
    for words in overruled(said, lambda: refuse_older(Run.of(document), held.run)).values():
        shell.warn(f"overruled ({said}): {words}")


def say_holdout(held: State | None, names: Container[str], shell: Shell) -> None:
    """Say that who is held out stays as it was told, where nothing is told of it now."""
    if held is not None and "holdout" in held.names.values() and "holdout" not in names:
        shell.warn(
            "who is held out stays as last told: give --campaign and --holdout to tell it again"
        )


def emptied(held: State, now: pd.DataFrame, ready: Leaving, listed: Objections | None) -> list[str]:
    """Who was ever told of, and has objected since."""
    from bayesseg.cli.steps import people

    ids = held.table["customer_id"]
    off = ids.isin(ready.objectors)
    if found := people.suppressed(held.table, listed):
        off |= found["rows"]
    return ids[off & ~ids.isin(now["customer_id"])].tolist()


def after(
    held: State | None,
    place: Whose,
    now: pd.DataFrame,
    names: Mapping[str, str],
    gone: list[str],
    document: Mapping[str, Any],
) -> State:
    """What ``place`` holds once it was told ``now`` and that of ``gone`` there is nothing to say."""
    from bayesseg.push.state import State, after, scoring

    stay = {} if held is None else held.names
    stay = {there: name for there, name in stay.items() if name not in names}
    return State(
        place,
        {**stay, **{there: name for name, there in names.items()}},
        scoring(document),
        held.reasons if held else (),
        after(now, None if held is None else held.table, (), gone),
    )
