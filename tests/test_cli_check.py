"""bayesseg check: what is read, how, and what is refused."""

import gzip
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bayesseg.cli import app
from bayesseg.cli.demo import cdnow_csv

CASES = sorted(path.parent for path in (Path(__file__).parent / "cases").glob("*/expected.toml"))


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


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_each_case_exits_as_its_folder_says(case):
    """The catalogue of bad inputs, through the command line."""
    expected = tomllib.loads((case / "expected.toml").read_text(encoding="utf-8"))
    source = next(path for path in case.iterdir() if path.name.startswith("input."))
    result = check(source, *expected["args"])
    assert result.exit_code == expected["exit"]
    assert re.search(expected.get("message", ""), result.stderr, re.DOTALL)
    assert "Traceback" not in result.output
