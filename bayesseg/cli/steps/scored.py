"""A score file, or scores on stdin, with what is known of them and the run they were made with."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg.cli import scorefile
from bayesseg.cli.steps import reading, scoring
from bayesseg.errors import ArtefactBad, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from bayesseg.posterior import Posterior

_OF_RUN = ("model_id", "verdict", "verdicts", "gates", "as_of")


@dataclass(frozen=True, slots=True)
class Scored:
    """A score table, its document and, where it was given, the run."""

    table: pd.DataFrame
    document: Mapping[str, Any]
    posterior: Posterior | None


def read(scores: Path, document: Path | None, run: Path | None) -> Scored:
    """Read scores that judge themselves: by the document beside them, or on stdin by another's word.

    Raises:
        UsageError: scores on stdin, and nothing that says whether they may be used.
        ArtefactBad: they are not of this run, or not what the document describes.
    """
    posterior = None if run is None else scoring.opened(run)
    on_stdin = str(scores) == "-"
    if document is not None and not on_stdin:
        raise UsageError(
            f"--document is about scores on stdin; that of {scores} is beside it",
            fix="leave --document out",
        )
    if on_stdin and document is None and posterior is None:
        raise UsageError(
            "scores on stdin do not say whether the gates were passed",
            fix="give --document FILE, which score wrote beside them, or --model RUN",
        )
    with _named(scores, document) as path:
        table = scorefile.read_scores(path)
        if posterior is not None and on_stdin and document is None:
            known = {name: posterior.manifest[name] for name in _OF_RUN}
        else:
            known = scorefile.read_document(path)
    if posterior is not None:
        own = posterior.manifest["model_id"]
        if {known["model_id"], *table["model_id"].unique()} != {own}:
            raise ArtefactBad(
                f"{scores} was not made with this run ({own[:12]})", fix="score again with this run"
            )
    return Scored(table, known, posterior)


@contextmanager
def _named(scores: Path, document: Path | None) -> Iterator[Path]:
    """The scores as a file whose name tells the format, with the document beside it."""
    if str(scores) != "-":
        yield scores
        return
    with reading.opened("-") as spooled:
        path = Path(spooled)
        with path.open("rb") as handle:
            first = handle.read(4)
        kind = "parquet" if first == b"PAR1" else "ndjson" if first[:1] == b"{" else "csv"
        path = path.rename(path.with_suffix(f".{kind}"))
        if document is not None:
            try:
                shutil.copyfile(document, scorefile.sidecar(path))
            except OSError as error:
                raise UsageError(f"{document} cannot be read", fix="check the path") from error
        try:
            yield path
        except ArtefactBad as error:
            error.message = error.message.replace(f"{path.parent}/", "")
            raise
