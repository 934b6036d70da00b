"""A file system that fails at its N-th call, and a tiny model to try it on.

What writes files reaches the system through ``bayesseg._files.os`` and ``.shutil``; ``Faults`` stands in
for both. A death is played to the end: from that call on every call fails, nothing is cleaned up, locks
go, and what was not synced is torn in half.
"""

import errno
import os
import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from bayesseg import _files
from bayesseg.cli import app

CALLS = {"open", "read", "write", "fsync", "ftruncate", "close", "replace", "unlink", "listdir"}
CALLS |= {"mkdir", "makedirs", "rmtree", "disk_usage", "renameat2"}
ONCE, ALWAYS = False, True
KINDS = (
    ("ENOSPC", ONCE),
    ("ENOSPC", ALWAYS),
    ("EIO", ONCE),
    ("EIO", ALWAYS),
    ("EINTR", ONCE),
    ("short", ONCE),
    ("lost", ONCE),
    ("death", ALWAYS),
)
"""``short`` writes half and says so, ``lost`` writes half and says all."""

MODEL = """\
schema      = 1
name        = "tiny"
description = "two groups of clients"
references  = ["nobody"]
time_unit   = "day"

[segments]
family     = "gmm"
engine     = "gibbs"
components = 2
covariance = "diag"
tails      = "normal"
missing    = "model"

[segments.priors]
weights    = { dist = "Dirichlet", concentration = 4.0 }
mean       = { dist = "Normal", mean = 0.0, sd = 1.0 }
covariance = { dist = "InverseWishart", extra_df = 2.0, scale = "auto" }

[[features]]
column = "age"

[[features]]
column    = "income"
transform = "log"

[inference]
chains = 4
draws  = 300
tune   = 100
"""
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}
ID = "client-"


def write_clients(folder: Path) -> None:
    """``clients.csv`` and ``tiny.toml``: sixty clients in two groups."""
    rng = np.random.default_rng(1)
    rows = [
        f"{ID}{i:03},{20 + 40 * (i % 2) + 3 * rng.normal():.2f},"
        f"{np.exp(8 + 3 * (i % 2) + 0.3 * rng.normal()):.2f}"
        for i in range(60)
    ]
    (folder / "clients.csv").write_text("customer_id,age,income\n" + "\n".join(rows) + "\n")
    (folder / "tiny.toml").write_text(MODEL)


FIT = ("fit", "clients.csv", "--model", "./tiny.toml")
SCORE = ("score", "run", "clients.csv", "-o", "scores.csv", "--force")
REPORT = ("report", "run", "--scores", "scores.csv", "-o", "page.html", "--force")
EXPORT = ("export", "scores.csv", "--to", "braze", "-o", "out", "--force")


def public(folder):
    """What has a name that somebody may open, and what is in it."""
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {
        n: p.read_bytes()
        for n, p in found.items()
        if not any(part.startswith(".") for part in n.split("/")) and not n.endswith(".lock")
    }


def call(*words):
    """A verb in this process: exit code and stderr."""
    done = CliRunner().invoke(app, list(words), env=EPOCH)
    return done.exit_code, done.stderr


class Died(BaseException):
    """The process would be gone."""


@dataclass
class Faults:
    """Counts the calls to the file system and spoils the ``at``-th, or all from there on."""

    kind: str
    always: bool
    at: int
    calls: int = 0
    opened: dict[int, Path] = field(default_factory=dict)
    unsynced: set[Path] = field(default_factory=set)

    def __call__(self, name, real, *given, **named):
        self.calls += 1
        due = self.calls == self.at or (self.always and self.calls > self.at)
        if due and self.kind == "death":
            raise Died
        if due and self.kind in ("short", "lost") and name == "write":
            descriptor, content = given
            half = real(descriptor, bytes(content)[: max(1, len(content) // 2)])
            return half if self.kind == "short" else len(content)
        result = None
        if not due or name == "close" or self.kind in ("short", "lost"):
            result = real(*given, **named)
            self._follow(name, given, result)
        if due and (number := getattr(errno, self.kind, 0)):
            raise OSError(number, os.strerror(number))
        return result

    def _follow(self, name, given, result):
        """What is open and what a power failure would tear."""
        if name == "open":
            self.opened[result] = Path(given[0])
        elif name == "close":
            self.opened.pop(given[0], None)
        elif name == "write":
            self.unsynced.add(self.opened[given[0]])
        elif name == "fsync":
            self.unsynced.discard(self.opened[given[0]])
        elif name == "replace" and Path(given[0]) in self.unsynced:
            self.unsynced.remove(Path(given[0]))
            self.unsynced.add(Path(given[1]))

    def bury(self):
        """What the kernel does after a death: locks go, and unsynced bytes are not there."""
        for descriptor in tuple(self.opened):
            os.close(descriptor)
        if self.kind == "death":
            for path in self.unsynced:
                if path.exists():
                    os.truncate(path, path.stat().st_size // 2)


class _Stand:
    """A module whose file system calls go through ``faults``."""

    def __init__(self, module, faults):
        self.module, self.faults = module, faults

    def __getattr__(self, name):
        real = getattr(self.module, name)
        return partial(self.faults, name, real) if name in CALLS else real


def under(patch, faults, work):
    """What ``work()`` returns or raises while ``faults`` stand in for the file system."""
    exchanged = _files._exchanged
    with patch.context() as replaced:
        replaced.setattr(_files, "os", _Stand(os, faults))
        replaced.setattr(_files, "shutil", _Stand(shutil, faults))
        replaced.setattr(_files, "_exchanged", partial(faults, "renameat2", exchanged))
        try:
            return work()
        except BaseException as error:
            return error
        finally:
            faults.bury()


@dataclass(frozen=True)
class Swept:
    """How many fault points were tried and what was violated at which."""

    points: int
    violations: tuple[str, ...]


def sweep(patch, prepare, work, violated, kinds=KINDS, every=1):
    """``work`` with the N-th call failing, N = 1, 1 + ``every``, ... until none fails.

    ``prepare()`` sets the stage each time; ``violated(outcome, kind)`` returns what is wrong.
    """
    points, violations = 0, []
    for kind, always in kinds:
        at = 1
        while True:
            prepare()
            faults = Faults(kind, always, at)
            outcome = under(patch, faults, work)
            if faults.calls < at:
                break
            points += 1
            violations += [f"{kind} at call {at}: {one}" for one in violated(outcome, kind)]
            at += every
    return Swept(points, tuple(violations))
