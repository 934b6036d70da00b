"""Handing scores to a destination: whom, what, where."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg._files import lock, write_bytes
from bayesseg.cli import scorefile
from bayesseg.cli.flags import objections
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.errors import RowsRefused, UsageError

if TYPE_CHECKING:
    import pandas as pd

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
        if self.to == "postgres" and self.table is None:
            raise UsageError("--to postgres needs --table", fix="for example --table crm.scores")
        if self.to != "postgres" and self.state is None:
            raise UsageError(
                f"--to {self.to} needs --state: it does not say what it holds",
                fix=f"--state {self.to}.parquet; the first push makes it",
            )


@dataclass(frozen=True, slots=True)
class How:
    """What is asked of a push, as the flags have it."""

    exact: bool
    campaign: str | None
    holdout: float | None
    suppress_list: Path | None
    suppress_key: str | None
    pseudonymise: str | None
    dry_run: bool
    force: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class Leaving:
    """What leaves: scores without those who objected, by the names they leave under."""

    table: pd.DataFrame
    document: Mapping[str, Any]
    released: Mapping[str, str]
    suppressed: Mapping[str, Any] | None


def push(scores: Path, where: Where, how: How, shell: Shell) -> Outcome:
    """Send the scores, and say what became of the rows."""
    ready = _ready(scores, how, shell)
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
    document = {
        "to": where.to,
        "dry_run": how.dry_run,
        **{what.replace(" ", "_"): n for what, n in counts.items()},
        "refused": len(done.refused),
        "suppressed": ready.suppressed,
        "released": dict(ready.released),
    }
    return Outcome(document, _refusals(done, where, shell))


def schema(scores: Path, where: Where, how: How, shell: Shell) -> Outcome:
    """Print what to make at the destination before the first push."""
    from bayesseg.feed import feed
    from bayesseg.feed.targets import kinds, names_of, target_of
    from bayesseg.ingest.database import parts
    from bayesseg.push import postgres
    from bayesseg.push.tables import Place

    ready = _ready(scores, how, shell)
    now = feed(ready.table, ready.document)
    if where.to == "postgres":
        *path, name = parts(where.table or "")
        text = postgres.schema(Place(path[-1] if path else "public", name), now)
    else:
        target = target_of(where.to)
        text = target.schema(kinds(now, names_of(now, target, _names(where))))
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
) -> Outcome:
    """Forget people at the destination and in files."""
    from bayesseg.cli.steps import erasing
    from bayesseg.push import postgres

    if where.to != "postgres":
        raise UsageError(
            f"push does not erase people in {where.to}",
            fix="erase them there by its own means, and in files by bayesseg erase",
        )
    if tombstones is None or key is None:
        raise UsageError("--erase needs --tombstones and --key", fix="give both")
    address, table = _address(where.dsn), where.table or ""
    return erasing.forget(
        ids,
        files,
        tombstones,
        key,
        customer_id,
        shell,
        lambda wanted, bury: postgres.erase(wanted, address, table, bury, shell.say),
    )


def _ready(scores: Path, how: How, shell: Shell) -> Leaving:
    from bayesseg.cli.steps import leaving, people
    from bayesseg.decide.holdout import held

    if (how.campaign is None) is not (how.holdout is None):
        raise UsageError("--campaign and --holdout go together", fix="give both, or neither")
    table, document = scorefile.read_scores(scores), scorefile.read_document(scores)
    found = leaving.accept(
        document, tuple(document["verdicts"]), shell, force=how.force, reason=how.reason
    )
    if how.holdout is not None:
        table = table.assign(holdout=held(table["customer_id"], how.campaign or "", how.holdout))
    table, left = people.permitted(
        table, document, how.suppress_list, how.pseudonymise, shell, how.suppress_key
    )
    return Leaving(table, document, dict.fromkeys(found.parts, found.reason), left)


def _address(dsn: str) -> str:
    """The address of a server, from the environment only: others can read the words of a command."""
    kind, _, name = dsn.partition(":")
    if kind != "env":
        raise UsageError(
            "--dsn names the variable that holds the address, it does not hold it",
            fix="--dsn env:NAME",
        )
    if not os.environ.get(name):
        raise UsageError(
            f"the environment has no variable {name!r}",
            fix=f"export {name}=postgresql://USER@HOST/DATABASE, the password in PGPASSWORD or a "
            "password file",
        )
    return os.environ[name]


def _postgres(ready: Leaving, where: Where, how: How, shell: Shell) -> Pushed:
    from bayesseg.push import postgres

    order = postgres.Order(
        scores=ready.table,
        document=ready.document,
        objections=_objections(how),
        exact=how.exact,
        force=how.force,
        reason=how.reason,
        released=ready.released,
        dry_run=how.dry_run,
    )
    return postgres.push(order, _address(where.dsn), where.table or "", shell.say)


def _salesforce(ready: Leaving, where: Where, how: How, shell: Shell) -> Pushed:
    from bayesseg.push import salesforce

    assert where.state is not None
    if where.address is None:
        raise UsageError("--to salesforce needs --address", fix="https://NAME.my.salesforce.com")
    settings = salesforce.Settings(where.address, where.state.with_suffix(".jobs.json"))

    def send(records: Any) -> Pushed:
        return salesforce.push(records, settings, salesforce.login(), shell.say)

    return _told(ready, where, how, shell, send)


def _hubspot(ready: Leaving, where: Where, how: How, shell: Shell) -> Pushed:
    from bayesseg.push import hubspot

    settings = hubspot.Settings(where.address) if where.address else hubspot.Settings()

    def send(records: Any) -> Pushed:
        return hubspot.push(records, settings, hubspot.login(), shell.say)

    return _told(ready, where, how, shell, send)


_SENT: Mapping[str, Callable[[Leaving, Where, How, Shell], Pushed]] = {
    "postgres": _postgres,
    "salesforce": _salesforce,
    "hubspot": _hubspot,
}


def _told(
    ready: Leaving, where: Where, how: How, shell: Shell, send: Callable[[Any], Pushed]
) -> Pushed:
    """Tell a CRM what is news since the last push, and remember what it now holds.

    Who has left the scores stays there as last told; of who objected the columns are emptied. A row that
    was refused is told again next time.
    """
    import pandas as pd

    from bayesseg.cli.steps import people
    from bayesseg.cli.steps.exporting import earlier
    from bayesseg.feed import accept_radius, delta, feed, radius
    from bayesseg.feed.targets import records, target_of
    from bayesseg.push.ledger import refuse_older_than
    from bayesseg.push.pushed import Pushed

    assert where.state is not None
    with lock(where.state):
        before = earlier(where.state) if where.state.exists() else None
        now = feed(ready.table, ready.document, before, exact=how.exact)
        if not (how.force and how.reason) and before is not None:
            refuse_older_than(ready.document, before["scored_at"].max())
        accept_radius(radius(now, before), force=how.force, reason=how.reason)
        found = delta(now, before)
        news = pd.concat([found.entered, found.changed], ignore_index=True)
        off = people.suppressed(found.left, _objections(how))
        emptied = found.left["customer_id"][off["rows"]] if off else found.left["customer_id"][:0]
        if stay := len(found.left) - len(emptied):
            shell.say(f"{stay:,} customers are no longer in the scores and stay as last told")
        planned = Pushed(len(found.entered), len(found.changed), removed=len(emptied))
        if how.dry_run or not planned.written:
            return planned + Pushed(unchanged=found.unchanged)
        told = news.reindex(range(len(news) + len(emptied))).assign(
            customer_id=pd.concat([news["customer_id"], emptied], ignore_index=True),
            scored_at=lambda table: table["scored_at"].fillna(now["scored_at"].max()),
        )
        done = send(records(told, target_of(where.to), _names(where)))
        refused = {one for one, _ in done.refused}
        held = [now[~now["customer_id"].isin(refused)]]
        if before is not None:
            kept = before[before["customer_id"].isin(refused)]
            held.append(
                kept.astype({"scored_at": now["scored_at"].dtype})
            )  # else they mix to objects
        table = pd.concat(held, ignore_index=True)
        write_bytes(where.state, scorefile.encoded(table, "parquet"))
        gone = len(set(emptied) - refused)  # to the CRM they are updates
        return done + Pushed(updated=-gone, removed=gone, unchanged=found.unchanged)


def _objections(how: How) -> Objections | None:
    return objections(how.suppress_list, how.suppress_key or how.pseudonymise)


def _names(where: Where) -> Mapping[str, str] | None:
    from bayesseg.feed import mapping

    return None if where.map is None else mapping.read(where.map)


def _refusals(done: Pushed, where: Where, shell: Shell) -> RowsRefused | None:
    """The rows refused, in a file beside the state, and the error that says so."""
    import pandas as pd

    if not done.refused or where.state is None:
        return None
    path = where.state.with_suffix(".rejects.csv")
    table = pd.DataFrame(done.refused, columns=["customer_id", "reason"])
    write_bytes(path, scorefile.encoded(table, "csv"))
    shell.say(f"wrote {path}")
    return RowsRefused(
        f"{where.to} refuses {len(done.refused):,} rows; the others are there",
        fix=f"see {path}, correct what it says and push again",
        details={"rejects": str(path)},
    )
