"""bayesseg check: what is read, how, and what is refused."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from bad_input_case import CHECKED, folder_of
from bad_input_table import PAGE, page
from dealer_case import dealer
from page_case import Outline, asks_for_nothing
from typer.testing import CliRunner

from bayesseg.cli import app
from bayesseg.cli.demo import cdnow_csv


def check(*words, **options):
    return CliRunner().invoke(app, ["check", *map(str, words)], **options)


def document(result):
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def orders(tmp_path_factory):
    path = tmp_path_factory.mktemp("cdnow") / "orders.csv"
    path.write_text(cdnow_csv(), encoding="ascii")
    return path


def test_the_demo_data_are_cdnow(cdnow_sample):
    """Independent reading: 6,919 rows, 2,357 customers, the sum of dollars."""
    rows = [line.split() for line in cdnow_sample.read_text().splitlines()]
    ours = [line.split(",") for line in cdnow_csv().splitlines()[1:]]
    assert len(ours) == len(rows) == 6919
    assert {one for one, _, _ in ours} == {row[0] for row in rows}
    assert [d.replace("-", "") for _, d, _ in ours] == [row[2] for row in rows]
    assert [money for _, _, money in ours] == [row[4] for row in rows]


def test_every_row_is_accounted_for(orders):
    found = document(check(orders, "--json", "--as-of", "1997-09-30"))
    rows = found["rows"]
    assert rows["in"] == 6919 == rows["used"] + sum(rows["excluded"].values())
    assert found["customers"]["all"] == 2357
    assert found["customers"]["repeat"] == 946
    assert found["readiness"]["level"] == "ready"
    assert found["exit_code"] == 0


def test_guesses_and_dialect_are_said_on_stderr(orders):
    result = check(orders)
    assert "6,919 rows in = 6,919 used" in result.stderr
    for flag in ("--customer-id", "--date", "--amount", "--delimiter", "--date-format", "--as-of"):
        assert flag in result.stderr
    assert "rows in" not in result.stdout


def test_a_french_file_needs_no_flag(orders, tmp_path):
    lines = []
    for line in orders.read_text().splitlines()[1:]:
        one, day, money = line.split(",")
        year, month, number = day.split("-")
        lines.append(f"{one};{number}/{month}/{year};{money.replace('.', ',')};Besançon")
    path = tmp_path / "commandes.csv"
    path.write_text("\n".join(["client;date;montant;ville", *lines, ""]), encoding="cp1252")
    french, english = document(check(path, "--json")), document(check(orders, "--json"))
    for key in ("rows", "customers", "as_of", "weekly"):
        assert french[key] == english[key]
    assert french["readiness"]["gates"] == english["readiness"]["gates"]


def test_stdin_is_read_plain_and_gzipped(orders):
    content = orders.read_bytes()
    plain, packed = (
        subprocess.run(
            [sys.executable, "-m", "bayesseg", "check", "-", "--json"],
            input=data,
            capture_output=True,
            check=True,
        )
        for data in (content, gzip.compress(content))
    )
    assert json.loads(plain.stdout)["rows"] == json.loads(packed.stdout)["rows"]


HEADER = "customer_id,date,amount\n"
BAD = {
    "empty": "",
    "header_only": HEADER,
    "not_a_log": "Dear Sir,\n\nplease find enclosed our offer.\n",
    "no_such_columns": "colour,shape\nred,round\nblue,square\n",
    "one_customer": HEADER + "".join(f"a,2024-01-{d:02},5\n" for d in range(1, 29)),
    "one_time_buyers": HEADER + "".join(f"c{i},2024-01-{i:02},5\n" for i in range(1, 29)),
    "unreadable_amounts": HEADER + "".join(f"c{i},2024-01-02,five\n" for i in range(9)),
    "future": HEADER + "".join(f"c{i % 30},2999-01-{i % 28 + 1:02},5\n" for i in range(99)),
    "refunds_only": HEADER + "".join(f"c{i % 30},2024-01-{i % 28 + 1:02},-5\n" for i in range(99)),
    "ambiguous_dates": HEADER + "".join(f"c{i},0{i}/0{i + 1}/2024,5\n" for i in range(1, 9)),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_refused_without_a_traceback(name, tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text(BAD[name])
    result = check(path)
    assert result.exit_code == 3
    assert "error:" in result.stderr
    assert "fix:" in result.stderr
    assert "Traceback" not in result.output


def test_negative_amounts_are_counted_not_fatal(orders, tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text(orders.read_text() + "00004,1997-01-18,-9.99\n")
    result = check(path)
    assert result.exit_code == 0
    assert "1 negative amount (-9.99)" in result.stderr


@pytest.mark.parametrize("name", CHECKED)
def test_each_case_exits_as_its_folder_says(name):
    """The catalogue of bad inputs, through the command line."""
    expected, case = CHECKED[name], folder_of(name)
    source = next(path for path in case.iterdir() if path.name.startswith("input."))
    result = check(source, *(word.replace("{here}", str(case)) for word in expected["args"]))
    assert result.exit_code == expected["exit"]
    assert re.search(expected.get("message", ""), result.stderr, re.DOTALL)
    assert "Traceback" not in result.output


def test_the_table_of_cases_is_up_to_date():
    assert page() == PAGE.read_text(encoding="utf-8"), "run python tests/bad_input_table.py"


def test_every_finding_is_said_at_once(tmp_path):
    """Too many bad rows, a bad as-of day and what else there is, in one call."""
    path = tmp_path / "orders.csv"
    path.write_text(
        HEADER + "".join(f"c{i},2024-01-{i % 28 + 1:02},{i}\n" for i in range(40)) + ",,\n"
    )
    found = document(check(path, "--json", "--max-bad", "0"))
    rejected = [one["code"] for one in found["findings"] if one["level"] == "reject"]
    assert rejected == ["too_many_bad_rows", "not_ready"]
    assert found["exit_code"] == 3
    assert found["readiness"]["level"] == "blocked"


def documented():
    """Keys of the first and of the second table of docs/check.md."""
    text = (Path(__file__).parents[1] / "docs" / "check.md").read_text(encoding="utf-8")
    tables = [
        re.findall(r"^\| (`[^|]+) \|", part, re.MULTILINE) for part in text.split("`quality` holds")
    ]
    return [set(re.findall(r"`(\w+)`", " ".join(cells))) for cells in tables]


def test_the_document_is_as_documented(orders, tmp_path):
    top, quality = documented()
    good = document(check(orders, "--json", "-o", tmp_path / "check.html"))
    bad = document(check(orders, "--json", "--as-of", "1990-01-01"))
    assert top == good.keys() | {"error", "shares", "attributes"}  # where asked for
    assert set(good["findings"][0]) | {"ids"} >= set(good["findings"][-1])
    assert bad.keys() <= top
    assert quality == good["quality"].keys()


def test_ids_are_named_only_when_asked_for(orders, tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text(orders.read_text() + "Mme Vanhove,1997-03-01,five\n")
    quiet, asked = check(path, "--json"), check(path, "--json", "--show-ids")
    assert "Vanhove" not in quiet.output
    bad = next(one for one in document(asked)["findings"] if one["code"] == "amount_unreadable")
    assert bad["ids"] == ["Mme Vanhove"]
    assert bad["records"] == [6920]


def test_the_page_says_what_the_text_says(orders, tmp_path):
    out = tmp_path / "check.html"
    assert check(orders, "-o", out).exit_code == 0
    html = out.read_text(encoding="utf-8")
    asks_for_nothing(html)
    text = Outline(html).text
    assert "The data can be fitted." in text
    assert "6,919 rows are 6,696 purchases" in text
    assert json.loads(out.with_suffix(".json").read_text())["rows"]["used"] == 6919


def test_bad_rows_go_to_the_quarantine_even_where_the_data_are_refused(tmp_path):
    path, aside = tmp_path / "orders.csv", tmp_path / "quarantine.csv"
    path.write_text(HEADER + "a,2024-01-05,5\n=cmd(),2024-13-05,5\nb,2024-01-06,-\n")
    result = check(path, "--quarantine", aside)
    assert result.exit_code == 3
    assert aside.read_text().splitlines() == [
        "record,reason,customer_id,date,amount",
        "2,date_unreadable,'=cmd(),2024-13-05,5",
        "3,amount_missing,b,2024-01-06,'-",
    ]


def test_a_quarantine_never_replaces_anything_else(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text(HEADER + "a,2024-01-05,5\n")
    result = check(path, "--quarantine", path)
    assert result.exit_code == 2
    assert "is no quarantine" in result.stderr
    assert path.read_text() == HEADER + "a,2024-01-05,5\n"


def warned(result):
    """Codes of the findings that are more than a remark."""
    return [one["code"] for one in document(result)["findings"] if one["level"] != "note"]


def test_cdnow_is_told_off_for_nothing(orders):
    assert warned(check(orders, "--json")) == []


def test_a_car_dealer_s_300_lines_pass(tmp_path):
    """French headers, Windows letters, decimal comma: no flag, nothing told off, thin but usable."""
    path = tmp_path / "ventes.csv"
    path.write_bytes(dealer().encode("cp1252"))
    result = check(path, "--json")
    found = document(result)
    assert result.exit_code == 0
    assert found["rows"]["used"] == 300
    assert warned(result) == []
    assert found["dialect"]["date_format"]["value"] == "%d/%m/%Y"


def test_online_retail_ii_is_told_off_for_copies_only(shared):
    words = ["--amount", "Quantity * UnitPrice", "--order-id", "InvoiceNo", "--extract", "sheet"]
    result = check(
        shared / "data" / "online_retail_ii.parquet", *words, "--drop-missing-id", "--json"
    )
    assert warned(result) == ["duplicate"]
    assert document(result)["customers"]["all"] == 5867
