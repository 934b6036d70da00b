"""Random ``kill -9`` of fit, score, report and export: ``python tests/crash_case.py 1000``.

One warm process forks a child for every call and kills it after a random time; what then stands under
public names must be whole, old or new, and the next call must succeed, clean up and end in the bytes
of calls that nobody disturbed. A fit that left finished pieces goes on from them. Prints the count and
ends with 1 if anything was violated. A child that hangs because it was forked is called again.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

# set before anything is imported: a fork takes no threads along
os.environ |= {"NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

from fault_case import EPOCH, EXPORT, FIT, ID, REPORT, SCORE, public, write_clients

from bayesseg.cli import call
from bayesseg.inference.pieces import count
from bayesseg.posterior import verify

SOURCES = ("clients.csv", "tiny.toml")
PATIENCE = 120.0
NEEDS = {
    "fit": (),
    "score": ("run",),
    "report": ("run", "scores.csv", "scores.json"),
    "export": ("scores.csv", "scores.json"),
}
MAKES = {
    "fit": ("run", "run.card.md"),
    "score": ("scores.csv", "scores.json"),
    "report": ("page.html", "page.json"),
    "export": ("out",),
}
WORDS = {"score": SCORE, "report": REPORT, "export": EXPORT}


def child(words, log):
    """Call a verb in a process of its own; its id."""
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        code = call(words) or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(process):
    """Exit code of a child, negative where a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def undisturbed(words, log, done):
    """Exit code of a call that nobody kills."""
    while True:
        process, deadline = child(words(), log), time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found, status = os.waitpid(process, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        os.kill(process, signal.SIGKILL)
        ended(process)
        done["hung"] += 1


def words_of(verb):
    if verb == "fit":
        return (
            *FIT,
            *(("--resume", "run") if count(Path("run.unfinished")) else ("-o", "run")),
            "--force",
        )
    return WORDS[verb]


def stage(verb, whole, *, old):
    """A folder with what ``verb`` needs and, if ``old``, with what it will write over."""
    for path in Path().iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    kept = {*SOURCES, *NEEDS[verb], *(MAKES[verb] if old else ())}
    for name, content in whole.items():
        if name.split("/")[0] in kept:
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_bytes(content)


def soak(kills, seed, place):
    """Kill ``kills`` calls; what was done and what was violated."""
    rng = random.Random(seed)
    log, folder = place / "said", place / "work"
    folder.mkdir()
    os.chdir(folder)
    os.environ |= EPOCH
    write_clients(folder)
    took, done, wrong = {}, Counter(), []
    for _ in range(2):  # the first call warms up
        for verb in NEEDS:
            call(words_of(verb))
    for verb in NEEDS:
        began = time.perf_counter()
        assert ended(child(words_of(verb), log)) == 0, log.read_text()
        took[verb] = time.perf_counter() - began
    whole = public(folder)
    while done["kills"] < kills:
        verb = rng.choice(("fit", "fit", "score", "score", "report", "export", "export"))
        stage(verb, whole, old=rng.random() < 0.5)
        for _ in range(rng.randint(1, 4)):  # the next call may be killed too
            process = child(words_of(verb), log)
            time.sleep(rng.uniform(0, 1.1 * took[verb]))
            os.kill(process, signal.SIGKILL)
            code = ended(process)
            done["kills" if code == -signal.SIGKILL else "came too late"] += 1
            done[verb] += code == -signal.SIGKILL
            wrong += [f"{verb}: {one}" for one in violated(folder, whole, log)]
            done["resumed"] += verb == "fit" and count(folder / "run.unfinished") > 0
        began = time.perf_counter()
        code = undisturbed(lambda verb=verb: words_of(verb), log, done)
        took[verb] = 0.9 * took[verb] + 0.1 * (time.perf_counter() - began)
        wrong += [] if code == 0 else [f"{verb} afterwards ends {code}: {log.read_text()[-300:]}"]
        wrong += [f"{verb}: {one}" for one in violated(folder, whole, log)]
        left = {path.name for path in folder.iterdir()}
        missing = set(MAKES[verb]) - left
        strange = left - {name.split("/")[0] for name in whole}
        if missing or strange:
            wrong.append(f"{verb} afterwards lacks {missing} and has {strange}")
        if done["kills"] // 20 > done["told"]:
            done["told"] += 1
            print(f"{done['kills']} kills, {len(wrong)} violations", flush=True)
    return done, wrong


def violated(folder, whole, log):
    """What stands under a public name is whole, and nothing said names a customer."""
    found = {n: c for n, c in public(folder).items() if not n.startswith("run.unfinished/")}
    yield from (
        f"{name} is not whole" for name, content in found.items() if whole.get(name) != content
    )
    if (folder / "run").exists():
        verify(folder / "run")
    if ID.encode() in log.read_bytes():
        yield "an id was said"


if __name__ == "__main__":
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
        done, wrong = soak(int(sys.argv[1]), seed, Path(place))
        os.chdir("/")
    for one in wrong:
        print(one)
    each = ", ".join(f"{verb} {done[verb]}" for verb in NEEDS)
    print(
        f"{done['kills']} kills ({each}; {done['resumed']} times a fit went on from pieces; "
        f"{done['came too late']} came too late, {done['hung']} hung), "
        f"{len(wrong)} violations, {time.perf_counter() - began:.0f} s"
    )
    sys.exit(bool(wrong))
