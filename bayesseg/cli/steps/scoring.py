"""From a run and customers to a score table and what describes it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg._files import refuse_existing
from bayesseg.cli import scorefile
from bayesseg.cli.flags import ScoreFlags
from bayesseg.cli.progress import progress
from bayesseg.cli.shell import Shell
from bayesseg.cli.text import totals_lines
from bayesseg.errors import ArtefactBad, GateFailed, UsageError

if TYPE_CHECKING:
    import pandas as pd

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
    from bayesseg.customers import money_of
    from bayesseg.scoring import score as score_customers

    money = "revenue (margin 1)" if flags.margin == 1 else f"profit at margin {flags.margin:g}"
    if money_of(posterior.manifest.get("accounting")) == "margin":
        money = "margin (each amount less its cost)"
    forecast = (
        f"churn and purchases over {flags.horizon}, money over {flags.value_horizon} as {money}, "
        f"discounted at {flags.annual_discount:g} a year, "
    )
    has = "purchase" in posterior.spec.parts
    shell.say(f"score: {forecast if has else 'segments, '}{flags.draws} draws")
    with progress() as on_progress:
        scores = score_customers(
            posterior, customers, flags.settings(), released=released, on_progress=on_progress
        )
    for line in totals_lines(scores.document):
        shell.say(line)
    for note in scores.document["notes"]:
        shell.say(f"note: {note}")
    return scores


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
        for path in (Path(target), scorefile.sidecar(Path(target))):
            refuse_existing(path, force=force, file=True)
    return target


def write_scores(
    scores: Scores, target: str, kind: str, shell: Shell, *, raw: bool = False, force: bool = False
) -> list[Path]:
    """Write the table at ``target`` and the document beside it; return what was written."""
    from bayesseg.scoring.table import fields_of

    names = map(str, scores.table)
    fields = fields_of(names, scores.document["units"], scores.document["columns"])
    content = scorefile.encoded(scores.table, kind, fields, raw=raw)
    path = scorefile.emit(content, target, force=force)
    if path is None:
        return []
    beside = scorefile.sidecar(path)
    described: dict[str, Any] = {"rows": len(scores.table)}
    described["sha256"] = hashlib.sha256(content).hexdigest()
    if kind == "csv" and not raw:
        described["guard"] = scorefile.GUARD
    document = scorefile.sealed(scores.document | {"table": described})
    scorefile.write_document(beside, document, force=force)
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
