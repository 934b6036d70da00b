"""What is said of a customer: published scores, high precision, identities, simulation."""

import math

import mpmath as mp
import numpy as np
import pytest
from families_case import BETA_GEOMETRIC, GOLDEN, PURCHASE, THETA, draws, rows, summary
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesseg import clv
from bayesseg._types import Clock
from bayesseg.families import FAMILIES

WEEKS = 365.25 / 7


def clock(h, H=None, annual=0.1):
    return Clock(h, h if H is None else H, math.log1p(annual) / WEEKS)


def say(name, quantity, theta, columns, at):
    return FAMILIES[name].quantities[quantity].fn(theta, columns, at)


def one(name, quantity, theta, triple, at):
    return float(say(name, quantity, draws(name, theta), rows(triple), at)[0, 0])


def whole(name, theta, triple, at):
    """Every quantity of one customer, and those that P(alive) multiplies."""
    found = {q: one(name, q, theta, triple, at) for q in FAMILIES[name].quantities}
    A = found["p_alive"]
    return found | {
        "p_churn": clv.p_churn(A, found["silent"]),
        "expected_purchases": A * found["purchases_if_alive"],
        "discounted": A * found["discounted_purchases"],
        "residual": A * found["residual_purchases"],
    }


@pytest.mark.parametrize("row", GOLDEN["scores"]["rows"], ids=lambda r: f"{r['family']}-{r['x']}")
def test_scores_equal_forty_digit_arithmetic(row):
    at = clock(GOLDEN["scores"]["horizon"], annual=GOLDEN["scores"]["annual_discount"])
    theta = GOLDEN["scores"]["theta"][row["family"]]
    found = whole(row["family"], theta, (row["x"], row["t_x"], row["T"]), at)
    found["alive_later"] *= found["p_alive"]
    for name in (
        "p_alive",
        "alive_later",
        "p_churn",
        "expected_purchases",
        "discounted",
        "residual",
    ):
        assert found[name] == pytest.approx(row[name], rel=1e-9), name


@pytest.mark.parametrize(
    ("t", "expected"),
    [(1 / 7, 0.0078), (1, 0.0532), (3, 0.1506), (31.8571, 1.0405), (32, 1.0437), (78, 1.8576)],
)
def test_a_new_customer_buys_as_often_as_published(t, expected):
    theta = GOLDEN["maximum_likelihood"]["bgnbd"]["theta"]
    found = one("bgnbd", "purchases_if_alive", theta, (0, 0, 0), clock(t))
    assert found == pytest.approx(expected, abs=5e-4)


def test_a_new_customer_stays_away_as_often_as_published():
    """39 weeks without a repeat purchase, BG/NBD at its published parameters."""
    found = one("bgnbd", "silent", THETA["bgnbd"], (0, 0, 0), clock(39))
    assert found == pytest.approx(0.5737864, abs=1e-7)


@pytest.mark.parametrize("name", ["bgnbd", "paretonbd"])
def test_the_walkthrough_of_btyd_is_reproduced(name):
    expected, near = GOLDEN["walkthrough"][name], GOLDEN["walkthrough"]["tolerance"]

    def bought(triple):
        return whole(name, expected["theta"], triple, clock(52))["expected_purchases"]

    assert bought((0, 0, 0)) == pytest.approx(expected["new"], abs=near)
    assert bought(expected["customer"]) == pytest.approx(expected["purchases"], abs=near)
    found = [bought((x, 20, 39)) for x in (10, 15, 20, 25)]
    assert found == pytest.approx(expected["by_x"], abs=near)
    A = one(name, "p_alive", expected["theta"], expected["customer"], clock(1))
    assert pytest.approx(expected["p_alive"], abs=1e-5) == A


def test_pareto_p_alive_of_heavy_buyers_is_as_in_the_issue_of_clvtools():
    golden = GOLDEN["pareto_p_alive"]
    columns = {name: np.array(golden[name], dtype=float) for name in ("x", "t_x", "T")}
    found = say("paretonbd", "p_alive", draws("paretonbd", golden["theta"]), columns, clock(1))[0]
    assert found == pytest.approx(golden["p_alive"], rel=1e-10)


def test_purchases_beyond_anything_observed_stay_finite():
    """Both cases are infinite or NaN by the printed formula."""
    far = one(
        "bgnbd", "discounted_purchases", (0.5, 10, 0.8, 2.5), (300, 365, 365), Clock(1, 3650, 0)
    )
    assert far == pytest.approx(915.5808, rel=1e-7)
    limit = one("bgnbd", "discounted_purchases", (0.25, 4.4, 1, 2.4), (2, 38, 38), Clock(1, 39, 0))
    assert limit == pytest.approx(1.6554433345872, rel=1e-12)


def oracle(name, theta, x, T, horizon, delta):
    """∫ e^(-δt) F'(t) dt at 40 digits, F' as the papers have it, over v = ln(1 + t/scale)."""
    with mp.workdps(40):
        r, alpha, third, fourth = map(mp.mpf, theta)
        k, age = r + x, alpha + mp.mpf(T)
        scale = fourth + mp.mpf(T) if name == "paretonbd" else age
        a, b1 = third, fourth + (name == "mbgnbd")

        def rate(v):
            if name == "paretonbd":
                G = mp.exp(-third * v)
            else:
                z = 1 - mp.exp(-v)
                G = (1 - z) ** a * mp.hyp2f1(a, a + b1 - 1 - r, a + b1 + x, z)
            return k / age * scale * G * mp.exp(v - delta * scale * mp.expm1(v))

        width = mp.log1p(mp.mpf(horizon) / scale)
        edges = [0, width / 12, width / 4, width / 2, 3 * width / 4, width]
        return float(mp.quad(rate, edges, method="gauss-legendre", maxdegree=4))


HARD = [
    ("bgnbd", (0.25, 4.4, 0.8, 2.4), 0, 0.0),
    ("bgnbd", (0.25, 4.4, 1 - 1e-8, 2.4), 2, 38.0),
    ("mbgnbd", (0.25, 4.4, 1 + 1e-12, 2.4), 2, 38.0),
    ("mbgnbd", (0.6, 0.02, 0.02, 0.1), 1, 1 / 7),
    ("bgnbd", (4.0, 4.0, 0.5, 0.2), 0, 0.0),  # r above a + b: Euler's other form
    ("mbgnbd", (25.0, 1.6, 20.0, 0.5), 0, 0.0),  # and where the usual form would lose every digit
    ("bgnbd", (0.5, 6.0, 10.0, 15.0), 20, 100.0),
    ("mbgnbd", (0.5, 6.0, 0.9, 1.6), 5000, 800.0),
    ("mbgnbd", (0.5, 6.0, 0.9, 1.6), 0, 1e6),
    ("paretonbd", (0.55, 10.6, 0.6, 11.7), 0, 0.0),
    ("paretonbd", (0.55, 10.6, 1.0, 11.7), 2, 38.0),
    ("paretonbd", (0.55, 10.6, 1 + 1e-12, 11.7), 2, 38.0),
    ("paretonbd", (2.0, 5.0, 40.0, 0.1), 1, 1 / 7),
    ("paretonbd", (0.2, 1.0, 0.02, 0.05), 0, 0.0),
    ("paretonbd", (0.55, 10.6, 0.6, 10.6), 5000, 1e6),
]


@pytest.mark.parametrize(("name", "theta", "x", "T"), HARD)
def test_forecasts_hold_ten_digits_in_hard_corners(name, theta, x, T):
    at = clock(52, 520)
    found = whole(name, theta, (x, T * 0.9 if x else 0.0, T), at)
    expected = {
        "purchases_if_alive": oracle(name, theta, x, T, 52, 0),
        "discounted_purchases": oracle(name, theta, x, T, 520, at.discount),
        "residual_purchases": oracle(name, theta, x, T, 60 / at.discount, at.discount),
    }
    for quantity, value in expected.items():
        assert found[quantity] == pytest.approx(value, rel=1e-10), quantity


@pytest.mark.parametrize(("name", "theta", "x", "T"), HARD)
@pytest.mark.parametrize("h", [1 / 7, 39.0, 5200.0])
def test_chances_hold_ten_digits_in_hard_corners(name, theta, x, T, h):
    """P(alive), P(alive later) and P(silent) as printed, at 50 digits, silence included."""
    triple = (x, T * 0.9 if x else 0.0, T)
    with mp.workdps(50):
        r, alpha, third, fourth = map(mp.mpf, theta)
        k, last, end, later = r + x, mp.mpf(triple[1]), mp.mpf(T), mp.mpf(T) + mp.mpf(h)
        if name == "paretonbd":
            s, beta = third, fourth

            def here(t):
                return (alpha + t) ** -k * (beta + t) ** -s

            def gone(
                start, stop
            ):  # silent from start, dead before stop: s ∫ (α+u)^-k (β+u)^-(s+1) du
                def density(y):
                    u = start + mp.expm1(y) * (alpha + start)
                    return (alpha + u) ** (1 - k) * (beta + u) ** (-s - 1)

                width = mp.log((alpha + stop) / (alpha + start))
                near = min(width, 40 / k)
                edges = [0, *(near * mp.mpf(i) / 8 for i in range(1, 9))]
                edges += (
                    []
                    if near == width
                    else [near + (width - near) * mp.mpf(i) / 8 for i in range(1, 9)]
                )
                return s * mp.quad(density, edges)

            A = here(end) / (here(end) + (gone(last, end) if end > last else 0))
            silent = (here(later) + gone(end, later)) / here(end)
            still = ((beta + end) / (beta + later)) ** s
        else:
            a, b1 = third, fourth + (name == "mbgnbd")
            odds = a / (b1 + x - 1) * ((alpha + end) / (alpha + last)) ** k
            A = mp.mpf(1) if name == "bgnbd" and x == 0 else 1 / (1 + odds)
            silent = ((alpha + end) / (alpha + later)) ** k
            z = (later - end) / (alpha + later)
            still = (1 - z) ** a * mp.hyp2f1(a, a + b1 - r, a + b1 + x, z)
    found = whole(name, theta, triple, clock(h))
    assert found["p_alive"] == pytest.approx(float(A), rel=1e-10)
    assert found["silent"] == pytest.approx(float(silent), rel=1e-10)
    assert found["alive_later"] == pytest.approx(float(still), rel=1e-10)


@pytest.mark.parametrize("name", BETA_GEOMETRIC)
def test_residual_purchases_are_the_mean_of_rate_over_discount_and_loss(name):
    """DERT = E[λ/(δ+λp)], over λ by Tricomi's function: no horizon and no quadrature of ours in it."""
    from scipy import integrate, stats

    r, alpha, a, b = THETA[name]
    x, T, at = 3, 38.0, clock(52)
    p_law, k = stats.beta(a, b + (name == "mbgnbd") + x), r + x

    def mean(p):
        return k / p * float(mp.hyperu(1, 1 - k, at.discount * (alpha + T) / p))

    expected = integrate.quad(lambda p: p_law.pdf(p) * mean(p), 0, 1, epsrel=1e-10)[0]
    found = one(name, "residual_purchases", THETA[name], (x, 30.0, T), at)
    assert found == pytest.approx(expected, rel=1e-9)


def test_residual_purchases_of_pareto_are_the_function_of_tricomi():
    """DERT = k (β+T)/(α+T) U(1, 2-s, δ(β+T))."""
    theta, (x, T), at = THETA["paretonbd"], (3, 38.0), clock(52)
    r, alpha, s, beta = theta
    U = float(mp.hyperu(1, 2 - s, at.discount * (beta + T)))
    found = one("paretonbd", "residual_purchases", theta, (x, 30.0, T), at)
    assert found == pytest.approx((r + x) * (beta + T) / (alpha + T) * U, rel=1e-11)


@pytest.mark.parametrize("a", [0.02, 1 - 1e-8, 1.0, 1 + 1e-12, 10.0])
@pytest.mark.parametrize(("x", "T"), [(0, 20.0), (2, 38.0), (60, 50.0)])
def test_expected_purchases_are_the_mean_over_the_chance_of_leaving(a, x, T):
    """F(h) = E[(1 - (1 + p h/(α+T))^-(r+x))/p] over p ~ Beta(a, b1 + x), across a = 1."""
    from scipy import integrate, special

    r, alpha, b, h = 0.7, 6.0, 1.6, 39.0
    b1 = b + 1 + x

    def brought(p):
        share = h / (alpha + T)
        if p < 1e-12:
            return (r + x) * share
        return -math.expm1(-(r + x) * math.log1p(p * share)) / p

    mean, _ = integrate.quad(
        brought, 0, 1, weight="alg", wvar=(a - 1, b1 - 1), epsabs=0, epsrel=1e-11, limit=400
    )
    expected = mean / special.beta(a, b1)
    found = one("mbgnbd", "discounted_purchases", (r, alpha, a, b), (x, T / 2, T), Clock(h, h, 0.0))
    assert found == pytest.approx(expected, rel=1e-9)


parameters = st.tuples(
    st.floats(0.05, 5), st.floats(0.05, 50), st.floats(0.02, 10), st.floats(0.02, 10)
)
histories = st.tuples(st.integers(0, 60), st.floats(0, 1), st.floats(0, 300)).map(
    lambda h: (h[0] * (h[1] * h[2] > 0), h[1] * h[2] if h[0] else 0.0, h[2])
)


@given(parameters, histories, st.floats(0.1, 400), st.sampled_from(PURCHASE))
@settings(max_examples=60, deadline=None)
def test_identities_hold_for_any_customer(theta, triple, h, name):
    zero, now = (whole(name, theta, triple, clock(v)) for v in (0.0, h))
    then, flat = (
        whole(name, theta, triple, clock(2 * h)),
        whole(name, theta, triple, Clock(h, h, 0.0)),
    )
    for chance in ("p_alive", "alive_later", "silent", "overdue", "p_churn"):
        assert 0 <= now[chance] <= 1, chance
    assert 1 - now["p_alive"] - 1e-12 <= now["p_churn"]
    for fading in ("p_churn", "silent", "alive_later"):
        assert then[fading] <= now[fading] + 1e-12
    assert zero["purchases_if_alive"] == 0
    assert zero["silent"] == pytest.approx(1, abs=1e-14)
    assert zero["alive_later"] == pytest.approx(1, abs=1e-14)
    assert now["purchases_if_alive"] <= then["purchases_if_alive"] * (1 + 1e-12)
    assert flat["discounted_purchases"] == pytest.approx(now["purchases_if_alive"], rel=1e-12)
    D = now["discounted_purchases"]
    assert flat["discounted_purchases"] * (1 + 1e-12) >= D
    assert now["stayed_purchases"] * (1 + 1e-9) >= D
    assert now["residual_purchases"] * (1 + 1e-9) >= D
    # Markov's inequality: as many purchases as there is a chance of one
    assert now["purchases_if_alive"] * (1 + 1e-9) >= 1 - now["silent"] - 1e-12
    assert now["typical_gap"] == pytest.approx((theta[1] + triple[2]) / (theta[0] + triple[0]))


@given(parameters, histories, st.sampled_from(PURCHASE))
@settings(max_examples=40, deadline=None)
def test_days_instead_of_weeks_change_no_quantity_but_time(theta, triple, name):
    r, alpha, third, fourth = theta
    x, t_x, T = triple
    times = 7 if name == "paretonbd" else 1
    weekly = draws(name, theta), rows(triple), Clock(13, 52, 0.002)
    daily = (
        draws(name, (r, alpha * 7, third, fourth * times)),
        rows((x, t_x * 7, T * 7)),
        Clock(91, 364, 0.002 / 7),
    )
    for quantity in FAMILIES[name].quantities:
        times = 7 if quantity == "typical_gap" else 1
        expected = say(name, quantity, *weekly) * times
        np.testing.assert_allclose(say(name, quantity, *daily), expected, rtol=1e-10)


@pytest.mark.parametrize("name", PURCHASE)
def test_p_alive_falls_with_silence_and_survives_any_history(name):
    T = np.array([10.0, 20, 100, 1e4, 1e6])
    for x in (0, 1, 1000, 5000):
        columns = {"x": np.full(5, float(x)), "t_x": np.full(5, 10.0 * (x > 0)), "T": T}
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            A = say(name, "p_alive", draws(name, THETA[name]), columns, clock(1))[0]
        assert ((A >= 0) & (A <= 1)).all()
        assert (np.diff(A) <= 0).all()
    assert A[-1] == 0.0


def test_without_discount_there_is_no_endless_value():
    assert math.isnan(
        one("mbgnbd", "residual_purchases", THETA["mbgnbd"], (1, 2, 9), Clock(1, 1, 0))
    )
    stayed = one("mbgnbd", "stayed_purchases", THETA["mbgnbd"], (1, 2.0, 9.0), Clock(13, 52, 0.0))
    assert stayed == pytest.approx((0.525 + 1) / (6.183 + 9) * 52, rel=1e-14)


def test_spend_of_the_first_customers_is_as_published(cdnow_sample):
    theta = draws("gammagamma", (6.24957, 3.74422, 15.44352))
    columns = summary(cdnow_sample)
    found = say("gammagamma", "expected_spend", theta, columns, clock(1))[0]
    assert found[:3] == pytest.approx([24.6539, 18.9100, 35.1704], abs=2e-4)
    assert found.mean() == pytest.approx(35.2523, abs=2e-3)


def test_spend_has_no_mean_where_tails_are_too_heavy():
    """lifetimes prints a negative value here."""
    theta = draws("gammagamma", (2.0, 0.455, 5.0))
    columns = {"n": np.array([0.0, 1.0]), "S": np.array([0.0, 30.0])}
    found = say("gammagamma", "expected_spend", theta, columns, clock(1))[0]
    assert math.isnan(found[0])
    assert found[1] == pytest.approx(2 * 35 / (2 + 0.455 - 1))
