"""Model files: TOML in, ``ModelSpec`` out. L1.

A closed enumeration: unknown keys, distributions, families and engines are errors that name the file
and the key. Nothing in a model file is ever imported or called.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayesseg._types import PARTS, TIME_UNITS
from bayesseg.errors import UsageError
from bayesseg.priors import DISTRIBUTIONS, Prior

SCHEMA = 1
_PACKAGED = Path(__file__).parent / "_models"
_CHECKOUT = Path(__file__).parent.parent / "models"

FAMILIES_OF = {
    "purchase": ("bgnbd", "mbgnbd"),
    "spend": ("gammagamma",),
    "segments": ("gmm",),
}
"""The families a part may name (``tests/test_spec.py`` keeps this equal to ``FAMILIES``)."""
_POSITIVE = ("LogNormal",)
_BETA_GEOMETRIC = {
    "r": (_POSITIVE, ""),
    "rate": (_POSITIVE, "per_mean_window"),
    "phi": (("Beta",), ""),
    "kappa": (_POSITIVE, ""),
}
PRIORS_OF: Mapping[str, Mapping[str, tuple[tuple[str, ...], str]]] = {
    "bgnbd": _BETA_GEOMETRIC,
    "mbgnbd": _BETA_GEOMETRIC,
    "gammagamma": {
        "p": (_POSITIVE, ""),
        "q": (_POSITIVE, ""),
        "scale": (_POSITIVE, "median_order"),
    },
    "gmm": {
        "weights": (("Dirichlet",), ""),
        "mean": (("Normal",), ""),
        "covariance": (("InverseWishart",), ""),
        "binary": (("Beta",), ""),
    },
}
"""Each family's parameters: the distributions a prior may be and the unit it must carry."""
OPTIONS_OF: Mapping[str, Mapping[str, tuple[str, ...] | None]] = {
    "purchase": {},
    "spend": {},
    "segments": {
        "components": None,  # a whole number
        "covariance": ("diag", "full"),
        "missing": ("model", "reject"),
    },
}
"""The options a part must give, each with its choices."""
ENGINES_OF = {"purchase": ("nuts",), "spend": ("nuts",), "segments": ("gibbs",)}

FEATURE_TYPES = ("number", "binary")
TRANSFORMS = ("identity", "log", "log1p", "auto")
SCALES = ("standard", "none")
ROLES = ("base", "descriptor")


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One segment feature as the model file asks for it; nothing learned.

    ``column`` may be ``"*"``: every numeric column of the attributes that no other feature names.
    ``role`` ``"base"`` enters the likelihood, ``"descriptor"`` is only profiled.
    """

    column: str
    type: str = "number"
    transform: str = "identity"
    scale: str = "standard"
    role: str = "base"


@dataclass(frozen=True, slots=True)
class PartSpec:
    """One part of a model: its family, its engine, its priors and the family's own options."""

    family: str
    engine: str
    priors: Mapping[str, Prior]
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class InferenceSpec:
    """How long to sample. ``tune`` iterations are thrown away."""

    chains: int
    draws: int
    tune: int


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model file, checked. ``text`` is the file verbatim, copied into every artefact."""

    name: str
    description: str
    time_unit: str
    parts: Mapping[str, PartSpec]
    features: tuple[FeatureSpec, ...]
    inference: InferenceSpec
    references: tuple[str, ...]
    text: str

    @property
    def unit_days(self) -> float:
        """Length of the model's time unit in days."""
        return TIME_UNITS[self.time_unit]


def model_names() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.stem for path in _model_folder().glob("*.toml"))


def _model_folder() -> Path:
    return _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT


def load_spec(model: str | Path) -> ModelSpec:
    """Read a model by name (``retail``) or by path (``./mine.toml``)."""
    text_name = str(model)
    if text_name.endswith(".toml") or "/" in text_name:
        path = Path(text_name)
        if not path.is_file():
            raise UsageError(f"model file {path} does not exist", fix="check the path")
    else:
        path = _model_folder() / f"{text_name}.toml"
        if not path.is_file():
            raise UsageError(
                f"there is no model named {text_name!r}",
                fix=f"{_nearest(text_name, model_names())}models: {', '.join(model_names())}; "
                "or give the path of a .toml file",
            )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read model file {path}: {error}") from error
    return parse_spec(text, source=str(path))


def parse_spec(text: str, *, source: str = "model") -> ModelSpec:
    """Check the text of a model file; every refusal names ``source`` and the key path."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source} is not valid TOML: {error}") from error
    reader = _Reader(source)
    known = ("schema", "name", "description", "references", "time_unit", "inference", "features")
    reader.keys(raw, "", (*known, *PARTS))
    if reader.get(raw, "", "schema", int) != SCHEMA:
        raise reader.error("schema", f"must be {SCHEMA}")
    time_unit = reader.choice(raw, "", "time_unit", TIME_UNITS)
    parts = {part: _part(reader, raw[part], part) for part in PARTS if part in raw}
    if not parts:
        raise reader.error("", f"names none of the parts {', '.join(PARTS)}")
    if "spend" in parts and "purchase" not in parts:
        raise reader.error("spend", "needs a [purchase] part: value is purchases times spend")
    features = tuple(
        _feature(reader, item, f"features[{i}]") for i, item in enumerate(raw.get("features", []))
    )
    if ("segments" in parts) != bool(features):
        raise reader.error("features", "[segments] and [[features]] come together")
    if any(f.type == "binary" for f in features) and "binary" not in parts["segments"].priors:
        raise reader.error("segments.priors.binary", "is missing: a feature is binary")
    inference = _table(reader, raw, "inference")
    reader.keys(inference, "inference", ("chains", "draws", "tune"))
    return ModelSpec(
        name=reader.get(raw, "", "name", str),
        description=reader.get(raw, "", "description", str),
        time_unit=time_unit,
        parts=parts,
        features=features,
        inference=InferenceSpec(
            *(reader.count(inference, "inference", key) for key in ("chains", "draws", "tune"))
        ),
        references=tuple(raw.get("references", ())),
        text=text,
    )


def _part(reader: _Reader, raw: Any, part: str) -> PartSpec:
    if not isinstance(raw, dict):
        raise reader.error(part, "must be a table")
    reader.keys(raw, part, ("family", "engine", "priors", *OPTIONS_OF[part]))
    family = reader.choice(raw, part, "family", FAMILIES_OF[part])
    own = _table(reader, raw, "priors", part)
    known = PRIORS_OF[family]
    reader.keys(own, f"{part}.priors", known)
    for name in known:
        if name not in own and name != "binary":  # wanted where a feature is binary
            raise reader.error(f"{part}.priors.{name}", "is missing", "no prior has a default")
    return PartSpec(
        family=family,
        engine=reader.choice(raw, part, "engine", ENGINES_OF[part]),
        priors={
            name: _prior(reader, item, f"{part}.priors.{name}", *known[name])
            for name, item in own.items()
        },
        options={
            name: reader.count(raw, part, name)
            if choices is None
            else reader.choice(raw, part, name, choices)
            for name, choices in OPTIONS_OF[part].items()
        },
    )


def _prior(reader: _Reader, raw: Any, path: str, allowed: tuple[str, ...], unit: str) -> Prior:
    if not isinstance(raw, dict):
        raise reader.error(path, f'must be a table such as {{ dist = "{allowed[0]}", ... }}')
    distribution = DISTRIBUTIONS[reader.choice(raw, path, "dist", allowed)]
    reader.keys(raw, path, ("dist", "unit", *distribution.arguments))
    if raw.get("unit", "") != unit:
        wanted = f"must be {unit!r}" if unit else "must be left out: the parameter has none"
        raise reader.error(f"{path}.unit", wanted)
    arguments = {}
    for name in distribution.arguments:
        value = reader.get(raw, path, name, (int, float, str))
        automatic = value == "auto" and (distribution.name, name) == ("InverseWishart", "scale")
        if isinstance(value, str) and not automatic:
            raise reader.error(f"{path}.{name}", f"must be a number, not {value!r}")
        if not automatic and (not math.isfinite(value) or (name != "mean" and value <= 0)):
            raise reader.error(f"{path}.{name}", f"must be a positive number, not {value}")
        arguments[name] = value
    return Prior(distribution.name, arguments, unit)


def _feature(reader: _Reader, raw: Any, path: str) -> FeatureSpec:
    if not isinstance(raw, dict):
        raise reader.error(path, "must be a table")
    reader.keys(raw, path, ("column", "type", "transform", "scale", "role"))
    given = {"column": reader.get(raw, path, "column", str)}
    for key, choices in (
        ("type", FEATURE_TYPES),
        ("transform", TRANSFORMS),
        ("scale", SCALES),
        ("role", ROLES),
    ):
        if key in raw:
            given[key] = reader.choice(raw, path, key, choices)
    return FeatureSpec(**given)


def _table(reader: _Reader, raw: Mapping[str, Any], key: str, path: str = "") -> dict[str, Any]:
    value = reader.get(raw, path, key, dict)
    assert isinstance(value, dict)
    return value


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads values of a parsed file and words every complaint the same way."""

    source: str

    def error(self, path: str, problem: str, fix: str = "") -> UsageError:
        return UsageError(f"{self.source}: {path or 'the file'} {problem}", fix=fix)

    def keys(self, raw: Mapping[str, Any], path: str, allowed: Iterable[str]) -> None:
        allowed = list(allowed)
        for key in raw:
            if key not in allowed:
                raise self.error(
                    f"{path}.{key}".lstrip("."),
                    "is not a known key",
                    f"{_nearest(key, allowed)}known keys: {', '.join(allowed)}",
                )

    def get(self, raw: Mapping[str, Any], path: str, key: str, kind: Any) -> Any:
        where = f"{path}.{key}".lstrip(".")
        if key not in raw:
            raise self.error(where, "is missing", "priors and settings have no silent defaults")
        value = raw[key]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.error(where, f"has the wrong type ({type(value).__name__})")
        return value

    def count(self, raw: Mapping[str, Any], path: str, key: str) -> int:
        value = self.get(raw, path, key, int)
        if value < 1:
            raise self.error(f"{path}.{key}", "must be at least 1")
        return int(value)

    def choice(self, raw: Mapping[str, Any], path: str, key: str, choices: Iterable[str]) -> str:
        value = self.get(raw, path, key, str)
        names = list(choices)
        if value not in names:
            raise self.error(
                f"{path}.{key}".lstrip("."),
                f"is {value!r}",
                f"{_nearest(value, names)}choices: {', '.join(n for n in names if n)}",
            )
        return str(value)


def _nearest(name: str, known: Iterable[str]) -> str:
    match = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {match[0]!r}? " if match else ""
