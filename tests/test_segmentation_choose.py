"""How many segments: what is found, what is not sold as segments, and the rule itself."""

from dataclasses import replace

import numpy as np
import pytest
from segmentation_case import groups, part, scaled
from sklearn.datasets import load_iris

from bayesseg.errors import InputRejected
from bayesseg.segmentation.bootstrap import word
from bayesseg.segmentation.choose import as_row, automatic, choose, kind, smallest_of
from bayesseg.segmentation.compare import (
    Stability,
    compare,
    gap,
    judge_of,
    with_all_stability,
    with_stability,
)
from bayesseg.segmentation.comparison import as_one, masked
from bayesseg.segmentation.refits import Effort

LAYOUT = (2, 0, (), 0)
SMALL = Effort(rows=600, starts=20, refits=10, halves=5)


def auto(matrix, **options):
    layout = (matrix.shape[1], 0, (), 0)
    return automatic(scaled(matrix), part(**options), layout, seed=1, components=(1, 5))


def test_three_clear_groups_are_found_and_natural():
    found, facts = auto(groups(900, 1)[0])
    assert found == 3
    assert facts["words"][0].startswith("Stable: K = 3 (natural)")


def test_iris_has_two_segments_by_itself():
    assert auto(load_iris().data, covariance="full")[0] == 2


CROWDS = {
    "gaussian": lambda rng, rows: rng.normal(size=(rows, 2)),
    "box": lambda rng, rows: rng.random((rows, 2)),
    "log-normal": lambda rng, rows: np.exp(rng.normal(size=(rows, 2))),
}


@pytest.mark.parametrize("crowd", CROWDS)
def test_one_crowd_is_not_sold_as_segments(crowd):
    found, facts = auto(CROWDS[crowd](np.random.default_rng(2), 1500))
    assert found == 1
    assert facts["words"][0] == "The data support no more than one group."
    assert "natural" not in {row["kind"] for row in facts["table"]}


@pytest.mark.slow
@pytest.mark.parametrize("crowd", CROWDS)
def test_whatever_the_seed_one_crowd_is_one_group(crowd):
    found = [auto(CROWDS[crowd](np.random.default_rng(seed), 2000)) for seed in range(40)]
    assert sum(components == 1 for components, _ in found) >= 38
    assert "natural" not in {row["kind"] for _, facts in found for row in facts["table"]}


def test_a_shape_that_plainly_predicts_better_is_said_beside_the_number():
    rows = np.random.default_rng(3).standard_t(2, (600, 2))
    said = automatic(scaled(rows), part(), LAYOUT, seed=1, components=(1, 2), effort=SMALL)[1][
        "words"
    ]
    assert "among segments that are diag and normal" in said[-1]
    assert "Student-t predicts held-out customers better" in said[-1]
    assert "bayesseg compare asks" in said[-1]


def test_nothing_is_said_of_other_shapes_where_none_is_better():
    rows = np.random.default_rng(4).normal(size=(600, 2))
    said = automatic(scaled(rows), part(), LAYOUT, seed=1, components=(1, 2), effort=SMALL)[1][
        "words"
    ]
    assert said == ["The data support no more than one group."]


def test_the_answer_does_not_depend_on_the_order_of_the_customers():
    matrix = groups(600, 3)[0]
    order = np.random.default_rng(0).permutation(600)
    one, other = auto(matrix)[1], auto(matrix[order])[1]
    assert [row["bic"] for row in one["table"]] == pytest.approx([r["bic"] for r in other["table"]])
    assert one["words"] == other["words"]


@pytest.fixture(scope="module")
def table():
    """Candidates on three clear groups, all said to come back."""
    judge = judge_of(scaled(groups(600, 4)[0]), SMALL, 1)
    found, _ = compare(judge, part(), LAYOUT, range(1, 5), [{"covariance": "diag"}])
    return [replace(c, stability=Stability((1.0,) * c.components, 1.0, 1.0, 0.0)) for c in found]


def test_of_equally_good_candidates_the_smallest_is_stable(table):
    same = [replace(one, densities=table[2].densities, groups=one.components) for one in table]
    choice = choose(same, min_segment=20)
    assert choice.stable.components == 1


def test_a_better_candidate_that_wobbles_limits_the_choice_and_is_said(table):
    weak = Stability((0.9, 0.9, 0.7), 0.8, 0.9, 0.5)
    wobbling = [replace(table[2], stability=weak), *table[:2]]
    choice = choose(wobbling, min_segment=20)
    assert choice.stable.components == 2
    assert "Limited by stability: K = 3, diag" in " ".join(choice.words)
    assert "Jaccard 0.70" in " ".join(choice.words)


def test_segments_below_the_least_size_are_not_eligible(table):
    choice = choose(table, min_segment=150)
    assert choice.stable.components == 1
    assert "of the 150 customers it needs" in choice.words[-1]


def test_a_working_number_outside_the_stable_one_is_called_a_cut(table):
    weak = Stability((0.5, 0.9, 0.9, 0.7), 0.6, 0.6, 0.9)
    choice = choose([*table[:3], replace(table[3], stability=weak)], min_segment=20, within=(4, 4))
    assert (choice.stable.components, choice.working.components) == (3, 4)
    assert "constructive: a cut made for use" in choice.words[-1]
    again = choose([*table[:3], replace(table[3], groups=2)], min_segment=20, within=(4, 4))
    assert "(reproducible)" in again.words[-1]


def test_segments_without_gaps_are_reproducible_at_most(table):
    assert kind(table[2], 20) == "natural"
    assert kind(replace(table[2], groups=2), 20) == "reproducible"


def test_where_segments_shade_into_one_another_the_natural_ones_are_named(table):
    shaded = replace(table[2], groups=2)
    choice = choose([*table[:2], shaded], min_segment=20)
    assert (choice.stable, choice.natural) == (shaded, table[1])
    assert "Natural, with gaps between all its segments: K = 2, diag." in choice.words
    assert choose(table[:3], min_segment=20).natural is None


def test_as_many_segments_that_divide_the_customers_otherwise_are_the_runner_up(table):
    order = np.random.default_rng(1).permutation(600)
    other = replace(table[2], member=table[2].member[order], densities=table[2].densities - 0.3)
    choice = choose([*table[:3], other], min_segment=20)
    assert (choice.stable, choice.runner_up) == (table[2], other)
    assert "divides the customers otherwise (Rand index 0.01)" in choice.words[-1]
    alike = replace(other, member=table[2].member)
    assert choose([*table[:3], alike], min_segment=20).runner_up is table[1]


def test_the_next_shape_with_as_many_segments_is_said(table):
    alike = replace(table[2], densities=table[2].densities - 0.3)
    said = choose([*table[:3], alike], min_segment=20).words
    assert any(
        one.startswith("As many segments of another shape: K = 3, diag (natural), 0.300 ±")
        and "agrees with the stable one at 1.00" in one
        for one in said
    )


def test_what_a_candidate_is_found_to_be_does_not_depend_on_the_others(table):
    judge = judge_of(scaled(groups(600, 4)[0]), SMALL, 1)
    shapes = [{"covariance": "full"}, {"covariance": "diag"}]
    found, _ = compare(judge, part(), LAYOUT, [3], shapes)
    (one,) = (c for c in found if c.options == table[2].options)
    assert one.bic == table[2].bic
    assert (one.densities == table[2].densities).all()
    assert (
        with_stability(judge, one).stability
        == with_stability(judge, replace(table[2], stability=None)).stability
    )


def test_a_narrow_pass_is_called_narrow(table):
    close = replace(table[2], stability=Stability((1.0,) * 3, 1.0, 0.81, 0.0, error=0.01))
    assert "It passes narrowly: prediction strength 0.810 ± 0.010" in " ".join(
        choose([*table[:2], close], min_segment=20).words
    )
    clear = replace(table[2], stability=Stability((1.0,) * 3, 1.0, 0.85, 0.0, error=0.01))
    assert "narrowly" not in " ".join(choose([*table[:2], clear], min_segment=20).words)


def test_beside_one_group_nothing_is_called_natural(table):
    same = [replace(one, densities=table[2].densities) for one in table[:3]]
    choice = choose(same, min_segment=20)
    assert choice.words[0] == "The data support no more than one group."
    assert {as_row(one, choice, 20)["kind"] for one in same} == {"one group", "reproducible"}
    assert "a gap shows, but it predicts held-out customers no better" in " ".join(choice.words)
    crowd = [*table[:2], replace(table[2], groups=1)]
    choice = choose(crowd, min_segment=20)
    assert choice.stable.components == 1
    assert {as_row(one, choice, 20)["kind"] for one in crowd} == {"one group", "reproducible"}
    assert "worse than K = 3, diag, between whose segments there is none" in " ".join(choice.words)


def test_candidates_are_asked_side_by_side_with_the_same_answers():
    judge = judge_of(scaled(groups(300, 6)[0]), SMALL, 1)
    found, _ = compare(judge, part(), LAYOUT, [2, 3], [{"covariance": "diag"}])
    together = with_all_stability(judge, found)
    alone = [with_stability(judge, one) for one in found]
    assert [one.stability for one in together] == [one.stability for one in alone]


def test_fewer_rows_than_two_a_fold_are_refused():
    with pytest.raises(InputRejected, match="9 customers are too few"):
        judge_of(np.zeros((9, 2)), SMALL, 1)


def test_columns_that_are_one_inside_a_segment_are_said():
    rng = np.random.default_rng(8)
    values = rng.normal(size=(400, 2))
    values[:, 1] = values[:, 0] + 0.01 * values[:, 1]
    found, _ = compare(judge_of(scaled(values), SMALL, 1), part(covariance="full"), LAYOUT, [1])
    (said,) = as_one(found[0], ("orders", "gap"))
    assert "orders and gap are nearly one number" in said
    apart, _ = compare(judge_of(rng.normal(size=(400, 2)), SMALL, 1), part(), LAYOUT, [1])
    assert as_one(apart[0], ("orders", "gap")) == []


def test_a_feature_that_says_nothing_is_not_missed():
    rng = np.random.default_rng(7)
    values = np.stack([np.repeat([0.0, 6.0], 300), np.zeros(600)], 1) + rng.normal(size=(600, 2))
    judge = judge_of(scaled(values), SMALL, 1)
    found, _ = compare(judge, part(), LAYOUT, [2], [{"covariance": "diag"}])
    telling, noise = masked(found[1], judge.rows, ("telling", "noise"))
    assert telling["lost"] > 0.4
    assert telling["moved"] > 0.3
    assert noise["lost"] == pytest.approx(0.0, abs=0.01)
    assert masked(found[0], judge.rows, ("telling", "noise")) == []


def test_free_parameters_are_counted(table):
    # weights, means and variances of two features
    assert [one.parameters for one in table] == [k - 1 + 4 * k for k in (1, 2, 3, 4)]


@pytest.mark.parametrize(("covariance", "count"), [("full", 17), ("tied", 11), ("spherical", 11)])
def test_free_parameters_of_other_shapes(covariance, count):
    judge = judge_of(scaled(groups(200, 5)[0]), replace(SMALL, folds=2), 1)
    found, _ = compare(judge, part(), LAYOUT, [3], [{"covariance": covariance}])
    assert found[-1].parameters == count


@pytest.mark.parametrize(("covariance", "count"), [("full", 5), ("diag", 2)])
def test_columns_that_stand_alone_need_fewer_customers(covariance, count):
    judge = judge_of(scaled(groups(200, 5)[0]), replace(SMALL, folds=2), 1)
    found, _ = compare(judge, part(), LAYOUT, [2], [{"covariance": covariance}])
    assert found[-1].own == count


def test_held_out_density_of_one_segment_is_that_of_a_normal(table):
    # nearly: the prior takes part
    values = scaled(groups(600, 4)[0])
    expected = -np.log(2 * np.pi) - 0.5 * (values**2).sum(1).mean()
    assert table[0].density == pytest.approx(expected, abs=0.02)


def test_the_gap_to_itself_is_nothing(table):
    assert gap(table[1], table[1]) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.5, "dissolved"),
        (0.55, "untrusted"),
        (0.7, "doubtful"),
        (0.8, "stable"),
        (0.9, "highly stable"),
    ],
)
def test_hennigs_words(value, expected):
    assert word(value) == expected


def test_the_least_size_follows_the_table():
    assert [smallest_of(n) for n in (150, 600, 10_000)] == [20, 30, 50]
