"""Simulated segments: agreement with the oracle, coverage of intervals, calibrated memberships."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from bayesseg.families import FAMILIES, gmm
from bayesseg.inference.gibbs import gibbs
from bayesseg.inference.modes import rand_index
from bayesseg.priors import Prior
from bayesseg.spec import InferenceSpec, PartSpec

WIDTH = 3


@dataclass(frozen=True)
class Case:
    """A simulated mixture of equal spheres, fitted with one covariance for all.

    ``separation`` is the distance of neighbouring means in component sd.
    """

    components: int
    separation: float
    rows: int
    small: bool = False
    tails: bool = False
    missing: float = 0.0


def part(components: int, tails: bool) -> PartSpec:
    priors = {
        "weights": Prior("Dirichlet", {"concentration": 4.0}),
        "mean": Prior("Normal", {"mean": 0.0, "sd": 1.0}),
        "covariance": Prior("InverseWishart", {"extra_df": 2.0, "scale": "auto"}),
    }
    heavy = {"tails": "t", "df": 5.0} if tails else {"tails": "normal"}
    options = {"components": components, "covariance": "tied", "missing": "model"}
    return PartSpec("gmm", "gibbs", priors, options | heavy)


def simulated(case: Case, seed: int):
    """Standardised rows, true components, true parameters on the rows' scale (S = 1)."""
    rng = np.random.default_rng(seed)
    K = case.components
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])[:K]
    means = case.separation * corners.astype(float)
    weights = np.full(K, 1.0 / K)
    if case.small:
        weights = np.append(np.full(K - 1, 0.95 / (K - 1)), 0.05)
    z = rng.choice(K, case.rows, p=weights)
    noise = rng.normal(size=(case.rows, WIDTH))
    if case.tails:
        noise *= np.sqrt(2.5 / rng.standard_gamma(2.5, (case.rows, 1)))
    x = means[z] + noise
    centre, scale = x.mean(0), x.std(0)
    truth = {
        "weights": weights[None],
        "mean": ((means - centre) / scale)[None],
        "covariance": np.broadcast_to(np.diag(scale**-2.0), (1, K, WIDTH, WIDTH)).copy(),
    }
    if case.tails:
        truth["df"] = np.full((1, K), 5.0)
    x = (x - centre) / scale
    x[rng.random(x.shape) < case.missing] = np.nan
    return x, z, truth


def recovered(case: Case, seed: int):
    """Shortfall of agreement against the oracle, hits of 90 % intervals, (p, truth) of membership."""
    rows, z, truth = simulated(case, seed)
    draws = gibbs(
        FAMILIES["gmm"],
        part(case.components, case.tails),
        rows,
        InferenceSpec(4, 250, 100),
        seed,
        numbers=WIDTH,
    )
    flat = {n: v.reshape(-1, *v.shape[2:]) for n, v in draws.values.items()}
    thin = {n: v[:: max(1, len(v) // 100)] for n, v in flat.items()}
    p = gmm.responsibilities(thin, rows).mean(1)
    oracle = gmm.responsibilities(truth, rows)[:, 0].argmax(1)
    shortfall = rand_index(oracle, z) - rand_index(p.argmax(1), z)
    cost = ((flat["mean"].mean(0)[:, None] - truth["mean"][0][None]) ** 2).sum(2)
    own, true = linear_sum_assignment(cost)
    hits = []
    for name in ("weights", "mean"):
        low, high = np.quantile(flat[name][:, own], (0.05, 0.95), axis=0)
        at = truth[name][0][true]
        hits.append(((low <= at) & (at <= high)).ravel())
    chances = p[:, own]
    return shortfall, np.concatenate(hits), chances.ravel(), (z[:, None] == true).ravel()


def slope(chances: np.ndarray, came: np.ndarray) -> float:
    """Slope of what came on what was said."""
    return float(np.polyfit(chances, came, 1)[0])


def test_three_segments_are_recovered_as_well_as_by_an_oracle():
    shortfall, _, chances, came = recovered(Case(3, 3.0, 1500), 1)
    assert shortfall <= 0.03
    assert 0.9 <= slope(chances, came) <= 1.1


SHARP, HARD = 0.03, 0.2
"""Mean shortfall allowed; where neighbours are 1.5 sd apart and rows are 500, the oracle itself agrees
to 0.3 only, and even the mode that EM reaches from the truth loses 0.07."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        *(Case(K, 3.0, 500) for K in (2, 3, 5)),
        *(Case(K, apart, 5000) for K in (2, 3, 5) for apart in (1.5, 3.0)),
        *(Case(K, 1.5, 500) for K in (2, 3, 5)),
        *(Case(3, 3.0, n, small=True) for n in (500, 5000)),
        *(Case(3, 3.0, n, tails=True) for n in (500, 5000)),
        *(Case(3, 3.0, n, missing=0.2) for n in (500, 5000)),
    ],
    ids=str,
)
def test_recovery_is_near_the_oracle_and_honest(case):
    """Data sets of 5,000 to 10,000 rows in all: mean shortfall, and calibrated memberships.

    Memberships are calibrated over truths from the prior. At one truth in the middle of the prior, as
    here, those of two segments 1.5 sd apart say a little less than they could.
    """
    found = [recovered(case, seed) for seed in range(max(2, 5000 // case.rows))]
    hard = case.separation < 3.0
    assert np.mean([one[0] for one in found]) <= (HARD if hard and case.rows == 500 else SHARP)
    chances, came = (np.concatenate([one[j] for one in found]) for j in (2, 3))
    low, high = (0.8, 1.25) if hard else (0.9, 1.1)
    assert low <= slope(chances, came) <= high


@pytest.mark.slow
def test_intervals_cover():
    """Over 50 data sets 90 % intervals of weights and means hold 85 to 95 %."""
    cases = (
        *(Case(K, 3.0, 500) for K in (2, 3, 5)),
        Case(3, 3.0, 500, tails=True),
        Case(3, 3.0, 500, missing=0.2),
    )
    hits = np.concatenate([recovered(case, seed)[1] for case in cases for seed in range(10)])
    assert 0.85 <= hits.mean() <= 0.95
