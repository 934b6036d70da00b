"""Modes without PyMC, and lifetimes beside them."""

import json
import subprocess
import sys

import numpy as np
import pytest
from families_case import GOLDEN, NAMES, part_of, scales, summary

from bayesseg import baseline
from bayesseg.families import FAMILIES
from bayesseg.inference.map import maximum, mode, posed
from bayesseg.priors import logpdf


@pytest.fixture(scope="module")
def cdnow(cdnow_sample):
    return summary(cdnow_sample)


@pytest.mark.parametrize("name", NAMES)
def test_maximum_likelihood_equals_the_published_fit(name, cdnow):
    family, expected = FAMILIES[name], GOLDEN["maximum_likelihood"][name]
    found, value = maximum(family, None, family.tabulate(cdnow), scales(cdnow))
    assert list(found.values()) == pytest.approx(expected["theta"], rel=1e-5)
    assert value == pytest.approx(expected["log_likelihood"], abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_mode_is_where_likelihood_times_prior_is_flat(name, cdnow):
    """Against plain differences of SciPy's prior densities on the unconstrained scale."""
    family, part = FAMILIES[name], part_of(name)
    table, worth = family.tabulate(cdnow), scales(cdnow)
    found, _ = maximum(family, part, table, worth)
    free = family.underive(found)

    def density(values):
        theta = family.derive(values)
        total = family.kernel(np.array([*theta.values()]), *table.arrays.values())[0]
        for p in family.params:
            total += logpdf(part.priors[p.name], values[p.name], worth)
            total += np.log(values[p.name])
            total += np.log1p(-values[p.name]) if p.support == "unit" else 0.0
        return float(total)

    def moved(p, step):
        x = free[p.name]
        there = x * np.exp(step)
        return free | {p.name: there / (1 - x + there) if p.support == "unit" else there}

    for p in family.params:
        assert density(free) >= density(moved(p, 1e-3))
        assert density(free) >= density(moved(p, -1e-3))
        slope = (density(moved(p, 1e-4)) - density(moved(p, -1e-4))) / 2e-4
        assert slope == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "gammagamma"])
def test_a_mode_far_from_where_it_starts_is_reached(name):
    """Busy customers: the slope at the start is in thousands, and a step as long ends in no numbers."""
    family, part = FAMILIES[name], part_of(name)
    truth = {"r": 0.34, "rate": 0.34, "s": 0.1, "drop": 0.005, "phi": 0.02, "kappa": 3.0}
    theta = family.derive(truth)
    rng = np.random.default_rng(15)
    columns = family.simulate(theta, {"T": np.linspace(13.0, 65.0, 200)}, rng)
    problem = posed(family, part, family.tabulate(columns), {"mean_window": 39.0})
    u = mode(problem)
    assert np.abs(problem.log_density(u)[1]).max() < 1e-3
    free = family.underive(theta)
    there = np.log(
        [free[p.name] / (1 - free[p.name] * (p.support == "unit")) for p in family.params]
    )
    assert problem.log_density(u)[0] >= problem.log_density(there)[0]


def test_maximum_likelihood_is_the_same_in_days(cdnow):
    family = FAMILIES["mbgnbd"]
    days = cdnow | {n: cdnow[n] * 7 for n in ("t_x", "T")}
    weekly, _ = maximum(family, None, family.tabulate(cdnow), scales(cdnow))
    daily, _ = maximum(family, None, family.tabulate(days), scales(days))
    assert daily["alpha"] == pytest.approx(7 * weekly["alpha"], rel=1e-6)
    assert daily["a"] == pytest.approx(weekly["a"], rel=1e-6)


def test_a_handful_of_customers_still_has_a_mode(cdnow):
    few = {n: v[:5] for n, v in cdnow.items()}
    family = FAMILIES["mbgnbd"]
    found, value = maximum(family, part_of("mbgnbd"), family.tabulate(few), scales(few))
    assert np.isfinite([*found.values(), value]).all()


@pytest.mark.parametrize("name", NAMES)
def test_lifetimes_agrees_with_the_reference_to_four_digits(name, cdnow):
    expected = GOLDEN["maximum_likelihood"][name]
    found = baseline.maximum_likelihood(cdnow, {"part": name})["part"]
    assert [found[p] for p in FAMILIES[name].textbook] == pytest.approx(expected["theta"], rel=1e-4)
    assert found["log_likelihood"] == pytest.approx(expected["log_likelihood"], abs=1e-4)


def test_where_lifetimes_has_no_answer_the_reason_is_given(capsys):
    columns = {
        "x": np.zeros(3),
        "t_x": np.zeros(3),
        "T": np.ones(3),
        "n": np.zeros(3),
        "S": np.zeros(3),
    }
    found = baseline.maximum_likelihood(columns, {"purchase": "gammagamma", "segments": "bgnbd"})
    assert (
        "no customer has a repeat purchase with a positive amount"
        in found["purchase"]["unavailable"]
    )
    assert json.dumps(found)
    assert capsys.readouterr().out == ""


def test_lifetimes_leaves_warnings_as_they_were():
    code = (
        "import warnings, pandas, scipy.optimize, scipy.special, bayesseg.families\n"
        "import numpy as np; from bayesseg import baseline; before = list(warnings.filters)\n"
        "rng = np.random.default_rng(0); x = rng.integers(0, 4, 50).astype(float)\n"
        "c = {'x': x, 't_x': 5.0 * (x > 0), 'T': np.full(50, 9.0)}\n"
        "baseline.maximum_likelihood(c, {'purchase': 'bgnbd'})\n"
        "print(warnings.filters == before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_modes_are_found_without_importing_pymc():
    code = (
        "import sys, bayesseg.inference.map; print(sorted({'pymc', 'pytensor'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
