"""``bayesseg inspect``: what is inside a run."""

from __future__ import annotations

from bayesseg.cli.flags import Run
from bayesseg.cli.parameters import parameters
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import scoring, showing
from bayesseg.cli.text import gate_table, names_table, parameter_table, table, verdict_lines


def inspect(run: Run, shell: Shell) -> Outcome:
    """Show a run: facts, priors, posterior, gates, verdicts.

    Example: bayesseg inspect runs/june --json
    """
    posterior = scoring.opened(run)
    manifest = posterior.manifest
    rows = parameters(posterior)
    facts = ("name", "model_id", "verdict", "as_of", "time_unit", "seed", "created_at")
    shell.show(table(("run", str(run)), [(key, manifest[key]) for key in facts]) + "\n")
    shell.show(parameter_table(rows) + "\n")
    shell.show(gate_table(manifest["gates"]) + "\n")
    stability = showing.stability_of(run, posterior, shell)
    for line in verdict_lines(manifest, stability):
        shell.show(line)
    if manifest["segments"]:
        shell.show("\n" + names_table(manifest["segments"]))
        chosen = manifest["info"]["segments"].get("chosen", {})
        for words in (*manifest["segments"].get("words", ()), *chosen.get("words", ())):
            shell.show(words)
    priors = {
        part: {row["name"]: row["prior"] for row in rows if row["part"] == part and "prior" in row}
        for part in posterior.parts
    }
    return Outcome(
        {
            "manifest": manifest,
            "priors": priors,
            "posterior": rows,
            "gates": manifest["gates"],
            "waivers": manifest["facts"].get("waivers", []),
            "verdicts": manifest["verdicts"],
            "stability": stability,
        }
    )
