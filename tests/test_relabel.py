"""Labels: permutations are undone, and what cannot be labelled is said."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from bayesseg.inference.relabel import _assign, ecr, permute, relabel

RNG = np.random.default_rng(11)


def memberships(draws: int, rows: int, components: int, sharpness: float):
    """Noisy copies of one membership matrix, and its allocation."""
    allocation = np.arange(rows) % components
    logits = sharpness * np.eye(components)[allocation] + 0.3 * RNG.normal(
        size=(draws, rows, components)
    )
    odds = np.exp(logits)
    return odds / odds.sum(2, keepdims=True), allocation


def test_random_permutations_are_undone_exactly():
    truth, allocation = memberships(300, 60, 5, 3.0)
    shuffle = np.stack([RNG.permutation(5) for _ in truth])
    shuffled = np.take_along_axis(truth, shuffle[:, None, :], axis=2)
    found = relabel(shuffled, ecr(shuffled, allocation))
    undone = np.take_along_axis(shuffled, found.order[:, None, :], axis=2)
    np.testing.assert_array_equal(undone, truth)
    assert found.disagreement == 0.0


def test_parameters_move_with_their_labels():
    weights = RNG.dirichlet(np.ones(4), size=20)
    mean = RNG.normal(size=(20, 4, 2))
    order = np.stack([RNG.permutation(4) for _ in range(20)])
    moved = permute({"weights": weights, "mean": mean}, order)
    for s in range(20):
        np.testing.assert_array_equal(moved["weights"][s], weights[s][order[s]])
        np.testing.assert_array_equal(moved["mean"][s], mean[s][order[s]])


def test_labels_without_meaning_are_said_to_disagree():
    noise, allocation = memberships(400, 30, 3, 0.0)
    assert relabel(noise, ecr(noise, allocation)).disagreement > 0.05


def test_assignment_shortcut_is_the_optimal_assignment():
    for spread in (0.1, 5.0):  # contested and uncontested favourites
        gain = RNG.normal(size=(200, 4, 4)) + spread * np.eye(4)
        best = [g[linear_sum_assignment(-g)].sum() for g in gain]
        actual = np.take_along_axis(gain, _assign(gain)[:, :, None], axis=2).sum((1, 2))
        np.testing.assert_allclose(actual, best)


def test_one_component_needs_no_label():
    certain = np.ones((10, 5, 1))
    found = relabel(certain, ecr(certain, np.zeros(5, dtype=np.int64)))
    assert (found.disagreement, found.permuted) == (0.0, 0.0)
