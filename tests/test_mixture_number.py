"""A number of components that is drawn: partitions, exact enumeration, the joint law, real fits."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy import integrate, special, stats

from bayesseg._types import Draws
from bayesseg.errors import UsageError
from bayesseg.families import FAMILIES, _blocks, _number, gmm
from bayesseg.gates.judge import Subject
from bayesseg.gates.mixture import mixture
from bayesseg.inference import mixing, sweep, telescope
from bayesseg.inference.gibbs import gibbs
from bayesseg.inference.modes import rand_index
from bayesseg.priors import Prior
from bayesseg.spec import InferenceSpec, PartSpec, load_spec, parse_spec

GMM = FAMILIES["gmm"]
OF_NUMBER = {"size": 1.0, "alpha": 4.0, "beta": 3.0}
OF_ALPHA = {"numerator": 6.0, "denominator": 3.0}


def part(most: int, covariance: str = "diag", scale: float | str = 0.3, **options) -> PartSpec:
    priors = {
        "weights": Prior("Dirichlet", {"concentration": 4.0}),
        "mean": Prior("Normal", {"mean": 0.0, "sd": 1.0}),
        "covariance": Prior("InverseWishart", {"extra_df": 2.0, "scale": scale}),
        "binary": Prior("Beta", {"alpha": 1.0, "beta": 1.0}),
        "number": Prior("BetaNegativeBinomial", OF_NUMBER),
        "alpha": Prior("F", OF_ALPHA),
    }
    own = {"components": "mfm", "most": most, "covariance": covariance, "missing": "model"}
    return PartSpec("gmm", "gibbs", priors, own | options)


def partitions(n: int):
    """All partitions of n rows, as labels numbered by first appearance."""
    for labels in product(range(n), repeat=n):
        if all(z <= max(labels[:i], default=-1) + 1 for i, z in enumerate(labels)):
            yield np.array(labels)


@pytest.mark.parametrize("alpha", [0.3, 2.0])
def test_partitions_of_six_rows_have_probability_one_in_all(alpha: float) -> None:
    sizes = np.array([np.bincount(z, minlength=6) for z in partitions(6)], dtype=float)
    assert len(sizes) == 203
    total = np.exp(_number.log_partition(sizes, np.full(203, alpha), 9)).sum(0)
    np.testing.assert_allclose(total, 1.0, rtol=1e-12)


def test_the_prior_of_the_number_is_scipys_and_has_mean_two() -> None:
    own = _number.number(2000, OF_NUMBER, OF_ALPHA)
    expected = stats.betanbinom(1, 4, 3).logpmf(np.arange(2000))
    np.testing.assert_allclose(own.log_prior, expected, atol=1e-6)
    assert np.exp(own.log_prior) @ np.arange(1, 2001) == pytest.approx(2.0, rel=1e-3)


def test_the_number_of_segments_agrees_with_the_sum_over_all_partitions() -> None:
    """One yes-or-no column: the likelihood of a partition is a product of Beta functions."""
    x, most = np.array([1.0, 1.0, 1.0, 0.0, 0.0]), 4
    own = _number.number(most, OF_NUMBER, OF_ALPHA)
    groups = list(partitions(5))
    sizes = np.array([np.bincount(z, minlength=5) for z in groups], dtype=float)
    yes = np.array([np.bincount(z, weights=x, minlength=5) for z in groups])
    likelihood = np.exp(special.betaln(1 + yes, 1 + sizes - yes).sum(1))

    def prior(log_alpha: float) -> np.ndarray:
        alpha = np.exp(log_alpha)
        logs = _number.log_partition(sizes, np.full(len(sizes), alpha), most) + own.log_prior
        return np.exp(logs).sum(1) * stats.f(6, 3).pdf(alpha) * alpha

    weight = integrate.quad_vec(prior, -12.0, 12.0)[0] * likelihood
    weight /= weight.sum()
    filled = (sizes > 0).sum(1)
    draws = gibbs(GMM, part(most), x[:, None], InferenceSpec(4, 1500, 200), 2, numbers=0)
    for count in range(1, most + 1):
        sample = (draws.stats["filled"] == count).astype(float)
        error = sample.std() / np.sqrt(mixing.ess(sample[..., None])[0])
        assert abs(sample.mean() - weight[filled == count].sum()) < 4 * error, count
    said = draws.info["chosen"]
    assert said["components"] == np.bincount(filled, weights=weight).argmax()
    assert sum(said["distribution"].values()) == pytest.approx(1.0)


def seen(theta: dict[str, np.ndarray]) -> tuple[float, ...]:
    """Components, alpha, sum of their means, largest weight."""
    there = theta["weights"][0] > 0
    return there.sum(), theta["alpha"][0], theta["mean"][0, there].sum(), theta["weights"].max()


@pytest.mark.parametrize(("covariance", "held"), [("diag", 0), ("tied", 0), ("diag", 2)])
def test_sweeps_leave_the_joint_law_alone(covariance: str, held: int) -> None:
    """Number, alpha, parameters from the prior, rows from them, then sweeps: still the prior.

    ``held`` components hold rows: then only truths are taken in which so many do.
    """
    rng = np.random.default_rng(4)
    S, n, most, D = 400, 6, 5, 2
    own = gmm.plan(part(most, covariance), D, 0)
    chances = np.exp(own.number.log_prior)
    before, after = [], []
    while len(after) < S:
        alpha, K = stats.f(6, 3).rvs(random_state=rng), rng.choice(most, p=chances) + 1
        theta = {"weights": np.zeros((1, most)), "mean": rng.normal(size=(1, most, D))}
        theta["weights"][0, :K] = rng.dirichlet(np.full(K, alpha / K))
        if covariance == "tied":
            drawn = stats.invwishart(D + 2, 0.3 * np.eye(D)).rvs(random_state=rng)
            theta["covariance"] = np.broadcast_to(drawn, (1, most, D, D)).copy()
        else:
            theta["variance"] = stats.invgamma(1.5, scale=0.15).rvs((1, most, D), random_state=rng)
        rows, z = gmm.simulate({name: v[0] for name, v in theta.items()}, n, rng)
        there = np.unique(z)
        if held:
            if len(there) != held:
                continue
            theta = {name: values[:, there] for name, values in theta.items()}
            theta["weights"] /= theta["weights"].sum()
        theta |= {"alpha": np.array([alpha])} | ({} if held else {"filled": np.zeros(1)})
        before.append((*seen(theta), len(there)))
        plan = replace(own, components=held, held=True) if held else own
        run = sweep.Run(
            plan, rows, _blocks.split(own.blocks, rows), len(after), 7919 * len(after), 1, map
        )
        for i in range(6):
            theta, *_ = sweep.step(run, theta, i)
        after.append((*seen(theta), theta.get("filled", [held])[0]))
    for one, other in zip(np.array(before).T, np.array(after).T, strict=True):
        assert stats.ks_2samp(one, other).pvalue > 1e-3
    moved = np.array(before) != np.array(after)
    assert (moved[:, :4].mean(0) > ([-1, 0.5, 0.5, 0.5] if held else [0.2, 0.5, 0.5, 0.2])).all()


def test_clear_segments_are_counted_and_tables_are_of_their_number() -> None:
    rng = np.random.default_rng(0)
    z = rng.choice(3, 600, p=[0.5, 0.3, 0.2])
    rows = np.array([[-1.2, 0.0], [0.8, 1.0], [1.0, -1.2]])[z] + 0.3 * rng.normal(size=(600, 2))
    draws = gibbs(GMM, part(8), rows, InferenceSpec(4, 250, 500), 1, numbers=2)
    said = draws.info["chosen"]
    assert (said["components"], draws.values["mean"].shape[2]) == (3, 3)
    assert said["share"] == (draws.stats["filled"] == 3).mean() > 0.5
    assert all(said[name] <= limit for name, limit in said["limits"].items())
    assert draws.info["mixing"]["ess"] > 400
    np.testing.assert_allclose(draws.values["weights"].sum(2), 1.0)
    assert draws.info["modes"]["distinct_between_chains"] == 1
    flat = {k: v.reshape(-1, *v.shape[2:])[::10] for k, v in draws.values.items()}
    assert rand_index(gmm.responsibilities(flat, rows).mean(1).argmax(1), z) > 0.95


def test_a_spread_that_follows_the_number_is_refused() -> None:
    with pytest.raises(UsageError, match="leaves open"):
        gmm.plan(part(5, scale="auto"), 2, 0)


def test_a_number_at_its_limit_is_said() -> None:
    filled = np.tile([[2.0, 3.0, 3.0], [3.0, 3.0, 2.0]], 20)
    assert "so give a larger most" in telescope._said(filled, 3)["words"][1]
    assert telescope._said(filled, 4)["words"][1] == "numbers drawn: 2 (33%), 3 (67%)"


def test_chains_that_disagree_on_the_number_are_judged() -> None:
    together = np.random.default_rng(0).choice([2.0, 3.0], (4, 200))
    apart = together.copy()
    apart[3] += 1.0
    for filled, most, failed in (
        (together, 5, set()),
        (np.minimum(together + 1, 3), 3, {"number_inside"}),
        (apart, 5, {"number_agreement"}),
    ):
        said = telescope._said(filled, most)
        draws = Draws({}, {}, {"chosen": said})
        checks = mixture(Subject("segments", part(most), InferenceSpec(4, 1, 1), draws, {}))
        assert {c.name for c in checks if c.name.startswith("number") and not c.passed} == failed


def test_a_model_file_asks_for_a_drawn_number_and_says_what_it_needs() -> None:
    text = load_spec("segments").text
    text = text.replace("components = 2 ", 'components = "mfm"\nmost = 9\n').replace(
        'scale = "auto" }',
        """scale = 0.5 }
        number = { dist = "BetaNegativeBinomial", size = 1.0, alpha = 4.0, beta = 3.0 }
        alpha = { dist = "F", numerator = 6.0, denominator = 3.0 }""",
    )
    own = gmm.plan(parse_spec(text).parts["segments"], 2, 0)
    assert (own.components, len(own.number.log_prior)) == (9, 9)
    for cut, said in (
        ("most = 9", r"segments\.most is missing.*needs it"),
        ('alpha = { dist = "F", numerator = 6.0, denominator = 3.0 }', "priors.alpha is missing"),
    ):
        with pytest.raises(UsageError, match=said):
            parse_spec(text.replace(cut, ""))
    with pytest.raises(UsageError, match=r"segments\.most is for components"):
        parse_spec(text.replace('"mfm"', "3"))


@pytest.mark.slow
def test_iris_has_two_groups_and_says_how_surely() -> None:
    """Correlated normals see the two touching species as one group (BIC: 2 as well)."""
    from sklearn import datasets

    rows = datasets.load_iris().data
    rows = (rows - rows.mean(0)) / rows.std(0)
    own = part(10, "full", scale=3.0**-0.5)
    draws = gibbs(GMM, own, rows, InferenceSpec(4, 1000, 1000), 1, numbers=4)
    said = draws.info["chosen"]
    assert (said["components"], draws.values["mean"].shape[2]) == (2, 2)
    assert said["share"] > 0.9
    subject = Subject("segments", own, InferenceSpec(4, 1000, 1000), draws, {})
    assert [c.name for c in mixture(subject) if not c.passed] == []
    assert draws.info["mixing"]["ess"] > 400
