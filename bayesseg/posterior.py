"""The artefact: a directory with a posterior in it, no customers and no code. L6.

``manifest.json`` (facts, gates, sizes and hashes), ``spec.toml`` (the model file verbatim),
``features.json`` (learned feature state), ``posterior.npz`` (draws), ``summary.json`` (aggregates
the report needs), ``manifest.sha256`` and, where a key is set, ``manifest.hmac``. Loading believes
nothing: sizes, hashes, archive members, array headers and shapes are checked before anything is
allocated, and what was checked is what is used. A run of an older schema is migrated as it is read.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import math
import os
import stat
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from bayesseg._files import blocks_of, refuse_existing, refuse_others, write_directory
from bayesseg._types import Draws
from bayesseg.errors import ArtefactBad, BayessegError, UsageError
from bayesseg.families import FAMILIES
from bayesseg.features import FeatureState, from_json, to_json
from bayesseg.segment_map import shown
from bayesseg.spec import ModelSpec, parse_spec

SCHEMA_VERSION = 2
"""2: gates have verdicts and may be waived."""
KEY_FILE = "BAYESSEG_HMAC_KEY_FILE"
"""The environment variable that names the file of the key that signs runs."""
REQUIRE = "BAYESSEG_REQUIRE_SIGNATURE"
"""Set (and not 0), every run that is read has to bear that key's signature, whatever the verb."""
FILES = ("spec.toml", "features.json", "posterior.npz", "summary.json")
_NONE = type(None)
KEYS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("created_at", "fingerprint", "model_id", "name"), (str,)),
    **dict.fromkeys(("state", "time_unit", "verdict"), (str,)),
    **dict.fromkeys(("accounting", "customers", "facts", "files", "info", "population"), (dict,)),
    **dict.fromkeys(("scales", "seconds", "verdicts", "versions"), (dict,)),
    **dict.fromkeys(("as_of", "currency"), (_NONE, str)),
    **dict.fromkeys(("segments", "trained_on"), (_NONE, dict)),
    "gates": (list,),
    "paid_share": (float, int),
    "schema_version": (int,),
    "seed": (int,),
}
"""The keys of a manifest and what each may hold; a manifest with others is not ours."""
_CAP, _MANIFEST_CAP, _SMALL = 256 * 1024**2, 1024**2, 1024
_MANIFEST, _SUMS, _SIGNATURE = "manifest.json", "manifest.sha256", "manifest.hmac"
_SHORTEST_KEY = 16
_STATS = "stats"
_DTYPES = ("<f8", "<i8")


@dataclass(frozen=True, slots=True)
class Posterior:
    """A model with draws.

    Attributes:
        spec: the model file, checked.
        features: learned feature state, where the model has segments.
        parts: draws of the free parameters, each (chain, draw, *dims), by part.
        manifest: facts about the fit: gates, verdicts, scales, versions, accounting.
        summary: aggregates of the training data for the report; no customers.
    """

    spec: ModelSpec
    features: FeatureState | None
    parts: Mapping[str, Draws]
    manifest: Mapping[str, Any]
    summary: Mapping[str, Any]


def now() -> datetime:
    """The time of writing, to the second, in UTC; ``SOURCE_DATE_EPOCH`` fixes it."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return moment.replace(microsecond=0)


def trusted(judged: Mapping[str, Any], part: str) -> bool:
    """Whether a part was computed well enough to leave; a part or a word that is not known was not.

    A point estimate leaves, ``not-assessed``: it claims no uncertainty, and its verdict goes with it.
    ``judged`` is a manifest, or the document of a score file.
    """
    return (judged["verdicts"].get(part) or {}).get("computation") in _TRUSTED


_TRUSTED = ("passed", "caution", "not-assessed")


def available(draws: Draws) -> int:
    """Draws of all chains together."""
    chains, each = next(iter(draws.values.values())).shape[:2]
    return int(chains * each)


def thinned(draws: Draws, count: int) -> dict[str, np.ndarray]:
    """At most ``count`` draws, evenly spaced over all chains: name -> (S, *dims)."""
    total = available(draws)
    rows = (np.arange(min(count, total)) * total) // min(count, total)
    return {
        name: values.reshape(total, *values.shape[2:])[rows]
        for name, values in draws.values.items()
    }


def textbook(family: str, free: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as papers print them, from the free ones."""
    return dict(FAMILIES[family].derive(free))


def save(posterior: Posterior, path: str | Path, *, force: bool = False) -> Path:
    """Write the artefact at ``path``, whole or not at all, and return where it is.

    A posterior whose gates failed is kept for inspection as ``path.untrusted``.
    """
    path = Path(path)
    if posterior.manifest["verdict"] == "failed":
        path = path.with_name(f"{path.name}.untrusted")
    reserve(path, force=force)
    files = _contents(posterior)
    manifest = dict(posterior.manifest)
    manifest["files"] = {
        name: {"sha256": _sha256(content), "bytes": len(content)} for name, content in files.items()
    }
    manifest["files"]["posterior.npz"]["arrays"] = {
        name: [array.dtype.str, list(array.shape)] for name, array in _arrays(posterior).items()
    }
    files[_MANIFEST] = _json(manifest)
    key = _key()
    if key is not None:
        files[_SIGNATURE] = _signature(files[_MANIFEST], key)
    files[_SUMS] = _sums(files)
    write_directory(path, files, force=force)
    return path


def reserve(path: Path, *, force: bool) -> None:
    """Refuse (exit 2) to write over a run unless forced, over anything else in any case."""
    refuse_existing(path, force=force)
    refuse_others(path, (*FILES, _MANIFEST, _SUMS, _SIGNATURE), "a run")


def _sums(files: Mapping[str, bytes]) -> bytes:
    """What covers the manifest and its signature: lines as sha256sum writes them."""
    own = [name for name in (_MANIFEST, _SIGNATURE) if name in files]
    return "".join(f"{_sha256(files[name])}  {name}\n" for name in own).encode()


def _key() -> bytes | None:
    """The key that signs runs; None where none is set."""
    name = os.environ.get(KEY_FILE)
    if not name:
        return None
    try:
        key = b"".join(blocks_of(Path(name))).strip()
    except OSError as error:
        raise UsageError(
            f"the key file that {KEY_FILE} names cannot be read",
            fix="check its path and permissions",
        ) from error
    if len(key) < _SHORTEST_KEY:
        raise UsageError(
            f"the key that {KEY_FILE} names has {len(key)} bytes",
            fix=f"give at least {_SHORTEST_KEY} random bytes, for example of openssl rand -hex 32",
        )
    return key


def _signature(manifest: bytes, key: bytes) -> bytes:
    return f"{hmac.new(key, manifest, hashlib.sha256).hexdigest()}\n".encode()


def identity(posterior: Posterior) -> str:
    """The model id: a hash of the model file, the features, the draws and the data's fingerprint."""
    files = _contents(posterior)
    digest = hashlib.sha256()
    for name in FILES[:3]:
        digest.update(files[name])
    digest.update(str(posterior.manifest["fingerprint"]).encode())
    return digest.hexdigest()


def _contents(posterior: Posterior) -> dict[str, bytes]:
    buffer = io.BytesIO()
    np.savez(buffer, **_arrays(posterior))  # type: ignore[arg-type]
    features = "null\n" if posterior.features is None else to_json(posterior.features)
    return {
        "spec.toml": posterior.spec.text.encode(),
        "features.json": features.encode(),
        "posterior.npz": buffer.getvalue(),
        "summary.json": _json(posterior.summary),
    }


def _arrays(posterior: Posterior) -> dict[str, np.ndarray]:
    arrays = {}
    for part, draws in posterior.parts.items():
        for name, values in draws.values.items():
            arrays[f"{part}.{name}"] = np.ascontiguousarray(values, dtype="<f8")
        for name, values in draws.stats.items():
            arrays[f"{part}.{_STATS}.{name}"] = np.ascontiguousarray(values, dtype="<f8")
    return arrays


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def load(path: str | Path, *, signed: bool = False) -> Posterior:
    """Read an artefact; anything odd about it is an ``ArtefactBad`` (exit 5).

    With ``signed`` it must bear the signature of the key that ``BAYESSEG_HMAC_KEY_FILE`` names.
    """
    path = Path(path)
    manifest, files = _checked(path, signed)
    try:
        spec = parse_spec(files["spec.toml"].decode(), source="spec.toml")
        state = files["features.json"].decode()
        features = None if state == "null\n" else from_json(state)
        if manifest["segments"] is not None:
            shown(manifest["segments"])  # names, texts and map hold together
        summary = json.loads(files["summary.json"])
        parts: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
        with np.load(io.BytesIO(files["posterior.npz"]), allow_pickle=False) as archive:
            for key in archive.files:
                part, _, name = key.partition(".")
                stat = name.startswith(f"{_STATS}.")
                own = parts.setdefault(part, ({}, {}))[stat]
                own[name.removeprefix(f"{_STATS}.")] = archive[key]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, BayessegError) as error:
        raise _bad(path, f"cannot be read ({error})") from error
    if set(parts) != set(spec.parts):
        raise _bad(path, "does not hold draws of the parts its model names")
    for part, (values, stats) in parts.items():
        absent = {name for name in spec.parts[part].priors if name not in values}
        if absent and spec.parts[part].engine != "gibbs":
            raise _bad(path, f"has no draws of {part} {', '.join(sorted(absent))}")
        finite = all(np.isfinite(array).all() for array in (*values.values(), *stats.values()))
        if not finite and manifest["verdict"] != "failed":
            raise _bad(path, f"has draws of {part} that are not finite")
    info = manifest["info"]
    return Posterior(
        spec=spec,
        features=features,
        parts={
            part: Draws(values, stats, info.get(part, {}))
            for part, (values, stats) in parts.items()
        },
        manifest=manifest,
        summary=summary,
    )


def verify(path: str | Path, *, signed: bool = False) -> dict[str, Any]:
    """Check everything that can be checked without loading the draws; return the manifest.

    With ``signed`` the run must bear the signature of the key that ``BAYESSEG_HMAC_KEY_FILE`` names.
    """
    return _checked(Path(path), signed)[0]


def _checked(path: Path, signed: bool) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest, migrated, and the bytes of the files it lists, all as they were written."""
    if not path.is_dir():
        raise _nothing_at(path)
    manifest = _manifest(path, signed)
    if odd := sorted(set(manifest) ^ set(KEYS)):
        raise _bad(path / _MANIFEST, f"has keys too many or too few ({', '.join(odd)})")
    if odd := sorted(name for name, kinds in KEYS.items() if type(manifest[name]) not in kinds):
        raise _bad(path / _MANIFEST, f"has no such {', '.join(odd)} as one has")
    files = {}
    for name in FILES:
        entry = manifest["files"].get(name)
        if not isinstance(entry, dict):
            raise _bad(path, f"lists no {name}")
        size = _regular(path / name, _CAP)
        if size != entry.get("bytes"):
            raise _bad(path / name, f"has {size} bytes, the manifest says {entry.get('bytes')}")
        files[name] = _read(path / name, size)
        if _sha256(files[name]) != entry.get("sha256"):
            raise _bad(path / name, "has changed since it was written")
    arrays = manifest["files"]["posterior.npz"].get("arrays")
    _verify_arrays(path / "posterior.npz", files["posterior.npz"], arrays)
    return manifest, files


def _nothing_at(path: Path) -> ArtefactBad:
    """Where a run should be and is not: what else there is of it, and what to do."""
    if path.with_name(f"{path.name}.untrusted").is_dir():
        return ArtefactBad(
            f"{path} is not a run directory; the fit failed its gates: see {path}.untrusted",
            fix="check the path",
        )
    if unfinished(path).is_dir():
        return ArtefactBad(
            f"{path} is incomplete: the fit was stopped",
            fix=f"go on with it by bayesseg fit ... --resume {path}",
        )
    if path.with_name(f"{path.name}.lock").exists():
        return ArtefactBad(
            f"{path} is incomplete: the fit that was to write it has not ended, or was stopped",
            fix="wait for it, or fit again",
        )
    return ArtefactBad(f"{path} is not a run directory", fix="check the path")


def unfinished(path: Path) -> Path:
    """Where the finished pieces of a fit are until the run is written."""
    return path.with_name(f"{path.name}.unfinished")


def _manifest(path: Path, signed: bool) -> dict[str, Any]:
    caps = {_MANIFEST: _MANIFEST_CAP, _SUMS: _SMALL}
    if os.path.lexists(path / _SIGNATURE):
        caps[_SIGNATURE] = _SMALL
    found = {name: _read(path / name, _regular(path / name, cap)) for name, cap in caps.items()}
    if found[_SUMS] != _sums(found):
        raise _bad(path / _MANIFEST, "has changed since it was written")
    _believe(path, found, signed)
    try:
        manifest = json.loads(found[_MANIFEST], object_pairs_hook=_unique)
    except ValueError as error:
        raise _bad(path / _MANIFEST, f"is not valid JSON ({error})") from error
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if not isinstance(version, int) or version < 1:
        raise _bad(path / _MANIFEST, "names no schema version")
    if version > SCHEMA_VERSION:
        writer = manifest.get("versions")
        named = writer.get("bayesseg") if isinstance(writer, dict) else None
        raise ArtefactBad(
            f"{path} was written by a newer bayesseg (schema {version}, this one reads "
            f"{SCHEMA_VERSION}); it needs bayesseg >= {named or 'the one that wrote it'}",
            fix="upgrade bayesseg",
        )
    for older in range(version, SCHEMA_VERSION):
        try:
            manifest = _MIGRATIONS[older](manifest) | {"schema_version": older + 1}
        except (KeyError, TypeError) as error:
            raise _bad(path / _MANIFEST, f"is not of schema {older}") from error
    return dict(manifest)


def _believe(path: Path, found: Mapping[str, bytes], signed: bool) -> None:
    """Hold the signature against the key, where there are both, and ask for both if ``signed``."""
    key, signed = _key(), signed or os.environ.get(REQUIRE, "") not in ("", "0")
    if signed and key is None:
        raise UsageError("no key to hold the signature against", fix=f"name its file in {KEY_FILE}")
    if signed and _SIGNATURE not in found:
        raise ArtefactBad(
            f"{path} is not signed", fix=f"fit it where {KEY_FILE} names the file of a key"
        )
    if key is not None and _SIGNATURE in found:
        expected = _signature(found[_MANIFEST], key)
        if not hmac.compare_digest(found[_SIGNATURE], expected):
            raise ArtefactBad(
                f"{path} is signed with another key, or was changed by somebody without the key",
                fix="do not use it; fit again, or restore the run from a copy",
            )


def _of_schema_1(manifest: dict[str, Any]) -> dict[str, Any]:
    missed = {"hard": "failed", "assessed": "not-assessed", "soft": "caution"}
    gates = [
        gate | {"verdict": "passed" if gate["passed"] else missed[gate["severity"]], "waiver": None}
        for gate in manifest["gates"]
    ]
    return manifest | {"gates": gates, "facts": manifest["facts"] | {"waivers": []}}


_MIGRATIONS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _of_schema_1}
"""A manifest of each older schema to one of the next."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _regular(path: Path, cap: int) -> int:
    try:
        facts = path.lstat()
    except OSError as error:
        raise _bad(path, "is missing") from error
    if not stat.S_ISREG(facts.st_mode):
        raise _bad(path, "is not a regular file")
    if facts.st_size > cap:
        raise _bad(path, f"is larger than {cap} bytes")
    return facts.st_size


def _read(path: Path, size: int) -> bytes:
    """``size`` bytes, all there are."""
    try:
        content = path.read_bytes() if path.stat().st_size == size else b""
    except OSError as error:
        raise _bad(path, f"cannot be read ({error.strerror})") from error
    if len(content) != size:
        raise _bad(path, "changes while it is read")
    return content


def _verify_arrays(path: Path, content: bytes, declared: Any) -> None:
    """Compare every array header with the manifest before NumPy may allocate for it."""
    if not isinstance(declared, dict):
        raise _bad(path, "has no declared arrays")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if sorted(m.filename for m in members) != sorted(f"{name}.npy" for name in declared):
                raise _bad(path, "holds other arrays than declared")
            # before anything is opened: what is stored as it is takes the room it says
            if sum(member.file_size for member in members) > len(content) or any(
                member.compress_type != zipfile.ZIP_STORED
                or member.compress_size != member.file_size
                or member.flag_bits
                for member in members
            ):
                raise _bad(path, "holds arrays that are not stored as they are")
            for member in members:
                dtype, shape = declared[member.filename.removesuffix(".npy")]
                with archive.open(member) as handle:
                    npy.read_magic(handle)
                    found_shape, fortran, found = npy.read_array_header_1_0(handle)
                    expected = handle.tell() + math.prod(found_shape) * found.itemsize
                if (
                    found.str not in _DTYPES
                    or (found.str, list(found_shape)) != (dtype, shape)
                    or fortran
                    or expected != member.file_size
                ):
                    raise _bad(path, f"array {member.filename} is not as declared")
    except (zipfile.BadZipFile, ValueError, TypeError, OSError) as error:
        raise _bad(path, f"cannot be read ({error})") from error


def _bad(path: Path, problem: str) -> ArtefactBad:
    return ArtefactBad(f"{path} {problem}", fix="fit again, or restore the run from a copy")


def to_datatree(posterior: Posterior) -> Any:
    """An ``xarray.DataTree`` with a branch a part; ``tree["purchase"]`` is what ArviZ takes.

    Textbook parameters stand beside the free ones, so that ArviZ shows both.
    """
    import arviz_base
    import xarray

    trees = {}
    for part, draws in posterior.parts.items():
        family = posterior.spec.parts[part].family
        values = {**draws.values, **textbook(family, draws.values)}
        stats = {name: v for name, v in draws.stats.items() if name in _ARVIZ_STATS}
        groups = {"posterior": values}
        if stats:
            groups["sample_stats"] = stats
        trees[part] = arviz_base.from_dict(groups)
    return xarray.DataTree(children=trees)


_ARVIZ_STATS = ("diverging", "energy", "depth", "step_size", "log_likelihood")
