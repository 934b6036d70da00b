"""Effect sizes of features and descriptors between segments."""

import warnings

import numpy as np
import pytest
from scipy.stats import f_oneway
from scipy.stats.contingency import association

from bayesseg.features import Feature, FeatureState
from bayesseg.scoring.document import _centred
from bayesseg.scoring.effects import columns, effects
from bayesseg.scoring.reduce import over_rows

STATE = FeatureState(
    (
        Feature("number", "number", "identity", 0.0, 1.0),
        Feature("flag", "binary", "identity", 0.0, 1.0),
        Feature("kind", "category", "identity", 0.0, 1.0, levels=("a", "b", "c", "d")),
    ),
    descriptors=("age",),
    texts=(Feature("town", "category", "identity", 0.0, 1.0, levels=("x", "y", "(other)")),),
)


@pytest.fixture
def case():
    """300 rows in three segments for sure: a number, a yes-or-no, a category; age and town beside."""
    rng = np.random.default_rng(1)
    label = rng.integers(3, size=300)
    matrix = np.column_stack(
        [
            rng.normal(size=300) + label,
            rng.random(300) < 0.2 + 0.3 * label,
            np.where(rng.random(300) < 0.5, label, rng.integers(4, size=300)),
        ]
    ).astype(float)
    raw = {
        "age": 1990 + 20 * rng.random(300) + label,
        "town": np.array(["x", "y", "z", "zz", "x"], dtype=object)[
            rng.integers(3, size=300) + label
        ],
    }
    raw["town"][:5] = None
    return matrix, raw, label


def found(matrix, raw, label):
    member = np.eye(3)[label][:, None, :]
    summed = {n: over_rows(c, member) for n, c in columns(STATE, matrix, raw).items()}
    return {name: float(one.values[0]) for name, one in effects(STATE, summed).items()}


def counted(codes, label):
    table = np.zeros((3, 4), dtype=int)
    np.add.at(table, (label, codes), 1)
    return table[:, table.any(axis=0)]


@pytest.mark.parametrize("name", ["number", "age"])
def test_numbers_have_the_eta_squared_of_an_analysis_of_variance(case, name):
    matrix, raw, label = case
    values = raw["age"] if name == "age" else matrix[:, 0]
    F = f_oneway(*(values[label == k] for k in range(3))).statistic
    assert found(*case)[name] == pytest.approx(2 * F / (2 * F + 297))


@pytest.mark.parametrize(("name", "column"), [("flag", 1), ("kind", 2)])
def test_categories_have_cramers_v(case, name, column):
    matrix, _, label = case
    table = counted(matrix[:, column].astype(int), label)
    assert found(*case)[name] == pytest.approx(association(table, method="cramer"))


def test_text_has_cramers_v_with_rare_levels_together_and_missing_ones_left_out(case):
    _, raw, label = case
    seen = np.array([town is not None for town in raw["town"]])
    codes = np.array([{"x": 0, "y": 1}.get(town, 2) for town in raw["town"][seen]])
    table = counted(codes, label[seen])
    assert found(*case)["town"] == pytest.approx(association(table, method="cramer"))


def test_missing_cells_take_no_part(case):
    matrix, raw, label = case
    holed, gone = matrix.copy(), {name: values.copy() for name, values in raw.items()}
    holed[:50], gone["age"][:50], gone["town"][:50] = np.nan, np.nan, None
    rest = {name: values[50:] for name, values in raw.items()}
    assert found(holed, gone, label) == pytest.approx(found(matrix[50:], rest, label[50:]))


def test_what_does_not_vary_has_no_effect_and_raises_no_warning(case):
    matrix, _, label = case
    still = {"age": np.full(300, 1e6 / 3), "town": np.full(300, None, dtype=object)}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        effect = found(np.where(np.arange(3) == 1, matrix, np.nan), still, label)
    assert {n for n, value in effect.items() if np.isnan(value)} == {
        "number",
        "kind",
        "age",
        "town",
    }


def test_sums_by_membership_are_those_of_plain_einsum_and_chunks_add_up(case):
    matrix, raw, _ = case
    member = np.random.default_rng(2).dirichlet(np.ones(3), (300, 50))
    cells = np.concatenate(list(columns(STATE, matrix, raw).values()), axis=1)
    whole = over_rows(cells, member)
    np.testing.assert_allclose(whole, np.einsum("nsk,nj->jsk", member, cells), rtol=1e-12)
    parts = [over_rows(cells[i : i + 70], member[i : i + 70]) for i in range(0, 300, 70)]
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-12)


def test_an_empty_segment_does_not_lower_an_effect(case):
    """A split whose rule nobody fulfils adds a segment without members."""
    matrix, raw, label = case
    cells = columns(STATE, matrix, raw)
    halves = np.eye(3)[np.minimum(label, 1)][:, None, :]
    two, three = (
        {n: over_rows(c, member) for n, c in cells.items()}
        for member in (halves[..., :2].copy(), halves)
    )
    for name, one in effects(STATE, two).items():
        np.testing.assert_allclose(effects(STATE, three)[name].values, one.values, rtol=1e-12)


def test_the_interval_of_an_effect_lies_around_it_and_above_nought():
    """Customers drawn anew push an effect up; the interval does not keep that."""
    rng = np.random.default_rng(1)
    plain, again = np.full(4000, 0.05), 0.09 + 0.02 * rng.standard_normal(4000)
    found = _centred(np.concatenate([plain, again]))
    assert found["mean"] == pytest.approx(0.05)
    assert (found["lo"], found["hi"]) == pytest.approx((0.017, 0.083), abs=0.002)
    assert _centred(np.concatenate([plain / 10, again]))["lo"] == 0.0
