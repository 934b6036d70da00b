"""Errors a user can meet, each with its exit code. L0.

Every message says what is wrong and where (file, row, column); ``fix`` says what to do next.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class BayessegError(Exception):
    """An error with a message for people, a stable code for programs and an exit code for shells."""

    exit_code = 1
    code = "internal"

    def __init__(
        self,
        message: str,
        *,
        fix: str = "",
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.code = code or type(self).code
        self.details = dict(details or {})

    def __str__(self) -> str:
        return f"{self.message}\n  fix: {self.fix}" if self.fix else self.message


class UsageError(BayessegError):
    """A flag, option or argument makes no sense (exit 2)."""

    exit_code = 2
    code = "usage"


class InputRejected(BayessegError):
    """The data cannot be used as they are (exit 3)."""

    exit_code = 3
    code = "input_rejected"


class GateFailed(BayessegError):
    """A statistical gate failed; the result is kept but untrusted (exit 4)."""

    exit_code = 4
    code = "gate_failed"


class ArtefactBad(BayessegError):
    """A stored run or score file is damaged, incomplete or too new (exit 5)."""

    exit_code = 5
    code = "artefact_bad"


class DestinationFailed(BayessegError):
    """What is sent to did not answer or broke off; trying again is safe (exit 6)."""

    exit_code = 6
    code = "destination"


class RowsRefused(BayessegError):
    """The destination took some rows and refused others, which are listed (exit 7)."""

    exit_code = 7
    code = "rows_refused"


class Locked(BayessegError):
    """Somebody else is writing to the same place (exit 8)."""

    exit_code = 8
    code = "locked"


class ResourcesMissing(BayessegError):
    """Memory, disk, a compiler, an optional package or access to a server is missing (exit 9)."""

    exit_code = 9
    code = "resources"
