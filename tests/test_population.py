"""Covariates and cohorts: groups of customers with parameters of their own, outside the families."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from bayesseg import gates, population
from bayesseg._types import Check, Draws, Table
from bayesseg.customers import Attributes, Customers
from bayesseg.errors import InputRejected
from bayesseg.families import FAMILIES
from bayesseg.fitting import fit
from bayesseg.inference.laplace import laplace, shortfall
from bayesseg.inference.map import posed, vectors
from bayesseg.inference.nuts import nuts
from bayesseg.inference.op import FusedLogLik, pack
from bayesseg.posterior import load, save
from bayesseg.priors import scales_of
from bayesseg.spec import InferenceSpec, ModelSpec, load_spec, parse_spec

THETA = {"r": 0.5, "alpha": 6.0, "a": 0.9, "b": 1.6}
COVARIATES = """
[purchase.covariates]
rate    = ["channel", "age"]
dropout = ["channel"]
effect  = { dist = "Normal", mean = 0.0, sd = 0.5 }
"""
COHORTS = """
[purchase.cohorts]
by     = "quarter"
early  = "2024-01-31"
spread = { dist = "HalfNormal", sd = 0.5 }
apart  = { dist = "Normal", mean = 0.0, sd = 1.0 }
"""
LONG = InferenceSpec(chains=4, draws=1000, tune=1000)
AS_OF = date(2025, 6, 30)


def model(*tables: str, name: str = "bgnbd") -> ModelSpec:
    return parse_spec(load_spec(name).text.replace("[spend]", "\n".join((*tables, "[spend]"))))


def simulated(
    theta: list[Mapping[str, float]], group: np.ndarray, t_end: np.ndarray, **columns: np.ndarray
) -> Customers:
    """Customers of an MBG/NBD by the day, each with the weekly parameters of its group."""
    rng = np.random.default_rng(5)
    n = len(group)
    x, t_x = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    for g, own in enumerate(theta):
        here = np.flatnonzero(group == g)
        daily = {**own, "alpha": own["alpha"] * 7}
        exposure = {"T": t_end[here].astype(float)}
        found = FAMILIES["mbgnbd"].simulate(daily, exposure, rng)
        t_x[here] = np.minimum(np.ceil(found["t_x"]), t_end[here])
        x[here] = np.minimum(found["x"], t_x[here])
    t_x[x == 0] = 0
    spend = np.where(x > 0, np.round(rng.gamma(6.0, 4.0, n) * x, 2), 0.0)
    ids = np.array([f"c{i}" for i in range(n)], dtype=object)
    return Customers(
        ids,
        x,
        t_x,
        t_end,
        x_paid=x,
        repeat_spend=spend,
        first_spend=np.full(n, 20.0),
        n_orders=x + 1,
        as_of=AS_OF,
        attributes=Attributes(ids, columns),
    )


@pytest.fixture(scope="module")
def shop() -> Customers:
    """Two channels: those by app buy 1.8 times as often and have half the odds of leaving."""
    rng = np.random.default_rng(1)
    n = 6000
    channel = rng.choice(["web", "app"], n, p=[0.6, 0.4])
    better = {**THETA, "alpha": THETA["alpha"] / 1.8, "a": 0.9 / 2.5 / (0.36 + 2 * 0.64) * 2.5}
    better["b"] = 2.5 - better["a"]
    t_end = rng.integers(60, 540, n)
    age = np.where(rng.random(n) < 0.01, np.nan, rng.normal(45, 12, n))
    group = (channel == "app").astype(int)
    return simulated([THETA, better], group, t_end, channel=channel.astype(object), age=age)


@pytest.fixture(scope="module")
def linked(shop):
    spec = model(COVARIATES, COHORTS, name="bgnbd")
    part = spec.parts["purchase"]
    state = population.learn(part, shop)
    return part, state, population.likelihood(part, state, shop, 7.0)


def test_offsets_under_their_prior_alone_are_proposed_without_a_funnel():
    """No data: spreads are half-normal and offsets standard normal, whatever the spread."""
    part = model(COHORTS.replace('"2024-01-31"', '"none"')).parts["purchase"]
    state = {"covariates": [], "cohorts": ["a", "b", "c"], "early": None, "present": [0, 1, 2]}
    family, own = population.linked(part, state)
    family = replace(family, kernel=lambda theta: (0.0, np.zeros(12)))
    draws = laplace(family, own, Table({}, 3, 3, 3), {"mean_window": 30.0}, LONG, 1)
    assert shortfall(draws.info) is None
    spread = draws.values["rate[cohort spread]"].ravel()
    assert np.quantile(spread, [0.1, 0.5, 0.9]) == pytest.approx(
        0.5 * np.array([0.1257, 0.6745, 1.6449]), rel=0.05
    )
    for offset in ("rate[cohort a]", "dropout[cohort c]"):
        z = draws.values[offset].ravel()
        assert (z.mean(), z.std()) == pytest.approx((0.0, 1.0), abs=0.05)
        assert abs(np.corrcoef(np.abs(z), spread)[0, 1]) < 0.06


def free_at(family, rng, *, zero: bool) -> dict[str, np.ndarray]:
    plain = FAMILIES[family.name]
    own = {name: np.array([value]) for name, value in plain.underive(THETA).items()}
    extra = [p for p in family.params if p.name not in own]
    effects = {p.name: np.zeros(1) if zero else rng.normal(0, 0.3, 1) for p in extra}
    return {**own, **{n: np.abs(v) if "spread" in n else v for n, v in effects.items()}}


def test_groups_without_effects_have_the_plain_likelihood(shop, linked):
    part, _, (family, _, table) = linked
    plain = FAMILIES[part.family]
    whole = plain.tabulate(shop.columns(7.0))
    expected, slope = plain.kernel(np.array([*THETA.values()]), *whole.arrays.values())
    theta = vectors(family, free_at(family, None, zero=True))[0]
    assert len(theta) == 4 * table.groups > 80
    assert table.customers == len(shop)
    value, gradient = family.kernel(theta, *table.arrays.values())
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient.reshape(-1, 4).sum(0), slope, rtol=1e-9)


def test_the_gradient_is_that_of_differences(shop, linked):
    family, own, table = linked[2]
    problem = posed(family, own, table, scales_of(shop.columns(7.0)))
    u = problem.start + np.random.default_rng(3).normal(0, 0.2, len(problem.start))
    _, gradient = problem.log_density(u)
    for i, step in enumerate(1e-5 * np.eye(len(u))):
        up, down = problem.log_density(u + step)[0], problem.log_density(u - step)[0]
        assert gradient[i] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-3), i


def test_the_compiled_op_sums_over_groups_as_the_kernel_does(shop, linked):
    _, _, (family, _, table) = linked
    vector = vectors(family, free_at(family, np.random.default_rng(4), zero=False))[0]
    value, gradient = family.kernel(vector, *table.arrays.values())
    words, kinds = pack(table.arrays)
    one, data = pt.dvector(), pt.dvector()
    op = FusedLogLik(family.name, kinds[: len(kinds) // table.groups])
    for mode in ("NUMBA", "FAST_COMPILE"):
        found = pytensor.function([one, data], op(one, data), mode=mode)(vector, words)
        assert float(found[0]) == value
        np.testing.assert_array_equal(found[1], gradient)


def test_the_effects_of_a_covariate_are_found_again(shop):
    spec = model(COVARIATES, name="retail")
    part = spec.parts["purchase"]
    state = population.learn(part, shop)
    family, own, table = population.likelihood(part, state, shop, 7.0)
    draws = laplace(family, own, table, scales_of(shop.columns(7.0)), LONG, 1)
    assert shortfall(draws.info) is None
    truth = {"rate[channel=app]": np.log(1.8), "dropout[channel=app]": -np.log(2), "rate[age]": 0.0}
    for name, value in truth.items():
        found = draws.values[name]
        assert abs(found.mean() - value) < 3 * found.std(), name
        assert found.std() < 0.2, name


def test_laplace_and_nuts_agree_on_groups(shop):
    covariates = COVARIATES.replace('["channel", "age"]', '["channel"]')
    part = model(covariates, name="retail").parts["purchase"]
    few = shop.take(np.arange(1500))
    family, own, table = population.likelihood(part, population.learn(part, few), few, 7.0)
    arguments = (family, own, table, scales_of(few.columns(7.0)), LONG, 1)
    one, two = laplace(*arguments), nuts(*arguments)
    assert two.stats["diverging"].sum() == 0
    assert list(one.values) == list(two.values)
    for name, values in two.values.items():
        assert abs(one.values[name].mean() - values.mean()) < 0.1 * values.std(), name
        assert 0.9 < one.values[name].std() / values.std() < 1.1, name
    here = {name: values[1, 3:4] for name, values in two.values.items()}
    value = family.kernel(vectors(family, here)[0], *table.arrays.values())[0]
    assert two.stats["log_likelihood"][1, 3] == pytest.approx(value, rel=1e-12)


# ---------------------------------------------------------------- cohorts


@pytest.fixture(scope="module")
def censored() -> Customers:
    """An early cohort that buys three times as often, then five quarters that slow down."""
    rng = np.random.default_rng(2)
    start = rng.integers(0, 90 * 6, 9000)  # days after 2024-01-01
    early = rng.random(9000) < 0.15
    start[early] = rng.integers(0, 31, early.sum())
    group = np.where(start < 31, 0, 1 + start // 91)
    speed = [3.0, 1.2, 1.1, 1.0, 0.9, 0.8, 0.75, 0.7]
    theta = [{**THETA, "alpha": THETA["alpha"] / one} for one in speed]
    t_end = (AS_OF - date(2024, 1, 1)).days - start
    return simulated(theta, group, t_end)


def test_cohorts_and_an_early_one_apart_are_told_from_each_other(censored):
    part = model(COHORTS, name="retail").parts["purchase"]
    state = population.learn(part, censored)
    assert state["cohorts"] == ["2024Q1", "2024Q2", "2024Q3", "2024Q4", "2025Q1", "2025Q2"]
    assert state["early"] == "2024-01-31"
    family, own, table = population.likelihood(part, state, censored, 7.0)
    draws = laplace(family, own, table, scales_of(censored.columns(7.0)), LONG, 1)
    assert shortfall(draws.info) is None
    theta = population.parameters(part, state, {n: v.ravel() for n, v in draws.values.items()})
    rates = [np.log(one["r"] / one["alpha"]) for one in theta]
    assert len(theta) == 8  # early, six quarters, unseen
    assert rates[0].mean() > np.log(2) + rates[1].mean()
    assert rates[1].mean() > rates[5].mean()
    # a cohort to come is as uncertain as cohorts differ, beside what is unknown of their centre
    spread, centre = draws.values["rate[cohort spread]"], np.log(draws.values["rate"])
    assert rates[7].std() == pytest.approx(np.sqrt((spread**2).mean() + centre.var()), rel=0.15)


@pytest.mark.slow
def test_laplace_and_nuts_agree_on_pooled_cohorts(censored):
    part = model(COHORTS.replace("quarter", "year"), name="bgnbd").parts["purchase"]
    family, own, table = population.likelihood(
        part, population.learn(part, censored), censored, 7.0
    )
    arguments = (family, own, table, scales_of(censored.columns(7.0)), LONG, 1)
    one, two = laplace(*arguments), nuts(*arguments)
    assert shortfall(one.info) is None
    for name, values in two.values.items():
        assert abs(one.values[name].mean() - values.mean()) < 0.15 * values.std(), name
        # two cohorts leave their spread wide open: its tail, and so every sd, settles slowly
        width = [
            np.diff(np.quantile(found, [0.05, 0.95]))[0] for found in (one.values[name], values)
        ]
        assert 0.85 < width[0] / width[1] < 1.15, name


def test_an_early_cohort_is_found_where_the_log_starts_in_mid_life(censored):
    part = model(COHORTS.replace('"2024-01-31"', '"auto"')).parts["purchase"]
    state = population.learn(part, censored)
    assert state["early"] == population.early(censored)["until"]
    none = model(COHORTS.replace('"2024-01-31"', '"none"')).parts["purchase"]
    assert population.learn(none, censored)["early"] is None


def test_customers_of_cohorts_and_levels_never_seen_are_counted_and_scored(censored, shop):
    spec = model(COVARIATES, COHORTS)
    part = spec.parts["purchase"]
    state = population.learn(part, shop)
    few = shop.take(np.arange(5))
    new = replace(
        few,
        x=np.zeros(5, dtype=np.int64),
        t_x=np.zeros(5, dtype=np.int64),
        x_paid=np.zeros(5, dtype=np.int64),
        repeat_spend=np.zeros(5),
        as_of=date(2026, 6, 30),
        t_end=np.array([10, 10, 10, 400, 400]),
        attributes=Attributes(
            few.ids,
            {
                "channel": np.array(["app", "fax", None, "web", "web"], dtype=object),
                "age": np.array([40.0, 40.0, 40.0, np.nan, 1e9]),
            },
        ),
    )
    assert list(population.strangers(part, state, new).values()) == [2, 1, 3]
    own = population.groups(part, state, new)
    assert own[1] == own[2]  # neither level is known: both are the most frequent one
    rng = np.random.default_rng(0)
    family, _, _ = population.likelihood(part, state, shop, 7.0)
    free = {n: np.repeat(v, 6) for n, v in free_at(family, rng, zero=False).items()}
    theta = population.parameters(part, state, free)
    assert own.max() < len(theta)
    assert len({*theta[own[0]]["alpha"].tolist()}) == 6  # an unseen cohort is drawn for every draw
    assert len({*theta[own[3]]["alpha"].tolist()}) == 1


def test_what_is_unknown_at_the_fit_is_said(shop):
    part = model(COVARIATES).parts["purchase"]
    unknown = np.isnan(shop.attributes.columns["age"]).sum()
    said = population.learn(part, shop)["notes"]
    assert f"{unknown} customers without a known age: treated as average" in said


def test_one_cohort_alone_says_that_its_spread_is_prior(censored):
    part = model(COHORTS.replace('"2024-01-31"', '"none"')).parts["purchase"]
    last = censored.take(np.flatnonzero(censored.t_end < 30))
    state = population.learn(part, last)
    assert len(state["cohorts"]) == 1
    assert any("prior alone" in note for note in state["notes"])
    assert not any("prior alone" in note for note in population.learn(part, censored)["notes"])


def test_a_missing_effect_or_offset_is_an_incomplete_posterior(censored):
    spec = model(COHORTS)
    part = spec.parts["purchase"]
    state = population.learn(part, censored)
    family, own, _ = population.likelihood(part, state, censored, 7.0)
    rng = np.random.default_rng(1)
    values = {name: 1 + 0.1 * rng.normal(size=(4, 1000)) for name in own.priors}
    info = {"engine": "laplace", "pareto_k": 0.1, "importance_ess": 900.0}
    info |= {"limits": {"pareto_k": 0.7, "importance_ess": 400.0}}
    facts = {"scales": scales_of(censored.columns(7.0)), "spearman": 0.0, "backtests": []}
    alone = replace(spec, parts={"purchase": part})

    def completeness(draws: Mapping[str, np.ndarray]) -> Check:
        judged = gates.gates(
            alone, {"purchase": Draws(draws, {}, info)}, facts, {"purchase": state}
        )
        return next(one for one in judged if one.name == "completeness")

    assert completeness(values).passed
    assert set(values) == {param.name for param in family.params}
    for name in ("rate[cohort spread]", "dropout[cohort 2024Q2]", "r[cohort early]"):
        without = completeness({n: v for n, v in values.items() if n != name})
        assert not without.passed
        assert f"missing: {name}" in without.detail


def test_effects_and_cohorts_multiply_rates_and_odds(censored, shop):
    part = model(COHORTS).parts["purchase"]
    state = population.learn(part, censored)
    values = {
        param.name: np.full((2, 3), 0.5) for param in population.linked(part, state)[0].params
    }
    found = population.multipliers(part, state, values)
    formula, factor = found["× rate [cohort 2024Q2]"]
    assert formula == "exp(rate[cohort spread] · rate[cohort 2024Q2])"
    assert factor == pytest.approx(np.full((2, 3), np.exp(0.25)))
    assert found["× odds of phi [cohort early]"][1] == pytest.approx(np.exp(0.5))
    # the textbook parameters of a cohort follow: alpha = r / rate
    plain = FAMILIES["mbgnbd"].derive({name: values[name] for name in part.priors})["alpha"]
    group = population.groups(part, state, censored)
    labels = [f"2024Q{q}" for q in range(1, 5)]
    at = 1 + labels.index("2024Q2")  # the early cohort stands first
    assert (group == at).any()
    theta = population.parameters(part, state, values)[at]
    assert theta["alpha"] == pytest.approx(plain / factor)
    assert population.multipliers(part, None, values) == {}


def test_offsets_of_cohorts_are_not_held_to_identification(censored):
    spec = model(COHORTS)
    state = population.learn(spec.parts["purchase"], censored)
    _, own = population.linked(spec.parts["purchase"], state)
    rng = np.random.default_rng(0)
    values = {name: np.exp(rng.normal(0, 0.1, (4, 50))) for name in own.priors}
    draws = Draws(values, {}, {"engine": "laplace"})
    scales = scales_of(censored.columns(7.0))
    checks = gates.gates(spec, {"purchase": draws}, {"scales": scales}, {"purchase": state})
    judged = {c.name for c in checks if c.part == "purchase"}
    assert "identified_rate[cohort spread]" in judged
    assert "identified_r[cohort early]" in judged
    assert "identified_rate[cohort 2024Q2]" not in judged


# ---------------------------------------------------------------- the whole


@pytest.mark.parametrize("name", ["retail", "bgnbd"])
def test_without_links_there_is_one_group_and_the_family_itself(name, shop):
    part = load_spec(name).parts["purchase"]
    assert population.learn(part, shop) is None
    family, own, table = population.likelihood(part, None, shop, 7.0)
    assert family is FAMILIES[part.family]
    assert own is part
    assert table.groups == 1
    assert not population.groups(part, None, shop).any()


def test_a_fit_with_links_is_judged_stored_and_scored(shop, tmp_path: Path):
    from bayesseg.scoring import Settings, score

    spec = model(COVARIATES)
    spec = replace(
        spec, parts={n: replace(part, engine="laplace") for n, part in spec.parts.items()}
    )
    posterior = load(save(fit(shop, spec, seed=1), tmp_path / "run"))
    assert posterior.manifest["verdicts"]["purchase"]["computation"] == "passed"
    state = posterior.manifest["population"]["purchase"]
    assert "covariate age: customers enter by tenths" in " ".join(state["notes"])
    assert "rate[channel=app]" in posterior.parts["purchase"].values
    (row,) = (
        r for r in posterior.summary["priors"]["purchase"] if r["name"] == "rate[channel=app]"
    )
    assert row["prior_sd"] == 0.5
    assert row["mean"] == pytest.approx(posterior.parts["purchase"].values[row["name"]].mean())
    assert "identified_rate[channel=app]" in {gate["name"] for gate in posterior.manifest["gates"]}
    assert gates.check(posterior) == tuple(Check(**one) for one in posterior.manifest["gates"])
    settings = Settings(90, 365, 1.0, 0.1, predictive=False)
    found = score(posterior, shop, settings)
    table = found.table
    assert not any("channel" in note for note in found.document["notes"])
    stranger = replace(
        shop,
        attributes=Attributes(
            shop.ids,
            {**shop.attributes.columns, "channel": np.full(len(shop), "fax", dtype=object)},
        ),
    )
    said = score(posterior, stranger, settings).document["notes"]
    assert "6,000 customers without a known channel: treated as 'web'" in said
    app = shop.attributes.columns["channel"] == "app"
    once = shop.x == 0
    assert table["p_alive"][app & once].mean() < table["p_alive"][~app & once].mean()


REFUSED = {
    "no attributes": ({}, "is not among the attributes"),
    "one level": ({"channel": np.array(["web"] * 300, object)}, "takes one value only"),
    "levels too rare": ({"channel": np.array(["web"] * 290 + ["app"] * 10, object)}, "one value"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_covariates_are_refused_for(case, shop):
    columns, says = REFUSED[case]
    few = shop.take(np.arange(300))
    few = replace(few, attributes=Attributes(few.ids, columns) if columns else None)
    with pytest.raises(InputRejected, match=says):
        population.learn(model(COVARIATES).parts["purchase"], few)


def test_too_many_groups_are_refused(shop):
    codes = np.array([f"v{i % 250}" for i in range(len(shop))], dtype=object)
    many = replace(shop, attributes=Attributes(shop.ids, {"channel": codes, "age": codes}))
    with pytest.raises(InputRejected, match="250 groups, 200 at most"):
        population.learn(model(COVARIATES).parts["purchase"], many)
