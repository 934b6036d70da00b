"""``bayesseg erase``: forget people in the files that name them, for good."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesseg.cli.flags import named_file
from bayesseg.cli.shell import Outcome, Shell


def erase(
    ids: Annotated[
        Path, typer.Argument(help="Whom to forget: ids, one a line or in a column.", metavar="IDS")
    ],
    files: Annotated[
        list[Path],
        typer.Argument(help="Score files, lists and quarantines (Parquet, CSV, NDJSON)."),
    ],
    shell: Shell,
    tombstones: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            callback=named_file,
            help="Add their pseudonyms there; --suppress-list FILE then keeps them from coming back.",
        ),
    ],
    key: Annotated[
        str,
        typer.Option(metavar="KEY", help="Key of the pseudonyms: a file, or env:NAME."),
    ],
    customer_id: Annotated[
        str | None, typer.Option(help="Column of the customer id, where its name does not tell.")
    ] = None,
) -> Outcome:
    """Forget people: take their rows out of files and keep them from coming back.

    Every file is read before the first is rewritten, each at once or not at all. A run holds no
    customers and stays as it is; pages made with --include-ids have to be made again. Rows written under
    pseudonyms of the same KEY go too.

    Example: bayesseg erase forget.txt scores.parquet save.csv --tombstones erased.txt --key key
    """
    from bayesseg.cli.steps import erasing

    return erasing.forget(ids, files, tombstones, key, customer_id, shell)
