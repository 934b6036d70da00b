"""The one way a file is written: beside its name, synced, re-read, renamed. L0.

Everything here calls the system through ``os`` and ``shutil``: tests put a failing one in their place.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import re
import secrets
import shutil
import socket
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from bayesseg.errors import Locked, ResourcesMissing, UsageError

_BLOCK = 1 << 20
_BINARY = getattr(os, "O_BINARY", 0)  # Windows would turn line ends
_UNABLE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
_PART, _OLD = ".part", ".old"
"""How names end of what is being written, and of what was moved out of the way."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
"""Numbers of the errors of a full disk, or one that may not be filled further."""


def no_room(reason: str | None) -> ResourcesMissing:
    """What to say where something could not be written for want of room."""
    return ResourcesMissing(
        f"no room to write: {reason or 'the disk is full'}",
        fix="free space where the result and temporary files go (TMPDIR), or raise the limit",
    )


def shortage(error: BaseException) -> ResourcesMissing | None:
    """What to say of an error for want of memory or of room to write; None of any other."""
    if isinstance(error, MemoryError):
        return ResourcesMissing(
            "out of memory", fix="close other programs or give a smaller --chunk"
        )
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return no_room(error.strerror)
    return None


def blocks_of(path: Path) -> Iterator[bytes]:
    """A file, block by block."""
    descriptor = os.open(path, os.O_RDONLY | _BINARY)
    try:
        while block := os.read(descriptor, _BLOCK):
            yield block
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in blocks."""
    digest = hashlib.sha256()
    for block in blocks_of(path):
        digest.update(block)
    return digest.hexdigest()


def refuse_existing(path: Path, *, force: bool, file: bool = False) -> None:
    """Refuse (exit 2) to write over something that is there, unless forced.

    A ``file`` never takes the place of a folder.
    """
    if file and path.is_dir():
        raise UsageError(f"{path} is a folder", fix="give the name of a file")
    if not force and (path.exists() or path.is_symlink()):
        raise UsageError(f"{path} exists already", fix="choose another name or give --force")


def refuse_others(path: Path, ours: Iterable[str], what: str) -> None:
    """Refuse (exit 2), forced or not, to replace what is there and holds anything that is not ``ours``.

    A folder is replaced whole: whatever else somebody keeps in it would be lost.
    """
    if not path.exists():
        return
    others = {one.name for one in path.iterdir()} - {*ours} if path.is_dir() else {path.name}
    if others:
        raise UsageError(
            f"{path} is there and is not {what}, or holds more than one ({min(others)})",
            fix="choose another name",
        )


def require_space(path: Path, need: int) -> None:
    """Refuse (exit 9) to begin what the disk under ``path`` has no room for, ``need`` bytes."""
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    free = shutil.disk_usage(folder).free
    if free < need:
        raise ResourcesMissing(
            f"{path} needs {need / 1e6:,.1f} MB and {free / 1e6:,.1f} MB are free",
            fix="free some space, or write elsewhere",
        )


@contextmanager
def _told(path: Path) -> Iterator[None]:
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
            fix="check free space and permissions; what stands there is whole, the old or the new",
        ) from error


@contextmanager
def _writing(path: Path, need: int = 0) -> Iterator[Path]:
    """Hold the name ``path`` alone, with what dead writers left beside it cleared away."""
    absolute = path.absolute()
    with _told(path):
        os.makedirs(absolute.parent, exist_ok=True)
        require_space(path, need)
    with _held(absolute.with_name(f".{absolute.name}.lock"), path):
        with _told(path):
            _clear(absolute)
        yield absolute


def write_blocks(path: Path, blocks: Iterable[bytes], need: int = 0) -> None:
    """Write ``blocks`` one after the other, atomically.

    A reader sees the old file or the new one, never a part of either. ``need`` is the size in bytes,
    where it is known: room for it is looked for first.

    Raises:
        UsageError: a folder, or a file where a folder would have to be, has the name.
        Locked: somebody else is writing to it at this moment.
        ResourcesMissing: no space, no permission, or a disk that does not read back what was written.
    """
    refuse_existing(path, force=True, file=True)
    with _writing(path, need) as absolute, _told(path):
        part = _beside(absolute, _PART)
        try:
            _put(part, blocks)
            os.replace(part, absolute)
        finally:
            _unlink(part)
        _settle(absolute.parent)


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` atomically (see ``write_blocks``)."""
    write_blocks(path, [content], len(content))


def write_text(path: Path, content: str) -> None:
    """Write ``content`` as UTF-8, atomically (see ``write_blocks``)."""
    write_bytes(path, content.encode())


def write_directory(path: Path, files: Mapping[str, bytes], *, force: bool = False) -> None:
    """Write a directory of files so that it appears whole or not at all (errors as write_blocks).

    With ``force`` it takes the place of what is there in one step, where the system can swap two
    names (Linux, macOS); elsewhere a crash between two steps leaves the old one to the next writer,
    who puts it back.
    """
    refuse_existing(path, force=force)
    with _writing(path, sum(map(len, files.values()))) as absolute, _told(path):
        part = _beside(absolute, _PART)
        try:
            os.mkdir(part)
            for name, content in files.items():
                _put(part / name, [content])
            _settle(part)
            _swap(part, absolute)
        finally:
            _discard(part)
        _settle(absolute.parent)
        _clear(absolute)


def remove(path: Path) -> None:
    """Remove a file, a link or a whole directory."""
    try:
        _discard(path)
    except OSError as error:
        raise ResourcesMissing(
            f"cannot remove {path}: {error.strerror or error}", fix="remove it by hand"
        ) from error


def remove_folder(path: Path) -> None:
    """Remove a directory that its caller holds; renamed first, so that no half of it keeps its name."""
    absolute = path.absolute()
    part = _beside(absolute, _PART)
    try:
        if absolute.exists():
            os.replace(absolute, part)
        _discard(part)
        if absolute.parent.exists():
            _clear(absolute)
    except OSError as error:
        raise ResourcesMissing(
            f"cannot remove {path}: {error.strerror or error}", fix="remove it by hand"
        ) from error


@contextmanager
def workplace(path: Path, need: int = 0) -> Iterator[Path]:
    """A folder beside ``path`` for what is made on the way to it, ``need`` bytes or so.

    It is held alone and removed at the end; what one leaves that was killed, the next one removes.

    Raises:
        Locked: somebody else is on the way to ``path`` at this moment.
        ResourcesMissing: no space, or no permission.
    """
    absolute = path.absolute()
    with _writing(absolute.with_name(f".{absolute.name}.work"), need) as folder:
        with _told(folder):
            _discard(folder)
            os.mkdir(folder, 0o700)
        try:
            yield folder
        finally:
            with _told(folder):
                _discard(folder)


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold ``path``.lock while working on ``path``; a second one is told who holds it (exit 8).

    The kernel releases the lock when its holder dies, so a left-over file never blocks.
    """
    absolute = path.absolute()
    with _told(path):
        os.makedirs(absolute.parent, exist_ok=True)
    with _held(absolute.with_name(f"{absolute.name}.lock"), path):
        yield


def _beside(path: Path, end: str) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}{end}")


def _put(path: Path, blocks: Iterable[bytes]) -> None:
    """Fill a new file, make it last, and read it back."""
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o666)
    try:
        for block in blocks:
            digest.update(block)
            left = memoryview(block)
            while left:
                left = left[os.write(descriptor, left) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if sha256_of(path) != digest.hexdigest():
        raise OSError(errno.EIO, f"{path.name} does not read back as written")


def _settle(folder: Path) -> None:
    """Make renames last through a power failure, where the system can sync a folder."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNABLE:
            raise
    finally:
        os.close(descriptor)


def _swap(part: Path, path: Path) -> None:
    """Put ``part`` in place of ``path``; what was there is left beside it."""
    if not path.exists() and not path.is_symlink():
        os.replace(part, path)
    elif not _exchanged(part, path):
        old = _beside(path, _OLD)
        os.replace(path, old)
        try:
            os.replace(part, path)
        except BaseException:
            os.replace(old, path)
            raise


def _exchanged(one: Path, other: Path) -> bool:
    """Swap two names in one step; False where the system or its file system cannot."""
    names = os.fsencode(one), os.fsencode(other)
    try:
        system = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "linux":
            here = -100  # AT_FDCWD; 2 is RENAME_EXCHANGE, below RENAME_SWAP
            failed = system.renameat2(here, names[0], here, names[1], 2)
        elif sys.platform == "darwin":
            failed = system.renamex_np(*names, 2)
        else:
            return False
    except AttributeError:  # an old C library
        return False
    number = ctypes.get_errno()
    if failed and number not in _UNABLE:
        raise OSError(number, os.strerror(number))
    return not failed


def _clear(path: Path) -> None:
    """Remove what writers that died left beside ``path``; only its holder may.

    A directory moved out of the way goes back where its successor never came.
    """
    if os.name == "nt":  # nothing is held there
        return
    ours = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}({_PART}|{_OLD})")
    for name in sorted(filter(ours.fullmatch, os.listdir(path.parent))):
        left = path.with_name(name)
        if left.suffix == _OLD and not path.exists():
            os.replace(left, path)
        else:
            _discard(left)


def _discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        _unlink(path)


def _unlink(path: Path) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


@contextmanager
def _held(name: Path, path: Path) -> Iterator[None]:
    """Hold the lock file ``name`` for ``path``."""
    if os.name == "nt":  # no flock: writes stay atomic, only the early refusal is lost
        yield
        return
    with _told(path):
        descriptor = _locked(name, path)
    try:
        with _told(path):
            os.ftruncate(descriptor, 0)
            since = datetime.now(UTC).isoformat(timespec="seconds")
            holder = f"process {os.getpid()} on {socket.gethostname()} since {since}"
            os.write(descriptor, holder.encode())
        yield
    finally:
        with suppress(OSError):  # a lock file that stays holds nobody off
            os.unlink(name)  # while it is held: nobody else can hold this name
        with _told(path):
            os.close(descriptor)


def _locked(name: Path, path: Path) -> int:
    """The locked file ``name``, opened again while its last holder removes it.

    A lock on a file that has lost its name would hold nobody off.
    """
    import fcntl

    while True:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), os.stat(name)):
                return descriptor
        except FileNotFoundError:
            pass
        except BlockingIOError as error:
            holder = os.read(descriptor, 1000).decode(errors="replace") or "another process"
            os.close(descriptor)
            raise Locked(
                f"{path} is being written by {holder}", fix="wait for it, or write elsewhere"
            ) from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
