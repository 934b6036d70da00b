"""Files and directories appear whole or not at all, and one writer at a time."""

import multiprocessing
import os

import pytest

from bayesseg import _files
from bayesseg._files import (
    lock,
    require_space,
    write_blocks,
    write_bytes,
    write_directory,
    write_text,
)
from bayesseg.errors import Locked, ResourcesMissing, UsageError

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX locks")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def failing(error):
    yield b"half of"
    raise error


def test_a_writer_that_fails_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "scores.csv"
    write_text(path, "old")
    with pytest.raises(ResourcesMissing, match="No space left"):
        write_blocks(path, failing(OSError(28, "No space left on device")))
    assert contents(tmp_path) == {"scores.csv": b"old"}


def test_a_writer_that_is_interrupted_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "scores.csv"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt):
        write_blocks(path, failing(KeyboardInterrupt()))
    assert contents(tmp_path) == {"scores.csv": b"old"}


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "deep" / "scores.csv"
    write_bytes(path, b"a long first content")
    write_bytes(path, b"short")
    assert contents(path.parent) == {"scores.csv": b"short"}


def test_a_directory_where_the_file_should_go_is_a_wrong_name(tmp_path):
    (tmp_path / "scores.csv").mkdir()
    with pytest.raises(UsageError, match=r"scores\.csv is a folder"):
        write_text(tmp_path / "scores.csv", "x")
    assert names(tmp_path) == ["scores.csv"]


def test_a_file_where_a_folder_should_be_is_a_wrong_name(tmp_path):
    (tmp_path / "orders.csv").write_text("x")
    with pytest.raises(UsageError, match="choose another name"):
        write_text(tmp_path / "orders.csv" / "scores.csv", "x")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs permissions that bind")
def test_a_folder_without_write_permission_is_said_to_be_one(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ResourcesMissing, match="Permission denied"):
            write_text(tmp_path / "x", "x")
    finally:
        tmp_path.chmod(0o700)


OLD, NEW = {"a": b"old", "b": b"old"}, {"a": b"new"}


def test_a_directory_is_replaced_whole_and_only_by_force(tmp_path):
    path = tmp_path / "run"
    write_directory(path, OLD)
    with pytest.raises(UsageError, match="--force"):
        write_directory(path, NEW)
    assert contents(path) == OLD
    write_directory(path, NEW, force=True)
    assert contents(path) == NEW
    assert names(tmp_path) == ["run"]


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), KeyboardInterrupt()])
def test_where_names_cannot_be_swapped_a_failed_replacement_is_put_back(
    tmp_path, monkeypatch, error
):
    """The second rename fails: the old directory was moved away and must come back."""
    path = tmp_path / "run"
    write_directory(path, OLD)
    moves = []
    replace = os.replace

    def second_fails(source, target):
        moves.append(source)
        if len(moves) == 2:
            raise error
        return replace(source, target)

    monkeypatch.setattr(_files, "_exchanged", lambda *_: False)
    monkeypatch.setattr(os, "replace", second_fails)
    expected = ResourcesMissing if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_directory(path, NEW, force=True)
    assert len(moves) == 3
    assert contents(path) == OLD
    assert names(tmp_path) == ["run"]


@posix
def test_what_dead_writers_left_goes_and_what_is_missing_comes_back(tmp_path):
    """Killed between two renames, a run is put back by whoever writes there next."""
    (tmp_path / ".run.0123abcd.part").mkdir()
    (tmp_path / ".run.0123abcd.part" / "a").write_bytes(b"half")
    (tmp_path / ".run.b.0123abcd.part").write_bytes(b"a live writer's, of another name")
    write_directory(tmp_path / ".run.89abcdef.old", OLD)
    with pytest.raises(KeyboardInterrupt):
        write_blocks(tmp_path / "run", failing(KeyboardInterrupt()))
    assert names(tmp_path) == [".run.b.0123abcd.part", "run"]
    assert contents(tmp_path / "run") == OLD


def test_without_room_nothing_is_begun(tmp_path):
    with pytest.raises(ResourcesMissing, match="MB are free") as caught:
        require_space(tmp_path / "not" / "there" / "run", 10**18)
    assert caught.value.exit_code == 9


def test_a_link_is_replaced_not_followed(tmp_path):
    (tmp_path / "other").mkdir()
    path = tmp_path / "run"
    path.symlink_to(tmp_path / "other")
    write_directory(path, NEW, force=True)
    assert not path.is_symlink()
    assert contents(path) == NEW
    assert contents(tmp_path / "other") == {}


@posix
def test_a_second_writer_is_told_who_writes_and_the_name_is_free_afterwards(tmp_path):
    path = tmp_path / "run"
    with lock(path):
        with pytest.raises(Locked, match=f"process {os.getpid()} on ") as caught, lock(path):
            pass
        assert caught.value.exit_code == 8
    assert names(tmp_path) == []
    with lock(path):
        assert names(tmp_path) == ["run.lock"]


@posix
def test_the_lock_of_a_dead_writer_does_not_block(tmp_path):
    (tmp_path / "run.lock").write_text("process 4194304")
    with lock(tmp_path / "run"):
        assert (tmp_path / "run.lock").read_text().startswith(f"process {os.getpid()} on ")


@posix
def test_a_writer_that_waits_at_a_removed_lock_does_not_hold_it(tmp_path, monkeypatch):
    """Opened before its holder removed it, locked after: such a lock holds nobody off."""
    import fcntl

    name, flock = tmp_path / "run.lock", fcntl.flock
    opened = []

    def removed_meanwhile(handle, how):
        opened.append(os.fstat(handle).st_ino)
        if len(opened) == 1:
            name.rename(tmp_path / "gone")
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", removed_meanwhile)
    with lock(tmp_path / "run"):
        assert name.stat().st_ino == opened[-1] != opened[0]


def _count(folder, rounds):
    done = 0
    while done < rounds:
        try:
            with lock(folder / "run"):
                path = folder / "inside"
                path.touch(exist_ok=False)
                path.unlink()
                done += 1
        except Locked:
            continue


@posix
def test_two_writers_are_never_inside_together(tmp_path):
    start = multiprocessing.get_context("spawn")
    writers = [start.Process(target=_count, args=(tmp_path, 500)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    assert names(tmp_path) == []
