"""What is at stake with one customer: its expectation, its law, and nothing else in it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import report_case
from decide_case import people

from bayesseg import population
from bayesseg._random import customer_keys
from bayesseg.customers import Attributes
from bayesseg.decide.benefit import Rate, Terms, rate_of, written
from bayesseg.decide.campaign import Campaign, Latents, choose
from bayesseg.decide.histories import customers_of, plan_for, refuse_others, with_paid
from bayesseg.decide.lists import STAKE, ranked
from bayesseg.decide.stakes import drawn, spread, stakes
from bayesseg.decide.waiting import patience
from bayesseg.errors import ArtefactBad, InputRejected, UsageError
from bayesseg.families import FAMILIES
from bayesseg.families._realise import realise
from bayesseg.priors import Prior
from bayesseg.scoring import Settings, score
from bayesseg.spec import CovariatesSpec

SETTINGS = Settings(predictive=False, margin=0.3, value_horizon_days=200, annual_discount=0.2)
THETA = {
    "bgnbd": {"r": 1.2, "alpha": 4.0, "a": 1.5, "b": 4.0},
    "mbgnbd": {"r": 1.2, "alpha": 4.0, "a": 1.5, "b": 4.0},
    "paretonbd": {"r": 1.2, "alpha": 4.0, "s": 1.4, "beta": 20.0},
}
SPEND = {"p": 4.0, "q": 8.0, "v": 60.0}


@pytest.fixture(scope="module")
def customers(cdnow_sample):
    """Every seventh customer of CDNOW, some of whose repeat purchases were free."""
    found = report_case.customers(cdnow_sample)
    some = found.take(np.arange(0, len(found), 7))
    free = np.where(some.x > 3, some.x // 3, 0)
    return replace(
        some,
        x_paid=some.x_paid - np.minimum(free, some.x_paid - 1).clip(0),
        provenance=found.provenance,
    )


@pytest.fixture(scope="module")
def posterior(customers):
    return report_case.posterior(customers, "bgnbd")


@pytest.fixture(scope="module")
def scores(posterior, customers):
    return score(posterior, customers, SETTINGS)


@pytest.fixture(scope="module")
def plan(posterior, scores):
    return plan_for(posterior, scores.document)


@pytest.fixture(scope="module")
def known(plan, scores):
    found = customers_of(scores.table)
    return with_paid(plan, found, scores.table["expected_spend"].to_numpy())


def of(plan, family):
    """The plan as if ``family`` had been fitted, with parameters known exactly."""
    spec = plan.posterior.spec
    part = replace(spec.parts["purchase"], family=family)
    spec = replace(spec, parts={**spec.parts, "purchase": part})
    posterior = replace(
        plan.posterior, spec=spec, manifest=plan.posterior.manifest | {"paid_share": 1.0}
    )
    draws = np.ones(len(plan.index))
    return replace(
        plan,
        posterior=posterior,
        purchase=({name: value * draws for name, value in THETA[family].items()},),
        spend=({name: value * draws for name, value in SPEND.items()},),
        settings=replace(plan.settings, margin=1.0),
        clock=replace(plan.clock, value_horizon=30.0, discount=0.0),
    )


def test_scores_and_run_give_the_histories_back_free_purchases_and_all(known, customers):
    assert (known.x_paid < known.x).any()
    for name in ("x", "t_x", "t_end", "x_paid"):
        np.testing.assert_array_equal(getattr(known, name), getattr(customers, name))
    np.testing.assert_allclose(known.repeat_spend, customers.repeat_spend, rtol=1e-9)


def test_scores_of_another_run_are_refused(plan, scores):
    spend = scores.table["expected_spend"].to_numpy() * 1.01
    with pytest.raises(ArtefactBad, match="expected spend"):
        with_paid(plan, customers_of(scores.table), spend)


@pytest.fixture(scope="module")
def grouped(posterior, customers):
    """The run with a covariate that doubles the rate of half of the customers, and its scores."""
    kind = np.where(np.arange(len(customers)) % 2 == 0, "b", "a").astype(object)
    some = replace(customers, attributes=Attributes(customers.ids, {"kind": kind}))
    part = posterior.spec.parts["purchase"]
    effect = Prior("Normal", {"mean": 0.0, "sd": 0.5})
    part = replace(part, covariates=CovariatesSpec(("kind",), (), effect))
    state = population.learn(part, some)
    (name,) = (p.name for p in population.linked(part, state)[0].params if "kind" in p.name)
    draws = posterior.parts["purchase"]
    values = {**draws.values, name: np.full_like(draws.values["r"], np.log(2.0))}
    run = replace(
        posterior,
        spec=replace(posterior.spec, parts={**posterior.spec.parts, "purchase": part}),
        parts={**posterior.parts, "purchase": replace(draws, values=values)},
        manifest={**posterior.manifest, "population": {"purchase": state, "spend": None}},
    )
    return run, some, score(run, some, SETTINGS)


def test_customers_with_covariates_are_drawn_by_their_own_parameters(grouped):
    run, some, scores = grouped
    plan, alive = plan_for(run, scores.document), scores.table["p_alive"].to_numpy()
    bare = customers_of(scores.table)
    with pytest.raises(InputRejected, match="kind"):
        refuse_others(plan, bare, alive)
    other = Attributes(some.ids, {"kind": np.roll(some.attributes.columns["kind"], 1)})
    with pytest.raises(ArtefactBad, match=r"P\(alive\)"):
        refuse_others(plan, replace(bare, attributes=other), alive)
    own = replace(bare, attributes=some.attributes)
    refuse_others(plan, own, alive)
    own = with_paid(plan, own, scores.table["expected_spend"].to_numpy())
    nothing = np.zeros(len(own))
    found = drawn(plan, own, "save", np.ones(len(plan.index)), nothing, np.arange(len(own)) % 2, 2)
    expected = scores.table["value_at_risk"].to_numpy()
    for draws, mean in ((found.totals[0], expected[::2].sum()), (found.totals[1], expected.sum())):
        assert abs(draws.mean() - mean) < 4 * draws.std() / np.sqrt(len(draws))


@pytest.mark.parametrize("which", ["save", "win-back"])
def test_the_mean_stake_is_the_expected_one(plan, known, scores, which):
    """``value_at_risk`` and ``win_back_value`` come from other formulas: z-scores of the rest."""
    columns = {"purchase": np.zeros(len(known), int), "spend": np.zeros(len(known), int)}
    columns |= known.columns(plan.posterior.spec.unit_days)
    found = stakes(plan, columns, customer_keys(known.ids, 5), which)
    expected = scores.table[STAKE[which]].to_numpy()
    error = found.std(axis=1) / np.sqrt(found.shape[1])
    total = (found.mean(axis=1) - expected).sum() / np.sqrt((error**2).sum())
    assert abs(total) < 3.5
    often = (found > 0).mean(axis=1) > 0.08  # a mean of few values is not normal
    z = (found.mean(axis=1) - expected)[often] / error[often]
    assert often.sum() > 15
    assert abs(z.mean()) < 4 / np.sqrt(len(z)) + 0.1
    assert 0.7 < z.std() < 1.4


@pytest.mark.parametrize("family", THETA)
def test_what_is_drawn_of_customers_has_the_law_of_what_befalls_people(plan, family):
    """People simulated purchase by purchase, dropout known, against draws given their histories."""
    rng = np.random.default_rng(8)
    T = rng.uniform(10, 60, 20_000)
    columns, alive, lost = people(family, THETA[family], SPEND, T, 30.0, rng)
    some = of(plan, family)
    groups = dict.fromkeys(("purchase", "spend"), np.zeros(len(T), int))
    few = slice(0, 1_500)
    own = {name: values[few] for name, values in (columns | groups).items()}
    keys = customer_keys(np.arange(len(T)).astype(str).astype(object)[few], 3)
    found = stakes(some, own, keys, "save")[:, :100]

    def off(of_people, of_draws):
        """Difference of two means in standard errors; rows of draws are what is independent."""
        each = of_draws.mean(axis=1)
        error = np.hypot(of_people.std() / np.sqrt(len(T)), each.std() / np.sqrt(len(each)))
        return abs(of_people.mean() - each.mean()) / error

    assert 0.05 < (lost > 0).mean() < alive.mean()
    assert off(lost > 0, found > 0) < 4
    assert off(lost, found) < 4
    for amount in (20.0, 80.0, 200.0):
        assert off(lost > amount, found > amount) < 4


def test_certainty_does_not_depend_on_order_or_company_or_threads(plan, known):
    rate, cost = np.full(len(plan.index), 0.1), np.full(len(known), 0.5)
    place = np.arange(len(known)) // 50
    points = int(place.max()) + 1
    one = drawn(plan, known, "save", rate, cost, place, points, threads=1)
    mixed = np.random.default_rng(1).permutation(len(known))
    two = drawn(plan, known.take(mixed), "save", rate, cost, place[mixed], points, threads=4)
    few = drawn(plan, known.take(mixed[:7]), "save", rate, cost[:7], place[mixed[:7]], points)
    for name in ("lo", "hi", "p_positive"):
        np.testing.assert_array_equal(getattr(one, name)[mixed], getattr(two, name))
        np.testing.assert_array_equal(getattr(two, name)[:7], getattr(few, name))
    np.testing.assert_allclose(one.totals, two.totals, rtol=1e-12)


def test_a_benefit_is_rate_times_stake_less_costs(plan, scores, known):
    """Expectation by its formula, and by draws of the customer's own future and of the rate."""
    listed = ranked(scores.table, "save")
    order = scores.table.set_index("customer_id").index.get_indexer(listed["customer_id"])
    terms = Terms(rate_of("beta:8,92"), 0.02, offer_cost=0.1, redeem_rate=0.2)
    asked = Campaign("save", terms)
    found = choose(listed, asked, Latents(plan, known.take(order)))
    value = found.table["value"].to_numpy()
    np.testing.assert_allclose(found.table["net_benefit"], 0.08 * value - 0.04, rtol=1e-12)
    assert (found.table["net_benefit"] > 0).all()
    assert found.document["cost"] == pytest.approx(0.04 * len(found.table))
    total = found.document["net_benefit"]
    assert total["mean"] == pytest.approx(found.table["net_benefit"].sum())
    assert total["lo"] < total["mean"] < total["hi"]
    rate = terms.rate.draws(len(plan.index), plan.posterior.manifest["seed"])
    points = np.zeros(len(listed), int)
    own = drawn(plan, known.take(order), "save", rate, np.full(len(listed), 0.04), points, 1)
    draws = own.totals[0]
    expected = 0.08 * listed["value"].sum() - 0.04 * len(listed)
    assert abs(draws.mean() - expected) < 4 * draws.std() / np.sqrt(len(draws))
    assert ((own.p_positive > 0) & (own.p_positive < 1)).mean() > 0.5
    assert (
        own.lo == -0.04
    ).any()  # nothing to save in most futures: the contact costs all the same


@pytest.mark.parametrize(
    "text", ["1.5", "beta:0,3", "beta:3", "beta:1e999,1", "nan", "108%", "1,2,3", ""]
)
def test_what_is_no_save_rate_is_refused(text):
    with pytest.raises(UsageError, match="no save rate"):
        rate_of(text)


@pytest.mark.parametrize("text", ["0", "0.0", "0%"])
def test_a_save_rate_of_nothing_is_told_in_words_of_its_own(text):
    with pytest.raises(UsageError, match="no contact works"):
        rate_of(text)


@pytest.mark.parametrize("text", ["0.08", "0,08", ".08", "8%", "8,0 %"])
def test_a_share_may_be_written_as_people_write_it(text):
    assert rate_of(text).mean == pytest.approx(0.08)


@pytest.mark.parametrize("both", [(8.0, 5_234.0), (0.0123, 1e-5), (8.0, 92.0), (1e6, 3.5e9)])
def test_the_beta_that_is_printed_can_be_pasted_back(both):
    assert "e" not in written(*both).removeprefix("beta")
    assert rate_of(written(*both)).beta == pytest.approx(both, rel=1e-3)
    assert rate_of(f"beta:{both[0]:.3g},{both[1]:.3g}").beta == pytest.approx(both, rel=0.01)


def test_a_rate_is_drawn_as_it_was_given():
    assert (Rate(0.3).draws(5, 1) == 0.3).all()
    draws = rate_of("beta: 8, 92").draws(20_000, 1)
    assert draws.mean() == pytest.approx(0.08, abs=0.001)
    assert draws.std() == pytest.approx(np.sqrt(0.08 * 0.92 / 101), rel=0.03)


@pytest.mark.parametrize("family", ["bgnbd", "mbgnbd", "paretonbd"])
def test_patience_ends_on_the_first_day_on_which_p_alive_is_below_a_half(plan, known, family):
    some = known.take(np.arange(0, len(known), 9))
    plan = of(plan, family)
    quantity = FAMILIES[family].quantities["p_alive"]
    columns = some.columns(plan.posterior.spec.unit_days)

    def alive(days):
        later = columns | {"T": columns["T"] + days / plan.posterior.spec.unit_days}
        return quantity.fn(plan.purchase[0], later, plan.clock).mean(axis=0)

    found = patience(plan, some)
    ends = found > 0
    assert ends.sum() > 5
    assert (alive(found)[ends] < 0.5).all()
    assert (alive(found - 1)[ends] >= 0.5).all()
    assert (alive(0)[found == 0] < 0.5).all()
    if family == "bgnbd":
        assert (found[some.x == 0] == -1).all()


def test_the_spread_of_spend_is_that_of_people_and_their_futures(plan, known):
    """Against scores' own future draws: variance over customers in each draw, averaged."""
    theta, money = plan.purchase[0], plan.spend[0]
    columns, keys = known.columns(plan.posterior.spec.unit_days), customer_keys(known.ids, 11)
    latents = FAMILIES["bgnbd"].latents(theta, columns, keys, plan.index)
    nu = FAMILIES["gammagamma"].latents(money, columns, keys, plan.index)
    soon = replace(plan.clock, value_horizon=plan.clock.horizon, discount=0.0)
    share = plan.posterior.manifest["paid_share"]
    came, _, _ = realise(latents, nu, money["p"], share, soon, keys, plan.index)
    sd = np.sqrt(came.var(axis=0, ddof=1).mean())
    assert spread(plan, known) == pytest.approx(sd, rel=0.1)


def test_a_list_of_nobody_is_a_list(scores):
    listed = ranked(scores.table, "save")
    found = choose(listed, Campaign("save", Terms(Rate(0.1), 1e9), name="june", share=0.5))
    assert len(found.table) == 0
    assert found.document["net_benefit"] == {"mean": 0.0, "lo": None, "hi": None}
    assert isinstance(found.table, pd.DataFrame)
