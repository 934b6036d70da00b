"""Static attributes in validations and backtests: forecasts of groups, customers without, learners."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
import validation_case

from bayesseg.customers import Attributes, summarise, with_attributes
from bayesseg.errors import InputRejected
from bayesseg.ingest import Purchases, read_purchases
from bayesseg.priors import Prior
from bayesseg.spec import CovariatesSpec, load_spec
from bayesseg.validation.advice import advise
from bayesseg.validation.backtest import backtest
from bayesseg.validation.document import validate
from bayesseg.validation.holdout import holdout
from bayesseg.validation.learners import attributed, features, learners

CUT = date(2024, 8, 28)
COUNT = 1500


@pytest.fixture(scope="module")
def spec():
    retail = load_spec("bgnbd")
    effect = Prior("Normal", {"mean": 0.0, "sd": 0.5})
    own = replace(retail.parts["purchase"], covariates=CovariatesSpec(("channel",), (), effect))
    return replace(retail, parts={"purchase": own})


@pytest.fixture(scope="module")
def shop() -> tuple[Purchases, Attributes]:
    """Web customers buy four times as often; of every twentieth customer nobody knows where."""
    log, web = validation_case.shop(COUNT, days=330, until=240, factor=4.0)
    channel = np.where(web, "web", "shop").astype(object)
    channel[::20] = None
    ids = np.array([f"c{i:04}" for i in range(COUNT)], dtype=object)
    return read_purchases(log), Attributes(ids, {"channel": channel})


@pytest.fixture(scope="module")
def document(shop, spec):
    purchases, attributes = shop
    return validate(purchases, spec, attributes=attributes, cut=CUT, seed=1, draws=200)


def rows(document):
    return {row["name"]: row for row in document["origins"][0]["rows"]}


def missed(row) -> float:
    (own,) = row["by_group"]
    return sum(
        n * abs(a - e)
        for n, a, e in zip(own["customers"], own["actual"], own["expected"], strict=True)
    )


def test_the_forecast_of_groups_is_better_with_what_is_known_of_them(document) -> None:
    (own,) = rows(document)["bgnbd"]["by_group"]
    assert (own["column"], own["level"]) == ("channel", ["shop", "web"])
    assert sum(own["customers"]) == document["origins"][0]["scored"]
    assert missed(rows(document)["bgnbd"]) < 0.5 * missed(rows(document)["bgnbd_mle"])


def test_the_advice_says_so_and_what_it_rests_on(document) -> None:
    assert document["attributes"] == ["channel"]
    (found,) = [one for one in advise(document) if one.name == "attributes"]
    assert found.level == "good"
    assert found.says.startswith("static attributes (channel) are taken as known at each cut;")
    assert "recorded later" in found.fix


def test_an_attribute_that_is_not_there_is_named_before_any_fit(shop, spec) -> None:
    purchases, attributes = shop
    for given in (None, Attributes(attributes.ids, {"town": attributes.columns["channel"]})):
        with pytest.raises(InputRejected, match="'channel' is not among the attributes"):
            validate(purchases, spec, attributes=given, cut=CUT)


def test_fit_backtests_a_model_with_covariates(shop, spec) -> None:
    purchases, attributes = shop
    said: list[str] = []
    end = date(2024, 1, 1) + timedelta(days=330)
    found = backtest(purchases, spec, as_of=end, seed=1, attributes=attributes, say=said.append)
    assert said == []
    assert [one["cut"] for one in found] == ["2024-06-15", "2024-09-05"]
    assert all(one["lo"] <= one["actual"] <= one["hi"] for one in found)


def test_what_learners_see_is_learnt_before_the_cut(shop) -> None:
    purchases, attributes = shop
    known = with_attributes(summarise(purchases, as_of=CUT), attributes)
    seen = attributed(["channel"], known, known)
    own = known.attributes.columns["channel"]
    expected = np.column_stack([own == "shop", own == "web"]).astype(float)
    assert seen.tolist() == expected.tolist()
    town = replace(known.attributes, columns={"age": np.array([np.nan, 30.0, 50.0])})
    three = replace(known.take(np.arange(3)), attributes=town)
    assert attributed(["age"], three, three).ravel().tolist() == [40.0, 30.0, 50.0]
    assert attributed([], known, known).shape == (len(known), 0)


def test_learners_use_the_attributes_they_are_given(shop) -> None:
    purchases, attributes = shop
    held = holdout(purchases, CUT, 60, seed=1, attributes=attributes)
    inner = holdout(purchases, CUT - timedelta(days=60), 60, seed=1, attributes=attributes)
    with_, without = (learners(held, inner, 1, names)[0] for names in (("channel",), ()))
    web = held.scored.attributes.columns["channel"] == "web"

    def lead(rule) -> float:
        """How much likelier those of the web are to buy than those of the shop with equal histories."""
        x, T = held.scored.x, features(held.scored)[:, 2]
        once = (x == 0) & (np.median(T) < T)
        return rule.p_active[once & web].mean() - rule.p_active[once & ~web].mean()

    assert abs(lead(with_)) > 2 * abs(lead(without))
