"""What every verb shares: streams, ``--json``, errors and exit codes. L10.

A verb is a function whose parameters are plain flags or records of flags; it returns an ``Outcome``
and raises ``BayessegError``. Data go to stdout, everything said goes to stderr.
"""

from __future__ import annotations

import atexit
import inspect
import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from bayesseg._files import shortage
from bayesseg.cli import logs
from bayesseg.cli.masking import masked, printable, without_known
from bayesseg.errors import BayessegError, UsageError

SIGNALS = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}
"""Exit code and word of each signal that stops a call."""
_received: list[int] = []
SCHEMA_VERSION = 1


def _log_kind(kind: str) -> str:
    if kind not in logs.KINDS:
        raise typer.BadParameter(f"choose {' or '.join(logs.KINDS)}")
    return kind


@dataclass(frozen=True, slots=True)
class Shell:
    """How one call talks: ``--json`` turns stdout into one document, ``--debug`` shows tracebacks.

    ``--log json`` makes a JSON object of each line on stderr.
    """

    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = (
        False
    )
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False
    log: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            envvar="BAYESSEG_LOG",
            callback=_log_kind,
            help="What is said on stderr: text, or json for one JSON object a line.",
        ),
    ] = "text"
    warnings: list[str] = field(default_factory=list, init=False)

    def show(self, text: str = "") -> None:
        """Print data for people on stdout; silent under ``--json``."""
        if not self.as_json:
            print(printable(without_known(text)))

    def say(self, text: str = "") -> None:
        """Print progress or a remark on stderr."""
        logs.write(text)

    def warn(self, text: str) -> None:
        """Say a warning and keep it for the JSON document."""
        self.warnings.append(masked(text))
        logs.write(text if logs.as_json() else f"warning: {text}", "warn")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a verb did: a JSON-able document, and an error where the work is kept but not trusted."""

    document: Mapping[str, Any]
    error: BayessegError | None = None


def verb(function: Callable[..., Outcome | None]) -> Callable[..., None]:
    """Make a Typer command of ``function``: flatten its records of flags, map errors to exit codes."""
    signature = inspect.signature(function, eval_str=True)
    parameters: list[inspect.Parameter] = []
    records: dict[str, tuple[Callable[..., Any], list[str]]] = {}
    for parameter in signature.parameters.values():
        record: Callable[..., Any] = parameter.annotation
        if is_dataclass(record):
            fields = inspect.signature(record, eval_str=True).parameters
            records[parameter.name] = (record, list(fields))
            parameters.extend(fields.values())
        else:
            parameters.append(parameter)

    def command(**flags: Any) -> None:
        def make() -> Outcome | None:
            if shell.as_json and str(flags.get("out")) == "-":
                raise UsageError("--json and -o - both want stdout", fix="give -o FILE")
            given = {
                name: record(**{key: flags.pop(key) for key in keys})
                for name, (record, keys) in records.items()
                if record is not Shell
            }
            return function(**flags, **given, shell=shell)

        shell = Shell(**{name: flags.pop(name) for name in inspect.signature(Shell).parameters})
        with logs.logging(logs.Log(shell.log, function.__name__)):
            _call(make, shell)

    command.__name__ = function.__name__
    # \b keeps the help from wrapping a command that people copy
    command.__doc__ = inspect.cleandoc(function.__doc__ or "").replace("Example:", "\b\nExample:")
    command.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters],
        return_annotation=None,
    )
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def _call(work: Callable[[], Outcome | None], shell: Shell) -> None:
    try:
        outcome = work() or Outcome({})
        heed()
        sys.stdout.flush()
    except (typer.Exit, typer.BadParameter, BrokenPipeError):
        raise
    except BaseException as error:
        # native code may turn an interrupt into an error of its own, and a child may die of it first
        if _received or isinstance(error, KeyboardInterrupt):
            raise _stopped() from None
        if shell.debug:  # without locals, which may hold customers
            logs.write("".join(traceback.format_exception(error)), "error")
        outcome = Outcome({}, _explained(error))
    if code := finish(outcome, shell):
        raise typer.Exit(code)


def _explained(error: BaseException) -> BayessegError:
    if isinstance(error, BayessegError):
        return error
    return shortage(error) or BayessegError(
        f"internal error: {type(error).__name__}: {error}",
        fix="this is a bug; run again with --debug and report the traceback",
    )


def listen() -> None:
    """Stop at once and tidily on Ctrl-C and SIGTERM; a second one stops the hard way.

    What stdout cannot encode is printed as ``?``; what no verb has caught is masked as all the rest. A
    stream that the caller closed is opened on nothing, lest the next file takes its place and is written
    to by what is said.
    """
    sys.excepthook = _uncaught
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    for number in SIGNALS:
        signal.signal(number, _stop)


def _uncaught(_: type[BaseException], error: BaseException, __: object) -> None:
    logs.write("".join(traceback.format_exception(error)), "error")


def _stop(number: int, _: object) -> None:
    if _received:
        os._exit(SIGNALS[signal.Signals(number)][0])
    _received.append(number)
    raise KeyboardInterrupt


def heed() -> None:
    """Stop now if a signal came and was lost: what is raised inside a native callback goes nowhere."""
    if _received:
        raise KeyboardInterrupt


def leave() -> None:
    """After a signal: clean up and go, without waiting for a fork server that is still importing."""
    if _received:
        atexit._run_exitfuncs()
        os._exit(SIGNALS[signal.Signals(_received[0])][0])


def _stopped() -> typer.Exit:
    code, word = SIGNALS[signal.Signals(_received[0] if _received else signal.SIGINT)]
    logs.write(f"{word}: what is not finished was not written", "error", exit_code=code)
    return typer.Exit(code)


def finish(outcome: Outcome, shell: Shell) -> int:
    """Print the document or the error of a call; return its exit code."""
    error = outcome.error
    code = 0 if error is None else error.exit_code
    if shell.as_json:
        head = {"schema_version": SCHEMA_VERSION, "exit_code": code, "warnings": shell.warnings}
        tail = {} if error is None else {"error": described(error)}
        text = json.dumps({**head, **outcome.document, **tail}, indent=1, default=str)
        try:
            print(without_known(text), flush=True)
        except BrokenPipeError:
            raise
        except OSError as full:
            return finish(Outcome({}, _explained(full)), Shell())
    if error is not None and logs.as_json():
        said = described(error)
        logs.write(said["message"], "error", code=said["code"], fix=said["fix"], exit_code=code)
    elif error is not None and not shell.as_json:
        logs.write(f"error: {error}", "error")
    return code


def described(error: BayessegError) -> dict[str, Any]:
    """An error as programs read it."""
    details = {"details": error.details} if error.details else {}
    said = {"message": masked(error.message), "fix": masked(error.fix)}
    return {"code": error.code, **said, **details}
