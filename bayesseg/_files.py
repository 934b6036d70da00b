"""The one way a file is written: beside its name, synced, re-read, renamed. L0."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bayesseg.errors import Locked, ResourcesMissing, UsageError


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")


def refuse_existing(path: Path, *, force: bool) -> None:
    """Refuse (exit 2) to write over something that is there, unless forced."""
    if not force and (path.exists() or path.is_symlink()):
        raise UsageError(f"{path} exists already", fix="choose another name or give --force")


def write_with(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then put it in place at once.

    A reader sees the old file or the new one, never a part of either.
    """
    path = path.absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = _beside(path)
        try:
            write(part)
            _sync(part)
            part.replace(path)
            _sync(path.parent)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ResourcesMissing(
            f"cannot write {path}: {error.strerror or error}",
            fix="check free space and permissions; nothing was changed",
        ) from error


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
    path = path.absolute()
    refuse_existing(path, force=force)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = _beside(path)
        try:
            part.mkdir()
            for name, content in files.items():
                _put(part / name, content)
                _sync(part / name)
            _sync(part)
            old = _beside(path)
            if path.exists():
                path.replace(old)
            part.replace(path)
            _sync(path.parent)
            if old.exists():
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        finally:
            if part.exists():
                shutil.rmtree(part)
    except OSError as error:
        raise ResourcesMissing(
            f"cannot write {path}: {error.strerror or error}",
            fix="check free space and permissions; nothing was changed",
        ) from error


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold ``path``.lock while writing to ``path``; a second writer is told who holds it (exit 8).

    The kernel releases the lock when its holder dies, so a left-over file never blocks.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no flock: writes stay atomic, only the early refusal is lost
        yield
        return
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.with_name(f"{path.name}.lock")
    with name.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            handle.seek(0)
            holder = handle.read().strip() or "another process"
            raise Locked(
                f"{path} is being written by {holder}", fix="wait for it, or write elsewhere"
            ) from error
        handle.truncate(0)
        handle.write(f"process {os.getpid()}")
        handle.flush()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                name.unlink()
