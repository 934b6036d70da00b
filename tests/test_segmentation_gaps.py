"""Gaps between segments: the dip, and what merges without one."""

import numpy as np
import pytest
from scipy.optimize import linprog
from segmentation_case import part, scaled

from bayesseg.segmentation.gaps import DIP, depth, dip, log_odds, merges
from bayesseg.segmentation.refits import Effort, mode_of, plan_of, scored, with_options
from bayesseg.spec import load_spec


def dip_by_definition(values):
    """Least distance to a distribution convex up to a mode and concave after it, by linear programs.

    The mode lies between two neighbours; the distribution is free there. Unknowns: its values at the
    points, and the distance.
    """
    n = len(values)
    width = np.diff(values)
    best = np.inf
    for mode in range(n - 1):
        rows, limits = [], []

        def at_most(coefficients, limit, rows=rows, limits=limits):
            row = np.zeros(n + 1)
            for place, value in coefficients:
                row[place] += value
            rows.append(row)
            limits.append(limit)

        for i in range(n):
            at_most([(i, 1.0), (n, -1.0)], i / n)  # the empirical one jumps from i/n ...
            at_most([(i, -1.0), (n, -1.0)], -(i + 1) / n)  # ... to (i + 1)/n
            if i:
                at_most([(i - 1, 1.0), (i, -1.0)], 0.0)
        for i in range(n - 2):
            sign = 1.0 if i + 1 <= mode else -1.0 if i >= mode + 1 else 0.0
            left, right = sign / width[i], sign / width[i + 1]
            at_most([(i + 1, left), (i, -left), (i + 2, -right), (i + 1, right)], 0.0)
        found = linprog(np.eye(n + 1)[n], rows, limits, bounds=[(0, 1)] * n + [(0, None)])
        best = min(best, found.fun)
    return best


@pytest.mark.parametrize("seed", range(8))
def test_dip_is_the_distance_to_the_nearest_unimodal_distribution(seed):
    rng = np.random.default_rng(seed)
    values = np.sort(np.concatenate([rng.normal(0, 1, 6), rng.normal(4, 0.5 + seed / 4, 6)]))
    assert dip(values) == pytest.approx(dip_by_definition(values), abs=1e-9)


def test_dip_of_two_far_points_is_a_quarter():
    values = np.sort(np.concatenate([np.linspace(0, 1e-6, 50), np.linspace(1, 1 + 1e-6, 50)]))
    assert dip(values) == pytest.approx(0.25, abs=0.01)


def test_one_in_a_hundred_uniform_samples_reaches_the_limit():
    rng = np.random.default_rng(1)
    reached = [np.sqrt(400) * dip(np.sort(rng.random(400))) > DIP for _ in range(2000)]
    assert np.mean(reached) == pytest.approx(0.01, abs=0.008)


def segmented(values, K, **options):
    """The best mixture of K segments: memberships, scaled rows, parameters."""
    rows = scaled(values)
    plan = plan_of(with_options(part(), components=K, **options), (rows.shape[1], 0, (), 0))
    theta, _ = mode_of(plan, rows, Effort(2000, 10, 1, 1), np.random.default_rng(1))
    return scored(plan, theta, rows)[0][:, 0], rows, theta


def groups_of(values, K, **options):
    return K - len(merges(*segmented(values, K, **options)))


SHAPES = [
    {"covariance": covariance, **tails}
    for covariance in ("diag", "full")
    for tails in ({"tails": "normal"}, {"tails": "t", "df": 5.0})
]


def arch(rng):
    """Days since the last purchase against days active, as logarithms: a bent line."""
    share = rng.random(1000)
    return np.log(1.0 + 400 * np.stack([share, 1 - share], 1) + 3 * rng.random((1000, 2)))


@pytest.mark.parametrize(
    "crowd",
    [
        lambda rng: rng.random((1000, 2)),
        lambda rng: np.stack([10 * rng.random(1000), rng.normal(size=1000)], axis=1),
        lambda rng: rng.normal(size=(1000, 2)),
        lambda rng: rng.standard_t(3, (1000, 2)),
        lambda rng: rng.exponential(size=(1000, 2)),
        arch,
    ],
    ids=["box", "band", "gaussian", "student", "exponential", "arch"],
)
def test_no_crowd_has_gaps_whatever_shapes_its_pieces_are_given(crowd):
    values = crowd(np.random.default_rng(2))
    found = {groups_of(values, K, **shape) for shape in SHAPES for K in (2, 4)}
    assert found == {1}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pieces_of_one_group_merge_and_the_other_group_stays(shape):
    rng = np.random.default_rng(3)
    values = rng.normal(size=(1000, 2))
    values[500:] += 6.0
    assert {groups_of(values, K, **shape) for K in (2, 3, 4)} == {2}


def test_a_small_group_far_from_a_large_one_is_not_lost():
    rng = np.random.default_rng(4)
    values = rng.normal(size=(1500, 2))
    values[:60] += 8.0
    assert groups_of(values, 2, covariance="diag") == 2


def test_a_gap_among_yes_or_no_columns_is_seen():
    rng = np.random.default_rng(5)
    chance = np.where(rng.random(800) < 0.5, 0.02, 0.98)[:, None]
    rows = (rng.random((800, 8)) < chance).astype(float)
    own = with_options(load_spec("retail").parts["segments"], components=2)
    plan = plan_of(own, (0, 8, (), 0))
    theta, _ = mode_of(plan, rows, Effort(2000, 10, 1, 1), np.random.default_rng(1))
    assert merges(scored(plan, theta, rows)[0][:, 0], rows, theta) == []


def test_a_merge_says_which_segments_and_how_deep():
    member, rows, theta = segmented(np.random.default_rng(6).random((600, 2)), 2)
    (one,) = merges(member, rows, theta)
    assert sorted(one.segments) == [((0,)), ((1,))]
    odds = log_odds(rows, theta, *one.segments)
    held = [member[:, list(part)].sum(1) for part in one.segments]
    assert one.depth == depth(odds, *held) < DIP
