"""What is said of a source: what was inferred, what was left out and why. L10."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayesseg.cli.shell import Shell
from bayesseg.cli.text import table


def say_provenance(provenance: Mapping[str, Any], shell: Shell) -> None:
    """Say the dialect, the columns, the accounting of rows and every finding."""
    roles = [(f"{role} column", entry) for role, entry in provenance["columns"].items()]
    settled = [*provenance["dialect"].items(), *roles]
    shell.say(
        table(
            ("reading", "value", "because", "change by"),
            [
                (
                    name.replace("_", " "),
                    _mark(entry["value"]),
                    entry.get("evidence") or entry["origin"],
                    entry["flag"],
                )
                for name, entry in settled
            ],
        )
    )
    shell.say(accounting(provenance))
    for one in provenance.get("findings", ()):
        said = f"{one['message']}; {one['fix']}" if one["fix"] else one["message"]
        if one["level"] == "note":
            shell.say(f"note: {said}")
        else:
            shell.warn(said)
    if "as_of" in provenance:
        shell.say(f"as of {provenance['as_of']} ({provenance['as_of_origin']}); change by --as-of")


def accounting(provenance: Mapping[str, Any]) -> str:
    """``6,919 rows in = 6,900 used + 19 date_missing``."""
    rows = provenance["rows"]
    excluded = [f"{count:,} {reason}" for reason, count in rows["excluded"].items() if count]
    return " + ".join([f"{rows['in']:,} rows in = {rows['used']:,} used", *excluded])


def _mark(value: str | None) -> str:
    return {"\t": "TAB", None: "–"}.get(value, str(value))
