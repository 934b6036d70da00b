"""The segments in pictures: where they lie, what they are like, how they relate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bayesseg.report import shapes
from bayesseg.report.blocks import Cell, Column, Context, Figure, Heading, Section, Table, Text
from bayesseg.report.words import ALL, NOTHING, Words, spread
from bayesseg.segment_map import labels

_TELLING = 0.3
"""The least correlation by which a feature gives a direction its name."""


def section(context: Context) -> Section | None:
    """Plane, heat map, pairs and tree of merges; nothing where the run has no segments to show."""
    words, found = context.words, context.posterior.summary.get("segments")
    shown: Sequence[Mapping[str, Any]] = context.document.get("segments") or ()
    if not found or not shown:
        return None
    own = context.posterior.manifest["segments"]
    ids, called = list(own["ids"]), labels(own)
    names = [words.called({"id": one, "name": called[one]}) for one in ids]
    blocks: list[Any] = []
    if [one["id"] for one in shown] != ids:
        blocks.append(Text((words("portrait.mapped"),), tone="note"))
    if found["rows"] < found["customers"]:
        rows, customers = words.count(found["rows"]), words.count(found["customers"])
        blocks.append(Text((words("portrait.some", n=rows, m=customers),), tone="note"))
    blocks += [*_plane(words, found, ids), *_heat(words, found, shown, ids, names)]
    blocks += together(words, found, ids)
    if len(ids) > 2:  # of two, one merge is all there is
        blocks.append(tree(words, found["merges"], names, ids))
    return Section(
        "portrait",
        words("portrait.title"),
        words("portrait.lead"),
        tuple(blocks),
        {
            key: found[key]
            for key in ("customers", "rows", "projection", "profile", "together", "merges")
        },
    )


def feature(words: Words, name: str) -> str:
    """What a column is called."""
    return words(f"features.{name}") if words.has(f"features.{name}") else name


# --- the plane -----------------------------------------------------------------------------------


def _plane(words: Words, found: Mapping[str, Any], ids: Sequence[str]) -> list[Any]:
    own = found["projection"]
    if own is None:
        return []
    names = [feature(words, one["feature"]) for one in own["axes"]]
    legend = [
        names[axis] if own["kind"] == "features" else _direction(words, own, names, axis)
        for axis in (0, 1)
    ]
    together = words.percent(sum(own["shown"]))
    said = [words(f"portrait.plane.{own['kind']}", shown=together)]
    if own["kind"] != "principal":
        said.append(words("portrait.plane.agreement", share=words.percent(own["agreement"])))
    if own["others"]:
        said.append(words.plural("portrait.plane.others", own["others"]))
    if own["lacking"] > 0:
        said.append(words("portrait.plane.lacking", share=words.percent(own["lacking"])))
    if own["left_out"]:
        said.append(words.plural("portrait.plane.left_out", own["left_out"]))
    title = words("portrait.plane.title")
    head = (
        Column(words("portrait.plane.feature"), number=False),
        *(Column(words("portrait.plane.direction", n=n)) for n in (1, 2)),
    )
    rows = tuple(
        (Cell(name), *(Cell(words.fixed(value, 2)) for value in one["correlation"]))
        for name, one in zip(names, own["axes"], strict=True)
    )
    cells = len(own["cells"])
    return [
        Figure(
            title,
            shapes.plane(own, ids, legend, words.plain),
            words("portrait.plane.alt", n=len(ids), cells=words.count(cells)),
            words("portrait.plane.caption", cells=words.count(cells)),
            Table(words("portrait.plane.table"), head, rows),
            of="projection",
        ),
        Text((" ".join(said),), tone="note"),
    ]


def _direction(words: Words, own: Mapping[str, Any], names: Sequence[str], axis: int) -> str:
    """``Direction 1 (92%): Days since last purchase +, Mean spend −``."""
    loads = [one["correlation"][axis] for one in own["axes"]]
    order = sorted(range(len(loads)), key=lambda d: -abs(loads[d]))[:2]
    told = [d for d in order if abs(loads[d]) >= _TELLING] or order[:1]
    features = ", ".join(f"{names[d]} {'+' if loads[d] > 0 else '−'}" for d in told)
    kind = "variance" if own["kind"] == "principal" else "axis"
    kind = "beside" if own["kind"] == "discriminant" and own["shown"][axis] < 1e-6 else kind
    share = words.percent(own["shown"][axis])
    return f"{words(f'portrait.plane.{kind}', n=axis + 1, share=share)}\n{features}"


# --- the heat map --------------------------------------------------------------------------------


def _heat(
    words: Words,
    found: Mapping[str, Any],
    shown: Sequence[Mapping[str, Any]],
    ids: Sequence[str],
    names: Sequence[str],
) -> list[Heading | Table | Text]:
    """A table whose cells are shaded: features by segments."""
    head = (
        Column(words("portrait.plane.feature"), number=False, wide=True),
        *(Column(name, wide=True) for name in names),
    )
    by_id = {one["id"]: one for one in shown}
    own = [by_id.get(one, {"profile": {}, "known": {}}) for one in ids]
    rows = tuple(
        (_label(words, line), *(_shaded(words, line, own, k) for k in range(len(own))))
        for line in found["profile"]
    )
    return [
        Heading(words("portrait.heat.title")),
        Text((words("portrait.heat.reading"),)),
        Table(words("portrait.heat.caption"), head, rows, id="heat"),
    ]


def _label(words: Words, line: Mapping[str, Any]) -> Cell:
    name = feature(words, line["feature"])
    of_all = line["share_of_all"]
    small = "" if of_all is None else words("portrait.heat.all", share=words.percent(of_all))
    if line["known"] < ALL:
        known = words("portrait.heat.known", share=words.percent(line["known"]))
        small = f"{small}; {known}" if small else known
    return Cell(
        name if line["level"] is None else words.pair(name, str(line["level"])), small=small
    )


def _shaded(
    words: Words, line: Mapping[str, Any], own: Sequence[Mapping[str, Any]], k: int
) -> Cell:
    """The segment's own value, else how far it is from everybody's; ``own`` are all segments."""
    away = line["away"][k]
    kind = "number" if line["share"] is None else "percent"
    shares = line["share"] or [None] * len(own)
    values = [  # as on the cards, where they say it: one quantity has one interval
        (line["level"] is None and one["profile"].get(line["feature"])) or share
        for one, share in zip(own, shares, strict=True)
    ]
    distance = _signed(words, away["mean"])
    mean, span = words.halves(values[k], kind, spread(values))
    low, high = _signed(words, away["lo"]), _signed(words, away["hi"])
    hint = words("portrait.heat.hint", away=distance, lo=low, hi=high)
    known = own[k]["known"].get(line["feature"])
    of = "" if known is None or known >= ALL else words.percent(known)
    said = (f"({span})" if span else "", of and words("portrait.heat.known", share=of))
    return Cell(
        mean if mean != NOTHING else distance,
        small=" ".join(filter(None, said)),
        heat=shapes.shade(away["mean"]),
        hint=words.pair(f"{mean} ({span})", hint) if span else hint,
    )


def _signed(words: Words, value: float) -> str:
    text = words.fixed(value, 1)
    return f"+{text}" if value > 0 and text[0] != "−" else text


# --- pairs and merges ----------------------------------------------------------------------------


def together(words: Words, found: Mapping[str, Any], ids: Sequence[str]) -> list[Figure]:
    """The co-assignment matrix, where two segments have customers enough to show."""
    own = found["together"]
    if len(own["segment"]) < 2:
        return []
    kept = [ids[k] for k in own["segments"]]
    title = words("portrait.together.title")
    head = (
        Column(words("portrait.together.of"), number=False),
        *(Column(words("portrait.together.and", id=one)) for one in kept),
    )
    rows = tuple(
        (Cell(one), *(Cell(words.interval(value, "percent")) for value in line))
        for one, line in zip(kept, own["between"], strict=True)
    )
    said = [words("portrait.together.caption", n=words.count(len(own["segment"])))]
    if own["left_out"]:
        said.append(words.plural("portrait.plane.left_out", own["left_out"]))
    return [
        Figure(
            title,
            shapes.together(own["matrix"], own["segment"], ids),
            words("portrait.together.alt", n=len(own["segment"])),
            " ".join(said),
            Table(words("portrait.together.table"), head, rows),
            of="together",
        )
    ]


def tree(
    words: Words, merges: Sequence[Mapping[str, Any]], names: Sequence[str], ids: Sequence[str]
) -> Figure:
    """The merges of segments as a dendrogram; segments by their place in ``names`` and ``ids``."""
    head = (
        Column(words("portrait.tree.merge"), number=False),
        *(Column(words(f"portrait.tree.{key}")) for key in ("loss", "height", "clears")),
    )
    rows = tuple(
        (
            Cell(words("portrait.tree.pair", one=_joined(ids, a), other=_joined(ids, b))),
            *(Cell(words.interval(one[key], "percent")) for key in ("loss", "height", "clears")),
        )
        for one in merges
        for a, b in (one["segments"],)
    )
    first = merges[0]
    a, b = first["segments"]
    return Figure(
        words("portrait.tree.title"),
        shapes.tree(
            [(*one["segments"], one["height"]["mean"]) for one in merges],
            names,
            words("portrait.tree.axis"),
            words.percent,
        ),
        words("portrait.tree.alt", n=len(names)),
        words(
            "portrait.tree.caption",
            one=_joined(ids, a),
            other=_joined(ids, b),
            loss=words.percent(first["loss"]["mean"]),
            clears=words.percent(first["clears"]["mean"]),
        ),
        Table(words("portrait.tree.table"), head, rows),
        of="merges",
    )


def _joined(ids: Sequence[str], part: Sequence[int]) -> str:
    return " + ".join(ids[k] for k in sorted(part))
