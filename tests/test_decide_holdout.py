"""The group that is left alone: drawn by a hash, and of a size that shows something or not."""

import hashlib
import hmac

import numpy as np
import pytest

from bayesseg.decide.holdout import detectable_mean, detectable_share, held
from bayesseg.errors import UsageError

IDS = np.array([f"{i:05}" for i in range(20_000)], dtype=object)


def test_who_is_held_out_is_a_hash_that_anybody_can_take():
    some = np.array(["00042", "é 7", "x" * 300, "=cmd"], dtype=object)
    value = [
        int(hmac.new(b"juni", i.encode(), hashlib.sha256).hexdigest()[:13], 16) / 16**13
        for i in some
    ]
    for share in (0.1, 0.5, 0.9):
        assert held(some, "juni", share).tolist() == [one < share for one in value]


def test_about_the_share_is_held_out_and_a_larger_share_holds_the_same_and_more():
    tenth, fifth = held(IDS, "june", 0.1), held(IDS, "june", 0.2)
    for found, share in ((tenth, 0.1), (fifth, 0.2)):
        assert abs(found.mean() - share) < 4 * np.sqrt(share * (1 - share) / len(IDS))
    assert not (tenth & ~fifth).any()


def test_campaigns_draw_apart_and_each_the_same_again():
    june, july = held(IDS, "june", 0.1), held(IDS, "july", 0.1)
    np.testing.assert_array_equal(june[::-1], held(IDS[::-1], "june", 0.1))
    both = (june & july).mean()
    assert abs(both - 0.01) < 4 * np.sqrt(0.01 * 0.99 / len(IDS))
    assert held([], "june", 0.1).tolist() == []


@pytest.mark.parametrize(
    ("name", "share"), [("", 0.1), ("june", 0.0), ("june", 1.0), ("june", -1.0)]
)
def test_a_hold_out_that_is_none_is_refused(name, share):
    with pytest.raises(UsageError):
        held(IDS[:3], name, share)


def power(reject):
    return reject.mean(), 4 * np.sqrt(0.8 * 0.2 / len(reject))


@pytest.mark.parametrize(
    ("share", "sizes"), [(0.3, (900, 100)), (0.05, (2_000, 400)), (0.6, (150, 50))]
)
def test_the_rise_that_is_called_detectable_is_found_four_times_in_five(share, sizes):
    rng, (contacted, left) = np.random.default_rng(4), sizes
    rise = detectable_share(share, *sizes)
    one = rng.binomial(contacted, share + rise, 20_000) / contacted
    none = rng.binomial(left, share, 20_000) / left
    both = (contacted * one + left * none) / (contacted + left)
    error = np.sqrt(both * (1 - both) * (1 / contacted + 1 / left))
    found, _ = power(np.abs(one - none) > 1.959964 * error)
    assert found == pytest.approx(0.8, abs=0.03)  # the normal approximation's own error included


def test_the_difference_of_spend_that_is_called_detectable_is_found_four_times_in_five():
    rng = np.random.default_rng(5)
    effect = detectable_mean(30.0, 900, 100)
    gaps = rng.normal(effect, 30.0 * np.sqrt(1 / 900 + 1 / 100), 20_000)
    found, near = power(np.abs(gaps) > 1.959964 * 30.0 * np.sqrt(1 / 900 + 1 / 100))
    assert found == pytest.approx(0.8, abs=near)


def test_too_small_a_group_shows_nothing():
    assert detectable_share(0.5, 10, 0) is None
    assert detectable_mean(1.0, 0, 5) is None
    assert detectable_share(0.9, 20, 2) is None
