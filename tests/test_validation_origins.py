"""Rolling origins: widened totals, verdicts and the nested choice of a family."""

import math

import numpy as np
import pytest
from scipy import stats

from bayesseg import discrepancy
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


def test_an_origin_is_widened_by_the_misses_before_it_and_says_its_own() -> None:
    totals = np.random.default_rng(1).normal(100.0, 2.0, 4000)
    past = [{"log": 0.3, "spread": 0.02}, {"log": -0.2, "spread": 0.02}]
    found = origins.widened(score(150, 100), totals, past)
    own = discrepancy.learnt(past)
    assert (found["lo"], found["hi"]) == own.widened(totals, 0.95)
    assert (found["right"], found["learnt_from"]) == (own.right, 2)
    assert found["miss"]["log"] == pytest.approx(math.log(1.5))
    assert found["inside"]


def test_a_total_that_never_came_has_no_bias_and_teaches_all_the_same() -> None:
    none = score(1, 694) | {"actual": 0.0, "bias": None, "inside": False}
    none["widened"] = origins.widened(none, np.full(1000, 694.0), [])
    found = origins.totals_of([none])
    assert (found["bias"], found["inside"]) == ([None], 0)
    assert found["discrepancy"]["hi"] > 100


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
        miss = {"log": math.log(one["actual"] / one["mean"]), "spread": 0.02}
        one["widened"] = {"inside": i != 0, "miss": miss}
    found = origins.totals_of(scores)
    assert found["bias"] == pytest.approx([0.42, -0.11, -0.20])
    assert (found["sign_changes"], found["inside"], found["inside_widened"]) == (1, 1, 2)
    assert found["worst_bias"] == pytest.approx(0.42)
    own = discrepancy.learnt([one["widened"]["miss"] for one in scores])
    assert (found["discrepancy"]["lo"], found["discrepancy"]["hi"]) == own.factor(0.95)
    assert found["discrepancy"]["right"] == own.right
