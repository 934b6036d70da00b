"""The feed: numbers stand still until they truly move, and nothing else about them changes."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from feed_case import document, scores
from hypothesis import given, settings
from hypothesis import strategies as st
from report_case import customers, posterior

from bayesseg.errors import ArtefactBad, GateFailed, InputRejected, UsageError
from bayesseg.feed import COLUMNS, accept_radius, delta, feed, radius
from bayesseg.feed.news import LIMITS
from bayesseg.feed.rounding import MONEY, PROBABILITY, PURCHASES, scale_of
from bayesseg.scoring import Settings, score

NUMBERS = ("segment_probability", "p_churn", "expected_purchases", "clv", "value_at_risk")
SCALES = {"probability": PROBABILITY, "money": MONEY, "purchases": PURCHASES}


def drifted(table, seed, much=0.1):
    """The same customers a while later: every number moved by a factor or share."""
    rng = np.random.default_rng(seed)
    by = np.exp(much * rng.normal(size=len(table)))
    share = np.clip(table["membership_S1"] + much * rng.normal(size=len(table)), 0, 1)
    moved = {name: table[name] * by for name in ("clv", "value_at_risk", "expected_purchases")}
    return table.assign(
        **moved,
        p_churn=np.clip(table["p_churn"] + much * rng.normal(size=len(table)), 0, 1),
        membership_S1=share,
        membership_S2=1 - share,
        segment=np.where(share >= 0.5, "S1", "S2"),
        segment_name=np.where(share >= 0.5, "champions", "drifting"),
        segment_probability=np.maximum(share, 1 - share),
        model_id="cd34" * 16,
    )


def same(one, other):
    pd.testing.assert_frame_equal(one.reset_index(drop=True), other.reset_index(drop=True))


# --- the grid ------------------------------------------------------------------------------------


def test_money_stands_on_two_digits_about_ten_per_cent_apart():
    points = MONEY.at(np.arange(50.0))
    assert points[:10].tolist() == [0, 1, 1.1, 1.2, 1.3, 1.5, 1.6, 1.8, 2, 2.2]
    assert points[[25, 49]].tolist() == [10, 100]
    assert points[25:].tolist() == np.rint(points[25:]).tolist()
    steps = points[2:] / points[1:-1]
    assert steps.min() > 1.06
    assert steps.max() < 1.16


def test_a_probability_is_shown_in_twentieths():
    assert PROBABILITY.rounded(np.array([0.0, 0.149, 0.33, 0.66, 1.0])).tolist() == [
        0,
        0.15,
        0.35,
        0.65,
        1,
    ]


def test_what_is_next_to_nothing_is_nothing_and_what_is_no_number_stays_none():
    shown = MONEY.rounded(np.array([1e-12, 0.4, 0.6, np.nan]))
    assert shown[:3].tolist() == [0, 0, 1]
    assert np.isnan(shown[3])


@pytest.mark.parametrize("name", SCALES)
@given(st.lists(st.floats(0, 1e9), min_size=2, max_size=20))
def test_rounding_keeps_the_order_and_rounds_once(name, values):
    raw = np.sort(np.array(values) if name != "probability" else np.array(values) / 1e9)
    shown = SCALES[name].rounded(raw)
    assert (np.diff(shown) >= 0).all()
    assert SCALES[name].rounded(shown).tolist() == shown.tolist()


@given(st.floats(1, 1e9), st.floats(-1, 1))
def test_money_that_stays_is_within_13_per_cent_of_the_truth(shown, step):
    at = MONEY.rounded(np.array([shown]))
    raw = 10 ** ((np.rint(MONEY.place(at)) + step - 1) / 24)
    assert not MONEY.left(raw * (1 + 1e-12 * np.sign(-step)), at).any() or abs(step) > 1 - 1e-9
    assert abs(raw / at - 1).max() < 0.13


# --- the feed ------------------------------------------------------------------------------------


def test_a_feed_has_the_columns_of_the_model_sorted_by_id():
    table = scores()
    told = feed(table, document())
    assert [*told] == [name for name in COLUMNS if name != "holdout"]
    assert told["customer_id"].tolist() == sorted(table["customer_id"])


def test_a_model_of_attributes_alone_gives_segments_alone():
    table = scores()[["customer_id", "segment", "segment_probability", "model_id", "verdict"]]
    assert [*feed(table, document())] == [*table]


def test_the_order_of_rows_changes_nothing():
    table = scores(40)
    mixed = table.sample(frac=1, random_state=3)
    before = feed(scores(40, seed=9), document())
    same(feed(table, document()), feed(mixed, document()))
    same(
        feed(table, document(), before),
        feed(mixed, document(), before.sample(frac=1, random_state=4)),
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.001, 1))
def test_told_again_nothing_changes(seed, much):
    before = feed(scores(60), document())
    later = drifted(scores(60), seed, much)
    told = feed(later, document(), before)
    same(feed(later, document(), told), told)
    assert delta(told, told).unchanged == 60


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_however_long_it_goes_on_what_is_shown_is_within_a_step(seed):
    """Twelve nights of drift, each told on top of the last."""
    table = scores(60)
    told = None
    for night in range(12):
        table = drifted(table, seed + night, 0.03)
        told = feed(table, document(), told)
        raw = table.sort_values("customer_id", ignore_index=True)
        for name in ("p_churn", "expected_purchases", "clv", "value_at_risk"):
            scale = {"p_churn": PROBABILITY, "expected_purchases": PURCHASES}.get(name, MONEY)
            away = scale.place(raw[name].to_numpy()) - np.rint(scale.place(told[name].to_numpy()))
            assert abs(away).max() <= 1
        share = raw[["membership_S1", "membership_S2"]].to_numpy()
        shown = np.where(told["segment"] == "S1", share[:, 0], share[:, 1])
        assert abs(shown - told["segment_probability"]).max() <= 0.05 + 1e-12
        assert (shown >= share.max(axis=1) - 0.05).all()


def test_a_row_is_of_one_scoring_and_says_which():
    before = feed(scores(200), document())
    later = drifted(scores(200), 5, 0.05)
    told, fresh = feed(later, document(), before), feed(later, document())
    new = told["model_id"] == "cd34" * 16
    assert 0 < new.sum() < 200
    numbers = [*NUMBERS, "clv_pred_lo", "clv_pred_hi"]
    same(told.loc[new, numbers], fresh.loc[new, numbers])
    same(told.loc[~new], before.loc[~new])


def test_tier_and_band_say_what_the_numbers_beside_them_say():
    told = feed(scores(300), document(), feed(scores(300, seed=2), document()))
    tier = np.select([told["p_churn"] < 0.33, told["p_churn"] < 0.66], ["low", "medium"], "high")
    assert told["risk_tier"].tolist() == tier.tolist()
    low = told["value_band"].str.extract(r"^(\d+) to")[0].astype(float)
    high = told["value_band"].str.extract(r"to (\d+)$")[0].astype(float)
    known = low.notna()
    assert ((low <= told["clv"]) & (told["clv"] < high))[known].all()
    assert (told["clv"] < 1)[~known].all()


def test_a_tier_does_not_tremble_at_its_border():
    table = scores(1)
    told = feed(table.assign(p_churn=0.64), document())
    for p_churn in (0.67, 0.655, 0.68, 0.65, 0.69):
        told = feed(table.assign(p_churn=p_churn), document(), told)
        assert told["risk_tier"].tolist() == ["medium"]
    assert feed(table.assign(p_churn=0.72), document(), told)["risk_tier"].tolist() == ["high"]


def test_a_segment_stays_while_another_is_hardly_likelier():
    def table(share):
        first = scores(1)
        segment = "S1" if share >= 0.5 else "S2"
        likelier = max(share, 1 - share)
        return first.assign(
            membership_S1=share,
            membership_S2=1 - share,
            segment=segment,
            segment_probability=likelier,
        )

    told = feed(table(0.52), document(), columns=[*COLUMNS, "segment_name"])
    for share in (0.49, 0.476, 0.5):
        told = feed(table(share), document(), told, columns=[*COLUMNS, "segment_name"])
        assert told[["segment", "segment_name"]].to_numpy().tolist() == [["S1", "champions"]]
    told = feed(table(0.47), document(), told, columns=[*COLUMNS, "segment_name"])
    assert told["segment"].tolist() == ["S2"]


def test_a_new_verdict_is_news_of_everybody():
    before = feed(scores(), document())
    told = feed(scores().assign(verdict="caution"), document(), before)
    assert len(delta(told, before).changed) == len(before)


def test_what_is_withheld_or_infinite_is_null_and_becomes_so_at_once():
    before = feed(scores(), document())
    blank = scores().assign(clv=np.nan, value_at_risk=np.inf)
    told = feed(blank, document(), before)
    assert told[["clv", "value_at_risk", "value_band"]].isna().all(axis=None)
    assert told["p_churn"].notna().all()


def test_exact_gives_the_numbers_as_they_are():
    table = scores().sort_values("customer_id", ignore_index=True)
    told = feed(table, document(), feed(scores(seed=2), document()), exact=True)
    assert told[[*NUMBERS]].to_numpy().tolist() == table[[*NUMBERS]].to_numpy().tolist()


def test_a_hold_out_goes_with_its_customer():
    table = scores().assign(holdout=[True, False, False, True, False, False])
    told = feed(table, document())
    held = told.loc[told["holdout"], "customer_id"].tolist()
    assert held == sorted(table.loc[table["holdout"], "customer_id"])
    same(feed(scores(), document(), holdout=table["holdout"].to_numpy()), told)


def test_further_columns_are_those_that_can_stand_still():
    told = feed(scores(), document(), columns=[*COLUMNS, "segment_name", "p_alive"])
    assert [*told][-2:] == ["segment_name", "p_alive"]
    assert told["p_alive"].tolist() == PROBABILITY.rounded(told["p_alive"].to_numpy()).tolist()
    for name in ("priority_rank", "days_since_last", "flags", "nothing"):
        with pytest.raises(UsageError, match=name):
            feed(scores(), document(), columns=[*COLUMNS, name])


def test_customers_that_cannot_be_told_apart_are_refused():
    with pytest.raises(InputRejected, match="there twice"):
        feed(scores().assign(customer_id="one"), document())
    with pytest.raises(ArtefactBad, match="one of them twice"):
        feed(scores(), document(), feed(scores(), document()).assign(customer_id="one"))


def test_a_unit_without_a_scale_is_told_as_it_is():
    assert scale_of("days") is scale_of("") is scale_of("purchase days") is None


# --- what is news --------------------------------------------------------------------------------


def test_a_delta_accounts_for_every_customer():
    before = feed(scores(100), document())
    now = feed(drifted(scores(120), 3).iloc[10:], document(), before)
    found = delta(now, before)
    assert (len(found.left), len(found.entered)) == (10, 20)
    assert len(found.changed) + found.unchanged == 90
    assert set(found.left["customer_id"]) == set(scores(10)["customer_id"])


def test_what_changed_is_told_and_what_did_not_is_as_it_was():
    before = feed(scores(100), document())
    now = feed(drifted(scores(100), 3), document(), before)
    found = delta(now, before)
    applied = pd.concat(
        [before[~before["customer_id"].isin(found.changed["customer_id"])], found.changed]
    )
    same(applied.sort_values("customer_id"), now)


def test_only_columns_that_are_sent_are_news():
    before = feed(scores(100), document())
    now = feed(scores(100).assign(clv=scores(100)["clv"] * 50), document(), before)
    assert delta(now, before, ["customer_id", "p_churn", "scored_at"]).unchanged == 100


def test_moves_are_counted_by_where_from_and_where_to():
    before = feed(scores(100), document())
    flipped = scores(100)
    flipped[["membership_S1", "membership_S2"]] = flipped[["membership_S2", "membership_S1"]]
    flipped["segment"] = flipped["segment"].map({"S1": "S2", "S2": "S1"})
    moved = delta(feed(flipped, document(), before), before).moved
    counts = before["segment"].value_counts()
    found = moved.set_index(["segment_from", "segment_to"])["customers"].to_dict()
    assert abs(found["S1", "S2"] - counts["S1"]) <= 10  # but those in the middle, who stay
    assert abs(found["S2", "S1"] - counts["S2"]) <= 10


def test_a_part_that_fails_one_night_and_is_back_the_next_moves_nobody():
    good = feed(scores(100), document())
    failed = good.assign(segment=pd.Series([None] * len(good), dtype="str"))
    for now, before in ((failed, good), (good, failed)):
        assert radius(now, before).beyond == ()
        assert delta(now, before).moved.empty


def test_everything_is_news_to_an_empty_place_and_never_too_much():
    now = feed(scores(), document())
    found = delta(now, None)
    assert (len(found.entered), len(found.changed), found.unchanged) == (len(now), 0, 0)
    assert radius(now, None).beyond == radius(now, now.head(0)).beyond == ()


@pytest.mark.parametrize(
    ("rows", "beyond"),
    [(slice(None, 80), ()), (slice(None, 79), ("disappeared",)), (slice(None), ())],
)
def test_more_than_a_fifth_may_not_disappear(rows, beyond):
    before = feed(scores(100), document())
    assert radius(feed(scores(100).iloc[rows], document(), before), before).beyond == beyond


@pytest.mark.parametrize(("count", "beyond"), [(120, ()), (121, ("appeared",))])
def test_more_than_a_fifth_may_not_appear(count, beyond):
    before = feed(scores(100), document())
    assert radius(feed(scores(count), document(), before), before).beyond == beyond


@pytest.mark.parametrize(("count", "beyond"), [(30, ()), (31, ("moved",))])
def test_more_than_three_tenths_may_not_change_tier(count, beyond):
    table = scores(100).assign(p_churn=0.1)
    before = feed(table, document())
    table.loc[: count - 1, "p_churn"] = 0.9
    assert radius(feed(table, document(), before), before).beyond == beyond


def test_values_that_change_alone_are_never_too_much():
    before = feed(scores(100), document())
    now = feed(scores(100).assign(clv=scores(100)["clv"] * 50), document(), before)
    assert len(delta(now, before).changed) == 100
    assert accept_radius(radius(now, before)) == ""


def test_too_much_at_once_needs_force_and_a_reason():
    before = feed(scores(100), document())
    found = radius(feed(scores(50), document(), before), before)
    for given_ in ({}, {"force": True}, {"reason": "moved shop"}, {"force": True, "reason": " "}):
        with pytest.raises(GateFailed, match=r"50% of customers disappear \(limit 20%\)") as error:
            accept_radius(found, **given_)
        assert error.value.code == "blast_radius"
    assert accept_radius(found, force=True, reason="moved shop") == "moved shop"
    assert set(LIMITS) == {"appeared", "disappeared", "moved"}


# --- a quiet night -------------------------------------------------------------------------------


def test_quiet_nights_rewrite_few_rows_of_cdnow(cdnow_sample):
    """No purchases for a week after the log ends; rounding alone would rewrite twice as many."""
    known = customers(cdnow_sample)
    fitted, wanted = posterior(known), Settings(90, 365, 1.0, 0.1, predictive=False)
    told, rounded = [None], []
    for night in range(8):
        day = known.as_of + timedelta(days=night)
        made = score(fitted, replace(known, t_end=known.t_end + night, as_of=day), wanted)
        told.append(feed(made.table, made.document, told[-1]))
        rounded.append(feed(made.table, made.document))
    share, alone = (
        [len(delta(now, before).changed) / len(known) for before, now in pairwise(nights)]
        for nights in (told[1:], rounded)
    )
    assert max(share) < 0.1
    assert sum(share) < 0.5 * sum(alone)
