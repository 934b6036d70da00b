"""The command line: parse, call one function, print, exit code. L10.

Nothing heavy is imported here: verbs import what they need when they are called.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from bayesseg.cli import logs
from bayesseg.cli.shell import Outcome, Shell, finish, leave, listen, verb
from bayesseg.cli.verbs import PLANNED, VERBS
from bayesseg.errors import UsageError

app = typer.Typer(
    name="bayesseg",
    help="Segments, churn and value of customers, with honest intervals, from a purchase log.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for name, function in VERBS.items():
    app.command(name)(verb(function))


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("bayesseg"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """The entry point ``bayesseg``."""
    # every matrix here is small: threads of BLAS would spin, not help, and cores are divided higher up
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    listen()
    try:
        sys.exit(call(sys.argv[1:] or ["--help"]))
    finally:
        leave()


def call(words: Sequence[str]) -> int | None:
    """Call a verb; misuse of flags ends as every other error does, under ``--json`` too."""
    name = next((word for word in words if not word.startswith("-")), "")
    if name in PLANNED:
        error = UsageError(
            f"{name} is planned and not in this version", fix=f"use one of {', '.join(VERBS)}"
        )
    else:
        try:
            code: int | None = app(words, standalone_mode=False)
            return code
        except typer.TyperException as misuse:
            help_of = f"bayesseg {name} --help" if name in VERBS else "bayesseg --help"
            error = UsageError(misuse.format_message().rstrip("."), fix=f"see {help_of}")
    with logs.logging(logs.Log(logs.asked_for(words), name)):
        return finish(Outcome({}, error), Shell(as_json="--json" in words))
