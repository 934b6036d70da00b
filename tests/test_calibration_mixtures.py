"""Simulation-based calibration of mixtures, and mistakes in the sampler that it must find."""

import json

import numpy as np
import planted
import pytest

from bayesseg.calibration import Design, Job, mixtures, run, sbc
from bayesseg.errors import UsageError
from bayesseg.families import FAMILIES, gmm
from bayesseg.families._normal import DEGREES
from bayesseg.spec import ModelSpec, load_spec, parse_spec

GMM = FAMILIES["gmm"]


def spec(
    covariance: str = "diag",
    draws: int = 250,
    more: str = "",
    tails: str = "normal",
    mean: str = 'dist = "Normal", mean = 0.0, sd = 1.0',
) -> ModelSpec:
    """Two segments on two number features; ``more`` features and priors."""
    features, _, priors = more.partition("---")
    return parse_spec(f"""
        schema = 1
        name = "two"
        description = "two numbers, two segments"
        time_unit = "week"
        [segments]
        family = "gmm"
        engine = "gibbs"
        components = 2
        covariance = "{covariance}"
        tails = "{tails}"
        {'df = "learn"' if tails == "t" else ""}
        missing = "model"
        [segments.priors]
        weights = {{ dist = "Dirichlet", concentration = 4.0 }}
        mean = {{ {mean} }}
        covariance = {{ dist = "InverseWishart", extra_df = 2.0, scale = 0.3 }}
        {priors}
        [inference]
        chains = 4
        draws = {draws}
        tune = 100
        [[features]]
        column = "a"
        [[features]]
        column = "b"
        {features}
    """)


EVERY_KIND = """
    [[features]]
    column = "c"
    type = "binary"
    [[features]]
    column = "d"
    type = "category"
    [[features]]
    column = "e"
    type = "count"
    ---
    binary = { dist = "Beta", alpha = 2.0, beta = 1.0 }
    category = { dist = "Dirichlet", concentration = 1.5 }
    rate = { dist = "Exponential", scale = 2.0 }
    size = { dist = "LogNormal", median = 1.0, sigma = 1.0 }
"""


def job(model: ModelSpec, customers: int, seed: int = 1) -> Job:
    return Job(model, "segments", "gibbs", Design(customers=customers), seed)


def breaches(document: dict) -> set[str]:
    return {q["name"] for q in document["quantities"] if not q["passed"]}


def of_prior(model: ModelSpec, size: int, seed: int = 0):
    part, plan = model.parts["segments"], mixtures.plan_of(GMM, model)
    return mixtures.truths(part, plan, size, np.random.default_rng(seed))


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_truths_have_the_moments_of_their_priors(covariance: str) -> None:
    theta = of_prior(spec(covariance, more=EVERY_KIND), 40_000)
    spread = (
        np.diagonal(theta["covariance"], axis1=2, axis2=3)
        if "covariance" in theta
        else theta["variance"]
    )
    # IG((1 + extra_df) / 2, scale / 2) on the diagonal: mean scale / (extra_df - 1) of a heavy tail,
    # so its inverse is compared: (1 + extra_df) / scale
    assert (1 / spread).mean((0, 1)) == pytest.approx([10.0, 10.0], rel=0.03)
    assert theta["weights"].var() == pytest.approx(0.25 / 9, rel=0.03)
    assert theta["mean"].std() == pytest.approx(1.0, rel=0.02)
    assert theta["binary"].mean() == pytest.approx(2 / 3, rel=0.01)
    assert theta["category"].var() == pytest.approx(2 / 9 / 5.5, rel=0.03)
    assert theta["rate"].mean() == pytest.approx(2.0, rel=0.03)
    assert np.log(theta["size"]).std() == pytest.approx(1.0, rel=0.03)
    if covariance == "tied":
        np.testing.assert_array_equal(theta["covariance"][:, 0], theta["covariance"][:, 1])


GIVEN = 'dist = "NormalGivenCovariance", mean = 0.0, kappa = 0.25'


def test_true_means_spread_like_their_covariances() -> None:
    theta = of_prior(spec("full", mean=GIVEN), 20_000)
    roots = np.linalg.cholesky(theta["covariance"])
    z = np.linalg.solve(roots, theta["mean"][..., None])[..., 0]
    assert z.std((0, 1)) == pytest.approx([2.0, 2.0], rel=0.02)


@pytest.mark.slow
def test_a_mixture_whose_means_spread_like_its_covariances_is_calibrated() -> None:
    model = spec("full", draws=150, mean=GIVEN)
    assert breaches(sbc(job(model, 40), 20)) == set()


def test_ranked_quantities_do_not_depend_on_the_numbering_of_segments() -> None:
    model = spec("full", more=EVERY_KIND, tails="t")
    theta = of_prior(model, 30)
    assert set(theta["df"].ravel()) <= set(DEGREES)
    made = mixtures.simulated(GMM, model, Design(customers=20), np.random.default_rng(1))
    one = mixtures.quantities(GMM, model, theta, made)
    other = mixtures.quantities(GMM, model, {n: v[:, ::-1] for n, v in theta.items()}, made)
    for name, values in one.items():
        np.testing.assert_allclose(values, other[name], rtol=1e-9, atol=1e-12, err_msg=name)
    likelihood = gmm.log_density(theta, made.columns["matrix"]).sum(0)
    np.testing.assert_array_equal(one["log_likelihood"], likelihood)
    assert np.isnan(made.columns["matrix"][:, :2]).any()


def test_a_number_of_segments_left_open_is_refused() -> None:
    model = load_spec("segments").text.replace("components = 2 ", 'components = "auto" ')
    with pytest.raises(UsageError, match="components is 'auto'"):
        run(parse_spec(model), 20, seed=1)


def test_a_mixture_is_calibrated_and_half_its_rows_are_missed() -> None:
    right, wrong = (
        sbc(job(spec(draws=150), 40), 20, fitted=family)
        for family in (GMM, planted.in_blocks(planted.every_second_row))
    )
    assert (breaches(right), breaches(wrong)) == (set(), {"log_likelihood"})
    assert json.loads(json.dumps(right)) == right
    assert right["answered"] == {"gibbs": 20}


# ---------------------------------------------------------------- minutes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "customers", "fitted", "where"),
    [
        (spec("full"), 30, planted.in_blocks(planted.bartlett_order), "covariance[3]"),
        (spec(), 30, planted.in_blocks(planted.inverted("scale")), "variance[1]"),
        (spec(), 15, planted.in_blocks(planted.vague("sd")), "together[1]"),
        (spec(), 15, planted.in_blocks(lambda block: block, concentration=0.5), "weight[1]"),
        (spec("full"), 30, planted.in_blocks(planted.every_second_row), "log_likelihood"),
    ],
    ids=["Bartlett order", "rate for scale", "dropped prior", "wrong concentration", "half"],
)
def test_planted_mistakes_in_the_sampler_are_found(model, customers, fitted, where) -> None:
    assert where in breaches(sbc(job(model, customers), 60, fitted=fitted))
    assert not breaches(sbc(job(model, customers), 60))


@pytest.mark.slow
def test_the_shipped_mixture_is_calibrated() -> None:
    """As ``bayesseg validate --sbc 200 --model segments`` does it."""
    found = run(load_spec("segments"), 200, seed=1, processes=2)
    assert found["parts"]["segments"]["reasons"] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        spec("tied", 500),
        spec("spherical", 500),
        spec("full", 500, EVERY_KIND, "t"),
    ],
    ids=["tied", "spherical", "every kind"],
)
def test_every_block_is_calibrated(model: ModelSpec) -> None:
    assert not breaches(sbc(job(model, 200), 100, processes=2))
