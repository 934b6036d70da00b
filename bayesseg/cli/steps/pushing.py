"""Handing scores to a destination: whom, what, where."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bayesseg._files import remove, write_bytes
from bayesseg.cli import scorefile
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import exporting, leaving, telling
from bayesseg.cli.steps.leaving import How as How
from bayesseg.cli.steps.leaving import Leaving as Leaving
from bayesseg.errors import RowsRefused, UsageError

if TYPE_CHECKING:
    from bayesseg.ingest import Objections
    from bayesseg.push.pushed import Pushed

NAMES = ("postgres", "salesforce", "hubspot")


@dataclass(frozen=True, slots=True)
class Where:
    """Where to: one of ``NAMES`` and what it needs, as the flags have it."""

    to: str
    dsn: str
    table: str | None
    address: str | None
    state: Path | None
    map: Path | None

    def __post_init__(self) -> None:
        if self.to not in NAMES:
            raise UsageError(f"--to {self.to!r} is unknown", fix=f"one of {', '.join(NAMES)}")
        others = (
            {"--address": self.address, "--state": self.state, "--map": self.map}
            if self.to == "postgres"
            else {"--table": self.table}
        )
        if wrong := [flag for flag, value in others.items() if value is not None]:
            raise UsageError(
                f"{', '.join(wrong)} says nothing to --to {self.to}", fix="leave it out"
            )
        if self.to == "postgres" and self.table is None:
            raise UsageError("--to postgres needs --table", fix="for example --table crm.scores")
        if self.to != "postgres" and self.state is None:
            raise UsageError(
                f"--to {self.to} needs --state: it does not say what it holds",
                fix=f"--state {self.to}.parquet; the first push makes it",
            )


def push(scores: Path, where: Where, how: How, shell: Shell) -> Outcome:
    """Send the scores, and say what became of the rows."""
    ready = leaving.ready(scores, how, _asked(where), shell)
    done = _SENT[where.to](ready, where, how, shell)
    counts = {
        "inserted": done.inserted,
        "updated": done.updated,
        "unchanged": done.unchanged,
        "marked inactive": done.gone,
        "removed": done.removed,
    }
    head = f"{where.table or where.to}{' (dry run)' if how.dry_run else ''}"
    shell.show(f"{head}: {', '.join(f'{n:,} {what}' for what, n in counts.items())}")
    if not done.written and not done.refused:
        shell.say("nothing to do: what stands there says the same")
    for _, words in done.overruled:
        shell.warn(f"overruled ({how.reason}): {words}")
    document = {
        "to": where.to,
        "dry_run": how.dry_run,
        **{what.replace(" ", "_"): n for what, n in counts.items()},
        "refused": len(done.refused),
        "suppressed": ready.suppressed,
        "released": dict(ready.released),
        "overruled": dict(done.overruled),
    }
    return Outcome(document, _refusals(done, where, how, shell))


def schema(scores: Path, where: Where, how: How, shell: Shell) -> Outcome:
    """Print what to make at the destination before the first push."""
    from bayesseg.feed import feed
    from bayesseg.feed.targets import kinds
    from bayesseg.ingest.database import parts
    from bayesseg.push import postgres
    from bayesseg.push.tables import Place

    ready = leaving.ready(scores, how, _asked(where), shell)
    if where.to == "postgres":
        *path, name = parts(where.table or "")
        if not path:
            raise UsageError(
                f"no server is asked which schema {name!r} is in", fix="--table schema.name"
            )
        text = postgres.schema(Place(path[-1], name), feed(ready.table, ready.document))
    else:
        found = exporting.news(
            ready.table, ready.document, where.to, where.map, None, exact=how.exact
        )
        text = found.target.schema(kinds(found.feed, found.names))
    shell.show(text.rstrip())
    return Outcome({"to": where.to, "schema": text})


def erase(
    ids: Path,
    files: Iterable[Path],
    where: Where,
    tombstones: Path | None,
    key: str | None,
    customer_id: str | None,
    shell: Shell,
    *,
    dry_run: bool = False,
) -> Outcome:
    """Forget people at the destination and in files."""
    from bayesseg.cli.steps import erasing
    from bayesseg.push import postgres

    if tombstones is None or key is None:
        raise UsageError("--erase needs --tombstones and --key", fix="give both")
    address, table = _address(where.dsn), where.table or ""

    def there(wanted: Objections, bury: erasing.Bury) -> tuple[int, frozenset[int]]:
        done = postgres.erase(wanted, address, table, bury, shell.say, dry_run=dry_run)
        if done.others:
            shell.warn(
                f"nobody was looked for in {', '.join(done.others)}: push --erase for each of them"
            )
        return done.rows, done.met

    return erasing.forget(ids, files, tombstones, key, customer_id, shell, there, dry_run=dry_run)


def _asked(where: Where) -> tuple[str, ...]:
    """The columns that the map names; none where all go."""
    from bayesseg.feed import mapping

    return () if where.map is None else (*mapping.read(where.map),)


def _address(dsn: str) -> str:
    """The address of a server, from the environment only: others can read the words of a command."""
    kind, _, name = dsn.partition(":")
    if kind != "env" or not name:
        raise UsageError(
            "--dsn names the variable that holds the address, it does not hold it",
            fix="--dsn env:NAME",
        )
    if not os.environ.get(name):
        raise UsageError(
            f"the environment has no variable {name!r}",
            fix=f"export {name}='host=HOST dbname=DATABASE user=USER', the password in PGPASSWORD or "
            "a password file",
        )
    return os.environ[name]


def _postgres(ready: Leaving, where: Where, how: How, shell: Shell) -> Pushed:
    from bayesseg.push import postgres

    order = postgres.Order(
        scores=ready.table,
        document=ready.document,
        objections=leaving.listed(how, shell),
        objectors=ready.objectors,
        exact=how.exact,
        force=how.force,
        reason=how.reason,
        released=ready.released,
        dry_run=how.dry_run,
    )
    return postgres.push(order, _address(where.dsn), where.table or "", shell.say)


def _crm(ready: Leaving, where: Where, how: How, shell: Shell) -> Pushed:
    return telling.tell(ready, leaving.listed(how, shell), where, how, shell)


_SENT: Mapping[str, Callable[[Leaving, Where, How, Shell], Pushed]] = {
    "postgres": _postgres,
    "salesforce": _crm,
    "hubspot": _crm,
}


def _refusals(done: Pushed, where: Where, how: How, shell: Shell) -> RowsRefused | None:
    """The rows refused, in a file beside the state, and the error that says so."""
    import pandas as pd

    if where.state is None or how.dry_run:
        return None
    path = where.state.with_suffix(".rejects.csv")
    if not done.refused:
        if path.exists():  # it names people
            remove(path)
        return None
    table = pd.DataFrame(done.refused, columns=["customer_id", "reason"])
    write_bytes(path, scorefile.encoded(table, "csv"))
    shell.say(f"wrote {path}")
    return RowsRefused(
        f"{where.to} refuses {len(done.refused):,} rows; the others are there",
        fix=f"see {path}, correct what it says and push again",
        details={"rejects": str(path)},
    )
