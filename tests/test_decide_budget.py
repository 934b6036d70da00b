"""The cut: what greedy takes, what could be had at most, and the curve."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from bayesseg.decide.budget import Limits, curve, fill, fractional, order, steps


def greedy(cost, held, budget, count, channel, capacity):
    """One customer after the other, as one would do it by hand."""
    taken, left = [], []
    money, places, room = budget, count, list(capacity)
    for i in range(len(cost)):
        fits = cost[i] <= money and places > 0 and room[channel[i]] > 0
        taken.append(fits and not held[i])
        left.append(fits and held[i])
        if taken[-1]:
            money, places = money - cost[i], places - 1
            room[channel[i]] -= 1
    return np.array(taken), np.array(left)


def case(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    cost = rng.integers(0, 5, n) / 4
    net = rng.gamma(1.0, 3.0, n)
    by = order(net, cost)
    channel = rng.integers(0, 3, n)
    capacity = rng.integers(0, 8, 3)
    budget, count = float(rng.integers(0, 12)), int(rng.integers(1, 20))
    return net[by], cost[by], rng.random(n) < 0.3, budget, count, channel, capacity


@pytest.mark.parametrize("seed", range(60))
def test_the_cut_is_what_one_by_one_would_give(seed):
    _, cost, held, budget, count, channel, capacity = case(seed)
    found = fill(cost, held, Limits(budget, count, channel, capacity))
    expected = greedy(cost, held, budget, count, channel, capacity)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("seed", range(30))
def test_the_fractional_optimum_is_that_of_the_linear_programme(seed):
    net, cost, held, budget, count, channel, capacity = case(seed)
    rows = [cost, np.ones(len(cost)), *(channel == c for c in range(3))]
    found = linprog(
        -net, A_ub=np.array(rows, float), b_ub=[budget, count, *capacity], bounds=(0, 1)
    )
    most = fractional(net, cost, Limits(budget, count, channel, capacity))
    assert most == pytest.approx(-found.fun, rel=1e-6, abs=1e-9)
    taken, _ = fill(cost, np.zeros_like(held), Limits(budget, count, channel, capacity))
    assert net[taken].sum() <= most + 1e-9


def test_without_limits_everybody_is_taken():
    cost, held = np.ones(4), np.array([False, True, False, False])
    taken, left = fill(cost, held, Limits())
    assert taken.tolist() == [True, False, True, True]
    assert left.tolist() == [False, True, False, False]


def test_those_held_out_cost_nothing_and_those_behind_the_cut_are_not_called_held_out():
    held = np.array([True, False, True, False, False, True])
    taken, left = fill(np.ones(6), held, Limits(budget=2.0))
    assert taken.tolist() == [False, True, False, True, False, False]
    assert left.tolist() == [True, False, True, False, False, False]


def test_most_benefit_per_cost_goes_first_and_what_is_free_before_it():
    assert order(np.array([4.0, 9.0, 1.0, 2.0]), np.array([1.0, 3.0, 0.0, 0.5])).tolist() == [
        2,
        0,
        3,
        1,
    ]


def test_the_curve_adds_up_and_passes_through_the_chosen_budget():
    net, cost = np.array([5.0, 3.0, 1.0]), np.array([1.0, 2.0, 2.0])
    at = steps(3, 2)
    totals = np.cumsum(net)[:, None] + np.linspace(-1, 1, 21)
    points = curve(net, cost, at, totals)
    assert [p["contacts"] for p in points] == [1, 2, 3]
    assert [p["cost"] for p in points] == [1.0, 3.0, 5.0]
    assert [p["net_benefit"] for p in points] == [5.0, 8.0, 9.0]
    assert points[1]["lo"] == pytest.approx(7.1)
    assert points[1]["hi"] == pytest.approx(8.9)
    assert {p["lo"] for p in curve(net, cost, at)} == {None}
    assert 777 in steps(10_000, 777)


@given(
    st.integers(1, 400),
    st.decimals("0.01", "99.99", places=2).map(float),
    st.sampled_from([1, 10, 25]),
)
def test_a_budget_of_so_many_costs_buys_so_many(count, cost, more):
    limits = Limits(budget=count * cost)
    taken, _ = fill(np.full(count + more, cost), np.zeros(count + more, dtype=bool), limits)
    assert taken.sum() == count
    held = np.arange(count + more) == count - 1  # the last that fits is held out in its place
    taken, left = fill(np.full(count + more, cost), held, limits)
    assert (taken.sum(), left.sum()) == (count, 1)
