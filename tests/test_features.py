"""Segment features: behaviour columns, learned state, refusals."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from scipy import stats

from bayesseg import features
from bayesseg.customers import Attributes, Customers
from bayesseg.errors import ArtefactBad, InputRejected
from bayesseg.features import Feature, FeatureState
from bayesseg.spec import FeatureSpec

RNG = np.random.default_rng(5)


def customers() -> Customers:
    """A repeater (4 purchase days, one of them free), a one-time buyer and one who never paid."""
    return Customers(
        ids=np.array(["a", "b", "c"], dtype=object),
        x=np.array([3, 0, 0]),
        t_x=np.array([90, 0, 0]),
        t_end=np.array([100, 40, 10]),
        x_paid=np.array([2, 0, 0]),
        repeat_spend=np.array([30.0, 0.0, 0.0]),
        first_spend=np.array([15.0, 8.0, 0.0]),
        n_orders=np.array([5, 1, 1]),
        as_of=date(2024, 6, 30),
    )


def attributes(**columns) -> Attributes:
    ids = np.arange(len(next(iter(columns.values())))).astype(str).astype(object)
    return Attributes(ids, columns)


def learn(data, *specs):
    columns = features.raw_columns(data, specs)
    return features.learn(specs, columns), columns


def test_behaviour_columns_are_what_they_say():
    nan = np.nan
    expected = {
        "has_repeated": [1, 0, 0],
        "days_since_last": [10, 40, 10],
        "days_between_orders": [30, nan, nan],
        "orders_per_year": [365.25 / 30, nan, nan],
        "purchase_days": [4, 1, 1],
        "mean_spend": [15, 8, nan],  # three paid days, one, none
        "total_spend": [45, 8, 0],
        "tenure_days": [100, 40, 10],
        "active_days": [90, nan, nan],
    }
    actual = features.rfm(customers())
    assert list(actual) == list(expected)
    for name, column in expected.items():
        np.testing.assert_array_equal(actual[name], column, err_msg=name)


def test_state_is_learned_once_and_applied_to_newcomers():
    train = attributes(spend=np.exp(RNG.normal(3.0, 2.0, 400)))
    state, columns = learn(train, FeatureSpec("spend", transform="log"))
    logs = np.log(columns["spend"])
    learned = Feature(
        "spend", "number", "log", pytest.approx(logs.mean()), pytest.approx(logs.std())
    )
    assert replace(state.features[0], span=()) == learned
    scaled = np.sort((logs - logs.mean()) / logs.std())
    ends = scaled[:11].mean(), scaled[-11:].mean()
    beyond = ((scaled < ends[0]) | (scaled > ends[1])).mean()
    assert state.features[0].span == pytest.approx((*ends, beyond))
    newcomer = features.apply(state, {"spend": np.array([1.0, np.nan])})
    np.testing.assert_allclose(newcomer[:, 0], [-logs.mean() / logs.std(), np.nan])


def test_state_survives_json_bit_for_bit():
    learned = Feature("a", "number", "log1p", 0.1 + 0.2, 1 / 3)
    state = FeatureState((learned,), ("left out b: text",), ("age",))
    assert features.from_json(features.to_json(state)) == state


def test_damaged_state_is_refused():
    with pytest.raises(ArtefactBad):
        features.from_json('{"features": [{"column": "a"}], "notes": []}')


def test_state_does_not_depend_on_the_order_of_rows():
    values = RNG.lognormal(size=501)
    forward, _ = learn(attributes(v=values), FeatureSpec("v", transform="log1p"))
    backward, _ = learn(attributes(v=values[::-1].copy()), FeatureSpec("v", transform="log1p"))
    assert forward == backward


def test_binary_features_stand_last_and_unscaled():
    data = attributes(flag=np.repeat([0.0, 1.0], 50), v=RNG.normal(size=100))
    state, columns = learn(data, FeatureSpec("flag", "binary", scale="none"), FeatureSpec("v"))
    assert (state.names, state.numbers) == (("v", "flag"), 1)
    np.testing.assert_array_equal(features.apply(state, columns)[:, 1], columns["flag"])


def test_auto_takes_the_logarithm_of_skewed_columns_only():
    data = attributes(skewed=RNG.lognormal(size=500), plain=RNG.normal(50, 1, size=500))
    state, _ = learn(
        data, FeatureSpec("skewed", transform="auto"), FeatureSpec("plain", transform="auto")
    )
    assert [feature.transform for feature in state.features] == ["log1p", "identity"]


def test_wildcard_leaves_out_what_a_gaussian_cannot_take_and_says_why():
    n = 200
    good = RNG.normal(size=n)
    data = attributes(
        client=np.arange(n, dtype=float),
        good=good,
        twin=2.0 * good + 1.0,
        constant=np.ones(n),
        region=RNG.integers(3, size=n).astype(float),
        mostly_zero=np.where(RNG.random(n) < 0.5, 0.0, RNG.normal(size=n)),
        town=np.array(["Lyon"] * n, dtype=object),
        grid=np.round(RNG.normal(size=n), 1),  # rounded measurements have no atom
    )
    state, _ = learn(data, FeatureSpec("*", transform="auto"))
    assert state.names == ("good", "grid")
    left_out = {note.split(": ")[0].removeprefix("left out "): note for note in state.notes}
    for column, reason in {
        "client": "id",
        "twin": "repeats good",
        "constant": "constant",
        "region": "on one value",
        "mostly_zero": "on one value (0)",
        "town": "text",
    }.items():
        assert reason in left_out[column]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.where(np.arange(100) < 10, 0.0, np.arange(100) * 0.37), "10% of its rows on one value"),
        (np.ones(100), "constant"),
        (np.full(100, np.nan), "empty"),
        (np.array(["x"] * 100, dtype=object), "text"),
    ],
)
def test_a_named_feature_that_cannot_serve_is_refused_by_name(values, reason):
    with pytest.raises(InputRejected, match=f"'v'.*{reason}"):
        learn(attributes(v=values), FeatureSpec("v"))


def test_two_features_that_say_the_same_are_refused():
    v = RNG.normal(size=100)
    with pytest.raises(InputRejected, match="'w' repeats 'v'"):
        learn(attributes(v=v, w=-3.0 * v), FeatureSpec("v"), FeatureSpec("w"))


def test_a_column_missing_at_scoring_is_named():
    state, _ = learn(attributes(v=RNG.normal(size=50)), FeatureSpec("v"))
    with pytest.raises(InputRejected, match="'v'"):
        features.apply(state, {"w": np.ones(3)})


def test_a_value_outside_the_transform_is_refused_with_its_column():
    data = attributes(v=np.append(RNG.lognormal(size=50), 0.0))
    with pytest.raises(InputRejected, match="'v': 1 values are 0 or less"):
        learn(data, FeatureSpec("v", transform="log"))


def test_descriptors_are_profiled_but_stay_out_of_the_matrix():
    data = attributes(
        v=RNG.normal(size=50), age=np.repeat(40.0, 50), town=np.array(["Lyon"] * 50, dtype=object)
    )
    described = [FeatureSpec(name, role="descriptor") for name in ("age", "town")]
    state, columns = learn(data, FeatureSpec("v"), *described)
    assert (state.names, state.profiled) == (("v",), ("v", "age"))
    assert state.texts == ()
    assert state.notes[0].startswith("does not profile town: it takes two levels")
    assert features.apply(state, columns).shape == (50, 1)
    with pytest.raises(InputRejected, match="'age' is text"):
        features.apply(state, columns | {"age": columns["town"]})


def test_text_is_profiled_by_its_common_levels_and_what_came_later_is_other():
    towns = ["Lyon"] * 20 + ["Brest"] * 15 + ["Vaux"] * 3 + [None] * 2
    data = attributes(v=RNG.normal(size=40), town=np.array(towns, dtype=object))
    state, _ = learn(data, FeatureSpec("*"))
    assert state.names == ("v",)
    (town,) = state.texts
    assert (town.column, town.levels) == ("town", ("Brest", "Lyon", features.OTHER))
    later = {"town": np.array(["Lyon", "Vaux", "Nice", None], dtype=object)}
    np.testing.assert_array_equal(features.coded(town, later), [1.0, 2.0, 2.0, np.nan])
    assert features.from_json(features.to_json(state)) == state
    assert "Vaux" not in features.to_json(state)


def test_codes_declared_a_category_are_profiled_by_level_and_ids_are_not():
    n = 100
    names = np.array([f"client {i}" for i in range(n)], dtype=object)
    data = attributes(v=RNG.normal(size=n), area=np.arange(n) % 3.0, name=names)
    area = FeatureSpec("area", type="category", role="descriptor")
    state, _ = learn(data, FeatureSpec("*"), area)
    assert [one.levels for one in state.texts] == [("0", "1", "2", features.OTHER)]
    assert any(note.startswith("does not profile name") for note in state.notes)


def test_a_wildcard_leaves_named_descriptors_alone_and_may_profile_the_rest():
    n = 100
    data = attributes(v=RNG.normal(size=n), age=RNG.normal(size=n), flag=np.arange(n) % 2.0)
    named = learn(data, FeatureSpec("*"), FeatureSpec("age", role="descriptor"))[0]
    assert (named.names, named.descriptors) == (("v",), ("age",))
    rest = learn(data, FeatureSpec("v"), FeatureSpec("*", role="descriptor"))[0]
    assert (rest.names, rest.descriptors) == (("v",), ("age", "flag"))


def test_the_share_of_one_value_is_among_the_rows_that_have_one():
    values = np.where(np.arange(400) < 100, RNG.normal(size=400), np.nan)
    values[:12] = 7.0  # 12 % of the hundred seen, 3 % of all
    with pytest.raises(InputRejected, match="12% of its rows on one value"):
        learn(attributes(v=values), FeatureSpec("v"))


def atom(rows: int, share: float) -> np.ndarray:
    values = np.random.default_rng(1).normal(size=rows)
    values[: round(share * rows)] = 0.5
    return values


def test_what_chance_puts_on_one_value_in_few_rows_is_no_atom_and_in_many_it_is():
    assert learn(attributes(v=atom(180, 0.06)), FeatureSpec("v"))[0].names == ("v",)
    with pytest.raises(InputRejected, match="6% of its rows on one value"):
        learn(attributes(v=atom(18_000, 0.06)), FeatureSpec("v"))


def test_a_heap_on_a_grid_whose_neighbours_are_full_is_no_atom_and_above_a_quarter_it_is():
    grid = np.round(np.random.default_rng(2).normal(size=1000), 1)
    heaped, most = (
        np.where(np.arange(1000) < 100, 0.0, grid),
        np.where(np.arange(1000) < 300, 0, grid),
    )
    assert learn(attributes(v=heaped), FeatureSpec("v"))[0].names == ("v",)
    with pytest.raises(InputRejected, match="on one value"):
        learn(attributes(v=most), FeatureSpec("v"))


def test_a_column_declared_rounded_is_kept_whatever_share_one_value_has():
    kept = FeatureSpec("v", rounded=True)
    assert learn(attributes(v=atom(500, 0.4), w=atom(500, 0)), kept)[0].names == ("v",)
    state, _ = learn(attributes(v=atom(500, 0.4), w=atom(500, 0)), FeatureSpec("*"))
    assert (state.names, state.notes) == (
        ("w",),
        ("left out v: it has 40% of its rows on one value (0.5)",),
    )


def test_columns_that_later_data_lack_are_missing_and_told_apart_from_those_profiled_only():
    towns = np.array(["Lyon", "Brest"] * 50, dtype=object)
    data = attributes(v=RNG.normal(size=100), w=RNG.normal(size=100), age=atom(100, 0), town=towns)
    specs = (FeatureSpec("v"), FeatureSpec("w"))
    specs += tuple(FeatureSpec(name, role="descriptor") for name in ("age", "town"))
    state, _ = learn(data, *specs)
    for later in (
        attributes(v=np.ones(3)),
        attributes(v=np.ones(3), w=np.full(3, None), age=np.full(3, np.nan)),
    ):
        assert features.absent(later, state) == (["w"], ["age", "town"])
        raw = features.raw_columns(later, specs, state)
        matrix = features.apply(state, raw)
        np.testing.assert_array_equal(np.isnan(matrix), [[False, True]] * 3)
        assert np.isnan(features.coded(state.texts[0], raw)).all()
    with pytest.raises(InputRejected, match="no column of any feature"):
        features.absent(attributes(age=np.ones(3)), state)


def test_attributes_joined_to_customers_are_features_too():
    joined = replace(customers(), attributes=attributes(age=np.array([20.0, 30.0, np.nan])))
    columns = features.raw_columns(joined, [FeatureSpec("age"), FeatureSpec("total_spend")])
    np.testing.assert_array_equal(columns["age"], [20.0, 30.0, np.nan])
    np.testing.assert_array_equal(columns["total_spend"], [45.0, 8.0, 0.0])


# --- learned transforms, robust scales, categories, counts ---------------------------------------


@pytest.mark.parametrize(
    ("transform", "fit"), [("box-cox", "boxcox"), ("yeo-johnson", "yeojohnson")]
)
def test_power_transforms_are_learned_stored_and_applied_to_newcomers(transform, fit):
    values = RNG.lognormal(2.0, 0.7, size=400)
    state, columns = learn(attributes(v=values), FeatureSpec("v", transform=transform))
    expected, power = getattr(stats, fit)(values)
    feature = features.from_json(features.to_json(state)).features[0]
    assert feature.power == pytest.approx(power, abs=1e-3)
    whole = features.apply(state, columns)[:, 0]
    np.testing.assert_allclose(whole, (expected - expected.mean()) / expected.std(), atol=0.01)
    assert abs(stats.skew(whole)) < 0.2
    newcomer = features.apply(state, {"v": values[:1]})
    assert newcomer[0, 0] == whole[0]


def test_yeo_johnson_takes_negative_values_and_box_cox_refuses_them():
    data = attributes(v=RNG.normal(size=100))
    learn(data, FeatureSpec("v", transform="yeo-johnson"))
    with pytest.raises(InputRejected, match="box-cox cannot take them"):
        learn(data, FeatureSpec("v", transform="box-cox"))


def test_a_robust_scale_ignores_a_few_wild_values_and_is_the_sd_of_a_normal():
    values = RNG.normal(5.0, 2.0, size=4000)
    feature = learn(attributes(v=values), FeatureSpec("v", scale="robust"))[0].features[0]
    assert (feature.centre, feature.scale) == (
        pytest.approx(5.0, abs=0.1),
        pytest.approx(2.0, 0.05),
    )
    values[:100] = 1e6
    wild = learn(attributes(v=values), FeatureSpec("v", scale="robust"))[0].features[0]
    assert wild.scale == pytest.approx(feature.scale, rel=0.1)


def test_a_robust_scale_of_nothing_is_refused():
    values = np.where(np.arange(100) < 80, np.nan, RNG.normal(size=100))
    values[80:96] = np.arange(16) % 4 * 1e-320  # spread below what a double can divide by
    with pytest.raises(InputRejected, match="'v' has"):
        learn(attributes(v=values), FeatureSpec("v", scale="robust"))


def test_categories_are_places_among_the_levels_of_the_fit():
    town = np.array(["b", "a", None, "c", "a", ""], dtype=object)
    state, columns = learn(attributes(town=town), FeatureSpec("town", "category"))
    assert state.features[0].levels == ("a", "b", "c")
    assert state.layout == {"numbers": 0, "levels": (3,), "counts": 0, "ranks": ()}
    np.testing.assert_array_equal(
        features.apply(state, columns)[:, 0], [1, 0, np.nan, 2, 0, np.nan]
    )
    later = {"town": np.array(["c", "never seen"], dtype=object)}
    np.testing.assert_array_equal(features.apply(state, later)[:, 0], [2, np.nan])
    assert features.from_json(features.to_json(state)) == state


def test_ordinals_are_ranks_in_the_declared_order_and_other_texts_missing():
    tier = np.array(["gold", "silver", None, "bronze", "tin", "gold"], dtype=object)
    spec = FeatureSpec("tier", "ordinal", levels=("bronze", "silver", "gold"))
    state, columns = learn(attributes(tier=tier), spec)
    assert state.layout == {"numbers": 0, "levels": (), "counts": 0, "ranks": (3,)}
    expected = [2, 1, np.nan, 0, np.nan, 2]
    np.testing.assert_array_equal(features.apply(state, columns)[:, 0], expected)
    assert features.from_json(features.to_json(state)) == state
    counts = features.counted(attributes(tier=tier), [spec], state)
    assert features.lacking(counts, state) == [
        "1 customer has a value of 'tier' that is no level of the model: it counts as missing"
    ]


def test_numbers_beyond_those_of_the_fit_are_said():
    values = np.arange(200.0)
    specs = [FeatureSpec("v")]
    state, _ = learn(attributes(v=values), *specs)
    assert features.drifted(features.counted(attributes(v=values), specs, state), state) == []
    later = np.where(values < 30, values + 200, values)
    [said] = features.drifted(features.counted(attributes(v=later), specs, state), state)
    assert said.startswith("18% of customers have a 'v' outside what the fit saw (there 5%)")


def test_few_rows_for_many_features_are_said():
    few = {f"v{j}": RNG.normal(size=12) for j in range(3)}
    notes = learn(attributes(**few), FeatureSpec("*"))[0].notes
    assert notes[0].startswith("12 rows for 3 features: priors say much")


def test_missing_values_are_refused_by_name_and_share():
    gaps = attributes(v=np.where(np.arange(40) < 10, np.nan, RNG.normal(size=40)))
    state, columns = learn(gaps, FeatureSpec("v"))
    with pytest.raises(InputRejected, match=r"missing in 'v' \(25.0%\), and the model refuses"):
        features.refuse_gaps(state, features.apply(state, columns))


def test_an_ordinal_without_two_of_its_levels_is_refused():
    tier = np.array(["Gold", "Silver", "bronze"], dtype=object)
    spec = FeatureSpec("tier", "ordinal", levels=("bronze", "silver", "gold"))
    with pytest.raises(InputRejected, match="fewer than two of the levels bronze, silver, gold"):
        learn(attributes(tier=tier), spec)


def test_numeric_codes_are_categories_too():
    state, columns = learn(
        attributes(zone=np.array([2.0, 1.0, np.nan])), FeatureSpec("zone", "category")
    )
    assert state.features[0].levels == ("1", "2")
    np.testing.assert_array_equal(features.apply(state, columns)[:, 0], [1, 0, np.nan])


def test_a_category_of_ids_is_refused():
    names = np.array([f"n{i}" for i in range(60)], dtype=object)
    with pytest.raises(InputRejected, match="'v' has 60 levels"):
        learn(attributes(v=names), FeatureSpec("v", "category"))


def test_counts_carry_their_exposure_in_units_of_its_mean():
    data = attributes(
        visits=np.array([3.0, 0.0, np.nan]),
        days=np.array([10.0, 30.0, np.nan]),
        new=np.array([1.0, 0.0, 1.0]),
    )
    count = FeatureSpec("visits", "count", exposure="days")
    state, columns = learn(data, count, FeatureSpec("new", "binary"))
    matrix = features.apply(state, columns)
    np.testing.assert_array_equal(matrix[:, 1:], [[3, 0.5], [0, 1.5], [np.nan, 1.0]])
    assert state.layout == {"numbers": 0, "levels": (), "counts": 1, "ranks": ()}
    assert state.names == ("new", "visits")


@pytest.mark.parametrize(
    ("values", "days", "reason"),
    [
        ([1.5, 2.0], [1.0, 1.0], "whole numbers"),
        ([-1.0, 2.0], [1.0, 1.0], "whole numbers"),
        ([1.0, 2.0], [0.0, 1.0], "exposure 'days'"),
        ([1.0, 2.0], [np.nan, 1.0], "exposure 'days'"),
    ],
)
def test_a_count_that_is_none_is_refused(values, days, reason):
    data = attributes(visits=np.array(values), days=np.array(days))
    with pytest.raises(InputRejected, match=reason):
        learn(data, FeatureSpec("visits", "count", exposure="days"))


def test_groups_are_kept():
    state, _ = learn(attributes(v=RNG.normal(size=50)), FeatureSpec("v", group="behaviour"))
    assert state.features[0].group == "behaviour"
