"""What to do about each exit code of bayesseg. For any scheduler: it imports nothing of one.

done = call("score", "runs/2025-W26", "orders.parquet", "-o", "scores.parquet")
done.act        # "go on", "retry", "report" or "stop"
done.document   # what --json says
"""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

GO_ON, RETRY, REPORT, STOP = "go on", "retry", "report", "stop"
ACTS = {
    0: (GO_ON, "done"),
    1: (STOP, "a mistake of bayesseg: report it with --debug"),
    2: (STOP, "a flag is wrong"),
    3: (STOP, "the data are refused: mend the extract"),
    4: (STOP, "a gate failed: somebody has to look"),
    5: (STOP, "a run or score file is damaged: fit or score again"),
    6: (RETRY, "the destination failed: trying again is safe"),
    7: (REPORT, "rows are refused: the message says whether the others are there"),
    8: (RETRY, "somebody else is writing"),
    9: (STOP, "access, memory, disk or a package is missing"),
    130: (RETRY, "interrupted"),
    143: (RETRY, "terminated"),
}
"""Exit code to what to do and why."""


@dataclass(frozen=True)
class Done:
    """A finished call: its exit code and its document."""

    code: int
    document: Mapping[str, Any]

    @property
    def act(self) -> str:
        """What to do now; a code that nobody knows stops."""
        return ACTS.get(self.code, (STOP, ""))[0]

    @property
    def why(self) -> str:
        """One line for whoever is called: the message and its fix, else what the code means."""
        error = self.document.get("error", {})
        said = "; ".join(filter(None, (error.get("message"), error.get("fix"))))
        return said or ACTS.get(self.code, (STOP, f"exit {self.code}"))[1]


def call(*words: str) -> Done:
    """``bayesseg WORDS --json``; what is said goes to the log of the task, one JSON object a line."""
    environment = {**os.environ, "BAYESSEG_LOG": "json"}
    done = subprocess.run(
        ["bayesseg", *words, "--json"], stdout=subprocess.PIPE, env=environment, check=False
    )
    try:
        document = json.loads(done.stdout)
    except ValueError:  # killed before it could say anything
        document = {}
    code = 128 - done.returncode if done.returncode < 0 else done.returncode
    return Done(code, document)
