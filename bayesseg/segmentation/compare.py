"""One table over the number of segments and their shape. L7.

Two rounds: every candidate is fitted and asked to predict held-out rows; then its segments are asked
to come back, which takes most of the time and which ``choose`` may ask of some only. Candidates share
nothing and have streams of their own: they run on all cores, in any order, with the same results.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from bayesseg._types import Array, IntArray, OnProgress, Progress
from bayesseg.errors import BayessegError, InputRejected, UsageError
from bayesseg.families._blocks import split
from bayesseg.families.gmm import Plan
from bayesseg.inference import modes as em
from bayesseg.segmentation.bootstrap import bootstrap, held_out, prediction_strength
from bayesseg.segmentation.gaps import merges
from bayesseg.segmentation.refits import (
    Effort,
    Layout,
    Theta,
    modes_of,
    plan_of,
    sampled,
    scored,
    with_options,
)
from bayesseg.spec import OPTIONS_OF, PartSpec

DF = 5.0
"""Degrees of freedom of Student-t candidates."""
RIVAL = 20.0
"""Nats within which another division with the same options is worth a word."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One segmentation and how well it fits. Sequences run over its segments, largest first.

    Attributes:
        options: what varies: ``components``, ``covariance`` ...
        plan, theta: blocks and the best mode, (1, K, ...).
        member: (n, K) memberships of the rows judged.
        parameters: free numbers of the whole mixture.
        own: those of one segment that stand or fall together: all of them where its covariance is
            its own and full, else those of one column.
        log_likelihood: at the mode; ``bic`` and ``icl`` follow (lower is better).
        densities: held-out log density of each row (n,), under the mode of the other folds.
        sizes: customers by membership, of all rows of the table.
        overlap: of each segment, how much it shares with its nearest other one.
        groups: how many groups remain when segments without a gap between them count as one.
        rivals: other modes within ``RIVAL`` nats of the posterior, nearest first.
        seconds: of processor time spent on this one.
        stability: whether it comes back; None until asked.
    """

    options: Mapping[str, Any]
    plan: Plan
    theta: Theta
    member: Array
    parameters: int
    own: int
    log_likelihood: float
    bic: float
    icl: float
    densities: Array
    sizes: tuple[float, ...]
    overlap: tuple[float, ...]
    groups: int
    rivals: tuple[Rival, ...]
    seconds: float
    stability: Stability | None = None

    @property
    def components(self) -> int:
        """How many segments."""
        return self.plan.components

    @property
    def density(self) -> float:
        """Mean held-out log density of a row, nats."""
        return float(self.densities.mean())


@dataclass(frozen=True, slots=True)
class Rival:
    """A lower mode: nats below the best, the Rand index of the two, its sizes, largest first."""

    nats_below_best: float
    agreement_with_best: float
    sizes: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Stability:
    """Whether segments come back.

    Mean bootstrap ``jaccard`` of each, mean adjusted ``rand`` index, prediction ``strength`` and the
    standard ``error`` that so many halves leave in it; ``rivals``: the share of refits that found other
    segments (Rand index below 0.95).
    """

    jaccard: tuple[float, ...]
    rand: float
    strength: float
    rivals: float
    error: float = 0.0


@dataclass(frozen=True, slots=True)
class Judge:
    """The rows on which all candidates are judged, and with which effort and seed."""

    rows: Array
    fold: IntArray
    customers: int
    effort: Effort
    seed: int

    def rng(self, options: Mapping[str, Any], purpose: int) -> np.random.Generator:
        """A stream of its own for each candidate and purpose, whatever else is asked."""
        own = hashlib.sha256(json.dumps(dict(options), sort_keys=True).encode()).digest()[:8]
        return np.random.default_rng([self.seed, int.from_bytes(own), purpose])


def judge_of(matrix: Array, effort: Effort, seed: int) -> Judge:
    """Rows and folds for ``matrix`` (N, D)."""
    if len(matrix) < 2 * effort.folds:
        raise InputRejected(
            f"{len(matrix)} customers are too few to compare segmentations",
            fix=f"give at least {2 * effort.folds}; segments worth having need hundreds",
            code="too_few",
        )
    rng = np.random.default_rng([seed, 0])
    rows = sampled(matrix, effort.rows, rng)
    return Judge(rows, rng.permutation(len(rows)) % effort.folds, len(matrix), effort, seed)


def gap(candidate: Candidate, best: Candidate) -> tuple[float, float]:
    """How far a candidate's held-out density lies below the best's: nats per row, paired error."""
    difference = best.densities - candidate.densities
    return float(difference.mean()), float(difference.std() / math.sqrt(len(difference)))


def called(options: Mapping[str, Any]) -> str:
    """``K = 3, diag, Student-t``: a candidate in words."""
    tails = "Student-t" if options.get("tails") == "t" else ""
    shape = [options.get("covariance", ""), tails]
    return ", ".join([f"K = {options['components']}", *filter(None, shape)])


def variants_of(
    part: PartSpec, covariances: Sequence[str], tails: Sequence[str]
) -> list[dict[str, Any]]:
    """Every covariance with every kind of tails; an empty sequence is the part's own.

    Raises:
        UsageError: one is not known.
    """
    own = part.options
    for key, given in (("covariance", covariances), ("tails", tails)):
        choices = OPTIONS_OF["segments"][key] or ()
        for name in given:
            if name not in choices:
                raise UsageError(
                    f"{key} {name!r} is not known", fix=f"choices: {', '.join(choices)}"
                )
    found = []
    for covariance, tail in product(
        covariances or [own["covariance"]], tails or [own.get("tails", "normal")]
    ):
        one: dict[str, Any] = {"covariance": covariance, "tails": tail}
        found.append(one | ({"df": own.get("df") or DF} if tail == "t" else {}))
    return found


def compare(
    judge: Judge,
    part: PartSpec,
    layout: Layout,
    components: Sequence[int],
    variants: Sequence[Mapping[str, Any]] = ({},),
    on_progress: OnProgress | None = None,
) -> tuple[list[Candidate], list[str]]:
    """Fit each number of segments under each variant of the options; stability comes later.

    Args:
        judge: rows, folds, effort.
        part: the ``[segments]`` part; its priors serve every candidate.
        layout: what the columns are.
        components: numbers of segments; 1 is always among them.
        variants: other options, such as ``{"covariance": "full"}``.
        on_progress: told of each candidate.

    Returns:
        The candidates, and why others were left out.
    """
    grid = [(k, dict(v)) for v in variants for k in sorted({1, *components})]
    found: list[Candidate] = []
    notes: list[str] = []
    n = len(judge.rows)
    if n < judge.customers:
        notes.append(f"judged on {n:,} of {judge.customers:,} customers, drawn at random")
    jobs: list[tuple[Plan, dict[str, Any], bool]] = []
    for k, others in grid:
        options = {"components": k, **others}
        own = with_options(part, **options)
        try:
            jobs.append((plan_of(own, layout), options, own.options["covariance"] == "full"))
        except BayessegError as error:
            notes.append(f"{called(options)} left out: {error.message}")

    def fit(job: tuple[Plan, dict[str, Any], bool]) -> Candidate:
        plan, options, full = job
        return fitted(judge, plan, options, together=full)

    for one in side_by_side(fit, jobs, [called(job[1]) for job in jobs], "compare", on_progress):
        if np.isfinite(one.log_likelihood + one.density):
            found.append(one)
        else:
            notes.append(f"{called(one.options)} left out: it has no density on these rows")
    return found, notes


def side_by_side[A, B](
    work: Callable[[A], B],
    items: Sequence[A],
    names: Sequence[str],
    stage: str,
    on_progress: OnProgress | None,
) -> Iterator[B]:
    """The work on each item, in their order but done on all cores.

    Compiled code lets go of the interpreter. The last items, with most segments, begin first.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        begun = [pool.submit(work, item) for item in reversed(items)][::-1]
        try:
            for done, (one, name) in enumerate(zip(begun, names, strict=True)):
                if on_progress:
                    on_progress(Progress(stage, done, len(items), name))
                yield one.result()
        finally:
            for one in begun:
                one.cancel()
    if on_progress:
        on_progress(Progress(stage, len(items), len(items)))


def fitted(judge: Judge, plan: Plan, options: Mapping[str, Any], *, together: bool) -> Candidate:
    """One candidate, segments by falling size; its stability is not asked yet.

    ``together``: the parameters of a segment are estimated together, not column by column.
    """
    began = time.thread_time()
    rows, rng = judge.rows, judge.rng(options, 1)
    found = modes_of(plan, rows, judge.effort, rng)
    theta = em.take(found.theta, slice(1))
    joint, _ = scored(plan, theta, rows)
    order = np.argsort(-joint[:, 0].sum(0), kind="stable")
    theta = {name: values[:, order] for name, values in theta.items()}
    joint, density = scored(plan, theta, rows)
    member, likelihood = np.ascontiguousarray(joint[:, 0]), float(density.sum())
    whole, own = free_parameters(plan, theta, rows, rng)
    bic = whole * math.log(len(rows)) - 2.0 * likelihood
    entropy = -float((member * np.log(np.maximum(member, 1e-300))).sum())
    return Candidate(
        options=dict(options),
        plan=plan,
        theta=theta,
        member=member,
        parameters=whole,
        own=own if together else math.ceil(own / rows.shape[1]),
        log_likelihood=likelihood,
        bic=bic,
        icl=bic + 2.0 * entropy,
        densities=held_out(plan, rows, theta, judge.effort, judge.fold, rng),
        sizes=tuple((member.sum(0) * judge.customers / len(rows)).tolist()),
        overlap=tuple(_overlap(member).tolist()),
        groups=plan.components - len(merges(member, rows, theta)),
        rivals=_rivals(found, judge.customers / len(rows)),
        seconds=time.thread_time() - began,
    )


def _rivals(found: em.Modes, each: float) -> tuple[Rival, ...]:
    """Modes that are not the best and near it; a row stands for ``each`` customers."""
    below = found.log_posterior[0] - found.log_posterior
    first, K = found.allocation[0], found.theta["weights"].shape[1]
    return tuple(
        Rival(
            float(nats),
            em.rand_index(first, label),
            tuple(sorted((np.bincount(label, minlength=K) * each).tolist(), reverse=True)),
        )
        for nats, label in zip(below[1:], found.allocation[1:], strict=True)
        if nats <= RIVAL
    )


def with_stability(judge: Judge, candidate: Candidate) -> Candidate:
    """The candidate, asked whether its segments come back."""
    if candidate.stability is not None:
        return candidate
    began = time.thread_time()
    K = candidate.components
    if K == 1:
        return replace(candidate, stability=Stability((1.0,), 1.0, 1.0, 0.0))
    rng = judge.rng(candidate.options, 2)
    plan, rows, theta = candidate.plan, judge.rows, candidate.theta
    again = bootstrap(plan, rows, candidate.member, theta, judge.effort, rng)
    strength = prediction_strength(plan, rows, theta, judge.effort, rng)
    found = Stability(
        tuple(again.jaccard.mean(0).tolist()),
        float(again.rand.mean()),
        float(strength.mean()),
        float((again.rand < em.SAME_MODE).mean()),
        float(strength.std(ddof=1)) / math.sqrt(len(strength)),
    )
    spent = candidate.seconds + time.thread_time() - began
    return replace(candidate, stability=found, seconds=spent)


def with_all_stability(
    judge: Judge, candidates: Sequence[Candidate], on_progress: OnProgress | None = None
) -> list[Candidate]:
    """Every candidate, asked whether its segments come back."""
    names = [f"does {called(one.options)} come back?" for one in candidates]
    ask = partial(with_stability, judge)
    return list(side_by_side(ask, list(candidates), names, "stability", on_progress))


def free_parameters(
    plan: Plan, theta: Theta, rows: Array, rng: np.random.Generator
) -> tuple[int, int]:
    """Free numbers of the whole mixture, and those of one segment.

    Counted in a random draw of the parameters, as distinct values: what is tied between segments,
    mirrored or shared between features stands there more than once.
    """
    _, _, stats = em.expect(plan, theta, split(plan.blocks, rows[:1]))
    whole, own = plan.components - 1, 0
    for block, stat in zip(plan.blocks, stats, strict=True):
        at = block.own(theta)
        for values, fixed in zip(block.draw(stat, at, block.prior, rng), at, strict=True):
            if not np.array_equal(values, fixed):
                whole += _distinct(values[0])
                own += _distinct(values[0, 0])
    return whole, own


def _distinct(values: Array) -> int:
    return len(np.unique(np.round(values, 10)))


def _overlap(member: Array) -> Array:
    """Of each segment, the share of its members that its nearest other segment also claims: (K,)."""
    shared = member.T @ member
    np.fill_diagonal(shared, 0.0)
    return np.asarray((shared / member.sum(0)[:, None]).max(1))
