"""What is said for machines: one JSON object a line."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from test_cli_shell import call

from bayesseg._types import Progress
from bayesseg.cli import logs, progress
from bayesseg.cli.demo import cdnow_csv
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.errors import InputRejected


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def chatty(shell: Shell) -> Outcome:
    shell.show("data")
    shell.say("reading\nline by line")
    shell.say()
    shell.warn("odd \x1b[31m price")
    with progress.progress() as report:
        report(Progress("purchase", 3, 10, "fast"))
    raise InputRejected("no such column", fix="give --date", details={"rows": [1, 2]})


def test_each_line_is_an_object_with_time_level_verb_and_message(monkeypatch):
    monkeypatch.setattr(progress, "EVERY", -1.0)
    done = call(chatty, "--log", "json")
    said = lines(done.stderr)
    assert [(one["level"], one["verb"], one["message"]) for one in said] == [
        ("info", "chatty", "reading\nline by line"),
        ("warn", "chatty", "odd \ufffd[31m price"),
        ("progress", "chatty", "purchase: 3 of 10 fast"),
        ("error", "chatty", "no such column"),
    ]
    assert (said[2]["stage"], said[2]["done"], said[2]["total"]) == ("purchase", 3, 10)
    assert {key: said[3][key] for key in ("code", "fix", "exit_code")} == {
        "code": "input_rejected",
        "fix": "give --date",
        "exit_code": 3,
    }
    times = [datetime.fromisoformat(one["time"]) for one in said]
    assert all(datetime.now(UTC) - time < timedelta(minutes=1) for time in times)
    assert (done.stdout, done.exit_code) == ("data\n", 3)


def test_the_environment_asks_for_it_as_the_flag_does(monkeypatch):
    monkeypatch.setenv("BAYESSEG_LOG", "json")
    assert lines(call(chatty).stderr)[-1]["exit_code"] == 3
    assert call(chatty, "--log", "text").stderr.startswith("reading\n")


def test_the_document_on_stdout_is_the_same():
    plain, logged = (call(chatty, "--json", *more) for more in ((), ("--log", "json")))
    assert plain.stdout == logged.stdout
    assert "error" in json.loads(logged.stdout)
    assert lines(logged.stderr)[-1]["level"] == "error"


def test_one_call_does_not_log_for_the_next():
    call(chatty, "--log", "json")
    assert call(chatty).stderr.endswith("error: no such column\n  fix: give --date\n")
    assert not logs.as_json()


def test_secrets_are_masked_in_every_field(monkeypatch):
    monkeypatch.setenv("SHOP_PASSWORD", "hunter2-hunter2")

    def work(shell: Shell) -> Outcome:
        shell.say("hunter2-hunter2 and postgresql://me:pw@host/db")
        raise InputRejected("hunter2-hunter2", fix="not hunter2-hunter2")

    assert "hunter2" not in call(work, "--log", "json").stderr
    assert "pw@host" not in call(work, "--log", "json").stderr


@pytest.mark.parametrize(
    "words",
    [
        ["score", "run", "--no-such-flag", "--log", "json"],
        ["score", "run", "--log=json"],
        ["check", "no-such-file.csv", "--log", "json"],
        ["nonsense", "--log", "json"],
        ["check", "orders.csv", "--log", "json", "--quarantine", "bad.csv"],
    ],
    ids=" ".join,
)
def test_nothing_else_comes_to_stderr(words, bayesseg, tmp_path):
    (tmp_path / "orders.csv").write_text(cdnow_csv())
    done = bayesseg(*words, cwd=tmp_path)
    said = lines(done.stderr)
    assert said
    codes = [one["exit_code"] for one in said if one["level"] == "error"]
    assert codes == ([done.returncode] if done.returncode else [])


def test_another_kind_of_log_is_refused():
    assert call(chatty, "--log", "xml").exit_code == 2
