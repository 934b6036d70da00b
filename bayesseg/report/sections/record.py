"""What earlier scores promised, held against what came: the track record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bayesseg._types import SMALLEST
from bayesseg.report import calibration, figures
from bayesseg.report.blocks import Cell, Column, Context, Figure, Section, Table, Text
from bayesseg.report.words import NOTHING, Words
from bayesseg.validation.record import apart, verdict

_ROWS = 20
_TOTALS = {"purchases": "number", "money": "money"}
_UNTIL = {"purchases": "until", "money": "money_from"}
_LIES = {True: "inside", False: "outside", None: "unknown"}


def section(context: Context) -> Section | None:
    """Totals, customers and segments of the scores in the log, where one was given."""
    entries = [one for one in context.beside.record or () if one["customers"]["judged"] >= SMALLEST]
    if not entries:
        return None
    words, found = context.words, verdict(entries)
    said = words.plural(
        f"record.verdict.{found['verdict']}",
        found["apart"],
        inside=words.count(found["inside"]),
        wide=words.count(found["widened_inside"]),
    )
    shown = {name: _shown(entries, name) for name in _TOTALS}
    kept = words.plural("record.kept", len(entries))
    tone = "" if found["verdict"] == "passed" else "note"
    blocks: list[Any] = [Text((said,), tone), Text((kept,))]
    blocks += [_totals(words, name, own) for name, own in shown.items() if own]
    last = entries[-1]
    day = words.date(last["as_of"])
    tenths = {day: last["each"]["reliability"]}
    blocks += calibration.reliability(words, words("record.scored"), tenths)
    if last["segments"]:
        blocks.append(_segments(words, last["segments"], day))
    data = {"verdict": found, "entries": entries, "reliability": tenths[day]}
    return Section("record", words("record.title"), words("record.lead"), tuple(blocks), data)


def _shown(entries: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    """The entries that judge a total and whose horizons of it do not overlap, and the latest."""
    own = [one for one in entries if one["totals"][name] is not None]
    return [*(one for one in apart(own, _UNTIL[name]) if one is not own[-1]), *own[-1:]][-_ROWS:]


def _totals(words: Words, name: str, entries: Sequence[Mapping[str, Any]]) -> Figure:
    kind, totals = _TOTALS[name], [one["totals"][name] for one in entries]
    write = words.money if kind == "money" else words.count
    days = [words.date(one["as_of"]) for one in entries]
    wide = [None if one["widened_lo"] is None else _ends(one, "widened_") for one in totals]
    span = "value_horizon_days" if name == "money" else "horizon_days"
    rows = tuple(
        (
            Cell(day, small=entry["model"]),
            Cell(words.count(entry[span])),
            Cell(words.interval(one, kind)),
            Cell(NOTHING if ends is None else words.halves(ends, kind)[1]),
            Cell(write(one["actual"])),
            Cell(words(f"record.lies.{_lies(one)}")),
        )
        for day, entry, one, ends in zip(days, entries, totals, wide, strict=True)
    )
    columns = ("scored", "days", "forecast", "widened", "came", "place")
    head = tuple(
        Column(words(f"record.{key}"), number=key not in ("scored", "place")) for key in columns
    )
    title = words(f"record.{name}")
    numbers = words.parts(
        words(
            "forecasts.backtests.one",
            cut=day,
            forecast=words.interval(one, kind),
            actual=write(one["actual"]),
        )
        for day, one in zip(days, totals, strict=True)
    )
    legend = [words("record.forecast"), words("record.came"), words(f"record.axis_{name}")]
    source = figures.forecasts(
        days,
        [one["actual"] for one in totals],
        [_ends(one) for one in totals],
        legend,
        words.plain,
        wide,
    )
    return Figure(
        title,
        source,
        words("record.alt", numbers=numbers),
        words("record.caption"),
        Table(title, head, rows),
        minor=True,
        of="entries",
    )


def _ends(total: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The interval of a total; where it has none its mean alone."""
    ends = {end: total[f"{prefix}{end}"] for end in ("lo", "hi")}
    return {"mean": total["mean"]} | {
        end: total["mean"] if value is None else value for end, value in ends.items()
    }


def _lies(total: Mapping[str, Any]) -> str:
    return "widened" if not total["inside"] and total["widened_inside"] else _LIES[total["inside"]]


def _segments(words: Words, segments: Sequence[Mapping[str, Any]], day: str) -> Table:
    """Churn of each segment of the latest scores, foretold and counted."""
    rows = tuple(
        (
            Cell(words.called(one)),
            Cell(words.count(one["customers"])),
            Cell(words.percent(one["p_churn"])),
            Cell(words.halves(_chance(one), "percent")[1] or words.percent(one["p_churn"])),
            Cell(words.percent(one["silent"])),
        )
        for one in segments
    )
    columns = (
        "segments.segment",
        "page.customers",
        "record.churn",
        "record.chance",
        "record.silent",
    )
    head = tuple(Column(words(key), number=key != columns[0]) for key in columns)
    return Table(words("record.segments", day=day), head, rows)


def _chance(one: Mapping[str, Any]) -> dict[str, float]:
    return {"mean": one["p_churn"], "lo": one["chance_lo"], "hi": one["chance_hi"]}
