"""Segment features: what a model file asks for, what was learned, and the matrix. L4.

``learn`` looks at the training customers once (transform, centre, scale); ``apply`` only uses what was
learned, so a customer scored tomorrow stands on the old scale. Missing and structurally absent cells
stay NaN: the mixture integrates them out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bayesseg._types import DAYS_PER_YEAR, Array
from bayesseg.customers import Attributes, Customers
from bayesseg.errors import ArtefactBad, InputRejected
from bayesseg.spec import FEATURE_TYPES, MOST_LEVELS, FeatureSpec

ATOM_SHARE, HEAP_SHARE = 0.05, 0.25
"""Surely more rows than this on one value, and a Gaussian would collapse on it; the second is for a
value of a grid, whose neighbours are full, too."""
_LATTICE, _WINDOW, _HEAPED, _SURELY = 10, 3, 4, 2.0
DRIFTED = 0.05
"""Share of rows beyond those of the fit, above what the fit itself had, that is worth a word."""
_SKEWED = 1.0
_COLLINEAR = 0.9999
_NORMAL_IQR = 1.3489795003921634  # interquartile range of the standard normal
_FEWEST_ROWS = 11
_FEW = 5
"""Rows a feature below which the priors weigh in."""
OTHER = "(other)"
"""The level that gathers what fewer rows than ``_FEWEST_ROWS`` say: a run holds no one's own words."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One learned column: value -> (transform(value) - centre) / scale.

    ``power`` is the lambda of a Box-Cox or Yeo-Johnson transform. A category's or an
    ordinal's value is the place of its text among ``levels``; any other text is missing. A count comes
    with an exposure column, divided by its mean at the fit, ``scale``. ``span`` says where a number's
    training rows lay on the learned scale: the means of the eleven lowest and highest, and the share of
    rows beyond.
    """

    column: str
    type: str
    transform: str
    centre: float
    scale: float
    power: float = 0.0
    levels: tuple[str, ...] = ()
    exposure: str = ""
    group: str = ""
    span: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class FeatureState:
    """Everything learned about the features: numbers, binary, categories, ordinals, counts.

    ``descriptors`` are numeric columns that are profiled and stay out of the matrix, ``texts`` those
    of text; the last of their levels may be ``OTHER``, all that were rare at the fit or came later.
    ``notes`` says what was left out or decided, and why, in words for people.
    """

    features: tuple[Feature, ...]
    notes: tuple[str, ...] = field(default=())
    descriptors: tuple[str, ...] = field(default=())
    texts: tuple[Feature, ...] = field(default=())

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of the matrix, in order; the exposures of counts come after them."""
        return tuple(feature.column for feature in self.features)

    @property
    def profiled(self) -> tuple[str, ...]:
        """Columns to describe a segment by means of: those of the matrix, then the descriptors."""
        return tuple(f.column for f in self.features if not f.levels) + self.descriptors

    @property
    def numbers(self) -> int:
        """How many of the columns are number features."""
        return sum(feature.type == "number" for feature in self.features)

    @property
    def layout(self) -> dict[str, Any]:
        """What the columns are: ``gibbs(..., **state.layout)``."""
        return {
            "numbers": self.numbers,
            "levels": tuple(len(f.levels) for f in self.features if f.type == "category"),
            "counts": sum(feature.type == "count" for feature in self.features),
            "ranks": tuple(len(f.levels) for f in self.features if f.type == "ordinal"),
        }


def to_json(state: FeatureState) -> str:
    """The state as JSON text; floats keep every bit."""
    return json.dumps(asdict(state), indent=2, ensure_ascii=False, allow_nan=False)


def from_json(text: str) -> FeatureState:
    """The inverse of ``to_json``."""
    try:
        raw = json.loads(text)
        features, texts = (
            tuple(
                Feature(**item | {name: tuple(item.get(name, ())) for name in ("levels", "span")})
                for item in raw.get(key, ())
            )
            for key in ("features", "texts")
        )
        return FeatureState(features, tuple(raw["notes"]), tuple(raw["descriptors"]), texts)
    except (ValueError, TypeError, KeyError) as error:
        raise ArtefactBad(f"the stored features cannot be read: {error}") from error


def rfm(customers: Customers) -> dict[str, Array]:
    """Behaviour features of each customer, (N,) each; NaN where a customer cannot have one.

    ``has_repeated`` 0 or 1; ``days_since_last`` days from the last purchase to as-of;
    ``days_between_orders`` mean gap of repeaters; ``orders_per_year`` its inverse, per year;
    ``purchase_days`` days with a purchase, the first included; ``mean_spend`` currency per paid
    purchase day, the first included; ``total_spend`` currency; ``tenure_days`` days since the first
    purchase; ``active_days`` days from first to last purchase of repeaters. Where the first
    day's spend is not known there is neither ``mean_spend`` nor ``total_spend``.
    """
    repeated = customers.x > 0
    paid = customers.x_paid + (customers.first_spend > 0)
    total = customers.first_spend + customers.repeat_spend
    gap = np.where(repeated, customers.t_x / np.maximum(customers.x, 1), np.nan)
    spend = {
        "mean_spend": np.where(paid > 0, total / np.maximum(paid, 1), np.nan),
        "total_spend": total,
    }
    return {
        "has_repeated": repeated.astype(np.float64),
        "days_since_last": (customers.t_end - customers.t_x).astype(np.float64),
        "days_between_orders": gap,
        "orders_per_year": DAYS_PER_YEAR / gap,
        "purchase_days": 1.0 + customers.x,
        **(spend if customers.first_known else {}),
        "tenure_days": customers.t_end.astype(np.float64),
        "active_days": np.where(repeated, customers.t_x, np.nan),
    }


def _attributes(data: Customers | Attributes) -> dict[str, npt.NDArray[Any]]:
    table = data if isinstance(data, Attributes) else data.attributes
    return dict(table.columns) if table else {}


def columns_of(data: Customers | Attributes) -> dict[str, npt.NDArray[Any]]:
    """Every column there is: behaviour, where there are purchases, and the attributes; (N,) each."""
    return (rfm(data) if isinstance(data, Customers) else {}) | _attributes(data)


def raw_columns(
    data: Customers | Attributes, specs: Sequence[FeatureSpec], state: FeatureState | None = None
) -> dict[str, npt.NDArray[Any]]:
    """The columns the features may read, before any transform; (N,) each.

    With ``"*"`` every column of the attributes comes along, text included, so that ``learn`` can say
    why it leaves one out. Once something was learned, ``state``, a column that the data lack or whose
    cells are all empty is a missing value of every row (``absent`` says which are).

    Raises:
        InputRejected: a named column is missing.
    """
    attributes = _attributes(data)
    columns = columns_of(data)
    if state is not None:
        gone = _absent(state, columns)
        texts = {one.column for one in (*state.features, *state.texts) if one.levels}
        columns |= {
            name: np.full(len(data), None) if name in texts else np.full(len(data), np.nan)
            for name in gone
        }
        attributes |= {name: columns[name] for name in gone}
    chosen = {}
    for spec in specs:
        if spec.column == "*":
            chosen.update(attributes)
        else:
            chosen[spec.column] = _column(columns, spec.column)
        if spec.exposure:
            chosen[spec.exposure] = _column(columns, spec.exposure)
    return chosen


def absent(data: Customers | Attributes, state: FeatureState) -> tuple[list[str], list[str]]:
    """Features, and columns only profiled, of which ``data`` hold no value.

    Raises:
        InputRejected: they have no column of any feature.
    """
    columns = columns_of(data)
    gone = _absent(state, columns)
    if not any(name in columns for name in state.names):
        raise InputRejected(
            f"the data have no column of any feature ({', '.join(state.names)})",
            fix=f"give the columns the model was fitted on; there are: {', '.join(columns)}",
            code="missing_column",
        )
    return _divided(gone, state)


def _divided(names: Sequence[str], state: FeatureState) -> tuple[list[str], list[str]]:
    """Those that segments are made of, and those that are only profiled."""
    base = {*state.names, *(one.exposure for one in state.features)}
    return [one for one in names if one in base], [one for one in names if one not in base]


type Counts = Mapping[tuple[str, ...], int]
"""How many customers something holds for: of parts of a file they add up to those of the whole."""


def counted(
    data: Customers | Attributes, specs: Sequence[FeatureSpec], state: FeatureState
) -> Counts:
    """What ``lacking`` and ``drifted`` rest on, by kind and column.

    ``present`` cells that hold a value, ``strange`` texts that are no level of the feature;
    ``measured`` numbers and those ``outside`` the range of the fit.
    """
    columns, raw = columns_of(data), raw_columns(data, specs, state)
    found: dict[tuple[str, ...], int] = {
        ("present", name): _present(columns, name) for name in _read(state)
    }
    for one in state.features:
        if one.levels and one.column in columns:
            found["strange", one.column] = _strange(one, columns)
        if one.span:
            values = _standardised(one, raw)
            values = values[~np.isnan(values)]
            found["measured", one.column] = len(values)
            found["outside", one.column] = int(_beyond(values, *one.span[:2]).sum())
    return found


def lacking(counts: Counts, state: FeatureState) -> list[str]:
    """What is to be said of the columns that hold no value, or texts that are no level."""
    says = (
        "which counts as missing for every customer: segments are told by the others",
        "by which segments are not profiled",
    )
    gone = [name for name in _read(state) if not counts["present", name]]
    found = [
        f"the data have no value of {', '.join(map(repr, names))}, {what}"
        for names, what in zip(_divided(gone, state), says, strict=True)
        if names
    ]
    strange = {one.column: counts.get(("strange", one.column), 0) for one in state.features}
    return found + [_no_level(name, count) for name, count in strange.items() if count]


def _strange(feature: Feature, columns: Mapping[str, npt.NDArray[Any]]) -> int:
    """How many rows hold a text that is no level of the feature."""
    return int((np.isnan(coded(feature, columns)) & ~_missing(columns[feature.column])).sum())


def _no_level(name: str, count: int) -> str:
    """What is said of texts that no level of a feature is."""
    has = "customer has" if count == 1 else "customers have"
    return (
        f"{count:,} {has} a value of {name!r} that is no level of the model: it counts as missing"
    )


def drifted(counts: Counts, state: FeatureState) -> list[str]:
    """What is to be said of numbers that lie outside those of the fit more often than by chance."""
    found = []
    for one in state.features:
        if not one.span or not (measured := counts["measured", one.column]):
            continue
        share, usual = counts["outside", one.column] / measured, one.span[2]
        if share > DRIFTED + usual:
            found.append(
                f"{share:.0%} of customers have a {one.column!r} outside what the fit saw (there "
                f"{usual:.0%}): bayesseg drift tells whether the segments still hold"
            )
    return found


def refuse_gaps(state: FeatureState, matrix: Array) -> None:
    """Refuse missing cells of the matrix, naming the columns.

    Raises:
        InputRejected: there is one.
    """
    shares = np.isnan(matrix[:, : len(state.names)]).mean(0)
    if shares.any():
        gaps = [f"{n!r} ({s:.1%})" for n, s in zip(state.names, shares, strict=True) if s]
        raise InputRejected(
            f"values are missing in {', '.join(gaps)}, and the model refuses them",
            fix='set missing = "model" in [segments] to integrate them out, or fill them in before',
            code="missing_values",
        )


def _missing(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    import pandas as pd

    return np.asarray(pd.isna(values) | (values == ""))


def _absent(state: FeatureState, columns: Mapping[str, npt.NDArray[Any]]) -> list[str]:
    return [name for name in _read(state) if not _present(columns, name)]


def _read(state: FeatureState) -> list[str]:
    """The columns that segments are made of or described by."""
    read = [(one.column, one.exposure) for one in state.features]
    names = [*(name for pair in read for name in pair if name), *state.descriptors]
    return list(dict.fromkeys([*names, *(one.column for one in state.texts)]))


def _present(columns: Mapping[str, npt.NDArray[Any]], name: str) -> int:
    """How many rows hold a value of a column that may not be there."""
    if name not in columns:
        return 0
    values = columns[name]
    return int((~(_missing(values) if values.dtype == object else np.isnan(values))).sum())


def _column(columns: Mapping[str, npt.NDArray[Any]], name: str) -> npt.NDArray[Any]:
    if name not in columns:
        raise InputRejected(
            f"the data have no column {name!r}",
            fix=f"the model needs it as a feature; columns there are: {', '.join(columns)}",
            code="missing_column",
        )
    return columns[name]


# --- transforms ----------------------------------------------------------------------------------


def _box_cox(values: Array, power: float) -> Array:
    from scipy.special import boxcox

    return np.asarray(boxcox(values, power))


def _yeo_johnson(values: Array, power: float) -> Array:
    from scipy.stats import yeojohnson

    return np.asarray(yeojohnson(values, power))


TRANSFORMS: Mapping[str, tuple[float, Callable[[Array, float], Array]]] = {
    "identity": (-np.inf, lambda values, power: values),
    "log": (0.0, lambda values, power: np.log(values)),
    "log1p": (-1.0, lambda values, power: np.log1p(values)),
    "box-cox": (0.0, _box_cox),
    "yeo-johnson": (-np.inf, _yeo_johnson),
}
"""Name -> (values must lie above this, function of values and power); ``auto`` chooses one of the first
and third when learning."""


def _power(values: Array, transform: str) -> float:
    """The lambda that makes values most like a normal sample (Box & Cox 1964; Yeo & Johnson 2000)."""
    from scipy import stats

    if transform == "box-cox":
        return float(stats.boxcox_normmax(values, method="mle"))
    if transform == "yeo-johnson":
        return float(stats.yeojohnson_normmax(values))
    return 0.0


def _skewness(values: Array) -> float:
    spread = values.std()
    return float((((values - values.mean()) / spread) ** 3).mean()) if spread > 0 else 0.0


def _chosen(transform: str, values: Array) -> str:
    if transform != "auto":
        return transform
    if values.min() < 0 or _skewness(values) <= _SKEWED:
        return "identity"
    return "log1p"


def _within(values: Array, transform: str, column: str) -> Array:
    """The values, if the transform can take them."""
    floor, _ = TRANSFORMS[transform]
    outside = values <= floor
    if outside.any():
        row = int(np.argmax(outside))
        raise InputRejected(
            f"feature {column!r}: {int(outside.sum())} values are {floor:g} or less (first: "
            f"{values[row]:g}), and {transform} cannot take them",
            fix="choose another transform in the model file, or leave such values empty",
            code="feature_out_of_range",
        )
    return values


# --- learning ------------------------------------------------------------------------------------


def _fault(values: npt.NDArray[Any], *, wildcard: bool = False, rounded: bool = False) -> str:
    """Why a column cannot be a Gaussian feature, or nothing.

    One value may hold ``ATOM_SHARE`` of the rows that have one, and what chance adds to that in few
    rows (two standard errors). Exempt is a measurement rounded to a grid: ten distinct values or more,
    the fullest below ``HEAP_SHARE`` and at most four times as full as another within three steps, less
    two standard errors; and what the model file declares ``rounded``.
    """
    if not _present({"": values}, ""):
        return "is empty"
    if values.dtype == object:
        return f"is text: {_no_numbers(values):.0%} of its values are no number"
    seen = values[~np.isnan(values)]
    if np.isinf(seen).any():
        return "has infinite values"
    distinct, counts = np.unique(seen, return_counts=True)
    if len(distinct) < 2:
        return "is constant"
    whole = bool(np.all(distinct == np.round(distinct)))
    if wildcard and len(distinct) == len(seen) > 20 and whole and np.ptp(seen) < 2 * len(seen):
        return "looks like a row number or an id"
    top = int(np.argmax(counts))
    count, share, fair = counts[top], counts[top] / len(seen), ATOM_SHARE * len(seen)
    near = counts[max(top - _WINDOW, 0) : top + _WINDOW + 1].copy()
    near[min(top, _WINDOW)] = 0
    beside = _HEAPED * int(near.max())
    rounded |= bool(
        len(distinct) >= _LATTICE
        and share <= HEAP_SHARE
        and count <= beside + _SURELY * np.sqrt(beside)
    )
    if count > fair + _SURELY * np.sqrt(fair * (1 - ATOM_SHARE)) and not rounded:
        return f"has {share:.0%} of its rows on one value ({distinct[top]:g})"
    return ""


_ATOM = (
    "declare its type (binary, category, ordinal, count), set rounded = true if it is measured on a "
    "coarse grid, make it a descriptor, or drop it from the model file: a normal curve would collapse "
    "on such a value"
)
_DROP = "drop it from the model file: it tells nobody from anybody"
_MEND = {
    "is empty": _DROP,
    "is constant": _DROP,
    "is text": "correct the values that are no number, declare its type (category, ordinal; yes and no "
    "as 1 and 0 are binary), or make it a descriptor",
    "has infinite values": "leave such cells empty",
}
"""What to do about a fault, by how it begins; else ``_ATOM``."""


def _no_numbers(values: npt.NDArray[Any]) -> float:
    import pandas as pd

    texts = pd.Series(values[~_missing(values)])
    return float(pd.to_numeric(texts, errors="coerce").isna().mean())


def _learn_number(spec: FeatureSpec, values: Array) -> Feature:
    # sorted: a sum that does not depend on the order of the rows
    seen = np.sort(values[~np.isnan(values)])
    transform = _chosen(spec.transform, seen)
    power = _power(_within(seen, transform, spec.column), transform)
    seen = TRANSFORMS[transform][1](seen, power)
    centre, scale = SCALES[spec.scale](seen)
    if not (scale > 0 and np.isfinite(scale)):
        raise _refuse(
            spec.column,
            f"has no spread to divide by (scale {spec.scale!r}, transform {transform!r})",
            'set scale = "standard", or leave it out',
        )
    span = _span((seen - centre) / scale)
    return Feature(
        spec.column, "number", transform, centre, scale, power, group=spec.group, span=span
    )


def _span(values: Array) -> tuple[float, ...]:
    """Of sorted values; nothing where they are so few that an end would be somebody's own."""
    if len(values) < 2 * _FEWEST_ROWS:
        return ()
    low, high = float(values[:_FEWEST_ROWS].mean()), float(values[-_FEWEST_ROWS:].mean())
    return low, high, _outside(values, low, high)


def _outside(values: Array, low: float, high: float) -> float:
    return float(_beyond(values, low, high).mean())


def _beyond(values: Array, low: float, high: float) -> npt.NDArray[np.bool_]:
    # rounding apart: all values may be one
    slack = 1e-9 * (high - low)
    return np.asarray((values < low - slack) | (values > high + slack))


def _robust(values: Array) -> tuple[float, float]:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return float(middle), float(high - low) / _NORMAL_IQR


SCALES: Mapping[str, Callable[[Array], tuple[float, float]]] = {
    "standard": lambda values: (float(values.mean()), float(values.std())),
    "robust": _robust,
    "none": lambda values: (0.0, 1.0),
}
"""Name -> centre and scale of sorted values. Robust: median and interquartile range / 1.349."""


def _refuse(column: str, fault: str, fix: str) -> InputRejected:
    return InputRejected(f"feature {column!r} {fault}", fix=fix, code="feature_unusable")


def _resolve(
    specs: Sequence[FeatureSpec], columns: Mapping[str, npt.NDArray[Any]], notes: list[str]
) -> list[FeatureSpec]:
    """The base features, wildcards replaced by the columns that no feature names."""
    named = {spec.column for spec in specs}
    resolved = []
    for spec in (spec for spec in specs if spec.role == "base"):
        if spec.column != "*":
            resolved.append(spec)
            continue
        for name in columns:
            if name in named:
                continue
            if fault := _fault(columns[name], wildcard=True, rounded=spec.rounded):
                notes.append(f"left out {name}: it {fault}")
            else:
                resolved.append(replace(spec, column=name))
    return resolved


def _descriptors(
    specs: Sequence[FeatureSpec],
    columns: Mapping[str, npt.NDArray[Any]],
    base: Sequence[str],
    notes: list[str],
) -> tuple[tuple[str, ...], tuple[Feature, ...]]:
    """Columns to profile only, numbers and texts; a wildcard takes what is not a base feature.

    Text that a wildcard of base features comes upon is profiled too: it cannot be one.
    """
    coded = {spec.column for spec in specs if spec.type in ("category", "ordinal")}
    wanted = [spec.column for spec in specs if spec.role == "descriptor" and spec.column != "*"]
    for spec in (spec for spec in specs if spec.column == "*"):
        text_only = spec.role == "base"
        wanted += [n for n, v in columns.items() if v.dtype == object or not text_only]
    numbers: list[str] = []
    texts: list[Feature] = []
    for name in dict.fromkeys(name for name in wanted if name not in base):
        values = _column(columns, name)
        if values.dtype != object and name not in coded:
            numbers.append(name)
        elif levels := _common(values):
            texts.append(Feature(name, "category", "identity", 0.0, 1.0, levels=levels))
        else:
            notes.append(
                f"does not profile {name}: it takes two levels, and 1 to {MOST_LEVELS} of them that "
                f"{_FEWEST_ROWS} rows or more have"
            )
    return tuple(numbers), tuple(texts)


def _common(values: npt.NDArray[Any]) -> tuple[str, ...]:
    """The levels that enough rows say, sorted, then ``OTHER``; none where there are too few or many."""
    import pandas as pd

    counts = pd.Series(_texts(values), dtype=object).value_counts()
    kept = sorted(str(level) for level in counts.index[counts >= _FEWEST_ROWS])
    levels = (*(level for level in kept if level != OTHER), OTHER)
    return levels if kept and len(counts) >= 2 and len(kept) <= MOST_LEVELS else ()


def learn(specs: Sequence[FeatureSpec], columns: Mapping[str, npt.NDArray[Any]]) -> FeatureState:
    """Choose transforms and measure centres and scales on the training columns.

    Raises:
        InputRejected: a named feature is missing, constant, text, has an atom, or repeats another.
    """
    notes: list[str] = []
    wild = any(spec.column == "*" for spec in specs)
    found: dict[str, list[Feature]] = {kind: [] for kind in FEATURE_TYPES}
    for spec in _resolve(specs, columns, notes):
        values = _column(columns, spec.column)
        if spec.type != "number":
            found[spec.type].append(LEARNERS[spec.type](spec, columns))
            continue
        if fault := _fault(values, rounded=spec.rounded):
            raise _refuse(spec.column, fault, _MEND.get(fault.partition(":")[0], _ATOM))
        found["number"].append(_learn_number(spec, values))
        taken = found["number"][-1].transform
        if spec.transform == "auto" and taken != "identity":
            notes.append(f"took {taken} of {spec.column}: it is skewed")
    if not any(found.values()):
        reasons = "; ".join(notes) or "the model file names none"
        raise InputRejected(
            f"no column can serve as a segment feature ({reasons})",
            fix="give numeric columns with more than a few distinct values",
            code="no_features",
        )
    found["number"] = _without_twins(found["number"], columns, notes if wild else None)
    base = tuple(feature for features in found.values() for feature in features)
    notes += [
        _no_level(one.column, count)
        for one in found["ordinal"]
        if (count := _strange(one, columns))
    ]
    rows = len(next(iter(columns.values())))
    if rows < _FEW * len(base):
        notes.append(
            f"{rows} rows for {len(base)} features: priors say much of what segments are; name the few "
            'that matter, and keep covariance = "diag"'
        )
    numbers, texts = _descriptors(specs, columns, [feature.column for feature in base], notes)
    return FeatureState(base, tuple(notes), numbers, texts)


def _learn_binary(spec: FeatureSpec, columns: Mapping[str, npt.NDArray[Any]]) -> Feature:
    values = _column(columns, spec.column)
    if values.dtype == object or not np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
        raise _refuse(
            spec.column, "is declared binary but is not all 0 and 1", "recode it as 0 and 1"
        )
    return Feature(spec.column, "binary", "identity", 0.0, 1.0, group=spec.group)


def _texts(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Levels as text, whole numbers without a decimal point; None where missing."""
    if values.dtype == object:
        return np.array([v if isinstance(v, str) and v else None for v in values], dtype=object)
    return np.array([None if np.isnan(v) else f"{v:g}" for v in values], dtype=object)


def _learn_category(spec: FeatureSpec, columns: Mapping[str, npt.NDArray[Any]]) -> Feature:
    seen = {text for text in _distinct(_column(columns, spec.column)) if text is not None}
    if not 2 <= len(seen) <= MOST_LEVELS:
        raise _refuse(
            spec.column,
            f"has {len(seen)} levels; a category has 2 to {MOST_LEVELS}",
            "group rare levels, make it a descriptor, or drop it from the model file",
        )
    levels = tuple(sorted(seen))
    return Feature(spec.column, "category", "identity", 0.0, 1.0, levels=levels, group=spec.group)


def _learn_ordinal(spec: FeatureSpec, columns: Mapping[str, npt.NDArray[Any]]) -> Feature:
    seen = set(_distinct(_column(columns, spec.column)))
    if len(seen.intersection(spec.levels)) < 2:
        raise _refuse(
            spec.column,
            f"holds fewer than two of the levels {', '.join(spec.levels)}",
            "write levels in the model file as they stand in the data",
        )
    return Feature(
        spec.column, "ordinal", "identity", 0.0, 1.0, levels=spec.levels, group=spec.group
    )


def _distinct(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The distinct levels as text."""
    import pandas as pd

    return _texts(np.asarray(pd.unique(values)))


def _learn_count(spec: FeatureSpec, columns: Mapping[str, npt.NDArray[Any]]) -> Feature:
    values = _numeric(columns, spec.column)
    seen = values[~np.isnan(values)]
    if not seen.size or (seen < 0).any() or (seen != np.round(seen)).any():
        raise _refuse(spec.column, "is declared a count but is not whole numbers from 0", _RECODE)
    scale = 1.0
    if spec.exposure:
        exposure = _numeric(columns, spec.exposure)[~np.isnan(values)]
        _exposed(spec.column, spec.exposure, exposure)
        scale = float(np.sort(exposure).mean())
    return Feature(
        spec.column,
        "count",
        "identity",
        0.0,
        scale,
        exposure=spec.exposure,
        group=spec.group,
    )


_RECODE = "declare it a number, or check the column"


def _exposed(column: str, exposure: str, values: Array) -> None:
    if not (np.isfinite(values) & (values > 0)).all():
        raise _refuse(
            column,
            f"has rows whose exposure {exposure!r} is missing, infinite or not above 0",
            "leave such counts empty",
        )


LEARNERS: Mapping[str, Callable[[FeatureSpec, Mapping[str, npt.NDArray[Any]]], Feature]] = {
    "binary": _learn_binary,
    "category": _learn_category,
    "ordinal": _learn_ordinal,
    "count": _learn_count,
}
"""How a feature of a type other than number is learned."""


def _without_twins(
    numbers: list[Feature], columns: Mapping[str, npt.NDArray[Any]], notes: list[str] | None
) -> list[Feature]:
    """Refuse two features that say the same; under a wildcard leave the later one out."""
    kept: list[Feature] = []
    for feature in numbers:
        values = _standardised(feature, columns)
        twin = next((k for k in kept if _same(values, _standardised(k, columns))), None)
        if twin is None:
            kept.append(feature)
        elif notes is None:
            fix = "keep one of the two: together they count the same fact twice"
            raise _refuse(feature.column, f"repeats {twin.column!r}", fix)
        else:
            notes.append(f"left out {feature.column}: it repeats {twin.column}")
    return kept


def _same(a: Array, b: Array) -> bool:
    both = ~np.isnan(a + b)
    if both.sum() < 3 or a[both].std() == 0 or b[both].std() == 0:
        return False
    return bool(abs(np.corrcoef(a[both], b[both])[0, 1]) > _COLLINEAR)


# --- applying ------------------------------------------------------------------------------------


def _numeric(columns: Mapping[str, npt.NDArray[Any]], name: str) -> Array:
    values = _column(columns, name)
    if values.dtype == object:
        raise _refuse(name, "is text", "the fit saw numbers; check the file's columns")
    return np.asarray(values, dtype=np.float64)


def _standardised(feature: Feature, columns: Mapping[str, npt.NDArray[Any]]) -> Array:
    values = _numeric(columns, feature.column)
    if np.isinf(values).any():
        raise _refuse(feature.column, "has infinite values", "leave such cells empty")
    if feature.type == "binary" and not np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
        raise _refuse(feature.column, "is not all 0 and 1", "the fit saw 0 and 1; recode it")
    function = TRANSFORMS[feature.transform][1]
    seen = _within(values, feature.transform, feature.column)
    return np.asarray((function(seen, feature.power) - feature.centre) / feature.scale)


def coded(feature: Feature, columns: Mapping[str, npt.NDArray[Any]]) -> Array:
    """Place of each row's level; NaN where it is missing or, without ``OTHER``, was never seen."""
    import pandas as pd

    codes, distinct = pd.factorize(_column(columns, feature.column))
    place: dict[str | None, float] = {level: float(i) for i, level in enumerate(feature.levels)}
    unseen = place.get(OTHER, np.nan)
    texts = _texts(np.asarray(distinct))
    known = [np.nan if text is None else place.get(text, unseen) for text in texts]
    return np.array([*known, np.nan])[codes]


def _counts(feature: Feature, columns: Mapping[str, npt.NDArray[Any]]) -> Array:
    values = _numeric(columns, feature.column)
    seen = values[~np.isnan(values)]
    if (seen < 0).any() or (seen != np.round(seen)).any():
        raise _refuse(feature.column, "is not whole numbers from 0", "the fit saw counts; check it")
    return values


def _exposure(feature: Feature, columns: Mapping[str, npt.NDArray[Any]]) -> Array:
    """Exposure of each count in units of its mean at the fit; 1 where there is no count."""
    counted = ~np.isnan(_column(columns, feature.column))
    if not feature.exposure:
        return np.ones(len(counted))
    values = _numeric(columns, feature.exposure)
    _exposed(feature.column, feature.exposure, values[counted])
    return np.where(counted, values, feature.scale) / feature.scale


COLUMNS: Mapping[str, Callable[[Feature, Mapping[str, npt.NDArray[Any]]], Array]] = {
    "number": _standardised,
    "binary": _standardised,
    "category": coded,
    "ordinal": coded,
    "count": _counts,
}
"""How a feature of each type becomes a column of the matrix."""


def apply(state: FeatureState, columns: Mapping[str, npt.NDArray[Any]]) -> Array:
    """The matrix on the learned scale, float64, NaN where missing; nothing is re-estimated.

    Returns:
        (N, D) in the order of ``state.features``, then an exposure column for each count.

    Raises:
        InputRejected: a column is missing, is text, or leaves the range of its transform.
    """
    for name in state.descriptors:
        _numeric(columns, name)
    cells = [COLUMNS[feature.type](feature, columns) for feature in state.features]
    cells += [_exposure(feature, columns) for feature in state.features if feature.type == "count"]
    return np.stack(cells, axis=1)
