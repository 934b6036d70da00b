"""Rolling origins: widened totals, verdicts and the nested choice of a family."""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from bayesseg.validation import origins


def score(actual: float, mean: float, width: float = 1.0) -> dict:
    lo, hi = mean - width, mean + width
    return {
        "actual": actual,
        "mean": mean,
        "bias": mean / actual - 1,
        "lo": lo,
        "hi": hi,
        "inside": lo <= actual <= hi,
    }


def test_the_factor_is_the_marginal_of_a_normal_with_its_own_spread() -> None:
    """The Student-t against the integral over σ² of prior times likelihood, by quadrature."""
    past = [0.3, -0.2, 0.1]
    own = origins.discrepancy([d**2 for d in past])
    nu, s = origins.PRIOR["nu"], origins.PRIOR["scale"]

    def weight(v: float) -> float:
        prior = v ** -(nu / 2 + 1) * math.exp(-nu * s**2 / (2 * v))
        return prior * math.prod(stats.norm.pdf(d, 0, math.sqrt(v)) for d in past)

    norm = integrate.quad(weight, 0, np.inf, limit=200)[0]
    for d in (0.0, 0.25, -0.6):
        density = integrate.quad(
            lambda v, d=d: weight(v) * stats.norm.pdf(d, 0, math.sqrt(v)), 0, np.inf, limit=200
        )[0]
        expected = stats.t.pdf(d / own["scale"], own["nu"]) / own["scale"]
        assert density / norm == pytest.approx(expected, rel=1e-6)


def test_the_interval_grows_with_past_misses_and_only_with_those() -> None:
    totals = np.random.default_rng(1).normal(100.0, 2.0, 4000)
    first = origins.widened(score(100, 100), totals, [])
    good = origins.widened(score(100, 100), totals, [0.0001] * 6)
    bad = origins.widened(score(100, 100), totals, [0.16, 0.09, 0.16, 0.04, 0.09, 0.16])
    assert good["hi"] - good["lo"] < first["hi"] - first["lo"] < bad["hi"] - bad["lo"]
    assert (first["nu"], first["scale"], first["learnt_from"]) == (2.0, 0.1, 0)
    reach = math.exp(0.1 * stats.t.ppf(0.975, 2))
    assert first["hi"] == pytest.approx(100 * reach, rel=0.02)


def test_widened_intervals_cover_at_their_level_where_misses_are_normal() -> None:
    rng = np.random.default_rng(2)
    inside = []
    for _ in range(300):
        sigma = 0.1 / math.sqrt(stats.chi2.rvs(2, random_state=rng) / 2)
        misses = rng.normal(0.0, sigma, 5)
        totals = rng.normal(100.0, 1.0, 2000)
        truth = rng.normal(100.0, 1.0) * math.exp(misses[-1])
        found = origins.widened(score(truth, 100), totals, list(misses[:-1] ** 2))
        inside.append(found["inside"])
    assert np.mean(inside) == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 300))


@pytest.mark.parametrize("sd", [0.1, 0.2])
def test_widened_intervals_of_a_right_model_are_not_far_too_wide(sd: float) -> None:
    """Its misses are what its draws say already; narrower totals the prior of a tenth widens."""
    rng = np.random.default_rng(5)

    def forecast() -> tuple[dict, np.ndarray]:
        totals = 100 * np.exp(rng.normal(0.0, sd, 1000))
        return score(100 * math.exp(rng.normal(0.0, sd)), totals.mean()), totals

    inside = []
    for _ in range(1500):
        past = [origins.excess(*forecast(), 0.5) for _ in range(5)]
        inside.append(origins.widened(*forecast(), past)["inside"])
    assert 0.93 <= np.mean(inside) <= 0.995


def test_an_excess_is_what_the_draws_do_not_explain() -> None:
    totals = 100 * np.exp(np.random.default_rng(3).normal(0.0, 0.1, 100_000))
    assert origins.excess(score(150, 100), totals, 0.5) == pytest.approx(
        math.log(1.5) ** 2 - 0.01, abs=2e-4
    )
    assert origins.excess(score(105, 100), totals, 0.5) == 0.0


def test_a_total_that_never_came_teaches_most_of_all() -> None:
    totals = np.full(1000, 694.0)
    none = score(1, 694) | {"actual": 0.0, "bias": None, "inside": False}
    assert origins.excess(none, totals, 0.5) == pytest.approx(math.log(694 / 0.5) ** 2)
    none["widened"] = origins.widened(none, totals, [])
    found = origins.totals_of([none])
    assert (found["bias"], found["inside"]) == ([None], 0)
    assert found["discrepancy"]["scale"] > 4
    assert origins.excess(none | {"mean": None}, totals, 0.5) is None


def judged(missed: int, widened: int, count: int) -> str:
    totals = {"origins": count, "inside": count - missed, "inside_widened": count - widened}
    return origins.verdict(totals)["verdict"]


@pytest.mark.parametrize(
    ("missed", "widened", "count", "word"),
    [
        (0, 0, 1, "not-assessed"),
        (0, 0, 3, "passed"),
        (1, 0, 6, "passed"),  # chance gives one of six in a quarter of all cases
        (2, 0, 6, "caution"),
        (6, 1, 6, "caution"),
        (6, 2, 6, "failed"),
        (1, 0, 1, "caution"),
        (1, 1, 1, "failed"),
    ],
)
def test_verdict_allows_what_chance_allows(missed, widened, count, word) -> None:
    assert judged(missed, widened, count) == word


def test_the_chance_of_a_verdict_is_binomial() -> None:
    totals = {"origins": 6, "inside": 4, "inside_widened": 6}
    expected = stats.binom.sf(1, 6, 0.05)
    assert origins.verdict(totals)["chance"] == pytest.approx(expected)


def test_a_family_is_chosen_by_earlier_origins_alone() -> None:
    scores = [{"a": 1.0, "b": 0.9}, {"a": 1.0, "b": 5.0}, {"a": 1.0, "b": 1.0}]
    assert origins.path(scores, "a") == ["a", "b", "a", "a"]
    for i in range(3):  # whatever its own and later origins show
        changed = [dict(one) for one in scores]
        for j in range(i, 3):
            changed[j] = {"a": 9.0 - 8 * (j % 2), "b": 1.0 + 8 * (j % 2)}
        assert origins.path(changed, "a")[: i + 1] == origins.path(scores, "a")[: i + 1]


def test_totals_count_signs_and_carry_the_factor_for_the_next() -> None:
    scores = [score(100, 142), score(100, 89, 20), score(100, 80)]
    for i, one in enumerate(scores):
        one["widened"] = {"inside": i != 0, "excess": math.log(one["actual"] / one["mean"]) ** 2}
    found = origins.totals_of(scores)
    assert found["bias"] == pytest.approx([0.42, -0.11, -0.20])
    assert (found["sign_changes"], found["inside"], found["inside_widened"]) == (1, 1, 2)
    assert found["worst_bias"] == pytest.approx(0.42)
    logs = [math.log(100 / m) for m in (142, 89, 80)]
    scale = math.sqrt((2 * 0.01 + sum(d * d for d in logs)) / 5)
    assert found["discrepancy"]["scale"] == pytest.approx(scale)
    assert found["discrepancy"]["hi"] == pytest.approx(math.exp(scale * stats.t.ppf(0.975, 5)))
    assert found["discrepancy"]["lo"] * found["discrepancy"]["hi"] == pytest.approx(1.0)
