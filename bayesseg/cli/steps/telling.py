"""Telling a CRM what is news, and remembering what it was told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from bayesseg._files import lock
from bayesseg.cli.shell import Shell
from bayesseg.cli.steps import exporting, holding
from bayesseg.errors import UsageError

if TYPE_CHECKING:
    from bayesseg.cli.steps.leaving import How, Leaving
    from bayesseg.cli.steps.pushing import Where
    from bayesseg.ingest import Objections
    from bayesseg.push.pushed import Pushed


def _crm(where: Where, state: Path) -> tuple[ModuleType, Any]:
    """What sends records there, and its settings."""
    if where.to == "hubspot":
        from bayesseg.push import hubspot

        return hubspot, hubspot.Settings(where.address) if where.address else hubspot.Settings()
    from bayesseg.push import salesforce

    if where.address is None:
        raise UsageError("--to salesforce needs --address", fix="https://NAME.my.salesforce.com")
    return salesforce, salesforce.Settings(where.address, state.with_suffix(".jobs.json"))


def tell(ready: Leaving, listed: Objections | None, where: Where, how: How, shell: Shell) -> Pushed:
    """Tell a CRM what is news since the last push, and remember what it now holds.

    Who has left the scores stays there as last told; of who objected, now or long after leaving, every
    field ever told is emptied. That rows are on their way is written down before they are sent: after a
    push that broke off they are told again.

    Raises:
        GateFailed: the scores are older than those told last, or too much would change at once.
        UsageError: the state is of another destination.
        ArtefactBad: the state is damaged.
    """
    from bayesseg.feed import accept_radius, mapping, radius
    from bayesseg.feed.targets import records, target_of
    from bayesseg.push.http import root
    from bayesseg.push.ledger import Run, overruled, refuse_older
    from bayesseg.push.pushed import Pushed
    from bayesseg.push.state import State, Whose, after, read, scoring, write

    assert where.state is not None  # Where sees to it
    crm, settings = _crm(where, where.state)
    key = target_of(where.to).key
    if where.map is not None:
        key = mapping.read(where.map).get("customer_id", key)
    whose = Whose(where.to, root(where.to, settings.address), settings.object, key)
    with lock(where.state):
        held = read(where.state, whose)
        table = None if held is None else held.table
        known = None if table is None else table[~table["unknown"]]
        news = exporting.news(
            ready.table, ready.document, where.to, where.map, known, exact=how.exact
        )
        now, fields = news.feed, {name: column for column, name in news.names.items()}
        said = (how.reason or "").strip() if how.force else ""
        forced = overruled(
            said,
            lambda: None if held is None else refuse_older(Run.of(ready.document), held.run),
            lambda: accept_radius(radius(now, None if table is None else table[table["active"]])),
        )
        grown = held is not None and not fields.items() <= held.names.items()
        told = now if grown else news.rows
        new = ~told["customer_id"].isin([] if table is None else table["customer_id"])
        emptied = [] if held is None else holding.emptied(held, now, ready, listed)
        if table is not None:
            off = table["active"] & ~table["customer_id"].isin([*now["customer_id"], *emptied])
            if off.any():
                shell.say(
                    f"{off.sum():,} customers are no longer in the scores and stay as last told"
                )
        holding.say_holdout(held, fields.values(), shell)
        unfit = tuple((one, exporting.UNFIT) for one in news.refused["customer_id"])
        done = Pushed(
            unchanged=len(now) - len(told), refused=unfit, overruled=tuple(forced.items())
        )
        if how.dry_run:
            return done + Pushed(int(new.sum()), int((~new).sum()), removed=len(emptied))
        reasons = {**ready.released, **dict.fromkeys(forced, said)}
        state = State(
            whose,
            {**(held.names if held else {}), **fields},
            scoring(ready.document),
            (*(held.reasons if held else ()), *_dated(reasons, ready.document)),
            after(now, table, {*told["customer_id"], *emptied}, ()),
        )
        secret = crm.login() if len(told) or emptied else None
        write(where.state, state)
        if len(told):
            rows = records(told, news.target, news.names)
            done += crm.push(rows, settings, secret, shell.say)
        if emptied:
            nothing = dict.fromkeys(name for name in state.names if name != key)
            rows = iter([[{key: one, **nothing} for one in emptied]])
            done += crm.clear(rows, settings, secret, shell.say)
        refused = {one for one, _ in done.refused}
        left = after(now, table, refused, {*emptied} - refused)
        write(where.state, replace(state, table=left))
        return done


def _dated(reasons: Mapping[str, str], document: Mapping[str, Any]) -> tuple[dict[str, str], ...]:
    return ({"scored_at": str(document["scored_at"]), **reasons},) if reasons else ()
