"""How many segments: the stable number, the working one, and what to say of them. L7.

No rule finds a true number: under any misspecification the best-fitting one grows with the data (Cai,
Campbell & Broderick 2021). The *stable* number is the smallest whose segments come back when the
customers are drawn again, and which predicts held-out customers about as well as any. The *working*
number lies in the range a business asks for, and is labelled a cut where it is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bayesseg._types import Array, OnProgress, Progress
from bayesseg.segmentation.bootstrap import STABLE
from bayesseg.segmentation.compare import (
    Candidate,
    Judge,
    Stability,
    called,
    compare,
    gap,
    judge_of,
    with_stability,
)
from bayesseg.segmentation.refits import QUICK, Effort, Layout
from bayesseg.spec import PartSpec

STRENGTH = 0.8
"""Least prediction strength (Tibshirani & Walther 2005)."""
NEAR, NATS = 2.0, 0.01
"""As good as the best: within so many standard errors, or so many nats per row."""
OVERLAPS = 0.1
"""A natural segment shares at most this much of its members with any other one."""
ROWS_PER_PARAMETER = 3
MIN_SEGMENT = 50
AUTO = (1, 8)
"""The numbers that ``components = "auto"`` looks at."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the rule says.

    Attributes:
        stable: the recommended candidate.
        working: the candidate for the range asked for; None where there is none in it.
        runner_up: of the eligible candidates with another number of segments the best-predicting one.
        natural: where the stable one has fewer groups than segments, the best-predicting natural one.
        best: the highest held-out density of all.
        words: the reasons, a sentence each, the first the answer.
    """

    stable: Candidate
    working: Candidate | None
    runner_up: Candidate | None
    natural: Candidate | None
    best: Candidate
    words: tuple[str, ...]


def least(candidate: Candidate, min_segment: int) -> int:
    """Customers the smallest segment of a candidate must have."""
    return max(min_segment, ROWS_PER_PARAMETER * candidate.own)


def smallest_of(rows: int) -> int:
    """The default least size: 50, less where a twentieth of the rows is less, never below 20."""
    return max(20, min(MIN_SEGMENT, rows // 20))


def against(candidate: Candidate, min_segment: int) -> tuple[str, ...]:
    """Why a candidate is not eligible; nothing if it is, as far as it was asked."""
    if candidate.components == 1:
        return ()
    asked, found = candidate.stability, []
    if asked is not None and min(asked.jaccard) < STABLE:
        found.append(f"a segment does not come back (Jaccard {min(asked.jaccard):.2f})")
    if asked is not None and asked.strength < STRENGTH:
        found.append(f"halves disagree (prediction strength {asked.strength:.2f})")
    if min(candidate.sizes) < least(candidate, min_segment):
        found.append(
            f"the smallest segment has {min(candidate.sizes):,.0f} of the "
            f"{least(candidate, min_segment)} customers it needs"
        )
    return tuple(found)


def came_back(candidate: Candidate) -> Stability:
    """The stability of a candidate of which it was asked."""
    assert candidate.stability is not None
    return candidate.stability


def kind(candidate: Candidate, min_segment: int) -> str:
    """Dolnicar's class: ``natural``, ``reproducible`` or ``constructive``; ``one group`` for K = 1.

    Natural segments are stable, overlap by less than a tenth and have a gap between every two.
    """
    if candidate.components == 1:
        return "one group"
    if against(candidate, min_segment):
        return "constructive"
    clear = max(candidate.overlap) < OVERLAPS and candidate.groups == candidate.components
    return "natural" if clear else "reproducible"


def choose(
    candidates: Sequence[Candidate],
    *,
    min_segment: int,
    within: tuple[int, int] | None = None,
) -> Choice:
    """Apply the rule to a table that holds K = 1.

    Eligible are candidates whose segments all come back (bootstrap Jaccard 0.75, prediction strength
    0.8) and are large enough. Of these, the smallest whose held-out density is within two standard
    errors or 0.01 nats per row of the best; if none is, the smallest as near to the best eligible one.
    Where nothing separates its segments from one another, there is one group.

    Args:
        candidates: from ``compare``.
        min_segment: least customers in a segment.
        within: the range a working number is wanted from.
    """
    best = max(candidates, key=lambda one: one.density)
    eligible = sorted(
        (one for one in candidates if one.stability and not against(one, min_segment)),
        key=lambda one: (one.components, -one.density),
    )
    top = max(eligible, key=lambda one: one.density)
    near = [one for one in eligible if _near(one, best)]
    shape = near[0] if near else next(one for one in eligible if _near(one, top))
    one_crowd = shape.components > 1 and shape.groups == 1
    stable = min(eligible, key=lambda one: one.components) if one_crowd else shape
    others = [one for one in eligible if one.components != stable.components]
    runner = shape if one_crowd else max(others, key=lambda one: one.density, default=None)
    clear = [one for one in eligible if kind(one, min_segment) == "natural"]
    shaded = 1 < stable.groups < stable.components
    natural = max(clear, key=lambda one: one.density, default=None) if shaded else None
    words = [*_answer(stable, shape, natural, min_segment), *_limits(shape, best, min_segment)]
    most = max(one.components for one in candidates)
    if best.components == most > 1:
        words.append(f"More than {most} segments were not tried, and {most} fit best.")
    if runner is not None and runner is not shape:
        words.append(
            f"Runner-up: {called(runner.options)} ({kind(runner, min_segment)}), "
            f"{_beside(runner, best)}."
        )
    working = _working(candidates, stable, within, min_segment)
    if within is not None:
        words.append(_working_words(working, stable, within, min_segment))
    return Choice(stable, working, runner, natural, best, tuple(words))


def asked(
    judge: Judge,
    candidates: Sequence[Candidate],
    min_segment: int,
    on_progress: OnProgress | None = None,
) -> list[Candidate]:
    """The candidates, asked whether they come back until the rule has its answer."""
    found, best = list(candidates), max(candidates, key=lambda one: one.density)
    near = [_near(one, best) for one in found]
    order = sorted(
        range(len(found)),
        key=lambda i: (not near[i], found[i].components if near[i] else 0, -found[i].density),
    )
    wanted = {i for i, one in enumerate(found) if one.components == 1}
    answer: Candidate | None = None
    for done, i in enumerate(order):
        if on_progress:
            message = f"does {called(found[i].options)} come back?"
            on_progress(Progress("stability", done, len(order), message))
        one = found[i]
        rival = answer is None or (one.components < answer.components and _near(one, answer))
        if i in wanted or (rival and not against(one, min_segment)):
            found[i] = with_stability(judge, one, i)
            if answer is None and not against(found[i], min_segment):
                answer = found[i]
    if on_progress:
        on_progress(Progress("stability", len(order), len(order)))
    return found


def _near(one: Candidate, best: Candidate) -> bool:
    below, error = gap(one, best)
    return below <= max(NEAR * error, NATS)


def _beside(one: Candidate, best: Candidate) -> str:
    if one is best:
        return "the best held-out density"
    below, error = gap(one, best)
    return f"{below:.3f} ± {error:.3f} nats per customer below the best held-out density"


def _answer(
    stable: Candidate, shape: Candidate, natural: Candidate | None, min_segment: int
) -> list[str]:
    if stable.components == 1:
        found = ["The data support no more than one group."]
        if shape.components > 1:
            found.append(
                f"{called(shape.options)} describes its shape better and comes back every time, but no "
                "gap can be shown between its segments: a cut through one crowd, not a discovery."
            )
        return found
    word = kind(stable, min_segment)
    found = [
        f"Stable: {called(stable.options)} ({word}): every segment comes back (smallest Jaccard "
        f"{min(came_back(stable).jaccard):.2f}, prediction strength "
        f"{came_back(stable).strength:.2f})."
    ]
    if stable.groups < stable.components:
        found.append(
            f"Of its {stable.components} segments only {stable.groups} groups have a gap between "
            "them; the others shade into one another."
        )
        if natural is not None:
            found.append(f"Natural, with gaps between all its segments: {called(natural.options)}.")
    elif word == "reproducible":
        found.append(f"Its segments overlap (up to {max(stable.overlap):.0%} of the members).")
    return found


def _limits(shape: Candidate, best: Candidate, min_segment: int) -> list[str]:
    if _near(shape, best):
        return []
    reasons = against(best, min_segment)
    why = f", but {reasons[0]}" if reasons else ""
    return [
        f"Limited by stability: {called(best.options)} predicts held-out customers better by "
        f"{gap(shape, best)[0]:.3f} nats each{why}."
    ]


def _working(
    candidates: Sequence[Candidate],
    stable: Candidate,
    within: tuple[int, int] | None,
    min_segment: int,
) -> Candidate | None:
    """In the range: the stable one, else the best density of the eligible, else what wobbles least."""
    if within is None:
        return None
    inside = [one for one in candidates if within[0] <= one.components <= within[1]]
    if stable in inside or not inside:
        return stable if inside else None
    eligible = [one for one in inside if not against(one, min_segment)]
    if eligible:
        return max(eligible, key=lambda one: one.density)
    inside = [one for one in inside if one.stability]
    large = [one for one in inside if min(one.sizes) >= least(one, min_segment)]
    return max(large or inside, key=lambda one: min(came_back(one).jaccard))


def _working_words(
    working: Candidate | None, stable: Candidate, within: tuple[int, int], min_segment: int
) -> str:
    span = f"{within[0]} to {within[1]}"
    if working is None:
        return f"Working: no candidate with {span} segments could be judged."
    if working is stable:
        return f"Working, from {span}: the same."
    word = kind(working, min_segment)
    reasons = against(working, min_segment)
    why = f"; {'; '.join(reasons)}" if reasons else ""
    return f"Working, from {span}: {called(working.options)} ({word}: a cut made for use{why})."


def automatic(
    matrix: Array,
    part: PartSpec,
    layout: Layout,
    *,
    seed: int,
    components: tuple[int, int] = AUTO,
    effort: Effort = QUICK,
    on_progress: OnProgress | None = None,
) -> tuple[int, dict[str, Any]]:
    """The number of segments for ``components = "auto"``, and why.

    Args:
        matrix: (N, D) features on their learned scale.
        part: the ``[segments]`` part; its covariance and priors are kept.
        layout: what the columns are.
        seed: of samples and refits.
        components: both ends of the numbers tried.
        effort: quick by default: seconds.
        on_progress: told of each number tried.

    Returns:
        K, and JSON-able facts for the run: ``words`` and ``table``.
    """
    judge = judge_of(matrix, effort, seed)
    span = range(components[0], components[1] + 1)
    found, notes = compare(judge, part, layout, span, on_progress=on_progress)
    least_size = smallest_of(len(matrix))
    found = asked(judge, found, least_size, on_progress)
    choice = choose(found, min_segment=least_size)
    return choice.stable.components, {
        "components": choice.stable.components,
        "words": list(choice.words),
        "notes": notes,
        "table": [as_row(one, choice, least_size) for one in found],
    }


def as_row(one: Candidate, choice: Choice, min_segment: int) -> dict[str, Any]:
    """A candidate as JSON: every number of the table, its class and what speaks against it."""
    below, error = gap(one, choice.best)
    again = one.stability
    return {
        **one.options,
        "parameters": one.parameters,
        "rows": len(one.member),
        "log_likelihood": one.log_likelihood,
        "bic": one.bic,
        "icl": one.icl,
        "density": one.density,
        "below_best": below,
        "below_best_se": error,
        "jaccard": list(again.jaccard) if again else None,
        "rand": again.rand if again else None,
        "prediction_strength": again.strength if again else None,
        "other_modes": again.rivals if again else None,
        "sizes": list(one.sizes),
        "overlap": list(one.overlap),
        "groups": one.groups,
        "kind": kind(one, min_segment) if again else None,
        "against": list(against(one, min_segment)),
        "chosen": _role(one, choice),
        "seconds": round(one.seconds, 3),
    }


def _role(one: Candidate, choice: Choice) -> str:
    roles: Mapping[str, Candidate | None] = {
        "stable": choice.stable,
        "working": choice.working,
        "runner-up": choice.runner_up,
        "natural": choice.natural,
    }
    return next((name for name, chosen in roles.items() if chosen is one), "")
