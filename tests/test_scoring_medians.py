"""Weighted medians of what a segment is like."""

from dataclasses import replace

import numpy as np
import pytest
from segmentation_case import clients, fitted, groups

from bayesseg.families.gmm import responsibilities
from bayesseg.naming import mapped
from bayesseg.scoring import Settings, medians, score
from bayesseg.scoring.medians import weighted_medians
from bayesseg.segment_map import parse


def test_whole_weights_are_as_many_customers():
    rng = np.random.default_rng(0)
    values, weights = rng.integers(0, 20, 201).astype(float), rng.integers(0, 3, (201, 6, 4))
    actual = weighted_medians(values, weights.astype(np.float32))
    expected = [
        [np.median(np.repeat(values, w)) for w in draw] for draw in weights.transpose(1, 2, 0)
    ]
    assert actual == pytest.approx(np.array(expected))


def test_an_unknown_value_weighs_nothing():
    values, weights = np.array([1.0, np.nan, 3.0, 9.0]), np.ones((4, 1, 1), dtype=np.float32)
    assert weighted_medians(values, weights).item() == 3.0


def test_what_nobody_has_has_no_median():
    assert np.isnan(
        weighted_medians(np.array([np.nan]), np.ones((1, 1, 1), dtype=np.float32))
    ).all()
    assert np.isnan(weighted_medians(np.array([1.0]), np.zeros((1, 1, 1), dtype=np.float32))).all()


@pytest.fixture(scope="module")
def data():
    values = groups(300, 1)[0]
    values[:, 1] = np.exp(values[:, 1])  # skewed: means and medians differ
    return clients(values)


@pytest.fixture(scope="module")
def run(data):
    posterior = fitted(data, 3)
    manifest = {
        "seed": 1,
        "verdict": "passed",
        "gates": [],
        "verdicts": {"segments": {"computation": "passed"}},
    }
    return replace(posterior, manifest=posterior.manifest | manifest)


def theirs(run, data):
    """By brute force: (name, draws, segments)."""
    theta = {n: v.reshape(-1, *v.shape[2:]) for n, v in run.parts["segments"].values.items()}
    some = np.linspace(0, len(theta["weights"]) - 1, 100).astype(int)
    from bayesseg.features import apply, raw_columns

    matrix = apply(run.features, raw_columns(data, run.spec.features))
    member = responsibilities({n: v[some] for n, v in theta.items()}, matrix)
    found = {}
    for name, values in data.columns.items():
        order = np.argsort(values)
        share = member[order].cumsum(0) / member.sum(0)
        found[name] = values[order][(share < 0.5).sum(0)]
    return found


def test_profiles_have_the_median_of_each_draw(run, data):
    expected = theirs(run, data)
    segments = score(run, data, Settings(draws=200)).document["segments"]
    for k, one in enumerate(segments):
        for name, values in expected.items():
            assert one["medians"][name]["mean"] == pytest.approx(values[:, k].mean(), rel=0.01)
            assert one["medians"][name]["lo"] <= one["medians"][name]["hi"]
            assert one["medians"]["b"]["mean"] < one["profile"]["b"]["mean"]


def test_medians_are_those_of_the_segments_people_see(run, data):
    whole = mapped(run, parse('schema = 1\n[[merge]]\nof = ["S1", "S2", "S3"]\n'))
    (one,) = score(whole, data, Settings(draws=100)).document["segments"]
    for name, values in data.columns.items():
        assert one["medians"][name]["mean"] == pytest.approx(np.median(values))


def test_many_customers_are_sampled_evenly_over_all(run, data, monkeypatch):
    expected = theirs(run, data)
    monkeypatch.setattr(medians, "_NUMBERS", 100 * 3 * 150)
    segments = score(run, data, Settings(draws=200)).document["segments"]
    for k, one in enumerate(segments):
        assert one["medians"]["a"]["mean"] == pytest.approx(expected["a"][:, k].mean(), abs=0.3)
