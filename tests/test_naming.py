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
    assert naming.names(certain(ranks)) == [name]


def test_every_name_comes_with_an_action():
    assert all(naming.action(f"{known.name} (more recent)") for known in naming.NAMES)
    assert naming.action("segment 3") == naming.action("segment 9")


def test_a_rule_true_in_three_draws_of_four_names_nothing():
    means = np.tile([0.9, 0.8, 0.7], (100, 1, 1))
    means[:25] = [0.9, 0.8, 0.6]  # loyal, were it sure
    assert naming.names(means) == ["loyal"]  # true in all: champions are loyal, too
    means[:25] = [0.39, 0.8, 0.7]
    assert naming.names(means) == ["segment 1"]


def test_two_segments_of_one_name_are_told_apart_by_what_parts_them_most():
    assert naming.names(certain((0.2, 0.3, 0.4), (0.1, 0.3, 0.42))) == [
        "hibernating (more recent)",
        "hibernating (longer silent)",
    ]


def test_three_of_one_name_are_numbered():
    three = certain((0.2, 0.3, 0.4), (0.1, 0.3, 0.4), (0.3, 0.3, 0.4))
    assert naming.names(three) == ["hibernating (1)", "hibernating (2)", "hibernating (3)"]


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
    assert found == {
        "ids": ["S1", "S2"],
        "names": {"S1": "tried and left", "S2": "need attention"},
    }


def test_clients_without_purchases_get_numbers():
    data = Attributes(np.array(["a", "b"], dtype=object), {"v": np.array([0.0, 1.0])})
    draws = Draws({"weights": np.full((1, 1, 2), 0.5)}, {}, {})
    assert naming.named(data, draws, np.zeros((2, 1)))["names"] == {
        "S1": "segment 1",
        "S2": "segment 2",
    }
