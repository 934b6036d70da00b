"""From a run and customers to a score table and what describes it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg._files import refuse_existing, sha256_of, write_blocks
from bayesseg.cli import scorefile
from bayesseg.cli.flags import ScoreFlags
from bayesseg.cli.progress import progress
from bayesseg.cli.shell import Shell
from bayesseg.cli.text import totals_lines
from bayesseg.errors import ArtefactBad, GateFailed, UsageError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from bayesseg.customers import Attributes, Customers
    from bayesseg.posterior import Posterior
    from bayesseg.scoring import Scores


_NONE: Mapping[str, str] = {}


def score(
    posterior: Posterior,
    customers: Customers | Attributes,
    flags: ScoreFlags,
    shell: Shell,
    released: Mapping[str, str] = _NONE,
) -> Scores:
    """Score ``customers``, saying every setting that changes a number."""
    from bayesseg.scoring import score as score_customers

    say_settings(posterior, flags, shell)
    with progress() as on_progress:
        scores = score_customers(
            posterior, customers, flags.settings(), released=released, on_progress=on_progress
        )
    say_document(scores.document, shell)
    return scores


def say_settings(posterior: Posterior, flags: ScoreFlags, shell: Shell) -> None:
    """Say every setting that changes a number."""
    from bayesseg.customers import money_of

    money = "revenue (margin 1)" if flags.margin == 1 else f"profit at margin {flags.margin:g}"
    if money_of(posterior.manifest.get("accounting")) == "margin":
        money = "margin (each amount less its cost)"
    forecast = (
        f"churn and purchases over {flags.horizon}, money over {flags.value_horizon} as {money}, "
        f"discounted at {flags.annual_discount:g} a year, "
    )
    has = "purchase" in posterior.spec.parts
    shell.say(f"score: {forecast if has else 'segments, '}{flags.draws} draws")


def say_document(document: Mapping[str, Any], shell: Shell) -> None:
    """Say the totals of a file and what is to be known of it."""
    for line in totals_lines(document):
        shell.say(line)
    for note in document["notes"]:
        shell.say(f"note: {note}")


def opened(run: Path, names: Path | None = None, *, signed: bool = False) -> Posterior:
    """A stored run with the verdicts it has today and its segments as a map has them."""
    from bayesseg.gates import standing
    from bayesseg.posterior import load

    return named(standing(load(run, signed=signed)), names)


def segmented(run: Path, names: Path | None = None) -> Posterior:
    """A stored run whose segments may be shown; others are refused (exit 2, exit 4)."""
    from bayesseg.posterior import trusted

    posterior = opened(run, names)
    if posterior.manifest["segments"] is None:
        raise UsageError(
            f"{run} has no segments to show",
            fix="fit a model with a [segments] part, such as retail",
        )
    if not trusted(posterior.manifest, "segments"):
        raise GateFailed(
            f"the segments of {run} failed their gates: there are none to show",
            fix="bayesseg inspect RUN says which gate missed; a copy of the model file with fewer "
            "components, given to fit --model, often helps",
        )
    return posterior


def named(posterior: Posterior, names: Path | None) -> Posterior:
    """The run with its segments as a map has them, where one is given."""
    from bayesseg import naming, segment_map

    return posterior if names is None else naming.mapped(posterior, segment_map.read(names))


def target_of(manifest: Mapping[str, Any], target: str, *, force: bool) -> str:
    """Where the scores of a run go: refuse early to write over them or the document beside them."""
    if manifest["verdict"] == "failed":
        target = scorefile.untrusted(target)
    if target != "-":
        refuse_standing(Path(target), force=force)
    return target


def refuse_standing(path: Path, *, force: bool) -> None:
    """Refuse to write over a table or the document beside it; either may have come meanwhile."""
    for one in (path, scorefile.sidecar(path)):
        refuse_existing(one, force=force, file=True)


def write_scores(
    scores: Scores, target: str, kind: str, shell: Shell, *, raw: bool = False, force: bool = False
) -> list[Path]:
    """Write the table at ``target`` and the document beside it; return what was written."""
    from bayesseg.scoring.table import fields_of

    names = map(str, scores.table)
    fields = fields_of(names, scores.document["units"], scores.document["columns"])
    content = scorefile.encoded(scores.table, kind, fields, raw=raw)
    if target != "-":
        refuse_standing(Path(target), force=force)
    path = scorefile.emit(content, target, force=force)
    if path is None:
        return []
    digest = hashlib.sha256(content).hexdigest()
    return _described(
        scores.document, len(scores.table), digest, path, kind, shell, raw=raw, force=force
    )


def write_batches(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    document: Mapping[str, Any],
    target: str,
    kind: str,
    shell: Shell,
    *,
    raw: bool = False,
    force: bool = False,
) -> list[Path]:
    """The same with rows that come some at a time."""
    blocks = scorefile.blocks(batches, schema, kind, raw=raw)
    if target == "-":
        for block in blocks:
            sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()
        return []
    path = Path(target)
    refuse_standing(path, force=force)
    write_blocks(path, blocks)
    count, digest = document["customers"], sha256_of(path)
    return _described(document, count, digest, path, kind, shell, raw=raw, force=force)


def _described(
    document: Mapping[str, Any],
    rows: int,
    digest: str,
    path: Path,
    kind: str,
    shell: Shell,
    *,
    raw: bool,
    force: bool,
) -> list[Path]:
    """Write the sealed document beside a table of so many ``rows``; return both."""
    described: dict[str, Any] = {"rows": rows, "sha256": digest}
    if kind == "csv" and not raw:
        described["guard"] = scorefile.GUARD
    beside = scorefile.sidecar(path)
    sealed = scorefile.sealed({**document, "table": described})
    scorefile.write_document(beside, sealed, force=force)
    for written in (path, beside):
        shell.say(f"wrote {written}")
    return [path, beside]


def read_of_run(posterior: Posterior, scores: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A score table and its document, both refused (exit 5) where they are of another run."""
    table, document = scorefile.read_scores(scores), scorefile.read_document(scores)
    for model_id in {document["model_id"], *table["model_id"].unique()}:
        if model_id != posterior.manifest["model_id"]:
            raise ArtefactBad(
                f"{scores} was not made with this run (model {str(model_id)[:12]}, the run is "
                f"{posterior.manifest['model_id'][:12]})",
                fix="score again with this run",
            )
    return table, document
