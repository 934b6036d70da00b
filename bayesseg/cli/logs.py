"""How what is said on stderr is written: as text, or as one JSON object a line. L10.

A line has ``time`` (UTC), ``level`` (info, warn, error or progress), ``verb`` and ``message``; an error
also ``code``, ``fix`` and ``exit_code``, progress also ``stage``, ``done`` and ``total``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from bayesseg.cli.masking import masked, printable

KINDS = ("text", "json")


@dataclass(frozen=True, slots=True)
class Log:
    """How this call logs, and for which verb."""

    kind: str = "text"
    verb: str = ""


_current = [Log()]


@contextmanager
def logging(log: Log) -> Iterator[None]:
    """Log this way, in every thread."""
    before, _current[0] = _current[0], log
    try:
        yield
    finally:
        _current[0] = before


def asked_for(words: Sequence[str]) -> str:
    """The kind that a command line asks for which could not be parsed."""
    given = [*words, f"--log={os.environ.get('BAYESSEG_LOG')}"]
    as_json = "--log=json" in given or ("--log", "json") in pairwise(given)
    return "json" if as_json else "text"


def as_json() -> bool:
    """Whether lines are for machines."""
    return _current[0].kind == "json"


def write(text: str, level: str = "info", **facts: Any) -> None:
    """Write ``text`` to stderr without secrets or control characters; ``facts`` are for machines."""
    text = printable(masked(text))
    if as_json():
        if not text and not facts:  # an empty line is for the eye
            return
        moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        head = {"time": moment, "level": level, "verb": _current[0].verb}
        # in ASCII, for a stream that cannot encode a letter would break the line
        text = json.dumps({**head, "message": text.strip(), **facts})
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:  # whoever listened has gone: the work goes on, and says nothing
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
