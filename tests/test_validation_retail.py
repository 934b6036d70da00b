"""Online Retail II from six origins: what one cut hides. Reads the shared data; slow."""

from pathlib import Path

import pytest

from bayesseg.ingest import Options, read_purchases
from bayesseg.spec import load_spec
from bayesseg.validation.document import validate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def document(shared: Path) -> dict:
    options = Options(
        extract="sheet", amount="Quantity * UnitPrice", order_id="InvoiceNo", drop_missing_id=True
    )
    with read_purchases(shared / "data" / "online_retail_ii.parquet", options) as purchases:
        return validate(
            purchases, load_spec("retail"), origins=6, families=["bgnbd"], seed=1, draws=400
        )


def test_the_bias_changes_its_sign_from_cut_to_cut(document) -> None:
    totals = document["forecasts"]["mbgnbd"]["purchases"]
    assert totals["bias"] == pytest.approx([0.07, -0.22, 0.80, 0.27, 0.21, -0.23], abs=0.015)
    assert totals["sign_changes"] == 3
    assert totals["inside"] == 0


def test_widened_totals_cover_once_a_christmas_has_been_seen(document) -> None:
    widened = [one["rows"][0]["purchases"]["widened"] for one in document["origins"]]
    # the third cut is the first before a Christmas is over: nothing earlier could tell of it
    assert [one["inside"] for one in widened] == [True, True, False, True, True, True]
    assert document["forecasts"]["mbgnbd"]["verdict"]["verdict"] == "caution"


def test_the_early_cohort_is_found_and_repeats_twice_as_often(document) -> None:
    early = document["diagnosis"]["early"]
    assert early["weekly"] == [487, 296, 159]
    assert early["ratio"] == pytest.approx(7.85, abs=0.05)
    assert early["rate"] / early["later_rate"] == pytest.approx(2.3, abs=0.1)


def test_learners_have_the_same_days_to_learn_from(document) -> None:
    rows = {row["name"]: row for row in document["origins"][-1]["rows"]}
    assert "its probabilities are of" not in rows["logistic"]["note"]
    assert rows["logistic"]["active"]["auc"] > 0.78
