"""The yardsticks of a forecast: NBD, rules and learners."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bayesseg._random import customer_keys
from bayesseg._types import Clock
from bayesseg.ingest import Purchases, read_purchases
from bayesseg.validation import baselines
from bayesseg.validation.holdout import Holdout, holdout
from bayesseg.validation.learners import features, inner_cut, learners

CUT = date(1997, 9, 30)


@pytest.fixture(scope="module")
def purchases(cdnow_orders: pd.DataFrame) -> Purchases:
    return read_purchases(cdnow_orders)


@pytest.fixture(scope="module")
def held(purchases: Purchases) -> Holdout:
    return holdout(purchases, CUT, 273, seed=1)


@pytest.fixture(scope="module")
def inner(purchases: Purchases, held: Holdout) -> Holdout:
    found = inner_cut(purchases, held, seed=1)
    assert isinstance(found, Holdout)
    return found


def test_nbd_at_maximum_likelihood_is_the_published_one(held) -> None:
    theta = baselines.nbd(held, 7.0).theta[0]
    assert [theta["r"][0], theta["alpha"][0]] == pytest.approx([0.384766, 12.072023], rel=1e-4)


def test_nbd_likelihood_is_scipys_up_to_a_constant_of_the_data(held) -> None:
    columns = held.known.columns(7.0)
    arrays = baselines.NBD.tabulate(columns).arrays.values()

    def scipys(r: float, alpha: float) -> float:
        return stats.nbinom.logpmf(columns["x"], r, alpha / (alpha + columns["T"])).sum()

    values = [baselines.NBD.kernel(np.array(at), *arrays)[0] for at in ((0.4, 12.0), (0.7, 9.0))]
    assert values[1] - values[0] == pytest.approx(scipys(0.7, 9.0) - scipys(0.4, 12.0), abs=1e-7)
    at, step = np.array([0.4, 12.0]), 1e-6
    _, gradient = baselines.NBD.kernel(at, *arrays)
    for i, d in enumerate(step * np.eye(2)):
        up, down = (baselines.NBD.kernel(at + s * d, *arrays)[0] for s in (1, -1))
        assert gradient[i] == pytest.approx((up - down) / (2 * step), rel=1e-5)


def test_nbd_futures_are_negative_binomial() -> None:
    theta = {"r": np.array([0.4]), "alpha": np.array([12.0])}
    columns = {"x": np.array([3.0]), "T": np.array([30.0])}
    keys = customer_keys(np.array(["a"], dtype=object), 1)
    many = {name: np.broadcast_to(v, 20_000) for name, v in theta.items()}
    rates = baselines.NBD.latents(many, columns, keys, np.arange(20_000))[0, :, 1]
    assert stats.kstest(rates, stats.gamma(3.4, scale=1 / 42).cdf).pvalue > 0.001
    clock = Clock(10.0, 10.0, 0.0)
    silent = baselines.NBD.quantities["silent"].fn(theta, columns, clock)[0, 0]
    assert silent == pytest.approx(stats.nbinom.pmf(0, 3.4, 42 / 52))
    bought = baselines.NBD.quantities["purchases_if_alive"].fn(theta, columns, clock)[0, 0]
    assert bought == pytest.approx(stats.nbinom.mean(3.4, 42 / 52))


def test_the_own_rate_is_carried_on(held) -> None:
    expected = 273 * held.scored.x / held.scored.t_end
    assert baselines.rate(held).expected == pytest.approx(expected)


def test_the_inner_cut_ends_at_the_cut_and_sees_nothing_after_it(held, inner) -> None:
    assert inner.until == held.cut
    assert inner.horizon_days == 136  # half the history: the horizon is as long as all of it
    assert set(inner.scored.ids) <= set(held.scored.ids)


def test_the_inner_cut_takes_the_whole_horizon_where_history_allows(purchases) -> None:
    later = holdout(purchases, date(1998, 3, 31), 91, seed=1)
    found = inner_cut(purchases, later, seed=1)
    assert (found.cut, found.horizon_days) == (date(1997, 12, 30), 91)


def test_rfm_tenths_answer_with_the_response_their_tenth_showed(held, inner) -> None:
    rule = baselines.rfm(held, inner)
    scores = pd.Series(baselines.rfm_score(inner.scored))
    frame = pd.DataFrame({"x": inner.scored.x, "t_x": inner.scored.t_x, "T": inner.scored.t_end})
    ranks = (frame["t_x"] - frame["T"]).rank() + frame["x"].rank()
    ranks += pd.Series(inner.scored.first_spend + inner.scored.repeat_spend).rank()
    assert scores.rank().tolist() == ranks.rank().tolist()
    edges = np.quantile(scores, np.linspace(0, 1, 11)[1:-1])
    top = np.searchsorted(edges, scores, side="right") == 9
    now = np.searchsorted(edges, baselines.rfm_score(held.scored), side="right") == 9
    bought = (inner.purchases[top] > 0).mean()
    assert rule.p_active[now] == pytest.approx(1 - (1 - bought) ** (273 / 136))
    assert rule.expected[now] == pytest.approx(inner.purchases[top].mean() * 273 / 136)


def test_learners_are_trained_at_the_inner_cut_alone(held, inner) -> None:
    found = {rule.name: rule for rule in learners(held, inner, 1)}
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1_000))
    model.fit(features(inner.scored), inner.purchases > 0)
    expected = 1 - (1 - model.predict_proba(features(held.scored))[:, 1]) ** (273 / 136)
    assert found["logistic"].p_active == pytest.approx(expected)
    assert ((found["boosting"].p_active > 0) & (found["boosting"].p_active < 1)).all()
    assert found["boosting"].expected is None


def test_learners_are_the_same_bits_twice(held, inner) -> None:
    once, again = (learners(held, inner, 1) for _ in range(2))
    assert once[1].p_active.tolist() == again[1].p_active.tolist()


def test_a_history_too_short_to_learn_from_is_said(purchases) -> None:
    early = holdout(purchases, date(1997, 1, 14), 60, seed=1)
    why = inner_cut(purchases, early, seed=1)
    assert isinstance(why, str)
    rules = [*learners(early, why, 1), baselines.rfm(early, why)]
    assert [rule.p_active for rule in rules] == [None] * 3
    assert all("too short to learn from" in rule.note for rule in rules)


@pytest.mark.parametrize("buyers", [0, 1, 19, -19, -1, None])
def test_learners_need_twenty_who_bought_and_twenty_who_did_not(held, inner, buyers) -> None:
    bought = np.zeros(len(inner.scored), dtype=np.int64)
    bought[:buyers] = 1
    rules = learners(held, replace(inner, purchases=bought), 1)
    assert [rule.p_active for rule in rules] == [None, None]
    assert all("at least 20 who did and 20 who did not" in rule.note for rule in rules)


def test_twenty_buyers_are_enough_for_both_learners(held, inner) -> None:
    bought = np.zeros(len(inner.scored), dtype=np.int64)
    bought[:20] = 1
    rules = learners(held, replace(inner, purchases=bought), 1)
    assert [np.isfinite(rule.p_active).all() for rule in rules] == [True, True]


def test_probabilities_are_carried_to_the_whole_horizon(held, inner) -> None:
    assert "(1 - P)^(273/136)" in baselines.told(held, inner)
    whole = replace(inner, horizon_days=273)
    p = np.array([0.0, 0.3, 1.0])
    assert baselines.carried(p, held, whole) == pytest.approx(p)


def test_learners_look_back_from_a_cut_after_the_last_purchase(purchases) -> None:
    """The log ends on 1998-06-30, what was observed later."""
    later = holdout(purchases, date(1998, 7, 31), 60, seed=1, as_of=date(1998, 9, 30))
    found = inner_cut(purchases, later, seed=1)
    assert (found.cut, found.until) == (date(1998, 6, 1), date(1998, 7, 31))


def test_features_hold_numbers_only(held) -> None:
    assert np.isfinite(features(held.scored)).all()
