"""The one scoring kernel: a batch's scores are the file's, whatever cut it and whoever asks."""

import subprocess
import sys
from dataclasses import replace
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import report_case
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesseg._random import customer_keys
from bayesseg.customers import Attributes
from bayesseg.errors import InputRejected
from bayesseg.scoring import Settings, score
from bayesseg.scoring.document import document_of
from bayesseg.scoring.kernel import (
    batch_of,
    customers_of,
    kernel_of,
    schema_of,
    score_batch,
    scored,
)
from bayesseg.scoring.pieces import Piece, merged, packed, unpacked
from bayesseg.scoring.sample import lowest, sample_of

OF_THE_FILE = ("priority_rank", "scored_at")


@pytest.fixture(scope="module")
def customers(cdnow_sample):
    return report_case.customers(cdnow_sample)


@pytest.fixture(scope="module")
def posterior(customers):
    return report_case.posterior(customers)


@pytest.fixture(scope="module")
def kernel(posterior, customers):
    return kernel_of(posterior, Settings(), customers.as_of, sample=customers)


@pytest.fixture(scope="module")
def whole(posterior, customers):
    return score(posterior, customers)


def cut(kernel, customers, size):
    return [
        scored(kernel, customers.take(np.arange(len(customers))[at : at + size]))
        for at in range(0, len(customers), size)
    ]


def same(expected: pd.DataFrame, actual: pd.DataFrame, without=OF_THE_FILE):
    assert list(expected) == list(actual)
    for name in expected.columns.difference(list(without)):
        if expected[name].dtype.kind == "f":
            np.testing.assert_allclose(actual[name], expected[name], rtol=1e-12, err_msg=name)
        else:
            assert [*map(str, expected[name])] == [*map(str, actual[name])], name


def test_a_batch_has_the_scores_of_the_file_in_the_order_given(kernel, customers, whole):
    back = np.arange(len(customers))[::-1]
    found = score_batch(kernel, batch_of(customers.take(back))).to_pandas().iloc[::-1]
    found["flags"] = found["flags"].map(tuple)
    same(whole.table.assign(as_of=whole.table["as_of"].dt.date), found)


def test_ranks_are_about_the_file_and_null_in_a_batch(kernel, customers):
    assert score_batch(kernel, batch_of(customers)).column("priority_rank").null_count == len(
        customers
    )


@pytest.mark.parametrize("size", [1000, 77])
def test_a_file_cut_anyhow_has_the_same_scores(kernel, customers, whole, size):
    same(whole.table, pd.concat([table for table, _ in cut(kernel, customers, size)]))


def test_what_the_pieces_add_up_to_makes_the_document_of_the_file(
    posterior, kernel, customers, whole
):
    pieces = [unpacked(packed(piece)) for _, piece in cut(kernel, customers, 300)]
    found = document_of(posterior, kernel, merged(pieces), list(whole.table), customers)
    assert found["notes"] == whole.document["notes"]
    assert found["customers"] == len(customers)
    for name, total in whole.document["totals"].items():
        for key in ("mean", "lo", "hi", "mcse"):
            assert found["totals"][name][key] == pytest.approx(total[key], rel=1e-12)
        if "pred_lo" in total:
            width = total["pred_hi"] - total["pred_lo"]
            assert found["totals"][name]["pred_lo"] == pytest.approx(
                total["pred_lo"], abs=width / 5
            )
            assert found["totals"][name]["pred_hi"] == pytest.approx(
                total["pred_hi"], abs=width / 5
            )
    for one, other in zip(found["segments"], whole.document["segments"], strict=True):
        assert one["customers"] == pytest.approx(other["customers"], rel=1e-12)
        assert one["medians"] == other["medians"]


def test_equal_customers_in_many_pieces_are_no_luckier_together(kernel, customers):
    """Sixteen files of the same histories: the spread of what is realised grows as √16."""
    _, one = scored(kernel, customers)
    spreads = [
        (whole.sums["realised_clv"] - times * one.sums["realised_clv"]).std()
        for times, whole in ((times, merged([one] * times)) for times in (1, 16))
    ]
    assert 3.2 < spreads[1] / spreads[0] < 5


def test_what_many_equal_customers_bring_varies_as_their_number_says(posterior, kernel, customers):
    """20,000 who came once, long ago: their purchases are nearly Poisson."""
    alike = customers.take(np.flatnonzero(customers.x == 0)[:1].repeat(20_000))
    alike = replace(alike, ids=np.array([f"{i:05}" for i in range(20_000)], dtype=object))
    total = score(posterior, alike).document["totals"]["expected_purchases"]
    chance = 2 * 1.645 * np.sqrt(total["mean"])
    known = total["hi"] - total["lo"]
    assert 0.8 < (total["pred_hi"] - total["pred_lo"]) / np.hypot(chance, known) < 1.6
    assert total["pred_lo"] < total["mean"] < total["pred_hi"]


def test_the_schema_is_known_before_anything_is_scored(kernel, customers):
    assert schema_of(kernel).equals(
        score_batch(kernel, batch_of(customers)).schema, check_metadata=True
    )


def test_columns_carry_their_units(kernel):
    assert schema_of(kernel).field("clv").metadata[b"unit"] == b"currency within the value horizon"


def test_orders_and_first_spend_may_be_absent(kernel, customers):
    batch = batch_of(customers)
    found = score_batch(kernel, batch.drop_columns(["n_orders", "first_spend"]))
    assert found.column("n_orders").to_pylist() == (customers.x + 1).tolist()
    full = score_batch(kernel, batch)
    assert found.column("clv").equals(full.column("clv"))


def test_a_batch_is_the_customers_it_was_made_of(customers):
    facts = Attributes(customers.ids, {"age": np.arange(float(len(customers)))})
    for data in (customers, facts):
        as_of = customers.as_of if data is customers else None
        again = customers_of(batch_of(data), as_of)
        assert list(again.ids) == list(data.ids)
    assert np.array_equal(again.columns["age"], facts.columns["age"])


HISTORY = {"customer_id": ["a"], "x": [1], "t_x": [5], "t_end": [9], "x_paid": [1]}


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("t_x", 10, "cannot be"),
        ("x", 1.5, "x is missing or no whole number"),
        ("t_end", None, "t_end is missing"),
        ("n_orders", None, "n_orders is missing"),
        ("n_orders", 0, "n_orders is below 1"),
        ("customer_id", None, "customer_id is missing"),
        ("customer_id", 7, "customer_id is missing or no text"),
    ],
)
def test_a_row_that_cannot_be_is_refused(kernel, column, value, why):
    row = HISTORY | {"repeat_spend": [9.0], column: [value]}
    with pytest.raises(InputRejected, match=why):
        score_batch(kernel, pa.RecordBatch.from_pydict(row))


def test_nobody_is_scored_without_a_word(kernel, customers):
    found = score_batch(kernel, batch_of(customers).slice(0, 0))
    assert (found.num_rows, found.schema) == (0, schema_of(kernel))


def test_a_kernel_is_small_and_goes_anywhere(kernel):
    """Half of it are draws of the segments; without them it is 31 kB."""
    assert len(ForkingPickler.dumps(kernel)) < 250_000


def test_a_kernel_needs_no_sampler():
    code = (
        "import sys, bayesseg.scoring.kernel\n"
        "bad = {'pymc', 'pytensor', 'arviz', 'nutpie', 'matplotlib', 'sklearn', 'pyspark'}\n"
        "sys.exit(bool(bad & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_without_a_sample_nobody_knows_the_top_tenth(posterior, customers):
    found = score_batch(kernel_of(posterior, Settings(), customers.as_of), batch_of(customers))
    assert found.column("p_top_decile").null_count == len(customers)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 400), st.integers(1, 100), st.integers(1, 60), st.randoms())
def test_the_sample_of_a_file_is_that_of_its_samples(size, count, part, random):
    ids = np.array([f"c{i}" for i in range(size)], dtype=object)
    expected = set(ids[lowest(ids, 1, count)])
    shuffled = ids.copy()
    random.shuffle(shuffled)
    pieces = [shuffled[at : at + part] for at in range(0, size, part)]
    kept = [piece[lowest(piece, 1, count)] for piece in pieces]
    together = np.concatenate(kept) if kept else ids
    assert set(together[lowest(together, 1, count)]) == expected
    assert len(expected) == min(size, count)


def test_a_sample_is_drawn_by_key(customers):
    keys = customer_keys(customers.ids, 3)
    some = sample_of(customers, 3, 100)
    assert max(customer_keys(some.ids, 3)) == np.sort(keys)[99]
    assert list(some.ids) == sorted(some.ids)


def test_pieces_survive_the_journey(kernel, customers):
    _, piece = scored(kernel, customers.take(np.arange(50)))
    again = unpacked(packed(piece))
    assert again.counts == piece.counts
    assert {*again.sums} == {*piece.sums}
    assert all(np.array_equal(again.sums[name], own) for name, own in piece.sums.items())


def test_nothing_adds_up_to_nothing():
    assert merged([]) == Piece({}, {})
