"""Statistics of counted values are those of the values repeated."""

import numpy as np
import pytest
from scipy import stats

from bayesseg import _weighted


@pytest.fixture(params=["ties", "no ties", "one value", "one each"])
def counted(request):
    """Values, others beside them, and how many customers have both."""
    rng = np.random.default_rng(5)
    values = {
        "ties": rng.integers(0, 9, 60).astype(float),
        "no ties": rng.normal(size=60),
        "one value": np.full(1, 3.5),
        "one each": rng.normal(size=60),
    }[request.param]
    counts = np.ones(60, int) if request.param == "one each" else rng.integers(1, 6, len(values))
    return values, rng.gamma(2.0, size=len(values)), counts


def test_values_collapse_to_sorted_ones_with_their_numbers(counted):
    values, _, counts = counted
    expected = np.unique(np.repeat(values, counts), return_counts=True)
    np.testing.assert_array_equal(expected, _weighted.collapsed(values, counts))


def test_nothing_collapses_to_nothing():
    values, counts = _weighted.collapsed(np.empty(0))
    assert (len(values), len(counts)) == (0, 0)
    assert np.isnan(_weighted.mean(np.empty(0)))


def test_the_mean_is_that_of_the_repeated_values(counted):
    values, _, counts = counted
    assert pytest.approx(np.repeat(values, counts).mean(), rel=1e-14) == _weighted.mean(
        values, counts
    )


def test_quantiles_are_those_of_the_repeated_values(counted):
    values, _, counts = counted
    shares = [0.0, 0.01, 0.1, 0.5, 0.77, 0.99, 1.0]
    expected = np.quantile(np.repeat(values, counts), shares)
    np.testing.assert_allclose(_weighted.quantiles(values, shares, counts), expected, rtol=1e-14)


def test_rank_correlation_is_spearmans_of_the_repeated_pairs(counted):
    a, b, counts = counted
    actual = _weighted.rank_correlation(a, b, counts)
    if len(a) == 1:
        assert np.isnan(actual)
    else:
        expected = stats.spearmanr(np.repeat(a, counts), np.repeat(b, counts)).statistic
        assert pytest.approx(expected, rel=1e-12) == actual


def test_repeated_values_give_the_same_bits_as_counted_ones(counted):
    values, others, counts = counted
    each = np.random.default_rng(1).permutation(np.repeat(np.arange(len(values)), counts))
    assert _weighted.mean(values[each]) == _weighted.mean(values, counts)
    shares = [0.1, 0.5, 0.9]
    expected = _weighted.quantiles(values[each], shares).tobytes()
    assert expected == _weighted.quantiles(values, shares, counts).tobytes()
    assert pytest.approx(
        _weighted.rank_correlation(values[each], others[each]), rel=1e-12, nan_ok=True
    ) == _weighted.rank_correlation(values, others, counts)
