"""Drift told of the segments that people see: under a map of merges, splits and labels."""

from dataclasses import replace

import numpy as np
import pytest
from segmentation_case import CENTRES, clients, fitted, groups

from bayesseg.cli.shell import Shell
from bayesseg.cli.steps.segmenting import show_drift
from bayesseg.errors import UsageError
from bayesseg.naming import mapped
from bayesseg.report.segmentation import drift as drift_page
from bayesseg.segment_map import parse
from bayesseg.segmentation.drift import _fit as of_densities
from bayesseg.segmentation.drift import drift, judged
from bayesseg.segmentation.refits import Effort

SMALL = Effort(rows=300, starts=10, refits=10, halves=2)
MERGED = """
schema = 1
[[merge]]
of = ["S1", "S3"]
[segments.S1_S3]
label = "the quiet ones"
"""
SPLIT = """
schema = 1
[[split]]
of = "S2"
column = "a"
above = 6.0
"""


@pytest.fixture(scope="module")
def data():
    return clients(groups(300, 1)[0])


@pytest.fixture(scope="module")
def later(data):
    """Others in the same places: nearly everybody is somewhere else, the mix is as it was."""
    return replace(clients(groups(300, 2)[0]), ids=data.ids)


@pytest.fixture(scope="module")
def run(data):
    return fitted(data, 3)


@pytest.fixture(scope="module")
def plain(run, data, later):
    return drift(run, data, later, effort=SMALL, seed=1)


@pytest.fixture(scope="module")
def merged(run, data, later):
    return drift(mapped(run, parse(MERGED)), data, later, effort=SMALL, seed=1)


def means(cells):
    return np.array([[one["mean"] for one in row] for row in cells])


def test_merged_segments_move_as_the_sum_of_their_parts(plain, merged):
    parts = means(plain["migration"]["customers"]["flow"])
    groups = np.array([[1, 0], [0, 1], [1, 0]])
    assert merged["migration"]["ids"] == ["S1_S3", "S2"]
    expected = groups.T @ parts @ groups
    assert means(merged["migration"]["customers"]["flow"]) == pytest.approx(expected)


def test_shares_of_merged_segments_are_called_as_people_call_them(merged):
    assert [one["name"] for one in merged["shares"]] == ["the quiet ones", "segment 2"]
    assert sum(one["after"]["mean"] for one in merged["shares"]) == pytest.approx(1.0)


def test_the_refit_asks_about_the_models_own_segments_and_says_where_they_are(merged):
    found = [(one["id"], one["seen_in"]) for one in merged["refit"]["segments"]]
    assert found == [("S1", ["S1_S3"]), ("S2", ["S2"]), ("S3", ["S1_S3"])]


def test_a_split_follows_the_customers_own_value_in_each_period(run, data, later):
    found = drift(mapped(run, parse(SPLIT)), data, later, effort=SMALL, seed=1)
    assert found["migration"]["ids"] == ["S1", "S2a", "S2b", "S3"]
    share = {one["id"]: one for one in found["shares"]}
    for key, table in (("before", data), ("after", later)):
        inside = np.linalg.norm(
            np.column_stack([table.columns["a"] - 6, table.columns["b"]]), axis=1
        )
        expected = np.mean((inside < 3) & (table.columns["a"] > 6))
        assert share["S2a"][key]["mean"] == pytest.approx(expected, abs=0.02)


def test_a_split_by_a_column_that_the_later_table_lacks_is_refused(run, data, later):
    own = parse(SPLIT.replace('"a"', '"city"').replace("above = 6.0", 'is = ["Metz"]'))
    with pytest.raises(UsageError, match="city, which the data do not have"):
        drift(mapped(run, own), data, later, effort=SMALL, seed=1)


def test_movement_in_a_steady_mix_is_said_to_be_movement(plain):
    assert plain["status"] == "stable"
    assert any(
        line.startswith("The mix is as it was while customers move") for line in plain["words"]
    )
    assert any(line.startswith("Most of the movement:") for line in plain["words"])


def test_the_same_customers_twice_change_nothing_for_certain(run, data):
    found = drift(run, data, data, effort=SMALL, seed=1)
    for one in found["shares"]:
        change = one["change"]
        assert (change["lo"], change["hi"]) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert found["fit"]["change_se"] == pytest.approx(0.0, abs=1e-9)


def test_the_error_of_the_density_is_that_of_means_of_paired_customers():
    rng = np.random.default_rng(3)
    first, change = rng.normal(0, 3, 400), rng.normal(0, 0.5, 400)
    found = of_densities(first, first + change, (np.arange(400),) * 2)
    assert found["change_se"] == pytest.approx(change.std() / 20)
    strangers = of_densities(first, first + change, (np.arange(0),) * 2)
    assert strangers["change_se"] == pytest.approx(
        np.hypot(first.std(), (first + change).std()) / 20
    )


def test_outliers_within_what_few_customers_show_by_chance_are_not_doubled():
    first = np.arange(440.0)
    for outliers, expected in ((2, False), (3, True)):
        second = np.where(np.arange(30) < outliers, -1.0, 200.0)
        assert of_densities(first, second, (np.arange(0),) * 2)["doubled"] is expected


def test_a_column_that_the_later_table_lacks_is_said_and_not_called_moved(run, data, later):
    gone = next(iter(data.columns))
    columns = {name: values for name, values in later.columns.items() if name != gone}
    document = drift(run, data, replace(later, columns=columns), seed=1, effort=SMALL)
    assert gone not in document["psi"]
    assert [f"no value of '{gone}'" in one for one in document["missing"]] == [True]
    assert document["missing"][0] in document["words"]


def test_one_customer_is_not_judged(run, data):
    found = drift(run, data, clients(np.array([[50.0, 50.0]]), "d"), effort=SMALL, seed=1)
    assert (found["status"], found["refit"]["segments"]) == ("too_few", [])
    assert found["reasons"][0]["says"].startswith("too few to judge: 300 and 1 in the two")
    assert "Too few customers to judge" in drift_page.build(found).html


def test_few_of_the_same_customers_are_compared_with_as_few(run, data):
    rng = np.random.default_rng(6)
    found = [
        drift(run, data, replace(some, ids=some.ids + "x"), effort=SMALL, seed=seed)
        for seed in range(4)
        for some in [data.take(rng.permutation(300)[:25])]
    ]
    assert {one["status"] for one in found} == {"stable"}


@pytest.mark.parametrize(
    ("value", "said"), [(0.69, "comes back only in part"), (0.5, "does not come back")]
)
def test_how_much_of_a_segment_comes_back_is_said(plain, value, said):
    first, *rest = plain["refit"]["segments"]
    ends = {
        end: {"mean": mean, "lo": mean, "hi": mean}
        for end, mean in (("jaccard", value), ("without_change", 0.9))
    }
    refit = plain["refit"] | {"segments": [first | ends | {"changed": True}, *rest]}
    found = judged(plain | {"refit": refit})["reasons"]
    assert any(f"{said} in a refit: Jaccard {value:.2f}" in one["says"] for one in found)


@pytest.mark.parametrize(("usual", "status"), [(0.4, "stable"), (0.9, "refit")])
def test_a_segment_that_never_comes_back_is_not_missed(plain, usual, status):
    first, *rest = plain["refit"]["segments"]
    lost = {"changed": True, "jaccard": {"mean": 0.2}, "without_change": {"mean": usual}}
    refit = plain["refit"] | {"segments": [first | lost, *rest]}
    assert judged(plain | {"refit": refit})["status"] == status


def test_switching_is_called_what_it_is(run):
    values, z = groups(300, 1)
    moved = values.copy()
    moved[z == 0] += CENTRES[1]
    words = drift(run, clients(values), clients(moved), effort=SMALL, seed=1)["words"]
    assert "points of switching beyond what that shows by itself." in words[1]


def test_the_fates_of_the_refit_are_said_and_no_id_comes_back(run, data):
    elsewhere = np.array([[0.0, -3.0], [6.0, 0.0], [0.0, 3.0]])
    later = clients(groups(300, 9, centres=elsewhere)[0], "d")
    found = run.manifest | {"segments": run.manifest["segments"] | {"ever": 7}}
    told = drift(replace(run, manifest=found), data, later, effort=SMALL, seed=1)
    fresh = set(told["refit"]["ids"]) - {"S1", "S2", "S3"}
    assert fresh
    assert min(int(one[1:]) for one in fresh) == 8
    assert any(line.startswith("In a refit to the later period: S8") for line in told["words"])
    page = drift_page.build(told).html
    for fate in told["refit"]["fates"]:
        assert fate["says"].partition(":")[0] in page
    same = drift(run, data, data, effort=SMALL, seed=1)
    assert {one["fate"] for one in same["refit"]["segments"]} == {"kept"}
    assert "A refit to the later period keeps every segment." in same["words"]


def test_rows_of_nobody_are_not_filled_with_shares(run, capsys):
    values, z = groups(300, 1)
    first = clients(values).take(np.flatnonzero(z != 0))
    found = drift(run, first, first, effort=SMALL, seed=1)
    assert found["migration"]["followed"] == [False, True, True]
    show_drift(found, Shell())
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["S1", "–", "–", "–"] in rows


def test_customers_who_stayed_are_not_said_to_move(run, data):
    words = drift(run, data, data, effort=SMALL, seed=1)["words"]
    assert not any("movement" in line or "mix is" in line for line in words)


def test_segments_that_keep_and_lose_their_customers_are_named(run):
    values, z = groups(300, 1)
    kept = clients(values).take(np.flatnonzero(z != 0))
    words = drift(run, clients(values), kept, effort=SMALL, seed=1)["words"]
    assert any("did not come back: 100% of S1 segment 1, 0% of" in line for line in words)
