"""Seeded draws: the right laws, and independence of order, chunk and company."""

import math

import numpy as np
import pytest
from families_case import PURCHASE, draws
from scipy import stats

from bayesseg import _random
from bayesseg._compiled import compiled
from bayesseg._types import Clock
from bayesseg.families import FAMILIES
from bayesseg.families._realise import realise

THETA = {"bgnbd": (0.243, 4.414, 0.793, 2.426), "mbgnbd": (0.525, 6.183, 0.891, 1.614)}


@compiled
def sequence(kind, first, second, size):
    """``size`` draws, each from a stream of its own: what latents do."""
    out = np.empty(size)
    for i in range(size):
        state = _random.stream(np.uint64(12345), np.uint64(i), 9)
        if kind == 0:
            state, out[i] = _random.uniform(state)
        elif kind == 1:
            state, out[i] = _random.exponential(state)
        elif kind == 2:
            state, out[i] = _random.normal(state)
        elif kind == 3:
            state, out[i] = _random.gamma(state, first)
        else:
            state, out[i] = _random.beta(state, first, second)
    return out


@pytest.mark.parametrize(
    ("kind", "arguments", "law"),
    [
        (0, (0.0, 0.0), stats.uniform()),
        (1, (0.0, 0.0), stats.expon()),
        (2, (0.0, 0.0), stats.norm()),
        (3, (0.3, 0.0), stats.gamma(0.3)),
        (3, (1.0, 0.0), stats.gamma(1.0)),
        (3, (57.0, 0.0), stats.gamma(57.0)),
        (4, (0.8, 2.4), stats.beta(0.8, 2.4)),
        (4, (0.1, 0.6), stats.beta(0.1, 0.6)),
        (4, (30.0, 4000.0), stats.beta(30.0, 4000.0)),
    ],
    ids=str,
)
def test_draws_follow_their_law(kind, arguments, law):
    found = sequence(kind, *arguments, 100_000)
    assert stats.kstest(found, law.cdf).pvalue > 1e-3
    assert abs(found.mean() - law.mean()) < 4 * law.std() / math.sqrt(len(found))


def test_beta_draws_of_tiny_shapes_are_numbers_between_zero_and_one():
    """Both gamma variates behind them underflow; their ratio must not."""
    found = sequence(4, 1e-3, 2e-3, 20_000)
    assert ((found >= 0) & (found <= 1)).all()
    assert abs(found.mean() - 1 / 3) < 4 * 0.5 / math.sqrt(len(found))


def test_streams_of_neighbouring_keys_draws_and_purposes_are_unrelated():
    keys = np.arange(200, dtype=np.uint64)
    states = np.array(
        [_random.stream(k, np.uint64(d), p) for k in keys for d in range(20) for p in (1, 2)],
        dtype=np.uint64,
    )
    assert len(np.unique(states)) == len(states)
    bits = np.unpackbits(states.view(np.uint8)).reshape(len(states), 64)
    assert abs(np.corrcoef(bits[:-1].ravel(), bits[1:].ravel())[0, 1]) < 0.01


def test_customer_keys_depend_on_id_and_seed_alone():
    ids = np.array(["a", "b", "00017"], dtype=object)
    keys = _random.customer_keys(ids, 1)
    assert keys.dtype == np.uint64
    np.testing.assert_array_equal(_random.customer_keys(ids[::-1], 1)[::-1], keys)
    assert not (keys == _random.customer_keys(ids, 2)).any()


def customers(size=200):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 8, size).astype(float)
    T = rng.integers(30, 270, size) / 7
    columns = {"x": x, "t_x": np.where(x > 0, T * rng.random(size), 0), "T": T}
    columns |= {"n": x, "S": x * rng.gamma(5, 6, size)}
    keys = _random.customer_keys(np.arange(size).astype(str).astype(object), 7)
    return columns, keys


@pytest.mark.parametrize("name", [*PURCHASE, "gammagamma"])
def test_latents_are_the_same_bits_in_any_order_and_chunk(name):
    columns, keys = customers()
    theta = draws(name, *(np.array([0.6, 5.0, 1.1, 2.0])[: len(FAMILIES[name].textbook)],) * 10)
    index = np.arange(10)
    whole = FAMILIES[name].latents(theta, columns, keys, index)
    part = np.array([150, 3, 77])
    few = FAMILIES[name].latents(theta, {n: v[part] for n, v in columns.items()}, keys[part], index)
    np.testing.assert_array_equal(few, whole[part])
    later = {n: v[4:] for n, v in theta.items()}
    np.testing.assert_array_equal(
        FAMILIES[name].latents(later, columns, keys, index[4:]), whole[:, 4:]
    )


@pytest.mark.parametrize("name", PURCHASE)
def test_latents_have_the_laws_of_their_history(name):
    """Alive and gone alike, against SciPy, for one customer and many draws."""
    size, theta = 40_000, THETA[name]
    r, alpha, a, b = theta
    x, t_x, T = 3.0, 20.0, 40.0
    columns = {"x": np.array([x]), "t_x": np.array([t_x]), "T": np.array([T])}
    vectors = {n: np.full(size, v) for n, v in zip(FAMILIES[name].textbook, theta, strict=True)}
    found = FAMILIES[name].latents(vectors, columns, np.array([99], np.uint64), np.arange(size))[0]
    alive, rate, drop, death = found.T
    A = float(
        FAMILIES[name].quantities["p_alive"].fn(draws(name, theta), columns, Clock(1, 1, 0))[0, 0]
    )
    b1 = b + (name == "mbgnbd")
    here = alive == 1
    assert abs(here.mean() - A) < 4 * math.sqrt(A * (1 - A) / size)
    assert stats.kstest(rate[here], stats.gamma(r + x, scale=1 / (alpha + T)).cdf).pvalue > 1e-3
    assert stats.kstest(drop[here], stats.beta(a, b1 + x).cdf).pvalue > 1e-3
    assert stats.kstest(rate[~here], stats.gamma(r + x, scale=1 / (alpha + t_x)).cdf).pvalue > 1e-3
    assert stats.kstest(drop[~here], stats.beta(a + 1, b1 + x - 1).cdf).pvalue > 1e-3
    assert (death == 0).all()


@pytest.mark.parametrize("name", PURCHASE)
def test_latents_equal_bayes_theorem_by_rejection(name):
    """Simulated customers with exactly this history have the rates that latents draw."""
    rng = np.random.default_rng(1)
    r, alpha, a, b = theta = (1.2, 3.0, 1.0, 2.0)
    size = 2_000_000
    rate, drop = rng.gamma(r, 1 / alpha, size), rng.beta(a, b, size)
    gone = rng.random(size) < drop if name == "mbgnbd" else np.zeros(size, bool)
    first = rng.exponential(size=size) / rate
    left = rng.random(size) < drop
    second = first + rng.exponential(size=size) / rate
    # one repeat purchase between weeks 1.9 and 2.1, silence until week 5
    seen = ~gone & (np.abs(first - 2) < 0.1) & (left | (second > 5))
    columns = {"x": np.ones(1), "t_x": np.full(1, 2.0), "T": np.full(1, 5.0)}
    vectors = {
        n: np.full(seen.sum(), v) for n, v in zip(FAMILIES[name].textbook, theta, strict=True)
    }
    index = np.arange(seen.sum())
    mine = FAMILIES[name].latents(vectors, columns, np.array([5], np.uint64), index)[0]
    assert abs(mine[:, 0].mean() - (~left[seen]).mean()) < 4 / math.sqrt(seen.sum())
    for state, theirs in ((1, ~left[seen]), (0, left[seen])):
        ours = mine[:, 0] == state
        assert stats.ks_2samp(mine[ours, 1], rate[seen][theirs]).pvalue > 1e-3
        assert stats.ks_2samp(mine[ours, 2], drop[seen][theirs]).pvalue > 1e-3


@pytest.mark.parametrize("name", PURCHASE)
def test_realised_value_averages_to_the_forecast(name):
    """Stepping through purchases agrees with paid share · E[m] · A · D, four standard errors."""
    size = 60_000
    at = Clock(13.0, 52.0, 0.002)
    columns = {
        "x": np.array([2.0, 0.0]),
        "t_x": np.array([30.43, 0.0]),
        "T": np.array([38.86, 5.0]),
    }
    columns |= {"n": np.array([2.0, 0.0]), "S": np.array([60.0, 0.0])}
    family, spend = FAMILIES[name], FAMILIES["gammagamma"]
    vectors = {n: np.full(size, v) for n, v in zip(family.textbook, THETA[name], strict=True)}
    money = {n: np.full(size, v) for n, v in zip(spend.textbook, (6.25, 3.74, 15.44), strict=True)}
    keys, index = np.array([11, 12], np.uint64), np.arange(size)
    latents = family.latents(vectors, columns, keys, index)
    nu = spend.latents(money, columns, keys, index)
    found, _ = realise(latents, nu, money["p"], 0.9, at.value_horizon, at.discount, keys, index)
    one = draws(name, THETA[name])
    A = family.quantities["p_alive"].fn(one, columns, at)[0]
    D = family.quantities["discounted_purchases"].fn(one, columns, at)[0]
    mean = spend.quantities["expected_spend"].fn(
        draws("gammagamma", (6.25, 3.74, 15.44)), columns, at
    )[0]
    error = found.std(axis=1) / math.sqrt(size)
    assert (np.abs(found.mean(axis=1) - 0.9 * mean * A * D) < 4 * error).all()
    assert (found >= 0).all()


def test_realised_value_of_a_mortal_customer_is_discounted_until_death():
    """μ > 0, no dropout: E = λ p/ν (1 - e^(-(μ+δ)H))/(μ+δ)."""
    size, rate, death, H, delta = 60_000, 0.4, 0.05, 30.0, 0.01
    latents = np.broadcast_to([1.0, rate, 0.0, death], (1, size, 4)).copy()
    found, bought = realise(
        latents,
        np.full((1, size), 0.5),
        4.0,
        1.0,
        H,
        delta,
        np.array([3], np.uint64),
        np.arange(size),
    )
    expected = rate * 8.0 * -math.expm1(-(death + delta) * H) / (death + delta)
    assert abs(found.mean() - expected) < 4 * found.std() / math.sqrt(size)
    purchases = rate * -math.expm1(-death * H) / death
    assert abs(bought.mean() - purchases) < 4 * bought.std() / math.sqrt(size)


def test_the_departed_bring_nothing():
    latents = np.broadcast_to([0.0, 5.0, 0.0, 0.0], (2, 3, 4)).copy()
    keys = np.array([1, 2], np.uint64)
    found, bought = realise(latents, np.ones((2, 3)), 4.0, 1.0, 52.0, 0.0, keys, np.arange(3))
    np.testing.assert_array_equal(found, 0.0)
    np.testing.assert_array_equal(bought, 0)
