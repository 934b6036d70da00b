"""Two segmentations of the same rows: Jaccard, and what became of each segment."""

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from bayesseg.segmentation.align import align, jaccard

IDS = ("S1", "S2", "S3")


def hard(labels, count):
    return np.eye(count)[np.asarray(labels)]


def fates(old, new, **more):
    found = align(old, new, IDS[: old.shape[1]], **more)
    return {(one.fate, one.old, one.new) for one in found.fates}


def test_soft_jaccard_of_hard_labels_is_jaccards_own():
    rng = np.random.default_rng(1)
    a, b = rng.integers(3, size=500), rng.integers(3, size=500)
    expected = [[jaccard_score(a == j, b == k) for k in range(3)] for j in range(3)]
    assert jaccard(hard(a, 3), hard(b, 3)) == pytest.approx(np.array(expected))


def test_weights_count_rows_so_often():
    rng = np.random.default_rng(2)
    p, q = rng.dirichlet(np.ones(2), 20), rng.dirichlet(np.ones(3), 20)
    weights = rng.integers(0, 4, 20)
    expected = jaccard(np.repeat(p, weights, axis=0), np.repeat(q, weights, axis=0))
    assert jaccard(p, q, weights.astype(float)) == pytest.approx(expected)


def test_a_permuted_segmentation_keeps_all_ids():
    label = np.repeat([0, 1, 2], 50)
    found = align(hard(label, 3), hard([(2, 0, 1)[k] for k in label], 3), IDS)
    assert found.ids == ("S2", "S3", "S1")
    assert {one.fate for one in found.fates} == {"kept"}


def test_a_segment_cut_in_two_has_split():
    old = np.repeat([0, 1], 60)
    new = np.concatenate([np.repeat([0, 1], 30), np.full(60, 2)])
    assert fates(hard(old, 2), hard(new, 3)) == {
        ("split", "S1", "S3"),
        ("split", "S1", "S4"),
        ("kept", "S2", "S2"),
    }


def test_two_segments_put_together_have_merged():
    old = np.repeat([0, 1, 2], 40)
    new = np.repeat([0, 0, 1], 40)
    found = align(hard(old, 3), hard(new, 2), IDS)
    merged = next(one for one in found.fates if one.fate == "merged")
    assert (merged.new, merged.into) == ("S4", ("S1", "S2"))
    assert "died" not in {one.fate for one in found.fates}


def test_a_segment_scattered_over_others_has_died():
    old = np.concatenate([np.repeat([0, 1], 100), np.full(20, 2)])
    new = np.concatenate([np.repeat([0, 1], 100), np.tile([0, 1], 10)])
    assert ("died", "S3", "") in fates(hard(old, 3), hard(new, 2))


def test_heirs_took_a_share_worth_the_name():
    old = np.repeat([0, 1, 2], [100, 100, 20])
    new = np.concatenate([np.repeat([0, 1], 100), [0] * 17, [1] * 3])
    (died,) = (one for one in align(hard(old, 3), hard(new, 2), IDS).fates if one.fate == "died")
    assert (died.into, died.shares) == (("S1",), (pytest.approx(0.85),))


def test_what_draws_from_everywhere_takes_nobodys_place():
    """Most of the few who are left of S3 are in a new segment that others fill."""
    old = np.repeat([0, 1, 2], [100, 100, 10])
    new = np.concatenate([np.repeat([0, 2], 50), np.repeat([1, 2], 50), np.repeat([2, 0], [7, 3])])
    assert fates(hard(old, 3), hard(new, 3)) >= {("new", "", "S6"), ("died", "S3", "")}


def test_a_segment_that_nobody_is_in_has_no_heirs():
    label = np.repeat([0, 1], 50)
    with np.errstate(all="raise"):
        assert fates(hard(label, 3), hard(label, 2)) == {
            ("kept", "S1", "S1"),
            ("kept", "S2", "S2"),
            ("empty", "S3", ""),
        }


def test_ids_are_never_used_again():
    old = np.repeat([0, 1], 50)
    new = np.concatenate([np.repeat([0, 1], 25), np.full(50, 2)])
    found = align(hard(old, 2), hard(new, 3), ("S1", "S2"), ever=7)
    assert {"S8", "S9"} < set(found.ids)
