"""What every verb shares: speed, streams, errors, exit codes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from bayesseg._types import Progress
from bayesseg.cli import app, shell
from bayesseg.cli.demo import cdnow_csv
from bayesseg.cli.masking import printable
from bayesseg.cli.progress import progress
from bayesseg.cli.shell import Outcome, Shell, verb
from bayesseg.cli.text import table
from bayesseg.cli.verbs import PLANNED
from bayesseg.errors import ArtefactBad, InputRejected, Locked, ResourcesMissing, UsageError

HEAVY = ("arviz", "lifetimes", "matplotlib", "numba", "numpy", "nutpie", "pandas", "pymc", "scipy")


def python(*words, **options):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, **options)


def test_help_loads_nothing_heavy():
    code = (
        "import sys, bayesseg.cli\n"
        "try:\n    bayesseg.cli.app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print('loaded', [name for name in {HEAVY} if name in sys.modules])"
    )
    assert python("-c", code).stdout.splitlines()[-1] == "loaded []"


@pytest.mark.skipif(os.name == "nt", reason="needs the processor time of a child")
def test_help_takes_under_half_a_second():
    """Processor time, so that a busy machine does not fail it; it hardly waits for anything."""

    def seconds():
        before = os.times()
        assert python("-m", "bayesseg", "--help").returncode == 0
        after = os.times()
        return sum(after[2:4]) - sum(before[2:4])

    assert min(seconds() for _ in range(3)) < 0.5


def test_version_is_that_of_the_package():
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, "0.1.0\n")


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["score", "--no-such-flag"],
        ["fit", "orders.csv"],
        ["check", "orders.csv", "--as-of", "yesterday"],
        ["score", "run", "orders.csv", "-o", "s.csv", "--horizon", "soon"],
        ["score", "run", "orders.csv", "-o", "s.csv", "--margin", "0"],
        ["score", "run", "orders.csv", "-o", "s.txt"],
        ["score", "run", "orders.csv", "-o", "-", "--json"],
        ["fit", "orders.csv", "-o", "run", "--model", "retial"],
        ["check", "no-such-file.csv"],
        ["prioritise", "no-such-file.csv", "--count", "0"],
        ["prioritise", "scores.csv", "-o", "-", "--json"],
        ["fit", "orders.csv", "-o", "-"],
        ["fit", "orders.csv", "-o", "."],
        ["run", "orders.csv", "-o", "-"],
        ["report", "run", "--scores", "scores.parquet", "-o", "-"],
        ["report", "run", "--scores", "scores.parquet", "-o", "r.json"],
        ["report", "run", "--scores", "scores.parquet", "-o", "scores.parquet", "--force"],
    ],
)
def test_what_makes_no_sense_exits_2(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(app, words).exit_code == 2


@pytest.mark.parametrize("name", PLANNED)
def test_a_planned_verb_says_so(name, bayesseg, tmp_path):
    said = f"{name} is planned and not in this version"
    plain = bayesseg(name, "orders.csv", "--origins", "6", cwd=tmp_path)
    assert (plain.returncode, plain.stdout) == (2, "")
    assert plain.stderr.startswith(f"error: {said}\n  fix: use one of run, demo, check")
    machine = bayesseg(name, "--json", cwd=tmp_path)
    assert machine.returncode == 2
    assert json.loads(machine.stdout)["error"]["message"] == said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["chekc"], "No such command 'chekc'. Did you mean 'check'?"),
        (["score", "run", "--no-such-flag"], "No such option: --no-such-flag"),
        (["score", "run", "orders.csv"], "Missing option '-o'"),
        (["fit", "orders.csv"], "where to?"),
        (["score", "run", "x.csv", "-o", "s.csv", "--margin", "0"], "must be positive"),
        (["check", "x.csv", "--as-of", "yesterday"], "'yesterday' is not a day"),
    ],
)
def test_misused_flags_are_errors_like_all_others(words, message, bayesseg, tmp_path):
    plain, machine = (bayesseg(*words, *more, cwd=tmp_path) for more in ([], ["--json"]))
    assert (plain.returncode, plain.stdout) == (2, "")
    assert plain.stderr.startswith("error: ")
    assert "\n  fix: " in plain.stderr
    assert message in plain.stderr
    document = json.loads(machine.stdout)
    assert document["exit_code"] == machine.returncode == 2
    assert message in document["error"]["message"]


def test_no_words_show_the_help(bayesseg, tmp_path):
    done = bayesseg(cwd=tmp_path)
    assert done.returncode == 0
    assert "prioritise" in done.stdout


def test_what_stdout_cannot_encode_does_not_stop_a_verb(tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    (tmp_path / "orders.csv").write_text(cdnow_csv())
    done = python("-m", "bayesseg", "check", "orders.csv", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr


def call(work, *flags):
    import typer

    small = typer.Typer()
    small.command()(verb(work))
    return CliRunner().invoke(small, list(flags))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError, 2),
        (InputRejected, 3),
        (ArtefactBad, 5),
        (Locked, 8),
        (ResourcesMissing, 9),
    ],
)
def test_each_error_has_its_exit_code_and_says_what_to_do(error, code):
    def work(shell: Shell) -> Outcome:
        raise error("column date is empty", fix="give --date")

    result = call(work)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr == "error: column date is empty\n  fix: give --date\n"


def test_json_errors_are_one_document():
    def work(shell: Shell) -> Outcome:
        shell.warn("one row is odd")
        raise InputRejected("no rows", fix="give rows", code="empty")

    result = call(work, "--json")
    assert json.loads(result.stdout) == {
        "schema_version": 1,
        "exit_code": 3,
        "warnings": ["one row is odd"],
        "error": {"code": "empty", "message": "no rows", "fix": "give rows"},
    }


def test_a_bug_exits_1_without_a_traceback():
    def work(shell: Shell) -> Outcome:
        return {}["secret"]

    result = call(work)
    assert result.exit_code == 1
    assert "internal error: KeyError: 'secret'" in result.stderr
    assert "--debug" in result.stderr
    assert "Traceback" not in result.output
    debugged = call(work, "--debug")
    assert "Traceback" in debugged.stderr
    assert debugged.exit_code == 1


def test_ctrl_c_exits_130():
    def work(shell: Shell) -> Outcome:
        raise KeyboardInterrupt

    assert call(work).exit_code == 130


def test_a_signal_lost_in_native_code_stops_the_next_step(monkeypatch):
    """What is raised inside a native callback goes nowhere; the flag stays."""
    monkeypatch.setattr(shell, "_received", [signal.SIGINT])
    with pytest.raises(KeyboardInterrupt), progress() as report:
        report(Progress("segments", 1, 2))


def test_an_error_after_a_signal_is_the_signal_s(monkeypatch):
    def work(shell: Shell) -> Outcome:
        raise ResourcesMissing("a process ended unexpectedly")

    monkeypatch.setattr(shell, "_received", [signal.SIGTERM])
    result = call(work)
    assert result.exit_code == 143
    assert "terminated" in result.stderr


def test_memory_exhausted_exits_9():
    def work(shell: Shell) -> Outcome:
        raise MemoryError

    assert call(work).exit_code == 9


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_sigterm_exits_143():
    code = "import os, signal, bayesseg.cli as c; c.call = lambda _: signal.pause(); c.main()"
    child = subprocess.Popen(
        [sys.executable, "-c", f"print('up', flush=True); {code}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdout.readline() == b"up\n"
    time.sleep(1.0)
    child.send_signal(signal.SIGTERM)
    assert child.wait(20) == 143
    child.stdout.close()


def test_no_id_can_drive_the_terminal():
    assert printable("\x1b[31mred\x07 [bold]x[/x]\n") == "\ufffd[31mred\ufffd [bold]x[/x]\n"


def test_no_id_can_turn_the_line_around_or_hide():
    assert printable("a\u202eb\u2066c\u200bd\ufeffe\u2028") == "a\ufffdb\ufffdc\ufffdd\ufffde\ufffd"


def test_spaces_and_letters_of_every_kind_stay():
    text = "1\u202f234\u00a0% Besan\u00e7on \u5ba2\u6237 e\u0301 \U0001f6d2"
    assert printable(text) == text


def test_tables_align_numbers_right_and_words_left():
    assert table(("name", "value"), [("a", "1"), ("long", "-22")]) == (
        "name  value\na         1\nlong    -22"
    )
    assert table(("flag", "x"), [("--date", "1"), ("--as-of", "2")]).splitlines()[1] == "--date   1"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_interrupted_fit_leaves_nothing_behind(tmp_path):
    (tmp_path / "orders.csv").write_text(cdnow_csv())
    with (tmp_path / "said.txt").open("w") as said:
        child = subprocess.Popen(
            [sys.executable, "-m", "bayesseg", "fit", "orders.csv", "-o", "run"],
            stdout=said,
            stderr=said,
            cwd=tmp_path,
        )
        lock = tmp_path / "run.lock"
        deadline = time.monotonic() + 60
        while not lock.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 130
    assert "interrupted" in (tmp_path / "said.txt").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"orders.csv", "said.txt"}


def test_an_interrupt_lost_in_native_code_still_ends_the_call(tmp_path):
    program = (
        "import os, signal\n"
        "from bayesseg.cli.shell import Outcome, Shell, listen, verb\n"
        "import typer\n"
        "class Lost:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "@verb\n"
        "def work(shell: Shell) -> Outcome:\n"
        "    Lost()\n"
        "    return Outcome({})\n"
        "listen()\n"
        "app = typer.Typer()\n"
        "app.command()(work)\n"
        "app()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, "interrupted" in done.stderr) == (130, True)
