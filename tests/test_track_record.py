"""The track record: promises beside what came, counted by pandas; a log that doubles nothing."""

import json
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest
import report_case
from typer.testing import CliRunner

from bayesseg.cli import app
from bayesseg.cli.shell import Shell
from bayesseg.cli.steps.people import pseudonymous
from bayesseg.cli.steps.scoring import write_scores
from bayesseg.customers import summarise
from bayesseg.errors import ArtefactBad, InputRejected
from bayesseg.ingest import pseudonyms, read_key, read_purchases
from bayesseg.report.blocks import Beside, Context
from bayesseg.report.sections.record import section
from bayesseg.report.words import load_words
from bayesseg.scoring import Settings, score
from bayesseg.validation import record

AS_OF, UNTIL, PAID = date(1997, 9, 30), date(1997, 12, 29), date(1998, 3, 29)
SETTINGS = Settings(horizon_days=90, value_horizon_days=180, margin=0.5, annual_discount=0.2)


@pytest.fixture(scope="module")
def scored(cdnow_orders):
    with read_purchases(cdnow_orders) as purchases:
        known = summarise(purchases, as_of=AS_OF)
    posterior = report_case.posterior(known, "bgnbd")
    return posterior, score(posterior, known, SETTINGS)


@pytest.fixture(scope="module")
def days(cdnow_orders):
    """One row a purchase day: what pandas sums up."""
    rows = cdnow_orders.groupby(["customer_id", "date"], as_index=False)["amount"].sum()
    return rows.assign(date=rows["date"].dt.date)


def document_of(scores, sha="one"):
    return {**scores.document, "table": {"sha256": sha}}


def judged(scores, orders, last=date(1998, 6, 30), named=None):
    with read_purchases(orders) as purchases:
        words = (named,) if named else ()
        return record.judge(scores.table, document_of(scores), purchases, last, *words)


@pytest.fixture(scope="module")
def entry(scored, cdnow_orders):
    return judged(scored[1], cdnow_orders)


def test_totals_and_customers_are_those_that_pandas_counts(scored, days, entry):
    table = scored[1].table
    came = days[(days["date"] > AS_OF) & (days["date"] <= UNTIL)].groupby("customer_id").size()
    came = came.reindex(table["customer_id"]).fillna(0).to_numpy()
    within = (table["purchases_pred_lo"] <= came) & (came <= table["purchases_pred_hi"])
    total, each = entry["totals"]["purchases"], entry["each"]
    assert total["actual"] == came.sum()
    assert total["mean"] == pytest.approx(table["expected_purchases"].sum())
    assert each["purchases"]["mae"] == pytest.approx(
        np.abs(table["expected_purchases"] - came).mean()
    )
    assert each["purchases"]["coverage"] == pytest.approx(within.mean())
    assert each["active"]["actual"] == (came > 0).sum()
    assert each["active"]["expected"] == pytest.approx((1 - table["p_churn"]).sum())


def test_money_is_discounted_and_multiplied_by_the_margin_as_the_forecast_was(days, entry):
    rows = days[(days["date"] > AS_OF) & (days["date"] <= PAID)]
    later = np.array([(day - AS_OF).days for day in rows["date"]])
    worth = (0.5 * rows["amount"] * 1.2 ** (-later / 365.25)).sum()
    assert entry["totals"]["money"]["actual"] == pytest.approx(worth, rel=1e-12)


def test_the_interval_of_a_total_is_that_of_the_scores(scored, entry):
    forecast = scored[1].document["totals"]["expected_purchases"]
    total = entry["totals"]["purchases"]
    assert (total["lo"], total["hi"]) == (forecast["pred_lo"], forecast["pred_hi"])
    assert total["inside"] == (forecast["pred_lo"] <= total["actual"] <= forecast["pred_hi"])


def test_a_horizon_that_has_not_passed_is_refused_with_the_day_it_will_have(scored, cdnow_orders):
    with pytest.raises(InputRejected, match="data end on 1997-12-28") as refused:
        judged(scored[1], cdnow_orders, UNTIL - timedelta(days=1))
    assert refused.value.code == "too_early"
    assert "1997-12-29" in refused.value.fix


def test_money_waits_for_its_own_horizon(scored, cdnow_orders):
    found = judged(scored[1], cdnow_orders, PAID - timedelta(days=1))
    assert found["totals"]["money"] is None
    assert found["money_from"] == "1998-03-29"
    assert found["totals"]["purchases"]["actual"] > 0


def test_a_log_of_what_came_alone_gives_the_same_totals(scored, cdnow_orders, entry):
    later = cdnow_orders[cdnow_orders["date"].dt.date > AS_OF]
    found = judged(scored[1], later)
    assert found["totals"] == entry["totals"]
    assert found["customers"]["absent"] == 0


def test_a_log_that_begins_within_the_horizon_is_refused(scored, cdnow_orders):
    day = cdnow_orders["date"].dt.date
    found = judged(scored[1], cdnow_orders[day > AS_OF + timedelta(days=record.CLOSED_DAYS)])
    assert found["totals"]["purchases"]["actual"] > 0
    with pytest.raises(InputRejected, match="the data begin on 1997-10-07") as refused:
        judged(scored[1], cdnow_orders[day > AS_OF + timedelta(days=1 + record.CLOSED_DAYS)])
    assert refused.value.code == "too_late"


def test_the_log_of_another_shop_is_refused(scored, cdnow_orders):
    day = cdnow_orders["date"].dt.date
    other = cdnow_orders.assign(customer_id="x" + cdnow_orders["customer_id"])
    for log in (other, other[day > AS_OF]):
        with pytest.raises(InputRejected, match="no customer of the scores is in the data"):
            judged(scored[1], log)


def test_erased_customers_are_left_out_and_totals_scaled_to_the_others(scored, cdnow_orders, entry):
    table = scored[1].table
    erased = table["customer_id"].iloc[1::8]
    found = judged(scored[1], cdnow_orders[~cdnow_orders["customer_id"].isin(erased)])
    kept = table.loc[~table["customer_id"].isin(erased), "expected_purchases"].sum()
    share = kept / table["expected_purchases"].sum()
    total = found["totals"]["purchases"]
    assert found["customers"]["absent"] == len(erased)
    assert total["mean"] == pytest.approx(kept)
    assert total["hi"] == pytest.approx(share * entry["totals"]["purchases"]["hi"])


def test_who_was_not_scored_is_counted_and_no_part_of_the_totals(scored, cdnow_orders, entry):
    more = pd.DataFrame(
        {
            "customer_id": ["old", "old", "new"],
            "date": pd.to_datetime(["1997-09-01", "1997-10-10", "1997-11-01"]),
            "amount": [10.0, 10.0, 10.0],
        }
    )
    found = judged(scored[1], pd.concat([cdnow_orders, more]))
    counted = found["customers"]
    assert (counted["unscored"], counted["newcomers"]) == (1, 1)
    assert found["totals"] == entry["totals"]


def test_rows_that_came_late_are_counted(scored, cdnow_orders):
    table = scored[1].table
    late = pd.DataFrame(
        {
            "customer_id": table["customer_id"].iloc[:7],
            "date": pd.Timestamp("1997-09-29"),
            "amount": 10.0,
        }
    )
    assert judged(scored[1], pd.concat([cdnow_orders, late]))["customers"]["changed"] == 7


def test_pseudonymous_scores_are_judged_with_their_key_as_the_others_are(
    scored, cdnow_orders, entry, tmp_path
):
    path = tmp_path / "key"
    path.write_bytes(bytes(range(32)))
    key = read_key(path)
    hidden = pseudonymous(scored[1], key)
    found = judged(hidden, cdnow_orders, named=lambda ids: pseudonyms(ids, key))
    for name, total in entry["totals"].items():
        assert found["totals"][name] == pytest.approx(total)
    assert found["each"]["active"] == pytest.approx(entry["each"]["active"])


def test_scores_of_attributes_alone_promise_nothing(scored, cdnow_orders):
    bare = scored[1].table.drop(columns="p_churn")
    with (
        read_purchases(cdnow_orders) as purchases,
        pytest.raises(InputRejected, match="forecast no purchases"),
    ):
        record.judge(bare, document_of(scored[1]), purchases, UNTIL)


def test_the_entry_names_nobody(scored, entry):
    text = json.dumps(entry)
    assert not [one for one in scored[1].table["customer_id"] if f'"{one}"' in text]


def test_the_same_scores_are_one_entry_and_others_another(entry, tmp_path):
    log = tmp_path / "log.jsonl"
    later = {**entry, "scores": "two", "as_of": "1997-12-31", "until": "1998-03-31"}
    assert len(record.append(log, later)) == 1
    assert len(record.append(log, entry)) == 2
    again = record.append(log, {**entry, "judged_at": "2030-01-01T00:00:00+00:00"})
    assert [one["as_of"] for one in again] == ["1997-09-30", "1997-12-31"]
    assert again[0]["judged_at"].startswith("2030")
    assert record.read(log) == again
    assert len(log.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json\n", "line 1 cannot be read"),
        ('{"schema_version": 1}\n', "line 1 cannot be read"),
        ('{"schema_version": 99}\n', "later version"),
        ("[1]\n", "line 1 cannot be read"),
    ],
)
def test_a_file_that_is_no_record_is_refused_and_kept(entry, tmp_path, text, said):
    log = tmp_path / "log.jsonl"
    log.write_text(text)
    with pytest.raises(ArtefactBad, match=said):
        record.append(log, entry)
    assert log.read_text() == text


def made(misses, apart_days=90, widened=True):
    """Entries of 90 days each, every ``apart_days``; ``misses`` says which lie outside."""
    start = date(2020, 1, 1)
    found = []
    for place, missed in enumerate(misses):
        as_of = start + timedelta(days=apart_days * place)
        total = {"inside": not missed, "widened_inside": (not missed) if widened else None}
        found.append(
            {
                "scores": str(place),
                "scored_at": "",
                "as_of": as_of.isoformat(),
                "until": (as_of + timedelta(days=90)).isoformat(),
                "totals": {"purchases": total},
            }
        )
    return found


@pytest.mark.parametrize(
    ("misses", "expected"),
    [
        ([False], "passed"),
        ([True], "caution"),  # one in ten misses anyway
        ([True, True], "failed"),
        ([True, False, False, False], "caution"),
        ([True, True, False, False], "caution"),  # p = 0.052
        ([True, True, False], "failed"),  # p = 0.028
        ([True] * 2 + [False] * 18, "caution"),
    ],
)
def test_the_record_fails_where_chance_would_not_miss_so_often(misses, expected):
    assert record.verdict(made(misses))["verdict"] == expected


def test_horizons_that_overlap_are_one_piece_of_evidence():
    found = record.verdict(made([True] * 60, apart_days=1))
    assert (found["entries"], found["apart"], found["verdict"]) == (60, 1, "caution")


def test_without_a_widened_interval_the_plain_one_counts():
    assert record.verdict(made([True, True], widened=False))["verdict"] == "failed"


def test_scores_without_futures_are_not_assessed():
    entries = made([False])
    entries[0]["totals"]["purchases"] = {"inside": None, "widened_inside": None}
    assert record.verdict(entries)["verdict"] == "not-assessed"


@pytest.fixture(scope="module")
def files(scored, cdnow_orders, tmp_path_factory):
    folder = tmp_path_factory.mktemp("record")
    cdnow_orders.to_csv(folder / "orders.csv", index=False)
    write_scores(scored[1], str(folder / "old.parquet"), "parquet", Shell())
    return folder


def validate(*words):
    return CliRunner().invoke(app, ["validate", *map(str, words)])


def test_the_verb_judges_logs_and_says_so(files, entry):
    for _ in range(2):
        done = validate(files / "orders.csv", "--scores", files / "old.parquet", "--json")
        assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["entry"]["totals"] == entry["totals"]
    assert found["record"]["entries"] == 1
    assert len(record.read(files / "track-record.jsonl")) == 1


def test_what_people_read_names_the_total_the_segments_and_the_verdict(files, tmp_path):
    done = validate(
        files / "orders.csv", "--scores", files / "old.parquet", "--record", tmp_path / "log.jsonl"
    )
    assert "purchases in 90 days" in done.stdout
    assert "Track record: caution; of 1 entries 1 do not overlap" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--record", "x.jsonl"), "--record goes with --scores OLD"),
        (("--scores", "old.parquet", "--origins", "3"), "--origins does not go with --scores"),
        (("--scores", "old.parquet", "-o", "x.html"), "--out does not go with --scores"),
        (("--scores", "a.parquet", "--campaign", "l.csv"), "--campaign does not go with --scores"),
        (("--contacted-on", "yesterday"), "'yesterday' is not a day"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(files, words, said):
    done = validate(files / "orders.csv", *words)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


def test_money_is_shown_of_horizons_of_value_that_do_not_overlap(scored, entry):
    """Quarters apart: purchases over 90 days never overlap, value over 180 days does every time."""
    starts = [AS_OF + timedelta(days=90 * k) for k in range(5)]
    log = [
        entry
        | {"as_of": day.isoformat(), "until": (day + timedelta(days=90)).isoformat()}
        | {"money_from": (day + timedelta(days=180)).isoformat()}
        for day in starts
    ]
    posterior, scores = scored
    beside, words = Beside(record=log), load_words("en")
    found = section(Context(posterior, scores.table, scores.document, words, False, None, beside))
    tables = {one.title: one.table for one in found.blocks if getattr(one, "table", None)}
    shown = [[row[0].text for row in table.rows] for table in tables.values()]
    every = [day.isoformat() for day in starts]
    assert shown[:2] == [every, [every[0], every[2], every[4]]]


def test_a_small_segment_cannot_be_told_from_the_total(scored):
    """Of S3, 7 customers: S2, the next smallest, goes with it, or it would be all less the others."""
    table = scored[1].table.head(100)
    ids = np.repeat(["S1", "S2", "S3"], [60, 33, 7])
    told = record._segments(table.assign(segment=ids, segment_name=ids), np.zeros(100, dtype=int))
    assert [one["id"] for one in told] == ["S1"]


@pytest.mark.parametrize("language", ["en", "fr"])
def test_the_report_shows_the_record_and_nothing_without_one(scored, entry, language):
    posterior, scores = scored
    words = load_words(language)
    beside = Beside(record=[entry])
    context = Context(posterior, scores.table, scores.document, words, False, None, beside)
    found = section(context)
    rows = [block.table.rows for block in found.blocks if getattr(block, "table", None)]
    assert found.data["verdict"]["entries"] == 1
    assert rows[0][0][4].text == words.count(entry["totals"]["purchases"]["actual"])
    assert section(replace(context, beside=Beside())) is None


def test_totals_of_fewer_than_eleven_customers_are_not_shown(scored, entry):
    posterior, scores = scored
    few = {**entry, "customers": {**entry["customers"], "judged": 10}}
    context = Context(
        posterior,
        scores.table,
        scores.document,
        load_words("en"),
        False,
        None,
        Beside(record=[few]),
    )
    assert section(context) is None
