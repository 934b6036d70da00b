"""Mixtures: densities, conjugate draws, EM, the Gibbs sampler against independent oracles."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

from bayesseg.errors import InputRejected, UsageError
from bayesseg.families import FAMILIES, _blocks, _discrete, _normal, gmm
from bayesseg.inference import mixing, modes
from bayesseg.inference.gibbs import _groups, gibbs
from bayesseg.inference.sweep import allocate
from bayesseg.priors import Prior
from bayesseg.spec import InferenceSpec, PartSpec

GMM = FAMILIES["gmm"]


def part(components: int, covariance: str = "diag", missing: str = "model") -> PartSpec:
    priors = {
        "weights": Prior("Dirichlet", {"concentration": 4.0}),
        "mean": Prior("Normal", {"mean": 0.0, "sd": 1.0}),
        "covariance": Prior("InverseWishart", {"extra_df": 2.0, "scale": "auto"}),
        "binary": Prior("Beta", {"alpha": 1.0, "beta": 1.0}),
    }
    options = {"components": components, "covariance": covariance, "missing": missing}
    return PartSpec("gmm", "gibbs", priors, options)


def theta(S: int = 6, K: int = 3, D: int = 4, B: int = 2, covariance: str = "diag"):
    rng = np.random.default_rng(S + K)
    values = {
        "weights": rng.dirichlet(np.ones(K), size=S),
        "mean": rng.normal(size=(S, K, D)),
        "binary": rng.uniform(0.1, 0.9, size=(S, K, B)),
    }
    if covariance == "diag":
        return values | {"variance": rng.gamma(2.0, 0.5, size=(S, K, D))}
    return values | {"covariance": stats.invwishart(D + 3, np.eye(D)).rvs((S, K), rng)}


def matrix(n: int = 50, D: int = 4, B: int = 2, missing: float = 0.2):
    rng = np.random.default_rng(n)
    rows = np.concatenate([rng.normal(size=(n, D)), rng.random((n, B)) < 0.5], axis=1)
    return np.where(rng.random(rows.shape) < missing, np.nan, rows)


# --- densities -----------------------------------------------------------------------------------


def test_diagonal_density_is_scipys_with_missing_cells_dropped():
    values, rows = theta(), matrix()
    actual = gmm.log_density(values, rows)
    for i, s in product(range(len(rows)), range(6)):
        seen, yes = ~np.isnan(rows[i, :4]), ~np.isnan(rows[i, 4:])
        joint = [
            np.log(values["weights"][s, k])
            + stats.norm(values["mean"][s, k], np.sqrt(values["variance"][s, k]))
            .logpdf(rows[i, :4])[seen]
            .sum()
            + stats.bernoulli(values["binary"][s, k]).logpmf(np.nan_to_num(rows[i, 4:]))[yes].sum()
            for k in range(3)
        ]
        assert actual[i, s] == pytest.approx(special.logsumexp(joint), abs=1e-10)


def test_full_density_is_scipys():
    values, rows = theta(covariance="full"), matrix(missing=0.0)
    actual = gmm.log_density(values, rows)
    for s in range(6):
        joint = [
            np.log(values["weights"][s, k])
            + stats.multivariate_normal(values["mean"][s, k], values["covariance"][s, k]).logpdf(
                rows[:, :4]
            )
            + stats.bernoulli(values["binary"][s, k]).logpmf(rows[:, 4:]).sum(1)
            for k in range(3)
        ]
        np.testing.assert_allclose(actual[:, s], special.logsumexp(joint, axis=0), atol=1e-10)


def test_a_row_with_nothing_observed_belongs_by_the_weights():
    values = theta()
    actual = gmm.responsibilities(values, np.full((1, 6), np.nan))
    np.testing.assert_allclose(actual[0], values["weights"], rtol=1e-14)


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_memberships_are_bitwise_equal_in_any_batch_order_or_subset(covariance):
    values = theta(covariance=covariance)
    rows = matrix(missing=0.2 if covariance == "diag" else 0.0)
    whole = gmm.responsibilities(values, rows)
    for size in (1, 7, 50):
        batches = [
            gmm.responsibilities(values, rows[i : i + size]) for i in range(0, len(rows), size)
        ]
        np.testing.assert_array_equal(np.concatenate(batches), whole)
    np.testing.assert_array_equal(gmm.responsibilities(values, rows[::-1])[::-1], whole)
    np.testing.assert_allclose(whole.sum(2), 1.0, atol=1e-12)


# --- conjugate draws -----------------------------------------------------------------------------

PRIOR = {"mean": 0.0, "sd": 1.0, "extra_df": 2.0, "scale": 0.7}


def of_all(block, rows, draws, params):
    """Statistics of all rows in one component, for each of ``draws``: (draws, 1, J)."""
    (part,) = _blocks.split((block,), rows)
    ready = block.prepare(part.patterns, *params)
    one = block.expected(part.cells, part.pattern, ready, np.ones((len(rows), 1)))
    return np.broadcast_to(one, (draws, *one.shape))


def test_diagonal_draws_follow_their_conditionals():
    rng = np.random.default_rng(0)
    x = rng.normal(1.0, 2.0, size=12)
    S, variance = 40_000, 2.5
    block = _normal.block("diag", slice(0, 1), PRIOR)
    many = of_all(block, x[:, None], S, (np.zeros((1, 1, 1)), np.ones((1, 1, 1))))
    mean, drawn = block.draw(many, (None, np.full((S, 1, 1), variance)), PRIOR, rng)
    precision = 1.0 + 12 / variance
    conditional = stats.norm(x.sum() / variance / precision, precision**-0.5)
    assert stats.kstest(mean.ravel(), conditional.cdf).pvalue > 1e-3
    squares = ((x - mean.reshape(-1, 1)) ** 2).sum(1)
    u = stats.invgamma(0.5 * (3 + 12), scale=0.5 * (0.7 + squares)).cdf(drawn.ravel())
    assert stats.kstest(u, "uniform").pvalue > 1e-3


def test_full_covariance_draws_are_inverse_wishart():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(9, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.3], [0, 0, 0.7]])
    S = 40_000
    prior = PRIOR | {"sd": 1e-9}  # pins the means to zero, so the conditional is one law
    block = _normal.block("full", slice(0, 3), prior)
    many = of_all(block, x, S, (np.zeros((1, 1, 3)), np.eye(3)[None, None]))
    eyes = np.broadcast_to(np.eye(3), (S, 1, 3, 3))
    _, drawn = block.draw(many, (None, eyes), prior, rng)
    law = stats.invwishart(3 + 2 + 9, 0.7 * np.eye(3) + x.T @ x)
    np.testing.assert_allclose(drawn[:, 0].mean(0), law.mean(), rtol=0.03, atol=0.005)
    other = np.linalg.slogdet(law.rvs(S, rng))[1]
    assert stats.ks_2samp(np.linalg.slogdet(drawn[:, 0])[1], other).pvalue > 1e-3


NIW = {"mean": 0.4, "kappa": 0.5, "extra_df": 2.0, "scale": 0.7}


def niw(x, prior=NIW):
    """Mean, kappa, nu and Psi of the posterior (Gelman et al. 2013, section 3.6)."""
    n, D = x.shape
    gap = x.mean(0) - prior["mean"]
    kappa = prior["kappa"] + n
    scatter = (x - x.mean(0)).T @ (x - x.mean(0))
    psi = prior["scale"] * np.eye(D) + scatter + prior["kappa"] * n / kappa * np.outer(gap, gap)
    mean = (prior["kappa"] * prior["mean"] + n * x.mean(0)) / kappa
    return mean, kappa, D + prior["extra_df"] + n, psi


def slanted(n=9):
    return np.random.default_rng(1).normal(size=(n, 3)) @ np.array(
        [[1, 0.5, 0], [0, 1, 0.3], [0, 0, 0.7]]
    )


def test_means_given_covariances_are_drawn_from_the_closed_form():
    x, S = slanted(), 40_000
    block = _normal.block("full", slice(0, 3), NIW)
    start = np.zeros((1, 1, 3)), np.eye(3)[None, None]
    many = of_all(block, x, S, start)
    spread = np.broadcast_to(np.eye(3), (S, 1, 3, 3))
    mean, drawn = block.draw(many, (None, spread), NIW, np.random.default_rng(3))
    centre, kappa, nu, psi = niw(x)
    law = stats.invwishart(nu, psi)
    np.testing.assert_allclose(drawn[:, 0].mean(0), law.mean(), rtol=0.03, atol=0.005)
    whitened = np.linalg.solve(np.linalg.cholesky(drawn[:, 0]), (mean[:, 0] - centre)[..., None])
    assert stats.kstest(np.sqrt(kappa) * whitened.ravel(), "norm").pvalue > 1e-3
    scale = psi[0, 0] / kappa / (nu - 2)
    marginal = stats.t(nu - 2, centre[0], np.sqrt(scale))
    assert stats.kstest(mean[:, 0, 0], marginal.cdf).pvalue > 1e-3
    top, likeliest = block.mode(many[:1], start, NIW)
    np.testing.assert_allclose(top[0, 0], centre)
    np.testing.assert_allclose(likeliest[0, 0], psi / (nu + 3 + 2))


def test_one_normal_inverse_wishart_component_is_the_closed_form():
    x = slanted(40)
    own = part(1, "full")
    own = replace(own, priors=own.priors | {"mean": Prior("NormalGivenCovariance", NIW)})
    draws = gibbs(GMM, own, x, InferenceSpec(4, 1000, 50), 1, numbers=3)
    centre, kappa, nu, psi = niw(x, NIW | {"scale": 1.0})
    for d in range(3):
        mean, spread = draws.values["mean"][..., 0, d], draws.values["covariance"][..., 0, d, :]
        assert abs(mean.mean() - centre[d]) < 4 * mcse(mean)
        for e in range(3):
            expected = psi[d, e] / (nu - 4)
            assert abs(spread[..., e].mean() - expected) < 4 * mcse(spread[..., e])
    flat = {name: v.reshape(-1, *v.shape[2:]) for name, v in draws.values.items()}
    predictive = stats.multivariate_t(centre, psi * (kappa + 1) / kappa / (nu - 2), df=nu - 2)
    at = np.array([[0.0, 0.0, 0.0], [1.0, -1.0, 0.5], [2.0, 2.0, 2.0]])
    for point, density in zip(at, np.exp(gmm.log_density(flat, at)), strict=True):
        error = mcse(density.reshape(4, -1))
        assert abs(density.mean() - predictive.pdf(point)) < 4 * error


@pytest.mark.parametrize("covariance", ["tied", "diag", "spherical"])
def test_a_mean_like_its_covariance_needs_a_full_one(covariance):
    own = part(2, covariance)
    own = replace(own, priors=own.priors | {"mean": Prior("NormalGivenCovariance", NIW)})
    with pytest.raises(UsageError, match="NormalGivenCovariance") as raised:
        gmm.plan(own, 3, 0)
    assert 'covariance = "full"' in raised.value.fix


def test_binary_draws_are_beta():
    x = np.array([1.0, 1.0, 0.0, np.nan, 1.0])[:, None]
    prior = {"alpha": 1.0, "beta": 1.0}
    block = _discrete.binary(slice(0, 1), prior)
    many = of_all(block, x, 40_000, (np.full((1, 1, 1), 0.5),))
    (drawn,) = block.draw(many, (None,), prior, np.random.default_rng(2))
    assert stats.kstest(drawn.ravel(), stats.beta(4, 2).cdf).pvalue > 1e-3


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_log_prior_is_scipys(covariance):
    values = theta(S=2, covariance=covariance)
    plan = gmm.plan(part(3, covariance), 4, 2)
    psi = 3 ** (-2 / 4)
    for s in range(2):
        expected = stats.dirichlet(np.full(3, 4.0)).logpdf(values["weights"][s])
        expected += stats.norm.logpdf(values["mean"][s]).sum()
        if covariance == "diag":
            expected += stats.invgamma(1.5, scale=psi / 2).logpdf(values["variance"][s]).sum()
        else:
            law = stats.invwishart(6, psi * np.eye(4))
            expected += sum(law.logpdf(c) for c in values["covariance"][s])
        assert modes.log_prior(plan, values)[s] == pytest.approx(expected, abs=1e-9)


def test_labels_are_drawn_with_their_probabilities():
    p = np.array([0.2, 0.5, 0.3])
    n = 30_000
    joint = np.broadcast_to(np.log(p) - 3.0, (n, 1, 3)).copy()
    labels, likelihood, entropy, sizes = allocate(joint, np.array([3, 0, 0], dtype=np.uint64))
    counts = np.bincount(labels[:, 0])
    np.testing.assert_array_equal(sizes[0], counts)
    assert stats.chisquare(counts, n * p).pvalue > 1e-3
    assert likelihood[0] / n == pytest.approx(-3.0)
    assert entropy[0] / n == pytest.approx(stats.entropy(p))


# --- EM ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_em_never_loses_log_posterior_and_ends_where_no_step_gains(covariance):
    rows = two_clouds(400)[0]
    plan = gmm.plan(part(2, covariance), 3, 0)
    at = modes.seeded(plan, rows, 3, np.random.default_rng(0))
    heights = [modes.climb(plan, at, rows, steps)[1] for steps in range(1, 30)]
    assert (np.diff(heights, axis=0) >= -1e-9).all()
    top, height = modes.climb(plan, at, rows, 3000)
    best = modes.take(top, [int(height.argmax())])
    for name, values in best.items():
        if name == "mean":  # a mode: moving a mean either way does not help
            for step in (-0.02, 0.02):
                moved = best | {name: values + step}
                likelihood, _, _ = modes.expect(plan, moved, _blocks.split(plan.blocks, rows))
                assert likelihood + modes.log_prior(plan, moved) < height.max()


def two_clouds(n: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    z = rng.random(n) < 0.4
    return np.where(z[:, None], 1.5, -1.0) + 0.5 * rng.normal(size=(n, 3)), z.astype(int)


def test_rand_index_of_the_same_partition_is_one_and_of_chance_near_zero():
    rng = np.random.default_rng(4)
    a = rng.integers(3, size=3000)
    assert modes.rand_index(a, (a + 1) % 3) == 1.0
    assert abs(modes.rand_index(a, rng.integers(3, size=3000))) < 0.01


def corners() -> np.ndarray:
    """Four clouds at the corners of a square, the whole unchanged by any of its symmetries."""
    one = 0.3 * np.random.default_rng(0).normal(size=(20, 2))
    signs = np.array(list(product((1.0, -1.0), repeat=2)))
    cloud = np.concatenate([sign * one for sign in signs])
    cloud = np.concatenate([cloud, cloud[:, ::-1]])
    return np.concatenate([cloud + sign for sign in signs])


def test_two_cuts_of_equal_height_are_two_modes():
    """Four clouds and two components: left from right is as good as upper from lower."""
    rows = corners()
    found = modes.find_modes(gmm.plan(part(2), 2, 0), rows, np.random.default_rng(1))
    first, second = found.log_posterior[:2]
    assert first == pytest.approx(second, abs=0.05)
    assert (found.log_posterior[2:] < first - 100.0).all()
    assert modes.rand_index(found.allocation[0], found.allocation[1]) < 0.05
    draws = gibbs(GMM, part(2), rows, InferenceSpec(4, 100, 50), 1, numbers=2)
    assert draws.info["modes"]["distinct_between_chains"] == 2


def test_chains_that_share_a_mode_are_one_group():
    assert _groups(np.array([[0, 1], [1, 1], [0, 0], [0, 0]])) == 1
    assert _groups(np.array([[0, 0], [1, 1], [0, 0], [2, 1]])) == 2


# --- the sampler ---------------------------------------------------------------------------------


def mcse(draws):
    """Monte Carlo standard error of the mean of (chain, draw)."""
    return draws.std() / np.sqrt(mixing.ess(draws[..., None])[0])


def test_one_component_agrees_with_quadrature():
    x = np.array([0.3, 1.1, -0.4, 2.0, 0.7, 0.2])
    draws = gibbs(GMM, part(1), x[:, None], InferenceSpec(4, 2000, 100), 1, numbers=1)

    def joint(mu, t):  # t = log variance
        v = np.exp(t)
        return np.exp(
            stats.norm.logpdf(x, mu, np.sqrt(v)).sum()
            + stats.norm.logpdf(mu)
            + stats.invgamma.logpdf(v, 1.5, scale=0.5)
            + t
        )

    def expectation(f):
        box = (-5.0, 4.0, -4.0, 4.0)
        return integrate.dblquad(lambda m, t: f(m, t) * joint(m, t), *box)[0]

    total = expectation(lambda m, t: 1.0)
    mean, log_variance = (
        draws.values["mean"][..., 0, 0],
        np.log(draws.values["variance"][..., 0, 0]),
    )
    for sample, f in ((mean, lambda m, t: m), (log_variance, lambda m, t: t)):
        assert abs(sample.mean() - expectation(f) / total) < 4 * mcse(sample)


def test_one_component_with_every_kind_of_column_has_weight_one():
    rows = matrix(40, 2, 1)
    draws = gibbs(GMM, part(1), rows, InferenceSpec(4, 200, 50), 1, numbers=2)
    assert (draws.values["weights"] == 1.0).all()
    assert draws.info["modes"]["distinct_between_chains"] == 1
    assert draws.info["relabel"]["disagreement"] == 0.0
    assert draws.info["overlap"]["max_bhattacharyya"] == 0.0
    assert draws.info["mixing"]["ess"] > 400


def test_two_components_agree_with_the_sum_over_all_partitions():
    x = np.array([1.0, 1.0, 1.0, 0.0, 0.0])
    draws = gibbs(GMM, part(2), x[:, None], InferenceSpec(4, 4000, 200), 2, numbers=0)
    together = np.zeros((5, 5))
    total = 0.0
    for z in product(range(2), repeat=5):
        z = np.array(z)
        n = np.bincount(z, minlength=2)
        yes = np.bincount(z, weights=x, minlength=2)
        log_p = special.gammaln(4 + n).sum() + special.betaln(1 + yes, 1 + n - yes).sum()
        total += np.exp(log_p)
        together += np.exp(log_p) * (z[:, None] == z)
    together /= total
    flat = {k: v.reshape(-1, *v.shape[2:]) for k, v in draws.values.items()}
    p = gmm.responsibilities(flat, x[:, None])
    for i, j in ((0, 1), (0, 3), (3, 4)):
        sample = (p[i] * p[j]).sum(1).reshape(4, -1)
        assert abs(sample.mean() - together[i, j]) < 4 * mcse(sample)


SHORT = InferenceSpec(4, 20, 10)


def test_no_customer_can_be_solved_for_from_what_is_kept():
    """Each stored density is that of some point: least squares finds it, and it is nobody's."""
    rows = two_clouds(60)[0][:, :2]
    draws = gibbs(GMM, part(2), rows, InferenceSpec(4, 100, 100), 5, numbers=2)
    flat = {name: v.reshape(-1, *v.shape[2:])[::5] for name, v in draws.values.items()}
    kept = {name: v.reshape(-1, *v.shape[2:])[::5] for name, v in draws.stats.items()}
    own = gmm.log_density(flat, rows)
    for series in kept["log_density"].T:
        start = rows[np.abs(own - series).sum(1).argmin()]
        solved = optimize.least_squares(
            lambda x, s=series: gmm.log_density(flat, x[None])[0] - s, start, xtol=1e-12
        )
        assert np.abs(solved.fun).max() < 1e-4  # the attack works
        assert np.abs(rows - solved.x).max(1).min() > 1e-3  # and meets nobody
    p = gmm.responsibilities(flat, rows)
    together = np.einsum("isk,jsk->ijs", p, p)[np.triu_indices(len(rows))]
    for series in kept["coassignment"].T:
        assert np.abs(together - series).max(1).min() > 1e-12


def assert_same(a, b):
    for name, values in (a.values | a.stats).items():
        np.testing.assert_array_equal(values, (b.values | b.stats)[name], err_msg=name)


def test_draws_depend_on_the_seed_alone():
    rows = np.concatenate([two_clouds(5000)[0], matrix(5000, 0, 1, 0.1)], axis=1)  # two chunks
    first = gibbs(GMM, part(2), rows, SHORT, 7, numbers=3, threads=1)
    shuffled = rows[np.random.default_rng(0).permutation(len(rows))]
    assert_same(first, gibbs(GMM, part(2), shuffled, SHORT, 7, numbers=3, threads=3))
    other = gibbs(GMM, part(2), rows, SHORT, 8, numbers=3, threads=1)
    assert not np.array_equal(first.values["mean"], other.values["mean"])


@pytest.mark.parametrize(("covariance", "missing"), [("diag", 0.0), ("diag", 0.2), ("full", 0.0)])
def test_simulated_segments_are_recovered(covariance, missing):
    rng = np.random.default_rng(9)
    rows, z = two_clouds(600)
    rows[rng.random(rows.shape) < missing] = np.nan
    draws = gibbs(GMM, part(2, covariance), rows, InferenceSpec(4, 250, 100), 3, numbers=3)
    flat = {k: v.reshape(-1, *v.shape[2:])[::10] for k, v in draws.values.items()}
    found = gmm.responsibilities(flat, rows).mean(1).argmax(1)
    assert modes.rand_index(found, z) > 0.95
    weights = draws.values["weights"].mean((0, 1))
    assert weights == pytest.approx([(z == 0).mean(), (z == 1).mean()], abs=0.03)
    facts = draws.info
    assert facts["modes"]["distinct_between_chains"] == 1
    assert facts["modes"]["missed_nats"] < 0.1
    assert facts["relabel"]["disagreement"] == 0.0
    assert facts["overlap"]["max_bhattacharyya"] < 0.2
    assert facts["mixing"]["ess"] > 400


def test_components_nobody_needs_overlap():
    rows = np.random.default_rng(1).normal(size=(300, 2))
    facts = gibbs(GMM, part(3), rows, InferenceSpec(4, 100, 100), 3, numbers=2).info
    assert facts["overlap"]["max_bhattacharyya"] > 0.7


def test_missing_values_can_be_refused():
    with pytest.raises(InputRejected, match="missing values"):
        gibbs(GMM, part(2, missing="reject"), matrix(20, 2, 0), SHORT, 0, numbers=2)
    with pytest.raises(InputRejected, match="different sets of missing columns"):
        gibbs(GMM, part(2, "full"), matrix(400, 7, 0, 0.5), SHORT, 0, numbers=7)


def test_options_and_priors_are_checked():
    with pytest.raises(UsageError, match="components"):
        gmm.plan(part("auto"), 2, 0)
    with pytest.raises(UsageError, match="covariance"):
        gmm.plan(part(2, "round"), 2, 0)
    bare = PartSpec("gmm", "gibbs", {}, {"components": 2})
    with pytest.raises(UsageError, match=r"priors\.mean"):
        gmm.plan(bare, 2, 0)


def test_mixing_matches_arviz_on_autocorrelated_chains():
    from arviz_stats.base import array_stats

    rng = np.random.default_rng(6)
    noise = rng.normal(size=(4, 2000, 3))
    chains = np.zeros_like(noise)
    for i in range(1, 2000):
        chains[:, i] = np.array([0.0, 0.6, 0.9]) * chains[:, i - 1] + noise[:, i]
    expected = [
        array_stats.ess(chains[..., j], chain_axis=0, draw_axis=1, method="mean") for j in range(3)
    ]
    np.testing.assert_allclose(mixing.ess(chains), np.ravel(expected), rtol=0.1)
    apart = chains + np.arange(4)[:, None, None] * 5.0
    assert (mixing.rhat(apart) > 1.5).all()
    assert (mixing.rhat(chains) < 1.03).all()


def test_two_segments_agree_with_weighted_draws_from_the_prior():
    """Blocks together, with a missing cell, against self-normalised importance sampling."""
    rows = np.array(
        [[-1.0, 1.0], [-0.8, 1.0], [0.9, 0.0], [1.2, 1.0], [np.nan, 0.0], [0.7, np.nan]]
    )
    draws = gibbs(GMM, part(2), rows, InferenceSpec(4, 4000, 500), 4, numbers=1)
    rng, S, psi = np.random.default_rng(1), 400_000, 2.0**-2.0
    prior = {
        "weights": rng.dirichlet(np.full(2, 4.0), S),
        "mean": rng.normal(size=(S, 2, 1)),
        "variance": stats.invgamma(1.5, scale=psi / 2).rvs((S, 2, 1), rng),
        "binary": rng.random((S, 2, 1)),
    }
    likelihood = gmm.log_density(prior, rows).sum(0)
    weight = np.exp(likelihood - likelihood.max())
    weight /= weight.sum()
    for own, quantity in (
        (draws.stats["log_likelihood"], likelihood),
        (draws.stats["sorted_weights"][..., 0], prior["weights"].max(1)),
        (draws.values["binary"].mean(2)[..., 0], prior["binary"].mean(1)[:, 0]),
    ):
        expected = (weight * quantity).sum()
        error = np.sqrt((weight**2 * (quantity - expected) ** 2).sum())
        assert abs(own.mean() - expected) < 4 * np.hypot(mcse(own), error)
