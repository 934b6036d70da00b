"""Known groups in real data: the best mode, the groups found, and rivals that are said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from segmentation_case import part as segments

from bayesseg.customers import read_attributes
from bayesseg.features import apply, learn, raw_columns
from bayesseg.fitting import fit
from bayesseg.inference.modes import rand_index
from bayesseg.segmentation.choose import choose, smallest_of
from bayesseg.segmentation.compare import (
    called,
    compare,
    judge_of,
    variants_of,
    with_all_stability,
)
from bayesseg.segmentation.refits import THOROUGH
from bayesseg.segmentation.run import layout_of, matrix_of, mean_membership, segments_of
from bayesseg.spec import FeatureSpec, InferenceSpec, ModelSpec, load_spec

SPENDS = ("Fresh", "Milk", "Grocery", "Frozen", "Detergents_Paper", "Delicassen")


def model(*features: FeatureSpec, **options) -> ModelSpec:
    """The shipped model for tables of clients, with options of its own, briefly sampled."""
    own = load_spec("segments")
    return replace(
        own,
        parts={"segments": segments(**options)},
        features=features or own.features,
        inference=InferenceSpec(4, 250, 100),
    )


LOGS = tuple(FeatureSpec(name, transform="log") for name in SPENDS)
STUDENT = {"tails": "t", "df": 5.0}


def bundled(name: str) -> tuple[pd.DataFrame, np.ndarray]:
    from sklearn import datasets

    data = getattr(datasets, f"load_{name}")(as_frame=True)
    return data.data, data.target.to_numpy()


def banknotes(shared: Path) -> tuple[pd.DataFrame, np.ndarray]:
    table = pd.read_csv(shared / "data" / "banknote.csv")
    return table.select_dtypes("number"), pd.factorize(table["Status"])[0]


def wholesale(shared: Path) -> tuple[pd.DataFrame, np.ndarray]:
    table = pd.read_csv(shared / "data" / "wholesale_customers.csv")
    return table[[*SPENDS]], table["Channel"].to_numpy() - 1


def read(at: Path, table: pd.DataFrame):
    """The table as a file of clients, as a user gives it; the clients keep their order."""
    ids = pd.Series([f"c{i:04d}" for i in range(len(table))], table.index, name="customer_id")
    pd.concat([ids, table], axis=1).to_csv(at / "clients.csv", index=False)
    return read_attributes(at / "clients.csv")


@pytest.fixture
def fitted(tmp_path):
    """Fit a table of clients: agreement of the segments with the truth, and the run."""

    def fitted(table: pd.DataFrame, truth: np.ndarray, spec: ModelSpec):
        data = read(tmp_path, table)
        posterior = fit(data, spec, seed=1)
        own = segments_of(posterior)
        assert own.state.numbers == table.shape[1]  # no column was left out
        found = mean_membership(own, matrix_of(own, data)).argmax(1)
        return rand_index(found, truth), posterior

    return fitted


def told(posterior) -> dict:
    return posterior.parts["segments"].info["modes"]


@pytest.mark.slow
def test_iris_species_are_found(fitted):
    agreement, run = fitted(*bundled("iris"), model(components=3, covariance="full"))
    assert agreement >= 0.90
    assert told(run)["missed_nats"] == 0.0


@pytest.mark.slow
def test_banknotes_are_told_apart_and_the_rival_cut_is_said(shared, fitted):
    table, truth = banknotes(shared)
    agreement, _ = fitted(table, truth, model(components=2, covariance="tied"))
    assert agreement >= 0.97
    _, run = fitted(table, truth, model(components=2, covariance="full"))
    best, rival = told(run)["segmentations"][:2]
    assert rival["nats_below_best"] == pytest.approx(10.3, abs=0.3)
    assert rival["agreement_with_best"] < 0.8
    assert rival["weights"] != best["weights"]


@pytest.mark.slow
def test_student_banknotes_have_two_cuts_that_chains_cannot_cross_and_both_are_said(shared, fitted):
    said = told(fitted(*banknotes(shared), model(components=2, covariance="full", **STUDENT))[1])
    assert said["distinct_between_chains"] == 2
    first, second = said["segmentations"][:2]
    assert second["nats_below_best"] < 10.0
    assert sorted(first["chains"] + second["chains"]) == [0, 1, 2, 3]


@pytest.mark.slow
def test_wholesale_channels_are_found_by_student_tails(shared, fitted):
    spec = model(*LOGS, components=2, covariance="full", **STUDENT)
    agreement, run = fitted(*wholesale(shared), spec)
    assert agreement >= 0.60
    assert told(run)["distinct_between_chains"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("covariance", ["diag", "tied"])
def test_wine_cultivars_are_found_without_a_covariance_for_each(covariance, fitted):
    agreement, _ = fitted(*bundled("wine"), model(components=3, covariance=covariance))
    assert agreement >= 0.88


def matrix(at: Path, table: pd.DataFrame, spec: ModelSpec):
    """The features of a table of clients, and what their columns are."""
    raw = raw_columns(read(at, table), spec.features)
    state = learn(spec.features, raw)
    return apply(state, raw), layout_of(state)


@pytest.mark.parametrize("name", ["iris", "wine"])
def test_measurements_on_a_grid_are_all_features(name, tmp_path):
    table, _ = bundled(name)
    assert matrix(tmp_path, table, model())[0].shape == table.shape


def compared(rows: np.ndarray, layout, components, shapes):
    judge = judge_of(rows, THOROUGH, 1)
    return judge, compare(judge, segments(), layout, components, shapes)[0]


def test_the_competing_mode_of_the_banknotes_is_said_whatever_else_is_compared(shared, tmp_path):
    rows, layout = matrix(tmp_path, banknotes(shared)[0], model())
    full = [{"covariance": "full"}]
    _, alone = compared(rows, layout, [2], full)
    _, among = compared(rows, layout, [2, 3], [{"covariance": "diag"}, *full])
    one = next(c for c in among if (c.components, c.options["covariance"]) == (2, "full"))
    assert (one.bic, one.rivals) == (alone[1].bic, alone[1].rivals)
    assert (one.densities == alone[1].densities).all()
    assert one.bic == pytest.approx(2786, abs=2)
    assert one.rivals[0].nats_below_best == pytest.approx(10.3, abs=0.3)
    assert one.rivals[0].agreement_with_best < 0.8
    assert sum(one.rivals[0].sizes) == pytest.approx(200)


def recommended(rows: np.ndarray, layout, truth: np.ndarray):
    """What ``compare`` says by itself, with how each candidate agrees with the truth."""
    shapes = variants_of(segments(), ("diag", "full"), ("normal", "t"))
    judge, found = compared(rows, layout, range(1, 5), shapes)
    found = with_all_stability(judge, found)
    known = truth[np.lexsort(rows.T[::-1])]  # rows are judged sorted by content
    agreement = {
        called(one.options): rand_index(known, one.member.argmax(1).astype(np.int64))
        for one in found
    }
    return choose(found, min_segment=smallest_of(len(rows))), agreement


@pytest.mark.slow
def test_wine_is_recommended_three_segments_near_its_cultivars(tmp_path):
    table, truth = bundled("wine")
    choice, agreement = recommended(*matrix(tmp_path, table, model()), truth)
    assert choice.stable.components == 3
    assert agreement[called(choice.stable.options)] >= 0.80


@pytest.mark.slow
def test_banknotes_are_recommended_their_two_groups_and_the_other_division_is_said(
    shared, tmp_path
):
    table, truth = banknotes(shared)
    choice, agreement = recommended(*matrix(tmp_path, table, model()), truth)
    assert choice.stable.components == choice.runner_up.components == 2
    assert agreement[called(choice.stable.options)] >= 0.97
    said = " ".join(choice.words)
    assert "It divides the customers otherwise" in said
    assert "As many segments of another shape: K = 2" in said
    assert "Another division of K = 2, full, Student-t lies 2.7 nats below its best" in said


@pytest.mark.slow
def test_wholesale_is_one_group_whose_best_cut_follows_the_channels(shared, tmp_path):
    table, truth = wholesale(shared)
    choice, agreement = recommended(*matrix(tmp_path, table, model(*LOGS)), truth)
    assert choice.words[0] == "The data support no more than one group."
    assert agreement[called(choice.runner_up.options)] >= 0.60
