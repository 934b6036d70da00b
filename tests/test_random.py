"""Seeded draws: the laws where shortcuts are taken, and keys that are contents."""

import numpy as np
from scipy import stats

from bayesseg import _random
from bayesseg._compiled import compiled

SIZE = 1_000_000


@compiled
def normals(size: int) -> np.ndarray:
    out = np.empty(size)
    state = _random.stream(np.uint64(3), np.uint64(1), 9)
    for i in range(size):
        state, out[i] = _random.normal(state)
    return out


@compiled
def betas(size: int, a: float, b: float) -> np.ndarray:
    out = np.empty(size)
    state = _random.stream(np.uint64(4), np.uint64(1), 9)
    for i in range(size):
        state, out[i] = _random.beta(state, a, b)
    return out


def test_the_ziggurat_closes() -> None:
    """The uppermost of its layers of equal area ends at the top of the curve."""
    ends = _random._ENDS
    heights = np.exp(-0.5 * ends**2)
    areas = ends[1:-1] * np.diff(heights[1:])
    np.testing.assert_allclose(areas, areas[0], rtol=1e-9)


def test_normal_draws_are_normal_in_the_body() -> None:
    edges = stats.norm.ppf(np.linspace(0, 1, 1001)[1:-1])
    counts = np.histogram(normals(SIZE), np.concatenate([[-np.inf], edges, [np.inf]]))[0]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_normal_draws_are_normal_beyond_the_ziggurats_edge() -> None:
    edge = _random._ENDS[1]
    beyond = np.abs(normals(SIZE))
    beyond = beyond[beyond > edge]
    expected = 2 * stats.norm.sf(edge)
    assert stats.binomtest(len(beyond), SIZE, expected).pvalue > 1e-3
    assert stats.kstest(stats.norm.sf(beyond) / stats.norm.sf(edge), "uniform").pvalue > 1e-3


def test_beta_draws_agree_on_both_sides_of_the_shortcut() -> None:
    """Shapes of 0.1 and above take the direct ratio, smaller ones logarithms."""
    for a, b in ((0.099, 0.7), (0.101, 0.7)):
        assert stats.kstest(betas(20_000, a, b), stats.beta(a, b).cdf).pvalue > 1e-3


def test_content_keys_are_of_the_row_and_the_seed_alone() -> None:
    x, y = np.array([1.0, 2.0, 1.0, 1.0]), np.array([3.0, 3.0, 3.0, 4.0])
    keys = _random.content_keys([x, y], 1)
    assert keys[0] == keys[2]
    assert len(set(keys.tolist())) == 3
    np.testing.assert_array_equal(_random.content_keys([x[::-1], y[::-1]], 1)[::-1], keys)
    assert not (keys == _random.content_keys([x, y], 2)).any()
    assert not (keys == _random.content_keys([y, x], 1)).any()
