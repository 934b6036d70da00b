"""Gibbs against NUTS on the marginal mixture: one posterior, two engines that share no code."""

import numpy as np
import pytest

from bayesseg.errors import UsageError
from bayesseg.families import FAMILIES, gmm
from bayesseg.inference import mixing, modes
from bayesseg.inference.gibbs import gibbs
from bayesseg.priors import Prior
from bayesseg.spec import InferenceSpec, PartSpec


def part(covariance: str, df: float | None = None) -> PartSpec:
    """``covariance`` "given" is full, with means that spread like their covariance."""
    priors = {
        "weights": Prior("Dirichlet", {"concentration": 4.0}),
        "mean": Prior("NormalGivenCovariance", {"mean": 0.0, "kappa": 0.2})
        if covariance == "given"
        else Prior("Normal", {"mean": 0.0, "sd": 1.0}),
        "covariance": Prior("InverseWishart", {"extra_df": 2.0, "scale": "auto"}),
    }
    tails = {"tails": "normal"} if df is None else {"tails": "t", "df": df}
    kind = "full" if covariance == "given" else covariance
    options = {"components": 2, "covariance": kind, "missing": "model"}
    return PartSpec("gmm", "gibbs", priors, options | tails)


def clouds() -> np.ndarray:
    rng = np.random.default_rng(3)
    z = rng.random(100) < 0.35
    turn = np.array([[0.6, 0.3], [0.0, 0.5]])
    return np.where(z[:, None], 1.6, -0.9) + 0.7 * rng.standard_t(6, (100, 2)) @ turn


@pytest.mark.slow
@pytest.mark.parametrize(
    ("covariance", "df"),
    [
        ("full", None),
        ("tied", None),
        ("diag", None),
        ("spherical", None),
        ("full", 5.0),
        ("given", 5.0),
    ],
)
def test_both_engines_give_the_same_posterior(covariance, df):
    from bayesseg.inference.marginal import marginal

    rows, own = clouds(), part(covariance, df)
    ours = gibbs(FAMILIES["gmm"], own, rows, InferenceSpec(4, 1000, 200), 1, numbers=2)
    found = modes.find_modes(gmm.plan(own, 2, 0), rows, np.random.default_rng(0))
    order = np.argsort(-found.theta["weights"][0])
    start = {name: values[0][order] for name, values in found.theta.items()}
    theirs = marginal(own, rows, InferenceSpec(4, 500, 300), 2, start, target=0.95)
    assert theirs.stats["diverging"].sum() == 0
    for name, values in theirs.values.items():
        for index in np.ndindex(values.shape[2:]):
            a, b = ours.values[name][(..., *index)], values[(..., *index)]
            for one, other in ((a, b), (np.log(a**2), np.log(b**2))):  # locations, then spreads
                errors = [x.std() / np.sqrt(mixing.ess(x[..., None])[0]) for x in (one, other)]
                assert abs(one.mean() - other.mean()) < 4 * np.hypot(*errors), (name, index)


def test_the_reference_refuses_what_it_does_not_cover():
    from bayesseg.inference.marginal import marginal, model

    with pytest.raises(UsageError, match="complete number features"):
        marginal(part("diag"), np.array([[np.nan], [1.0]]), InferenceSpec(1, 1, 1), 0, {})
    with pytest.raises(UsageError, match="fixed df"):
        model(part("diag", "learn"), np.zeros((3, 1)))
