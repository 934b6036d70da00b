"""What somebody else wrote, an id or a name, stays text: in CSV, HTML, terminals, SQL and paths."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import page_case
import pandas as pd
import pytest
import report_case
import trust_page
from browser_case import browser as browser
from browser_case import visit
from typer.testing import CliRunner

import bayesseg as bs
from bayesseg.cli import app, scorefile
from bayesseg.cli.masking import masked, without_known
from bayesseg.ingest import Options, read_purchases

HOSTILE = [
    "=cmd|'/c calc'!A1",
    "+1+1",
    "-2+3",
    '@SUM(A1:A9)"',
    "<img src=x onerror=document.title='owned'>",
    "</script><script>document.title='owned'</script>",
    "[/x]",
    "[bold]customer[/bold]",
    "../../etc/passwd",
    "'; DROP TABLE orders; --",
    "{{ 7 * 7 }}",
    "${HOME}`id`",
]
UNUSABLE = [
    "\x1b[31mred\x1b]0;owned\x07",
    "a\u202etxt.exe",
    "x" * 10_240,
    "zero\u200bwidth",
    "next\x85line",
]
"""Ids that drive a terminal, turn the line, flood it or hide: never scored, only set aside."""
WORDS = ("--date", "date", "--amount", "amount", "--customer-id", "id", "--max-bad", "0.5")
WORDS += ("--as-of", "1998-06-30")


def bayesseg(*words, **how):
    return CliRunner().invoke(app, [str(word) for word in words], **how)


@pytest.fixture(scope="module")
def orders(cdnow_sample):
    """Two hundred customers of CDNOW; those with most to lose have hostile ids, some unusable ones."""
    days = report_case.purchases(cdnow_sample)
    last = days.groupby("customer_id")["date"].max()
    count = days["customer_id"].value_counts()
    keen = [one for one in count.index if last[one] > pd.Timestamp("1998-05-15")]
    names = dict(zip(keen, HOSTILE + UNUSABLE, strict=False))
    some = days[days["customer_id"].isin(count.index[:200])]
    return pd.DataFrame(
        {
            "id": some["customer_id"].map(lambda one: names.get(one, one)),
            "date": some["date"].dt.strftime("%Y-%m-%d"),
            "amount": some["amount"].map("{:.2f}".format),
        }
    )


@pytest.fixture(scope="module")
def shop(cdnow_sample, orders, tmp_path_factory):
    """A folder with a run, the orders, their scores, lists and page: every step by the command line."""
    folder = tmp_path_factory.mktemp("shop")
    report_case.saved(report_case.posterior(report_case.customers(cdnow_sample)), folder / "run")
    orders.to_csv(folder / "orders.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        said = []
        for words in (
            ("score", "run", "orders.csv", *WORDS, "--quarantine", "bad.csv", "-o", "s.csv"),
            ("score", "run", "orders.csv", *WORDS, "-o", "t.parquet"),
            ("prioritise", "s.csv", "-o", "save.csv"),
            ("prioritise", "s.csv", "--count", "20"),
            ("report", "run", "--scores", "t.parquet", "--include-ids", "-o", "page.html"),
            ("check", "orders.csv", *WORDS, "--show-ids", "-o", "check.html"),
        ):
            done = bayesseg(*words)
            assert done.exit_code == 0, done.output
            said.append(done.output)
    return folder, "\n".join(said)


def cells(path):
    with path.open(newline="", encoding="utf-8") as handle:
        return [cell for row in csv.reader(handle) for cell in row]


@pytest.mark.parametrize("name", ["s.csv", "save.csv", "bad.csv"])
def test_no_cell_for_people_starts_a_formula_or_drives_a_terminal(shop, name):
    texts = [cell for cell in cells(shop[0] / name) if not _number(cell)]
    assert any(cell.startswith("'=") for cell in texts) == (name != "bad.csv")
    assert not any(cell[:1] in tuple("=+-@\t\r") for cell in texts if cell)
    assert not any("\x1b" in cell or "\u202e" in cell for cell in texts)


def _number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_hostile_ids_come_back_as_they_were(shop, orders):
    usable = sorted(set(orders["id"]) - set(UNUSABLE))
    for name in ("s.csv", "t.parquet"):
        assert sorted(scorefile.read_scores(shop[0] / name)["customer_id"]) == usable
    assert set(HOSTILE) < set(usable)
    tables = [json.loads((shop[0] / f"{one}.json").read_text())["table"] for one in "st"]
    assert ["guard" in table for table in tables] == [True, False]


def test_unusable_ids_are_set_aside_and_counted(shop, orders):
    said = json.loads(bayesseg("check", shop[0] / "orders.csv", *WORDS, "--json").stdout)
    assert said["rows"]["excluded"]["id_unusable"] == int(orders["id"].isin(UNUSABLE).sum()) > 0


def test_nothing_printed_drives_the_terminal(shop):
    said = shop[1]
    assert "=cmd|'/c calc'!A1" in said  # an id that was shown
    assert "[/x]" in said
    assert not any(ord(c) < 32 and c != "\n" for c in said)
    assert not any(c in said for c in "\x7f\x9b\u202e\u2066\u200b")


@pytest.mark.parametrize("name", ["page.html", "check.html"])
def test_a_browser_runs_nothing_of_an_id(browser, shop, name):
    html = (shop[0] / name).read_text(encoding="utf-8")
    assert "Content-Security-Policy" in html
    page_case.asks_for_nothing(html)
    with visit(browser, shop[0] / name) as here:
        assert here.faults == []
        assert here.page.title() != "owned"
        assert here.page.locator("script").count() == 1
        assert here.page.locator("[onerror]").count() == 0
        if name == "page.html":
            shown = here.page.locator("main").text_content()
            assert "<img src=x onerror=document.title='owned'>" in shown


def test_no_file_is_named_by_data(shop):
    names = {path.name for path in shop[0].rglob("*") if not path.name.startswith(".")}
    ours = {"orders.csv", "bad.csv", "save.csv", "save.json", "s.csv", "s.json", "t.parquet"}
    ours |= {"t.json", "run"}
    ours |= {"page.html", "page.json", "check.html", "check.json"}
    ours |= {path.name for path in (shop[0] / "run").iterdir()}
    assert names == ours


def test_a_link_in_the_place_of_an_output_is_never_written_through(shop, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "s.csv").symlink_to(victim)
    words = ("score", shop[0] / "run", shop[0] / "orders.csv", *WORDS, "-o", tmp_path / "s.csv")
    assert bayesseg(*words).exit_code == 2
    assert bayesseg(*words, "--force").exit_code == 0
    assert victim.read_text() == "mine"


def test_columns_with_hostile_names_are_quoted():
    rows = pd.DataFrame({"customer_id": ["a", "b"] * 9, "date": ["2024-01-01"] * 18})
    rows['x"; DROP TABLE raw; --'] = np.arange(18) + 1.0
    with read_purchases(rows, Options(amount='x"; DROP TABLE raw; --')) as purchases:
        assert purchases.provenance["rows"]["used"] == 18


def test_a_nul_is_refused_and_named(tmp_path):
    (tmp_path / "o.csv").write_bytes(b"id,date,amount\na\0b,2024-01-01,1\n")
    done = bayesseg("check", tmp_path / "o.csv")
    assert (done.exit_code, "line 2 holds a NUL byte" in done.output) == (3, True)
    rows = pd.DataFrame({"id": ["a\0b", "c"], "date": ["2024-01-01"] * 2, "amount": [1.0, 2.0]})
    rows.to_parquet(tmp_path / "o.parquet")
    done = bayesseg("check", tmp_path / "o.parquet", "--max-bad", "0.6")
    assert "1 id_unusable" in done.output
    assert "\0" not in done.output


def test_clients_with_unusable_ids_are_refused(tmp_path):
    rows = pd.DataFrame({"id": [UNUSABLE[0], "c"], "size": [1.0, 2.0]})
    with pytest.raises(bs_errors(), match="control or invisible characters"):
        bs.read_attributes(rows)


def bs_errors():
    from bayesseg.errors import InputRejected

    return InputRejected


def test_hostile_ids_go_through_a_server_and_back(shop, orders, postgres, tmp_path, monkeypatch):
    dbapi = pytest.importorskip("adbc_driver_postgresql.dbapi")
    import pyarrow as pa

    table = '"Sales; --"'
    with dbapi.connect(postgres) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest("Sales; --", pa.Table.from_pandas(orders, preserve_index=False))
        connection.commit()
    monkeypatch.setenv("SHOP", postgres)
    words = ("score", shop[0] / "run", "--from", "env:SHOP", "--table", table, *WORDS)
    done = bayesseg(*words, "-o", tmp_path / "t.parquet")
    assert done.exit_code == 0, done.output
    ours, theirs = (
        scorefile.read_scores(folder / "t.parquet").drop(columns="scored_at")
        for folder in (shop[0], tmp_path)
    )
    pd.testing.assert_frame_equal(ours, theirs)
    assert postgres not in done.output


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("cannot reach postgresql://u:s3cr3t@h/db?sslpassword=s3cr3t now", "cannot reach"),
        ("https://me:s3cr3t@host/path", "host/path"),
        ("host=h password='s3cr3t s3cr3t' dbname=d", "dbname=d"),
        ('{"api_key": "s3cr3t", "a": 1}', '"a": 1'),
        ("TOKEN=s3cr3t", "TOKEN="),
    ],
)
def test_what_looks_like_a_secret_is_not_said(text, kept):
    assert "s3cr3t" not in masked(text)
    assert kept in masked(text)


def test_secrets_of_the_environment_are_never_printed(monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "hunter2hunter2")
    monkeypatch.setenv("SHOP", "postgresql://shop:p%40ssw0rd@h/db")
    assert without_known("x hunter2hunter2 p@ssw0rd p%40ssw0rd y") == "x … … … y"
    assert without_known("no secret: shop") == "no secret: shop"


CRASH = """
import sys
from bayesseg.cli import main
from bayesseg import ingest

def examine(source, options):
    secret_local = source
    raise RuntimeError(f"driver says: {source} and PGPASSWORD " + __import__("os").environ["PGPASSWORD"])

ingest.examine = examine
sys.argv = ["bayesseg", "check", "--from", "env:SHOP", "--table", "t", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize("words", [[], ["--json", "--debug"]])
def test_a_crash_shows_no_secret(words, tmp_path):
    dsn = "postgresql://shop:s3cr3tw0rd@db.example/shop"
    env = os.environ | {"SHOP": dsn, "PGPASSWORD": "0therS3cret"}
    done = subprocess.run(
        [sys.executable, "-c", CRASH, *words], env=env, capture_output=True, text=True, cwd=tmp_path
    )
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "driver says" in said
    assert ("Traceback" in said) == ("--debug" in words)
    for secret in ("s3cr3tw0rd", "0therS3cret", "db.example"):
        assert secret not in said


def test_scripts_in_the_package_never_build_html_or_yaml_by_themselves():
    """Autoescape is on wherever a template is made, and nothing marks text as safe but our own files."""
    source = {p: p.read_text(encoding="utf-8") for p in Path(bs.__file__).parent.rglob("*.py")}
    templates = [text for text in source.values() if "Environment(" in text]
    assert templates
    assert all("autoescape=True" in text for text in templates)
    marked = {p.name for p, text in source.items() if "Markup(" in text}
    assert marked == {"rendering.py"}
    assert not any("import yaml" in text for text in source.values())


def test_the_trust_page_is_that_of_the_code_and_the_tests():
    """And each threat on it names tests that exist."""
    assert trust_page.page() == trust_page.PAGE.read_text("utf-8"), "run python tests/trust_page.py"


def test_what_was_not_measured_is_said_to_be_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(trust_page, "DOCS", tmp_path)
    assert trust_page.page().count("Not measured with this version") == len(trust_page.MEASURED)
    said = 'kills = 1000\n[[run]]\nverb = "fit"\npoints = 57\nviolations = 0\n'
    (tmp_path / "faults.toml").write_text(said)
    assert "kills 1000.\n\n| verb | points | violations |" in trust_page.page()
    assert "| fit | 57 | 0 |" in trust_page.page()


def test_digits_are_measured_not_written():
    assert min(trust_page.digits().values()) >= 9
