"""Every verb reads DATA or ``--from``; a server's address is used and never repeated."""

import gzip
import json
import traceback

import duckdb
import openpyxl
import pandas as pd
import pytest
from typer.testing import CliRunner

from bayesseg.cli import app
from bayesseg.cli.flags import SourceFlags, argv, command_line

dbapi = pytest.importorskip("adbc_driver_postgresql.dbapi")

ORDERS = pd.DataFrame(
    {
        "client": [f"c{i % 12}" for i in range(60)],
        "date": [f"2024-{1 + i // 20:02d}-{1 + i % 20:02d}" for i in range(60)],
        "amount": [1.5 + i % 7 for i in range(60)],
    }
)
VERBS = {
    "check": [],
    "fit": ["-o", "run"],
    "run": ["-o", "out"],
    "validate": ["--origins", "2"],
    "score": ["RUN", "-o", "scores.parquet"],
    "compare": [],
    "stability": ["RUN"],
    "drift": ["RUN"],
}


def bayesseg(*words, **how):
    return CliRunner().invoke(app, [str(word) for word in words], **how)


def as_csv(path):
    ORDERS.to_csv(path, index=False)


def as_parquet(path):
    ORDERS.to_parquet(path)


def as_lines(path):
    ORDERS.to_json(path, orient="records", lines=True)


def as_packed_lines(path):
    as_lines(path)
    path.write_bytes(gzip.compress(path.read_bytes()))


def as_workbook(path):
    book = openpyxl.Workbook()
    for row in [list(ORDERS), *ORDERS.values.tolist()]:
        book.active.append(row)
    book.save(path)


@pytest.mark.parametrize(
    ("write", "kind"),
    [
        (as_csv, "csv"),
        (as_parquet, "parquet"),
        (as_lines, "jsonlines"),
        (as_packed_lines, "jsonlines"),
        (as_workbook, "excel"),
    ],
)
def test_stdin_is_told_by_its_content(write, kind, tmp_path):
    write(tmp_path / "orders")
    done = bayesseg("check", "-", "--json", input=(tmp_path / "orders").read_bytes())
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["source"]["kind"] == kind
    assert document["rows"] == {"in": 60, "used": 60, "excluded": {}}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_reads_data_or_from_and_one_of_them(verb, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = VERBS[verb]
    data = ["--data", "a.csv"] if verb == "compare" else ["a.csv"]
    where = len([word for word in words if word == "RUN"])
    nothing = bayesseg(verb, *words)
    assert (nothing.exit_code, "there is no DATA" in nothing.output) == (2, True)
    both = bayesseg(verb, *words[:where], *data, *words[where:], "--from", "b.csv")
    assert both.exit_code == 2
    assert "DATA and --from are both given" in both.output
    absent = bayesseg(verb, *words, "--from", "env:BAYESSEG_NOWHERE")
    assert (absent.exit_code, "no variable 'BAYESSEG_NOWHERE'" in absent.output) == (2, True)


def test_a_file_may_stand_behind_from(tmp_path):
    as_csv(tmp_path / "orders.csv")
    ours, theirs = (
        bayesseg("check", *words, tmp_path / "orders.csv") for words in ([], ["--from"])
    )
    assert (ours.exit_code, ours.output) == (0, theirs.output)


def test_a_query_in_a_file_is_read(tmp_path):
    with duckdb.connect(str(tmp_path / "shop.db")) as connection:
        connection.register("rows", ORDERS)
        connection.execute("CREATE TABLE orders AS FROM rows")
    query = tmp_path / "q.sql"
    query.write_text("\ufeffSELECT * FROM orders WHERE client <> 'c0'; -- without c0\n", "utf-8")
    done = bayesseg("check", "--from", tmp_path / "shop.db", "--query-file", query)
    assert (done.exit_code, "55 rows in = 55 used" in done.output) == (0, True), done.output
    done = bayesseg("check", tmp_path / "shop.db", "--query-file", tmp_path / "none.sql")
    assert (done.exit_code, "cannot be read" in done.output) == (2, True)


def test_addresses_are_masked_in_commands_that_are_shown():
    address = "postgresql://shop:s3cr3t@host/db?sslpassword=s3cr3t"
    words = argv(SourceFlags(from_=address, table="sales.orders"))
    assert words == ["--from", "postgresql://…", "--table", "sales.orders"]
    assert "s3cr3t" not in command_line("check", address)
    assert argv(SourceFlags(from_="env:SHOP")) == ["--from", "env:SHOP"]


@pytest.fixture(scope="module")
def server(postgres):
    """The address of a server with the table ``bought``."""
    rows = ", ".join(map(str, ORDERS.itertuples(index=False, name=None)))
    with dbapi.connect(postgres, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bought (client text, date date, amount numeric(10, 2))")
        cursor.execute(f"INSERT INTO bought VALUES {rows}")
    return postgres


def test_a_server_is_read_from_its_address_or_from_the_environment(server, monkeypatch):
    monkeypatch.setenv("SHOP", server)
    asked = bayesseg("check", "--from", "env:SHOP", "--table", "bought")
    named = bayesseg("check", "--from", server, "--table", "bought")
    assert (asked.exit_code, named.exit_code) == (0, 0), asked.output
    assert "PostgreSQL, table bought" in asked.output
    assert "60 rows in = 60 used" in asked.output
    assert "list of processes" in named.output
    assert named.output.replace(asked.output, "").count("\n") == 1  # the warning, nothing else


def test_data_is_not_the_address_of_a_server(server):
    done = bayesseg("check", server, "--table", "bought")
    assert (done.exit_code, "--from env:NAME" in done.output) == (2, True)
    assert password(server) not in done.output


def password(address):
    return address.split(":")[2].split("@")[0]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--table", "bought"], 0),
        (["--table", "bought", "--json"], 0),
        (["--table", "nothing"], 3),
        ([], 2),
    ],
)
def test_no_secret_is_said(words, code, server, monkeypatch):
    monkeypatch.setenv("SHOP", server)
    done = bayesseg("check", "--from", "env:SHOP", *words)
    assert done.exit_code == code, done.output
    assert password(server) not in done.output


def test_no_secret_is_in_a_traceback(server, monkeypatch):
    monkeypatch.setenv("SHOP", server.replace(":" + password(server), ":s3cr3t"))
    words = ("check", "--from", "env:SHOP", "--table", "bought")
    done = bayesseg(*words)
    assert (done.exit_code, "refuses the user or the password" in done.output) == (9, True)
    debugged = bayesseg(*words, "--debug")
    said = "".join(traceback.format_exception(debugged.exception)) + debugged.output + done.output
    assert "ResourcesMissing" in said
    assert "s3cr3t" not in said


def test_a_run_holds_no_secret(server, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    words = ("--model", "bgnbd", "--engine", "map", "-o", "run")
    done = bayesseg("fit", "--from", server, "--table", "bought", *words)
    assert done.exit_code == 0, done.output
    source = json.loads((tmp_path / "run/manifest.json").read_text())["accounting"]["source"]
    assert (source["kind"], source["table"]) == ("postgres", "bought")
    written = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert password(server).encode() not in written + done.output.encode()
    assert b"127.0.0.1" not in written
