"""The whole comparison as one document: candidates, choice, classics, price. L7."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from bayesseg._types import Array, OnProgress, Progress
from bayesseg.aggregates import merge_tree
from bayesseg.customers import Attributes, Customers
from bayesseg.errors import UsageError
from bayesseg.features import apply, learn, raw_columns
from bayesseg.ingest import Purchases
from bayesseg.segmentation import price
from bayesseg.segmentation.choose import as_row, choose, least, smallest_of
from bayesseg.segmentation.classics import classics
from bayesseg.segmentation.compare import (
    Candidate,
    called,
    compare,
    judge_of,
    variants_of,
    with_all_stability,
)
from bayesseg.segmentation.refits import QUICK, THOROUGH, Effort, scored
from bayesseg.segmentation.run import layout_of
from bayesseg.spec import ModelSpec

AS_ONE = 0.98
"""Columns correlated like this inside a segment say one thing twice."""
LATER = 90
"""Days after the cut over which churn and spend are held against segments; less in a short log."""


def comparison(
    data: Customers | Attributes,
    spec: ModelSpec,
    *,
    components: tuple[int, int],
    covariances: Sequence[str] = (),
    tails: Sequence[str] = (),
    min_segment: int | None = None,
    effort: Effort = THOROUGH,
    seed: int,
    purchases: Purchases | None = None,
    with_classics: bool = True,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Compare segmentations of ``data`` over the number of segments and their shape.

    Args:
        data: customers, or a table of clients.
        spec: a model with segments; its features and priors serve every candidate.
        components: the range a working number is wanted from; every number up to its end is tried.
        covariances: ``full``, ``tied``, ``diag``, ``spherical``; the model's own if empty.
        tails: ``normal``, ``t``; the model's own if empty.
        min_segment: least customers in a segment; by default 50, fewer in small tables.
        effort: how hard to look.
        seed: of everything random.
        purchases: the log behind ``data``: prices the candidates by what came after a cut.
        with_classics: put scikit-learn's clusterings beside.
        on_progress: told of each step.

    Returns:
        JSON-able: ``model``, ``customers``, ``rows`` judged, ``features``, ``min_segment``, ``least``
        (customers a segment of each candidate needs), ``table`` (see ``choose.as_row``), ``words``,
        ``notes``; ``stable``, ``working``, ``runner_up``, ``natural`` (candidates in words, or None);
        ``tree`` (the dendrogram of ``tree_of``, the stable or working candidate: see ``merge_tree``),
        ``masked`` (of its features: see ``masked``), ``classics`` and ``price`` (see there).

    Raises:
        UsageError: the model has no segments, the range is empty, a shape is not known, or no
            table of ``data`` could hold two segments of ``min_segment``.
    """
    low, high = components
    if "segments" not in spec.parts:
        raise UsageError(
            f"model {spec.name!r} has no segments", fix="use --model retail or segments"
        )
    if not 1 <= low <= high:
        raise UsageError(f"--components {low}:{high} is no range", fix="write 2:8")
    part = spec.parts["segments"]
    variants = variants_of(part, covariances, tails)
    if min_segment is not None and 2 * min_segment > len(data):
        raise UsageError(
            f"--min-segment {min_segment:,}: two segments of that size need {2 * min_segment:,} "
            f"customers, there are {len(data):,}",
            fix=f"at most {len(data) // 2:,}; {smallest_of(len(data))} is taken if it is left out",
        )
    raw = raw_columns(data, spec.features)
    state = learn(spec.features, raw)
    matrix = apply(state, raw)
    judge = judge_of(matrix, effort, seed)
    layout = layout_of(state)
    found, notes = compare(
        judge, part, layout, range(1, high + 1), variants, on_progress=on_progress
    )
    smallest = smallest_of(len(matrix)) if min_segment is None else min_segment
    found = with_all_stability(judge, found, on_progress)
    choice = choose(found, min_segment=smallest, within=components)
    chosen = {name: getattr(choice, name) for name in ("stable", "working", "runner_up", "natural")}
    shown = choice.stable if choice.stable.components > 1 else choice.working or choice.stable
    document: dict[str, Any] = {
        "model": spec.name,
        "customers": len(matrix),
        "rows": len(judge.rows),
        "features": list(state.names),
        "min_segment": smallest,
        "least": {called(one.options): least(one, smallest) for one in found},
        "table": [as_row(one, choice, smallest) for one in found],
        "words": list(choice.words),
        "notes": [*state.notes, *notes, *as_one(choice.best, state.names)],
        **{name: called(one.options) if one else None for name, one in chosen.items()},
        "tree_of": called(shown.options),
        "tree": merge_tree(shown.member[:, None]),
        "masked": masked(shown, judge.rows, state.names),
        "classics": None,
        "price": None,
    }
    if with_classics:
        if on_progress:
            on_progress(Progress("classics", 0, 1, "scikit-learn"))
        ours = {
            f"bayesseg: {called(one.options)}": one.member.argmax(1).astype(np.int64)
            for one in (choice.stable, choice.working)
            if one is not None
        }
        document["classics"] = classics(judge.rows, range(2, max(high, 2) + 1), ours, seed)
    if purchases is not None and isinstance(data, Customers):
        document["price"] = _priced(purchases, data, spec, chosen, shown, components, seed)
    return document


def masked(one: Candidate, rows: Array, names: Sequence[str]) -> list[dict[str, Any]]:
    """What is lost when a feature is not known: integrated out of every row's membership.

    Returns:
        Of each feature ``lost``, by how much the mean probability of the likeliest segment falls, and
        ``moved``, the share of rows sorted into another segment. Empty for one segment.
    """
    found = []
    for column, name in enumerate(names if one.components > 1 else ()):
        hidden = rows.copy()
        hidden[:, column] = np.nan
        member = scored(one.plan, one.theta, hidden)[0][:, 0]
        lost = float(one.member.max(1).mean() - member.max(1).mean())
        moved = float((member.argmax(1) != one.member.argmax(1)).mean())
        found.append({"feature": name, "lost": lost, "moved": moved})
    return found


def as_one(best: Candidate, names: Sequence[str]) -> list[str]:
    """Said where correlated shapes gain by arithmetic: two columns that are one inside a segment."""
    if "covariance" not in best.theta:
        return []
    spread = best.theta["covariance"][0]
    sd = np.sqrt(np.diagonal(spread, axis1=1, axis2=2))
    closest = np.abs(np.tril(spread / (sd[:, :, None] * sd[:, None]), -1)).max(0)
    a, b = divmod(int(closest.argmax()), len(closest))
    if closest[a, b] < AS_ONE:
        return []
    return [
        f"inside a segment of {called(best.options)}, {names[b]} and {names[a]} are nearly one number "
        f"(correlation {closest[a, b]:.3f}): part of what correlated shapes gain, and go on gaining "
        "with more segments, is arithmetic between columns"
    ]


def _priced(
    purchases: Purchases,
    data: Customers,
    spec: ModelSpec,
    chosen: Mapping[str, Candidate | None],
    shown: Candidate,
    within: tuple[int, int],
    seed: int,
) -> dict[str, Any] | None:
    """What each number of segments explains of the time after a cut; a short log has a shorter one.

    In the shape of ``shown``, then in that of every other candidate that was chosen; ``words`` are on
    the range asked for, ``of`` is the one to look into.
    """
    numbers = range(2, within[1] + 1)
    own = chosen["working"] or shown
    ladder = [{**own.options, "components": k} for k in numbers]
    others = [dict(one.options) for one in chosen.values() if one and one.components > 1]
    variants = [*ladder, *(one for n, one in enumerate(others) if one not in ladder + others[:n])]
    if not variants:
        return None
    days = min(LATER, int(data.t_end.max()) // 4)
    cut = data.as_of - timedelta(days=days)
    customers, found = price.prices(
        purchases,
        spec,
        variants,
        cut=cut,
        until=data.as_of,
        effort=QUICK,
        seed=seed,
        attributes=data.attributes,
    )
    inside = [one for one in found[: len(ladder)] if one.options["components"] >= within[0]]
    return {
        "cut": cut.isoformat(),
        "until": data.as_of.isoformat(),
        "days": days,
        "customers": customers,
        "table": [{"name": called(one.options), **price.as_row(one)} for one in found],
        "of": called(own.options) if own.components > 1 else None,
        "words": [price.worth(inside)] if inside else [],
    }
