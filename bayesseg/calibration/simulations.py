"""The loop of simulation-based calibration, side by side in processes, resumable. L8.

If a truth comes from the prior, data from the truth and draws from the posterior given the data, the
rank of the truth among the draws is uniform (Cook, Gelman & Rubin 2006; Talts et al. 2018). Simulation
i is a function of (model, design, seed, i) alone.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

import numpy as np

from bayesseg import _files, gates
from bayesseg._types import Array, Draws, Family, OnProgress, Progress
from bayesseg.calibration import mixtures
from bayesseg.calibration.design import Design, Simulated, simulated
from bayesseg.calibration.fits import Fit, fitter
from bayesseg.calibration.quantities import quantities
from bayesseg.calibration.uniformity import DRAWS
from bayesseg.errors import ResourcesMissing, UsageError
from bayesseg.families import FAMILIES
from bayesseg.spec import ModelSpec, PartSpec

type Row = Mapping[str, Any]
"""One simulation: its number, the engine that answered, faults in words, ranks by quantity."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is calibrated: one part of a model, on a design, by an engine."""

    spec: ModelSpec
    part: str
    engine: str
    design: Design
    seed: int

    @property
    def own(self) -> PartSpec:
        """The part of the model that is calibrated."""
        return self.spec.parts[self.part]

    @property
    def family(self) -> Family:
        """The registered family of that part."""
        return FAMILIES[self.own.family]

    @property
    def identity(self) -> dict[str, Any]:
        """What a row depends on, the code included."""
        return {
            "family": self.own.family,
            "engine": self.engine,
            "priors": {name: asdict(prior) for name, prior in self.own.priors.items()},
            "options": dict(self.own.options),
            "features": [asdict(feature) for feature in self.spec.features],
            "unit_days": self.spec.unit_days,
            "inference": asdict(self.spec.inference),
            "design": asdict(self.design),
            "seed": self.seed,
            "code": _code(),
        }


@dataclass(frozen=True, slots=True)
class Kind:
    """What the loop needs to know of a part.

    Attributes:
        simulated: ``(job, rng) -> Simulated``, by the registered family.
        fitter: ``(job, fitted family) -> Fit``.
        ranked: ``(job, parameters (S, ...), simulated) -> {name: (S,)}``, by the registered family.
        excused: hard gates that judge the data or the labels, and not the computation.
    """

    simulated: Callable[[Job, np.random.Generator], Simulated]
    fitter: Callable[[Job, Family], Fit]
    ranked: Callable[[Job, Mapping[str, Array], Simulated], dict[str, Array]]
    excused: tuple[str, ...]


_BUYERS = Kind(
    lambda job, rng: simulated(job.family, job.own, job.design, job.spec.unit_days, rng),
    lambda job, fitted: fitter(
        job.engine,
        fitted,
        job.own,
        job.design.scales(job.spec.unit_days),
        job.spec.inference,
    ),
    lambda job, theta, made: quantities(
        job.family, theta, made.columns, made.held_out, job.design, job.spec.unit_days
    ),
    ("spend_mean_exists",),
)
_SEGMENTS = Kind(
    lambda job, rng: mixtures.simulated(job.family, job.spec, job.design, rng),
    lambda job, fitted: mixtures.fitter(fitted, job.spec),
    lambda job, theta, made: mixtures.quantities(job.family, job.spec, theta, made),
    # all that speaks of single segments: what is ranked does not
    (
        *("rhat", "ess_bulk", "ess_tail", "mcse_mean", "mcse_exported"),
        *("mode_agreement", "labels_identified", "overlap", "smallest_segment"),
    ),
)
KINDS: Mapping[str, Kind] = {"purchase": _BUYERS, "spend": _BUYERS, "segments": _SEGMENTS}
"""How each part is calibrated."""


def simulate_all(
    job: Job,
    simulations: int,
    *,
    fitted: Family | None = None,
    processes: int = 1,
    folder: Path | None = None,
    on_progress: OnProgress | None = None,
) -> list[Row]:
    """Rows 0 … ``simulations`` - 1, in order.

    Args:
        job: what is calibrated.
        simulations: how many.
        fitted: the family to fit in place of the one that simulates (tests plant bugs this way);
            one process.
        processes: side by side.
        folder: where rows are kept, one JSON line each, and found again.
        on_progress: told of every row.

    Raises:
        UsageError: ``folder`` holds rows of another model, design, seed or version.
        ResourcesMissing: a process died.
    """
    with _ledger(folder, job) as (rows, keep):
        todo = [i for i in range(simulations) if i not in rows]
        label = job.family.title
        before = simulations - len(todo)
        for done, row in enumerate(_rows(job, todo, fitted, processes), before + 1):
            rows[row["simulation"]] = row
            keep(row)
            if on_progress:
                on_progress(Progress(f"calibrate {label}", done, simulations))
    return [rows[i] for i in range(simulations)]


def _simulation(job: Job, fit: Fit, i: int) -> Row:
    """Simulation i. An error becomes a fault of the row, which then has no ranks.

    The registered family simulates and computes what is ranked; the fitted one meets the data only.
    """
    began = time.perf_counter()
    kind = KINDS[job.part]
    rng = np.random.default_rng([job.seed, int.from_bytes(job.part.encode()), i])
    made = kind.simulated(job, rng)
    row: dict[str, Any] = {"simulation": i, "redrawn": made.redrawn}
    row["truth"] = {name: value[0].tolist() for name, value in made.truth.items()}
    try:
        draws = fit(made.columns, int(rng.integers(2**31)))
        row |= {"engine": draws.info["engine"], "faults": _faults(job, draws)}
        both = {n: np.concatenate([made.truth[n], _thinned(v)]) for n, v in draws.values.items()}
        found = kind.ranked(job, both, made)
        row["ranks"] = {name: _rank(values, rng) for name, values in found.items()}
    except Exception as error:
        row |= {"engine": "none", "ranks": {}, "faults": [f"{type(error).__name__}: {error}"]}
    return row | {"seconds": round(time.perf_counter() - began, 3)}


def _thinned(values: Array) -> Array:
    flat = values.reshape(-1, *values.shape[2:])
    return flat[np.arange(DRAWS) * len(flat) // DRAWS]


def _rank(values: Array, rng: np.random.Generator) -> int | None:
    """Draws below the truth (the first value), ties at random.

    None where all are equal (P(alive) of a one-time buyer in BG/NBD), which says nothing.
    """
    truth, draws = values[0], values[1:]
    if np.isnan(values).any():
        raise ArithmeticError("a quantity is not a number")
    if (draws == truth).all():
        return None
    return int((draws < truth).sum() + rng.integers((draws == truth).sum() + 1))


def _faults(job: Job, draws: Draws) -> list[str]:
    """Hard gates that judge the computation and do not hold, in words."""
    alone = replace(job.spec, parts={job.part: job.own})
    facts = {"scales": job.design.scales(job.spec.unit_days)}
    return [
        check.detail
        for check in gates.gates(alone, {job.part: draws}, facts)
        if check.severity == "hard"
        and not check.passed
        and check.name not in KINDS[job.part].excused
    ]


# ---------------------------------------------------------------- side by side


def _rows(job: Job, todo: list[int], fitted: Family | None, processes: int) -> Iterator[Row]:
    """Rows as they come; process j of J takes every J-th."""
    if fitted is not None or processes < 2 or len(todo) < 2:
        yield from _own_rows(job, todo, fitted)
        return
    # not fork, which copies the locks of threads that are running
    context = multiprocessing.get_context("spawn")
    children: dict[Connection, Any] = {}
    try:
        for j in range(processes):
            ours, theirs = context.Pipe(duplex=False)
            child = context.Process(target=_child, args=(job, todo[j::processes], theirs))
            child.start()
            theirs.close()
            children[ours] = child
        while children:
            for ready in wait(list(children)):
                connection = cast(Connection, ready)
                try:
                    message = connection.recv()
                except EOFError as error:
                    children[connection].join()
                    raise ResourcesMissing(
                        f"a process ended unexpectedly (code {children[connection].exitcode})",
                        fix="free memory and try again; finished simulations are kept",
                    ) from error
                if message is None:
                    children.pop(connection).join()
                else:
                    yield message
    finally:
        for child in children.values():
            child.terminate()
            child.join()


def _own_rows(job: Job, todo: list[int], fitted: Family | None = None) -> Iterator[Row]:
    fit = KINDS[job.part].fitter(job, fitted or job.family)
    for i in todo:
        yield _simulation(job, fit, i)


def _child(job: Job, todo: list[int], connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once and in silence
    for row in _own_rows(job, todo):
        connection.send(row)
    connection.send(None)


# ---------------------------------------------------------------- the ledger


@contextmanager
def _ledger(
    folder: Path | None, job: Job
) -> Iterator[tuple[dict[int, Row], Callable[[Row], None]]]:
    """The rows found in ``folder`` and how to keep one more."""
    if folder is None:
        yield {}, lambda row: None
        return
    path = folder / f"{job.part}-{job.own.family}-{job.engine}.jsonl"
    with _files.lock(path):
        rows = _found(path, job)
        # a line cut short by a crash goes; the rest is put back before more is appended
        lines = [job.identity, *rows.values()]
        _files.write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
        with path.open("a", encoding="utf-8") as handle:

            def keep(row: Row) -> None:
                handle.write(json.dumps(row) + "\n")
                handle.flush()

            yield rows, keep


def _found(path: Path, job: Job) -> dict[int, Row]:
    if not path.exists():
        return {}
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    if not lines or lines[0] != json.loads(json.dumps(job.identity)):
        raise UsageError(
            f"{path} holds simulations of another model, design, seed or version",
            fix="give another folder, or remove the file",
        )
    return {row["simulation"]: row for row in lines[1:]}


def _code() -> str:
    """Hash of the code that a row depends on."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for folder in ("families", "inference", "calibration"):
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
