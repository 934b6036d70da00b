"""Several things may stand in the way of one source: they are said together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bayesseg.errors import InputRejected


@contextmanager
def collected(refused: list[InputRejected]) -> Iterator[None]:
    """Add what is refused inside to ``refused`` and go on after it."""
    try:
        yield
    except InputRejected as error:
        refused.append(error)


def together(refused: Sequence[InputRejected]) -> InputRejected:
    """One refusal of all: the first one's code, everybody's words; ``details["refused"]`` has each."""
    first, *others = refused
    if not others:
        return first
    apart = [{"code": e.code, "message": e.message, "fix": e.fix} for e in refused]
    return InputRejected(
        "; ".join(e.message for e in refused),
        fix="; ".join(dict.fromkeys(e.fix for e in refused)),
        code=first.code,
        details={"refused": apart, **{k: v for e in refused for k, v in e.details.items()}},
    )
