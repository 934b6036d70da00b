"""The whole fit: the same bits for the same data, nothing of a customer in what is kept."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayesseg.customers import Attributes, Customers, summarise
from bayesseg.errors import InputRejected
from bayesseg.fitting import fit
from bayesseg.gates import check
from bayesseg.ingest import Options, read_purchases
from bayesseg.posterior import Posterior, load, save, textbook
from bayesseg.spec import load_spec


def until(orders: pd.DataFrame, as_of: date) -> Customers:
    with read_purchases(orders) as purchases:
        return summarise(purchases, as_of=as_of)


@pytest.fixture(scope="module")
def customers(cdnow_orders: pd.DataFrame) -> Customers:
    return until(cdnow_orders, date(1998, 6, 30))


@pytest.fixture(scope="module")
def posterior(customers: Customers) -> Posterior:
    return fit(customers, load_spec("retail"), seed=1)


def test_the_default_model_passes_its_computation_gates_on_cdnow(posterior: Posterior) -> None:
    verdicts = posterior.manifest["verdicts"]
    assert {part: v["computation"] for part, v in verdicts.items()} == {
        "purchase": "passed",
        "spend": "passed",
        "segments": "passed",
    }


def test_the_order_and_the_names_of_customers_do_not_reach_a_bit_of_it(
    posterior: Posterior, customers: Customers, tmp_path: Path
) -> None:
    shuffled = customers.take(np.random.default_rng(2).permutation(len(customers)))
    renamed = replace(shuffled, ids=np.array([f"n{i:05}" for i in range(len(shuffled))], object))
    again = fit(renamed, load_spec("retail"), seed=1)
    one, two = save(posterior, tmp_path / "one"), save(again, tmp_path / "two")
    for name in ("posterior.npz", "spec.toml", "features.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    assert again.manifest["model_id"] == posterior.manifest["model_id"]


def test_a_stored_run_is_judged_as_it_was(posterior: Posterior, tmp_path: Path) -> None:
    stored = load(save(posterior, tmp_path / "run"))
    again = {(c.part, c.name): (c.value, c.passed) for c in check(stored)}
    assert again == {
        (c["part"], c["name"]): (c["value"], c["passed"]) for c in posterior.manifest["gates"]
    }


def test_no_id_stands_in_a_run(posterior: Posterior, customers: Customers, tmp_path: Path) -> None:
    path = save(posterior, tmp_path / "run")
    stored = b"".join(file.read_bytes() for file in path.iterdir() if file.suffix != ".npz")
    assert not [i for i in customers.ids if f'"{i}"'.encode() in stored]


def test_a_purchase_model_refuses_a_table_of_clients() -> None:
    clients = Attributes(np.array(["a", "b"], object), {"size": np.array([1.0, 2.0])})
    with pytest.raises(InputRejected, match="reads purchases"):
        fit(clients, load_spec("retail"), seed=1)


@pytest.fixture(scope="module")
def classic(cdnow_orders: pd.DataFrame) -> Posterior:
    """BG/NBD and Gamma-Gamma on CDNOW's 39 calibration weeks: the textbook fit."""
    return fit(until(cdnow_orders, date(1997, 9, 30)), load_spec("bgnbd"), seed=1)


# Fader, Hardie & Lee 2005 and CLVTools' test_correctness_{bgnbd,gg}.R
PUBLISHED = {
    "purchase": {"r": 0.24259451, "alpha": 4.41360184, "a": 0.79292193, "b": 2.42590651},
    "spend": {"p": 6.24957, "q": 3.74422, "v": 15.44352},
}


@pytest.mark.parametrize("part", PUBLISHED)
def test_the_posterior_lies_around_the_published_estimates(classic: Posterior, part: str) -> None:
    draws = textbook(classic.spec.parts[part].family, classic.parts[part].values)
    for name, published in PUBLISHED[part].items():
        assert abs(draws[name].mean() - published) < 3 * draws[name].std(), name


@pytest.mark.parametrize("part", PUBLISHED)
def test_the_maximum_likelihood_beside_it_has_the_published_digits(
    classic: Posterior, part: str
) -> None:
    beside = classic.summary["baseline"][part]
    for name, published in PUBLISHED[part].items():
        assert beside[name] == pytest.approx(published, rel=5e-4), name


def test_online_retail_passes_its_computation_gates_and_says_what_is_odd(shared: Path) -> None:
    options = Options(
        amount="Quantity * UnitPrice", order_id="InvoiceNo", extract="sheet", drop_missing_id=True
    )
    with read_purchases(shared / "data" / "online_retail_ii.parquet", options) as purchases:
        posterior = fit(summarise(purchases), load_spec("retail"), seed=1)
    verdicts = posterior.manifest["verdicts"]
    assert {v["computation"] for v in verdicts.values()} == {"passed"}
    assert "customers first appear by 2009-12-21" in verdicts["purchase"]["reasons"][0]
    rows = posterior.manifest["accounting"]["rows"]
    assert rows["in"] == rows["used"] + sum(rows["excluded"].values()) == 1_067_370
