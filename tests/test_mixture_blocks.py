"""Blocks of the mixture: densities against SciPy, sweeps against the joint law, EM that ascends."""

from itertools import product

import numpy as np
import pytest
from scipy import special, stats

from bayesseg.families import _blocks, _normal, gmm
from bayesseg.families._discrete import _digamma
from bayesseg.families._normal import DEGREES
from bayesseg.families._special import log
from bayesseg.inference import modes, sweep
from bayesseg.priors import Prior
from bayesseg.spec import PartSpec

COVARIANCES = ("full", "tied", "diag", "spherical")
LEVELS = (3, 2)
RANKS = (4,)
D = 2


def part(components: int = 2, covariance: str = "diag", df: float | str | None = None) -> PartSpec:
    priors = {
        "weights": Prior("Dirichlet", {"concentration": 4.0}),
        "mean": Prior("NormalGivenCovariance", {"mean": 0.3, "kappa": 0.4})
        if covariance == "given"
        else Prior("Normal", {"mean": 0.3, "sd": 1.5}),
        "covariance": Prior("InverseWishart", {"extra_df": 2.0, "scale": 0.7}),
        "binary": Prior("Beta", {"alpha": 2.0, "beta": 1.0}),
        "category": Prior("Dirichlet", {"concentration": 1.5}),
        "ordinal": Prior("Beta", {"alpha": 1.2, "beta": 1.6}),
        "rate": Prior("Exponential", {"scale": 2.0}),
        "size": Prior("LogNormal", {"median": 1.0, "sigma": 1.0}),
    }
    kind = "full" if covariance == "given" else covariance
    options = {"components": components, "covariance": kind, "missing": "model"}
    tails = {"tails": "normal"} if df is None else {"tails": "t", "df": df}
    return PartSpec("gmm", "gibbs", priors, options | tails)


def plan(covariance: str, df: float | str | None = None) -> gmm.Plan:
    return gmm.plan(part(2, covariance, df), D, 1, LEVELS, 1, RANKS)


def from_prior(covariance: str, df: float | str | None, S: int, rng: np.random.Generator):
    """S draws of all parameters from the prior of ``part``, written without the blocks.

    ``covariance`` "given" is full, with means that spread like their covariance.
    """
    K = 2
    theta = {
        "weights": rng.dirichlet(np.full(K, 4.0), S),
        "mean": rng.normal(0.3, 1.5, (S, K, D)),
    }
    if covariance in ("full", "tied", "given"):
        own = 1 if covariance == "tied" else K
        drawn = stats.invwishart(D + 2, 0.7 * np.eye(D)).rvs(S * own, rng)
        theta["covariance"] = np.repeat(drawn.reshape(S, own, D, D), K // own, 1)
        if covariance == "given":
            roots = np.linalg.cholesky(theta["covariance"] / 0.4)
            theta["mean"] = 0.3 + (roots @ rng.normal(size=(S, K, D, 1)))[..., 0]
    else:
        own = D if covariance == "diag" else 1
        drawn = stats.invgamma(1.5, scale=0.35).rvs((S, K, own), rng)
        theta["variance"] = np.repeat(drawn, D // own, 2)
    if df is not None:
        degrees = rng.choice(DEGREES, S) if df == "learn" else np.full(S, df)
        theta["df"] = np.repeat(degrees[:, None], K, 1)
    theta["binary"] = rng.beta(2.0, 1.0, (S, K, 1))
    theta["category"] = np.zeros((S, K, 2, 3))
    for j, levels in enumerate(LEVELS):
        theta["category"][:, :, j, :levels] = rng.dirichlet(np.full(levels, 1.5), (S, K))
    chance = rng.beta(1.2, 1.6, (S, K, 1, 1))
    theta["ordinal"] = stats.binom.pmf(np.arange(RANKS[0]), RANKS[0] - 1, chance)
    theta["rate"] = rng.exponential(2.0, (S, K, 1))
    theta["size"] = np.repeat(np.exp(rng.normal(size=(S, 1, 1))), K, 1)
    return theta


def rows_of(theta, n: int, rng: np.random.Generator, missing: float = 0.2):
    """Rows of one draw with exposures and holes; an exposure has none."""
    exposure = rng.uniform(0.5, 2.0, n)
    size = theta["size"][0, 0]
    z = rng.choice(2, n, p=theta["weights"])
    own = [
        gmm.simulate(
            {k: v[j : j + 1] if k != "weights" else np.ones(1) for k, v in theta.items()}, n, rng
        )[0]
        for j in range(2)
    ]
    rows = np.where((z == 0)[:, None], own[0], own[1])
    rows[:, -2] = rng.poisson(theta["rate"][z, 0] * exposure * rng.gamma(size, 1 / size, n))
    rows[rng.random(rows.shape) < missing] = np.nan
    rows[:, -1] = exposure
    return rows


@pytest.mark.parametrize(("covariance", "df"), [*product(COVARIANCES, (None, 5.0))])
def test_density_is_scipys_with_missing_cells_dropped(covariance, df):
    rng = np.random.default_rng(1)
    theta = from_prior(covariance, df, 3, rng)
    rows = rows_of({name: values[0] for name, values in theta.items()}, 30, rng)
    rows[0, :-1] = np.nan
    actual = gmm.log_density(theta, rows)
    for (i, row), s in product(enumerate(rows), range(3)):
        joint = []
        for k in range(2):
            t = {name: values[s, k] for name, values in theta.items()}
            seen = ~np.isnan(row[:D])
            spread = t["covariance"] if "covariance" in t else np.diag(t["variance"])
            at = (row[:D][seen], t["mean"][seen], spread[np.ix_(seen, seen)])
            total = np.log(t["weights"])
            if seen.any():
                law = (
                    stats.multivariate_normal(at[1], at[2])
                    if df is None
                    else stats.multivariate_t(at[1], at[2], df=df)
                )
                total += law.logpdf(at[0])
            if not np.isnan(row[2]):
                total += stats.bernoulli(t["binary"][0]).logpmf(row[2])
            for j in range(2):
                if not np.isnan(row[3 + j]):
                    total += np.log(t["category"][j, int(row[3 + j])])
            if not np.isnan(row[5]):
                total += np.log(t["ordinal"][0, int(row[5])])
            if not np.isnan(row[6]):
                r, mean = t["size"][0], t["rate"][0] * row[7]
                total += stats.nbinom(r, r / (r + mean)).logpmf(row[6])
            joint.append(total)
        assert actual[i, s] == pytest.approx(special.logsumexp(joint), abs=1e-9)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_student_with_many_degrees_is_normal(covariance):
    rng = np.random.default_rng(2)
    theta = from_prior(covariance, None, 2, rng)
    rows = rows_of({name: values[0] for name, values in theta.items()}, 20, rng)
    heavy = theta | {"df": np.full((2, 2), 1e8)}
    np.testing.assert_allclose(
        gmm.log_density(heavy, rows), gmm.log_density(theta, rows), rtol=1e-5
    )


@pytest.mark.parametrize(("covariance", "df"), [*product(COVARIANCES, (None, 5.0))])
def test_memberships_are_bitwise_equal_in_any_batch_or_order(covariance, df):
    rng = np.random.default_rng(3)
    theta = from_prior(covariance, df, 40, rng)
    rows = rows_of({name: values[0] for name, values in theta.items()}, 50, rng)
    whole = gmm.responsibilities(theta, rows)
    for size in (1, 7):
        pieces = [gmm.responsibilities(theta, rows[i : i + size]) for i in range(0, 50, size)]
        np.testing.assert_array_equal(np.concatenate(pieces), whole)
    np.testing.assert_array_equal(gmm.responsibilities(theta, rows[::-1])[::-1], whole)
    np.testing.assert_allclose(whole.sum(2), 1.0, atol=1e-12)


@pytest.mark.parametrize("df", [None, 5.0])
def test_expected_moments_are_those_of_the_conditional_normal(df):
    """Row by row, by the textbook: missing cells at their conditional mean and covariance."""
    rng = np.random.default_rng(6)
    D, C, n = 3, 2, 60
    tails = {} if df is None else {"df": df}
    block = _normal.block(
        "full", slice(0, D), {"mean": 0.0, "sd": 1.0, "extra_df": 2.0, "scale": 1.0} | tails
    )
    mean = rng.normal(size=(1, C, D))
    spread = stats.invwishart(D + 3, np.eye(D)).rvs(C, rng)
    rows = rng.normal(size=(n, D)) + 1.0
    rows[rng.random(rows.shape) < 0.35] = np.nan
    weights = rng.exponential(size=(n, C))
    (part,) = _blocks.split((block,), rows)
    more = () if df is None else (np.full((1, C), df),)
    ready = block.prepare(part.patterns, mean, spread[None], *more)
    actual = block.expected(part.cells, part.pattern, ready, weights)[:, 2:]
    expected = np.zeros_like(actual)
    below = np.tril_indices(D)
    for (i, row), c in product(enumerate(rows), range(C)):
        seen = ~np.isnan(row)
        m, gone, S = mean[0, c], ~seen, spread[c]
        solved = np.linalg.solve(S[np.ix_(seen, seen)], row[seen] - m[seen])
        filled = np.where(seen, row, m)
        filled[gone] += S[np.ix_(gone, seen)] @ solved
        left = np.zeros((D, D))
        slope = np.linalg.solve(S[np.ix_(seen, seen)], S[np.ix_(seen, gone)])
        left[np.ix_(gone, gone)] = S[np.ix_(gone, gone)] - S[np.ix_(gone, seen)] @ slope
        square = (row[seen] - m[seen]) @ solved
        u = 1.0 if df is None else (df + seen.sum()) / (df + square)
        second = u * np.outer(filled, filled) + left
        expected[c] += weights[i, c] * np.concatenate([[u], u * filled, second[below]])
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-10)


def test_the_logarithm_is_numpys_to_the_last_digit():
    x = np.exp(np.random.default_rng(7).uniform(-700.0, 700.0, 5000))
    x = np.concatenate([x, np.linspace(0.5, 2.0, 5001), 1.0 + np.logspace(-16, -3, 500)])
    actual, exact = np.array([log(value) for value in x]), np.log(x)
    assert (np.abs(actual - exact) <= np.spacing(np.abs(exact))).all()
    assert np.isnan([log(np.nan), log(np.inf)]).all()


def functionals(theta):
    """Scalars of each draw, (S,) each, that do not care how segments are numbered."""
    w = theta["weights"]
    spread = (
        np.linalg.slogdet(theta["covariance"])[1]
        if "covariance" in theta
        else np.log(theta["variance"]).sum(2)
    )
    found = {
        "largest weight": w.max(1),
        "means": theta["mean"].sum((1, 2)),
        "distance": ((theta["mean"][:, 0] - theta["mean"][:, 1]) ** 2).sum(1),
        "squares": (theta["mean"] ** 2).sum((1, 2)),
        "spread": spread.sum(1),
        "spread apart": spread.max(1) + (spread[:, 0] * spread[:, 1]) * 1e-3,
        "binary": theta["binary"].sum((1, 2)),
        "category": theta["category"][:, :, 0, 0].sum(1),
        "evenness": (theta["category"] ** 2).sum((1, 2, 3)),
        "second category": theta["category"][:, :, 1, 1].sum(1),
        "rank": (theta["ordinal"][:, :, 0] @ np.arange(RANKS[0])).sum(1),
        "rate": np.log(theta["rate"]).sum((1, 2)),
        "size": np.log(theta["size"][:, 0, 0]),
    }
    if "covariance" in theta:
        found["correlation"] = theta["covariance"][:, :, 0, 1].sum(1)
        for d in range(D):
            found[f"variance {d}"] = np.log(theta["covariance"][:, :, d, d]).sum(1)
    return found


@pytest.mark.parametrize(
    ("covariance", "df"),
    [
        ("full", "learn"),
        ("spherical", None),
        ("given", "learn"),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in product((*COVARIANCES, "given"), (None, 4.0, "learn"))
        ),
    ],
)
def test_sweeps_leave_the_joint_law_alone(covariance, df):
    """Parameters from the prior, rows from them, then sweeps: parameters still follow the prior.

    Rows are the sampler's truth here, so it starts in its stationary law; any wrong conditional draw
    leads away from it (Geweke 2004). The log-likelihood catches a sampler that ignores the rows.
    """
    rng = np.random.default_rng(4)
    S, n, sweeps = 600, 6, 5
    own = plan(covariance, df)
    before = from_prior(covariance, df, S, rng)
    after = {name: np.empty_like(values) for name, values in before.items()}
    gain = np.empty(S)
    for s in range(S):
        theta = {name: values[s : s + 1] for name, values in before.items()}
        rows = rows_of({name: values[0] for name, values in theta.items()}, n, rng)
        parts = _blocks.split(own.blocks, rows)
        run = sweep.Run(own, rows, parts, s, 7919 * s, 1, map)
        first = None
        for i in range(sweeps):
            theta, likelihood, _ = sweep.step(run, theta, i)
            first = likelihood if first is None else first
        gain[s] = gmm.log_density(theta, rows).sum() - first[0]
        for name, values in theta.items():
            after[name][s] = values[0]
    assert stats.ttest_1samp(gain, 0.0).pvalue > 1e-3
    fresh = functionals(from_prior(covariance, df, 20_000, rng))
    for name, values in functionals(after).items():
        assert stats.ks_2samp(values, fresh[name]).pvalue > 1e-4, name
    if df == "learn":
        counts = [(after["df"][:, 0] == degree).sum() for degree in DEGREES]
        assert stats.chisquare(counts).pvalue > 1e-4
        assert (after["df"] != before["df"]).any()
    if covariance == "tied":
        np.testing.assert_array_equal(after["covariance"][:, 0], after["covariance"][:, 1])
    if covariance == "spherical":
        np.testing.assert_array_equal(after["variance"][..., 0], after["variance"][..., 1])


@pytest.mark.parametrize(
    ("covariance", "df"), [*product((*COVARIANCES, "given"), (None, 5.0, "learn"))]
)
def test_em_never_loses_log_posterior(covariance, df):
    rng = np.random.default_rng(5)
    theta = from_prior(covariance, df, 1, rng)
    rows = rows_of({name: values[0] for name, values in theta.items()}, 150, rng)
    own = plan(covariance, df)
    at = modes.seeded(own, rows, 5, rng)
    heights = [modes.climb(own, at, rows, steps)[1] for steps in range(1, 30)]
    assert (np.diff(heights, axis=0) >= -1e-8).all()


@pytest.mark.parametrize("covariance", [*COVARIANCES, "given"])
def test_log_prior_is_that_of_the_priors(covariance):
    theta = from_prior(covariance, 5.0, 3, np.random.default_rng(6))
    K = 1 if covariance == "tied" else 2
    columns = 1 if covariance == "spherical" else D
    for s in range(3):
        t = {name: values[s] for name, values in theta.items()}
        expected = stats.dirichlet(np.full(2, 4.0)).logpdf(t["weights"])
        if covariance == "given":
            for m, spread in zip(t["mean"], t["covariance"], strict=True):
                expected += stats.multivariate_normal([0.3, 0.3], spread / 0.4).logpdf(m)
        else:
            expected += stats.norm(0.3, 1.5).logpdf(t["mean"]).sum()
        if "covariance" in t:
            law = stats.invwishart(D + 2, 0.7 * np.eye(D))
            expected += sum(law.logpdf(c) for c in t["covariance"][:K])
        else:
            law = stats.invgamma(1.5, scale=0.35)
            expected += law.logpdf(t["variance"][:, :columns]).sum()
        expected += stats.beta(2.0, 1.0).logpdf(t["binary"]).sum()
        for k, (j, levels) in product(range(2), enumerate(LEVELS)):
            law = stats.dirichlet(np.full(levels, 1.5))
            expected += law.logpdf(t["category"][k, j, :levels])
        height = t["ordinal"][:, 0] @ np.arange(RANKS[0]) / (RANKS[0] - 1)
        expected += stats.beta(1.2, 1.6).logpdf(height).sum()
        expected += stats.expon(scale=2.0).logpdf(t["rate"]).sum()
        expected += stats.lognorm(1.0).logpdf(t["size"][0, 0])
        assert modes.log_prior(plan(covariance, 5.0), theta)[s] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("covariance", "df"), [*product(COVARIANCES, (None, 5.0))])
def test_rows_twice_are_rows_of_weight_two(covariance, df):
    rng = np.random.default_rng(7)
    theta = from_prior(covariance, df, 1, rng)
    rows = rows_of({name: values[0] for name, values in theta.items()}, 80, rng)
    own = plan(covariance, df)
    at = modes.seeded(own, rows, 3, rng)
    weights = np.repeat([[1.0, 2.0, 0.5]], 80, axis=0)
    weighted, height = modes.climb(own, at, rows, 20, weights)
    doubled, twice = modes.climb(own, at, np.concatenate([rows, rows]), 20)
    assert height[1] == pytest.approx(twice[1], abs=1e-8)
    np.testing.assert_allclose(weighted["mean"][1], doubled["mean"][1], atol=1e-8)
    _, single = modes.climb(own, at, rows, 20)
    assert height[0] == pytest.approx(single[0], abs=1e-9)


def test_digamma_is_scipys():
    x = np.geomspace(1e-3, 1e6, 200)
    np.testing.assert_allclose([_digamma(v) for v in x], special.digamma(x), rtol=1e-11, atol=1e-11)
