"""Who the customers are: one card a segment, and how the segments differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bayesseg.report.blocks import (
    Card,
    Cards,
    Cell,
    Column,
    Context,
    Details,
    Fact,
    Figure,
    Heading,
    Items,
    Section,
    Table,
    Text,
)
from bayesseg.report.figures import dots
from bayesseg.report.words import Words, spread

QUANTITIES = (("p_churn", "percent"), ("clv", "money"), ("value_at_risk", "money"))


def section(context: Context) -> Section | None:
    """Cards, then profiles; nothing where there are no segments or their labels failed."""
    words = context.words
    found: Sequence[Mapping[str, Any]] = context.document.get("segments") or ()
    if not found:
        return None
    ids = list(context.posterior.manifest["segments"]["ids"])
    # merged and split segments bear the mark of the model's own, as in the pictures
    cards = tuple(_card(context, one, ids.index(one["of"][0])) for one in found)
    blocks: list[Any] = [Cards(cards), Text((words("segments.reading"),))]
    by_hand = [one for one in found if list(one["of"]) != [one["id"]]]
    if by_hand:
        made = "; ".join(f"{one['id']}: {one['rule'] or ' + '.join(one['of'])}" for one in by_hand)
        blocks.append(Text((words("segments.by_hand", made=made),)))
    ambiguous = _ambiguity(context)
    if ambiguous:
        blocks.append(Text((ambiguous,)))
    panels = _panels(words, found)
    if panels:
        names = [one["id"] + " " + one["name"] for one in found]
        title = words("segments.profile.title")
        blocks.append(
            Figure(
                title,
                dots([(label, values, words.plain) for _, label, values in panels], names),
                words("segments.profile.alt", n=len(found), m=len(panels)),
                words("segments.profile.caption"),
                _profile_table(words, found, panels),
            )
        )
    lineage = context.posterior.manifest["segments"].get("words")
    if lineage:
        blocks.append(Details(words("segments.lineage"), (Items(tuple(lineage)),)))
    chosen = context.posterior.parts["segments"].info.get("chosen", {}).get("words")
    if chosen:
        blocks += [Heading(words("segments.chosen")), Items(tuple(chosen))]
    state = context.posterior.features
    if state is not None:
        columns = "; ".join(_feature(words, name) for name in state.names)
        said = (Text((words("segments.how.text", features=columns),)), Items(state.notes))
        blocks.append(Details(words("segments.how.title"), said))
    return Section(
        "segments",
        words("segments.title"),
        words.plural("segments.lead", len(ids)),
        tuple(blocks),
        {"segments": list(found)},
    )


def _card(context: Context, one: Mapping[str, Any], mark: int) -> Card:
    words = context.words
    settings = context.document.get("settings", {})
    blanks = {"h": settings.get("horizon_days"), "H": settings.get("value_horizon_days")}
    share = words("segments.share", share=words.interval(one["share"], "percent"))
    facts = [Fact(words("segments.size"), *words.halves(one["customers"]), share)]
    facts += [
        Fact(
            words(f"segments.{name}"),
            *words.halves(one[name], kind),
            words(f"segments.{name}_note", **blanks),
        )
        for name, kind in QUANTITIES
        if one.get(name)
    ]
    return Card(
        title=one["name"],
        badge=one["id"],
        facts=tuple(facts),
        text=words("segments.action", action=one["action"]) if one["action"] else "",
        mark=mark,
        share=one["share"]["mean"],
    )


def _ambiguity(context: Context) -> str:
    """How many customers have no clear segment."""
    if "segment_probability" not in context.scores:
        return ""
    share = float((context.scores["segment_probability"] < 0.6).mean())
    return context.words("segments.ambiguous", share=context.words.percent(share))


def _panels(
    words: Words, found: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str, list[Mapping[str, float]]]]:
    """(feature, label, interval of every segment), where every segment has one."""
    features = list(found[0].get("profile", {}))
    complete = [
        name for name in features if all(None not in one["profile"][name].values() for one in found)
    ]
    return [
        (name, _feature(words, name), [one["profile"][name] for one in found]) for name in complete
    ]


def _feature(words: Words, name: str) -> str:
    return words(f"features.{name}") if words.has(f"features.{name}") else name


def _profile_table(
    words: Words,
    found: Sequence[Mapping[str, Any]],
    panels: Sequence[tuple[str, str, Sequence[Mapping[str, float]]]],
) -> Table:
    head = (
        Column(words("segments.segment"), number=False),
        *(Column(label) for _, label, _ in panels),
    )
    rows = tuple(
        (
            Cell(f"{one['id']} {one['name']}"),
            *(Cell(words.interval(values[row], apart=spread(values))) for _, _, values in panels),
        )
        for row, one in enumerate(found)
    )
    return Table(words("segments.profile.title"), head, rows)
