"""From old scores and the log as it is now to one more entry of the track record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg.cli import scorefile
from bayesseg.cli.flags import SourceFlags
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import people, reading
from bayesseg.cli.text import table
from bayesseg.errors import GateFailed

if TYPE_CHECKING:
    from bayesseg.report.words import Words

NAME = "track-record.jsonl"
"""What the log is called, beside the scores, where no other name is given."""


def held_against(
    data: str, source: SourceFlags, scores: Path, log: Path | None, shell: Shell
) -> Outcome:
    """Judge the scores by ``data``, add to the log, say what it shows; exit 4 where the log fails."""
    from bayesseg.ingest import pseudonyms
    from bayesseg.validation import record

    scored, document = scorefile.read_scores(scores), scorefile.read_document(scores)
    key = source.key()
    hidden = people.accept_key(document, key, asked=True)

    def named(ids: Any) -> Any:
        return pseudonyms(ids, key) if hidden and key is not None else ids

    log = log or scores.with_name(NAME)
    record.read(log)  # refuse a file that is none before the data are read
    loaded = reading.load_purchases(data, source, shell)
    assert loaded.purchases is not None
    entry = record.judge(scored, document, loaded.purchases, reading.buyers(loaded).as_of, named)
    entries = record.append(log, entry)
    show(entry, shell)
    shell.say(f"wrote {log}, entries: {len(entries)}")
    found = record.verdict(entries)
    shell.show(said(found))
    error = GateFailed(
        f"{found['apart'] - found['widened_inside']} of {found['apart']} totals lay outside even their "
        "widened interval",
        fix="bayesseg validate DATA --origins 6 compares families and says what to do; fit again",
    )
    return Outcome(
        {"entry": entry, "record": found, "written": [str(log)]},
        error if found["verdict"] == "failed" else None,
    )


def show(entry: Mapping[str, Any], shell: Shell) -> None:
    """Print one entry: who was counted, totals, customers, segments."""
    from bayesseg.report.words import load_words

    words, counted = load_words("en"), entry["customers"]
    shell.say(
        f"scores of {entry['as_of']} ({entry['model']}) against what came by {entry['until']}"
    )
    for name, what in _COUNTED.items():
        if counted[name]:
            shell.say(f"note: {counted[name]:,} {what}")
    rows = [
        (what, *_total(words, entry["totals"][name]))
        for name, what in (
            ("purchases", f"purchases in {entry['horizon_days']} days"),
            ("money", f"{entry['money_is']} in {entry['value_horizon_days']} days, discounted"),
        )
        if entry["totals"][name] is not None
    ]
    level = f"{entry['level']:.0%}"
    heads = ("total", f"forecast ({level})", "widened", "came", "off by", "lies")
    shell.show(table(heads, rows) + "\n")
    if entry["totals"]["money"] is None:
        shell.say(f"money can be judged from {entry['money_from']} on")
    each, buyers = entry["each"], entry["each"]["active"]
    shell.show(
        f"Customers: {words.count(buyers['expected'])} were to buy, {buyers['actual']:,} did (AUC "
        f"{_two(buyers['auc'])}, Brier {_two(buyers['brier'], 3)}); purchases off by "
        f"{each['purchases']['mae']:.2f} a customer, {_percent(each['purchases']['coverage'])} inside "
        f"their {level} interval"
    )
    if entry["segments"]:
        shell.show(
            "\n"
            + table(
                ("segment", "customers", "churn foretold", "by chance", "bought nothing", "lies"),
                [
                    (
                        f"{one['id']} {one['name']}",
                        f"{one['customers']:,}",
                        f"{one['p_churn']:.0%}",
                        f"{one['chance_lo']:.0%}-{one['chance_hi']:.0%}",
                        f"{one['silent']:.0%}",
                        "inside"
                        if one["chance_lo"] <= one["silent"] <= one["chance_hi"]
                        else "OUTSIDE",
                    )
                    for one in entry["segments"]
                ],
            )
            + "\n"
        )


_COUNTED = {
    "absent": "customers of the scores are not in the data (erased, or taken back): left out",
    "unscored": "customers had bought by then and were not scored: not in these totals",
    "newcomers": "customers came later: not in these totals",
    "changed": "customers have other purchases before the scores than the scores knew (late rows, "
    "refunds)",
}


def said(found: Mapping[str, Any]) -> str:
    """What the whole log shows, in one line."""
    if not found["apart"]:
        return "Track record: not assessed, the scores have no interval of what comes (no futures drawn)"
    return (
        f"Track record: {found['verdict']}; of {found['entries']} entries {found['apart']} do not "
        f"overlap: {found['inside']} inside the interval, {found['widened_inside']} inside the widened "
        "one"
    )


def _total(words: Words, one: Mapping[str, Any]) -> tuple[str, ...]:
    wide = {"mean": one["mean"], "lo": one["widened_lo"], "hi": one["widened_hi"]}
    bias = "–" if one["bias"] is None else f"{100 * one['bias']:+.0f}%".replace("-", "−")
    lies = "–"
    if one["inside"] is not None:
        lies = "inside" if one["inside"] else "widened only" if one["widened_inside"] else "OUTSIDE"
    return (
        words.interval(one),
        words.halves(wide)[1] if wide["lo"] is not None else "–",
        words.count(one["actual"]),
        bias,
        lies,
    )


def _two(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
