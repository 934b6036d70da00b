"""Whatever call to the file system fails, and wherever a process dies: old or new, never a part.

The random deaths of real processes are in ``crash_case.py``.
"""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from fault_case import (
    EXPORT,
    FIT,
    ID,
    KINDS,
    REPORT,
    SCORE,
    Died,
    Faults,
    call,
    public,
    sweep,
    under,
    write_clients,
)

from bayesseg import _files
from bayesseg._files import write_bytes, write_directory
from bayesseg.errors import ArtefactBad, BayessegError
from bayesseg.inference import pieces
from bayesseg.posterior import load, verify

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX locks and renames")
FLIPS, DEEP_FLIPS = 200, 2500


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def litter(folder):
    """What was left beside those names, whole temporary directories as one."""
    return {n.split("/")[0] for n in contents(folder) if n not in public(folder)}


def emptied(folder):
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


OLD = {"a": b"old" * 50, "b": b"old"}
NEW = {"a": b"new" * 70, "c": b"new"}


@pytest.mark.parametrize("force", [False, True])
def test_a_directory_is_old_or_new_wherever_writing_it_fails(tmp_path, monkeypatch, force):
    path = tmp_path / "run"
    before = {f"run/{n}": c for n, c in OLD.items()} if force else {}
    after = {f"run/{n}": c for n, c in NEW.items()}

    def prepare():
        emptied(tmp_path)
        if force:
            write_directory(path, OLD)

    def violated(outcome, kind):
        found = public(tmp_path)
        if found not in (before, after):
            yield f"neither old nor new: {sorted(found)}"
        if outcome is None and found != after:
            yield "said to be done and is not"
        if not isinstance(outcome, (BayessegError, Died, type(None))):
            yield f"raised {outcome!r}"
        if len(litter(tmp_path)) > 2:
            yield f"litter {litter(tmp_path)}"
        write_directory(path, NEW, force=True)
        if contents(tmp_path) != after:
            yield "the next writer does not clean up"

    swept = sweep(monkeypatch, prepare, lambda: write_directory(path, NEW, force=force), violated)
    assert swept.violations == ()
    assert swept.points > 150


def test_a_file_is_old_or_new_wherever_writing_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "scores.csv"

    def prepare():
        emptied(tmp_path)
        write_bytes(path, b"old")

    def violated(outcome, kind):
        found = public(tmp_path).get("scores.csv")
        if found not in (b"old", b"new and longer"):
            yield f"neither old nor new: {found!r}"
        if outcome is None and found == b"old":
            yield "said to be done and is not"
        write_bytes(path, b"new and longer")
        if contents(tmp_path) != {"scores.csv": b"new and longer"}:
            yield "the next writer does not clean up"

    work = lambda: write_bytes(path, b"new and longer")  # noqa: E731
    swept = sweep(monkeypatch, prepare, work, violated)
    assert swept.violations == ()
    assert swept.points > 80


@pytest.mark.parametrize("defect", ["no fsync", "in place", "no reading back"])
def test_the_sweep_sees_a_writer_that_is_not_careful(tmp_path, monkeypatch, defect):
    path = tmp_path / "scores.csv"
    put = _files._put

    def careless(part, blocks):
        content = b"".join(blocks)
        descriptor = _files.os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        _files.os.write(descriptor, content)
        if defect != "no fsync":
            _files.os.fsync(descriptor)
        _files.os.close(descriptor)

    def in_place(path, content):
        _files._unlink(path)
        put(path, [content])

    monkeypatch.setattr(_files, "_put", careless)
    write = in_place if defect == "in place" else write_bytes

    def prepare():
        emptied(tmp_path)
        write_bytes(path, b"old")

    def violated(outcome, kind):
        if public(tmp_path).get("scores.csv") not in (b"old", b"new and longer"):
            yield "torn"

    work = lambda: write(path, b"new and longer")  # noqa: E731
    assert sweep(monkeypatch, prepare, work, violated).violations


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder with a run, its scores and its page, and what is in it."""
    folder = tmp_path_factory.mktemp("done")
    write_clients(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in ((*FIT, "-o", "run"), SCORE, REPORT, EXPORT):
            code, said = call(*words)
            assert code == 0, said
    return folder, public(folder)


def swept_verb(done, tmp_path, monkeypatch, words, keep, every):
    """Sweep a verb; what it writes is, file by file, as before or as it should be."""
    _, whole = done
    started = {n: c for n, c in whole.items() if n.split("/")[0] in keep}
    monkeypatch.chdir(tmp_path)

    def prepare():
        emptied(tmp_path)
        for name, content in started.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(content)

    def violated(outcome, kind):
        found = public(tmp_path)
        made = {n: c for n, c in found.items() if not n.startswith("run.unfinished/")}
        if wrong := {n for n, c in made.items() if whole.get(n) != c}:
            yield f"neither absent nor whole: {wrong}"
        if (tmp_path / "run").exists() and "run" not in keep:
            verify(tmp_path / "run")
        code, said = outcome if isinstance(outcome, tuple) else (None, "")
        if code == 0 and made != needed:
            yield f"exit 0 without {set(needed) - set(made)}"
        if code is None and not isinstance(outcome, Died):
            yield f"raised {outcome!r}"
        if ID in said or "Traceback" in said:
            yield f"said {said!r}"
        stopped = words[0] == "fit" and pieces.count(tmp_path / "run.unfinished")
        code, said = call(*((*FIT, "--resume", "run", "--force") if stopped else words))
        if code or contents(tmp_path) != needed:
            yield f"not whole the next time ({code}): {said[-300:]} {set(contents(tmp_path))}"

    prepare()
    code, said = call(*words)
    assert code == 0, said
    needed = public(tmp_path)
    assert {n: c for n, c in needed.items() if whole.get(n) != c} == {}
    swept = sweep(monkeypatch, prepare, lambda: call(*words), violated, KINDS, every)
    print(f"{words[0]}: {swept.points} fault points, {len(swept.violations)} violations")
    assert swept.violations == ()
    return swept.points


SOURCES = {"clients.csv", "tiny.toml"}
VERBS = {
    "fit": ((*FIT, "-o", "run", "--force"), SOURCES),
    "score": (SCORE, SOURCES | {"run"}),
    "report": (REPORT, SOURCES | {"run", "scores.csv", "scores.json"}),
    "export": (EXPORT, {"scores.csv", "scores.json"}),
}


@pytest.mark.parametrize(("verb", "every"), [("fit", 331), ("score", 101), ("export", 101)])
def test_a_verb_whose_files_fail_leaves_nothing_half_done(done, tmp_path, monkeypatch, verb, every):
    assert swept_verb(done, tmp_path, monkeypatch, *VERBS[verb], every=every) >= 5


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_leaves_nothing_half_done_at_any_call(done, tmp_path, monkeypatch, verb):
    assert swept_verb(done, tmp_path, monkeypatch, *VERBS[verb], every=1) > 50


def flipped(run, count):
    """Flip single bits of every file of ``run``, at least ``count`` in all; those nobody noticed."""
    rng, files = np.random.default_rng(count), sorted(path for path in run.iterdir())
    missed, tried = [], 0
    for file in files:
        original = file.read_bytes()
        most = min(8 * len(original), -(-count // len(files)))
        for bit in rng.choice(8 * len(original), most, replace=False):
            damaged = bytearray(original)
            damaged[bit // 8] ^= 1 << (bit % 8)
            file.write_bytes(damaged)
            tried += 1
            try:
                load(run)
                missed.append((file.name, int(bit)))
            except ArtefactBad:
                pass
        file.write_bytes(original)
    load(run)
    return tried, missed


@pytest.mark.parametrize(
    "count", [FLIPS, pytest.param(DEEP_FLIPS, marks=pytest.mark.slow)], ids=["some", "many"]
)
def test_every_flipped_bit_of_every_file_is_noticed(done, tmp_path, monkeypatch, count):
    key = tmp_path / "key"
    key.write_bytes(b"0123456789abcdef")
    monkeypatch.setenv("BAYESSEG_HMAC_KEY_FILE", str(key))
    write_clients(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert call(*FIT, "-o", "run")[0] == 0
    monkeypatch.delenv("BAYESSEG_HMAC_KEY_FILE")
    run = tmp_path / "run"
    assert {"manifest.json", "manifest.sha256", "manifest.hmac"} < {p.name for p in run.iterdir()}
    tried, missed = flipped(run, count)
    print(f"{tried} flipped bits in {len(list(run.iterdir()))} files, {len(missed)} unnoticed")
    assert tried > 0.9 * count
    assert missed == []


def test_a_damaged_run_is_not_scored(done, tmp_path, monkeypatch):
    """The same through the command: exit 5, and no score is written."""
    for name in sorted(path.name for path in (done[0] / "run").iterdir()):
        folder = tmp_path / name
        shutil.copytree(done[0], folder)
        (folder / "scores.csv").unlink()
        damaged = bytearray((folder / "run" / name).read_bytes())
        damaged[len(damaged) // 2] ^= 4
        (folder / "run" / name).write_bytes(damaged)
        monkeypatch.chdir(folder)
        assert call(*SCORE)[0] == 5
        assert not (folder / "scores.csv").exists()


def test_a_run_holds_no_ids_rows_or_paths(done):
    folder, whole = done
    text = b"".join(c for n, c in whole.items() if n.startswith("run/"))
    rows = [line.split(b",")[1:] for line in whole["clients.csv"].split()[1:]]
    assert [one for row in rows for one in row if one in text] == []
    assert [
        w for w in (ID, str(folder), str(Path.home()) + "/", "clients.csv") if w.encode() in text
    ] == []


def test_a_fit_that_dies_goes_on_from_its_pieces_to_the_same_bits(done, tmp_path, monkeypatch):
    """Stopped after some stretches, it takes them as they are and samples the others only."""
    from bayesseg.inference import sweep as gibbs_sweep

    _, whole = done
    write_clients(tmp_path)
    monkeypatch.chdir(tmp_path)
    made = []
    stretch = gibbs_sweep._stretch

    def counted(*given):
        made.append(given[2])
        if len(made) == 2 and not (tmp_path / "again").exists():
            raise KeyboardInterrupt
        return stretch(*given)

    monkeypatch.setattr(gibbs_sweep, "_stretch", counted)
    code, said = call(*FIT, "-o", "run")
    assert code == 130
    assert "--resume run" in said
    assert pieces.count(tmp_path / "run.unfinished") == 1
    code, said = call(*FIT, "-o", "run")
    assert (code, "--resume run" in said) == (2, True)
    code, said = call(*FIT, "--seed", "9", "--resume", "run")
    assert (code, "begun with another seed" in said) == (2, True)
    (tmp_path / "again").touch()
    first = made[0]
    made.clear()
    assert call(*FIT, "--resume", "run")[0] == 0
    assert first not in made
    assert {n: c for n, c in public(tmp_path).items() if n.startswith("run")} == {
        n: c for n, c in whole.items() if n.startswith("run")
    }


def test_a_run_that_dies_goes_on_with_resume_to_the_same_bits(done, tmp_path, monkeypatch):
    from bayesseg.inference import sweep as gibbs_sweep

    _, whole = done
    write_clients(tmp_path)
    monkeypatch.chdir(tmp_path)
    run = ("run", *FIT[1:], "-o", "out")
    stretch, made = gibbs_sweep._stretch, []

    def stopped(*given):
        made.append(given[2])
        if len(made) == 2:
            raise KeyboardInterrupt
        return stretch(*given)

    monkeypatch.setattr(gibbs_sweep, "_stretch", stopped)
    code, said = call(*run)
    assert (code, "same command with --resume" in said) == (130, True), said
    code, said = call(*run)
    assert (code, "--resume" in said) == (2, True)
    assert call(*run, "--resume")[0] == 0
    assert made.count(made[0]) == 1
    found = public(tmp_path / "out")
    of_run = [name for name in whole if name.startswith("run/")]
    assert {n: found[n] for n in of_run} == {n: whole[n] for n in of_run}


def test_a_damaged_piece_is_no_piece(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3)}
    pieces.begin(tmp_path, {"seed": 1})
    pieces.keep(tmp_path, "one", arrays)
    assert np.array_equal(pieces.recalled(tmp_path, "one")["a"], arrays["a"])
    path = tmp_path / "one.piece"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert pieces.recalled(tmp_path, "one") is None


def test_a_piece_of_another_plan_is_no_piece(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, seed in ((one, 1), (other, 2)):
        pieces.begin(folder, {"seed": seed})
    pieces.keep(one, "a", {"a": np.arange(3.0)})
    shutil.copy(one / "a.piece", other)
    assert pieces.recalled(one, "a") is not None
    assert pieces.recalled(other, "a") is None


@pytest.mark.parametrize(
    ("plan", "code", "words"),
    [
        (None, 2, "no plan.json says of what fit"),
        ("{", 5, "start anew"),
        ("[]", 5, "start anew"),
        (b"\xff".decode("latin-1"), 5, "start anew"),
    ],
)
def test_pieces_whose_plan_is_lost_or_damaged_are_not_gone_on_from(
    tmp_path, monkeypatch, plan, code, words
):
    write_clients(tmp_path)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run.unfinished"
    pieces.begin(folder, {"seed": 0})
    pieces.keep(folder, "a", {"a": np.arange(3.0)})
    (folder / "plan.json").unlink()
    if plan is not None:
        (folder / "plan.json").write_text(plan, encoding="latin-1")
    found, said = call(*FIT, "--resume", "run")
    assert (found, words in said, "Traceback" in said) == (code, True, False)
    with pytest.raises(BayessegError):
        pieces.begin(folder, {"seed": 0})


@pytest.mark.parametrize("words", [("-o", "run", "--force"), ("--resume", "run")])
def test_a_folder_of_somebody_else_is_never_removed(tmp_path, monkeypatch, words):
    write_clients(tmp_path)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "run.unfinished"
    folder.mkdir()
    for name in ("plan.json", "a.piece", "thesis.txt"):
        (folder / name).write_text("mine")
    before = contents(folder)
    code, said = call(*FIT, *words)
    assert (code, "holds more than the pieces" in said) == (2, True)
    assert contents(folder) == before


def test_a_folder_that_cannot_be_removed_whole_has_lost_its_name(tmp_path, monkeypatch):
    folder = tmp_path / "run.unfinished"
    pieces.begin(folder, {"seed": 1})
    pieces.keep(folder, "a", {"a": np.arange(3.0)})

    def stopped(path):
        (path / "plan.json").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(_files.shutil, "rmtree", stopped)
    with pytest.raises(KeyboardInterrupt):
        pieces.discard(folder)
    monkeypatch.undo()
    assert not folder.exists()
    pieces.discard(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_fit_stopped_after_its_run_was_written_is_said_to_be_complete(
    done, tmp_path, monkeypatch
):
    from bayesseg.inference import sweep as gibbs_sweep

    _, whole = done
    write_clients(tmp_path)
    monkeypatch.chdir(tmp_path)

    with monkeypatch.context() as patch:
        patch.setattr(pieces, "remove_folder", lambda folder: None)
        assert call(*FIT, "-o", "run")[0] == 0
    (tmp_path / "run.card.md").unlink()
    monkeypatch.setattr(gibbs_sweep, "_stretch", lambda *_: pytest.fail("sampled"))
    code, said = call(*FIT, "--resume", "run")
    assert (code, "run is complete" in said) == (0, True)
    assert {n: c for n, c in contents(tmp_path).items() if n.startswith("run")} == {
        n: c for n, c in whole.items() if n.startswith("run")
    }


def test_a_full_disk_is_said_before_a_fit_begins(tmp_path, monkeypatch):
    write_clients(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_files.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
    code, said = call(*FIT, "-o", "run")
    assert (code, "0.0 MB are free" in said) == (9, True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clients.csv", "tiny.toml"]


def test_faults_reach_every_call(tmp_path, monkeypatch):
    """The stand-in counts what a write does, or the sweeps would prove nothing."""
    faults = Faults("death", True, 10**9)
    assert under(monkeypatch, faults, lambda: write_bytes(tmp_path / "x", b"x")) is None
    assert faults.calls > 12
