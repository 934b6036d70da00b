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
from bayesseg.report.figures import Write, dots
from bayesseg.report.sections.portrait import feature
from bayesseg.report.segmentation.assessed import summary
from bayesseg.report.words import ALL, Words, spread

QUANTITIES = (("p_churn", "percent"), ("clv", "money"), ("value_at_risk", "money"))
TELLING = 3
"""Features on a card; the rest stands in the heat map."""


def section(context: Context) -> Section | None:
    """Cards, then profiles; nothing where there are no segments or their labels failed."""
    words = context.words
    found: Sequence[Mapping[str, Any]] = context.document.get("segments") or ()
    if not found:
        return None
    ids = list(context.posterior.manifest["segments"]["ids"])
    own = marks(context, found)
    cards = tuple(_card(context, *both) for both in zip(found, own, strict=True))
    found_again = summary(
        words, context.beside.stability, context.posterior.manifest["customers"]["all"]
    )
    blocks: list[Any] = [Cards(cards), Text((words("segments.reading"),)), Text((found_again,))]
    if context.beside.stability is not None:
        blocks.append(Items(tuple(map(words.said, context.beside.stability["words"]))))
    by_hand = [one for one in found if list(one["of"]) != [one["id"]]]
    lead = (
        words("segments.lead.mapped", n=len(found), m=len(ids))
        if by_hand
        else words.plural("segments.lead", len(ids))
    )
    small: Mapping[str, int] = context.document["hidden"]
    if small["small"] or small["dominated"]:
        blocks.append(Text((words("segments.hidden", **small),), tone="note"))
    if by_hand:
        made = words.parts(
            words.pair(one["id"], words.said(one["rule"]) or " + ".join(one["of"]))
            for one in by_hand
        )
        blocks.append(Text((words("segments.by_hand", made=made),)))
    ambiguous = _ambiguity(context)
    if ambiguous:
        blocks.append(Text((ambiguous,)))
    panels = _panels(words, found)
    if panels:
        names = [words.called(one) for one in found]
        title = words(f"segments.profile.title.{'one' if len(found) == 1 else 'many'}")
        blocks.append(
            Figure(
                title,
                dots([_panel(words, *panel) for panel in panels], names, marks=own),
                words("segments.profile.alt", m=len(panels), numbers=_said(words, names, panels)),
                words("segments.profile.caption"),
                _profile_table(words, title, found, panels),
                of="segments",
            )
        )
    lineage = context.posterior.manifest["segments"].get("words")
    if lineage:
        blocks.append(Details(words("segments.lineage"), (Items(tuple(map(words.said, lineage))),)))
    chosen = context.posterior.parts["segments"].info.get("chosen", {}).get("words")
    if chosen:
        blocks += [Heading(words("segments.chosen")), Items(tuple(map(words.said, chosen)))]
    state = context.posterior.features
    if state is not None:
        columns = words.parts(feature(words, name) for name in state.names)
        hand = words(f"segments.how.{'by_hand' if by_hand else 'untouched'}", m=len(ids))
        text = words("segments.how.text", features=columns, hand=hand)
        said = (Text((text,)), Items(tuple(map(words.said, state.notes))))
        blocks.append(Details(words("segments.how.title"), said))
    return Section(
        "segments",
        words("segments.title"),
        lead,
        tuple(blocks),
        {"segments": list(found)},
    )


def marks(context: Context, found: Sequence[Mapping[str, Any]]) -> list[int]:
    """Merged and split segments bear the mark of the first of the model's own they are made of."""
    ids = list(context.posterior.manifest["segments"]["ids"])
    return [ids.index(one["of"][0]) for one in found]


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
    facts += [_described(words, one, *line) for line in _telling(context, one)]
    again = {seen["id"]: seen for seen in (context.beside.stability or {}).get("segments", ())}
    if one["id"] in again:
        weight = words.halves(again[one["id"]]["jaccard"], "index")
        facts.append(Fact(words("segments.jaccard"), *weight, words.said(again[one["id"]]["word"])))
    return Card(
        title=words.said(one["name"]),
        badge=one["id"],
        facts=tuple(facts),
        text=words("segments.action", action=words.said(one["action"])) if one["action"] else "",
        mark=mark,
        share=one["share"]["mean"],
    )


def _described(words: Words, one: Mapping[str, Any], name: str, kind: str) -> Fact:
    """What the members are like in one feature."""
    known = one["known"][name]
    note = "" if known >= ALL else words("segments.known", share=words.percent(known))
    return Fact(feature(words, name), *words.halves(one["profile"][name], kind), note)


def _telling(context: Context, one: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The features that set any segment farthest apart, the same on every card, and their kind."""
    lines = (context.posterior.summary.get("segments") or {}).get("profile", ())
    own = one["profile"]
    apart = {
        line["feature"]: (
            max(abs(away["mean"]) for away in line["away"]),
            "number" if line["share"] is None else "percent",
        )
        for line in lines
        if line["level"] is None and line["feature"] in own
    }
    order = sorted(apart, key=lambda name: -apart[name][0])[:TELLING]
    return [(name, apart[name][1]) for name in order if None not in own[name].values()]


def _ambiguity(context: Context) -> str:
    """How many customers have no clear segment."""
    if "segment_probability" not in context.scores:
        return ""
    share = float((context.scores["segment_probability"] < 0.6).mean())
    return context.words("segments.ambiguous", share=context.words.percent(share))


def _panels(
    words: Words, found: Sequence[Mapping[str, Any]]
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Of each feature that every segment has, its label and each mean, with the median ``beside`` it.

    A yes or no has no median; its mean is a share. ``known`` is of how many members it is.
    """
    panels = []
    for name in found[0]["profile"]:
        if any(None in one["profile"][name].values() for one in found):
            continue
        values = [
            {
                **one["profile"][name],
                "beside": one["medians"].get(name),
                "known": one["known"][name],
            }
            for one in found
        ]
        panels.append((feature(words, name), values))
    return panels


def _said(
    words: Words,
    names: Sequence[str],
    panels: Sequence[tuple[str, Sequence[Mapping[str, Any]]]],
) -> str:
    """The averages in words, feature by feature."""
    return ". ".join(
        words.pair(
            label,
            words.parts(
                f"{name} {words.interval(one, 'percent' if one['beside'] is None else 'number')}"
                for name, one in zip(names, values, strict=True)
            ),
        )
        for label, values in panels
    )


def _panel(
    words: Words, label: str, values: Sequence[Mapping[str, Any]]
) -> tuple[str, Sequence[Mapping[str, Any]], Write]:
    """As ``dots`` draws it."""
    if min(one["known"] for one in values) < ALL:
        label = f"{label}\n{words('segments.where_known')}"
    return label, values, words.percent if values[0]["beside"] is None else words.plain


def _profile_table(
    words: Words,
    title: str,
    found: Sequence[Mapping[str, Any]],
    panels: Sequence[tuple[str, Sequence[Mapping[str, Any]]]],
) -> Table:
    head = (
        Column(words("segments.segment"), number=False),
        *(Column(label) for label, _ in panels),
    )

    def cell(values: Sequence[Mapping[str, Any]], row: int) -> Cell:
        own, beside = values[row], values[row]["beside"]
        of = []
        if beside is not None:
            of.append(words("segments.profile.median", median=words.interval(beside)))
        if own["known"] < ALL:
            of.append(words("segments.known", share=words.percent(own["known"])))
        mean = (
            words.interval(own, "percent")
            if beside is None
            else words.interval(own, apart=spread(values))
        )
        return Cell(mean, small=words.parts(of))

    rows = tuple(
        (
            Cell(words.called(one)),
            *(cell(values, row) for _, values in panels),
        )
        for row, one in enumerate(found)
    )
    return Table(title, head, rows)
