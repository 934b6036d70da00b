"""Model files: TOML in, ``ModelSpec`` out. L1.

A closed enumeration: unknown keys, distributions, families and engines are errors that name the file
and the key. Nothing in a model file is ever imported or called.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from bayesseg._toml import Reader, nearest
from bayesseg._types import PARTS, TIME_UNITS
from bayesseg.errors import UsageError
from bayesseg.priors import DISTRIBUTIONS, Prior

SCHEMA = 1
_PACKAGED = Path(__file__).parent / "_models"
_CHECKOUT = Path(__file__).parent.parent / "models"

FAMILIES_OF = {
    "purchase": ("bgnbd", "mbgnbd", "paretonbd"),
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
    "paretonbd": {
        "r": (_POSITIVE, ""),
        "rate": (_POSITIVE, "per_mean_window"),
        "s": (_POSITIVE, ""),
        "drop": (_POSITIVE, "per_mean_window"),
    },
    "gammagamma": {
        "p": (_POSITIVE, ""),
        "q": (_POSITIVE, ""),
        "scale": (_POSITIVE, "median_order"),
    },
    "gmm": {
        "weights": (("Dirichlet",), ""),
        "mean": (("Normal", "NormalGivenCovariance"), ""),
        "covariance": (("InverseWishart",), ""),
        "binary": (("Beta",), ""),
        "category": (("Dirichlet",), ""),
        "ordinal": (("Beta",), ""),
        "rate": (("Exponential",), ""),
        "size": (_POSITIVE, ""),
        "number": (("BetaNegativeBinomial",), ""),
        "alpha": (("F",), ""),
    },
}
"""Each family's parameters: the distributions a prior may be and the unit it must carry."""
_PRIORS_OF_TYPE = {
    "binary": ("binary",),
    "category": ("category",),
    "ordinal": ("ordinal",),
    "count": ("rate", "size"),
}
"""Priors that are wanted where a feature has this type."""
_PRIORS_OF_NUMBER = ("number", "alpha")
_OF_NUMBER = {
    "most": "give the most segments there may be, such as most = 10",
    "priors.number": 'number = { dist = "BetaNegativeBinomial", size = 1.0, alpha = 4.0, beta = 3.0 } '
    "expects two",
    "priors.alpha": 'alpha = { dist = "F", numerator = 6.0, denominator = 3.0 } is usual',
}
"""What to write where a mixture that draws its number lacks something."""
"""Priors that are wanted where the number of components is drawn."""
OPTIONS_OF: Mapping[str, Mapping[str, tuple[str, ...] | None]] = {
    "purchase": {},
    "spend": {},
    "segments": {
        "components": None,  # a whole number, "auto" (chosen before the fit) or "mfm" (drawn in it)
        "covariance": ("full", "tied", "diag", "spherical"),
        "tails": ("normal", "t"),
        "missing": ("model", "reject"),
    },
}
"""The options a part must give, each with its choices."""
_ENGINES = ("auto", "nuts", "laplace", "map")
ENGINES_OF = {"purchase": _ENGINES, "spend": _ENGINES, "segments": ("gibbs",)}

FEATURE_TYPES = ("number", "binary", "category", "ordinal", "count")
"""In the order of the matrix."""
TRANSFORMS = ("identity", "log", "log1p", "box-cox", "yeo-johnson", "auto")
SCALES = ("standard", "robust", "none")
ROLES = ("base", "descriptor")
MOST_LEVELS = 50
"""Of a category or an ordinal."""


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One segment feature as the model file asks for it; nothing learned.

    ``column`` may be ``"*"``: every numeric column of the attributes that no other feature names.
    ``role`` ``"base"`` enters the likelihood, ``"descriptor"`` is only profiled. ``group`` gathers
    columns under one heading; ``exposure`` is the column that a count is proportional to; ``rounded``
    says that values are measured on a coarse grid, so that many rows may share one; ``levels`` are those
    of an ordinal, lowest first.
    """

    column: str
    type: str = "number"
    transform: str = "identity"
    scale: str = "standard"
    role: str = "base"
    group: str = ""
    exposure: str = ""
    rounded: bool = False
    levels: tuple[str, ...] = ()


COHORTS = ("month", "quarter", "year")


@dataclass(frozen=True, slots=True)
class CovariatesSpec:
    """Facts about customers that move the purchase rate and the dropout, log-linearly.

    A column of text has an effect a level, against the most frequent one; a column of numbers has one a
    standard deviation. ``effect`` is the prior of each, on the log rate or the log odds of dropout.
    """

    rate: tuple[str, ...]
    dropout: tuple[str, ...]
    effect: Prior


@dataclass(frozen=True, slots=True)
class CohortsSpec:
    """Customers by the period of their first purchase, their rates and dropouts partially pooled.

    ``spread`` is the prior of the standard deviation between cohorts. Who first bought by ``early`` (an
    ISO day, ``"auto"``: what ``population.early`` finds, ``"none"``) is a cohort of its own, which
    differs in every parameter, by ``apart`` on the scale without bounds.
    """

    by: str
    early: str
    spread: Prior
    apart: Prior


@dataclass(frozen=True, slots=True)
class PartSpec:
    """One part of a model: its family, its engine, its priors and the family's own options."""

    family: str
    engine: str
    priors: Mapping[str, Prior]
    options: Mapping[str, Any]
    covariates: CovariatesSpec | None = None
    cohorts: CohortsSpec | None = None


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
                fix=f"{nearest(text_name, model_names())}models: {', '.join(model_names())}; "
                "or give the path of a .toml file",
            )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read model file {path}: {error}") from error
    return parse_spec(text, source=str(path))


def variant(spec: ModelSpec, family: str) -> ModelSpec:
    """``spec`` with the purchase family and its priors from the shipped model that has ``family``.

    For comparison only: ``text`` stays that of ``spec``, so a variant is never stored.

    Raises:
        UsageError: no shipped model has that purchase family.
    """
    own = spec.parts["purchase"]
    if own.family == family:
        return spec
    shipped = {
        other.parts["purchase"].family: other.parts["purchase"]
        for other in map(load_spec, reversed(model_names()))
        if "purchase" in other.parts
    }
    if family not in shipped:
        raise UsageError(
            f"no shipped model has the purchase family {family!r}",
            fix=f"{nearest(family, shipped)}families: {', '.join(sorted(shipped))}",
        )
    other = shipped[family]
    changed = replace(own, family=family, priors=other.priors, options=other.options)
    return replace(spec, parts={**spec.parts, "purchase": changed})


def parse_spec(text: str, *, source: str = "model") -> ModelSpec:
    """Check the text of a model file; every refusal names ``source`` and the key path."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source} is not valid TOML: {error}") from error
    reader = Reader(source)
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
    for kind in sorted({f.type for f in features if f.role == "base"} & set(_PRIORS_OF_TYPE)):
        for prior in _PRIORS_OF_TYPE[kind]:
            if prior not in parts["segments"].priors:
                raise reader.error(
                    f"segments.priors.{prior}", f"is missing: a feature is of type {kind}"
                )
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


def with_engine(spec: ModelSpec, engine: str) -> ModelSpec:
    """The model with another engine for its purchases and spend; ``text`` stays the file's.

    Raises:
        UsageError: there is no such engine, or the model has neither part.
    """
    if engine not in _ENGINES:
        raise UsageError(
            f"there is no engine named {engine!r}",
            fix=f"{nearest(engine, _ENGINES)}engines: {', '.join(_ENGINES)}",
        )
    own = {
        n: replace(p, engine=engine) for n, p in spec.parts.items() if n in ("purchase", "spend")
    }
    if not own:
        raise UsageError(
            f"model {spec.name!r} has neither purchases nor spend: its engine is gibbs",
            fix="leave --engine out",
        )
    return replace(spec, parts={**spec.parts, **own})


def _part(reader: Reader, raw: Any, part: str) -> PartSpec:
    if not isinstance(raw, dict):
        raise reader.error(part, "must be a table")
    links: tuple[str, ...] = ("covariates", "cohorts") if part == "purchase" else ()
    links += ("df", "most") if part == "segments" else ()
    reader.keys(raw, part, ("family", "engine", "priors", *OPTIONS_OF[part], *links))
    family = reader.choice(raw, part, "family", FAMILIES_OF[part])
    own = _table(reader, raw, "priors", part)
    known = PRIORS_OF[family]
    reader.keys(own, f"{part}.priors", known)
    optional = {name for of in _PRIORS_OF_TYPE.values() for name in of} | set(_PRIORS_OF_NUMBER)
    for name in known:
        if name not in own and name not in optional:
            raise reader.error(f"{part}.priors.{name}", "is missing", "no prior has a default")
    options: dict[str, Any] = {
        name: reader.count_or(raw, part, name, ("auto", "mfm"))
        if choices is None
        else reader.choice(raw, part, name, choices)
        for name, choices in OPTIONS_OF[part].items()
    }
    return PartSpec(
        family=family,
        engine=reader.choice(raw, part, "engine", ENGINES_OF[part]),
        priors={
            name: _prior(reader, item, f"{part}.priors.{name}", *known[name])
            for name, item in own.items()
        },
        options=options | _tails(reader, raw, options) | _number(reader, raw, own, options),
        covariates=_covariates(reader, raw) if "covariates" in raw else None,
        cohorts=_cohorts(reader, raw) if "cohorts" in raw else None,
    )


def _tails(
    reader: Reader, raw: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, float | str]:
    """Degrees of freedom of Student-t segments: a number, or "learn"."""
    if options.get("tails") != "t":
        if "df" in raw:
            raise reader.error("segments.df", "is for Student-t segments", 'set tails = "t"')
        return {}
    df = reader.get(raw, "segments", "df", (int, float, str))
    if df != "learn" and (isinstance(df, str) or not (math.isfinite(df) and df > 0)):
        raise reader.error("segments.df", f'must be a positive number or "learn", not {df!r}')
    return {"df": df if df == "learn" else float(df)}


def _number(
    reader: Reader, raw: Mapping[str, Any], priors: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, int]:
    """The most components of a mixture that draws their number, which needs two priors more."""
    drawn = options.get("components") == "mfm"
    for path, given in [("most", "most" in raw)] + [
        (f"priors.{name}", name in priors) for name in _PRIORS_OF_NUMBER
    ]:
        if drawn and not given:
            raise reader.error(
                f"segments.{path}", 'is missing: components = "mfm" needs it', _OF_NUMBER[path]
            )
        if given and not drawn:
            raise reader.error(f"segments.{path}", 'is for components = "mfm"', "leave it out")
    return {"most": reader.count(raw, "segments", "most")} if drawn else {}


def _covariates(reader: Reader, raw: Mapping[str, Any]) -> CovariatesSpec:
    path = "purchase.covariates"
    own = _table(reader, raw, "covariates", "purchase")
    reader.keys(own, path, ("rate", "dropout", "effect"))
    columns = {}
    for role in ("rate", "dropout"):
        names = reader.get(own, path, role, list)
        if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise reader.error(f"{path}.{role}", "must be a list of different column names")
        columns[role] = tuple(names)
    if not any(columns.values()):
        raise reader.error(path, "names no column", "leave the table out")
    effect = _prior(reader, own.get("effect"), f"{path}.effect", ("Normal",), "")
    return CovariatesSpec(columns["rate"], columns["dropout"], effect)


def _cohorts(reader: Reader, raw: Mapping[str, Any]) -> CohortsSpec:
    path = "purchase.cohorts"
    own = _table(reader, raw, "cohorts", "purchase")
    reader.keys(own, path, ("by", "early", "spread", "apart"))
    early = reader.get(own, path, "early", str)
    if early not in ("auto", "none"):
        try:
            date.fromisoformat(early)
        except ValueError:
            problem = f'is {early!r}, neither "auto", "none" nor a day such as 2025-01-31'
            raise reader.error(f"{path}.early", problem) from None
    return CohortsSpec(
        by=reader.choice(own, path, "by", COHORTS),
        early=early,
        spread=_prior(reader, own.get("spread"), f"{path}.spread", ("HalfNormal",), ""),
        apart=_prior(reader, own.get("apart"), f"{path}.apart", ("Normal",), ""),
    )


def _prior(reader: Reader, raw: Any, path: str, allowed: tuple[str, ...], unit: str) -> Prior:
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


def _feature(reader: Reader, raw: Any, path: str) -> FeatureSpec:
    if not isinstance(raw, dict):
        raise reader.error(path, "must be a table")
    texts = ("column", "group", "exposure")
    reader.keys(raw, path, (*texts, "type", "transform", "scale", "role", "rounded", "levels"))
    given: dict[str, Any] = {
        key: reader.get(raw, path, key, str) for key in texts if key in raw or key == "column"
    }
    if "rounded" in raw:
        given["rounded"] = reader.get(raw, path, "rounded", bool)
    for key, choices in (
        ("type", FEATURE_TYPES),
        ("transform", TRANSFORMS),
        ("scale", SCALES),
        ("role", ROLES),
    ):
        if key in raw:
            given[key] = reader.choice(raw, path, key, choices)
    if "exposure" in given and given.get("type") != "count":
        raise reader.error(f"{path}.exposure", "is for counts only", 'set type = "count"')
    if ("levels" in raw) != (given.get("type") == "ordinal"):
        example = 'type = "ordinal", levels = ["bronze", "silver", "gold"]'
        raise reader.error(f"{path}.levels", "and the type ordinal come together", example)
    if "levels" in raw:
        given["levels"] = _levels(reader, raw, path)
    return FeatureSpec(**given)


def _levels(reader: Reader, raw: Mapping[str, Any], path: str) -> tuple[str, ...]:
    levels = reader.get(raw, path, "levels", list)
    texts = [level for level in levels if isinstance(level, str) and level]
    if not 2 <= len(set(texts)) == len(levels) <= MOST_LEVELS:
        problem = f"must be 2 to {MOST_LEVELS} different texts, lowest first"
        raise reader.error(f"{path}.levels", problem, 'write whole numbers as "1", "2", ...')
    return tuple(texts)


def _table(reader: Reader, raw: Mapping[str, Any], key: str, path: str = "") -> dict[str, Any]:
    value = reader.get(raw, path, key, dict)
    assert isinstance(value, dict)
    return value
