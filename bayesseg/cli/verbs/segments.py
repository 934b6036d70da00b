"""``bayesseg segments``: the profile of each segment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesseg.cli.flags import Run
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import scoring
from bayesseg.cli.text import effect_table, profile_table, segment_table
from bayesseg.errors import GateFailed, UsageError

Scores = Annotated[Path, typer.Argument(help="Scores written by bayesseg score.", metavar="SCORES")]


def segments(run: Run, scores: Scores, shell: Shell) -> Outcome:
    """Show each segment: size, churn, value, features.

    Every customer counts in every segment, by the probability of belonging to it. Intervals hold 90 %.

    Example: bayesseg segments runs/june scores.parquet
    """
    from bayesseg.naming import action
    from bayesseg.posterior import load

    posterior = load(run)
    _, document = scoring.read_of_run(posterior, scores)
    found = document["segments"]
    if posterior.manifest["verdicts"].get("segments", {}).get("computation") == "failed":
        raise GateFailed(
            f"the segments of {run} failed their gates: there are none to show",
            fix="bayesseg inspect RUN says which gate missed; a copy of the model file with fewer "
            "components, given to fit --model, often helps",
        )
    if not found:
        raise UsageError(
            f"{run} has no segments to show",
            fix="fit a model with a [segments] part whose gates pass, such as retail",
        )
    shell.show(segment_table(found) + "\n")
    shell.show(profile_table(found) + "\n")
    shell.show(effect_table(document["effects"]) + "\n")
    for one in found:
        shell.show(f"{one['id']} {one['name']}: {action(one['name'])}")
    return Outcome(
        {"model_id": document["model_id"], "segments": found, "effects": document["effects"]}
    )
