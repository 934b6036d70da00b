"""The command line: parse, call one function, print, exit code. L10.

Nothing heavy is imported here: verbs import what they need when they are called.
"""

from __future__ import annotations

from typing import Annotated

import typer

from bayesseg.cli.shell import leave, listen, verb
from bayesseg.cli.verbs import VERBS

app = typer.Typer(
    name="bayesseg",
    help="Segments, churn and value of customers, with honest intervals, from a purchase log.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
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
    listen()
    try:
        app()
    finally:
        leave()
