"""The Monday view: who moved, why, and what of it is only a new model."""

import json

import numpy as np
import pandas as pd
import pytest
import report_case
from typer.testing import CliRunner

from bayesseg.cli import app
from bayesseg.cli.shell import Shell
from bayesseg.cli.steps.scoring import write_scores
from bayesseg.customers import summarise
from bayesseg.decide.histories import customers_of
from bayesseg.decide.since import since
from bayesseg.errors import InputRejected, UsageError
from bayesseg.ingest import read_purchases
from bayesseg.scoring import Settings, score

ORDER = ("low", "medium", "high")
ROW = {
    "frequency": 4,
    "T": 300,
    "monetary_value": 50.0,
    "days_since_last": 20,
    "typical_gap_days": 30.0,
    "p_churn": 0.2,
    "clv": 100.0,
    "value_at_risk": 10.0,
    "model_id": "a",
    "as_of": "2025-06-01",
    "horizon_days": 90,
    "value_horizon_days": 365,
}


def table(as_of="2025-06-01", **customers):
    rows = [ROW | {"as_of": as_of, "customer_id": name} | row for name, row in customers.items()]
    return pd.DataFrame(rows)


def tiers(scores):
    p = scores["p_churn"]
    return pd.Series(np.select([p < 0.33, p < 0.66], ORDER[:2], ORDER[2]), index=scores.index)


def compared(now, last, **words):
    return since(now, last, (tiers(now), tiers(last)), ORDER, **words)


MOVED = {
    "silent": (
        {},
        {"p_churn": 0.5, "days_since_last": 50},
        "fell",
        "silent 30 more days, 50 in all",
    ),
    "time": ({"p_churn": 0.32}, {"p_churn": 0.34, "days_since_last": 25}, "fell", "silent 5 more"),
    "bought": (
        {"p_churn": 0.5},
        {"p_churn": 0.2, "frequency": 6, "monetary_value": 60.0, "days_since_last": 1},
        "rose",
        "bought again (2), last 1 days ago, mean spend +20%",
    ),
    "taken back": ({}, {"p_churn": 0.7, "frequency": 3}, "fell", "1 purchases taken back"),
}


@pytest.mark.parametrize("cause", MOVED)
def test_each_move_has_its_cause_and_its_words(cause):
    before, after, move, said = MOVED[cause]
    found = compared(table("2025-07-01", a=after), table(a=before)).rows
    assert found[["move", "cause"]].values.tolist() == [[move, cause]]
    assert said in found["reason"].iloc[0]


def test_who_comes_and_who_goes_is_told_with_their_money():
    last = table(gone={"clv": 70.0}, stays={})
    now = table("2025-06-08", stays={}, new={"clv": 30.0, "T": 3, "frequency": 0})
    found = compared(now, last)
    assert found.rows[["customer_id", "move", "change"]].values.tolist() == [
        ["new", "entered", 30.0],
        ["gone", "left", -70.0],
    ]
    assert found.rows["reason"].tolist() == ["first purchase 3 days ago", "no longer in the scores"]
    assert found.document["days"] == 7


def test_within_a_tier_nothing_is_news_however_many_tremble():
    rng = np.random.default_rng(1)
    names = [f"c{i}" for i in range(200)]
    churn = rng.uniform(0.05, 0.28, 200)
    last = table(**{n: {"p_churn": p} for n, p in zip(names, churn, strict=True)})
    now = table(
        "2025-06-02", **{n: {"p_churn": p + 0.04} for n, p in zip(names, churn, strict=True)}
    )
    found = compared(now, last)
    assert len(found.rows) == 0
    assert found.document["moves"]["stayed"]["customers"] == 200


def test_counts_and_money_add_up_and_the_most_money_stands_first():
    last = table(a={}, b={"clv": 500.0}, c={"p_churn": 0.9}, d={})
    now = table(
        "2025-06-20",
        a={"p_churn": 0.5, "clv": 60.0, "days_since_last": 39},
        b={"p_churn": 0.7, "clv": 90.0, "days_since_last": 39},
        c={"p_churn": 0.1, "clv": 180.0, "frequency": 5},
        d={"days_since_last": 39},
    )
    found = compared(now, last)
    assert found.rows["customer_id"].tolist() == ["b", "a", "c"]
    fell = found.document["moves"]["fell"]
    assert (fell["customers"], fell["clv_before"], fell["clv_now"]) == (2, 600.0, 150.0)
    assert fell["causes"] == {"silent": {"customers": 2, "change": -450.0}}
    before = sum(one["clv_before"] for one in found.document["moves"].values())
    assert before == last["clv"].sum()


def test_rows_may_stand_in_any_order():
    last = table(a={}, b={}, c={"p_churn": 0.9})
    now = table("2025-06-20", a={"p_churn": 0.9}, b={}, c={})
    one, other = compared(now, last), compared(now[::-1], last.sample(frac=1.0, random_state=1))
    pd.testing.assert_frame_equal(one.rows, other.rows)
    assert one.document == other.document


def test_a_new_model_is_told_apart_from_what_customers_did():
    """a: nothing but the model moved it. b: it went silent, and the model hardly mattered."""
    last = table(a={}, b={})
    again = table(a={"p_churn": 0.5, "clv": 70.0}, b={"p_churn": 0.22, "clv": 95.0})
    now = table(
        "2025-06-20",
        a={"p_churn": 0.51, "clv": 68.0, "days_since_last": 39, "model_id": "b"},
        b={"p_churn": 0.6, "clv": 40.0, "days_since_last": 39, "model_id": "b"},
    )
    found = compared(now, last, again=again)
    assert found.rows.set_index("customer_id")["cause"].to_dict() == {"a": "model", "b": "silent"}
    assert found.rows.set_index("customer_id")["by_model"].to_dict() == {"a": -30.0, "b": -5.0}
    assert found.document["told_apart"]


def test_without_the_new_run_only_what_silence_cannot_do_is_laid_to_the_model():
    last = table(a={"p_churn": 0.5}, b={})
    now = table("2025-06-20", a={"model_id": "b"}, b={"p_churn": 0.5, "model_id": "b"})
    found = compared(now, last)
    assert found.rows.set_index("customer_id")["cause"].to_dict() == {"a": "model", "b": "time"}
    assert not found.document["told_apart"]
    assert "by_model" not in found.rows


def test_other_horizons_and_an_earlier_day_are_refused():
    with pytest.raises(UsageError, match="other horizons"):
        compared(table(a={"horizon_days": 30}), table(a={}))
    with pytest.raises(UsageError, match="7 days later"):
        compared(table(a={}), table("2025-06-08", a={}))
    with pytest.raises(InputRejected, match="have no clv"):
        compared(table(a={}).drop(columns="clv"), table(a={}))
    with pytest.raises(InputRejected, match="of nobody"):
        compared(table(a={}), table(a={}).head(0))


@pytest.fixture(scope="module")
def files(tmp_path_factory, cdnow_orders):
    """Scores of a month apart, and the first customers under a model that thinks less of them."""
    folder = tmp_path_factory.mktemp("since")
    settings = Settings(90, 365, predictive=False)
    with read_purchases(cdnow_orders) as purchases:
        known = {day: summarise(purchases, as_of=f"1997-{day}") for day in ("09-30", "10-31")}
    old = report_case.posterior(known["09-30"], "bgnbd")
    parts = dict(old.parts)
    values = parts["purchase"].values
    parts["purchase"] = report_case.draws({**values, "rate": 0.5 * values["rate"]})
    new = report_case.replace(
        old, parts=parts, manifest={**old.manifest, "model_id": "beef" * 16, "as_of": "1997-09-30"}
    )
    later = report_case.replace(new, manifest={**new.manifest, "as_of": "1997-10-31"})
    for name, posterior, day in (
        ("last", old, "09-30"),
        ("same", old, "10-31"),
        ("refit", new, "09-30"),
        ("later", later, "10-31"),
    ):
        scores = score(posterior, known[day], settings)
        write_scores(scores, str(folder / f"{name}.parquet"), "parquet", Shell())
    report_case.saved(old, folder / "old")
    report_case.saved(new, folder / "new")
    report_case.saved(later, folder / "fitted_later")
    for name, words, some in (
        ("margin", {"margin": 0.3}, known["10-31"]),
        ("other", {}, report_case.replace(known["10-31"], ids=known["10-31"].ids + "x")),
        ("half", {}, known["10-31"].take(np.arange(0, len(known["10-31"]), 2))),
    ):
        scores = score(old, some, report_case.replace(settings, **words))
        write_scores(scores, str(folder / f"{name}.parquet"), "parquet", Shell())
    bare = pd.DataFrame({"customer_id": ["a"], "model_id": ["m"], "segment": ["s"]})
    bare_document = {"model_id": "m", "settings": {"margin": 1.0, "annual_discount": 0.1}}
    document = {**scores.document, **bare_document}
    write_scores(
        report_case.replace(scores, table=bare, document=document),
        str(folder / "segs.parquet"),
        "parquet",
        Shell(),
    )
    return folder, new, settings


def prioritise(*words):
    return CliRunner().invoke(app, ["prioritise", *map(str, words)])


def test_a_month_moves_customers_and_each_says_why(files):
    folder, _, _ = files
    done = prioritise(folder / "same.parquet", "--since", folder / "last.parquet", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert not found["since"]["model_changed"]
    moves = found["since"]["moves"]
    assert moves["fell"]["customers"] > 20 < moves["rose"]["customers"]
    assert set(moves["rose"]["causes"]) == {"bought"}
    assert {one["cause"] for one in found["customers"]} <= {"bought", "silent", "time"}


def test_at_the_same_histories_all_that_changed_is_the_model(files):
    folder, new, settings = files
    last = pd.read_parquet(folder / "last.parquet")
    now = pd.read_parquet(folder / "refit.parquet")
    again = score(new, customers_of(last), settings).table
    found = compared(now, last, again=again)
    assert len(found.rows) > 20
    assert set(found.rows["cause"]) == {"model"}
    change, part = (found.rows[name].sum() for name in ("change", "by_model"))
    assert part == pytest.approx(change, rel=0.01)


def test_the_verb_tells_a_refit_apart_with_the_run_and_says_so_without(files):
    folder, _, _ = files
    words = (folder / "refit.parquet", "--since", folder / "last.parquet")
    blind = prioritise(*words)
    assert "give --model RUN" in " ".join(blind.stderr.split())
    told = prioritise(*words, "--model", folder / "new")
    assert told.exit_code == 0, told.output
    assert "is the new model's doing" in told.stdout


def test_the_rows_are_written_with_their_sums_beside(files, tmp_path):
    folder, _, _ = files
    words = (folder / "same.parquet", "--since", folder / "last.parquet")
    done = prioritise(*words, "-o", tmp_path / "monday.csv")
    assert done.exit_code == 0, done.output
    rows = pd.read_csv(tmp_path / "monday.csv", dtype={"customer_id": str})
    beside = json.loads((tmp_path / "monday.json").read_text())
    moves = beside["moves"]
    assert len(rows) == sum(moves[m]["customers"] for m in ("fell", "rose", "entered", "left"))
    assert prioritise(*words, "-o", tmp_path / "monday.csv").exit_code == 2


def test_who_objected_is_on_neither_side(files, tmp_path):
    folder, _, _ = files
    words = (folder / "same.parquet", "--since", folder / "last.parquet", "--json")
    all_of_them = json.loads(prioritise(*words).stdout)["customers"]
    (tmp_path / "stop.txt").write_text(all_of_them[0]["customer_id"] + "\n")
    fewer = json.loads(prioritise(*words, "--suppress-list", tmp_path / "stop.txt").stdout)
    assert fewer["customers"] == all_of_them[1:]
    assert fewer["since"]["moves"]["left"]["customers"] == 0


def test_a_run_fitted_to_a_later_day_tells_apart_what_it_moved(files):
    folder, _, _ = files
    words = (folder / "later.parquet", "--since", folder / "last.parquet", "--json")
    done = prioritise(*words, "--model", folder / "fitted_later")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["since"]
    assert (found["model_changed"], found["told_apart"]) == (True, True)
    assert "model" in {cause for one in found["moves"].values() for cause in one["causes"]}


REFUSED = {
    "margin": (2, "count money in other ways (margin 1.0, now 0.3)"),
    "other": (3, "no customer of the last scoring is in these scores"),
    "segs": (3, "have no p_churn"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_scores_that_do_not_compare_are_refused(files, name):
    folder, _, _ = files
    code, said = REFUSED[name]
    done = prioritise(folder / f"{name}.parquet", "--since", folder / "last.parquet")
    assert (done.exit_code, said in " ".join(done.stderr.split())) == (code, True), done.output


def test_half_the_customers_gone_are_doubted(files):
    folder, _, _ = files
    done = prioritise(folder / "half.parquet", "--since", folder / "last.parquet")
    assert done.exit_code == 0, done.output
    assert "are gone" in done.stderr
    assert "of the same shop" in " ".join(done.stderr.split())
    whole = prioritise(folder / "same.parquet", "--since", folder / "last.parquet")
    assert "of the same shop" not in " ".join(whole.stderr.split())
