"""``bayesseg segments``: the profile of each segment, and the map that names them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bayesseg.cli.flags import Force, Names, Run
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import naming, scoring, showing
from bayesseg.cli.text import effect_table, names_table, profile_table, segment_table

Scores = Annotated[Path, typer.Argument(help="Scores written by bayesseg score.", metavar="SCORES")]
MaybeScores = Annotated[
    Path | None, typer.Argument(help="Scores written by bayesseg score.", metavar="SCORES")
]


def segments(
    run: Run,
    shell: Shell,
    scores: MaybeScores = None,
    names: Names = None,
    names_out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the map of segments, to edit: names, merges, splits."
        ),
    ] = None,
    force: Force = False,
) -> Outcome:
    """Show each segment: size, churn, value, features.

    Every customer counts in every segment, by the probability of belonging to it. Intervals hold 90 %.
    A map that merges or splits otherwise than the scores do needs them made again: score --names FILE.

    Example: bayesseg segments runs/june scores.parquet
    """
    from bayesseg.report.segmentation.assessed import summary
    from bayesseg.report.words import load_words

    posterior = scoring.segmented(run, names)
    manifest = posterior.manifest
    if names_out is not None:
        naming.write(posterior, names_out, force=force)
        shell.say(f"wrote {names_out}")
    if scores is None:
        shell.show(names_table(manifest["segments"]))
        return Outcome({"model_id": manifest["model_id"], "segments": naming.listed(posterior)})
    _, document = scoring.read_of_run(posterior, scores)
    stability = showing.stability_of(run, posterior, shell)
    found = naming.renamed(posterior, document["segments"], scores, given=names is not None)
    shell.show(segment_table(found) + "\n")
    shell.show(profile_table(found) + "\n")
    shell.show(effect_table(document["effects"]) + "\n")
    for one in found:
        if one["action"]:
            shell.show(f"{one['id']} {one['name']}: {one['action']}")
    shell.show("\n" + summary(load_words("en"), stability, manifest["customers"]["all"]))
    return Outcome(
        {
            "model_id": document["model_id"],
            "segments": found,
            "effects": document["effects"],
            "stability": stability,
        }
    )
