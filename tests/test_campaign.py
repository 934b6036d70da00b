"""Reading out a campaign: a planted uplift is in its interval as often as that says; faults are told."""

import json

import numpy as np
import pandas as pd
import pytest
import report_case
from scipy import integrate, stats
from typer.testing import CliRunner

from bayesseg.cli import app
from bayesseg.cli.scorefile import sealed
from bayesseg.customers import summarise
from bayesseg.decide.benefit import rate_of
from bayesseg.decide.holdout import held as lot
from bayesseg.errors import InputRejected
from bayesseg.ingest import pseudonyms, read_key, read_purchases
from bayesseg.scoring import Settings, score
from bayesseg.validation.campaign import Campaign, loss_within, part_within, read_out, save_rate

CUSTOMERS, SHARE, MORE = 600, 0.3, 0.10
SIZE = 40.0
R, ALPHA = 0.8, 1.6


def simulated(seed, customers=CUSTOMERS):
    """Customers who buy at rates of their own; contact adds a Poisson number of purchases, mean 0.1."""
    rng = np.random.default_rng(seed)
    contacted = rng.random(customers) >= SHARE
    rate = rng.gamma(R, 1 / ALPHA, customers)
    count = rng.poisson(rate) + np.where(contacted, rng.poisson(MORE, customers), 0)
    spend = rng.gamma(np.maximum(3.0 * count, 1e-9), SIZE / 3.0)
    spend[count == 0] = 0.0
    return Campaign(
        contacted, (count > 0).astype(float), spend, p_buy=1 - np.exp(-rate), clv=rate * SIZE
    )


NONE_BUY = (ALPHA / (ALPHA + 1)) ** R
TRUTH = {"bought": NONE_BUY * (1 - np.exp(-MORE)), "spend": MORE * SIZE}


@pytest.fixture(scope="module")
def campaigns():
    return [read_out(simulated(seed), seed=seed, share=SHARE) for seed in range(120)]


@pytest.mark.parametrize("how", ["uplift", "adjusted"])
@pytest.mark.parametrize("measure", TRUTH)
def test_a_planted_uplift_lies_in_the_interval_as_often_as_it_says(campaigns, measure, how):
    hits = sum(
        one[measure][how]["lo"] <= TRUTH[measure] <= one[measure][how]["hi"] for one in campaigns
    )
    low, high = stats.binom.ppf([0.0005, 0.9995], len(campaigns), 0.9)
    assert low <= hits <= high


@pytest.mark.parametrize("measure", TRUTH)
def test_the_forecast_narrows_the_interval_and_does_not_bend_it(campaigns, measure):
    width = {
        how: np.mean([one[measure][how]["hi"] - one[measure][how]["lo"] for one in campaigns])
        for how in ("uplift", "adjusted")
    }
    means = [one[measure]["adjusted"]["mean"] for one in campaigns]
    assert width["adjusted"] < 0.95 * width["uplift"]
    error = np.std(means) / np.sqrt(len(means))
    assert np.mean(means) == pytest.approx(TRUTH[measure], abs=4 * error)


def test_honest_campaigns_raise_no_alarm(campaigns):
    codes = [warning["code"] for one in campaigns for warning in one["warnings"]]
    assert set(codes) <= {"few_spenders"}


def test_the_uplift_of_the_share_has_the_exact_posterior_of_two_betas():
    contacted = np.repeat([True, False], [80, 40])
    bought = np.concatenate([np.repeat([1.0, 0.0], [28, 52]), np.repeat([1.0, 0.0], [8, 32])])
    found = read_out(Campaign(contacted, bought), seed=1)["bought"]["uplift"]
    one, other = stats.beta(28.5, 52.5), stats.beta(8.5, 32.5)
    above = integrate.quad(lambda p: one.pdf(p) * other.cdf(p), 0, 1)[0]
    assert found["p_positive"] == pytest.approx(above, abs=0.015)
    assert found["mean"] == pytest.approx(one.mean() - other.mean(), abs=0.003)
    assert found["sd"] == pytest.approx(np.hypot(one.std(), other.std()), rel=0.03)


def test_the_uplift_of_spend_has_the_variance_of_two_means():
    some = simulated(7)
    found = read_out(some, seed=1)["spend"]["uplift"]
    groups = [some.spend[some.contacted], some.spend[~some.contacted]]
    assert found["mean"] == pytest.approx(groups[0].mean() - groups[1].mean(), abs=0.3)
    error = np.sqrt(sum(one.var(ddof=1) / len(one) for one in groups))
    assert found["sd"] == pytest.approx(error, rel=0.06)


def test_a_forecast_of_nothing_changes_nothing():
    some = simulated(3)
    flat = Campaign(some.contacted, spend=some.spend, clv=np.ones(CUSTOMERS))
    found = read_out(flat, seed=1)["spend"]
    assert found["adjusted"] == found["uplift"]


def coded(campaign, **words):
    return {one["code"]: one for one in read_out(campaign, seed=1, **words)["warnings"]}


def test_a_hold_out_that_lost_customers_is_told():
    some = simulated(1)
    kept = some.contacted | (np.arange(CUSTOMERS) % 2 == 0)
    fewer = Campaign(some.contacted[kept], some.bought[kept])
    assert "sample_ratio" in coded(fewer, share=SHARE)
    assert "sample_ratio" not in coded(Campaign(some.contacted, some.bought), share=SHARE)


def test_held_out_who_were_contacted_are_counted_and_stay_held_out():
    some = simulated(1)
    reached = some.contacted.copy()
    reached[np.flatnonzero(~some.contacted)[:25]] = True
    spoilt = Campaign(some.contacted, some.bought, reached=reached)
    found = read_out(spoilt, seed=1)
    clean = read_out(Campaign(some.contacted, some.bought), seed=1)
    assert found["warnings"][0]["code"] == "contamination"
    assert found["customers"]["held"]["reached"] == 25
    assert found["bought"] == clean["bought"]


def test_missing_outcomes_are_left_out_and_more_in_one_group_is_told():
    some = simulated(1)
    bought = some.bought.copy()
    bought[np.flatnonzero(some.contacted)[:9]] = np.nan
    even = coded(Campaign(some.contacted, bought))["outcomes_missing"]
    assert even["message"].startswith("9 of those contacted and 0 of those held out")
    assert "no longer compares" not in even["message"]
    bought[np.flatnonzero(some.contacted)[:300]] = np.nan
    with pytest.raises(InputRejected, match="no longer compares"):
        read_out(Campaign(some.contacted, bought), seed=1)
    found = read_out(Campaign(some.contacted, bought, spend=some.spend), seed=1)
    assert found["bought"] is None
    assert found["spend"] == read_out(Campaign(some.contacted, spend=some.spend), seed=1)["spend"]


def test_spend_that_is_missing_of_buyers_only_is_no_measure():
    """Evenly between the groups: half the spenders less, and their mean is not that of all."""
    some = simulated(1)
    spend = np.where((some.bought == 1) & (np.arange(CUSTOMERS) % 2 == 0), np.nan, some.spend)
    found = read_out(Campaign(some.contacted, some.bought, spend), seed=1)
    assert found["spend"] is None
    assert "among those who bought" in found["warnings"][-1]["message"]
    lost = np.arange(CUSTOMERS) % 3 == 0  # of anybody: fewer, and no worse
    even = Campaign(some.contacted, some.bought, np.where(lost, np.nan, some.spend))
    assert (
        read_out(even, seed=1)["spend"]["customers"]["contacted"] == (some.contacted & ~lost).sum()
    )


def test_where_nobody_bought_no_bootstrap_is_sure_of_it():
    some = simulated(1)
    nothing = np.zeros(CUSTOMERS)
    found = read_out(Campaign(some.contacted, nothing, nothing, some.p_buy, some.clv), seed=1)
    assert found["bought"]["adjusted"] is None
    assert found["spend"]["uplift"] is None
    assert found["bought"]["uplift"]["lo"] < 0 < found["bought"]["uplift"]["hi"]


def test_long_tails_in_a_small_group_are_told():
    assert "few_spenders" in coded(simulated(1, 200))
    assert "few_spenders" not in coded(simulated(1, 3_000))


def test_too_few_or_no_outcomes_are_refused():
    contacted = np.repeat([True, False], [50, 9])
    with pytest.raises(InputRejected, match="9 customers held out"):
        read_out(Campaign(contacted, np.zeros(59)), seed=1)
    with pytest.raises(InputRejected, match="no outcome"):
        read_out(Campaign(contacted), seed=1)


@pytest.mark.parametrize(("gain", "sd"), [(2.0, 1.0), (0.5, 3.0), (-2.0, 1.0), (4.0, 0.4)])
def test_the_updated_save_rate_is_the_posterior_by_quadrature(gain, sd):
    a, b, loss = 2.0, 8.0, 10.0

    def density(rate):
        return stats.beta.pdf(rate, a, b) * stats.norm.pdf(gain, rate * loss, sd)

    whole, mean, square = (
        integrate.quad(lambda r, k=k: r**k * density(r), 0, 1, limit=200)[0] for k in range(3)
    )
    found = save_rate(gain, sd, loss, (a, b))
    after = stats.beta(*found["posterior"])
    assert after.mean() == pytest.approx(mean / whole, abs=1e-4)
    assert after.var() == pytest.approx(square / whole - (mean / whole) ** 2, rel=1e-3)


def test_a_campaign_that_shows_nothing_leaves_the_rate_as_it_was():
    assert save_rate(0.0, 1e6, 10.0, (8.0, 92.0))["posterior"] == pytest.approx([8, 92], rel=1e-3)
    assert save_rate(1.0, 1.0, 0.0, (8.0, 92.0)) is None


def test_a_planted_save_rate_is_found():
    """Contact gives a fifth of its loss back to each customer contacted."""
    rng = np.random.default_rng(5)
    contacted = rng.random(40_000) >= 0.3
    loss = rng.gamma(2.0, 10.0, len(contacted))
    spend = rng.gamma(1.0, 30.0, len(contacted)) + np.where(contacted, 0.2 * loss, 0.0)
    some = Campaign(contacted, spend=spend, loss=loss)
    found = read_out(some, seed=1, prior=(1.0, 1.0))["rate"]
    a, b = found["posterior"]
    low, high = stats.beta(a, b).ppf([0.005, 0.995])
    assert low <= 0.2 <= high
    assert high - low < 0.12


def test_a_margin_scales_the_gain_to_the_money_of_the_loss():
    some = simulated(2)
    whole = Campaign(some.contacted, spend=some.spend, loss=np.full(CUSTOMERS, 20.0))
    part = read_out(whole, seed=1, prior=(1, 1), margin=0.25)["rate"]
    full = read_out(whole, seed=1, prior=(1, 1))["rate"]
    assert part["measured"] == pytest.approx(full["measured"] / 4)


@pytest.fixture(scope="module")
def scored(cdnow_orders):
    """Scores of the same customers with money over a quarter and over a year."""
    with read_purchases(cdnow_orders) as purchases:
        known = summarise(purchases, as_of="1997-09-30").take(np.arange(0, 2_357, 6))
    posterior = report_case.posterior(known, "bgnbd")
    return {
        days: score(
            posterior, known, Settings(90, days, annual_discount=0.1, predictive=False)
        ).table
        for days in (90, 365)
    }


def test_the_loss_of_a_quarter_follows_from_that_of_a_year(scored):
    year, quarter = scored[365], scored[90]
    value, clv = year["value_at_risk"].to_numpy(), year["clv"].to_numpy()
    found = loss_within(value, clv, 90, 365, 0.1)
    assert found.sum() == pytest.approx(quarter["value_at_risk"].sum(), rel=0.07)
    assert loss_within(value, clv, 365, 365, 0.1) == pytest.approx(value, rel=1e-6)


def test_what_comes_back_in_a_quarter_is_its_part_of_the_year(scored):
    found = scored[365]["win_back_value"] * part_within(90, 365, 0.1)
    assert found.to_numpy() == pytest.approx(scored[90]["win_back_value"].to_numpy(), rel=1e-9)


def validate(*words):
    return CliRunner().invoke(app, ["validate", *map(str, words)])


def written_beside(folder, held, **words):
    """What stands beside list.csv, sealed as prioritise does it."""
    document = {
        "list": "save",
        "campaign": "autumn",
        "holdout": 0.2,
        "renamed": False,
        "counts": {"contacted": int((~held).sum()), "held_out": int(held.sum())},
        "as_of": "1997-09-30",
        "margin": 0.5,
        "value_horizon_days": 365,
        "annual_discount": 0.1,
    }
    (folder / "list.json").write_text(json.dumps(sealed(document | words)))


@pytest.fixture(scope="module")
def files(tmp_path_factory, cdnow_orders):
    """A list of everybody in CDNOW, a tenth or so held out, what stands beside it, and the log."""
    folder = tmp_path_factory.mktemp("campaign")
    cdnow_orders.to_csv(folder / "orders.csv", index=False)
    first = cdnow_orders[cdnow_orders["date"] <= "1997-09-30"]
    ids = np.sort(first["customer_id"].unique())
    held = lot(ids, "autumn", 0.2)
    listed = pd.DataFrame({"customer_id": ids, "selected": ~held, "holdout": held})
    listed.assign(value=5.0, clv=20.0, p_churn=0.5).to_csv(folder / "list.csv", index=False)
    written_beside(folder, held)
    came = cdnow_orders[cdnow_orders["date"].between("1997-10-01", "1997-12-29")]
    spent = came.groupby("customer_id")["amount"].sum().reindex(ids).fillna(0.0)
    outcomes = pd.DataFrame({"customer_id": ids, "spend": spent.to_numpy()})
    outcomes.to_csv(folder / "outcomes.csv", index=False)
    return folder, listed, spent.to_numpy()


def test_the_log_and_a_file_of_outcomes_say_the_same(files):
    folder, listed, spent = files
    asked = ("--campaign", folder / "list.csv", "--horizon", "90d", "--json")
    log = validate(folder / "orders.csv", *asked, "--contacted-on", "1997-10-01")
    table = validate(*asked, "--outcomes", folder / "outcomes.csv")
    assert (log.exit_code, table.exit_code) == (0, 0), log.output + table.output
    found = [json.loads(one.stdout)["campaign"] for one in (log, table)]
    held = listed["holdout"].to_numpy()
    assert found[0]["spend"]["held"] == pytest.approx(spent[held].mean())
    assert found[0]["bought"]["contacted"] == pytest.approx((spent[~held] > 0).mean(), abs=0.01)
    assert found[1]["spend"]["held"] == pytest.approx(spent[held].mean())


def test_outcomes_may_stand_in_the_list_itself_and_missing_ones_are_counted(files, tmp_path):
    _, listed, spent = files
    bought = pd.Series(np.where(spent > 0, "yes", "no"), dtype=object)
    bought[:30] = None
    listed.assign(bought=bought).to_csv(tmp_path / "list.csv", index=False)
    done = validate("--campaign", tmp_path / "list.csv", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["campaign"]
    assert sum(one["missing"] for one in found["customers"].values()) == 30
    assert found["spend"] is None


def test_the_save_rate_is_printed_as_the_flag_that_takes_it(files):
    folder, _, _ = files
    done = validate(
        *("--campaign", folder / "list.csv", "--outcomes", folder / "outcomes.csv"),
        *("--horizon", "90d", "--save-rate", "beta:8,92"),
    )
    assert done.exit_code == 0, done.output
    pasted = done.stdout.partition("--save-rate ")[2].split()[0]
    assert rate_of(pasted).beta[1] > 50


def test_without_what_the_rate_needs_it_is_said_and_left(files, tmp_path):
    folder, listed, _ = files
    listed.to_csv(tmp_path / "list.csv", index=False)
    done = validate(
        *("--campaign", tmp_path / "list.csv", "--outcomes", folder / "outcomes.csv"),
        *("--save-rate", "beta:8,92"),
    )
    assert done.exit_code == 0
    assert "the save rate is not updated: that needs --horizon" in " ".join(done.stderr.split())
    assert "--save-rate beta:" not in done.stdout


def test_an_id_with_the_guard_of_a_csv_meets_its_outcome(tmp_path):
    ids = [f"-{one}" for one in range(100)]
    held = np.arange(100) % 4 == 0
    listed = pd.DataFrame({"customer_id": ids, "selected": ~held, "holdout": held})
    listed.assign(customer_id=[f"'{one}" for one in ids]).to_csv(tmp_path / "l.csv", index=False)
    outcomes = pd.DataFrame({"customer_id": ids, "bought": np.arange(100) % 3 == 0})
    outcomes.astype({"bought": int}).to_csv(tmp_path / "o.csv", index=False)
    done = validate("--campaign", tmp_path / "l.csv", "--outcomes", tmp_path / "o.csv", "--json")
    found = json.loads(done.stdout)["campaign"]["customers"]
    assert [one["missing"] for one in found.values()] == [0, 0]


def orders(folder):
    return pd.read_csv(folder / "orders.csv", dtype={"customer_id": str})


def saved(table, path):
    table.to_csv(path, index=False)
    return path


def cut_log(folder, _):
    log = orders(folder)
    return saved(log[log["date"] >= "1997-11-15"], folder / "late.csv")


def other_log(folder, _):
    log = orders(folder)
    return saved(log.assign(customer_id="x" + log["customer_id"]), folder / "other.csv")


def quiet_log(folder, listed):
    log = orders(folder)
    others = (log["date"] < "1997-10-01") | ~log["customer_id"].isin(listed["customer_id"])
    more = log.assign(customer_id="x" + log["customer_id"])
    return saved(pd.concat([log[others], more]), folder / "quiet.csv")


def other_outcomes(folder):
    table = pd.read_csv(folder / "outcomes.csv", dtype=str)
    return saved(table.assign(customer_id="x" + table["customer_id"]), folder / "others.csv")


def with_currency(folder):
    table = pd.read_csv(folder / "outcomes.csv", dtype=str)
    return saved(table.assign(spend=table["spend"] + " €"), folder / "euros.csv")


def changed(folder, listed, name, how):
    """The list and its document with something else in either."""
    inside, beside = how(listed["holdout"])
    where = folder / name
    where.mkdir()
    listed.assign(**inside).to_csv(where / "list.csv", index=False)
    written_beside(where, listed["holdout"])
    document = json.loads((where / "list.json").read_text()) | beside
    again = document if "seal" in beside else sealed({**document, "seal": None})
    (where / "list.json").write_text(json.dumps(again))
    return ("--campaign", where / "list.csv", "--outcomes", folder / "outcomes.csv")


def refused_list(folder, listed):
    listed.drop(columns="holdout").to_csv(folder / "bad.csv", index=False)
    return ("--campaign", folder / "bad.csv", "--outcomes", folder / "outcomes.csv")


REFUSED = {
    "no hold-out": (lambda f, t: refused_list(f, t), 3, "no column 'holdout'"),
    "no outcome": (lambda f, t: ("--campaign", f / "list.csv"), 3, "nothing says what came"),
    "no day": (
        lambda f, t: (f / "orders.csv", "--campaign", f / "list.csv"),
        2,
        "--contacted-on DAY",
    ),
    "too early": (
        lambda f, t: (
            *(f / "orders.csv", "--campaign", f / "list.csv"),
            *("--contacted-on", "1998-06-01", "--horizon", "90d"),
        ),
        3,
        "the data end on 1998-06-30",
    ),
    "known already": (
        lambda f, t: (
            *(f / "orders.csv", "--campaign", f / "list.csv"),
            *("--contacted-on", "1997-09-30", "--horizon", "90d"),
        ),
        2,
        "the list knew purchases up to 1997-09-30",
    ),
    "late log": (
        lambda f, t: (
            *(cut_log(f, t), "--campaign", f / "list.csv"),
            *("--contacted-on", "1997-10-01", "--horizon", "90d"),
        ),
        3,
        "the data begin on 1997-11-15",
    ),
    "another shop": (
        lambda f, t: (
            *(other_log(f, t), "--campaign", f / "list.csv"),
            *("--contacted-on", "1997-10-01", "--horizon", "90d"),
        ),
        3,
        "no customer of the data is on the list",
    ),
    "nobody bought": (
        lambda f, t: (
            *(quiet_log(f, t), "--campaign", f / "list.csv"),
            *("--contacted-on", "1997-10-01", "--horizon", "90d"),
        ),
        3,
        "nobody on the list bought",
    ),
    "other ids": (
        lambda f, t: ("--campaign", f / "list.csv", "--outcomes", other_outcomes(f)),
        3,
        "the ids do not agree",
    ),
    "currency": (
        lambda f, t: ("--campaign", f / "list.csv", "--outcomes", with_currency(f)),
        3,
        "where an amount should be",
    ),
    "both groups": (
        lambda f, t: changed(f, t, "both", lambda held: ({"selected": True}, {})),
        3,
        "to be contacted and held out at once",
    ),
    "other lots": (
        lambda f, t: changed(f, t, "lots", lambda held: ({}, {"campaign": "winter"})),
        3,
        "not in the group that the lot of campaign winter put them in",
    ),
    "changed document": (
        lambda f, t: changed(f, t, "seal", lambda held: ({}, {"seal": "0"})),
        5,
        "has changed since it was written",
    ),
    "certain rate": (
        lambda f, t: (
            *("--campaign", f / "list.csv", "--outcomes", f / "outcomes.csv"),
            *("--save-rate", "0.1"),
        ),
        2,
        "is certain",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_out_is_refused(files, name):
    folder, listed, _ = files
    words, code, said = REFUSED[name]
    done = validate(*words(folder, listed))
    assert done.exit_code == code
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.output


def test_a_file_of_buyers_only_is_refused(files, tmp_path):
    folder, listed, spent = files
    some = listed[spent > 0].assign(bought=1)
    some[["customer_id", "bought"]].to_csv(tmp_path / "buyers.csv", index=False)
    done = validate("--campaign", folder / "list.csv", "--outcomes", tmp_path / "buyers.csv")
    assert done.exit_code == 3
    assert "buyers only" in done.stderr


def read(*words):
    done = validate(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_who_bought_nothing_spent_nothing_said_or_not(files, tmp_path):
    folder, listed, spent = files
    table = listed[["customer_id"]].assign(bought=(spent > 0).astype(int), spend=spent)
    plain = saved(table, tmp_path / "plain.csv")
    blank = saved(table.assign(spend=table["spend"].where(spent > 0)), tmp_path / "blank.csv")
    one, two = (read("--campaign", folder / "list.csv", "--outcomes", p) for p in (plain, blank))
    assert one["campaign"] == two["campaign"]
    assert one["campaign"]["bought"]["held"] < 0.5


def test_customers_taken_off_the_list_are_told(files, tmp_path):
    folder, listed, _ = files
    fewer = listed.drop(index=np.flatnonzero(listed["holdout"])[:3])
    fewer.to_csv(tmp_path / "list.csv", index=False)
    written_beside(tmp_path, listed["holdout"])
    found = read("--campaign", tmp_path / "list.csv", "--outcomes", folder / "outcomes.csv")
    assert "who was taken off since" in " ".join(found["warnings"])


def test_a_list_of_pseudonyms_meets_outcomes_by_ids_with_its_key(files, tmp_path):
    folder, listed, _ = files
    (tmp_path / "key").write_bytes(bytes(range(32)))
    hidden = pseudonyms(listed["customer_id"].to_numpy(object), read_key(tmp_path / "key"))
    listed.assign(customer_id=hidden).to_csv(tmp_path / "list.csv", index=False)
    written_beside(tmp_path, listed["holdout"], renamed=True)
    words = ("--outcomes", folder / "outcomes.csv")
    plain = read("--campaign", folder / "list.csv", *words)
    asked = ("--campaign", tmp_path / "list.csv", *words)
    named = read(*asked, "--pseudonymise", tmp_path / "key")
    assert named["campaign"]["spend"]["held"] == pytest.approx(plain["campaign"]["spend"]["held"])
    without = validate(*asked)
    assert without.exit_code == 3
    assert "--pseudonymise" in without.stderr


def test_the_guard_of_a_csv_is_taken_off_outcomes_too(tmp_path):
    ids = [f"={one}" for one in range(100)]
    held = np.arange(100) % 4 == 0
    guarded = [f"'{one}" for one in ids]
    listed = pd.DataFrame({"customer_id": guarded, "selected": ~held, "holdout": held})
    saved(listed, tmp_path / "l.csv")
    bought = (np.arange(100) % 3 == 0).astype(int)
    for names in (guarded, ids):
        saved(pd.DataFrame({"customer_id": names, "bought": bought}), tmp_path / "o.csv")
        found = read("--campaign", tmp_path / "l.csv", "--outcomes", tmp_path / "o.csv")
        assert [one["missing"] for one in found["campaign"]["customers"].values()] == [0, 0]
    twice = pd.DataFrame({"customer_id": [*ids, guarded[0]], "bought": [*bought, 1]})
    done = validate(
        "--campaign", tmp_path / "l.csv", "--outcomes", saved(twice, tmp_path / "o.csv")
    )
    assert (done.exit_code, "Traceback" in done.output) == (3, False)


def test_a_rate_beyond_what_can_be_is_told(files, tmp_path):
    """Contact brings 100 a customer where five could be lost."""
    folder, listed, spent = files
    table = listed[["customer_id"]].assign(spend=spent + np.where(listed["selected"], 100.0, 0.0))
    words = ("--campaign", folder / "list.csv", "--horizon", "90d", "--save-rate", "beta:8,92")
    done = validate(*words, "--outcomes", saved(table, tmp_path / "o.csv"))
    assert "it moved more than the loss" in " ".join(done.stderr.split())


def test_negative_spend_throughout_is_told(files, tmp_path):
    folder, listed, spent = files
    table = listed[["customer_id"]].assign(bought=(spent > 0).astype(int), spend=-spent)
    found = read("--campaign", folder / "list.csv", "--outcomes", saved(table, tmp_path / "o.csv"))
    assert "every amount of spend is negative" in " ".join(found["warnings"])
