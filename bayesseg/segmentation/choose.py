"""How many segments: the stable number, the working one, and what to say of them. L7.

No rule finds a true number: under any misspecification the best-fitting one grows with the data (Cai,
Campbell & Broderick 2021). The *stable* number is the smallest whose segments come back when the
customers are drawn again, and which predicts held-out customers about as well as any. The *working*
number lies in the range a business asks for, and is labelled a cut where it is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bayesseg._types import Array, OnProgress, Progress
from bayesseg.inference.modes import rand_index
from bayesseg.segmentation.bootstrap import STABLE
from bayesseg.segmentation.compare import (
    Candidate,
    Judge,
    Stability,
    called,
    compare,
    gap,
    judge_of,
    variants_of,
    with_stability,
)
from bayesseg.segmentation.refits import QUICK, Effort, Layout
from bayesseg.spec import PartSpec

STRENGTH = 0.8
"""Least prediction strength (Tibshirani & Walther 2005)."""
NEAR, NATS = 2.0, 0.01
"""As good as the best: within so many standard errors, or so many nats per row."""
OTHERWISE = 0.8
"""As many segments divide the customers otherwise where they agree less (adjusted Rand index)."""
OVERLAPS = 0.1
"""A natural segment shares at most this much of its members with any other one."""
ROWS_PER_PARAMETER = 3
MIN_SEGMENT = 50
PLAINLY = 0.05
"""Plainly better: by so many nats per row, and by more than ``NEAR`` standard errors."""
AUTO = (1, 8)
"""The numbers that ``components = "auto"`` looks at."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What the rule says.

    Attributes:
        stable: the recommended candidate.
        working: the candidate for the range asked for; None where there is none in it.
        runner_up: of the eligible candidates that divide the customers otherwise the best-predicting
            one; one group only where there is no other.
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
        found.append(f"halves disagree (prediction strength {asked.strength:.3f})")
    if min(candidate.sizes) < least(candidate, min_segment):
        found.append(
            f"the smallest segment has {min(candidate.sizes):,.0f} of the "
            f"{least(candidate, min_segment)} customers it needs"
        )
    return tuple(found)


def _unstable(candidate: Candidate) -> bool:
    asked = candidate.stability
    return asked is None or min(asked.jaccard) < STABLE or asked.strength < STRENGTH


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
    clear = [one for one in eligible if kind(one, min_segment) == "natural"]
    one_crowd = shape.components > 1 and shape.groups == 1
    stable = min(eligible, key=lambda one: one.components) if one_crowd else shape
    others = [one for one in eligible if _agreement(one, stable) < OTHERWISE]
    others = [one for one in others if one.components > 1] or others
    runner = shape if one_crowd else max(others, key=lambda one: one.density, default=None)
    shaded = 1 < stable.groups < stable.components
    natural = max(clear, key=lambda one: one.density, default=None) if shaded else None
    words = [*_answer(stable, shape, natural, min_segment), *_limits(shape, best, min_segment)]
    if stable.components == 1 and clear:
        lone = max(clear, key=lambda one: one.density)
        words.append(
            f"Between the segments of {called(lone.options)} a gap shows, but it predicts held-out "
            "customers "
            + (
                f"worse than {called(shape.options)}, between whose segments there is none."
                if one_crowd
                else "no better than one group."
            )
        )
    most = max(one.components for one in candidates)
    if best.components == most > 1:
        words.append(f"More than {most} segments were not tried, and {most} fit best.")
    if runner is not None and runner is not shape:
        words.append(
            f"Runner-up: {called(runner.options)} ({_class(runner, stable, min_segment)}), "
            f"{_beside(runner, best)}."
        )
        if runner.components == stable.components:
            words.append(
                f"It divides the customers otherwise (Rand index {_agreement(runner, stable):.2f}): "
                "look at both before you name segments."
            )
    words += _alike(candidates, stable, runner, best, min_segment)
    words += _rivals(stable)
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
            found[i] = with_stability(judge, one)
            if answer is None and not against(found[i], min_segment):
                answer = found[i]
    if on_progress:
        on_progress(Progress("stability", len(order), len(order)))
    return found


def _alike(
    candidates: Sequence[Candidate],
    stable: Candidate,
    runner: Candidate | None,
    best: Candidate,
    min_segment: int,
) -> list[str]:
    """The next shape with as many segments: it may sort the customers as the answer does, or better."""
    found = [
        one
        for one in candidates
        if one.components == stable.components > 1
        and one is not stable
        and one is not runner
        and one.stability is not None
    ]
    if not found:
        return []
    one = max(found, key=lambda one: one.density)
    return [
        f"As many segments of another shape: {called(one.options)} "
        f"({_class(one, stable, min_segment)}), {_beside(one, best)}, agrees with the stable one at "
        f"{_agreement(one, stable):.2f} (Rand index)."
    ]


def _rivals(stable: Candidate) -> list[str]:
    """The nearest other division with the same options, where one is near."""
    return [
        f"Another division of {called(stable.options)} lies {one.nats_below_best:.1f} nats below its "
        f"best and agrees with it at {one.agreement_with_best:.2f} (Rand index): chains of a fit may "
        "settle in either."
        for one in stable.rivals[:1]
    ]


def _class(one: Candidate, stable: Candidate, min_segment: int) -> str:
    """The class beside the answer: where that is one group, none is called natural."""
    found = kind(one, min_segment)
    return "reproducible" if found == "natural" and stable.components == 1 else found


def _agreement(one: Candidate, other: Candidate) -> float:
    """Adjusted Rand index of their likeliest segments; 0 with another number of segments."""
    if one.components != other.components:
        return 0.0
    return rand_index(one.member.argmax(1), other.member.argmax(1))


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
    word, again = kind(stable, min_segment), came_back(stable)
    found = [
        f"Stable: {called(stable.options)} ({word}): every segment comes back (smallest Jaccard "
        f"{min(again.jaccard):.2f}, prediction strength {again.strength:.2f})."
    ]
    if again.strength - STRENGTH < NEAR * again.error:
        found.append(
            f"It passes narrowly: prediction strength {again.strength:.3f} ± {again.error:.3f}, "
            f"{STRENGTH} wanted. Other halves may give another answer, such as the runner-up."
        )
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
    by = "size" if reasons[:1] and not _unstable(best) else "stability"
    return [
        f"Limited by {by}: {called(best.options)} predicts held-out customers better by "
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
    word = _class(working, stable, min_segment)
    reasons = against(working, min_segment)
    cut = ": a cut made for use" if word == "constructive" else ""
    why = f"; {'; '.join(reasons)}" if reasons else ""
    return f"Working, from {span}: {called(working.options)} ({word}{cut}{why})."


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
        "words": [*choice.words, *_elsewhere(judge, part, layout, choice.stable)],
        "notes": notes,
        "table": [as_row(one, choice, least_size) for one in found],
    }


def _elsewhere(judge: Judge, part: PartSpec, layout: Layout, own: Candidate) -> list[str]:
    """Said where as many segments of another shape plainly predict better: what K alone cannot mend."""
    kept = part.options["covariance"], part.options.get("tails", "normal")
    every = variants_of(part, tuple(dict.fromkeys((kept[0], "diag", "full"))), ("normal", "t"))
    others = [one for one in every if (one["covariance"], one["tails"]) != kept]
    found, _ = compare(judge, part, layout, [own.components], others)
    alike = [own, *(one for one in found if one.components == own.components)]
    best = max(alike, key=lambda one: one.density)
    below, error = gap(own, best)
    if below <= max(NEAR * error, PLAINLY):
        return []
    return [
        f"K = {own.components} was chosen among segments that are {' and '.join(kept)}: "
        f"{called(best.options)} predicts held-out customers better by {below:.2f} ± {error:.2f} nats "
        "each. bayesseg compare asks other covariances and Student-t tails too."
    ]


def as_row(one: Candidate, choice: Choice, min_segment: int) -> dict[str, Any]:
    """A candidate as JSON: every number of the table, its class and what speaks against it.

    ``log_likelihood``, ``bic`` and ``icl`` are ``at`` the posterior mode, which priors pull a little
    below the maximum of the likelihood.
    """
    below, error = gap(one, choice.best)
    again = one.stability
    return {
        **one.options,
        "parameters": one.parameters,
        "rows": len(one.member),
        "log_likelihood": one.log_likelihood,
        "at": "posterior mode",
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
        "rivals": [asdict(rival) for rival in one.rivals],
        "kind": _class(one, choice.stable, min_segment) if again else None,
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
