"""What an interrupted fit need not sample again: its finished pieces, on disk. L5.

A chain of nuts, and a stretch of gibbs (whose chains advance in step), is a pure function of model, data
and seed. It is written once it is finished, so that a fit that goes on from its pieces ends in the same
bits as one that was never disturbed. A damaged piece is no piece.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg._files import blocks_of, write_bytes, write_text
from bayesseg.errors import UsageError

type Arrays = Mapping[str, npt.NDArray[Any]]

_END, _DIGEST = ".piece", 32


def begin(folder: Path | None, plan: Mapping[str, Any]) -> None:
    """Note in ``folder`` what its pieces are pieces of, or see that they are of this.

    Raises:
        UsageError: they are pieces of another fit.
    """
    if folder is None:
        return
    path = folder / "plan.json"
    if not path.exists():
        write_text(path, json.dumps(plan, indent=1, sort_keys=True) + "\n")
        return
    stored = json.loads(b"".join(blocks_of(path)))
    if other := [name for name in plan if stored.get(name) != plan[name]]:
        raise UsageError(
            f"{folder} was begun with another {', another '.join(other)}",
            fix="go on with what it was begun with, or start anew with -o and --force",
        )


def count(folder: Path) -> int:
    """How many pieces are finished."""
    return len(list(folder.glob(f"*{_END}")))


def recalled(folder: Path | None, name: str) -> Arrays | None:
    """The piece ``name``, where it is there and whole."""
    if folder is None or not (path := folder / f"{name}{_END}").exists():
        return None
    content = b"".join(blocks_of(path))
    packed, digest = content[:-_DIGEST], content[-_DIGEST:]
    if hashlib.sha256(packed).digest() != digest:
        return None
    with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
        return dict(archive)


def keep(folder: Path | None, name: str, arrays: Arrays) -> None:
    """Write the piece ``name``."""
    if folder is None:
        return
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    packed = buffer.getvalue()
    write_bytes(folder / f"{name}{_END}", packed + hashlib.sha256(packed).digest())


def piece(folder: Path | None, name: str, make: Callable[[], Arrays]) -> Arrays:
    """The piece ``name``: recalled, or made and kept."""
    arrays = recalled(folder, name)
    if arrays is None:
        arrays = make()
        keep(folder, name, arrays)
    return arrays


def named(stage: str, arrays: Arrays, numbers: Iterable[int]) -> str:
    """A name for what ``stage`` makes of ``arrays`` and ``numbers``: a hash of them."""
    digest = hashlib.sha256()
    for name, values in sorted(arrays.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    digest.update(" ".join(map(str, numbers)).encode())
    return f"{stage}.{digest.hexdigest()[:20]}"
