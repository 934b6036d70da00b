"""Costs, shares, groups and several tables of facts on the command line, from fit to score and page."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from bayesseg.cli import app

LINES = ("--cost", "cost", "--shares", "kind", "--group", "firm")


def bayesseg(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Orders of 150 accounts, a tenth of them in pairs of one firm; two tables of facts; a run."""
    folder = tmp_path_factory.mktemp("lines")
    rng = np.random.default_rng(1)
    account = rng.integers(0, 150, 900)
    amount = rng.lognormal(3, 0.5, 900).round(2)
    pd.DataFrame(
        {
            "client": [f"c{i:03}" for i in account],
            "firm": [f"f{i // 2}" if i < 30 else "" for i in account],
            "date": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, 900), "D"),
            "amount": amount,
            "cost": (amount * rng.uniform(0.4, 0.7, 900)).round(2),
            "kind": rng.choice(["toys", "books", "food"], 900),
        }
    ).to_csv(folder / "orders.csv", index=False)
    ids = [f"c{i:03}" for i in range(30, 150)]
    age = rng.integers(20, 80, 120)
    facts = pd.DataFrame(
        {"id": ids, "age": age, "born": 2024 - age, "grade": rng.integers(1, 6, 120)}
    )
    facts.to_csv(folder / "facts.csv", index=False)
    pd.DataFrame({"id": ids, "since": "2020-05-01", "vip": rng.integers(0, 2, 120)}).to_csv(
        folder / "more.csv", index=False
    )
    words = ("--model", "bgnbd", "--engine", "map", "-o", folder / "run")
    done = bayesseg("fit", folder / "orders.csv", *LINES, *words)
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def scored(folder):
    out = folder / "scores.csv"
    done = bayesseg("score", folder / "run", folder / "orders.csv", "--no-predictive", "-o", out)
    assert done.exit_code == 0, done.output
    return done.output, pd.read_csv(out), json.loads((folder / "scores.json").read_text())


def test_score_reads_the_lines_as_the_fit_did(scored, folder):
    said, table, _ = scored
    assert "as at the fit: --cost cost --group firm --shares 'kind|books|food|toys'" in said
    assert {"f0", "c030"} <= set(table["customer_id"])
    assert "c000" not in set(table["customer_id"])
    accounting = json.loads((folder / "run/manifest.json").read_text())["accounting"]
    assert accounting["shares"] == {"kind": ["books", "food", "toys"]}


def test_money_is_margin_in_words_units_and_manifest(scored, folder):
    said, _, document = scored
    assert "money over 365d as margin" in said
    assert document["money"] == "margin"
    assert document["units"]["clv"] == "currency of margin within the value horizon"
    page = folder / "page.html"
    done = bayesseg("report", folder / "run", "--scores", folder / "scores.csv", "-o", page)
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert "Read from: delimited text." in text
    assert "Money is margin: the cost of each line is taken off its amount." in text


def test_there_is_no_margin_of_a_margin(folder):
    done = bayesseg(
        "score", folder / "run", folder / "orders.csv", "--margin", "0.3", "-o", folder / "x.csv"
    )
    assert done.exit_code == 2
    assert "the money is margin already" in done.output


def test_revenue_is_not_scored_by_a_model_of_margin(folder):
    from bayesseg.customers import summarise
    from bayesseg.errors import InputRejected
    from bayesseg.ingest import Options, read_purchases
    from bayesseg.posterior import load
    from bayesseg.scoring import score

    with read_purchases(folder / "orders.csv", Options(group="firm")) as purchases:
        customers = summarise(purchases)
    with pytest.raises(InputRejected, match="fitted on margin, the data hold revenue"):
        score(load(folder / "run"), customers)


def test_check_says_what_each_fact_is_and_which_say_the_same(folder):
    tables = ("--attributes", folder / "facts.csv", "--attributes", folder / "more.csv")
    done = bayesseg("check", folder / "orders.csv", *tables, "--json")
    document = json.loads(done.stdout)
    first, [second] = document["attributes"], document["attributes"]["further"]
    kinds = {name: one["kind"] for name, one in first["schema"]["columns"].items()}
    assert kinds == {"age": "number", "born": "number", "grade": "ordinal"}
    [pair] = first["schema"]["collinear"]
    assert (pair["columns"], round(pair["correlation"], 6)) == (["age", "born"], -1.0)
    assert second["schema"]["columns"]["since"]["kind"] == "constant"
    assert second["schema"]["columns"]["vip"]["kind"] == "binary"
    assert second["join"] == {"joined": 120, "customers_without": 30, "rows_without_customer": 0}


def test_a_name_in_both_tables_is_refused(folder):
    twice = ("--attributes", folder / "facts.csv") * 2
    done = bayesseg("check", folder / "orders.csv", *twice)
    assert done.exit_code == 3
    assert "'age', 'born', 'grade' of the attributes are there already" in done.output
