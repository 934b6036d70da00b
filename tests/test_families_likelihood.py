"""Kernels: the published digits, the PyTensor reference, exact gradients, weights."""

import subprocess
import sys

import mpmath as mp
import numpy as np
import pytest
from families_case import GOLDEN, NAMES, PURCHASE, part_of, scales, summary
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesseg.errors import InputRejected
from bayesseg.families import FAMILIES
from bayesseg.inference.map import maximum
from bayesseg.priors import quantile_of


@pytest.fixture(scope="module")
def cdnow(cdnow_sample):
    return summary(cdnow_sample)


def evaluate(name, theta, columns):
    family = FAMILIES[name]
    return family.kernel(np.array(theta, dtype=float), *family.tabulate(columns).arrays.values())


def random_customers(rng, size=300):
    x = np.floor(rng.gamma(0.6, 6.0, size)).clip(max=250)
    T = rng.uniform(1, 120, size)
    t_x = np.where(x > 0, T * rng.random(size), 0.0)
    n = np.minimum(x, np.floor(rng.gamma(1, 5, size)))
    S = np.where(n > 0, rng.gamma(3, 20, size) * np.maximum(n, 1), 0.0)
    return {"x": x, "t_x": t_x, "T": T, "n": n, "S": S}


@pytest.fixture(scope="module")
def cdnow_full(cdnow_master):
    return summary(cdnow_master, skip=1)


@pytest.mark.parametrize("name", NAMES)
def test_the_sample_has_the_published_log_likelihood(name, cdnow):
    expected = GOLDEN["maximum_likelihood"][name]
    value, gradient = evaluate(name, expected["theta"], cdnow)
    assert value == pytest.approx(expected["log_likelihood"], abs=1e-5)
    assert np.abs(gradient * expected["theta"]).max() < 0.02


@pytest.mark.parametrize("name", NAMES)
def test_maximum_likelihood_on_the_sample_is_as_published(name, cdnow):
    """CLVTools and lifetimes, parameters to 1e-4, the log-likelihood to 1e-5."""
    family, expected = FAMILIES[name], GOLDEN["maximum_likelihood"][name]
    theta, value = maximum(family, None, family.tabulate(cdnow), scales(cdnow))
    assert list(theta.values()) == pytest.approx(expected["theta"], rel=1e-4)
    assert value == pytest.approx(expected["log_likelihood"], abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_maximum_likelihood_on_all_of_cdnow_is_as_published(name, cdnow_full):
    family, expected = FAMILIES[name], GOLDEN["maximum_likelihood_full"][name]
    theta, value = maximum(family, None, family.tabulate(cdnow_full), scales(cdnow_full))
    assert list(theta.values()) == pytest.approx(expected["theta"], rel=1e-4)
    assert value == pytest.approx(expected["log_likelihood"], abs=1e-3)


@pytest.mark.parametrize("name", ["bgnbd", "paretonbd"])
def test_standard_errors_on_the_sample_are_as_published(name, cdnow):
    """From the curvature of the log-likelihood in textbook parameters."""
    theta = np.array(GOLDEN["maximum_likelihood"][name]["theta"])
    steps = 1e-4 * theta
    rows = [
        (evaluate(name, theta + d, cdnow)[1] - evaluate(name, theta - d, cdnow)[1]) / (2 * d.max())
        for d in np.diag(steps)
    ]
    found = np.sqrt(np.diag(np.linalg.inv(-np.array(rows))))
    assert found == pytest.approx(GOLDEN["standard_errors"][name], rel=1e-3)


def test_a_one_time_buyer_and_a_heavy_one_have_the_published_log_likelihood():
    theta = (0.25, 4.0, 0.8, 2.5)
    one = {"x": np.array([0.0]), "t_x": np.array([0.0]), "T": np.array([40.0])}
    heavy = {"x": np.array([200.0]), "t_x": np.array([38.0]), "T": np.array([40.0])}
    assert evaluate("bgnbd", theta, one)[0] == pytest.approx(-0.59947382, abs=1e-8)
    assert evaluate("bgnbd", theta, heavy)[0] == pytest.approx(100.795693, abs=1e-6)


@pytest.mark.parametrize("name", PURCHASE)
def test_a_customer_never_watched_has_log_likelihood_zero(name):
    """Without exposure the history says nothing: both ways of having no purchase add up to 1."""
    new = {"x": np.zeros(1), "t_x": np.zeros(1), "T": np.zeros(1)}
    assert evaluate(name, (0.5, 6.0, 0.9, 1.6), new)[0] == pytest.approx(0.0, abs=1e-14)


def exact(name, theta, x, t_x, T):
    """Log-likelihood of one customer as printed, in the working precision of mpmath."""
    r, alpha, third, fourth = theta
    k = r + x
    value = mp.loggamma(k) - mp.loggamma(r) + r * mp.log(alpha)
    if name == "paretonbd":
        s, beta = third, fourth

        def integral(A, B, y):
            if alpha < beta:  # the larger scale first
                return integral_of(B, A, beta, alpha, y)
            return integral_of(A, B, alpha, beta, y)

        def integral_of(A, B, a, b, y):
            F = mp.hyp2f1(1, A, A + B, (a - b) / (a + y))
            return (a + y) ** -A * (b + y) ** (1 - B) / (A + B - 1) * F

        both = k * integral(k + 1, s, T) + s * integral(k, s + 1, t_x)
        return value + s * mp.log(beta) + mp.log(both)
    a, b = third, fourth
    b1 = b + (name == "mbgnbd")
    # as gammas: a beta function of such arguments takes mpmath for ever
    value += mp.loggamma(b1 + x) + mp.loggamma(a + b) - mp.loggamma(b) - mp.loggamma(a + b1 + x)
    either = mp.power(alpha + T, -k)
    if name == "mbgnbd" or x > 0:
        either += mp.power(alpha + t_x, -k) * a / (b1 + x - 1)
    return value + mp.log(either)


CASES = [(0, 0.0, 1e6), (5000, 3.0, 3.0), (5000, 10.0, 1e6), (1, 1e-3, 1e6), (300, 40.0, 40.5)]
THETAS = [(0.25, 4.4, 0.8, 2.4), (20.0, 0.01, 50.0, 1e-2), (1e-2, 900, 1, 1), (0.6, 7.0, 1.0, 7.0)]


@pytest.mark.parametrize("name", PURCHASE)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("theta", THETAS)
def test_hard_corners_equal_fifty_digit_arithmetic(name, case, theta):
    with mp.workdps(50):
        expected = exact(name, [mp.mpf(v) for v in theta], *map(mp.mpf, case))
    columns = dict(zip(("x", "t_x", "T"), np.array(case, dtype=float)[:, None], strict=True))
    value, gradient = evaluate(name, theta, columns)
    assert value == pytest.approx(float(expected), rel=1e-10, abs=1e-10)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", PURCHASE)
@pytest.mark.parametrize(
    "case", [(0, 0.0, 1e3), (2, 30.0, 39.0), (300, 39.0, 40.0), (40, 2.0, 90.0)]
)
@pytest.mark.parametrize("theta", [*THETAS, (0.55, 10.6, 0.6, 11.7), (3.0, 2.0, 9.0, 90.0)])
def test_gradients_equal_differences_in_fifty_digits(name, case, theta):
    columns = dict(zip(("x", "t_x", "T"), np.array(case, dtype=float)[:, None], strict=True))
    _, gradient = evaluate(name, theta, columns)
    with mp.workdps(50):
        point, step = [mp.mpf(v) for v in theta], mp.mpf("1e-15")
        for i, found in enumerate(gradient):
            either = [[*point[:i], point[i] * (1 + d), *point[i + 1 :]] for d in (step, -step)]
            up, down = (exact(name, v, *map(mp.mpf, case)) for v in either)
            expected = float((up - down) / (2 * step * point[i]))
            size = max(1.0, float(np.abs(gradient * theta).max())) / theta[i]
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-11 * size), i


@given(st.lists(st.floats(0.05, 20), min_size=4, max_size=4), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_days_instead_of_weeks_scale_times_and_shift_the_likelihood(theta, seed):
    columns = random_customers(np.random.default_rng(seed), 40)
    days = columns | {n: columns[n] * 7 for n in ("t_x", "T")}
    r, alpha, third, fourth = theta
    for name in PURCHASE:
        weekly, _ = evaluate(name, theta, columns)
        scale = 7 if name == "paretonbd" else 1
        daily, _ = evaluate(name, (r, alpha * 7, third, fourth * scale), days)
        assert daily + columns["x"].sum() * np.log(7) == pytest.approx(weekly, rel=1e-10, abs=1e-9)


@given(st.lists(st.floats(0.1, 30), min_size=3, max_size=3), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_cents_instead_of_euros_scale_v_only(theta, seed):
    p, q, v = theta
    columns = random_customers(np.random.default_rng(seed), 40)
    cents = columns | {"S": columns["S"] * 100}
    kept = ((columns["n"] > 0) & (columns["S"] > 0)).sum()
    euro, _ = evaluate("gammagamma", (p, q, v), columns)
    cent, _ = evaluate("gammagamma", (p, q, v * 100), cents)
    assert cent + kept * np.log(100) == pytest.approx(euro, rel=1e-10, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_shipped_priors_do_not_fight_the_published_fits(name, cdnow):
    """Prior quantiles of the maximum-likelihood values, frozen: no prior default drifts unseen."""
    family, part = FAMILIES[name], part_of(name)
    theta = dict(zip(family.textbook, GOLDEN["maximum_likelihood"][name]["theta"], strict=True))
    free = family.underive(theta)
    found = [quantile_of(part.priors[n], free[n], scales(cdnow)) for n in part.priors]
    assert found == pytest.approx(GOLDEN["prior_quantiles_at_maximum_likelihood"][name], abs=0.002)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_that_are_not_numbers_give_nan_and_no_exception(name):
    theta = np.full(len(FAMILIES[name].textbook), np.nan)
    value, gradient = evaluate(name, theta, random_customers(np.random.default_rng(0), 20))
    assert np.isnan(value)
    assert np.isnan(gradient).any()


def test_spend_without_any_paid_repeat_purchase_is_refused():
    with pytest.raises(InputRejected, match="positive amount"):
        FAMILIES["gammagamma"].tabulate({"n": np.zeros(3), "S": np.zeros(3)})


def test_families_import_neither_pymc_nor_pytensor():
    code = "import sys, bayesseg.families; print(sorted({'pymc', 'pytensor', 'arviz'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("ratio", [1e-8, 1e-5, 1e-2, 1 / 33, 1 / 31, 33, 1e2, 1e5, 1e8])
@pytest.mark.parametrize(
    ("k", "s"), [(0.3, 0.2), (2.6, 0.1), (1.0, 1.0), (25.2, 8.0), (900.0, 0.5)]
)
def test_dying_is_exact_where_alpha_and_beta_differ_by_far(k, s, ratio):
    """κ = s/(k+s) 2F1(1, k; k+s+1; 1 - β/α) at t = 0, and its slope in k, against 40 digits."""
    from bayesseg.families.paretonbd import dying

    def exact(k):
        z = 1 - mp.mpf(ratio)
        if z >= 0:
            return s / (k + s) * mp.hyp2f1(1, k, k + s + 1, z)
        z = 1 - 1 / mp.mpf(ratio)  # Pfaff's transformation: the series wants 0 <= z < 1
        return s / (k + s) * (1 - z) * mp.hyp2f1(1, s + 1, k + s + 1, z)

    with mp.workdps(40):
        wanted, slope = exact(mp.mpf(k)), mp.diff(exact, mp.mpf(k))
    value, d_k, *_ = dying(k, s, 3.0, 3.0 * ratio, 0.0)
    assert value == pytest.approx(float(wanted), rel=1e-11)
    assert d_k == pytest.approx(float(slope), rel=1e-9)
