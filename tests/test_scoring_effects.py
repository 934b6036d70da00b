"""Effect sizes of features between segments."""

import numpy as np
import pytest
from scipy.stats import f_oneway
from scipy.stats.contingency import association

from bayesseg.features import Feature, FeatureState
from bayesseg.scoring.effects import effects, sums


@pytest.fixture
def case():
    """300 rows in three segments for sure: a number, a yes-or-no and a category."""
    rng = np.random.default_rng(1)
    label = rng.integers(3, size=300)
    matrix = np.column_stack(
        [
            rng.normal(size=300) + label,
            rng.random(300) < 0.2 + 0.3 * label,
            np.where(rng.random(300) < 0.5, label, rng.integers(4, size=300)),
        ]
    ).astype(float)
    state = FeatureState(
        (
            Feature("number", "number", "identity", 0.0, 1.0),
            Feature("flag", "binary", "identity", 0.0, 1.0),
            Feature("kind", "category", "identity", 0.0, 1.0, levels=("a", "b", "c", "d")),
        )
    )
    return state, matrix, label


def found(state, matrix, label):
    member = np.eye(3)[label][:, None, :]
    return {
        name: float(v[0]) for name, (_, v) in effects(state, sums(state, matrix, member)).items()
    }


def test_numbers_have_the_eta_squared_of_an_analysis_of_variance(case):
    _, matrix, label = case
    F = f_oneway(*(matrix[label == k, 0] for k in range(3))).statistic
    assert found(*case)["number"] == pytest.approx(2 * F / (2 * F + 297))


@pytest.mark.parametrize(("name", "column"), [("flag", 1), ("kind", 2)])
def test_categories_have_cramers_v(case, name, column):
    _, matrix, label = case
    table = np.zeros((3, 4 if name == "kind" else 2), dtype=int)
    np.add.at(table, (label, matrix[:, column].astype(int)), 1)
    assert found(*case)[name] == pytest.approx(association(table, method="cramer"))


def test_missing_cells_take_no_part(case):
    state, matrix, label = case
    holed = matrix.copy()
    holed[:50] = np.nan
    assert found(state, holed, label) == pytest.approx(found(state, matrix[50:], label[50:]))


def test_chunks_add_up(case):
    state, matrix, _ = case
    member = np.random.default_rng(2).dirichlet(np.ones(3), (300, 5))
    whole = sums(state, matrix, member)
    parts = [sums(state, matrix[i : i + 70], member[i : i + 70]) for i in range(0, 300, 70)]
    for name, value in whole.items():
        assert sum(part[name] for part in parts) == pytest.approx(value)
