"""``prioritise`` under a budget: the list, what stands beside it, who is left out and who alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import report_case
from typer.testing import CliRunner

from bayesseg.cli import app
from bayesseg.cli.scorefile import read_scores
from bayesseg.decide.holdout import held
from bayesseg.scoring import Settings, score

TERMS = ("--contact-cost", "0.2", "--save-rate", "beta:8,92", "--offer-cost", "1")
TERMS = (*TERMS, "--redeem-rate", "0.2")
COST = 0.4


@pytest.fixture(scope="module")
def shop(tmp_path_factory, cdnow_sample):
    """A run, its scores, and what an adviser knows of each customer."""
    from bayesseg.cli.shell import Shell
    from bayesseg.cli.steps.scoring import write_scores

    folder = tmp_path_factory.mktemp("shop")
    customers = report_case.customers(cdnow_sample)
    posterior = report_case.posterior(customers, "bgnbd")
    report_case.saved(posterior, folder / "run")
    scores = score(posterior, customers, Settings(margin=0.5, predictive=False))
    write_scores(scores, str(folder / "scores.parquet"), "parquet", Shell())
    rng = np.random.default_rng(3)
    ids = customers.ids
    facts = {
        "customer_id": ids,
        "adviser": rng.choice(["7", "12", ""], len(ids)),
        "consent": rng.choice(["Oui", "yes", "1", "TRUE", "no", "perhaps", ""], len(ids)),
        "contact": rng.choice([0.1, 2.0], len(ids)),
    }
    pd.DataFrame(facts).to_csv(folder / "facts.csv", index=False)
    return folder


@pytest.fixture
def call(shop, tmp_path, monkeypatch):
    """Run ``prioritise`` in a folder of its own, beside the run and the scores."""
    monkeypatch.chdir(tmp_path)
    for name in ("scores.parquet", "scores.json", "facts.csv"):
        shutil.copy(shop / name, tmp_path)

    def run(*words, scores="scores.parquet", code=0, given=None):
        words = ["prioritise", scores, *map(str, words)]
        done = CliRunner().invoke(app, words, input=given)
        assert done.exit_code == code, done.output
        return done

    return run


def listed(path="list.csv"):
    return pd.read_csv(path, dtype={"customer_id": str})


def beside(path="list.json"):
    return json.loads(Path(path).read_text())


def test_a_budget_is_spent_on_those_whose_benefit_is_above_its_cost(shop, call):
    call("--model", shop / "run", *TERMS, "--budget", 20, "-o", "list.csv")
    found, document, scores = listed(), beside(), read_scores(shop / "scores.parquet")
    at_risk = scores.set_index("customer_id")["value_at_risk"]
    net = 0.08 * at_risk.loc[found["customer_id"]].to_numpy() - COST
    np.testing.assert_allclose(found["net_benefit"], net, atol=0.0051)
    assert (found["net_benefit"] > 0).all()
    assert found["net_benefit"].is_monotonic_decreasing
    assert len(found) == 50
    assert document["cost"] == pytest.approx(20.0)
    best = np.sort(0.08 * at_risk[scores["p_alive"].to_numpy() >= 0.5] - COST)[::-1]
    assert document["net_benefit"]["mean"] == pytest.approx(best[:50].sum())
    assert document["gap"]["fractional_optimum"] == pytest.approx(best[:50].sum(), rel=1e-6)
    assert found["p_positive"].between(0, 1).all()
    assert (found["net_benefit_lo"] <= found["net_benefit_hi"]).all()


def test_every_setting_that_decides_the_list_is_beside_it_and_said(shop, call):
    done = call(
        *("--model", shop / "run", *TERMS, "--budget", 20, "-o", "list.csv"),
        *("--holdout", 0.2, "--campaign", "june", "--list", "save"),
    )
    document = beside()
    assert document["terms"]["save_rate"] == {"mean": 0.08, "beta": [8.0, 92.0]}
    assert document["terms"]["cost_per_contact"] == {"least": COST, "most": COST}
    assert (document["list"], document["margin"], document["money"]) == ("save", 0.5, "margin")
    assert (document["campaign"], document["holdout"]) == ("june", 0.2)
    assert (document["draws"], document["seed"]) == (400, 1)
    assert document["limits"] == {"budget": 20.0, "count": None, "capacity": None}
    assert document["table"]["rows"] == len(listed())
    assert document["model_id"] == read_scores(shop / "scores.parquet")["model_id"][0]
    for words in ("save rate 8%", "budget 20", "hold-out of campaign june", "80 % power"):
        assert words in done.stderr
    assert not set(listed()["customer_id"]) & set(json.dumps(document).split('"'))


def test_those_held_out_are_listed_marked_and_not_paid_for(shop, call):
    words = (*TERMS, "--holdout", "0.3", "--campaign", "june", "--count", "60", "-o", "list.csv")
    call(*words)
    found, document = listed(), beside()
    assert (found["selected"] ^ found["holdout"]).all()
    np.testing.assert_array_equal(
        found["holdout"], held(found["customer_id"].to_numpy(object), "june", 0.3)
    )
    assert found["selected"].sum() == 60
    assert document["cost"] == pytest.approx(60 * COST)
    assert document["counts"]["held_out"] == found["holdout"].sum()
    call(*words, "--budget", 10, "--force")
    fewer = listed()
    both = fewer.merge(found, on="customer_id", suffixes=("", "_before"))
    assert (both["holdout"] == both["holdout_before"]).all()


def test_the_effect_a_hold_out_can_show_needs_the_run_for_spend(shop, call):
    words = (*TERMS, "--holdout", 0.3, "--campaign", "june", "-o", "list.csv")
    call(*words)
    plain = beside()["detectable"]
    call(*words, "--model", shop / "run", "--force")
    known = beside()["detectable"]
    assert "spend" not in plain
    assert known["rise"] == plain["rise"]
    buying = 1 - listed()["p_churn"].mean()
    assert known["buying"] == pytest.approx(buying, abs=1e-4)
    assert known["spend"] > 0


def test_without_a_run_there_is_an_expectation_and_no_interval(call):
    done = call(*TERMS, "-o", "list.csv")
    assert "net_benefit" in listed()
    assert "net_benefit_lo" not in listed()
    assert "contact_before" not in listed()
    assert "without --model RUN" in done.stderr


def test_without_a_save_rate_the_list_goes_by_value_and_says_that_benefit_is_unknown(call):
    done = call("--contact-cost", 2, "--budget", 20, "-o", "list.csv")
    assert len(listed()) == 10
    assert listed()["value"].is_monotonic_decreasing
    assert "net_benefit" not in listed()
    assert "unknown (no save rate given)" in done.stderr
    assert "curve" not in beside()


def test_who_has_not_said_yes_is_not_listed(shop, call):
    done = call("--attributes", "facts.csv", "--permission-column", "consent", "-o", "list.csv")
    facts = pd.read_csv(shop / "facts.csv", dtype=str, keep_default_na=False)
    said = facts.set_index("customer_id")["consent"].loc[listed()["customer_id"]]
    assert set(said) == {"Oui", "yes", "1", "TRUE"}
    permission = beside()["permission"]
    total = sum(permission[name] for name in ("yes", "no", "blank"))
    assert (permission["yes"], total) == (len(listed()), total)
    assert "are blank and may not either" in done.stderr


@pytest.mark.parametrize("given", ["9", "capacity.csv"])
def test_an_adviser_has_no_more_than_fits(shop, call, given, tmp_path):
    (tmp_path / "capacity.csv").write_text("adviser,contacts\n12,4\n7,9\n99,1\n")
    words = ("--attributes", "facts.csv", "--capacity-column", "adviser", "--capacity", given)
    done = call(*words, "-o", "list.csv")
    facts = pd.read_csv(shop / "facts.csv", dtype=str, keep_default_na=False)
    own = facts.set_index("customer_id")["adviser"].loc[listed()["customer_id"]]
    expected = {"7": 9, "12": 9 if given == "9" else 4}
    assert own.value_counts().to_dict() == expected
    assert beside()["limits"]["capacity"]["contacts"] == expected
    assert "have no adviser" in done.stderr


def test_a_cost_of_each_customer_orders_by_benefit_per_cost(call):
    words = ("--attributes", "facts.csv", "--contact-cost", "contact", "--save-rate", "0.1")
    call(*words, "-o", "list.csv")
    found = listed()
    assert set(found["cost"]) == {0.1, 2.0}
    ratio = (0.1 * found["value"] - found["cost"]) / found["cost"]
    assert (ratio.diff().dropna() < 0.15).all()  # but for rounding


def test_contact_before_is_the_day_on_which_p_alive_falls_below_a_half(shop, call, cdnow_sample):
    """Scored again with a later end and no purchase since: the very day decides."""
    from dataclasses import replace
    from datetime import timedelta

    call("--model", shop / "run", "--count", 40, "-o", "list.csv")
    found = listed()
    customers = report_case.customers(cdnow_sample)
    posterior = report_case.posterior(customers, "bgnbd")
    some = found.dropna(subset="contact_before").iloc[[0, 10, 30]]
    for row in some.itertuples():
        wait = (pd.Timestamp(row.contact_before).date() - customers.as_of).days
        one = customers.take(customers.ids == row.customer_id)
        alive = []
        for days in (wait - 1, wait):
            later = replace(
                one, t_end=one.t_end + days, as_of=customers.as_of + timedelta(days=days)
            )
            again = score(posterior, later, Settings(predictive=False, margin=0.5))
            alive.append(again.table["p_alive"][0])
        assert alive[0] >= 0.5 > alive[1]


def test_the_curve_goes_to_a_file(call):
    call(*TERMS, "--curve", "curve.csv", "-o", "list.csv")
    points = pd.read_csv("curve.csv")
    assert points.columns.tolist() == ["contacts", "cost", "net_benefit", "lo", "hi"]
    np.testing.assert_allclose(points["cost"], COST * points["contacts"])
    assert points["net_benefit"].iloc[-1] == pytest.approx(beside()["net_benefit"]["mean"])
    assert points["lo"].isna().all()


def test_scores_on_stdin_need_somebody_who_answers_for_them(shop, call):
    content = (shop / "scores.parquet").read_bytes()
    refused = call(scores="-", given=content, code=2)
    assert "do not say whether the gates were passed" in refused.stderr
    words = ("--document", "scores.json", "--model", shop / "run", *TERMS, "--json")
    piped = json.loads(call(*words, scores="-", given=content).stdout)["customers"]
    plain = json.loads(call("--model", shop / "run", *TERMS, "--json").stdout)["customers"]
    assert piped == plain
    call("--model", shop / "run", "--count", 3, scores="-", given=content)
    blind = call("--model", shop / "run", *TERMS, "--json", scores="-", given=content)
    assert "give --document FILE for intervals" in blind.stderr
    assert [one["net_benefit"] for one in json.loads(blind.stdout)["customers"]] == [
        one["net_benefit"] for one in plain
    ]
    changed = pd.read_parquet(shop / "scores.parquet").head(50).to_csv(index=False).encode()
    late = call("--document", "scores.json", scores="-", given=changed, code=5)
    assert "has changed since it was scored" in late.stderr
    assert "/tmp" not in late.stderr


def test_a_csv_or_a_parquet_of_scores_gives_the_same_list(shop, call):
    from bayesseg.cli.shell import Shell
    from bayesseg.cli.steps.scoring import write_scores
    from bayesseg.scoring import Scores

    document = json.loads((shop / "scores.json").read_text())
    table = read_scores(shop / "scores.parquet")
    table = table.assign(as_of=pd.to_datetime(table["as_of"])).iloc[::-1]
    write_scores(Scores(table, document), "other.csv", "csv", Shell())
    words = ("--model", shop / "run", *TERMS, "--budget", 20, "--json")
    one, two = (
        json.loads(call(*words, scores=name).stdout)["customers"]
        for name in ("scores.parquet", "other.csv")
    )
    assert one == two


def test_the_key_is_called_by_the_flag_that_gives_it(call, tmp_path):
    (tmp_path / "weak").write_text("short")
    (tmp_path / "no.txt").write_text("nobody\n")
    done = call("--suppress-list", "no.txt", "--pseudonymise", "weak", code=2)
    assert "--pseudonymise" in done.stderr
    assert "--suppress-key" not in done.stderr
    (tmp_path / "stones.txt").write_text("bayesseg tombstones 0123456789abcdef\npaa\n")
    done = call("--suppress-list", "stones.txt", code=2)
    assert "--pseudonymise" in done.stderr
    assert "--suppress-key" not in done.stderr


def test_neither_scores_nor_their_document_are_written_over(call):
    for name in ("scores.csv", "scores.parquet"):
        done = call("-o", name, "--force", code=2)
        assert "belong to the scores" in done.stderr
    call("--count", 1, "-o", "list.csv")
    done = call("--count", 1, "-o", "list.csv", code=2)
    assert "list.csv exists already" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--save-rate", "0.1"), "the cost of a contact is not given"),
        (("--save-rate", "1.1", "--contact-cost", "1"), "no save rate"),
        (("--contact-cost", "-1"), "not a cost of 0 or more"),
        (("--contact-cost", "nan"), "not a cost of 0 or more"),
        (("--contact-cost", "fee"), "there is no such attribute"),
        (("--contact-cost", "1", "--offer-cost", "2"), "give both"),
        (("--budget", "inf", "--contact-cost", "1"), "is not a number"),
        (("--contact-cost", "1", "--offer-cost", "inf", "--redeem-rate", "1"), "is not a number"),
        (("--budget", "10"), "their cost is not given"),
        (("--capacity", "10"), "give both"),
        (("--capacity", "ten", "--capacity-column", "adviser"), "there is no such attribute"),
        (("--permission-column", "consent"), "give --attributes FILE"),
        (("--holdout", "0.1"), "needs its share and the name"),
        (("--campaign", "june"), "needs its share and the name"),
        (("--since", "x.parquet", "--count", "3"), "--count says nothing there"),
        (("--since", "x.parquet", "--list", "win-back"), "--list says nothing there"),
        (("--since", "x.parquet", "--curve", "c.csv"), "--curve says nothing there"),
        (("--save-rate", "0", "--contact-cost", "1"), "no contact works"),
        (("--holdout", "1.5", "--campaign", "june"), "is no group"),
        (("--curve", "curve.csv"), "is not known"),
        (("--document", "scores.json"), "is about scores on stdin"),
    ],
)
def test_what_makes_no_sense_is_said(call, words, says):
    assert says in call(*words, code=2).stderr


@pytest.mark.parametrize("head", ["adviser;n", "client;n", "adviser;customers"])
def test_a_table_of_capacities_is_read_as_every_table_is(shop, call, tmp_path, head):
    (tmp_path / "c.csv").write_text(f"{head}\n7;9\n12;4\n")
    facts = pd.read_csv(shop / "facts.csv", dtype=str, keep_default_na=False)
    words = ("--attributes", "facts.csv", "--capacity-column", "adviser", "--capacity", "c.csv")
    if head.endswith("customers"):  # names that are text, a number called like an id
        (tmp_path / "c.csv").write_text(f"{head}\nn7;9\nn12;4\n")
        named = facts.assign(adviser=("n" + facts["adviser"]).where(facts["adviser"] != "", ""))
        named.to_csv("facts.csv", index=False)
    call(*words, "-o", "list.csv")
    contacts = beside()["limits"]["capacity"]["contacts"]
    assert sorted(contacts.values()) == [4, 9]


def test_a_part_of_a_contact_is_no_capacity(call, tmp_path):
    (tmp_path / "c.csv").write_text("adviser;n\n7;9\n12;2,9\n")
    words = ("--attributes", "facts.csv", "--capacity-column", "adviser", "--capacity", "c.csv")
    assert "names and whole numbers" in call(*words, code=2).stderr


def test_a_list_on_which_nobody_is_contacted_says_why(call):
    done = call("--contact-cost", "1e9", "--save-rate", "0.5", "-o", "list.csv")
    assert "nobody is contacted: no contact brings more than it costs" in done.stderr
    done = call("--contact-cost", "5", "--budget", "1", "-o", "none.csv")
    assert "nobody is contacted: the limits leave room for none" in done.stderr


def test_tombstones_have_a_key_of_their_own_and_ids_leave_as_they_are(shop, call, tmp_path):
    from bayesseg.ingest import pseudonyms, read_key

    (tmp_path / "key").write_bytes(bytes(range(32)))
    key = read_key(tmp_path / "key")
    ids = read_scores(shop / "scores.parquet")["customer_id"]
    words = ("--count", 20, "-o")
    call(*words, "all.csv")
    gone = listed("all.csv")["customer_id"].head(5)
    stones = "\n".join(pseudonyms(gone.to_numpy(object), key))
    (tmp_path / "stones.txt").write_text(f"bayesseg tombstones {key.check}\n{stones}\n")
    call("--suppress-list", "stones.txt", "--suppress-key", "key", *words, "fewer.csv")
    assert not set(listed("fewer.csv")["customer_id"]) & set(gone)
    assert set(listed("fewer.csv")["customer_id"]) <= set(ids)
    assert beside("fewer.json")["suppressed"]["count"] == 5


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_who_no_longer_listens_does_not_stop_the_list(shop, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    words = ["prioritise", shop / "scores.parquet", "--count", "5", "-o", tmp_path / "list.csv"]
    done = subprocess.run([sys.executable, "-m", "bayesseg", *words], stderr=writing, check=False)
    os.close(writing)
    assert done.returncode == 0
    assert len(listed(tmp_path / "list.csv")) == 5
    assert (tmp_path / "list.json").exists()


def test_an_adviser_without_a_capacity_is_named(call, tmp_path):
    (tmp_path / "capacity.csv").write_text("adviser,contacts\n7,9\n")
    words = ("--capacity-column", "adviser", "--capacity", "capacity.csv")
    done = call("--attributes", "facts.csv", *words, code=2)
    assert "no row for 12" in done.stderr


def test_a_list_that_nobody_is_worth_is_written_empty(shop, call):
    words = ("--contact-cost", "1e9", "--save-rate", "0.5", "--model", shop / "run")
    call(*words, "--holdout", 0.5, "--campaign", "june", "-o", "list.csv")
    assert len(listed()) == 0
    assert beside()["counts"]["contacted"] == 0
    (shop / "all.txt").write_text("\n".join(read_scores(shop / "scores.parquet")["customer_id"]))
    words = ("--suppress-list", shop / "all.txt", "--attributes", "facts.csv")
    call(*words, "--permission-column", "consent", "-o", "none.csv")
    assert len(listed("none.csv")) == 0


def test_the_reasons_of_a_list_may_be_in_french(call):
    call("--count", "20", "-o", "list.csv", "--lang", "fr")
    reasons = listed()["reason"]
    assert reasons.str.match("achète tous les|achète chaque jour|a acheté une fois").all()
    assert reasons.str.contains("sans achat depuis").all()
    refused = call("--since", "scores.parquet", "--lang", "fr", code=2)
    assert "--lang says nothing there" in refused.stderr
