"""Nights without purchases, as a CRM team lives them: score, export what is news, night after night."""

import json
from datetime import date, timedelta

import pytest

pytestmark = pytest.mark.slow

RETAIL = ("--extract", "sheet", "--amount", "Quantity * UnitPrice", "--order-id", "InvoiceNo")
NIGHTS = 8


@pytest.fixture(params=["cdnow", "retail"])
def log(request, tmp_path):
    """A purchase log, how to read it, its last day."""
    if request.param == "cdnow":
        orders = tmp_path / "orders.csv"
        request.getfixturevalue("cdnow_orders").to_csv(orders, index=False)
        return orders, ("--dedupe",), date(1998, 6, 30)
    path = request.getfixturevalue("shared") / "data/online_retail_ii.parquet"
    return path, (*RETAIL, "--drop-missing-id"), date(2011, 12, 9)


def test_a_quiet_night_rewrites_less_than_a_tenth(log, bayesseg, tmp_path):
    orders, how, last = log

    def call(*words):
        done = bayesseg(*map(str, words), cwd=tmp_path)
        assert done.returncode == 0, done.stderr

    call("fit", orders, "--model", "retail", *how, "--as-of", last, "-o", "run")
    share = []
    for night in range(NIGHTS):
        scores = f"scores-{night}.parquet"
        day = last + timedelta(days=night)
        call("score", "run", orders, "--as-of", day, "-o", scores)
        since = ("--changed-since", f"crm-{night - 1}") if night else ()
        call("export", scores, "--to", "braze", *since, "-o", f"crm-{night}")
        counts = json.loads((tmp_path / f"crm-{night}/manifest.json").read_text())["counts"]
        share.append(counts["changed"] / counts["customers"])
        assert counts["entered"] == (0 if night else counts["customers"])
    print(", ".join(f"{one:.1%}" for one in share[1:]))
    assert max(share) < 0.1
