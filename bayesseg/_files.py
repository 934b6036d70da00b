"""The one way a file is written: beside its name, synced, re-read, renamed. L0."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from bayesseg.errors import Locked, ResourcesMissing, UsageError

NO_ROOM = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
"""Numbers of the errors of a full disk, or one that may not be filled further."""


def no_room(reason: str | None) -> ResourcesMissing:
    """What to say where something could not be written for want of room."""
    return ResourcesMissing(
        f"no room to write: {reason or 'the disk is full'}",
        fix="free space where the result and temporary files go (TMPDIR), or raise the limit",
    )


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    with path.open("rb+") as handle:
        os.fsync(handle.fileno())


def _settle(folder: Path) -> None:
    """Make renames last through a power failure, where the system can sync a folder."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


def refuse_existing(path: Path, *, force: bool, file: bool = False) -> None:
    """Refuse (exit 2) to write over something that is there, unless forced.

    A ``file`` never takes the place of a folder.
    """
    if file and path.is_dir():
        raise UsageError(f"{path} is a folder", fix="give the name of a file")
    if not force and (path.exists() or path.is_symlink()):
        raise UsageError(f"{path} exists already", fix="choose another name or give --force")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Say what the file system refuses: a name in the way (exit 2), else space or rights (exit 9)."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        raise UsageError(
            f"cannot write {path}: a file stands where a folder would have to be",
            fix="choose another name",
        ) from error
    except OSError as error:
        raise ResourcesMissing(
            f"cannot write {path}: {error.strerror or error}",
            fix="check free space and permissions; nothing was changed",
        ) from error


def write_with(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then put it in place at once.

    A reader sees the old file or the new one, never a part of either.
    """
    absolute = path.absolute()
    refuse_existing(path, force=True, file=True)
    with _writing(path):
        absolute.parent.mkdir(parents=True, exist_ok=True)
        part = _beside(absolute)
        try:
            write(part)
            _sync(part)
            part.replace(absolute)
        finally:
            part.unlink(missing_ok=True)
        _settle(absolute.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` atomically."""
    write_with(path, lambda part: _put(part, content))


def write_text(path: Path, content: str) -> None:
    """Write ``content`` as UTF-8, atomically."""
    write_bytes(path, content.encode())


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    if path.read_bytes() != content:
        raise OSError(f"{path.name} does not read back as written")


def write_directory(path: Path, files: Mapping[str, bytes], *, force: bool = False) -> None:
    """Write a directory of files so that it appears whole or not at all."""
    refuse_existing(path, force=force)
    absolute = path.absolute()
    with _writing(path):
        absolute.parent.mkdir(parents=True, exist_ok=True)
        part = _beside(absolute)
        try:
            part.mkdir()
            for name, content in files.items():
                _put(part / name, content)
                _sync(part / name)
            _settle(part)
            old = _swap(part, absolute)
        finally:
            if part.exists():
                shutil.rmtree(part)
        _settle(absolute.parent)
    if old is not None:
        remove(old)


def _swap(part: Path, path: Path) -> Path | None:
    """Put ``part`` in place of ``path`` and return where the old one went; undo what fails."""
    if not path.exists() and not path.is_symlink():
        part.replace(path)
        return None
    old = _beside(path)
    path.replace(old)
    try:
        part.replace(path)
    except BaseException:
        old.replace(path)
        raise
    return old


def remove(path: Path) -> None:
    """Remove a file, a link or a whole directory."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ResourcesMissing(
            f"cannot remove {path}: {error.strerror or error}", fix="remove it by hand"
        ) from error


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold ``path``.lock while writing to ``path``; a second writer is told who holds it (exit 8).

    The kernel releases the lock when its holder dies, so a left-over file never blocks.
    """
    if os.name == "nt":  # no flock: writes stay atomic, only the early refusal is lost
        yield
        return
    absolute = path.absolute()
    name = absolute.with_name(f"{absolute.name}.lock")
    with _writing(path):
        name.parent.mkdir(parents=True, exist_ok=True)
        handle = _held(name, path)
    with handle:
        handle.truncate(0)
        handle.write(f"process {os.getpid()}")
        handle.flush()
        try:
            yield
        finally:
            name.unlink(missing_ok=True)  # while it is held: nobody else can hold this name


def _held(name: Path, path: Path) -> TextIO:
    """The locked file ``name``, opened again while its last holder removes it.

    A lock on a file that has lost its name would hold nobody off.
    """
    import fcntl

    while True:
        handle = name.open("a+")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle.fileno()), name.stat()):
                return handle
        except FileNotFoundError:
            pass
        except BlockingIOError as error:
            handle.seek(0)
            holder = handle.read().strip() or "another process"
            handle.close()
            raise Locked(
                f"{path} is being written by {holder}", fix="wait for it, or write elsewhere"
            ) from error
        handle.close()
