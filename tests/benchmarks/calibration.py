"""Simulation-based calibration of what is shipped, and the planted mistakes, into docs/calibration.toml.

    python tests/benchmarks/calibration.py FOLDER [--simulations 1000] [--engine nuts]

Hours where FOLDER is empty; it keeps every simulation, and a run that was stopped goes on. Each family
is calibrated in the model named beside it, on the usual design of 200 customers, as
``bayesseg validate --sbc`` does it. Nothing is written of a calibration that has not run to its end.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import planted  # noqa: E402

import bayesseg  # noqa: E402
from bayesseg.calibration import Design, Job, sbc  # noqa: E402
from bayesseg.spec import load_spec  # noqa: E402

SEED = 6
SHIPPED = (
    ("bgnbd", "purchase", ("laplace", "nuts")),
    ("retail", "purchase", ("laplace", "nuts")),
    ("paretonbd", "purchase", ("laplace", "nuts")),
    ("retail", "spend", ("laplace", "nuts")),
    ("segments", "segments", ("gibbs",)),
)
"""Model, part and the engines that draw from it."""
HEADING = """\
# Written by tests/benchmarks/calibration.py; not by hand.
# bias is in posterior sds, narrow and wide are factors of the posterior sd: the smallest errors of a
# single quantity that so many simulations see 9 times in 10. "not clean" counts fits that failed their
# own gates; they are judged all the same.
"""


def verdict(model: str, part: str, engine: str, simulations: int, folder: Path) -> dict[str, Any]:
    """One calibration; what of it is kept."""
    job = Job(load_spec(model), part, engine, Design(), SEED)
    found = sbc(job, simulations, folder=folder)
    worst = min(found["quantities"], key=lambda one: one["p_holm"])
    return {
        "family": found["title"],
        "model": model,
        "part": part,
        "engine": engine,
        "answered": [f"{count} by {name}" for name, count in found["answered"].items()],
        "simulations": found["simulations"],
        "customers": job.design.customers,
        "drawn again": found["redrawn"],
        "not clean": len(found["failures"]),
        "quantities": len(found["quantities"]),
        "smallest p": worst["p_holm"],
        "of": worst["name"],
        "verdict": found["verdict"],
        "reasons": found["reasons"],
        "code": job.identity["code"],
        **{name: found["detectable"][name] for name in ("bias", "narrow", "wide")},
    }


def mistake(name: str, one: planted.Plant) -> dict[str, Any]:
    """One planted mistake: which quantities breached."""
    found = sbc(one.job, one.simulations, fitted=one.fitted)
    return {
        "mistake": name,
        "planted in": one.job.family.title,
        "simulations": one.simulations,
        "caught": found["verdict"] == "failed",
        "by": [q["name"] for q in found["quantities"] if not q["passed"]],
    }


def toml(facts: Mapping[str, Any], tables: Mapping[str, list[dict[str, Any]]]) -> str:
    """Facts and arrays of tables; numbers to three digits, what was not found left out."""

    def value(one: Any) -> str:
        return repr(float(f"{one:.3g}")) if isinstance(one, float) else json.dumps(one)

    def lines(entries: Mapping[str, Any]) -> list[str]:
        named = {
            name if name.isidentifier() else json.dumps(name): v for name, v in entries.items()
        }
        return [f"{name} = {value(one)}" for name, one in named.items() if one is not None]

    text = [HEADING, *lines(facts)]
    for name, entries in tables.items():
        for one in entries:
            text += ["", f"[[{name}]]", *lines(one)]
    return "\n".join(text) + "\n"


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--engine", choices=("laplace", "nuts"), action="append")
    asked = parser.parse_args()
    engines = {"gibbs", *(asked.engine or ("laplace", "nuts"))}
    verdicts = []
    for model, part, own in SHIPPED:
        for engine in (one for one in own if one in engines):
            verdicts.append(verdict(model, part, engine, asked.simulations, asked.folder))
            print(model, part, engine, verdicts[-1]["verdict"], flush=True)
    mistakes = [mistake(name, one) for name, one in planted.EIGHT.items()]
    facts = {
        "version": bayesseg.__version__,
        "seed": SEED,
        "planted": len(mistakes),
        "caught": sum(one["caught"] for one in mistakes),
    }
    (ROOT / "docs" / "calibration.toml").write_text(
        toml(facts, {"verdicts": verdicts, "mistakes": mistakes}), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
