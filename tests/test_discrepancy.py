"""What past misses of a total say of the next one."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from bayesseg import discrepancy
from bayesseg.discrepancy import learnt, miss

ONLINE_RETAIL = (0.07, -0.22, 0.80, 0.27, 0.21, -0.23)
"""Bias of MBG/NBD at six cuts; its own intervals hold none of these totals."""


def of(logs, spread):
    return [{"log": log, "spread": spread} for log in logs]


def test_the_next_miss_is_what_the_integral_over_sigma_says() -> None:
    """The grid against quadrature over the half-t, with the lump at nought beside it."""
    logs, s = [0.3, -0.2, 0.1], 0.05
    prior = discrepancy.PRIOR

    def weight(sigma: float) -> float:
        return math.prod(stats.norm.pdf(d, 0, math.hypot(s, sigma)) for d in logs)

    def half_t(sigma: float) -> float:
        return 2 * stats.t.pdf(sigma / prior["scale"], prior["nu"]) / prior["scale"]

    def over(what) -> float:
        return integrate.quad(lambda v: half_t(v) * weight(v) * what(v), 0, 8, limit=300)[0]

    right = prior["right"] * weight(0.0)
    whole = right + (1 - prior["right"]) * over(lambda _: 1.0)
    found = learnt(of(logs, s))
    assert found.right == pytest.approx(right / whole, rel=0.01)
    for p in (0.75, 0.9, 0.975):
        reach = float(found.quantiles(np.array([p]))[0])
        below = right + (1 - prior["right"]) * over(lambda v, at=reach: stats.norm.cdf(at / v))
        assert below / whole == pytest.approx(p, abs=0.002)


def test_quantiles_are_symmetric_and_rise() -> None:
    found = learnt(of([0.2, -0.1], 0.02)).quantiles(np.linspace(0.001, 0.999, 401))
    assert (np.diff(found) >= 0).all()
    assert found == pytest.approx(-found[::-1], abs=1e-9)


def coverage(sd: float, spread: float, count: int, reps: int = 300) -> float:
    """How often the next of ``count`` + 1 normal misses is inside, its draws of ``spread`` included."""
    rng = np.random.default_rng([count, int(1000 * sd), int(1000 * spread)])
    inside = 0
    for _ in range(reps):
        logs = rng.normal(0.0, math.hypot(sd, spread), count + 1)
        totals = 100 * np.exp(spread * stats.norm.ppf((np.arange(400) + 0.5) / 400))
        low, high = learnt(of(logs[:-1], spread)).widened(totals, 0.95)
        inside += low <= 100 * math.exp(logs[-1]) <= high
    return inside / reps


@pytest.mark.parametrize("spread", [0.02, 0.1, 0.2])
def test_a_right_model_is_hardly_widened_once_five_cuts_have_shown_it(spread) -> None:
    assert 0.93 <= coverage(0.0, spread, 5) <= 0.985


@pytest.mark.parametrize("sd", [0.1, 0.2, 0.4])
def test_a_model_that_misses_is_widened_until_it_covers(sd) -> None:
    assert 0.89 <= coverage(sd, 0.03, 5) <= 0.985


def test_on_online_retail_five_of_six_are_held_and_nobody_could_hold_the_first_christmas() -> None:
    logs = [-math.log1p(bias) for bias in ONLINE_RETAIL]
    held = []
    for i, log in enumerate(logs):
        low, high = learnt(of(logs[:i], 0.02)).factor(0.95)
        held.append(low <= math.exp(log) <= high)
    assert held == [True, True, False, True, True, True]


def test_misses_widen_and_hits_narrow() -> None:
    totals = np.random.default_rng(1).normal(100.0, 2.0, 4000)

    def width(*logs: float) -> float:
        low, high = learnt(of(logs, 0.02)).widened(totals, 0.95)
        return high - low

    own = np.subtract(*np.quantile(totals, [0.975, 0.025]))
    assert own < width(*[0.01] * 5) < 1.2 * own < width() < width(0.4, -0.3, 0.4)


def test_widening_a_total_is_a_convolution_whatever_the_order_of_its_draws() -> None:
    found = learnt(of([0.15, -0.1], 0.05))
    normal = (np.arange(400) + 0.5) / 400
    totals = 1000 * np.exp(0.05 * stats.norm.ppf(normal))
    low, high = found.widened(totals, 0.9)
    assert found.widened(totals[::-1], 0.9) == (low, high)

    def below(total: float) -> float:
        """P(total · e^ε < ``total``), the sum over each σ of a normal in logarithms."""
        sd = np.hypot(0.05, discrepancy._SIGMA)
        return float(found.weights @ stats.norm.cdf(math.log(total / 1000) / sd))

    assert below(low) == pytest.approx(0.05, abs=0.001)
    assert below(high) == pytest.approx(0.95, abs=0.001)


def test_the_model_is_as_likely_right_as_not_before_anything_was_seen() -> None:
    assert learnt([]).right == discrepancy.PRIOR["right"]
    assert learnt(of([0.0] * 5, 0.02)).right > 0.85
    assert learnt(of([0.3], 0.02)).right < 1e-9


def test_what_the_draws_admit_is_not_counted_again() -> None:
    misses = [0.25, -0.2, 0.15]
    assert learnt(of(misses, 0.2)).factor(0.95)[1] < learnt(of(misses, 0.02)).factor(0.95)[1]


def test_a_total_that_never_came_is_the_worst_miss_of_all() -> None:
    totals = np.full(1000, 694.0)
    found = miss(0.0, 694.0, totals)
    assert found == {
        "log": pytest.approx(math.log(0.5 / 694)),
        "spread": pytest.approx(0.0, abs=1e-9),
    }
    assert learnt([found]).factor(0.95)[1] > 100
    assert miss(1.0, None, totals) is None


def test_a_miss_is_the_log_ratio_beside_the_spread_of_the_draws() -> None:
    totals = 100 * np.exp(np.random.default_rng(3).normal(0.0, 0.1, 100_000))
    expected = {"log": math.log(1.5), "spread": pytest.approx(0.1, abs=1e-3)}
    assert miss(150.0, 100.0, totals) == expected
