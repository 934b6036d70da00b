"""The engines, and sampling several parts side by side. L5.

Nearly all of a nuts run is imports and compilation, which hold the interpreter's lock; threads do not
help. A fork server imports PyMC and nutpie once, while the data are being read, and each part is forked
from it. Families cross the border by name, tables as arrays, errors as themselves. Laplace and map
spend their time in compiled code and run in threads.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Any

from bayesseg._types import Draws, OnProgress, Progress, Table
from bayesseg.errors import BayessegError, ResourcesMissing
from bayesseg.inference.laplace import laplace, shortfall
from bayesseg.inference.map import point
from bayesseg.population import State, linked
from bayesseg.priors import Scales
from bayesseg.spec import InferenceSpec, PartSpec

LARGE = 20_000
"""Distinct rows from which ``auto`` tries laplace first: nuts takes more than ten seconds there."""


@dataclass(frozen=True, slots=True)
class Task:
    """One part to sample: everything an engine needs."""

    engine: str
    part: str
    spec: PartSpec
    table: Table
    scales: Scales
    inference: InferenceSpec
    seed: int
    population: State = None
    folder: Path | None = None
    """Where chains of nuts are kept as they finish; the other engines are too short for that."""


type Engine = Callable[[Task, OnProgress | None], Draws]


def _arguments(task: Task, on_progress: OnProgress | None) -> tuple[Any, ...]:
    family, part = linked(task.spec, task.population)
    return family, part, task.table, task.scales, task.inference, task.seed, on_progress


def _nuts(task: Task, on_progress: OnProgress | None) -> Draws:
    from bayesseg.inference.nuts import nuts

    return nuts(*_arguments(task, on_progress), folder=task.folder)


def _here(task: Task, on_progress: OnProgress | None, sampler: Engine = _nuts) -> Draws:
    return sampler(task, on_progress)


def _map(task: Task, on_progress: OnProgress | None, sampler: Engine = _nuts) -> Draws:
    return point(*_arguments(task, on_progress))


def _laplace(task: Task, on_progress: OnProgress | None, sampler: Engine = _nuts) -> Draws:
    """Importance draws where their weights allow it, else ``sampler``'s, with the reason."""
    draws = laplace(*_arguments(task, on_progress))
    short = shortfall(draws.info)
    if short is None:
        return draws
    other = sampler(task, on_progress)
    tried = {name: draws.info[name] for name in ("pareto_k", "importance_ess", "limits")}
    return replace(other, info={**other.info, "fallback": f"not laplace: {short}", **tried})


def _auto(task: Task, on_progress: OnProgress | None, sampler: Engine = _nuts) -> Draws:
    rows = f"{task.table.rows:,} distinct rows ({LARGE:,} are many)"
    large = task.table.rows >= LARGE
    draws = (_laplace if large else _here)(task, on_progress, sampler)
    return replace(draws, info={**draws.info, "auto": rows})


ENGINES: Mapping[str, Callable[..., Draws]] = {
    "auto": _auto,
    "nuts": _here,
    "laplace": _laplace,
    "map": _map,
}
"""Engines by the name model files use: ``(task, on_progress, sampler)`` to draws.

``sampler`` is what runs nuts, here or in another process; ``info["engine"]`` says what the draws are
of, ``"fallback"`` why laplace was not good enough, ``"auto"`` what the choice was made on.
"""


def ran(info: Mapping[str, Any]) -> str:
    """Which engine ran, why and how well, in one line."""
    took = f"{sum(info['seconds'].values()):.1f} s"
    words = {"nuts": f"nuts, {took}", "map": f"map, a point estimate, {took}"}
    if info["engine"] == "laplace":
        k, ess = info["pareto_k"], info["importance_ess"]
        words["laplace"] = f"laplace, {took}, Pareto k {k:.2f}, worth {ess:,.0f} draws"
    reasons = [info[key] for key in ("auto", "fallback") if key in info]
    return "; ".join([words[info["engine"]], *reasons])


def warm_up() -> None:
    """Start importing PyMC in the background; does nothing where there is no fork server."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        from multiprocessing import forkserver

        _context()
        forkserver.ensure_running()


def _imported() -> None:
    """What engines import in threads, once, here: threads importing SciPy at once get half of it."""
    for module in ("scipy.optimize", "scipy.stats.qmc", "arviz_stats.base"):
        import_module(module)


@contextmanager
def running(
    tasks: Mapping[str, Task], *, processes: bool, on_progress: OnProgress | None = None
) -> Iterator[Callable[[], Mapping[str, Draws]]]:
    """Start every task, do something else, then call what is yielded for the draws.

    Each task has a thread, in which it runs or, where nuts is wanted, waits for a process; starting one
    waits until the fork server has done its imports. ``on_progress`` is called in those threads.
    Leaving the block for any reason, Ctrl-C included, ends processes that still run. Without
    ``processes`` the tasks run one after the other, here, when the draws are asked for; the draws are
    the same bits.

    Raises:
        BayessegError: whatever a task raised, when its draws are asked for.
        ResourcesMissing: a process died (killed, or out of memory).
    """
    if not processes or "forkserver" not in multiprocessing.get_all_start_methods():
        yield lambda: {n: ENGINES[t.engine](t, on_progress) for n, t in tasks.items()}
        return
    outcomes: SimpleQueue[tuple[str, Draws | BaseException]] = SimpleQueue()
    children: list[Any] = []
    starting, leaving = Lock(), Event()

    def report(progress: Progress) -> None:
        if leaving.is_set():
            raise _Left
        if on_progress is not None:
            on_progress(progress)

    def in_child(task: Task, on_progress: OnProgress | None) -> Draws:
        ours, theirs = _context().Pipe(duplex=False)
        child = _context().Process(target=_child, args=(task, theirs), daemon=True)
        with starting:
            child.start()
            children.append(child)
            theirs.close()
        if leaving.is_set():
            child.terminate()
        return _listen(ours, child, task.part, report)

    def work(name: str, task: Task) -> None:
        try:
            outcomes.put((name, ENGINES[task.engine](task, report, in_child)))
        except BaseException as error:  # handed to whoever asks for the draws
            outcomes.put((name, error))

    def result() -> Mapping[str, Draws]:
        found: dict[str, Draws] = {}
        for _ in tasks:
            name, outcome = outcomes.get()
            if isinstance(outcome, BaseException):
                raise outcome
            found[name] = outcome
        return {name: found[name] for name in tasks}

    for name, task in tasks.items():
        if task.engine != "nuts" and (task.engine != "auto" or task.table.rows >= LARGE):
            _imported()
        Thread(target=work, args=(name, task), daemon=True).start()
    try:
        yield result
    finally:
        leaving.set()
        for child in children:
            child.terminate()
            child.join()


class _Left(Exception):
    """Ends a task that runs in a thread."""


def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bayesseg.inference.warm"])
    return context


def _child(task: Task, connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once and in silence

    def report(progress: Any) -> None:
        with contextlib.suppress(OSError):  # nobody listens: the parent is going
            connection.send(progress)

    try:
        report(_nuts(task, report))
    except BayessegError as error:
        report(error)
    except Exception as error:
        told = {"traceback": traceback.format_exc()}
        report(BayessegError(f"{type(error).__name__}: {error}", details=told))


def _listen(connection: Connection, child: Any, part: str, report: OnProgress) -> Draws:
    """Read progress until the child has sent its draws or an error."""
    while True:
        try:
            message = connection.recv()
        except EOFError as error:
            child.join()
            raise ResourcesMissing(
                f"the process sampling {part} ended unexpectedly (code {child.exitcode})",
                fix="free memory and try again",
            ) from error
        if isinstance(message, BaseException):
            raise message
        if isinstance(message, Draws):
            return message
        report(message)
