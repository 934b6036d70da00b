"""What an interrupted fit need not sample again: its finished pieces, on disk. L5.

A chain of nuts, and a stretch of gibbs (whose chains advance in step), is a pure function of model, data
and seed. It is written once it is finished, so that a fit that goes on from its pieces ends in the same
bits as one that was never disturbed. A damaged piece is no piece, and neither is one of another plan:
each is sealed with the plan of its fit.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg._files import blocks_of, remove_folder, write_bytes, write_text
from bayesseg.errors import ArtefactBad, UsageError

type Arrays = Mapping[str, npt.NDArray[Any]]

_PLAN, _END, _DIGEST = "plan.json", ".piece", 32
_OURS = re.compile(r"(plan\.json|.+\.piece)|\.(plan\.json|.+\.piece)\.([0-9a-f]{8}\.part|lock)")
"""Names of a plan and of pieces, and of what a writer that died leaves beside them."""
_ANEW = "start anew with -o and --force"


def begin(folder: Path | None, plan: Mapping[str, Any]) -> None:
    """Note in ``folder`` what its pieces are pieces of, or see that they are of this.

    Raises:
        UsageError: they are pieces of another fit, or of one that nothing tells.
        ArtefactBad: the plan that stands there cannot be read.
    """
    if folder is None:
        return
    stored = plan_of(folder)
    if stored is None:
        write_text(folder / _PLAN, json.dumps(plan, indent=1, sort_keys=True) + "\n")
    elif other := [name for name in sorted({*plan, *stored}) if stored.get(name) != plan.get(name)]:
        raise UsageError(
            f"{folder} was begun with another {', another '.join(other)}",
            fix=f"go on with what it was begun with, or {_ANEW}",
        )


def plan_of(folder: Path) -> dict[str, Any] | None:
    """What the pieces in ``folder`` are pieces of; None where nothing was begun (errors as begin)."""
    path = folder / _PLAN
    if not path.exists():
        if count(folder):
            raise UsageError(f"{folder} holds pieces, and no {_PLAN} says of what fit", fix=_ANEW)
        return None
    try:
        stored = json.loads(b"".join(blocks_of(path)))
    except ValueError as error:
        raise ArtefactBad(f"{path} is damaged ({error})", fix=_ANEW) from error
    if not isinstance(stored, dict):
        raise ArtefactBad(f"{path} is damaged (it is no plan)", fix=_ANEW)
    return stored


def require_ours(folder: Path) -> None:
    """Refuse (exit 2) a ``folder`` that holds anything but a plan and pieces: somebody else's."""
    if not folder.is_symlink() and not folder.exists():
        return
    strange = folder.is_symlink() or not folder.is_dir()
    if strange or any(path.is_dir() or not _OURS.fullmatch(path.name) for path in folder.iterdir()):
        raise UsageError(
            f"{folder} is there and holds more than the pieces of a stopped fit",
            fix="choose another name for the run, or move what is there away",
        )


def discard(folder: Path) -> None:
    """Remove finished pieces and their plan, and nothing that is not ours (see require_ours)."""
    require_ours(folder)
    remove_folder(folder)


def count(folder: Path) -> int:
    """How many pieces are finished."""
    return len(list(folder.glob(f"*{_END}")))


def recalled(folder: Path | None, name: str) -> Arrays | None:
    """The piece ``name``, where it is there and whole."""
    if folder is None or not (path := folder / f"{name}{_END}").exists():
        return None
    content = b"".join(blocks_of(path))
    packed, digest = content[:-_DIGEST], content[-_DIGEST:]
    if _seal(folder, packed) != digest:
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
    write_bytes(folder / f"{name}{_END}", packed + _seal(folder, packed))


def _seal(folder: Path, packed: bytes) -> bytes:
    """A digest of a piece and of the plan that was begun in its folder."""
    plan = hashlib.sha256(b"".join(blocks_of(folder / _PLAN))).digest()
    return hashlib.sha256(plan + packed).digest()


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
