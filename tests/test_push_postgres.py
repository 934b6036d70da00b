"""Scores in a table of a real PostgreSQL server: what stands there is what the newest scores say."""

import json
import re
import threading
from dataclasses import replace
from functools import partial
from itertools import count

import pytest
from push_case import HOSTILE, held, scores, server, write
from typer.testing import CliRunner

pytest.importorskip("adbc_driver_postgresql.dbapi")

from bayesseg.cli import app
from bayesseg.errors import (
    ArtefactBad,
    DestinationFailed,
    GateFailed,
    Locked,
    ResourcesMissing,
    RowsRefused,
    UsageError,
)
from bayesseg.ingest import read_key, read_objections
from bayesseg.ingest.database import postgres_rows
from bayesseg.push import transaction as transactions
from bayesseg.push.postgres import Order, push
from bayesseg.push.pushed import Pushed

KEY = "0123456789abcdef0123456789abcdef-key"
FORCED = {"force": True, "reason": "the shop in Lyon was closed"}
_names = count()


@pytest.fixture
def ask(postgres):
    with server(postgres) as ask:
        yield ask


@pytest.fixture
def table(postgres):
    """A table in a schema of its own, which nothing has made yet."""
    return f"push{next(_names)}.scores"


@pytest.fixture
def send(postgres, table):
    """Push scores of a day: ``send(day, n, ...)``."""

    def send(day=0, n=40, said=None, **how):
        own = {key: how.pop(key) for key in ("ids", "model") if key in how}
        order = Order(*scores(day, n, **own), **how)
        return push(order, postgres, table, (said if said is not None else []).append)

    return send


@pytest.fixture
def cli(postgres, table, tmp_path, monkeypatch):
    """Call ``bayesseg push ... --to postgres --table TABLE``."""
    monkeypatch.setenv("BAYESSEG_DSN", postgres)
    monkeypatch.setenv("KEY", KEY)
    monkeypatch.chdir(tmp_path)

    def call(*words):
        where = ("--to", "postgres", "--table", table)
        return CliRunner().invoke(app, ["push", *where, *map(str, words)])

    return call


def ledger(ask, table, *names):
    schema = table.partition(".")[0]
    return ask(f"SELECT {', '.join(names)} FROM {schema}.bayesseg_runs ORDER BY run_seq")


def test_the_table_is_made_with_types_a_key_and_units(send, ask, table):
    assert send() == Pushed(inserted=40)
    columns = dict(
        ask(
            "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = to_regclass($1::text) AND attnum > 0",
            table,
        )
    )
    assert (columns["customer_id"], columns["clv"]) == ("text", "double precision")
    assert (columns["scored_at"], columns["active"]) == ("timestamp with time zone", "boolean")
    said = ask("SELECT col_description(to_regclass($1::text), 3)", table)
    assert said == [("no purchase within the horizon; unit: probability within the horizon",)]
    with pytest.raises(Exception, match="duplicate key"):
        ask(f"INSERT INTO {table} SELECT * FROM {table} LIMIT 1")


def test_a_repeated_push_changes_nothing_and_leaves_no_trace(send, ask, table):
    send()
    before = ask(f"SELECT xmin::text, ctid::text, * FROM {table} ORDER BY customer_id")
    assert send() == Pushed(unchanged=40)
    assert ask(f"SELECT xmin::text, ctid::text, * FROM {table} ORDER BY customer_id") == before
    assert len(ledger(ask, table, "run_id")) == 1


def test_only_rows_that_say_something_else_are_written(send, ask, table, postgres):
    rows, document = scores()
    send()
    rows.loc[rows.index[:3], "clv"] *= 4
    later = document | {"scored_at": "2026-01-01T09:00:00+00:00", "table": {"sha256": "later"}}
    assert push(Order(rows, later), postgres, table, print) == Pushed(updated=3, unchanged=37)
    assert ledger(ask, table, "inserted", "updated", "unchanged") == [(40, 0, 0), (0, 3, 37)]


def test_who_leaves_the_scores_is_marked_and_who_returns_is_active_again(send, ask, table):
    send(0, 40)
    assert send(0, 38) == Pushed(unchanged=38, gone=2)
    inactive = ask(f"SELECT customer_id FROM {table} WHERE NOT active ORDER BY 1")
    assert inactive == [("c00038",), ("c00039",)]
    assert send(0, 40) == Pushed(unchanged=38, updated=2)
    assert ask(f"SELECT count(*) FROM {table} WHERE active") == [(40,)]


def test_columns_and_rows_of_others_are_let_be(send, ask, table):
    send(0)
    ask(f"ALTER TABLE {table} ADD COLUMN owner text DEFAULT 'nobody'")
    ask(f"UPDATE {table} SET owner = 'Zoë' WHERE customer_id = 'c00001'")
    send(0, model="retail")
    assert send(1) == Pushed(updated=40)
    assert ask(f"SELECT owner, count(*) FROM {table} GROUP BY 1 ORDER BY 2") == [
        ("Zoë", 1),
        ("nobody", 79),
    ]


def test_hostile_ids_arrive_as_they_are(send, ask, table):
    assert send(ids=HOSTILE) == Pushed(inserted=len(HOSTILE))
    assert set(held(ask, table)) == set(HOSTILE)
    assert send(ids=HOSTILE) == Pushed(unchanged=len(HOSTILE))


def test_hostile_names_of_tables_are_names(ask, postgres):
    for table in ('"a.b""; DROP TABLE x; --".scores', '"Größe"."Scores $1"'):
        order = Order(*scores())
        assert push(order, postgres, table, print) == Pushed(inserted=40)
        assert push(replace(order, run_id="2"), postgres, table, print) == Pushed(unchanged=40)
        assert ask(f"SELECT count(*) FROM {table}") == [(40,)]


def test_a_name_without_a_schema_is_the_same_table(postgres, ask):
    order = Order(*scores())
    push(order, postgres, "bare_scores", print)
    assert push(replace(order, run_id="2"), postgres, "public.bare_scores", print).unchanged == 40


def test_a_dry_run_plans_the_same_and_writes_nothing(send, ask, table):
    assert send(dry_run=True) == Pushed(inserted=40)
    assert ask("SELECT to_regclass($1::text) IS NULL", table) == [(True,)]
    send(0)
    before = held(ask, table)
    assert send(1, 38, dry_run=True) == Pushed(updated=38, gone=2)
    assert held(ask, table) == before
    assert send(1, 38) == Pushed(updated=38, gone=2)


def test_older_scores_are_refused_unless_forced_with_a_reason(send, ask, table):
    send(2)
    with pytest.raises(GateFailed, match="older") as caught:
        send(1)
    assert (caught.value.code, caught.value.exit_code) == ("older_run", 4)
    with pytest.raises(GateFailed):
        send(1, force=True)
    send(1, **FORCED)
    assert ledger(ask, table, "reason")[-1] == (f"older_run: {FORCED['reason']}",)
    assert send(2).updated > 0  # what stands there counts, not what was there once


def test_too_much_at_once_is_refused_unless_forced_with_a_reason(send, ask, table):
    send(0, 40)
    before = held(ask, table)
    with pytest.raises(GateFailed) as caught:
        send(1, 30)
    assert (caught.value.code, caught.value.exit_code) == ("blast_radius", 4)
    assert held(ask, table) == before
    done = send(1, 30, **FORCED)
    assert replace(done, overruled=()) == Pushed(updated=30, gone=10)
    assert [code for code, _ in done.overruled] == ["blast_radius"]
    assert ledger(ask, table, "reason")[-1] == (f"blast_radius: {FORCED['reason']}",)


def test_a_table_with_other_columns_is_refused_with_what_to_run(send, ask, table):
    schema = table.partition(".")[0]
    ask(f"CREATE SCHEMA {schema}")
    ask(f"CREATE TABLE {table} (customer_id text, clv numeric, note text)")
    with pytest.raises(RowsRefused, match="not as it has to be") as caught:
        send()
    assert (caught.value.exit_code, caught.value.code) == (7, "table_differs")
    assert ask(f"SELECT count(*) FROM {table}") == [(0,)]
    ask(f"INSERT INTO {table} VALUES ('c00001', 3, 'of others')")
    for statement in caught.value.fix.partition(": ")[2].split(";")[:-1]:
        ask(statement)
    assert send() == Pushed(inserted=39, updated=1)
    assert ask(f"SELECT note, clv FROM {table} WHERE customer_id = 'c00001'") == [
        ("of others", 100.0)
    ]


def test_what_is_no_table_of_customers_is_said_to_be_none(send, ask, table, postgres):
    schema = table.partition(".")[0]
    send()
    ask(f"CREATE VIEW {schema}.seen AS SELECT * FROM {table}")
    ask(f"CREATE TABLE {schema}.other (note text)")
    order = Order(*scores())
    with pytest.raises(UsageError, match="is a view"):
        push(order, postgres, f"{schema}.seen", print)
    with pytest.raises(RowsRefused, match="has no customer_id") as caught:
        push(order, postgres, f"{schema}.other", print)
    assert (caught.value.code, "ALTER" in caught.value.fix) == ("table_differs", False)
    with pytest.raises(UsageError, match="where pushes are noted"):
        push(order, postgres, f"{schema}.bayesseg_runs", print)


def test_a_column_that_the_scores_no_longer_have_is_emptied(send, ask, table, postgres):
    rows, document = scores()
    push(Order(rows.assign(segment="S1"), document), postgres, table, print)
    assert send(1) == Pushed(updated=40)
    assert ask(f"SELECT DISTINCT segment, scored_at::date::text FROM {table}") == [
        (None, "2026-01-02")
    ]
    assert send(1) == Pushed(unchanged=40)


def test_a_table_keeps_its_guards_under_another_name(cli, send, ask, table, tmp_path, postgres):
    send(2)
    (tmp_path / "forget.txt").write_text("c00007\n")
    cli("--erase", "forget.txt", "--tombstones", "gone.txt", "--key", "env:KEY")
    ask(f"ALTER TABLE {table} RENAME TO renamed")
    renamed = f"{table.partition('.')[0]}.renamed"
    with pytest.raises(GateFailed) as caught:
        push(Order(*scores(3)), postgres, renamed, print)
    assert caught.value.code == "erased"
    listed = read_objections(tmp_path / "gone.txt", read_key("env:KEY"))
    with pytest.raises(GateFailed) as caught:
        push(Order(*scores(1), objections=listed), postgres, renamed, print)
    assert caught.value.code == "older_run"


def test_what_is_made_is_said(send, table):
    schema = table.partition(".")[0]
    made = f"made the schema {schema}, the table {schema}.bayesseg_runs, the table {table}"
    said = []
    send(said=said, dry_run=True)
    send(said=said)
    send(1, said=said)
    assert said == [f"would {made.replace('made', 'make')}", made]


def test_nobody_into_an_empty_table_is_noted_nowhere(send, ask, table):
    assert send(n=0) == Pushed()
    assert ask("SELECT to_regclass($1::text) IS NULL", table) == [(True,)]
    send(0)
    assert len(ledger(ask, table, "run_id")) == 1


def test_the_schema_printed_is_what_a_push_wants(cli, ask, table, tmp_path):
    write(tmp_path)
    done = cli("scores.parquet", "--schema")
    assert done.exit_code == 0
    for statement in done.stdout.split(";\n"):
        if statement.strip():
            ask(statement)
    done = cli("scores.parquet", "--json")
    assert (done.exit_code, json.loads(done.stdout)["inserted"]) == (0, 40)


def test_rows_the_server_refuses_are_said_without_their_values(send, ask, table):
    send(0)
    ask(f"ALTER TABLE {table} ADD CONSTRAINT cheap CHECK (clv < 160)")
    before = held(ask, table)
    with pytest.raises(RowsRefused, match="check constraint") as caught:
        send(1)
    assert (caught.value.exit_code, "c000" in str(caught.value)) == (7, False)
    assert held(ask, table) == before


def test_numbers_out_of_range_are_found_on_the_server(postgres, table, ask):
    rows, document = scores()
    rows.loc[0, "p_churn"] = 1.4
    with pytest.raises(ArtefactBad, match="1 rows hold a probability beyond 0 and 1"):
        push(Order(rows, document), postgres, table, print)
    assert ask("SELECT to_regclass($1::text) IS NULL", table) == [(True,)]


def test_a_user_without_rights_is_told_so(postgres, table, send, ask):
    send()
    ask("DROP ROLE IF EXISTS guest")
    ask("CREATE ROLE guest LOGIN PASSWORD 'guest-secret'")
    address = postgres.replace(postgres.split("//")[1].split("@")[0], "guest:guest-secret")
    with pytest.raises(ResourcesMissing, match="does not allow it: permission denied") as caught:
        push(Order(*scores(1)), address, table, print)
    assert ("guest-secret" in str(caught.value), caught.value.exit_code) == (False, 9)
    with pytest.raises(ResourcesMissing, match="refuses the user or the password"):
        push(Order(*scores(1)), address.replace("guest-secret", "other-secret"), table, print)
    with pytest.raises(ResourcesMissing, match="malformed"):
        push(Order(*scores(1)), "shop at home", table, print)


def test_rows_that_a_policy_hides_are_an_error_and_not_customers_who_left(
    send, ask, table, postgres
):
    send(0)
    schema = table.partition(".")[0]
    ask("DROP ROLE IF EXISTS clerk")
    ask("CREATE ROLE clerk LOGIN PASSWORD 'clerk-secret'")
    ask(f"GRANT USAGE, CREATE ON SCHEMA {schema} TO clerk")
    ask(f"GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO clerk")
    ask(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    address = postgres.replace(postgres.split("//")[1].split("@")[0], "clerk:clerk-secret")
    with pytest.raises(ResourcesMissing, match="row-level security"):
        push(Order(*scores(1)), address, table, print)


def test_a_trigger_that_leaves_rows_out_is_named(send, ask, table, monkeypatch):
    send(0)
    ask(
        f"CREATE FUNCTION {table}_skip() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
    )
    ask(
        f"CREATE TRIGGER hush BEFORE UPDATE ON {table} FOR EACH ROW "
        f"WHEN (old.customer_id = 'c00003') EXECUTE FUNCTION {table}_skip()"
    )
    monkeypatch.setattr(transactions, "_WAITS", (0.0,))
    before = held(ask, table)
    with pytest.raises(RowsRefused, match="the trigger hush") as caught:
        send(1)
    assert caught.value.exit_code == 7
    assert held(ask, table) == before


def test_an_address_of_keywords_and_values_works(postgres, table, ask):
    user, password, host, port, name = re.fullmatch(
        r"postgresql://(.+):(.+)@(.+):(.+)/(.+)", postgres
    ).groups()
    words = f"host={host} port={port} user={user} password={password} dbname={name}"
    assert push(Order(*scores()), words, table, print) == Pushed(inserted=40)
    with postgres_rows(words, table, None) as rows:
        assert rows.read_all().num_rows == 40
    done = CliRunner().invoke(
        app, ["check", "--from", "env:SHOP", "--table", table], env={"SHOP": words}
    )
    assert (password in done.output, "does not exist" in done.output) == (False, False)


def test_a_server_that_is_not_there_is_tried_again_a_few_times(monkeypatch, table):
    waits, said = [], []
    monkeypatch.setattr(transactions.time, "sleep", waits.append)
    with pytest.raises(DestinationFailed, match="nothing answers") as caught:
        push(Order(*scores()), "postgresql://u:s3cr3t@127.0.0.1:1/x", table, said.append)
    assert (caught.value.exit_code, tuple(waits)) == (6, transactions._WAITS)
    assert "s3cr3t" not in f"{said}{caught.value}"


@pytest.mark.parametrize("moment", ["before", "at", "after"])
def test_a_connection_lost_around_the_commit_neither_loses_nor_repeats(
    moment, postgres, send, ask, table, monkeypatch
):
    """The server ends the session before, instead of or after the commit; the caller never knows."""
    from adbc_driver_manager import Error
    from adbc_driver_postgresql import dbapi

    send(0)
    commit, cut = dbapi.Connection.commit, []

    def lossy(self):
        if cut:
            return commit(self)
        cut.append(moment)
        with self.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            pid = cursor.fetchone()[0]
        if moment == "after":
            commit(self)
        ask("SELECT pg_terminate_backend($1::int, 5000)", pid)
        if moment == "before":
            return commit(self)
        raise lost

    try:
        with dbapi.connect("postgresql://127.0.0.1:1/x"):
            pytest.fail("something answers")
    except Error as error:
        lost = error
    monkeypatch.setattr(dbapi.Connection, "commit", lossy)
    said = []
    assert send(1, said=said) == Pushed(updated=40)
    assert len(said) == 1
    assert "connection to the server was lost" in said[0]
    assert len(ledger(ask, table, "run_id")) == 2
    assert send(1) == Pushed(unchanged=40)


def test_a_push_waits_for_another_and_then_says_who_holds_it(send, postgres, table, monkeypatch):
    send(0)
    schema = table.partition(".")[0]
    with server(postgres) as other:
        other("SELECT pg_advisory_lock(hashtextextended($1::text, 0))", f"bayesseg {schema}")
        monkeypatch.setattr(transactions, "LOCK_WAIT", "100ms")
        with pytest.raises(Locked) as caught:
            send(1)
        assert caught.value.exit_code == 8
        monkeypatch.setattr(transactions, "LOCK_WAIT", "20s")
        timer = threading.Timer(
            0.5,
            partial(other, "SELECT pg_advisory_unlock_all()"),
        )
        timer.start()
        assert send(1) == Pushed(updated=40)
        timer.join()


def at_once(send, days):
    """Push several days at the same time; what each came to, a refusal by its code."""
    outcomes = []

    def one(day):
        try:
            outcomes.append(send(day))
        except GateFailed as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=one, args=(day,)) for day in days]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def test_pushers_at_once_end_as_if_one_after_the_other(send, ask, table):
    send(0)
    outcomes = at_once(send, (3, 1, 4, 2, 5, 1, 5))
    assert len(outcomes) == 7
    assert {o for o in outcomes if isinstance(o, str)} <= {"older_run"}
    days = [day for (day,) in ledger(ask, table, "as_of")]
    assert days == sorted(days)
    assert {row[3].day for row in held(ask, table).values()} == {6}
    assert send(5) == Pushed(unchanged=40)


def test_the_first_pushers_at_once_make_one_table(send, ask, table):
    outcomes = at_once(send, range(4))
    assert {o for o in outcomes if isinstance(o, str)} <= {"older_run"}
    assert len(outcomes) == 4
    assert ask(f"SELECT count(*), count(DISTINCT scored_at) FROM {table}") == [(40, 1)]


def test_objectors_are_deleted_and_pseudonyms_pushed(cli, ask, table, tmp_path):
    write(tmp_path)
    assert cli("scores.parquet", "--pseudonymise", "env:KEY").exit_code == 0
    (tmp_path / "no.txt").write_text("c00003\nc00005\n")
    words = ("scores.parquet", "--pseudonymise", "env:KEY", "--suppress-list", "no.txt")
    done = json.loads(cli(*words, "--json").stdout)
    assert (done["removed"], done["marked_inactive"], done["unchanged"]) == (2, 0, 38)
    ids = {key for (key,) in ask(f"SELECT customer_id FROM {table}")}
    assert len(ids) == 38
    assert all(len(key) == 33 and key[0] == "p" for key in ids)


def test_the_erased_are_gone_everywhere_and_cannot_come_back(cli, ask, table, tmp_path):
    path = write(tmp_path)
    assert cli(path).exit_code == 0
    (tmp_path / "forget.txt").write_text("c00007\nnobody\n")
    erase = ("--erase", "forget.txt", "--tombstones", "gone.txt", "--key", "env:KEY")
    done = cli(path, *erase, "--json")
    document = json.loads(done.stdout)
    assert (done.exit_code, document["deleted"], document["unknown"]) == (0, 1, 1)
    assert [one["erased"] for one in document["files"]] == [1]
    assert "c00007" not in held(ask, table)
    noted = ledger(ask, table, "action", "removed", "tombstones")[-1]
    assert noted == ("erase", 1, document["tombstones"])
    schema = table.partition(".")[0]
    assert "c00007" not in str(ask(f"SELECT to_json(r)::text FROM {schema}.bayesseg_runs r"))

    later = write(tmp_path, "later.parquet", 1)  # from a source that still has everybody
    done = cli(later)
    assert (done.exit_code, "could bring them back" in done.output) == (4, True)
    assert "c00007" not in held(ask, table)
    words = ("--suppress-list", "gone.txt", "--suppress-key", "env:KEY")
    assert cli(later, *words).exit_code == 0
    assert "c00007" not in held(ask, table)
    assert len(held(ask, table)) == 39


def everything(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_dry_run_of_an_erasure_erases_nobody(cli, ask, table, tmp_path):
    path = write(tmp_path)
    cli(path)
    (tmp_path / "forget.txt").write_text("c00007\n")
    erase = ("--erase", "forget.txt", "--tombstones", "gone.txt", "--key", "env:KEY")
    files, rows = everything(tmp_path), held(ask, table)
    done = cli(path, *erase, "--dry-run", "--json")
    document = json.loads(done.stdout)
    assert (document["dry_run"], document["deleted"], document["unknown"]) == (True, 1, 0)
    assert (everything(tmp_path), held(ask, table)) == (files, rows)
    assert ledger(ask, table, "action") == [("push",)]
    assert json.loads(cli(path, *erase, "--json").stdout)["deleted"] == 1


@pytest.mark.parametrize(
    "more",
    [
        ("--schema",),
        ("--exact",),
        ("--campaign", "june", "--holdout", "0.3"),
        ("--suppress-list", "forget.txt"),
        ("--pseudonymise", "env:KEY"),
        ("--force", "--reason", "why"),
    ],
)
def test_what_says_nothing_beside_an_erasure_is_refused(cli, ask, table, tmp_path, more):
    path = write(tmp_path)
    cli(path)
    (tmp_path / "forget.txt").write_text("c00007\n")
    files, rows = everything(tmp_path), held(ask, table)
    erase = ("--erase", "forget.txt", "--tombstones", "gone.txt", "--key", "env:KEY")
    done = cli(path, *erase, *more)
    assert (done.exit_code, f"{more[0]}" in done.output) == (2, True)
    assert (everything(tmp_path), held(ask, table)) == (files, rows)


def test_force_does_not_bring_back_the_erased(cli, ask, table, tmp_path):
    path = write(tmp_path)
    cli(path)
    (tmp_path / "forget.txt").write_text("c00007\n")
    cli("--erase", "forget.txt", "--tombstones", "gone.txt", "--key", "env:KEY")
    done = cli(path, "--force", "--reason", "never mind", "--json")
    assert json.loads(done.stdout)["error"]["code"] == "erased"
    assert "c00007" not in held(ask, table)


def test_what_was_overruled_is_said_and_told(cli, tmp_path):
    cli(write(tmp_path, "new.parquet", 2))
    done = cli(write(tmp_path, "old.parquet", 1, 20), "--force", "--reason", "a pilot", "--json")
    document = json.loads(done.stdout)
    assert sorted(document["overruled"]) == ["blast_radius", "older_run"]
    assert len(document["warnings"]) == 2
    assert all(one.startswith("overruled (a pilot): ") for one in document["warnings"])


def test_a_second_key_of_erasures_is_refused(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("OTHER", KEY[::-1])
    path = write(tmp_path)
    cli(path)
    for n in (1, 2):
        (tmp_path / f"{n}.txt").write_text(f"c0000{n}\n")
    assert cli("--erase", "1.txt", "--tombstones", "a.txt", "--key", "env:KEY").exit_code == 0
    done = cli("--erase", "2.txt", "--tombstones", "b.txt", "--key", "env:OTHER")
    assert (done.exit_code, "with another key" in done.output) == (2, True)
    assert not (tmp_path / "b.txt").exists()
    assert cli(path, "--suppress-list", "a.txt", "--suppress-key", "env:KEY").exit_code == 0


def test_tables_where_nobody_was_looked_for_are_named(cli, send, table, tmp_path, postgres):
    other = f"{table.partition('.')[0]}.other"
    send()
    push(Order(*scores()), postgres, other, print)
    (tmp_path / "forget.txt").write_text("c00007\n")
    done = cli("--erase", "forget.txt", "--tombstones", "gone.txt", "--key", "env:KEY", "--json")
    assert any(f"looked for in {other}:" in one for one in json.loads(done.stdout)["warnings"])


@pytest.mark.parametrize("buried", [True, False])
def test_an_objector_goes_where_the_list_is_of_another_key_than_the_names(
    cli, ask, table, tmp_path, monkeypatch, buried
):
    monkeypatch.setenv("OTHER", KEY[::-1])
    path = write(tmp_path)
    names = ("--pseudonymise", "env:KEY")
    cli(path, *names)
    (tmp_path / "no.txt").write_text("c00007\n")
    if buried:
        words = ["erase", "no.txt", str(write(tmp_path, "mine.parquet"))]
        words += ["--tombstones", "gone.txt", "--key", "env:OTHER"]
        assert CliRunner().invoke(app, words).exit_code == 0
    some = ("--suppress-list", "gone.txt" if buried else "no.txt", "--suppress-key", "env:OTHER")
    done = json.loads(cli(path, *names, *some, "--json").stdout)
    assert (done["removed"], done["marked_inactive"], done["unchanged"]) == (1, 0, 39)
    assert len(held(ask, table)) == 39


def test_tombstones_of_another_key_than_the_names_do_not_meet_who_is_not_scored(
    cli, tmp_path, monkeypatch
):
    monkeypatch.setenv("OTHER", KEY[::-1])
    (tmp_path / "no.txt").write_text("c00039\n")
    words = ["erase", "no.txt", str(write(tmp_path, n=40))]
    CliRunner().invoke(app, [*words, "--tombstones", "gone.txt", "--key", "env:OTHER"])
    names = ("--pseudonymise", "env:KEY")
    done = cli(
        "scores.parquet", *names, "--suppress-list", "gone.txt", "--suppress-key", "env:OTHER"
    )
    assert (done.exit_code, "who is no longer in these scores" in done.output) == (0, True)


def test_a_part_that_the_document_does_not_judge_is_emptied(cli, ask, table, tmp_path):
    path = write(tmp_path)
    cli(path)
    document = json.loads(path.with_suffix(".json").read_text())
    del document["verdicts"]["spend"]
    document["gates"] = [one for one in document["gates"] if one["part"] == "purchase"]
    path.with_suffix(".json").write_text(json.dumps(document))
    assert cli(path).exit_code == 0
    assert ask(f"SELECT count(clv), count(value_band), count(p_churn) FROM {table}") == [(0, 0, 40)]


def test_a_document_without_its_moment_is_damaged(cli, tmp_path):
    path = write(tmp_path)
    document = json.loads(path.with_suffix(".json").read_text()) | {"scored_at": "yesterday"}
    path.with_suffix(".json").write_text(json.dumps(document))
    done = cli(path)
    assert (done.exit_code, "when they were made" in done.output) == (5, True)


def test_an_older_list_of_tombstones_is_refused(cli, tmp_path):
    path = write(tmp_path)
    cli(path)
    erase = ("--tombstones", "gone.txt", "--key", "env:KEY")
    (tmp_path / "one.txt").write_text("c00001\n")
    cli("--erase", "one.txt", *erase)
    (tmp_path / "old.txt").write_bytes((tmp_path / "gone.txt").read_bytes())
    (tmp_path / "two.txt").write_text("c00002\n")
    cli("--erase", "two.txt", *erase)
    key = ("--suppress-key", "env:KEY")
    done = cli(path, "--suppress-list", "old.txt", *key)
    assert (done.exit_code, "the list of tombstones is an older one" in done.output) == (4, True)
    done = cli(path, "--suppress-list", "gone.txt", *key, "--json")
    assert json.loads(done.stdout)["unchanged"] == 38


def test_a_failed_part_is_refused_and_its_reason_kept(cli, ask, table, tmp_path):
    path = write(tmp_path, verdict="failed")
    done = cli(path)
    assert (done.exit_code, "failed its gates" in done.output) == (4, True)
    document = json.loads(path.with_suffix(".json").read_text())
    document["released"] = {"purchase": "a pilot", "spend": "a pilot"}
    path.with_suffix(".json").write_text(json.dumps(document))
    assert cli(path, "--force", "--reason", "a pilot").exit_code == 0
    assert ledger(ask, table, "reason") == [("purchase: a pilot; spend: a pilot",)]


def test_a_campaign_marks_who_is_held_out_and_the_mark_stays(cli, ask, table, tmp_path):
    from bayesseg.decide.holdout import held as held_out

    path = write(tmp_path)
    cli(path)
    done = cli(path, "--campaign", "june", "--holdout", "0.3", "--json")
    assert json.loads(done.stdout)["updated"] == 40
    ids, marks = zip(*ask(f"SELECT customer_id, holdout FROM {table}"), strict=True)
    assert list(marks) == held_out(ids, "june", 0.3).tolist()
    assert json.loads(cli(path, "--json").stdout)["unchanged"] == 40


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--dsn", "postgresql://u:s3cr3t@h/d"), "names the variable that holds the address"),
        (("--dsn", "env:NOWHERE"), "the environment has no variable"),
        (("--campaign", "june"), "go together"),
        (("--reason", "why"), "without --force"),
        (("--dsn", "env:"), "names the variable that holds the address"),
        (("--dsn", "env:NOWHERE"), "export NOWHERE='host=HOST dbname=DATABASE user=USER'"),
        (("--erase", "forget.txt"), "needs --tombstones and --key"),
        (("--key", "env:KEY", "--tombstones", "x"), "says nothing without --erase"),
        (("--state", "told.parquet", "--map", "crm.toml"), "--state, --map says nothing"),
        (("--address", "https://x"), "--address says nothing"),
        (("--schema", "--table", "bare"), "which schema 'bare' is in"),
        (("--to", "hubspot", "--erase", "forget.txt"), "does not erase people in hubspot"),
        (("--to", "hubspot", "--state", "told.parquet"), "--table says nothing"),
    ],
)
def test_flags_that_make_no_sense_are_refused(cli, tmp_path, words, why):
    done = cli(write(tmp_path), *words)
    assert (done.exit_code, why in done.output) == (2, True)
    assert "s3cr3t" not in done.output
