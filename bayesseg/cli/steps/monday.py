"""What has changed since the last scoring, for those who read it on Monday."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg.cli import scorefile
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import people, scored, showing
from bayesseg.cli.text import table
from bayesseg.errors import InputRejected, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from bayesseg.decide.since import Monday
    from bayesseg.feed import Radius
    from bayesseg.ingest import Key
    from bayesseg.posterior import Posterior

_SHOWN = 10
"""Rows printed of each move."""
_COUNTED = ("margin", "annual_discount")
_WORDS = {"fell": "fell a tier", "rose": "rose a tier", "entered": "new", "left": "gone"}


def view(
    now: pd.DataFrame,
    given: scored.Scored,
    since: Path,
    out: str | None,
    shell: Shell,
    *,
    key: Key | None,
    force: bool,
) -> Outcome:
    """Compare the customers ``now`` with the scores at ``since``; print, or write with the sums beside.

    ``key`` makes the pseudonyms to write, where the scores hold ids.
    """
    from bayesseg.decide.since import days_between
    from bayesseg.decide.since import since as compare
    from bayesseg.feed import feed, radius
    from bayesseg.feed.rows import TIERS

    last, document = scorefile.read_scores(since), scorefile.read_document(since)
    checks = [(one.get("pseudonyms") or {}).get("key_check") for one in (given.document, document)]
    if checks[0] != checks[1]:
        raise UsageError(
            "one of the two scorings holds pseudonyms by a key that the other was not made with",
            fix="score both with the same --pseudonymise",
        )
    _refuse_other_money(given.document, document)
    days_between(given.table, last)
    dropped = given.table.loc[~given.table.index.isin(now.index), "customer_id"]
    last = last[~last["customer_id"].isin(dropped)]
    before = feed(last, document)
    shown = feed(now, given.document, before)
    _doubt(radius(shown, before), shell)
    tiers = [
        one.set_index("customer_id")["risk_tier"].reindex(rows["customer_id"])
        for one, rows in ((shown, now), (before, last))
    ]
    again = _again(last, given.posterior, document, shell)
    found = compare(now, last, (tiers[0], tiers[1]), tuple(TIERS), again=again)
    rows = found.rows if key is None else people.renamed(found.rows, key)
    if out is not None:
        ends = ("before", "now")
        money = [f"{name}_{end}" for name in ("clv", "value_at_risk") for end in ends]
        churn = {f"p_churn_{end}": 4 for end in ends}
        written = rows.round(churn | dict.fromkeys([*money, "change", "by_model"], 2))
        showing.write_list(written, found.document, out, shell, force=force)
    say(replace(found, rows=rows), shell, rows=out is None)
    return Outcome(
        {"since": found.document, "customers": showing.records(rows) if shell.as_json else []}
    )


def _refuse_other_money(now: Mapping[str, Any], last: Mapping[str, Any]) -> None:
    """Refuse to compare money that was not counted in the same way."""
    both = [
        {**{n: (one.get("settings") or {}).get(n) for n in _COUNTED}, "money": one.get("money")}
        for one in (now, last)
    ]
    for name, value in both[0].items():
        if value is None:
            raise UsageError(
                "scores on stdin do not say how their money was counted",
                fix="give --document FILE, which score wrote beside them",
            )
        if value != both[1][name]:
            raise UsageError(
                f"the two scorings count money in other ways ({name} {both[1][name]}, now {value})",
                fix="score both with the same --margin, --annual-discount and --cost",
            )


def _doubt(found: Radius, shell: Shell) -> None:
    """Refuse scores of nobody known; warn where more come or go than a destination would take."""
    if found.disappeared == 1.0:
        raise InputRejected(
            "no customer of the last scoring is in these scores: they are of others",
            fix="give --since the last scores of the same shop, with ids written in the same way",
            code="scores_of_others",
        )
    words = {"appeared": "are new", "disappeared": "are gone"}
    for name in (one for one in found.beyond if one in words):
        shell.warn(
            f"{getattr(found, name):.0%} {words[name]}, beside the customers of the last scoring: are "
            "both of the same shop, and whole?"
        )


def _again(
    last: pd.DataFrame, posterior: Posterior | None, document: Mapping[str, Any], shell: Shell
) -> pd.DataFrame | None:
    """The last scoring's histories under the run of today, where it is another one and at hand."""
    from bayesseg import population
    from bayesseg.decide.histories import customers_of
    from bayesseg.scoring import Settings, score

    if posterior is None or posterior.manifest["model_id"] == document["model_id"]:
        return None
    spec = posterior.spec
    needs = population.covariates(*spec.parts.values())
    if needs:
        shell.warn(
            f"the model reads {', '.join(needs)}, which scores do not hold: what a new model moved is "
            "not told apart"
        )
        return None

    def rest(parts: Mapping[str, Any]) -> dict[str, Any]:
        return {name: part for name, part in parts.items() if name != "segments"}

    alone = replace(
        posterior,
        spec=replace(spec, parts=rest(spec.parts)),
        parts=rest(posterior.parts),
        features=None,
    )
    known = {one.name for one in fields(Settings)}
    settings = {name: value for name, value in document["settings"].items() if name in known}
    # histories stay as they were; the day only shows that the run may be younger than they are
    then = customers_of(last)
    then = replace(then, as_of=max(then.as_of, date.fromisoformat(posterior.manifest["as_of"])))
    return score(alone, then, Settings(**settings | {"predictive": False})).table


def say(found: Monday, shell: Shell, *, rows: bool) -> None:
    """Print the sums and, where ``rows``, the first of each move."""
    from bayesseg.report.words import load_words

    words, document = load_words("en"), found.document
    shell.say(
        f"{document['days']} days since the last scoring; tiers as export --changed-since has them"
    )
    if document["model_changed"]:
        told = (
            "what it moved is told apart"
            if document["told_apart"]
            else ("give --model RUN, the new run, to tell apart what it moved")
        )
        shell.warn(f"the model is another one than last time: {told}")
    lines = []
    for move, what in _WORDS.items():
        sums = document["moves"][move]
        change = sums["clv_now"] - sums["clv_before"]
        causes = ", ".join(f"{cause} {one['customers']:,}" for cause, one in sums["causes"].items())
        lines.append(
            (
                what,
                words.count(sums["customers"]),
                words.money(sums["clv_before"]),
                words.money(sums["clv_now"]),
                ("+" if change > 0 else "") + words.money(change),
                words.money(sums["value_at_risk_now"]),
                causes or "–",
            )
        )
    heads = ("since then", "customers", "value before", "now", "change", "at risk now", "why")
    shell.show(table(heads, lines))
    if document["told_apart"] and document["model_changed"]:
        made = sum(one["by_model"] or 0.0 for one in document["moves"].values())
        shell.show(f"Of the change of value {words.money(made)} is the new model's doing.")
    for move, what in _WORDS.items() if rows else ():
        own = found.rows[found.rows["move"] == move].head(_SHOWN)
        if len(own):
            shell.show(f"\n{what} (first {len(own)})")
            shell.show(
                table(
                    ("customer", "tier", "value", "change", "reason"),
                    [
                        (
                            row["customer_id"],
                            _tiers(row),
                            words.money(row["clv_before" if move == "left" else "clv_now"]),
                            ("+" if row["change"] > 0 else "") + words.money(row["change"]),
                            row["reason"],
                        )
                        for row in own.to_dict("records")
                    ],
                )
            )


def _tiers(row: Mapping[Any, Any]) -> str:
    both = [row[name] for name in ("tier_before", "tier_now") if isinstance(row[name], str)]
    return " → ".join(both)
