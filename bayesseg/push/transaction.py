"""One transaction on a PostgreSQL server, tried again where that is safe and of use. L10."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from bayesseg.errors import (
    BayessegError,
    DestinationFailed,
    Locked,
    ResourcesMissing,
    RowsRefused,
)
from bayesseg.ingest.database import connected, unquoted

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Cursor

_WAITS = (0.2, 1.0, 4.0)
"""Seconds before each further attempt."""
LOCK_WAIT = "60s"
"""How long a push waits for another one, and for whoever else holds a row."""
_IN_THE_WAY = ("40001", "40P01")
"""SQLSTATE of serialisation failures and deadlocks."""
_LOST = re.compile(r"08\w{3}|57P0\w")
"""SQLSTATE of connections lost and servers that stop; libpq gives none where the server went first."""
_NOT_NOW = (
    "nothing answer",
    "host is unknown",
    "ended the connection",
    "starting or stopping",
    "no connection left",
)


class Passing(Exception):
    """What may go better the next time; tried again, a few times, and then ``last`` is raised."""

    def __init__(self, message: str, last: BayessegError | None = None) -> None:
        super().__init__(message)
        self.last = last or DestinationFailed(message, fix="run the same again: it is safe")


def transaction[T](
    address: str,
    work: Callable[[Cursor], T],
    say: Callable[[str], None],
    *,
    keep: Callable[[T], bool] = lambda _: True,
) -> T:
    """Do ``work`` in one transaction and commit it if ``keep`` says so of its result.

    It is tried again after SQLSTATE 40001, 40P01, 08xxx and 57P0x and a lost connection. Where the
    connection went at the commit nobody knows whether it was made: ``work`` has to look first.

    Args:
        address: of the server; no message repeats any of it.
        work: from a cursor to a result; called once an attempt.
        say: told of waits.
        keep: whether to commit.

    Raises:
        DestinationFailed: the server did not take it; what stands there is as before, or whole.
        ResourcesMissing: it does not let us in, or not do that, and would not the next time either.
        RowsRefused: the server finds values wrong; nothing was written.
        Locked: somebody else held the table too long.
    """
    last: BayessegError
    for n, wait in enumerate((*_WAITS, None)):
        try:
            return _once(address, work, keep)
        except ResourcesMissing as error:
            passing = n > 0 or any(words in error.message for words in _NOT_NOW)
            if error.code != "database_unreachable" or not passing:
                raise
            failed, last = error.message, DestinationFailed(error.message, fix=error.fix)
        except Passing as error:
            failed, last = str(error), error.last
        if wait is not None:
            say(f"{failed}; again in {wait:g} s")
            time.sleep(wait)
    raise last


def _once[T](address: str, work: Callable[[Cursor], T], keep: Callable[[T], bool]) -> T:
    connection = connected(address)
    from adbc_driver_manager import Error

    try:
        try:
            with connection.cursor() as cursor:
                # not a server's own default: what stands there is read after the wait for the lock
                cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE")
                cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
                cursor.execute("SET LOCAL TIME ZONE 'UTC'")
                # rows that a policy hides would be taken for customers who are not there
                cursor.execute("SET LOCAL row_security = off")
                done = work(cursor)
            connection.commit() if keep(done) else connection.rollback()
        finally:
            with suppress(Error):  # a connection that is lost cannot be closed
                connection.close()
    except Error as error:
        found = _told(error)
    else:
        return done
    raise found  # outside the except: no traceback shows what libpq said


def _told(error: Any) -> BayessegError | Passing:
    """What the server said, in its words and without values, which may be personal data."""
    from adbc_driver_manager import AdbcStatusCode

    state, text = error.sqlstate or "", str(error)
    if state in _IN_THE_WAY:
        return Passing("another transaction was in the way")
    if _LOST.fullmatch(state) or (not state and error.status_code == AdbcStatusCode.IO):
        return Passing("the connection to the server was lost")
    said = re.search(r"(?:ERROR|FATAL):\s+([^\n]+)", text)
    words = said[1] if said else f"SQLSTATE {state}"
    if state == "55P03":
        return Locked(
            f"another push or somebody else held the table for {LOCK_WAIT}",
            fix="run the same again when it has ended",
        )
    if state[:2] in ("22", "23", "54"):
        return RowsRefused(
            f"the server refuses rows: {unquoted(words)}; nothing was written",
            fix="see what the table demands of its columns (NOT NULL, CHECK, a foreign key, a length)",
        )
    if state[:2] == "42":
        return ResourcesMissing(
            f"the server does not allow it: {words}",
            fix="let the user SELECT, INSERT, UPDATE and DELETE there, see all rows (BYPASSRLS where "
            "policies hide some) and use temporary tables; push --schema prints the tables, for "
            "somebody else to make",
            code="not_allowed",
        )
    return DestinationFailed(
        f"the server ended it: {unquoted(words)} (SQLSTATE {state}); nothing was written",
        fix="see the log of the server",
    )
