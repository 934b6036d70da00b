"""Calibrate a model: simulate, fit, rank, judge, say. L8.

The document::

    {"schema_version": 1, "model": "retail", "seed": 1, "simulations": 200, "passed": true,
     "seconds": 118.0,
     "parts": {"purchase": {
         "family": "mbgnbd", "title": "MBG/NBD", "engine": "laplace",
         "verdict": "passed",                      # or "failed"
         "reasons": [],                            # of a failure, in words
         "without": ["cohorts"],                   # links to customers, which are not simulated
         "simulations": 200,
         "design": {"customers": 200, "oldest_days": 455.0, ...},
         "answered": {"laplace": 188, "nuts": 12}, # the engine each fit ended with; "none": an error
         "redrawn": 9,                             # data sets production refuses, drawn again
         "clean": 1.0,                             # share of fits whose gates hold
         "failures": [{"simulation": 17, "faults": ["..."]}],
         "quantities": [{"name": "r", "n": 200, "gamma": .01, "threshold": 2e-4, "p": .16,
                         "p_holm": 1.0, "passed": true, "direction": "biased high",
                         "mean": .48, "spread": 1.01}],
         "constant": ["p_alive[x=0]"],             # says nothing: the same at every draw
         "detectable": {"alpha": .0006, "power": .9, "bias": .39, "narrow": .7, "wide": 1.5}}}}

``bias`` is in posterior sds, ``narrow`` and ``wide`` are factors of the posterior sd: the smallest
error of a single quantity that so many simulations see with that power; null where none is seen.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from bayesseg._types import Family, OnProgress
from bayesseg.calibration.design import Design
from bayesseg.calibration.mixtures import plan_of
from bayesseg.calibration.simulations import Job, Row, simulate_all
from bayesseg.calibration.uniformity import ALPHA, POWER, detectable, judge
from bayesseg.errors import UsageError
from bayesseg.families import FAMILIES
from bayesseg.spec import ModelSpec, PartSpec

FEWEST = 20
CLEAN = 0.99
"""Share of fits that must end with every gate of the computation passed."""
ENGINES = ("laplace", "nuts")


def run(
    spec: ModelSpec,
    simulations: int,
    *,
    seed: int,
    engine: str | None = None,
    customers: int | None = None,
    processes: int = 1,
    folder: Path | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Simulation-based calibration of every part it covers; the document above.

    Args:
        spec: the model; its own priors make the truths.
        simulations: data sets a part.
        seed: of everything; the same rows for any number of processes.
        engine: ``laplace`` (which falls back to nuts, as in production) or ``nuts``, of purchases and
            spend; None takes the model's own, and ``laplace`` for ``auto``.
        customers: in each data set; None takes the design's 200.
        processes: side by side; above 1 only under an ``if __name__ == "__main__"``.
        folder: keeps every simulation, so that an interrupted run goes on where it was.
        on_progress: told of every simulation.

    Raises:
        UsageError: too few simulations, an engine without draws, or a number of segments left open.
        ResourcesMissing: a process died.
    """
    began = time.perf_counter()
    if simulations < FEWEST:
        raise UsageError(
            f"{simulations} simulations show nothing", fix=f"give {FEWEST} or more; 200 is usual"
        )
    design = Design() if customers is None else replace(Design(), customers=customers)
    if "segments" in spec.parts:
        plan_of(FAMILIES[spec.parts["segments"].family], spec)  # refuses before the long work
    found = {}
    for part, own in spec.parts.items():
        job = Job(spec, part, _engine(own, engine), design, seed)
        found[part] = sbc(
            job, simulations, processes=processes, folder=folder, on_progress=on_progress
        )
    return {
        "schema_version": 1,
        "model": spec.name,
        "seed": seed,
        "simulations": simulations,
        "passed": all(part["verdict"] == "passed" for part in found.values()),
        "seconds": round(time.perf_counter() - began, 1),
        "parts": found,
    }


def sbc(
    job: Job,
    simulations: int,
    *,
    fitted: Family | None = None,
    processes: int = 1,
    folder: Path | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Calibrate one part; its entry in the document. ``fitted`` is fitted instead (planted bugs)."""
    rows = simulate_all(
        job,
        simulations,
        fitted=fitted,
        processes=processes,
        folder=folder,
        on_progress=on_progress,
    )
    return {"family": job.family.name, "title": job.family.title} | _judged(job, rows)


def _judged(job: Job, rows: list[Row]) -> dict[str, Any]:
    ranks: dict[str, list[int]] = {}
    for row in rows:
        for name, rank in row["ranks"].items():
            ranks.setdefault(name, []).extend([] if rank is None else [rank])
    judged = judge({name: np.array(own) for name, own in ranks.items() if own})
    failures = [
        {"simulation": row["simulation"], "faults": row["faults"]} for row in rows if row["faults"]
    ]
    clean = 1.0 - len(failures) / len(rows)
    reasons = [
        f"{name}: posteriors are {one.direction} (p = {one.p_holm:.2g} among {len(judged)})"
        for name, one in judged.items()
        if not one.passed
    ]
    if clean < CLEAN:
        reasons.append(f"{len(failures)} of {len(rows)} fits failed their own gates")
    if not judged:
        reasons.append("no fit gave any draws")
    alpha = ALPHA / max(len(judged), 1)
    return {
        "engine": job.engine,
        "verdict": "failed" if reasons else "passed",
        "reasons": reasons,
        "without": [
            link for link in ("covariates", "cohorts") if getattr(job.own, link) is not None
        ],
        "simulations": len(rows),
        "design": asdict(job.design),
        "answered": dict(sorted(Counter(row["engine"] for row in rows).items())),
        "redrawn": sum(row["redrawn"] for row in rows),
        "clean": clean,
        "failures": failures,
        "quantities": [{"name": name} | asdict(one) for name, one in judged.items()],
        "constant": [name for name, own in ranks.items() if not own],
        "detectable": {"alpha": alpha, "power": POWER, **detectable(len(rows), alpha)},
    }


def _engine(part: PartSpec, asked: str | None) -> str:
    """The engine of a part; a mixture has its own, whatever is asked of the others."""
    name = part.engine if part.engine == "gibbs" else asked or part.engine
    if name == "auto":
        return "laplace"
    if name not in (*ENGINES, "gibbs"):
        raise UsageError(
            f"engine {name!r} has no draws to calibrate", fix=f"give {' or '.join(ENGINES)}"
        )
    return name


# ---------------------------------------------------------------- in words

_LISTED = 10
HEADERS = ("quantity", "gamma", "limit", "p (Holm)", "verdict")


def table(part: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """One row a quantity under ``HEADERS``, every cell as text."""
    return [
        (
            q["name"],
            f"{q['gamma']:.2g}",
            f"{q['threshold']:.2g}",
            f"{q['p_holm']:.2g}",
            "uniform" if q["passed"] else q["direction"],
        )
        for q in part["quantities"]
    ]


def said(part: Mapping[str, Any]) -> list[str]:
    """The verdict on one part in sentences: first what was found, last what could have been."""
    n, answered = part["simulations"], part["answered"]
    engines = ", ".join(f"{count} by {name}" for name, count in answered.items() if name != "none")
    lines = [
        f"{part['title']}: calibration {part['verdict']} ({n} data sets of "
        f"{part['design']['customers']} customers; {engines or 'none fitted'})"
    ]
    lines += part["reasons"]
    if part["without"]:
        lines.append(
            f"calibrated as one group of customers, without {' and '.join(part['without'])}: what they "
            "add is not judged here"
        )
    if failures := part["failures"]:
        lines.append(f"{len(failures)} of {n} fits are not clean:")
        lines += [
            f"  simulation {one['simulation']}: {'; '.join(one['faults'])}"
            for one in failures[:_LISTED]
        ]
    if len(failures) > _LISTED:
        lines.append(f"  and {len(failures) - _LISTED} more, all of them in --json")
    if part["redrawn"]:
        lines.append(f"{part['redrawn']} data sets too thin for a fit were drawn again")
    if part["constant"]:
        lines.append(f"not ranked, the same at every draw: {', '.join(part['constant'])}")
    return [*lines, _seen(part["detectable"], n)]


def _seen(d: Mapping[str, Any], n: int) -> str:
    errors = (
        ("a bias of {:.2g} posterior sd", d["bias"]),
        ("intervals {:.2g} times as wide as they should be", d["narrow"]),
        ("or {:.2g} times", d["wide"]),
    )
    found = [text.format(value) for text, value in errors if value is not None]
    if not found:
        return f"{n} simulations would see hardly any error of a single quantity"
    return f"{n} simulations see, 9 times in 10: {', '.join(found)}; smaller errors may hide"
