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
from bayesseg.ingest import read_purchases
from bayesseg.posterior import Posterior, load, save
from bayesseg.spec import load_spec


@pytest.fixture(scope="module")
def customers(cdnow_sample: Path) -> Customers:
    frame = pd.read_csv(
        cdnow_sample,
        sep=r"\s+",
        header=None,
        names=["master", "customer_id", "date", "cds", "amount"],
        dtype={"customer_id": str},
    )
    frame["date"] = pd.to_datetime(frame["date"].astype(str))
    with read_purchases(frame) as purchases:
        return summarise(purchases, as_of=date(1998, 6, 30))


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
