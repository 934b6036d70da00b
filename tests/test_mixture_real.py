"""Known groups in real data: the best mode, the groups found, and rivals that are said."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesseg.families import FAMILIES, gmm
from bayesseg.inference.gibbs import gibbs
from bayesseg.inference.modes import rand_index
from bayesseg.priors import Prior
from bayesseg.spec import InferenceSpec, PartSpec


def part(components: int, covariance: str, df: float | None = None) -> PartSpec:
    priors = {
        "weights": Prior("Dirichlet", {"concentration": 4.0}),
        "mean": Prior("Normal", {"mean": 0.0, "sd": 1.0}),
        "covariance": Prior("InverseWishart", {"extra_df": 2.0, "scale": "auto"}),
    }
    tails = {"tails": "normal"} if df is None else {"tails": "t", "df": df}
    options = {"components": components, "covariance": covariance, "missing": "model"}
    return PartSpec("gmm", "gibbs", priors, options | tails)


def scaled(rows: np.ndarray) -> np.ndarray:
    return (rows - rows.mean(0)) / rows.std(0)


def bundled(name: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn import datasets

    data = getattr(datasets, f"load_{name}")()
    return scaled(data.data), data.target


def banknotes(shared: Path) -> tuple[np.ndarray, np.ndarray]:
    table = pd.read_csv(shared / "data" / "banknote.csv")
    return scaled(table.select_dtypes("number").to_numpy()), pd.factorize(table["Status"])[0]


def wholesale(shared: Path) -> tuple[np.ndarray, np.ndarray]:
    table = pd.read_csv(shared / "data" / "wholesale_customers.csv")
    spends = ["Fresh", "Milk", "Grocery", "Frozen", "Detergents_Paper", "Delicassen"]
    return scaled(np.log(table[spends].to_numpy(float))), table["Channel"].to_numpy() - 1


def fitted(rows: np.ndarray, truth: np.ndarray, own: PartSpec):
    """Agreement of the posterior's segments with the truth, and the draws."""
    width = rows.shape[1]
    draws = gibbs(FAMILIES["gmm"], own, rows, InferenceSpec(4, 250, 100), 1, numbers=width)
    flat = {n: v.reshape(-1, *v.shape[2:])[::10] for n, v in draws.values.items()}
    found = gmm.responsibilities(flat, rows).mean(1).argmax(1)
    return rand_index(found, truth), draws


@pytest.mark.slow
def test_iris_species_are_found():
    agreement, draws = fitted(*bundled("iris"), part(3, "full"))
    assert agreement >= 0.90
    assert draws.info["modes"]["missed_nats"] == 0.0


@pytest.mark.slow
def test_banknotes_are_told_apart_and_the_rival_cut_is_said(shared):
    rows, truth = banknotes(shared)
    agreement, _ = fitted(rows, truth, part(2, "tied"))
    assert agreement >= 0.97
    _, draws = fitted(rows, truth, part(2, "full"))
    best, rival = draws.info["modes"]["segmentations"][:2]
    assert rival["nats_below_best"] == pytest.approx(10.3, abs=0.3)
    assert rival["agreement_with_best"] < 0.8
    assert rival["weights"] != best["weights"]


@pytest.mark.slow
def test_student_banknotes_have_two_cuts_that_chains_cannot_cross_and_both_are_said(shared):
    _, draws = fitted(*banknotes(shared), part(2, "full", 5.0))
    said = draws.info["modes"]
    assert said["distinct_between_chains"] == 2
    first, second = said["segmentations"][:2]
    assert second["nats_below_best"] < 10.0
    assert sorted(first["chains"] + second["chains"]) == [0, 1, 2, 3]


@pytest.mark.slow
def test_wholesale_channels_are_found_by_student_tails(shared):
    agreement, draws = fitted(*wholesale(shared), part(2, "full", 5.0))
    assert agreement >= 0.60
    assert draws.info["modes"]["distinct_between_chains"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("covariance", ["diag", "tied"])
def test_wine_cultivars_are_found_without_a_covariance_for_each(covariance):
    agreement, _ = fitted(*bundled("wine"), part(3, covariance))
    assert agreement >= 0.88
