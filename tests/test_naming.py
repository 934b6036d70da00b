"""Names of segments."""

from datetime import date

import numpy as np
import pytest

from bayesseg import naming
from bayesseg._types import Draws
from bayesseg.customers import Attributes, Customers


def certain(*ranks):
    """The same mean ranks R, F, M in each of ten draws."""
    return np.tile(np.array(ranks), (10, 1, 1))


def called(means):
    return [one.name for one in naming.names(means)]


@pytest.mark.parametrize(
    ("ranks", "name"),
    [
        ((0.9, 0.8, 0.7), "champions"),
        ((0.2, 0.5, 0.7), "can't lose them"),
        ((0.5, 0.6, 0.5), "loyal"),
        ((0.3, 0.5, 0.5), "at risk"),
        ((0.1, 0.02, 0.1), "tried and left"),
        ((0.3, 0.3, 0.4), "hibernating"),
        ((0.6, 0.2, 0.3), "promising"),
        ((0.5, 0.5, 0.5), "need attention"),
    ],
)
def test_rules_in_their_order(ranks, name):
    assert called(certain(ranks)) == [name]
    (found,) = naming.names(certain(ranks))
    rule = next(rule for rule in naming.RULES if rule.name == name)
    assert (found.rule, found.name_fr, found.action) == (name, rule.name_fr, rule.action)


def test_the_rules_leave_no_gap():
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 41)] * 3), axis=-1).reshape(-1, 3)
    held = np.stack([rule.holds(*grid.T) for rule in naming.RULES])
    assert held.any(0).all()


def test_every_rule_has_words_of_its_own_in_both_languages():
    for text in ("name", "name_fr"):
        assert len({getattr(rule, text) for rule in naming.RULES}) == len(naming.RULES)
    assert all(rule.action and rule.action_fr != rule.action for rule in naming.RULES)


def test_a_rule_true_in_three_draws_of_four_names_nothing_alone():
    means = np.tile([0.9, 0.8, 0.7], (100, 1, 1))
    means[:25] = [0.9, 0.8, 0.6]  # loyal, were it sure
    assert called(means) == ["loyal"]  # true in all: champions are loyal, too
    means[:25] = [0.39, 0.8, 0.7]
    (found,) = naming.names(means)
    assert (found.name, found.rule) == ("between champions and at risk", "")
    assert found.name_fr == "entre champions et à risque"
    assert found.holds == {"champions": 0.75, "loyal": 0.75, "at risk": 0.25}


def test_a_segment_that_draws_put_everywhere_is_called_by_its_number():
    means = np.tile([0.9, 0.8, 0.7], (90, 1, 1))
    means[30:60], means[60:] = [0.3, 0.3, 0.4], [0.6, 0.2, 0.3]
    assert called(means) == ["segment 1"]


def test_two_segments_of_one_name_are_told_apart_by_what_parts_them_most():
    assert called(certain((0.2, 0.3, 0.4), (0.1, 0.3, 0.42))) == [
        "hibernating (more recent)",
        "hibernating (longer silent)",
    ]


def test_three_of_one_name_are_numbered():
    three = certain((0.2, 0.3, 0.4), (0.1, 0.3, 0.4), (0.3, 0.3, 0.4))
    assert called(three) == ["hibernating (1)", "hibernating (2)", "hibernating (3)"]


def shop() -> Customers:
    n = 200
    x = np.where(np.arange(n) < 100, 0, 5)
    t_x = np.where(x > 0, 300, 0)
    return Customers(
        ids=np.array([f"c{i:03}" for i in range(n)], dtype=object),
        x=x,
        t_x=t_x,
        t_end=np.where(x > 0, 310, 400) + np.arange(n) % 7,
        x_paid=x,
        repeat_spend=50.0 * x,
        first_spend=np.full(n, 10.0),
        n_orders=x + 1,
        as_of=date(2024, 1, 1),
    )


def test_one_time_buyers_rank_below_every_repeater():
    ranks = naming.rfm_ranks(shop())
    assert ranks[:100].max() == 0.0
    np.testing.assert_allclose(ranks[100:].mean(0), 0.5)


def test_named_reads_the_draws_of_a_fit():
    data = shop()
    matrix = (data.x > 0).astype(float)[:, None]
    values = {
        "weights": np.full((2, 10, 2), 0.5),
        "binary": np.tile([[0.001], [0.999]], (2, 10, 1, 1)),
    }
    found = naming.named(data, Draws(values, {}, {}), matrix)
    assert (found["ids"], found["ever"]) == (["S1", "S2"], 2)
    assert found["names"] == {"S1": "tried and left", "S2": "need attention"}
    assert found["texts"]["S2"]["name_fr"] == "à suivre"


def test_clients_without_purchases_get_numbers():
    data = Attributes(np.array(["a", "b"], dtype=object), {"v": np.array([0.0, 1.0])})
    draws = Draws({"weights": np.full((1, 1, 2), 0.5)}, {}, {})
    assert naming.named(data, draws, np.zeros((2, 1)))["names"] == {
        "S1": "segment 1",
        "S2": "segment 2",
    }
