"""Facts about customers and summaries on the command line: where they are, what is said of them."""

import json

import duckdb
import numpy as np
import openpyxl
import pandas as pd
import pytest
from bad_input_case import orders, prepare, summary_of
from page_case import Outline
from typer.testing import CliRunner

from bayesseg.cli import app


def check(*words):
    return CliRunner().invoke(app, ["check", *map(str, words)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A log, its summary, and one table of facts in several kinds of file."""
    folder = tmp_path_factory.mktemp("facts")
    (folder / "orders.csv").write_text(orders(), "ascii")
    (folder / "summary.csv").write_text(summary_of(folder / "orders.csv"), "ascii")
    ids = pd.read_csv(folder / "summary.csv")["customer_id"].tolist()
    rng = np.random.default_rng(1)
    age = rng.integers(20, 80, len(ids))
    tier = rng.choice(["bronze", "silver", "gold"], len(ids))
    facts = pd.DataFrame(
        {"customer_id": ids, "age": age, "born": 2024 - age, "tier": tier, "one": 7}
    )
    facts.to_csv(folder / "facts.csv", index=False)
    book = openpyxl.Workbook()
    book.active.append(["notes"])
    sheet = book.create_sheet("Clients")
    for row in [list(facts), *facts.values.tolist()]:
        sheet.append(row)
    book.save(folder / "facts.xlsx")
    with duckdb.connect(str(folder / "facts.duckdb")) as connection:
        connection.register("rows", facts)
        connection.execute("CREATE TABLE clients AS FROM rows")
    return folder


@pytest.mark.parametrize("place", ["facts.csv", "facts.xlsx#Clients", "facts.duckdb#clients"])
def test_facts_are_a_file_a_sheet_or_a_table(place, folder):
    done = check(folder / "orders.csv", "--attributes", f"{folder}/{place}", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["attributes"]
    assert found["join"] == {"joined": 120, "customers_without": 0, "rows_without_customer": 0}
    kinds = {name: one["kind"] for name, one in found["schema"]["columns"].items()}
    assert kinds == {"age": "number", "born": "number", "tier": "category", "one": "constant"}


def test_a_file_whose_name_holds_a_hash_is_that_file(folder):
    (folder / "facts#1.csv").write_bytes((folder / "facts.csv").read_bytes())
    done = check(folder / "orders.csv", "--attributes", folder / "facts#1.csv")
    assert (done.exit_code, "120 customers joined" in done.output) == (0, True), done.output


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("facts.xlsx", "give #NAME after the file of --attributes"),
        ("facts.xlsx#Client", "the sheets are 'Sheet', 'Clients'"),
        ("facts.duckdb", "give #NAME after the file of --attributes, one of: clients"),
        ("facts.csv#x", "leave out #NAME"),
    ],
)
def test_a_sheet_or_table_that_is_not_there_is_advised_on(place, says, folder):
    done = check(folder / "orders.csv", "--attributes", f"{folder}/{place}")
    assert done.exit_code in (2, 3)
    assert says in done.output


def test_facts_without_an_id_are_refused_and_one_named_as_in_the_log_is_found(folder, tmp_path):
    for name in ("orders", "facts"):
        text = (folder / f"{name}.csv").read_text().replace("customer_id", "klant")
        (tmp_path / f"{name}.csv").write_text(text)
    both = check(
        tmp_path / "orders.csv", "--customer-id", "klant", "--attributes", tmp_path / "facts.csv"
    )
    assert (both.exit_code, "120 customers joined" in both.output) == (0, True), both.output
    none = check(folder / "orders.csv", "--attributes", tmp_path / "facts.csv")
    assert none.exit_code == 3
    assert "no column of the attributes looks like the customer id" in none.output
    assert "klant, age, born, tier, one" in none.output


def test_flags_about_the_log_settle_what_facts_leave_open(folder, tmp_path):
    rows = [f"c{i:03},{10 + i % 80}.500" for i in range(120)]
    (tmp_path / "facts.csv").write_text("\n".join(["customer_id,height", *rows, ""]))
    asked = folder / "orders.csv", "--attributes", tmp_path / "facts.csv"
    assert "give --decimal ." in check(*asked).output
    settled = check(*asked, "--decimal", ".", "--json")
    schema = json.loads(settled.stdout)["attributes"]["schema"]
    assert schema["columns"]["height"]["kind"] == "number"


def test_the_page_says_what_each_fact_is_taken_for(folder, tmp_path):
    page = tmp_path / "page.html"
    done = check(folder / "orders.csv", "--attributes", folder / "facts.csv", "-o", page)
    assert done.exit_code == 0, done.output
    text = Outline(page.read_text("utf-8")).text
    for said in ("tier levels: up to 50 texts 3 0", "one one value or none: says nothing 1 0"):
        assert said in text
    assert "age and born say the same (correlation −1.00)." in text


def test_a_summary_is_judged_without_its_lines(folder, tmp_path):
    page = tmp_path / "page.html"
    flags = ("--summary", folder / "summary.csv", "--money", "revenue")
    done = check(*flags, "--attributes", folder / "facts.csv", "--json", "-o", page)
    assert done.exit_code == 0, done.output
    found, whole = (
        json.loads(one.stdout) for one in (done, check(folder / "orders.csv", "--json"))
    )
    assert found["schema_version"] == whole["schema_version"] == 1
    assert found["readiness"] == whole["readiness"]
    assert found["quality"] == {"customers": whole["quality"]["customers"]}
    assert found["policies"]["money"] == "revenue"
    assert found["attributes"]["join"]["joined"] == 120
    assert (
        not found.keys() - whole.keys() - {"attributes", "kinds", "missing", "summary", "written"}
    )
    assert "Customers far from the others" in Outline(page.read_text("utf-8")).text


def test_a_thin_summary_is_refused(folder, tmp_path):
    lines = (folder / "summary.csv").read_text().splitlines(keepends=True)
    (tmp_path / "few.csv").write_text("".join(lines[:8]))
    done = check("--summary", tmp_path / "few.csv", "--money", "revenue", "--json")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["exit_code"], found["readiness"]["level"]) == (3, 3, "blocked")
    assert [one["level"] for one in found["findings"]].count("reject") >= 1


def test_a_summary_that_says_its_day_names_no_flag_to_change_it(folder):
    done = check("--summary", folder / "summary.csv")
    assert "(column as_of)\n" in done.output


def test_a_guessed_id_that_numbers_the_rows_is_named_in_the_fix(tmp_path):
    text = orders().replace("customer_id", "name")
    head, *rows = text.splitlines()
    numbered = [f"id,{head}", *(f"{i},{row}" for i, row in enumerate(rows))]
    (tmp_path / "orders.csv").write_text("\n".join(numbered), "ascii")
    assert "give --customer-id COLUMN (guessed: id)" in check(tmp_path / "orders.csv").output


def test_the_data_of_the_fit_are_not_beyond_it(tmp_path):
    prepare(tmp_path)
    words = ["score", tmp_path / "run", tmp_path / "orders.csv", "-o", tmp_path / "s.csv"]
    done = CliRunner().invoke(app, list(map(str, words)))
    flagged = (tmp_path / "s.csv").read_text().count("extrapolated") / 120
    assert done.exit_code in (0, 4), done.output
    assert flagged > 0.05
    assert "fit again" not in done.output
