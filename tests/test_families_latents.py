"""Seeded draws: the right laws, and independence of order, chunk and company."""

import math

import numpy as np
import pytest
from families_case import PURCHASE, THETA, draws
from scipy import stats

from bayesseg import _random
from bayesseg._compiled import compiled
from bayesseg._types import Clock
from bayesseg.families import FAMILIES
from bayesseg.families._realise import realise


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
    """Against SciPy, for one customer and many draws; the departed have no rates."""
    size, theta = 40_000, THETA[name]
    r, alpha, third, fourth = theta
    x, t_x, T = 3.0, 20.0, 40.0
    columns = {"x": np.array([x]), "t_x": np.array([t_x]), "T": np.array([T])}
    vectors = {n: np.full(size, v) for n, v in zip(FAMILIES[name].textbook, theta, strict=True)}
    found = FAMILIES[name].latents(vectors, columns, np.array([99], np.uint64), np.arange(size))[0]
    alive, rate, drop, death = found.T
    A = float(
        FAMILIES[name].quantities["p_alive"].fn(draws(name, theta), columns, Clock(1, 1, 0))[0, 0]
    )
    here = alive == 1
    assert abs(here.mean() - A) < 4 * math.sqrt(A * (1 - A) / size)
    assert stats.kstest(rate[here], stats.gamma(r + x, scale=1 / (alpha + T)).cdf).pvalue > 1e-3
    if name == "paretonbd":
        assert (
            stats.kstest(death[here], stats.gamma(third, scale=1 / (fourth + T)).cdf).pvalue > 1e-3
        )
        np.testing.assert_array_equal(drop, 0.0)
    else:
        b1 = fourth + (name == "mbgnbd")
        assert stats.kstest(drop[here], stats.beta(third, b1 + x).cdf).pvalue > 1e-3
        np.testing.assert_array_equal(death, 0.0)
    np.testing.assert_array_equal(found[~here], 0.0)


@pytest.mark.parametrize("name", PURCHASE)
def test_latents_equal_bayes_theorem_by_rejection(name):
    """Simulated customers with exactly this history have the rates that latents draw."""
    rng = np.random.default_rng(1)
    r, alpha, third, fourth = theta = (1.2, 3.0, 1.0, 2.0)
    size = 2_000_000
    rate = rng.gamma(r, 1 / alpha, size)
    if name == "paretonbd":
        leave = rng.gamma(third, 1 / (10 * fourth), size)
        theta = (r, alpha, third, 10 * fourth)
        life, dropped = rng.exponential(size=size) / leave, np.zeros((2, size), bool)
    else:
        leave = rng.beta(third, fourth, size)
        life, dropped = np.full(size, np.inf), rng.random((2, size)) < leave
        dropped[0] &= name == "mbgnbd"
    first = rng.exponential(size=size) / rate
    second = first + rng.exponential(size=size) / rate
    # one repeat purchase between weeks 1.9 and 2.1, silence until week 5
    seen = ~dropped[0] & (np.abs(first - 2) < 0.1) & (first < life)
    seen &= dropped[1] | (second > np.minimum(5, life))
    alive = (~dropped[1] & (life > 5))[seen]
    columns = {"x": np.ones(1), "t_x": np.full(1, 2.0), "T": np.full(1, 5.0)}
    vectors = {
        n: np.full(seen.sum(), v) for n, v in zip(FAMILIES[name].textbook, theta, strict=True)
    }
    index = np.arange(seen.sum())
    mine = FAMILIES[name].latents(vectors, columns, np.array([5], np.uint64), index)[0]
    assert abs(mine[:, 0].mean() - alive.mean()) < 4 / math.sqrt(seen.sum())
    ours, own = mine[:, 0] == 1, 3 if name == "paretonbd" else 2
    assert stats.ks_2samp(mine[ours, 1], rate[seen][alive]).pvalue > 1e-3
    assert stats.ks_2samp(mine[ours, own], leave[seen][alive]).pvalue > 1e-3


@pytest.mark.parametrize("name", PURCHASE)
def test_realised_purchases_and_value_average_to_the_forecast(name):
    """Stepping through purchases agrees with A F(h), A F(H) and paid share · E[m] · A · D."""
    size, theta = 60_000, (6.25, 3.74, 15.44)
    at = Clock(13.0, 52.0, 0.002)
    columns = {
        "x": np.array([2.0, 0.0]),
        "t_x": np.array([30.43, 0.0]),
        "T": np.array([38.86, 5.0]),
        "n": np.array([2.0, 0.0]),
        "S": np.array([60.0, 0.0]),
    }
    family, spend = FAMILIES[name], FAMILIES["gammagamma"]
    vectors = {n: np.full(size, v) for n, v in zip(family.textbook, THETA[name], strict=True)}
    money = {n: np.full(size, v) for n, v in zip(spend.textbook, theta, strict=True)}
    keys, index = np.array([11, 12], np.uint64), np.arange(size)
    latents = family.latents(vectors, columns, keys, index)
    nu = spend.latents(money, columns, keys, index)
    value, soon, later = realise(latents, nu, money["p"], 0.9, at, keys, index)

    def say(quantity, at):
        return family.quantities[quantity].fn(draws(name, THETA[name]), columns, at)[0]

    A = say("p_alive", at)
    mean = spend.quantities["expected_spend"].fn(draws("gammagamma", theta), columns, at)[0]
    expected = (
        (value, 0.9 * mean * A * say("discounted_purchases", at)),
        (soon, A * say("purchases_if_alive", at)),
        (later, A * say("purchases_if_alive", Clock(52.0, 52.0, 0.0))),
        (soon == 0, 1 - A * (1 - say("silent", at))),
    )
    for found, forecast in expected:
        error = found.std(axis=1) / math.sqrt(size)
        assert (np.abs(found.mean(axis=1) - forecast) < 4 * error).all()
    assert (value >= 0).all()
    assert (soon <= later).all()


@pytest.mark.parametrize("name", PURCHASE)
def test_stepping_agrees_with_the_draw_that_needs_no_steps(name):
    """min(Geometric(p), Poisson(λh)), or Poisson(λ min(h, Exp(μ))), of those alive."""
    size, h = 60_000, 26.0
    theta = THETA[name]
    columns = {"x": np.array([6.0]), "t_x": np.array([30.43]), "T": np.array([31.0])}
    vectors = {n: np.full(size, v) for n, v in zip(FAMILIES[name].textbook, theta, strict=True)}
    key = np.array([21], np.uint64)
    latents = FAMILIES[name].latents(vectors, columns, key, np.arange(size))
    _, stepped, _ = realise(
        latents, np.ones((1, size)), 4.0, 1.0, Clock(h, h, 0.0), key, range(size)
    )
    rng = np.random.default_rng(9)
    alive, rate, drop, death = latents[0].T
    if name == "paretonbd":
        life = rng.exponential(size=size) / np.maximum(death, 1e-300)
        direct = rng.poisson(rate * np.minimum(h, life))
    else:
        direct = np.minimum(rng.geometric(np.clip(drop, 1e-12, 1)), rng.poisson(rate * h))
    direct = direct * (alive == 1)
    most = max(direct.max(), stepped.max()) + 1
    table = [np.bincount(v, minlength=most) for v in (direct, stepped[0])]
    tail = int(np.argmax(np.sum(table, axis=0)[::-1].cumsum() > 50))
    table = [np.append(v[: most - tail], v[most - tail :].sum()) for v in table]
    keep = np.sum(table, axis=0) > 0
    assert stats.chi2_contingency([v[keep] for v in table]).pvalue > 1e-3


def test_a_longer_first_horizon_than_the_second_is_no_harm():
    """Spend stops at H, purchases within h go on."""
    latents = np.broadcast_to([1.0, 0.5, 0.0, 0.0], (1, 2_000, 4)).copy()
    rest = (np.ones((1, 2_000)), 4.0, 1.0)
    key = np.array([3], np.uint64)
    long, many, few = realise(latents, *rest, Clock(40.0, 10.0, 0.0), key, np.arange(2_000))
    short, only, same = realise(latents, *rest, Clock(10.0, 10.0, 0.0), key, np.arange(2_000))
    np.testing.assert_array_equal(few, only)
    np.testing.assert_array_equal(few, same)
    assert abs(many.mean() - 20) < 4 * math.sqrt(20 / 2_000)
    assert (many >= few).all()
    assert abs(long.mean() - short.mean()) < 4 * long.std() / math.sqrt(1_000)


def test_realised_value_of_a_mortal_customer_is_discounted_until_death():
    """μ > 0, no dropout: E = λ p/ν (1 - e^(-(μ+δ)H))/(μ+δ)."""
    size, rate, death, H, delta = 60_000, 0.4, 0.05, 30.0, 0.01
    latents = np.broadcast_to([1.0, rate, 0.0, death], (1, size, 4)).copy()
    found, _, bought = realise(
        latents,
        np.full((1, size), 0.5),
        4.0,
        1.0,
        Clock(1.0, H, delta),
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
    for found in realise(
        latents, np.ones((2, 3)), 4.0, 1.0, Clock(9.0, 52.0, 0.0), keys, np.arange(3)
    ):
        np.testing.assert_array_equal(found, 0)
