"""Work shared out to processes of this machine, a bounded number of pieces at a time. L7."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from threading import Thread
from typing import Any

from threadpoolctl import threadpool_limits

from bayesseg._files import shortage
from bayesseg.errors import BayessegError, ResourcesMissing

_TURN = 0.5
"""Seconds after which a wait looks up, so that a signal is heeded."""


def shared_out[T](
    work: Callable[[int], T], count: int, processes: int, heed: Callable[[], None]
) -> Iterator[T]:
    """``work`` of 0, 1, ... ``count`` - 1, in this order, done in that many processes of one thread.

    Leaving the loop for any reason, Ctrl-C included, ends them; they end with this process, too.

    Args:
        work: what a process imports or is given once; its results are given back.
        count: pieces.
        processes: at most so many.
        heed: called now and then; it may raise.

    Raises:
        BayessegError: whatever a piece raised.
        ResourcesMissing: no memory or disk space; a process died (killed, or out of memory).
    """
    context = multiprocessing.get_context("spawn")
    children: dict[Connection, Any] = {}
    try:
        for _ in range(min(processes, count)):
            ours, theirs = context.Pipe()
            child = context.Process(target=_serve, args=(work, theirs), daemon=True)
            child.start()
            theirs.close()
            children[ours] = child
        asked = 0
        for connection in children:
            connection.send(asked)
            asked += 1
        done: dict[int, T] = {}
        for place in range(count):
            while place not in done:
                heed()
                for ready in wait(list(children), _TURN):
                    assert isinstance(ready, Connection)
                    piece, found = _received(ready, children[ready])
                    done[piece] = found
                    if asked < count:
                        ready.send(asked)
                        asked += 1
            yield done.pop(place)
    finally:
        for connection, child in children.items():
            child.kill()
            child.join()
            connection.close()


def _received(connection: Connection, child: Any) -> tuple[int, Any]:
    try:
        place, found = connection.recv()
    except (EOFError, ConnectionError) as error:
        child.join()
        how = "was killed" if child.exitcode == -signal.SIGKILL else f"ended ({child.exitcode})"
        raise ResourcesMissing(
            f"a scoring process {how}, mostly for want of memory",
            fix="free memory and try again; nothing was written",
        ) from error
    if isinstance(found, BaseException):
        raise found
    return place, found


def _serve(work: Callable[[int], Any], connection: Connection) -> None:
    """Do what is asked for until nobody asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; who asked ends this one
    Thread(target=_end_with_parent, daemon=True).start()
    with threadpool_limits(1):
        while True:
            place = connection.recv()
            found: Any
            try:
                found = work(place)
            except BayessegError as error:
                found = error
            except Exception as error:
                told = {"traceback": traceback.format_exc()}
                found = shortage(error) or BayessegError(
                    f"{type(error).__name__}: {error}", details=told
                )
            connection.send((place, found))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
