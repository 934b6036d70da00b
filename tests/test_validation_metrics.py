"""Scores of forecasts against scikit-learn, SciPy and brute force."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from bayesseg.validation import metrics


@pytest.fixture
def draws() -> np.ndarray:
    return np.sort(np.random.default_rng(1).poisson(1.3, (40, 60)).astype(float), axis=1)


@pytest.fixture
def actual() -> np.ndarray:
    return np.random.default_rng(2).poisson(1.3, 40).astype(float)


def test_crps_is_the_mean_distance_less_half_the_spread(draws, actual) -> None:
    count = draws.shape[1]
    expected = [
        np.abs(row - y).mean() - np.abs(row[:, None] - row).sum() / (2 * count * (count - 1))
        for row, y in zip(draws, actual, strict=True)
    ]
    assert metrics.crps(draws, actual) == pytest.approx(expected, abs=1e-12)


def test_crps_of_few_normal_draws_is_unbiased() -> None:
    rng = np.random.default_rng(3)
    found = metrics.crps(np.sort(rng.standard_normal((200_000, 3)), axis=1), np.full(200_000, 0.5))
    closed = 0.5 * (2 * stats.norm.cdf(0.5) - 1) + 2 * stats.norm.pdf(0.5) - 1 / np.sqrt(np.pi)
    assert found.mean() == pytest.approx(closed, abs=4 * found.std() / np.sqrt(len(found)))


def test_intervals_end_at_inverse_cdf_quantiles(draws, actual) -> None:
    for i, level in enumerate(metrics.LEVELS):
        tails = [(1 - level / 100) / 2, (1 + level / 100) / 2]
        low, high = np.quantile(draws, tails, axis=1, method="inverted_cdf")
        expected = (low <= actual) & (actual <= high)
        assert metrics.inside(draws, actual)[:, i].tolist() == expected.tolist()


def test_pit_is_uniform_where_what_came_is_one_more_draw() -> None:
    rng = np.random.default_rng(4)
    rows = rng.poisson(0.4, (20_000, 31)).astype(float)
    values = metrics.pit(np.sort(rows[:, 1:], axis=1), rows[:, 0], rng.random(20_000))
    assert stats.kstest(values, "uniform").pvalue > 0.001
    assert metrics.uniformity(values)["p"] > 0.001


def test_pit_shows_a_forecast_that_is_too_low() -> None:
    rng = np.random.default_rng(5)
    rows = np.sort(rng.poisson(1.0, (2_000, 100)).astype(float), axis=1)
    found = metrics.uniformity(metrics.pit(rows, rng.poisson(1.5, 2_000) * 1.0, rng.random(2_000)))
    assert found["p"] < 1e-6
    assert found["counts"][-1] > 2 * found["counts"][0]
    assert sum(found["counts"]) == 2_000


def test_points_equal_scikit_learn(actual) -> None:
    expected = np.random.default_rng(6).gamma(2.0, 0.6, len(actual))
    found = metrics.points(expected, actual, logarithms=True)
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(actual, expected))
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(actual, expected))
    assert found["msle"] == pytest.approx(sk.mean_squared_log_error(actual, expected))
    assert found["correlation"] == pytest.approx(stats.pearsonr(expected, actual).statistic)


def test_a_constant_forecast_has_no_correlation(actual) -> None:
    assert metrics.points(np.ones(40), actual, logarithms=False)["correlation"] is None


def test_brier_log_loss_and_auc_equal_scikit_learn() -> None:
    rng = np.random.default_rng(7)
    p = rng.random(500).round(2)  # with ties
    bought = (rng.random(500) < p).astype(float)
    assert metrics.brier(p, bought) == pytest.approx(sk.brier_score_loss(bought, p))
    assert metrics.log_loss(p, bought) == pytest.approx(
        sk.log_loss(bought, np.clip(p, 1e-9, 1 - 1e-9))
    )
    assert metrics.auc(p, bought) == pytest.approx(sk.roc_auc_score(bought, p))


def test_auc_needs_buyers_and_others() -> None:
    assert metrics.auc(np.arange(3.0), np.ones(3)) is None


def test_the_top_tenth_is_counted_and_ties_at_its_border_share() -> None:
    amount = np.arange(20.0)
    assert metrics.top_share(np.arange(20.0), amount) == pytest.approx((18 + 19) / 190)
    assert metrics.top_share(np.zeros(20), amount) == pytest.approx(0.1)
    border = np.array([5.0] + [4.0] * 3 + [0.0] * 16)  # room for two: the first and a third each
    assert metrics.top_share(border, border) == pytest.approx((5 + 4) / 17)


def test_a_ranking_without_probabilities_has_no_brier() -> None:
    found = metrics.active(np.arange(10.0), np.arange(10.0), np.arange(10), probability=False)
    assert (found["brier"], found["log_loss"], found["expected"]) == (None, None, None)
    assert found["auc"] == 1.0
    assert found["top_decile_lift"] == pytest.approx(1 / 0.9)


def test_means_by_x_are_those_of_a_group_by() -> None:
    x = np.array([0, 0, 3, 9, 12])
    found = metrics.by_x(x, np.array([1.0, 2, 3, 4, 6]), np.array([0.0, 1, 1, 5, 8]))
    assert found["x"] == ["0", "1", "2", "3", "4", "5", "6", "7+"]
    assert found["customers"] == [2, 0, 0, 1, 0, 0, 0, 2]
    assert found["expected"] == [1.5, None, None, 3.0, None, None, None, 5.0]
    assert found["actual"] == [0.5, None, None, 1.0, None, None, None, 6.5]


def test_reliability_keeps_all_customers_and_puts_equal_probabilities_together() -> None:
    p = np.array([0.1] * 50 + [0.4] * 30 + [0.9] * 40)
    bought = np.array([0] * 38 + [1] * 12 + [1, 0] * 15 + [1] * 28 + [0] * 12)
    found = metrics.reliability(p, bought)
    assert [row["customers"] for row in found] == [50, 70]
    assert [row["expected"] for row in found] == pytest.approx([0.1, (30 * 0.4 + 40 * 0.9) / 70])
    assert [row["actual"] for row in found] == pytest.approx([12 / 50, 43 / 70])


def test_reliability_is_of_eleven_buyers_and_eleven_others_and_of_everybody() -> None:
    rng = np.random.default_rng(4)
    p = rng.uniform(0, 0.3, 241)
    bought = (rng.uniform(size=241) < p).astype(np.int64)
    found = metrics.reliability(p, bought)
    buyers = [round(row["actual"] * row["customers"]) for row in found]
    others = [row["customers"] - n for row, n in zip(found, buyers, strict=True)]
    assert len(found) > 1
    assert min(buyers + others) >= 11
    assert (sum(buyers), sum(others)) == (bought.sum(), 241 - bought.sum())
    assert metrics.reliability(p, np.arange(241) < 10) == []


def test_a_total_is_inside_its_interval_or_not() -> None:
    draws = np.linspace(90, 110, 1001)
    assert metrics.total(100.0, draws, 109.0)["inside"] is True
    missed = metrics.total(100.0, draws, 120.0)
    assert (missed["inside"], missed["bias"]) == (False, pytest.approx(100 / 120 - 1))
    assert (missed["lo"], missed["hi"]) == (pytest.approx(90.5), pytest.approx(109.5))
    assert metrics.total(1.0, None, 0.0)["bias"] is None
