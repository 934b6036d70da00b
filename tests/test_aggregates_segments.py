"""What the pictures of segments are made of: groups, planes, pairs, profiles and merges."""

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from bayesseg._types import SMALLEST, Draws
from bayesseg.aggregates.cells import clustered
from bayesseg.aggregates.merging import entropy_merges, merge_tree
from bayesseg.aggregates.projection import completed, plane
from bayesseg.aggregates.segments import _pairs, segment_aggregates
from bayesseg.features import learn
from bayesseg.spec import FeatureSpec, load_spec

CENTRES = np.array([[0.0, 0.0, 0.0], [5.0, 0.0, 1.0], [0.0, 5.0, 0.0]])


def specs(**kinds):
    base = load_spec("segments").features[0]
    return tuple(
        replace(base, column=name, type=kind, transform="identity") for name, kind in kinds.items()
    )


def columns(rows=600, seed=1):
    """Three groups in three numbers, a yes-or-no and a category; the third number often missing."""
    rng = np.random.default_rng(seed)
    z = np.arange(rows) % 3
    x = CENTRES[z] + rng.standard_normal((rows, 3))
    x[rng.random(rows) < 0.3, 2] = np.nan
    town = np.array(["Lyon", "Nice", "Paris"], dtype=object)[(z + (rng.random(rows) < 0.2)) % 3]
    town[:4] = "Lens"
    return {
        **dict(zip("abc", x.T, strict=True)),
        "member": (rng.random(rows) < 0.2 + 0.3 * z).astype(float),
        "town": town,
    }, z


def draws_of(state, cells, z, draws=30, seed=2):
    """Draws around the groups, in two chains."""
    rng = np.random.default_rng(seed)
    numbers = np.stack([(cells[f.column] - f.centre) / f.scale for f in state.features[:3]], axis=1)
    place = {level: i for i, level in enumerate(state.features[4].levels)}
    town = np.array([place[one] for one in cells["town"]])
    shape = (2, draws // 2)
    mean = np.stack([np.nanmean(numbers[z == k], axis=0) for k in range(3)])
    spread = np.stack([np.nanvar(numbers[z == k], axis=0) for k in range(3)])
    levels = np.stack([(np.bincount(town[z == k], minlength=4) + 1) / 204 for k in range(3)])
    binary = np.stack([cells["member"][z == k].mean(keepdims=True) for k in range(3)])
    values = {
        "weights": rng.dirichlet([200.0] * 3, size=shape),
        "mean": mean + 0.02 * rng.standard_normal((*shape, 3, 3)),
        "variance": np.broadcast_to(spread, (*shape, 3, 3)).copy(),
        "binary": np.broadcast_to(binary, (*shape, 3, 1)).copy(),
        "category": np.broadcast_to(levels[:, None], (*shape, 3, 1, 4)).copy(),
    }
    return Draws(values, {}, {})


@pytest.fixture(scope="module")
def case():
    cells, z = columns()
    kinds = dict.fromkeys("abc", "number") | {"member": "binary", "town": "category"}
    state = learn(specs(**kinds), cells)
    draws = draws_of(state, cells, z)
    return cells, z, state, draws, segment_aggregates(draws, state, cells)


def soft(rows=300, draws=5, seed=4):
    rng = np.random.default_rng(seed)
    return rng.dirichlet([0.6, 0.5, 0.4, 0.2], size=(rows, draws))


@pytest.mark.parametrize(("rows", "size"), [(500, 11), (24, 11), (22, 11), (37, 5)])
def test_groups_of_neighbours_hold_everybody_once(rows, size):
    places = np.random.default_rng(0).standard_normal((rows, 2))
    found = clustered(places, size)
    assert sorted(np.concatenate(found).tolist()) == list(range(rows))
    assert all(size <= len(group) < 2 * size for group in found)


def test_too_few_customers_make_no_group():
    assert clustered(np.zeros((10, 2)), SMALLEST) == []


def test_a_missing_number_stands_at_its_regression_on_the_others():
    """Each segment's normal, conditioned by its partitioned inverse; mixed by membership."""
    rng = np.random.default_rng(3)
    roots = rng.standard_normal((2, 3, 3))
    covariance = roots @ roots.swapaxes(1, 2) + np.eye(3)
    mean, member = rng.standard_normal((2, 3)), np.array([[0.3, 0.7]])
    row = np.array([[0.5, np.nan, -1.0]])
    expected = 0.0
    for k in range(2):
        precision = np.linalg.inv(covariance[k])  # E[x1 | rest] = m1 - P11^-1 P1r (xr - mr)
        away = (row[0] - mean[k])[[0, 2]]
        expected += member[0, k] * (mean[k, 1] - precision[1, [0, 2]] @ away / precision[1, 1])
    found = completed(row, mean, covariance, member)
    np.testing.assert_allclose(found, [[0.5, expected, -1.0]], rtol=1e-12)


def test_the_plane_of_equal_spreads_is_that_of_a_discriminant_analysis():
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    rng = np.random.default_rng(5)
    root = rng.standard_normal((4, 4)) + 2 * np.eye(4)
    centres = rng.standard_normal((3, 4)) * 3
    z = np.repeat(np.arange(3), 40)
    x = centres[z] + rng.standard_normal((120, 4)) @ root.T
    within = sum(np.cov(x[z == k].T, bias=True) for k in range(3)) / 3
    means = np.stack([x[z == k].mean(0) for k in range(3)])
    found = plane(np.full(3, 1 / 3), means, np.stack([within] * 3), x)
    other = LinearDiscriminantAnalysis(solver="eigen").fit(x, z)
    for axis in range(2):
        score, reference = x @ found.axes[:, axis], other.transform(x)[:, axis]
        assert abs(np.corrcoef(score, reference)[0, 1]) == pytest.approx(1.0, abs=1e-9)
    assert found.shown == pytest.approx(other.explained_variance_ratio_, rel=1e-6)


def test_two_segments_get_a_second_direction_that_does_not_repeat_the_first():
    rng = np.random.default_rng(6)
    mean = np.array([[0.0, 0.0, 0.0], [4.0, 1.0, 0.0]])
    covariance = np.stack([np.diag([1.0, 1.0, 9.0])] * 2)
    places = mean[np.arange(400) % 2] + rng.standard_normal((400, 3)) * [1, 1, 3]
    found = plane(np.array([0.5, 0.5]), mean, covariance, places)
    across = found.axes.T @ covariance[0] @ found.axes
    np.testing.assert_allclose(across, np.eye(2), atol=1e-9)
    assert abs(found.axes[:, 1]).argmax() == 2
    assert found.shown == pytest.approx((1.0, 0.0), abs=1e-9)


def test_two_number_features_are_shown_as_they_are():
    mean = np.array([[0.0, 0.0], [3.0, 4.0]])
    found = plane(np.full(2, 0.5), mean, np.stack([np.eye(2)] * 2), mean)
    assert found.kind == "features"
    assert found.axes.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert found.shown == pytest.approx((9 / 25, 16 / 25))


def test_one_segment_is_seen_along_its_principal_axes():
    x = np.random.default_rng(7).standard_normal((500, 3)) * [1.0, 5.0, 2.0]
    found = plane(np.ones(1), x.mean(0)[None], np.cov(x.T)[None], x)
    assert found.kind == "principal"
    assert np.abs(found.axes).argmax(0).tolist() == [1, 2]


def test_no_group_below_eleven_and_nothing_of_a_rare_level(case):
    _, _, _, _, found = case
    assert min(one["customers"] for one in found["projection"]["cells"]) >= SMALLEST
    assert min(found["together"]["customers"]) >= SMALLEST
    assert "Lens" not in json.dumps(found)


def test_every_customer_is_in_a_group_or_counted_as_left_out(case):
    _, _, _, _, found = case
    for part in (
        found["projection"]["cells"],
        [{"customers": n} for n in found["together"]["customers"]],
    ):
        assert sum(one["customers"] for one in part) == 600


def test_the_order_of_the_customers_does_not_matter(case):
    cells, _, state, draws, found = case
    turned = np.random.default_rng(9).permutation(600)
    other = segment_aggregates(draws, state, {name: v[turned] for name, v in cells.items()})
    assert other == found


def test_clear_groups_are_placed_by_the_plane_alone(case):
    _, _, _, _, found = case
    own = found["projection"]
    assert own["kind"] == "discriminant"
    assert own["agreement"] > 0.95
    assert own["lacking"] == pytest.approx(0.3, abs=0.06)
    assert own["others"] == 2


def test_ellipses_hold_the_share_they_name(case):
    """Of a normal segment's own draws in the plane, half and nine tenths lie inside."""
    _, _, _, _, found = case
    own = found["projection"]["segments"][0]
    x = stats.multivariate_normal(own["centre"], own["covariance"]).rvs(20_000, random_state=1)
    away = (x - own["centre"]) @ np.linalg.inv(own["covariance"])
    out = np.sqrt((away * (x - own["centre"])).sum(1))
    inside = [(out <= radius).mean() for radius in own["radii"]]
    assert inside == pytest.approx([0.5, 0.9], abs=0.015)


def test_profiles_are_shares_and_distances_of_the_members(case):
    """With memberships all but certain, those of the groups themselves."""
    cells, z, _, _, found = case
    lines = {(one["feature"], one["level"]): one for one in found["profile"]}
    a = (cells["a"] - cells["a"].mean()) / cells["a"].std()
    means = [a[z == k].mean() for k in range(3)]
    assert [one["mean"] for one in lines["a", None]["away"]] == pytest.approx(means, abs=0.05)
    shares = [(cells["town"][z == k] == "Paris").mean() for k in range(3)]
    assert [one["mean"] for one in lines["town", "Paris"]["share"]] == pytest.approx(
        shares, abs=0.03
    )
    assert lines["c", None]["known"] == pytest.approx(np.isfinite(cells["c"]).mean())


def test_profiles_say_how_well_so_many_members_tell(case):
    """The standard error of a mean, where memberships are all but certain."""
    cells, z, _, _, found = case
    line = next(one for one in found["profile"] if one["feature"] == "a")
    for k, own in enumerate(line["away"]):
        values = cells["a"][z == k] / cells["a"].std()
        error = values.std() / np.sqrt(len(values))
        assert 2.0 * error < own["hi"] - own["lo"] < 6.0 * error


def test_pairs_are_counted_over_different_customers():
    member = soft(rows=9)
    groups = [np.array([0, 1, 2, 3]), np.array([4, 5, 6, 7, 8])]
    found = _pairs(member, groups)
    same = np.einsum("isk,jsk->sij", member, member)
    inside = np.mean([same[:, i, j] for i in range(4) for j in range(4) if i != j], axis=0)
    between = same[:, :4, 4:].mean((1, 2))
    np.testing.assert_allclose(found[:, 0, 0], inside, rtol=1e-12)
    np.testing.assert_allclose(found[:, 0, 1], between, rtol=1e-12)


def entropy(member):
    return float(stats.entropy(member, axis=1).sum())


def test_the_first_merge_takes_away_most_entropy():
    """Baudry et al. 2010: by brute force over all pairs."""
    member = soft(draws=1)
    mean = member[:, 0]

    def after(j, k):
        rest = [c for c in range(4) if c not in (j, k)]
        return entropy(np.column_stack([mean[:, rest], mean[:, [j, k]].sum(1)]))

    best = min(combinations(range(4), 2), key=lambda pair: after(*pair))
    first = entropy_merges(member)[0]
    assert sorted(k for part in first.segments for k in part) == list(best)
    assert first.clears[0] == pytest.approx(1 - after(*best) / entropy(mean))


def test_what_a_tree_gives_up_adds_up_to_all_that_segments_tell():
    member = soft()
    found = merge_tree(member)
    assert len(found) == 3
    assert found[-1]["height"]["mean"] == pytest.approx(1.0)
    assert sum(one["clears"]["mean"] for one in found) == pytest.approx(1.0)
    heights = [one["height"]["mean"] for one in found]
    assert heights == sorted(heights)


def test_a_segment_cut_in_two_by_a_coin_is_put_together_first_and_at_no_loss():
    sure = np.random.default_rng(1).dirichlet([0.05] * 4, size=(300, 1))
    halves = np.concatenate([sure[..., :3], 0.4 * sure[..., 3:], 0.6 * sure[..., 3:]], axis=2)
    first = entropy_merges(halves)[0]
    assert first.segments == ((3,), (4,))
    np.testing.assert_allclose(first.loss, 0.0, atol=1e-12)


def test_one_segment_has_no_tree():
    assert merge_tree(np.ones((20, 3, 1))) == []


def test_fewer_than_two_numbers_have_no_plane_and_still_a_profile():
    rng = np.random.default_rng(8)
    x = np.where(np.arange(200) % 2, 4.0, 0.0) + rng.standard_normal(200)
    state = learn(specs(x="number"), {"x": x})
    scaled = (x - x.mean()) / x.std()
    mean = np.array([[scaled[::2].mean()], [scaled[1::2].mean()]])
    values = {
        "weights": np.full((2, 5, 2), 0.5),
        "mean": np.broadcast_to(mean, (2, 5, 2, 1)).copy(),
        "variance": np.full((2, 5, 2, 1), 0.2),
    }
    found = segment_aggregates(Draws(values, {}, {}), state, {"x": x})
    assert found["projection"] is None
    assert [one["feature"] for one in found["profile"]] == ["x"]


def test_a_feature_that_only_describes_is_profiled_and_not_projected():
    rng = np.random.default_rng(8)
    cells = {name: rng.standard_normal(100) for name in ("a", "b", "age")}
    own = (
        *specs(a="number", b="number"),
        FeatureSpec("age", "number", "identity", "none", "descriptor"),
    )
    state = learn(own, cells)
    values = {
        "weights": np.full((2, 5, 1), 1.0),
        "mean": np.zeros((2, 5, 1, 2)),
        "variance": np.ones((2, 5, 1, 2)),
    }
    found = segment_aggregates(Draws(values, {}, {}), state, cells)
    assert [one["feature"] for one in found["profile"]] == ["a", "b", "age"]
    assert [one["feature"] for one in found["projection"]["axes"]] == ["a", "b"]


def test_counts_are_profiled_as_rates_of_their_exposure():
    rng = np.random.default_rng(10)
    weeks = rng.integers(1, 20, 300).astype(float)
    visits = rng.poisson(weeks * np.where(np.arange(300) % 2, 3.0, 0.5)).astype(float)
    cells = {"visits": visits, "weeks": weeks}
    (own,) = specs(visits="count")
    state = learn((replace(own, exposure="weeks"),), cells)
    values = {
        "weights": np.full((2, 5, 2), 0.5),
        "rate": np.broadcast_to([[[[30.0], [5.0]]]], (2, 5, 2, 1)).copy(),
        "size": np.full((2, 5, 2, 1), 50.0),
    }
    (line,) = segment_aggregates(Draws(values, {}, {}), state, cells)["profile"]
    scaled = visits / (weeks / weeks.mean())
    centre = visits.sum() / (weeks / weeks.mean()).sum()
    spread = np.sqrt(np.average((scaled - centre) ** 2, weights=weeks))
    busy = visits[1::2].sum() / (weeks[1::2] / weeks.mean()).sum()
    assert line["away"][0]["mean"] == pytest.approx((busy - centre) / spread, abs=0.1)
