"""Segments of a run: do they come back, have they drifted, what are they worth."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from scipy.stats import f_oneway
from segmentation_case import CENTRES, clients, fitted, groups, scaled

from bayesseg.customers import Attributes, summarise, with_attributes
from bayesseg.errors import InputRejected, UsageError
from bayesseg.ingest import read_purchases
from bayesseg.report.segmentation import comparison as compare_page
from bayesseg.report.words import load_words
from bayesseg.segmentation.classics import classics
from bayesseg.segmentation.comparison import comparison
from bayesseg.segmentation.drift import drift
from bayesseg.segmentation.periods import Window, windowed
from bayesseg.segmentation.price import Price, eta_squared, moments, prices, worth
from bayesseg.segmentation.refits import Effort
from bayesseg.segmentation.stability import stability
from bayesseg.spec import FeatureSpec, load_spec

SMALL = Effort(rows=800, starts=20, refits=10, halves=4)


@pytest.fixture(scope="module")
def data():
    return clients(groups(800, 1)[0])


@pytest.fixture(scope="module")
def run(data):
    return fitted(data, 3)


@pytest.fixture(scope="module")
def unmoved(run, data):
    return drift(run, data, data, effort=SMALL, seed=1)


def test_segments_that_are_there_come_back(run, data):
    found = stability(run, data, effort=SMALL, seed=1)
    assert found["verdict"] == "stable"
    assert {one["word"] for one in found["segments"]} == {"highly stable"}
    assert found["prediction_strength"]["mean"] > 0.95
    assert found["groups"] == 3


@pytest.mark.parametrize("rows", [1, 11])
def test_too_few_customers_are_refused_with_how_many_are_needed(run, data, rows):
    with pytest.raises(InputRejected) as refused:
        stability(run, data.take(np.arange(rows)), effort=SMALL, seed=1)
    assert "give at least 28: halves of them are fitted" in refused.value.fix


def test_segments_that_all_come_back_are_not_said_to_be_others(run, data):
    found = stability(run, data, effort=SMALL, seed=1)
    assert found["other_modes"] == 0.0


def test_segments_of_one_crowd_are_called_cuts():
    crowd = clients(np.random.default_rng(2).normal(size=(800, 2)))
    found = stability(fitted(crowd, 4), crowd, effort=SMALL, seed=1)
    assert found["verdict"] != "stable"
    assert found["words"][-1].startswith("No gap can be shown between the segments")


def test_the_same_customers_in_the_same_place_have_not_moved(unmoved):
    assert unmoved["status"] == "stable"
    assert unmoved["migration"]["switching_excess"]["hi"] == pytest.approx(0.0, abs=1e-12)
    assert {one["psi"] for one in unmoved["psi"].values()} == {0.0}


def test_rows_of_the_migration_matrix_sum_to_one(unmoved):
    for name in ("matrix", "baseline"):
        sums = [sum(cell["mean"] for cell in row) for row in unmoved["migration"][name]]
        assert sums == pytest.approx([1.0] * 3)


def test_other_customers_of_the_same_kind_are_stable(run, data):
    later = clients(groups(800, 7)[0], "d")
    found = drift(run, data, later, effort=SMALL, seed=1)
    assert found["status"] == "stable"
    assert found["customers"] == {"before": 800, "after": 800, "both": 0, "gone": 800, "new": 800}
    assert {fate["fate"] for fate in found["refit"]["fates"]} == {"kept"}


def test_moved_customers_are_counted_beyond_the_baseline(run, data):
    values, z = groups(800, 1)
    moved = values.copy()
    movers = np.flatnonzero(z == 0)[:100]
    moved[movers] += CENTRES[1]
    found = drift(run, data, clients(moved), effort=SMALL, seed=1)
    assert found["migration"]["switching_excess"]["mean"] == pytest.approx(100 / 800, abs=0.03)


def test_a_changed_mix_is_seen(run, data):
    later = clients(groups(800, 8, shares=(0.2, 0.3, 0.5))[0], "d")
    found = drift(run, data, later, effort=SMALL, seed=1)
    assert found["status"] == "refit"
    assert found["psi"]["segments"]["level"] == "refit"


def test_a_segment_that_vanished_asks_for_a_refit(run, data):
    elsewhere = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 12.0]])
    later = clients(groups(800, 9, centres=elsewhere)[0], "d")
    found = drift(run, data, later, effort=SMALL, seed=1)
    assert found["status"] == "refit"
    assert found["fit"]["doubled"]


def test_customers_who_left_are_exits_of_their_segment(run):
    values, z = groups(800, 1)
    before = clients(values)
    found = drift(run, before, before.take(np.flatnonzero(z != 0)), effort=SMALL, seed=1)
    assert sorted(one["mean"] for one in found["migration"]["exits"]) == pytest.approx(
        [0.0, 0.0, 1.0], abs=0.02
    )


def test_a_run_without_segments_is_refused(run, data):
    import dataclasses

    with pytest.raises(UsageError, match="no segments"):
        stability(dataclasses.replace(run, parts={}), data, effort=SMALL, seed=1)


# --- periods -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def purchases(cdnow_orders):
    return read_purchases(cdnow_orders)


def test_a_window_over_everything_is_the_summary(purchases):
    window = Window(date(1997, 1, 1), date(1998, 3, 31))
    expected, actual = summarise(purchases, as_of=window.last), windowed(purchases, window)
    for name in ("ids", "x", "t_x", "t_end", "x_paid", "n_orders"):
        assert (getattr(expected, name) == getattr(actual, name)).all()
    assert actual.first_spend == pytest.approx(expected.first_spend)
    assert actual.repeat_spend == pytest.approx(expected.repeat_spend)


def test_a_later_window_forgets_what_came_before(purchases, cdnow_orders):
    window = Window(date(1997, 1, 1), date(1998, 6, 30)).of(180)
    first = cdnow_orders[cdnow_orders["date"] >= str(window.first)]
    expected = summarise(read_purchases(first), as_of=window.last)
    actual = windowed(purchases, window)
    assert window.days == 180
    assert (actual.ids == expected.ids).all()
    assert (actual.x == expected.x).all()
    assert actual.t_end.max() < 180


def test_an_empty_window_is_refused(purchases):
    with pytest.raises(InputRejected, match="no purchase from"):
        windowed(purchases, Window(date(1996, 1, 1), date(1996, 12, 31)))


# --- worth and classics --------------------------------------------------------------------------


def test_eta_squared_of_hard_segments_is_that_of_an_analysis_of_variance():
    rng = np.random.default_rng(1)
    label, values = rng.integers(3, size=300), rng.normal(size=300)
    values += label
    F = f_oneway(*(values[label == k] for k in range(3))).statistic
    expected = 2 * F / (2 * F + 297)
    weights = np.stack([np.ones(300), np.repeat([0.0, 2.0], 150)], 1)
    whole, half = eta_squared(*moments(np.eye(3)[label], values - values.mean(), weights))
    assert whole == pytest.approx(expected)
    again = f_oneway(*(values[150:][label[150:] == k] for k in range(3))).statistic
    assert half == pytest.approx(2 * again / (2 * again + 147))


def test_what_everybody_does_alike_is_not_explained_by_segments():
    member = np.random.default_rng(1).dirichlet((1.0, 1.0), 50)
    assert eta_squared(*moments(member, np.zeros(50), np.ones((50, 1)))) == 0.0


def priced(components, share, noise=0.001):
    draws = share + noise * np.concatenate([[0.0], np.linspace(-1.0, 1.0, 100)])
    return Price({"components": components}, draws, draws, ())


def test_more_segments_than_explain_more_are_said_to_add_nothing():
    ladder = [priced(4, 0.15), priced(5, 0.2), priced(6, 0.2001, noise=0.002), priced(7, 0.2)]
    assert worth(ladder).startswith("Of 4 to 7 segments, 5 explain 20.0% of who buys")
    assert worth(ladder[:2]).startswith("Of 4 to 5 segments, none explain as much as 5")
    assert worth(ladder[:1]) == "K = 4 explains 15.0% of who buys and 15.0% of spend."


@pytest.fixture(scope="module")
def worked(purchases):
    data = summarise(purchases, as_of=date(1998, 6, 30))
    return comparison(
        data,
        load_spec("retail"),
        components=(3, 4),
        effort=SMALL,
        seed=1,
        purchases=purchases,
        with_classics=False,
    )


def test_a_purchase_log_prices_every_number_of_segments(worked):
    price = worked["price"]
    assert [row["components"] for row in price["table"]][:3] == [2, 3, 4]
    assert price["of"] == worked["working"]
    for row in price["table"]:
        for share in (row["buys"], row["spend"]):
            assert 0.05 < share["lo"] < share["mean"] < share["hi"] < 0.5


def test_priced_segments_add_up_to_what_came_after_the_cut(worked, cdnow_orders):
    cut = worked["price"]["cut"]
    orders = cdnow_orders.assign(late=cdnow_orders["date"] > cut)
    known = set(orders.loc[~orders["late"], "customer_id"])
    after = orders[orders["late"] & orders["customer_id"].isin(known)]
    assert worked["price"]["customers"] == len(known)
    for row in worked["price"]["table"]:
        found = row["segments"]
        assert sum(one["customers"] for one in found) == pytest.approx(len(known))
        bought = sum(one["customers"] * one["bought"] for one in found)
        assert bought == pytest.approx(after["customer_id"].nunique())
        spend = sum(one["customers"] * one["spend"] for one in found)
        assert spend == pytest.approx(after["amount"].sum())


def test_segments_made_of_attributes_are_priced_too(purchases):
    data = summarise(purchases, as_of=date(1998, 6, 30))
    age = np.random.default_rng(1).normal(50.0, 9.0, len(data))
    data = with_attributes(data, Attributes(data.ids, {"age": age}))
    spec = load_spec("retail")
    spec = replace(spec, features=(*spec.features, FeatureSpec("age")))
    variant = {"components": 2, "covariance": "diag"}
    asked = {"cut": date(1998, 3, 31), "until": data.as_of, "effort": SMALL, "seed": 1}
    customers, found = prices(purchases, spec, [variant], **asked, attributes=data.attributes)
    assert (customers, len(found)) == (len(data), 1)
    with pytest.raises(InputRejected, match="no column 'age'"):
        prices(purchases, spec, [variant], **asked)


def test_the_page_shows_classes_hidden_features_and_prices_with_their_intervals(worked):
    text = compare_page.build(worked).html
    kinds = {row["kind"] for row in worked["table"]}
    assert all(f">{kind}</td>" in text for kind in kinds)
    assert "What a feature is worth" in text
    assert "Days since last purchase" in text
    assert f"The segments of {worked['price']['of']} as made on that day" in text
    words = load_words("en")
    for row in worked["price"]["table"]:
        assert words.halves(row["buys"], "percent", 0.05)[1] in text


def test_classics_agree_on_clear_groups():
    values, z = groups(500, 3)
    found = classics(scaled(values), range(2, 6), {"truth": z}, 1)
    assert found["picks"] == {"elbow": 3, "silhouette": 3, "davies_bouldin": 3, "gap": 3}
    named = dict(zip(found["names"], found["rand"][0], strict=True))
    assert min(v for name, v in named.items() if name.startswith(("k-means", "agglom"))) > 0.95


def test_the_gap_statistic_finds_one_cluster_in_one_crowd():
    values = np.random.default_rng(4).normal(size=(400, 2))
    assert classics(values, range(2, 5), {}, 1)["picks"]["gap"] == 1


def test_missing_cells_are_filled_and_said():
    values, z = groups(300, 5)
    values[:30, 0] = np.nan
    assert classics(values, range(2, 4), {"truth": z}, 1)["filled"] == pytest.approx(0.05)
