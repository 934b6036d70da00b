"""Aggregates of the training data: right numbers, no ids, no small cells."""

import json

import numpy as np
import pandas as pd
import pytest
import report_case
from scipy import stats

from bayesseg._types import SMALLEST
from bayesseg.aggregates import (
    against_prior,
    histogram,
    merged,
    rootogram,
    training_aggregates,
    weekly_repeats,
)
from bayesseg.families import FAMILIES
from bayesseg.posterior import textbook, thinned
from bayesseg.priors import scales_of
from bayesseg.spec import load_spec


@pytest.fixture(scope="module")
def customers(cdnow_sample):
    return report_case.customers(cdnow_sample)


@pytest.fixture(scope="module")
def summary(customers):
    return report_case.posterior(customers).summary


def one_group(customers):
    return np.zeros(len(customers), dtype=np.int64)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([20, 12, 11], [(0, 1), (1, 2), (2, 3)]),
        ([20, 3, 9, 1], [(0, 1), (1, 4)]),
        ([5, 5], []),
        ([0, 0, 30, 2], [(0, 4)]),
        ([], []),
    ],
)
def test_small_cells_join_their_neighbours(counts, expected):
    assert [(g.start, g.stop) for g in merged(counts)] == expected


def test_a_histogram_keeps_every_customer_and_shows_no_small_cell():
    values = np.concatenate([np.random.default_rng(0).exponential(10, 500), [np.nan, 400.0]])
    found = histogram(values, np.linspace(0, 50, 21))
    assert sum(found["counts"]) == 501
    assert min(found["counts"]) >= SMALLEST
    assert found["missing"] == 1
    assert len(found["edges"]) == len(found["counts"]) + 1
    assert found["median"] == np.nanmedian(values)


def test_no_cell_below_eleven_and_no_id_leaves_the_training_data(customers, summary):
    text = json.dumps(summary, allow_nan=False)
    assert not any(f'"{one}"' in text for one in customers.ids)
    cells = [n for one in summary["histograms"].values() for n in one["counts"]]
    cells += summary["rootogram"]["observed"]
    cells += [n for n in summary["weekly"]["actual"] if n is not None]
    assert min(cells) >= SMALLEST


def test_extremes_do_not_show_in_the_edges(customers, summary):
    """The largest frequency belongs to one customer."""
    assert summary["histograms"]["frequency"]["edges"][-1] < customers.x.max()


def test_the_rootogram_counts_the_customers(customers, summary):
    counted = pd.Series(np.minimum(customers.x, 7)).value_counts().sort_index().tolist()
    assert summary["rootogram"]["bins"] == ["0", "1", "2", "3", "4", "5", "6", "7+"]
    assert summary["rootogram"]["observed"] == counted


def test_the_rootogram_predicts_what_the_family_says_of_one_time_buyers(customers):
    """P(X = 0) of a new customer is the family's own probability of no purchase within T."""
    family = FAMILIES["mbgnbd"]
    theta = {name: np.full(60, value) for name, value in report_case.REFERENCE["mbgnbd"].items()}
    found = rootogram(family, (theta,), one_group(customers), customers, 7.0, seed=3)
    r, alpha, a, b = (theta[name][0] for name in ("r", "alpha", "a", "b"))
    left_at_once = a / (a + b)
    silent = (alpha / (alpha + customers.t_end / 7.0)) ** r
    expected = (left_at_once + (1 - left_at_once) * silent).sum()
    assert found["mean"][0] == pytest.approx(expected, abs=4 * np.sqrt(len(customers.x) / 4 / 60))
    assert sum(found["mean"]) == pytest.approx(len(customers.x))


def test_many_customers_are_sampled_evenly_and_counted_in_full(customers):
    family = FAMILIES["mbgnbd"]
    theta = {name: np.full(20, value) for name, value in report_case.REFERENCE["mbgnbd"].items()}
    many = customers.take(np.resize(np.arange(len(customers)), 120_000))
    found = rootogram(family, (theta,), one_group(many), many, 7.0, seed=3)
    whole = rootogram(family, (theta,), one_group(customers), customers, 7.0, seed=3)
    assert found["simulated"] == 100_000
    assert sum(found["mean"]) == pytest.approx(120_000)
    share = np.array(found["mean"]) / 120_000
    np.testing.assert_allclose(share, np.array(whole["mean"]) / len(customers), atol=0.015)


def test_each_group_is_forecast_by_its_own_parameters(customers):
    """Two groups of which one never buys again: all its weeks and bins come from the other."""
    family = FAMILIES["mbgnbd"]
    busy = {name: np.full(20, value) for name, value in report_case.REFERENCE["mbgnbd"].items()}
    silent = {**busy, "alpha": np.full(20, 1e12)}
    group = (np.arange(len(customers)) % 2).astype(np.int64)
    found = rootogram(family, (busy, silent), group, customers, 7.0, seed=3)
    half = customers.take(np.flatnonzero(group == 0))
    alone = rootogram(family, (busy,), one_group(half), half, 7.0, seed=3)
    assert found["mean"][0] - alone["mean"][0] == pytest.approx(len(customers) // 2, abs=25)
    weeks = weekly_repeats(family, (busy, silent), group, customers, 7.0)
    of_half = weekly_repeats(family, (busy,), one_group(half), half, 7.0)
    np.testing.assert_allclose(weeks["mean"], of_half["mean"], rtol=1e-6)


def test_small_bins_are_merged_for_the_model_as_for_the_data(customers):
    few = customers.take(np.flatnonzero(customers.x <= 4)[:150])
    theta = {name: np.full(30, value) for name, value in report_case.REFERENCE["mbgnbd"].items()}
    found = rootogram(FAMILIES["mbgnbd"], (theta,), one_group(few), few, 7.0, seed=3)
    assert found["bins"][-1].endswith("+")
    assert min(found["observed"]) >= SMALLEST
    assert sum(found["mean"]) == pytest.approx(150)


def test_expected_weeks_add_up_to_the_expected_repeat_purchases(customers):
    """Sum over weeks = sum over customers of E[X(T)], here by one call a customer's age."""
    spec = load_spec("retail")
    family = FAMILIES["mbgnbd"]
    theta = {name: np.array([value]) for name, value in report_case.REFERENCE["mbgnbd"].items()}
    found = weekly_repeats(family, (theta,), one_group(customers), customers, spec.unit_days)
    total = 0.0
    nobody = {name: np.zeros(1) for name in ("x", "t_x", "T")}
    last = pd.Timestamp(found["week"][-1]) + pd.Timedelta(days=7)
    unseen = (pd.Timestamp(customers.as_of) + pd.Timedelta(days=1) - last).days
    for age, count in zip(*np.unique(customers.t_end, return_counts=True), strict=True):
        clock = report_case.clock((age + 1 - unseen) / 7.0)
        alive = family.quantities["p_alive"].fn(theta, nobody, clock)[0, 0]
        bought = family.quantities["purchases_if_alive"].fn(theta, nobody, clock)[0, 0]
        total += count * alive * bought
    assert sum(found["mean"]) == pytest.approx(total, rel=5e-3)


def test_counted_weeks_are_purchases_that_are_not_first_ones(customers, cdnow_sample, summary):
    days = report_case.purchases(cdnow_sample)
    first = days.groupby("customer_id")["date"].transform("min")
    repeat = days[days["date"] > first]
    monday = pd.Timestamp(summary["weekly"]["week"][10])
    inside = repeat["date"].between(monday, monday + pd.Timedelta(days=6)).sum()
    assert summary["weekly"]["actual"][10] == inside


def test_prior_quantiles_of_the_maximum_likelihood_values():
    """0.387, 0.752, 0.356, 0.429 for MBG/NBD at as-of 1997-09-30 (measured for the priors)."""
    spec = load_spec("retail")
    scales = {"mean_window": 32.716, "median_order": 27.4975}
    family = FAMILIES["mbgnbd"]
    values = {"r": 0.5248432, "alpha": 6.1830859, "a": 0.8913592, "b": 1.6140017}
    free = {k: np.full((4, 10), v) for k, v in family.underive(values).items()}
    rows = against_prior(spec.parts["purchase"], report_case.draws(free), scales, seed=1)
    found = {row["name"]: row["quantile"] for row in rows}
    expected = {"r": 0.387, "rate": 0.752, "phi": 0.356, "kappa": 0.429}
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=0.002)


def test_textbook_quantiles_come_from_draws_of_the_prior(customers):
    """alpha = r / rate with both log-normal is log-normal: its quantile is known."""
    spec = load_spec("retail")
    own, scales = spec.parts["purchase"], scales_of(customers.columns(7.0))
    draws = report_case.posterior(customers).parts["purchase"]
    rows = against_prior(own, draws, scales, seed=1)
    alpha = next(row for row in rows if row["name"] == "alpha")
    prior = stats.lognorm(s=np.sqrt(1.0 + 1.5**2), scale=0.7 * scales["mean_window"])
    assert alpha["quantile"] == pytest.approx(
        prior.cdf(alpha["mean"]), abs=4 * 0.5 / np.sqrt(20_000)
    )
    assert alpha["mean"] == pytest.approx(
        textbook("mbgnbd", thinned(draws, 4000))["alpha"].mean(), rel=1e-12
    )


def test_attributes_alone_have_histograms_of_their_numbers():
    clients = report_case.clients()
    spec = load_spec("segments")
    found = training_aggregates(clients, spec, {}, {}, seed=1)
    assert set(found["histograms"]) == {"age", "visits", "basket"}
    assert found["histograms"]["visits"]["missing"] == 1
    assert "rootogram" not in found


def test_the_same_seed_gives_the_same_aggregates(customers, summary):
    assert report_case.posterior(customers).summary == summary
