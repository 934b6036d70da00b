"""A refit that continues an earlier run: ids, names and the experts' map go on where segments do. L7.

The rows of the new fit are scored by both; segments are matched by soft Jaccard (``align``). One that
is kept keeps its id, its name and what experts said of it. Its name changes only where no pin holds it
and a rule is surely true now, while the rule that gave it is surely false or none was sure before. What
becomes of every segment is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from typing import Any

import numpy as np

from bayesseg import naming, segment_map
from bayesseg._types import Array, Draws
from bayesseg.customers import Attributes, Customers
from bayesseg.errors import InputRejected, UsageError
from bayesseg.features import absent, columns_of
from bayesseg.naming import RULES, SURE, Name
from bayesseg.posterior import Posterior, thinned, trusted
from bayesseg.segment_map import SegmentMap
from bayesseg.segmentation.align import KEPT, PART, Alignment, Fate, align
from bayesseg.segmentation.run import DRAWS, averaged, matrix_of, mean_membership, segments_of

ROWS = 20_000
"""The most rows that both runs score."""
UNLIKE = 0.1
"""Logs whose lengths differ by more than this share are said to be compared through unlike windows."""


def accept(
    data: Customers | Attributes,
    ids: Sequence[str] | None,
    own: SegmentMap | None,
    previous: Posterior | None,
) -> None:
    """Refuse, before a fit, what could only fail after it.

    Args:
        data: what is to be fitted.
        ids: of the segments that there will be; None where the fit chooses how many.
        own: the experts' map.
        previous: the run to go on from.

    Raises:
        UsageError: the previous run has no segments that hold; the map names others or splits by a
            column that is not there.
        InputRejected: the data lack a feature of the previous run.
    """
    one = data.take(np.arange(1))
    if previous is not None:
        before = segments_of(previous, 1)
        ids = before.ids
        if not trusted(previous.manifest, "segments"):
            raise UsageError(
                "the segments of the previous run failed their gates: there is nothing to go on from",
                fix="name the last run whose segments passed, or leave --previous out",
            )
        gone, _ = absent(data, before.state)
        if gone:
            raise InputRejected(
                f"the data have no value of {', '.join(gone)}, which the previous run was fitted on",
                fix="give these columns, or leave --previous out",
                code="missing_column",
            )
    if own is None:
        return
    if ids is not None:
        segment_map.plan(own, ids)
    for split in own.splits:
        segment_map.fulfils(split, columns_of(one), np.zeros(1))


def named(
    data: Customers | Attributes,
    draws: Draws,
    matrix: Array,
    *,
    own: SegmentMap | None,
    previous: Posterior | None,
    seed: int,
) -> dict[str, Any]:
    """The manifest's entry on the segments of a fit: ids, names, the map and where they come from.

    Args:
        data: the customers of the fit.
        draws: the segments' draws.
        matrix: (N, D) the feature matrix, aligned with ``data``.
        own: the experts' map; that of the previous run where it is None.
        previous: the run to go on from.
        seed: of the sample of rows that both runs score, where there are more than ``ROWS``.
    """
    rules = naming.by_rules(data, draws, matrix)
    if previous is None:
        ids = naming.ids_of(len(rules))
        if own is None:
            return naming.entry(ids, rules)
        kept, dropped = segment_map.carried(own, ids)
        return naming.entry(ids, rules, own=kept, words=dropped)
    before = previous.manifest["segments"]
    found = _aligned(previous, data, draws, matrix, seed)
    given = segment_map.from_json(before["map"]) if own is None else own
    names, fitting, renamed = _names(before, found, rules, given)
    kept, dropped = segment_map.carried(fitting, found.ids)
    then = segment_map.labels({**before, "map": segment_map.to_json(given)})
    lineage = {
        "model_id": previous.manifest["model_id"],
        "fates": [asdict(fate) for fate in found.fates],
        "locked": [
            {"id": one, "name": then[one], "jaccard": nearest, "limit": KEPT}
            for one, nearest in zip(before["ids"], found.jaccard, strict=True)
            if one in given.locked
        ],
    }
    entry = naming.entry(found.ids, names, own=kept, ever=before["ever"], previous=lineage)
    now = segment_map.labels(entry)
    return entry | {
        "words": [
            *(words(fate, then, now) for fate in found.fates),
            *unlike(previous.manifest, data, found),
            *renamed,
            *dropped,
        ]
    }


def unlike(before: Mapping[str, Any], data: Customers | Attributes, found: Alignment) -> list[str]:
    """That segments were compared through windows of unlike length, where they were."""
    held = before.get("accounting", {}).get("days")
    if isinstance(data, Attributes) or held is None:
        return []
    days = int(data.t_end.max()) + 1
    seen = (date.fromisoformat(before["as_of"]) - date.fromisoformat(held["first"])).days + 1
    if max(days, seen) <= (1 + UNLIKE) * min(days, seen):
        return []
    kept = sum(fate.fate == "kept" for fate in found.fates)
    return [
        f"this log covers {days} days, that of the previous run {seen}: counts of purchases and days "
        "since the last one grow with a log, so segments can look changed that are not "
        f"({kept} of {len(found.jaccard)} kept); a log of {seen} days would tell, and bayesseg drift "
        "compares equal windows"
    ]


def _aligned(
    previous: Posterior, data: Customers | Attributes, draws: Draws, matrix: Array, seed: int
) -> Alignment:
    """What became of the segments, on the rows of the new fit."""
    own = segments_of(previous)
    before = matrix_of(own, data)
    rows = np.lexsort(np.hstack([before, matrix]).T)  # the order of the file plays no part
    if len(rows) > ROWS:
        rows = rows[np.random.default_rng([seed, 5]).permutation(len(rows))[:ROWS]]
    old = mean_membership(own, before[rows])
    new = averaged(thinned(draws, DRAWS), matrix[rows])
    ever = previous.manifest["segments"]["ever"]
    return align(old, new, own.ids, ever)


def _names(
    before: Mapping[str, Any], found: Alignment, rules: Sequence[Name], own: SegmentMap
) -> tuple[list[Name], SegmentMap, list[str]]:
    """The name of each new segment, the map without labels that no longer fit, and what changed."""
    names: dict[str, Name] = {}
    entries, said = dict(own.entries), list[str]()
    for place, one, rule in zip(found.order, found.ids, rules, strict=True):
        if place < 0:
            continue
        old = Name(name=before["names"][one], **before["texts"][one])
        entry = own.entry(one)
        free = not entry.pin and (not entry.label or _of_rules(entry.label))
        still = rule.holds.get(old.rule, 0.0)
        if not (free and rule.rule and still <= 1 - SURE):
            names[one] = replace(old, holds=rule.holds)
            continue
        why = (
            f"{entry.label or old.name} is true in {still:.0%} of the draws"
            if old.rule
            else f"that is true in {rule.holds[rule.rule]:.0%} of the draws, no rule was sure of "
            f"{entry.label or old.name}"
        )
        said.append(f"{one} is called {rule.name} now: {why} (a pin in the map keeps a name)")
        if entry.label:
            entries[one] = replace(entry, label="", label_fr="", action="", action_fr="")
    taken = {name.name for name in names.values()}
    for k, (one, rule) in enumerate(zip(found.ids, rules, strict=True)):
        if rule.name == naming.numbered(k).name:  # as its id: no number means another segment later
            rule = replace(naming.numbered(int(one[1:]) - 1), holds=rule.holds)
        # new names give way to those kept
        more = f" ({one})" if rule.name in taken else ""
        fresh = replace(rule, name=f"{rule.name}{more}", name_fr=f"{rule.name_fr}{more}")
        names.setdefault(one, fresh)
    return [names[one] for one in found.ids], replace(own, entries=entries), said


def _of_rules(label: str) -> bool:
    """Whether a label is one that rules give, perhaps with what tells two of a kind apart."""
    return any(label == rule.name or label.startswith(f"{rule.name} (") for rule in RULES)


def words(fate: Fate, then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """What became of a segment, for people; ``then`` and ``now`` are names by id."""

    def listed(ids: Sequence[str], names: Mapping[str, str]) -> str:
        return " + ".join(f"{one} {names[one]}".rstrip() for one in ids)

    match fate.fate:
        case "kept":
            return f"{listed([fate.new], now)}: kept (Jaccard {fate.jaccard:.2f})"
        case "new":
            return f"{listed([fate.new], now)}: new"
        case "split":
            return f"{listed([fate.new], now)}: split off {listed([fate.old], then)}"
        case "merged":
            return f"{listed([fate.new], now)}: {listed(fate.into, then)} merged"
        case "changed":
            return (
                f"{listed([fate.new], now)}: took the place of {listed([fate.old], then)} (Jaccard "
                f"{fate.jaccard:.2f}, kept from {KEPT})"
            )
        case "empty":
            return f"{listed([fate.old], then)}: no customers left"
    gone = listed([fate.old], then)
    if not fate.into:
        return f"{gone}: died; its customers are scattered over the others"
    if fate.shares[0] >= PART:
        heir = listed(fate.into[:1], now)
        return f"{gone}: merged into {heir}, which took {fate.shares[0]:.0%} of its customers"
    took = (
        f"{share:.0%} went to {listed([one], now)}"
        for one, share in zip(fate.into, fate.shares, strict=True)
    )
    return f"{gone}: died; of its customers {', '.join(took)}"
