"""Gaps between segments: the dip, and what merges without one."""

import numpy as np
import pytest
from scipy.optimize import linprog

from bayesseg.segmentation.gaps import DIP, depth, dip, merges


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


def test_five_in_a_hundred_uniform_samples_reach_the_limit():
    rng = np.random.default_rng(1)
    reached = [np.sqrt(400) * dip(np.sort(rng.random(400))) > DIP for _ in range(600)]
    assert np.mean(reached) == pytest.approx(0.05, abs=0.025)


def soft(values, centres, sd=1.0):
    density = np.exp(-0.5 * ((values[:, None] - np.asarray(centres)) / sd) ** 2)
    return density / density.sum(1, keepdims=True)


def test_a_cut_through_one_crowd_is_no_gap():
    values = np.random.default_rng(2).random(2000) * 4
    assert depth(*soft(values, [1.0, 3.0], 0.6).T) < DIP


def test_pieces_of_one_group_merge_and_the_other_group_stays():
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(0, 1, 1000), rng.normal(8, 1, 1000)])
    found = merges(soft(values, [-0.7, 0.7, 8.0]))
    assert [one.segments for one in found] == [((0,), (1,))]


def test_the_whole_dendrogram_ends_in_one_group():
    rng = np.random.default_rng(3)
    values = np.concatenate([rng.normal(0, 1, 1000), rng.normal(8, 1, 1000)])
    found = merges(soft(values, [-0.7, 0.7, 8.0]), over_gaps=True)
    assert len(found) == 2
    assert sorted(k for part in found[-1].segments for k in part) == [0, 1, 2]
