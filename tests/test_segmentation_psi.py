"""The stability index and its null."""

import numpy as np
import pytest
from scipy.stats import chi2

from bayesseg.segmentation.psi import Shift, bins, index, shift

NOBODY = np.array([], dtype=np.int64), np.array([], dtype=np.int64)


def test_index_is_the_textbook_sum():
    before, after = np.array([1e7, 2e7, 1e7]), np.array([2e7, 1e7, 1e7])
    p, q = before / 4e7, after / 4e7
    expected = np.sum((q - p) * np.log(q / p))
    assert index(before, after) == pytest.approx(expected, rel=1e-6)


def test_null_of_different_customers_is_chi_squared():
    rng = np.random.default_rng(1)
    before, after = rng.integers(10, size=2000), rng.integers(10, size=3000)
    expected = (1 / 2000 + 1 / 3000) * chi2.ppf(0.99, 9)
    assert shift(before, after, NOBODY, rng).null == pytest.approx(expected, rel=0.15)


def test_null_of_customers_who_stay_where_they_are_is_narrower():
    rng = np.random.default_rng(2)
    before = rng.integers(10, size=2000)
    after = np.where(rng.random(2000) < 0.05, rng.integers(10, size=2000), before)
    everybody = np.arange(2000), np.arange(2000)
    same, strangers = shift(before, after, everybody, rng), shift(before, after, NOBODY, rng)
    assert same.null < 0.2 * strangers.null


def period(rng, both, left, came, sticky, labels=6):
    """Two periods of one population in which nothing changed; ``sticky`` stay where they were."""
    shares = np.array([0.4, 0.25, 0.15, 0.1, 0.07, 0.03])
    stayed = rng.choice(labels, both, p=shares)
    again = np.where(rng.random(both) < sticky, stayed, rng.choice(labels, both, p=shares))
    before, after = (rng.choice(labels, n, p=shares) for n in (left, came))
    same = np.arange(both)
    return np.append(stayed, before), np.append(again, after), (same, same)


@pytest.mark.parametrize(
    "customers",
    [
        (0, 600, 300, 0.0),
        (500, 0, 0, 0.8),
        (300, 200, 200, 0.8),
        (900, 100, 0, 1.0),
        (300, 700, 0, 0.9),
        (900, 0, 100, 0.9),
    ],
)
def test_no_change_cries_wolf_once_in_twenty_whoever_left_or_came(customers):
    rng = np.random.default_rng(7)
    alarms = [shift(*period(rng, *customers), rng).p <= 0.05 for _ in range(200)]
    assert 0.01 <= np.mean(alarms) <= 0.095  # three standard errors around 0.05


def test_a_whole_segment_that_left_is_no_chance():
    before = np.repeat([0, 1, 2, 3], [500, 300, 100, 100])
    found = shift(before, before[:900], (np.arange(900),) * 2, np.random.default_rng(8))
    assert (found.level, found.p) == ("refit", 0.001)


def test_a_segment_of_joiners_is_no_chance():
    after = np.repeat([0, 1, 2, 3], [500, 300, 100, 100])
    found = shift(after[:900], after, (np.arange(900),) * 2, np.random.default_rng(9))
    assert (found.level, found.p) == ("refit", 0.001)


def test_one_period_twice_has_not_shifted():
    values = np.random.default_rng(3).normal(size=500)
    found = shift(*bins(values, values), (np.arange(500), np.arange(500)), np.random.default_rng(0))
    assert (found.psi, found.p, found.level) == (0.0, 1.0, "stable")


def test_equal_small_populations_are_not_flagged_where_the_convention_would():
    rng = np.random.default_rng(4)
    found = [
        shift(*bins(rng.normal(size=200), rng.normal(size=200)), NOBODY, rng) for _ in range(40)
    ]
    assert np.mean([one.psi > 0.1 for one in found]) > 0.2
    assert np.mean([one.level != "stable" for one in found]) <= 0.05


@pytest.mark.parametrize(("moved", "level"), [(0.4, "watch"), (1.0, "refit")])
def test_a_moved_distribution_is_flagged_by_its_size(moved, level):
    rng = np.random.default_rng(5)
    found = shift(*bins(rng.normal(size=5000), rng.normal(moved, 1, 5000)), NOBODY, rng)
    assert found.level == level


def test_a_shift_within_chance_is_stable_however_large():
    assert Shift(psi=0.4, null=0.5, p=0.2).level == "stable"


def test_missing_values_have_a_bin_of_their_own():
    before, after = bins(np.array([1.0, 2.0, np.nan]), np.array([np.nan, 2.0, 1.0]))
    assert before.tolist() == [0, 1, 2]
    assert after.tolist() == [2, 1, 0]
