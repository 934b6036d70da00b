"""The artefact: what is saved comes back bit for bit, and anything odd is noticed before use."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bayesseg._types import Draws
from bayesseg.errors import ArtefactBad, UsageError
from bayesseg.posterior import (
    KEY_FILE,
    KEYS,
    REQUIRE,
    SCHEMA_VERSION,
    Posterior,
    identity,
    load,
    save,
    thinned,
    to_datatree,
    verify,
)
from bayesseg.spec import load_spec

RUNS = Path(__file__).parent / "golden" / "runs"


def posterior(verdict: str = "passed") -> Posterior:
    rng = np.random.default_rng(5)
    shape = (4, 50)
    parts = {
        "purchase": Draws(
            {name: rng.gamma(3.0, size=shape) for name in ("r", "rate", "kappa")}
            | {"phi": rng.beta(2, 3, size=shape)},
            {"diverging": np.zeros(shape), "energy": rng.normal(size=shape)},
            {"engine": "nuts"},
        ),
        "spend": Draws({name: rng.gamma(5.0, size=shape) for name in ("p", "q", "scale")}, {}, {}),
    }
    manifest = {name: kinds[0]() for name, kinds in KEYS.items()} | {
        "schema_version": SCHEMA_VERSION,
        "verdict": verdict,
        "facts": {},
        "fingerprint": "f" * 64,
        "info": {part: dict(draws.info) for part, draws in parts.items()},
    }
    return Posterior(load_spec("bgnbd"), None, parts, manifest, {"bins": [1, 2, 3]})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return save(posterior(), tmp_path / "run")


def test_a_saved_posterior_comes_back_bit_for_bit(run: Path) -> None:
    before, after = posterior(), load(run)
    for part, draws in before.parts.items():
        for name, values in draws.values.items():
            assert np.array_equal(values, after.parts[part].values[name])
        for name, values in draws.stats.items():
            assert np.array_equal(values, after.parts[part].stats[name])
    assert (after.spec, after.summary) == (before.spec, before.summary)


def test_two_saves_are_the_same_bytes(run: Path, tmp_path: Path) -> None:
    again = save(posterior(), tmp_path / "again")
    for file in run.iterdir():
        assert file.read_bytes() == (again / file.name).read_bytes()


def test_a_failed_posterior_is_kept_under_an_untrusted_name(tmp_path: Path) -> None:
    assert save(posterior("failed"), tmp_path / "run") == tmp_path / "run.untrusted"
    with pytest.raises(ArtefactBad, match=r"run\.untrusted"):
        load(tmp_path / "run")


def test_an_existing_run_is_not_overwritten_without_force(run: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        save(posterior(), run)
    assert save(posterior(), run, force=True) == run


def test_force_does_not_delete_a_directory_that_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    with pytest.raises(UsageError, match="is not a run"):
        save(posterior(), tmp_path / "photos", force=True)
    assert (tmp_path / "photos" / "cat.jpg").exists()


def test_every_flipped_bit_is_noticed(run: Path) -> None:
    rng = np.random.default_rng(0)
    for file in sorted(run.iterdir()):
        original = file.read_bytes()
        for position in rng.integers(0, 8 * len(original), 25):
            damaged = bytearray(original)
            damaged[position // 8] ^= 1 << (position % 8)
            file.write_bytes(damaged)
            with pytest.raises(ArtefactBad):
                load(run)
        file.write_bytes(original)
    verify(run)


@pytest.mark.parametrize("size", [0, 1, 100])
def test_every_truncated_file_is_noticed(run: Path, size: int) -> None:
    for file in sorted(run.iterdir()):
        original = file.read_bytes()
        file.write_bytes(original[: min(size, len(original) - 1)])
        with pytest.raises(ArtefactBad):
            verify(run)
        file.write_bytes(original)


def test_a_missing_file_is_noticed(run: Path) -> None:
    (run / "summary.json").unlink()
    with pytest.raises(ArtefactBad, match="missing"):
        load(run)


def test_a_symlink_in_place_of_a_file_is_refused(run: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (run / "posterior.npz").rename(elsewhere)
    (run / "posterior.npz").symlink_to(elsewhere)
    with pytest.raises(ArtefactBad, match="regular file"):
        load(run)


def rewrite_manifest(run: Path, without: str = "", **changes: object) -> None:
    import hashlib

    manifest = json.loads((run / "manifest.json").read_bytes()) | changes
    manifest.pop(without, None)
    text = json.dumps(manifest).encode()
    (run / "manifest.json").write_bytes(text)
    files = [path for name in ("manifest.json", "manifest.hmac") if (path := run / name).exists()]
    digests = [(hashlib.sha256(path.read_bytes()).hexdigest(), path.name) for path in files]
    (run / "manifest.sha256").write_text("".join(f"{one}  {name}\n" for one, name in digests))


def test_a_newer_schema_says_to_upgrade(run: Path) -> None:
    rewrite_manifest(run, schema_version=SCHEMA_VERSION + 1, versions={"bayesseg": "9.1.0"})
    with pytest.raises(ArtefactBad, match=r"newer bayesseg .* needs bayesseg >= 9\.1\.0") as caught:
        load(run)
    assert caught.value.exit_code == 5


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "key"
    path.write_text("0123456789abcdef0123456789abcdef\n")
    monkeypatch.setenv(KEY_FILE, str(path))
    return path


def test_a_signature_is_the_hmac_of_the_manifest(key: Path, tmp_path: Path) -> None:
    import hashlib
    import hmac

    run = save(posterior(), tmp_path / "run")
    assert load(run, signed=True).summary == posterior().summary
    expected = hmac.new(
        key.read_bytes().strip(), (run / "manifest.json").read_bytes(), hashlib.sha256
    )
    assert (run / "manifest.hmac").read_text() == f"{expected.hexdigest()}\n"


def test_somebody_without_the_key_cannot_change_a_run(key: Path, tmp_path: Path) -> None:
    """Checksums can be made again by anybody, the signature by its key alone."""
    run = save(posterior(), tmp_path / "run")
    rewrite_manifest(run, seed=7)
    with pytest.raises(ArtefactBad, match="another key"):
        load(run)


def test_a_run_without_a_signature_is_refused_where_one_is_asked_for(
    run: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert verify(run)["verdict"] == "passed"
    with pytest.raises(ArtefactBad, match="not signed"):
        verify(run, signed=True)
    monkeypatch.setenv(REQUIRE, "1")
    with pytest.raises(ArtefactBad, match="not signed"):
        load(run)
    monkeypatch.delenv(KEY_FILE)
    with pytest.raises(UsageError, match=KEY_FILE):
        verify(run, signed=True)


def test_a_key_that_can_be_guessed_is_refused(key: Path, tmp_path: Path) -> None:
    key.write_text("secret\n")
    with pytest.raises(UsageError, match="has 6 bytes"):
        save(posterior(), tmp_path / "run")


@pytest.mark.parametrize("golden", sorted(RUNS.iterdir()), ids=lambda path: path.name)
def test_a_run_of_every_schema_is_read_as_one_of_today(golden: Path) -> None:
    stored = json.loads((golden / "manifest.json").read_bytes())
    found = load(golden)
    assert f"schema{stored['schema_version']}" == golden.name
    assert (found.manifest["schema_version"], set(found.manifest)) == (SCHEMA_VERSION, set(KEYS))
    assert found.manifest["facts"]["waivers"] == []
    with np.load(golden / "posterior.npz") as archive:
        for part, draws in found.parts.items():
            for name, values in draws.values.items():
                assert np.array_equal(archive[f"{part}.{name}"], values)


def test_there_is_a_run_of_every_schema() -> None:
    names = {f"schema{version}" for version in range(1, SCHEMA_VERSION + 1)}
    assert {path.name for path in RUNS.iterdir()} == names


def test_a_manifest_with_a_key_of_its_own_is_refused(run: Path) -> None:
    rewrite_manifest(run, command="rm")
    with pytest.raises(ArtefactBad, match="command"):
        load(run)


@pytest.mark.parametrize("key", ["info", "gates", "seed"])
def test_a_manifest_without_a_key_is_refused(run: Path, key: str) -> None:
    rewrite_manifest(run, without=key)
    with pytest.raises(ArtefactBad, match=key):
        load(run)


@pytest.mark.parametrize(
    "segments",
    [
        {"ids": ["S1"], "names": {}},
        {"ids": ["S1"], "names": ["loyal"]},
        {"ids": ["S1"], "names": {"S1": "a"}, "map": {"segments": {}, "merge": [["S1", "S7"]]}},
        {"ids": ["S1"], "names": {"S1": "a"}, "texts": ["b"]},
    ],
)
def test_segments_that_do_not_hold_together_are_refused(run: Path, segments: object) -> None:
    rewrite_manifest(run, segments=segments)
    with pytest.raises(ArtefactBad, match="cannot be read"):
        load(run)


def test_draws_that_are_not_finite_are_refused_unless_the_run_failed(tmp_path: Path) -> None:
    for verdict in ("passed", "failed"):
        one = posterior(verdict)
        one.parts["spend"].values["q"][0, 0] = np.nan
        path = save(one, tmp_path / verdict)
        if verdict == "failed":
            assert np.isnan(load(path).parts["spend"].values["q"][0, 0])
        else:
            with pytest.raises(ArtefactBad, match="not finite"):
                load(path)


def test_a_run_without_draws_of_a_parameter_is_refused(tmp_path: Path) -> None:
    one = posterior()
    spend = one.parts["spend"]
    short = replace(spend, values={n: v for n, v in spend.values.items() if n != "q"})
    path = save(replace(one, parts=one.parts | {"spend": short}), tmp_path / "run")
    with pytest.raises(ArtefactBad, match="no draws of spend q"):
        load(path)


def test_an_array_larger_than_its_file_is_refused_before_it_is_allocated(run: Path) -> None:
    import hashlib
    import io
    import zipfile

    from numpy.lib import format as npy

    header = io.BytesIO()
    npy.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (4, 10**11)}
    )
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("purchase.r.npy", header.getvalue())
    content = archive.getvalue()
    (run / "posterior.npz").write_bytes(content)
    files = json.loads((run / "manifest.json").read_bytes())["files"]
    files["posterior.npz"] = {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "arrays": {"purchase.r": ["<f8", [4, 10**11]]},
    }
    rewrite_manifest(run, files=files)
    with pytest.raises(ArtefactBad, match="not as declared"):
        load(run)


@pytest.mark.parametrize("odd", ["deflated", "longer", "flagged"])
def test_an_array_that_is_not_stored_as_it_is_is_refused_before_it_is_opened(
    run: Path, monkeypatch: pytest.MonkeyPatch, odd: str
) -> None:
    import hashlib
    import io
    import zipfile

    with zipfile.ZipFile(run / "posterior.npz") as stored:
        arrays = {name: stored.read(name) for name in stored.namelist()}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        for name, held in arrays.items():
            how = zipfile.ZIP_DEFLATED if odd == "deflated" else zipfile.ZIP_STORED
            zipped.writestr(name, held, how)
        one = zipped.infolist()[0]  # what the directory at the end says of it
        one.file_size += 10**9 if odd == "longer" else 0
        one.flag_bits |= 8 if odd == "flagged" else 0
    content = archive.getvalue()
    (run / "posterior.npz").write_bytes(content)
    files = json.loads((run / "manifest.json").read_bytes())["files"]
    files["posterior.npz"] |= {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    rewrite_manifest(run, files=files)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("opened"))
    with pytest.raises(ArtefactBad, match="not stored as they are"):
        verify(run)


def test_the_model_id_follows_the_draws_and_the_data_alone() -> None:
    one = posterior()
    same = replace(one, summary={}, manifest=one.manifest | {"created_at": "later"})
    other = replace(one, manifest=one.manifest | {"fingerprint": "0" * 64})
    assert identity(same) == identity(one)
    assert identity(other) != identity(one)


def test_thinned_draws_come_evenly_from_every_chain() -> None:
    values = np.arange(200.0).reshape(4, 50)
    kept = thinned(Draws({"r": values}, {}, {}), 20)["r"]
    assert list(kept) == list(np.arange(0, 200, 10))


def test_thinning_to_more_draws_than_there_are_keeps_all() -> None:
    values = np.arange(200.0).reshape(4, 50)
    assert thinned(Draws({"r": values}, {}, {}), 1000)["r"].shape == (200,)


def test_datatree_has_a_branch_a_part_with_textbook_parameters() -> None:
    tree = to_datatree(posterior())
    assert {"r", "alpha", "a", "b"} <= set(tree["purchase"]["posterior"].data_vars)
    assert tree["purchase"]["sample_stats"]["diverging"].shape == (4, 50)
