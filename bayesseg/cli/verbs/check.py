"""``bayesseg check``: is this log fit to be fitted?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bayesseg.cli.flags import Data, SourceFlags
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import reading
from bayesseg.cli.text import table
from bayesseg.errors import BayessegError, InputRejected


def check(data: Data, source: SourceFlags, shell: Shell) -> Outcome:
    """Judge the data: rows accounted for, findings, readiness.

    Fits nothing; exit 3 where the data cannot be used. (validate judges forecasts, verify files.)

    Example: bayesseg check orders.csv --as-of 2025-06-30
    """
    return Outcome(*judged(reading.load_purchases(data, source, shell), shell))


def judged(loaded: reading.Loaded, shell: Shell) -> tuple[dict[str, Any], BayessegError | None]:
    """Accounting and readiness as a document; an error where the data cannot identify a model."""
    from bayesseg.readiness import readiness, require_ready

    customers = reading.buyers(loaded)
    gates = readiness(customers)
    level = gates[0].level
    marks = {"ready": "ok", "caution": "caution", "blocked": "BLOCKED"}
    shell.show(table(("", "readiness"), [(marks[gate.level], gate.message) for gate in gates]))
    document = {
        **customers.provenance,
        "customers": {
            **customers.provenance["customers"],
            "all": len(customers),
            "repeat": int((customers.x > 0).sum()),
        },
        "readiness": {"level": level, "gates": [asdict(gate) for gate in gates]},
    }
    try:
        require_ready(customers)
    except InputRejected as error:
        return document, error
    return document, None
