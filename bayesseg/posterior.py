"""The artefact: a directory with a posterior in it, no customers and no code. L6.

``manifest.json`` (facts, gates, sizes and hashes), ``spec.toml`` (the model file verbatim),
``features.json`` (learned feature state), ``posterior.npz`` (draws), ``summary.json`` (aggregates
the report needs) and ``manifest.sha256``. Loading believes nothing: sizes, hashes, archive members,
array headers and shapes are checked before anything is allocated.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import stat
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from bayesseg._files import refuse_existing, sha256_of, write_directory
from bayesseg._types import Draws
from bayesseg.errors import ArtefactBad, BayessegError, UsageError
from bayesseg.families import FAMILIES
from bayesseg.features import FeatureState, from_json, to_json
from bayesseg.segment_map import shown
from bayesseg.spec import ModelSpec, parse_spec

SCHEMA_VERSION = 1
FILES = ("spec.toml", "features.json", "posterior.npz", "summary.json")
KEYS = frozenset(
    {
        "accounting",
        "as_of",
        "created_at",
        "currency",
        "customers",
        "facts",
        "files",
        "fingerprint",
        "gates",
        "info",
        "model_id",
        "name",
        "paid_share",
        "population",
        "scales",
        "schema_version",
        "seconds",
        "seed",
        "segments",
        "state",
        "time_unit",
        "trained_on",
        "verdict",
        "verdicts",
        "versions",
    }
)
"""The keys of a manifest; a manifest with others is not ours."""
_CAP = 256 * 1024**2
_MANIFEST_CAP = 1024**2
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
    refuse_existing(path, force=force)
    if path.exists() and not (path / "manifest.json").is_file():
        raise UsageError(
            f"{path} is there and is not a bayesseg run", fix="choose another name for the run"
        )
    files = _contents(posterior)
    manifest = dict(posterior.manifest)
    manifest["files"] = {
        name: {"sha256": _sha256(content), "bytes": len(content)} for name, content in files.items()
    }
    manifest["files"]["posterior.npz"]["arrays"] = {
        name: [array.dtype.str, list(array.shape)] for name, array in _arrays(posterior).items()
    }
    text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False).encode()
    files["manifest.json"] = text
    files["manifest.sha256"] = f"{_sha256(text)}  manifest.json\n".encode()
    write_directory(path, files, force=force)
    return path


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


def load(path: str | Path) -> Posterior:
    """Read an artefact; anything odd about it is an ``ArtefactBad`` (exit 5)."""
    path = Path(path)
    manifest = verify(path)
    try:
        spec = parse_spec((path / "spec.toml").read_text(encoding="utf-8"), source="spec.toml")
        state = (path / "features.json").read_text(encoding="utf-8")
        features = None if state == "null\n" else from_json(state)
        if manifest["segments"] is not None:
            shown(manifest["segments"])  # names, texts and map hold together
        summary = json.loads((path / "summary.json").read_bytes())
        parts: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
        with np.load(path / "posterior.npz", allow_pickle=False) as archive:
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


def verify(path: str | Path) -> dict[str, Any]:
    """Check everything that can be checked without loading the draws; return the manifest."""
    path = Path(path)
    if not path.is_dir():
        untrusted = path.with_name(f"{path.name}.untrusted")
        hint = f"; the fit failed its gates: see {untrusted}" if untrusted.is_dir() else ""
        if not hint and path.with_name(f"{path.name}.lock").exists():
            raise ArtefactBad(
                f"{path} is incomplete: the fit that was to write it has not ended, or was stopped",
                fix="wait for it, or fit again",
            )
        raise ArtefactBad(f"{path} is not a run directory{hint}", fix="check the path")
    manifest = _manifest(path)
    if set(manifest) != KEYS:
        odd = ", ".join(sorted(set(manifest) ^ KEYS))
        raise _bad(path / "manifest.json", f"has keys too many or too few ({odd})")
    for name in FILES:
        entry = manifest["files"].get(name)
        if not isinstance(entry, dict):
            raise _bad(path, f"lists no {name}")
        size = _regular(path / name, _CAP)
        if size != entry.get("bytes"):
            raise _bad(path / name, f"has {size} bytes, the manifest says {entry.get('bytes')}")
        if sha256_of(path / name) != entry.get("sha256"):
            raise _bad(path / name, "has changed since it was written")
    _verify_arrays(path / "posterior.npz", manifest["files"]["posterior.npz"].get("arrays"))
    return manifest


def _manifest(path: Path) -> dict[str, Any]:
    file = path / "manifest.json"
    _regular(file, _MANIFEST_CAP)
    _regular(path / "manifest.sha256", 1024)
    text = file.read_bytes()
    if (path / "manifest.sha256").read_bytes() != f"{_sha256(text)}  manifest.json\n".encode():
        raise _bad(file, "has changed since it was written")
    try:
        manifest = json.loads(text, object_pairs_hook=_unique)
    except ValueError as error:
        raise _bad(file, f"is not valid JSON ({error})") from error
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if not isinstance(version, int) or version < 1:
        raise _bad(file, "names no schema version")
    if version > SCHEMA_VERSION:
        raise ArtefactBad(
            f"{path} was written by a newer bayesseg (schema {version}, this one reads "
            f"{SCHEMA_VERSION})",
            fix="upgrade bayesseg",
        )
    return dict(manifest)


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


def _verify_arrays(path: Path, declared: Any) -> None:
    """Compare every array header with the manifest before NumPy may allocate for it."""
    if not isinstance(declared, dict):
        raise _bad(path, "has no declared arrays")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if sorted(m.filename for m in members) != sorted(f"{name}.npy" for name in declared):
                raise _bad(path, "holds other arrays than declared")
            for member in members:
                dtype, shape = declared[member.filename.removesuffix(".npy")]
                with archive.open(member) as handle:
                    npy.read_magic(handle)
                    found_shape, fortran, found = npy.read_array_header_1_0(handle)
                    expected = handle.tell() + math.prod(found_shape) * found.itemsize
                if (
                    member.compress_type != zipfile.ZIP_STORED
                    or found.str not in _DTYPES
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
