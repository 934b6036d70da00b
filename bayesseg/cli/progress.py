"""Live progress on stderr: a bar a stage on a terminal, one line per ten seconds otherwise. L10."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bayesseg.cli import logs
from bayesseg.cli.masking import printable
from bayesseg.cli.shell import heed

if TYPE_CHECKING:
    from bayesseg._types import OnProgress, Progress

EVERY = 10.0


@contextmanager
def progress() -> Iterator[OnProgress]:
    """Yield the function to call with each message; it may be called from any thread."""
    with _bars() if sys.stderr.isatty() and not logs.as_json() else _lines() as show:

        def report(message: Progress) -> None:
            heed()
            show(message)

        yield report


@contextmanager
def _bars() -> Iterator[OnProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    tasks: dict[str, TaskID] = {}
    lock = threading.Lock()
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:

        def report(message: Progress) -> None:
            with lock:
                if message.stage not in tasks:
                    tasks[message.stage] = bars.add_task(
                        printable(message.stage), total=message.total, detail=""
                    )
            bars.update(
                tasks[message.stage],
                completed=message.done,
                total=message.total,
                detail=printable(message.detail),
            )

        yield report


@contextmanager
def _lines() -> Iterator[OnProgress]:
    said: dict[str, float] = {}
    lock = threading.Lock()
    start = time.monotonic()

    def report(message: Progress) -> None:
        now = time.monotonic()
        with lock:
            last = said.setdefault(message.stage, start)
            if now - last < EVERY:
                return
            said[message.stage] = now
        count = f": {message.done} of {message.total}" if message.total > 1 else ""
        line = f"{message.stage}{count} {message.detail}".rstrip()
        facts = {"stage": message.stage, "done": message.done, "total": message.total}
        logs.write(line, "progress", **facts)

    yield report
