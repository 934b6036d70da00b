"""Sampling several parts side by side, each in a process of its own. L5.

Nearly all of a fit is imports and compilation, which hold the interpreter's lock; threads do not help.
A fork server imports PyMC and nutpie once, while the data are being read, and each part is forked from
it. Families cross the border by name, tables as arrays, errors as themselves.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, cast

from bayesseg._types import Draws, OnProgress, Table
from bayesseg.errors import BayessegError, ResourcesMissing
from bayesseg.families import FAMILIES
from bayesseg.priors import Scales
from bayesseg.spec import InferenceSpec, PartSpec


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


def _nuts(task: Task, on_progress: OnProgress | None) -> Draws:
    from bayesseg.inference.nuts import nuts

    family = FAMILIES[task.spec.family]
    return nuts(family, task.spec, task.table, task.scales, task.inference, task.seed, on_progress)


ENGINES: Mapping[str, Callable[[Task, OnProgress | None], Draws]] = {"nuts": _nuts}


def warm_up() -> None:
    """Start importing the engines in the background; does nothing where there is no fork server."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        from multiprocessing import forkserver

        _context()
        forkserver.ensure_running()


@contextmanager
def running(
    tasks: Mapping[str, Task], *, processes: bool, on_progress: OnProgress | None = None
) -> Iterator[Callable[[], Mapping[str, Draws]]]:
    """Start every task, do something else, then call what is yielded for the draws.

    Starting a process waits until the fork server has done its imports, so a thread does that and
    listens; ``on_progress`` is called there. Leaving the block for any reason, Ctrl-C included, ends
    processes that still run. Without ``processes`` the tasks run one after the other, here, when the
    draws are asked for; the draws are the same bits.

    Raises:
        BayessegError: whatever a task raised, when its draws are asked for.
        ResourcesMissing: a process died (killed, or out of memory).
    """
    if not processes or "forkserver" not in multiprocessing.get_all_start_methods():
        yield lambda: {n: ENGINES[t.engine](t, on_progress) for n, t in tasks.items()}
        return
    children: dict[Connection, tuple[str, Any]] = {}
    outcome: SimpleQueue[Mapping[str, Draws] | BaseException] = SimpleQueue()
    leaving = Event()

    def work() -> None:
        try:
            for name, task in tasks.items():
                ours, theirs = _context().Pipe(duplex=False)
                child = _context().Process(target=_child, args=(task, theirs), daemon=True)
                child.start()
                theirs.close()
                children[ours] = (name, child)
                if leaving.is_set():
                    child.terminate()
            outcome.put(_collect(children, on_progress, tuple(tasks)))
        except BaseException as error:  # handed to whoever asks for the draws
            outcome.put(error)

    def result() -> Mapping[str, Draws]:
        found = outcome.get()
        if isinstance(found, BaseException):
            raise found
        return found

    Thread(target=work, daemon=True).start()
    try:
        yield result
    finally:
        leaving.set()
        for _, child in list(children.values()):
            child.terminate()
            child.join()


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
        report(ENGINES[task.engine](task, report))
    except BayessegError as error:
        report(error)
    except Exception as error:
        told = {"traceback": traceback.format_exc()}
        report(BayessegError(f"{type(error).__name__}: {error}", details=told))


def _collect(
    children: Mapping[Connection, tuple[str, Any]],
    on_progress: OnProgress | None,
    order: tuple[str, ...],
) -> Mapping[str, Draws]:
    """Read progress until every child has sent its draws; the first error ends the wait."""
    found: dict[str, Draws] = {}
    open_ends = dict(children)
    while open_ends:
        for ready in wait(list(open_ends)):
            connection = cast(Connection, ready)
            name, child = open_ends[connection]
            try:
                message = connection.recv()
            except EOFError as error:
                child.join()
                raise ResourcesMissing(
                    f"the process sampling {name} ended unexpectedly (code {child.exitcode})",
                    fix="free memory and try again",
                ) from error
            if isinstance(message, BaseException):
                raise message
            if isinstance(message, Draws):
                found[name] = message
                del open_ends[connection]
            elif on_progress is not None:
                on_progress(message)
    return {name: found[name] for name in order}
