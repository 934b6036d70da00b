"""The whole fit: data and a model in, a judged posterior out. L8."""

from __future__ import annotations

import hashlib
import math
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from bayesseg import _weighted, baseline, gates, naming, population
from bayesseg._types import SMALLEST, Check, Columns, Draws, OnProgress, Progress, Table
from bayesseg.aggregates import training_aggregates
from bayesseg.customers import Attributes, Customers
from bayesseg.errors import InputRejected, UsageError
from bayesseg.families import FAMILIES
from bayesseg.features import FeatureState, apply, learn, raw_columns, refuse_gaps
from bayesseg.inference.gibbs import gibbs
from bayesseg.inference.parallel import Task, running
from bayesseg.inference.pieces import begin
from bayesseg.posterior import SCHEMA_VERSION, Posterior, identity, now
from bayesseg.priors import scales_of
from bayesseg.readiness import require_ready
from bayesseg.segment_map import SegmentMap
from bayesseg.segmentation import lineage
from bayesseg.segmentation.choose import automatic
from bayesseg.segmentation.refits import with_options
from bayesseg.segmentation.run import layout_of
from bayesseg.spec import ModelSpec

_PACKAGES = ("bayesseg", "numpy", "numba", "nutpie", "pymc", "arviz-stats", "lifetimes")
_LONG = ("single", "weeks")
"""What a backtest says at length: for the report, not for gates."""


def fit(
    data: Customers | Attributes,
    spec: ModelSpec,
    *,
    seed: int,
    previous: Posterior | None = None,
    names: SegmentMap | None = None,
    backtests: Callable[[], Iterable[Mapping[str, Any]]] = tuple,
    waivers: Iterable[gates.Waiver] = (),
    on_progress: OnProgress | None = None,
    processes: bool = False,
    folder: Path | None = None,
) -> Posterior:
    """Fit every part of ``spec``, judge it and describe the data it was fitted on.

    A fit whose gates fail is returned all the same, with ``manifest["verdict"] == "failed"``.
    Segments that continue those of ``previous`` keep their ids, names and map; ``names`` is a map in
    place of the stored one. What became of each stands in ``manifest["segments"]``.
    ``backtests`` is called for past forecasts beside what came (see ``backtest``), which become the
    forecast verdict. ``waivers`` overlook gates that miss (see ``gates.waivers``). ``processes``
    compiles and samples the parts side by side; the draws are the same bits either way. Finished chains
    are kept in ``folder`` and, where it holds some of this very fit, taken from there, bit for bit.

    Raises:
        InputRejected: the data cannot identify the model.
        UsageError: ``names`` or ``previous`` do not fit the data or the model, or ``folder`` holds
            pieces of another fit.
    """
    seconds: dict[str, float] = {}
    _accept(data, spec)
    _accept_names(data, spec, names, previous)
    columns = data.columns(spec.unit_days) if isinstance(data, Customers) else {}
    scales = scales_of(columns) if "purchase" in spec.parts else {}
    groups, tables = _tables(data, spec)
    state, matrix = _features(data, spec)
    fingerprint = _fingerprint(tables, matrix)
    begin(folder, _plan(spec, fingerprint, seed))

    tasks = {
        part: Task(
            engine=spec.parts[part].engine,
            part=part,
            spec=spec.parts[part],
            table=table,
            scales=scales,
            inference=spec.inference,
            seed=_seed(seed, part),
            population=groups[part],
            folder=folder,
        )
        for part, table in tables.items()
    }
    # the samplers compile in processes of their own; the rest is done here meanwhile
    with running(tasks, processes=processes, on_progress=on_progress) as samplers:
        parts: dict[str, Draws] = {}
        if "segments" in spec.parts:
            with _timed(seconds, "segments"):
                assert state is not None
                parts["segments"] = _segments(spec, state, matrix, seed, on_progress, folder)
        with _timed(seconds, "backtests"):
            tests = [dict(one) for one in backtests()]
        with _timed(seconds, "maximum likelihood"):
            families = {part: spec.parts[part].family for part in tables}
            likelihood = baseline.maximum_likelihood(columns, families) if families else {}
        with _timed(seconds, "sampling"):
            parts |= samplers()
    parts = {part: _laid_out(parts[part]) for part in spec.parts}
    if on_progress:
        on_progress(Progress("judge", 0, 1))
    segments = (
        None
        if state is None
        else lineage.named(data, parts["segments"], matrix, own=names, previous=previous, seed=seed)
    )
    facts = {
        "scales": scales,
        "spearman": _spearman(columns),
        "backtests": [{k: v for k, v in one.items() if k not in _LONG} for one in tests],
        "customers": _count(data),
        "early": population.early(data) if isinstance(data, Customers) else None,
        "locked": ((segments or {}).get("previous") or {}).get("locked", []),
        "waivers": [dict(one) for one in waivers],
    }
    with _timed(seconds, "gates"):
        checks = gates.gates(spec, parts, facts, groups)
    with _timed(seconds, "aggregates"):
        summary = training_aggregates(data, spec, parts, scales, seed, groups, state)
    summary |= {"baseline": likelihood, "backtests": tests}
    manifest = _manifest(data, spec, parts, checks, facts, seed)
    manifest["population"] = groups
    manifest["fingerprint"] = fingerprint
    manifest["segments"] = segments
    manifest["seconds"] = {name: round(spent, 2) for name, spent in seconds.items()}
    manifest = _clocked(manifest)
    posterior = Posterior(spec, state, parts, _json_able(manifest), _json_able(summary))
    manifest["model_id"] = identity(posterior)
    return replace(posterior, manifest=_json_able(manifest))


def _accept(data: Customers | Attributes, spec: ModelSpec) -> None:
    if "purchase" not in spec.parts:
        if len(data.ids) < 2:
            raise InputRejected("one client cannot be segmented", code="too_few")
        return
    if not isinstance(data, Customers):
        raise InputRejected(
            f"model {spec.name!r} reads purchases, not a table of clients",
            fix="give a purchase log, or use --model segments",
        )
    if "segments" in spec.parts and data.n is not None:
        raise InputRejected(
            "segments are made of customers, and this summary counts distinct histories",
            fix="give one row a customer with an id, or fit a model without segments (bgnbd)",
            code="columns_unknown",
        )
    if "segments" in spec.parts and not data.first_known:
        raise InputRejected(
            "segments need the spend of the first day, which the summary does not have",
            fix="add first_spend, as bayesseg sql prints it, or fit a model without segments (bgnbd)",
            code="first_spend_unknown",
        )
    require_ready(data, spec.parts)


def _accept_names(
    data: Customers | Attributes,
    spec: ModelSpec,
    names: SegmentMap | None,
    previous: Posterior | None,
) -> None:
    if names is None and previous is None:
        return
    if "segments" not in spec.parts:
        raise UsageError(
            f"model {spec.name!r} has no segments to name or to go on with",
            fix="leave --names and --previous out, or fit a model with a [segments] part",
        )
    count = spec.parts["segments"].options["components"]
    ids = naming.ids_of(count) if isinstance(count, int) else None
    lineage.accept(data, ids, names, previous)


def _tables(
    data: Customers | Attributes, spec: ModelSpec
) -> tuple[dict[str, population.State], dict[str, Table]]:
    """What was learned of the groups of each part that has a likelihood, and its table."""
    if not isinstance(data, Customers) or "purchase" not in spec.parts:
        return {}, {}
    own = {name: part for name, part in spec.parts.items() if name != "segments"}
    groups = {name: population.learn(part, data) for name, part in own.items()}
    return groups, {
        name: population.likelihood(part, groups[name], data, spec.unit_days)[2]
        for name, part in own.items()
    }


def _features(
    data: Customers | Attributes, spec: ModelSpec
) -> tuple[FeatureState | None, np.ndarray]:
    if "segments" not in spec.parts:
        return None, np.empty((0, 0))
    raw = raw_columns(data, spec.features)
    state = learn(spec.features, raw)
    matrix = apply(state, raw)
    if spec.parts["segments"].options["missing"] == "reject":
        refuse_gaps(state, matrix)
    return state, matrix


def _segments(
    spec: ModelSpec,
    state: FeatureState,
    matrix: np.ndarray,
    seed: int,
    on_progress: OnProgress | None,
    folder: Path | None,
) -> Draws:
    """Draws of the mixture; where the model leaves the number of segments open, it is chosen first."""
    part, own, chosen = spec.parts["segments"], _seed(seed, "segments"), None
    if part.options["components"] == "auto":
        components, chosen = automatic(
            matrix, part, layout_of(state), seed=own, on_progress=on_progress
        )
        part = with_options(part, components=components)
    draws = gibbs(
        FAMILIES[part.family],
        part,
        matrix,
        spec.inference,
        own,
        **state.layout,
        on_progress=on_progress,
        folder=folder,
    )
    return draws if chosen is None else replace(draws, info={**draws.info, "chosen": chosen})


def _laid_out(draws: Draws) -> Draws:
    """The draws in C order, as they come back from a file: sums depend on the layout's order."""
    return Draws(
        {name: np.ascontiguousarray(values) for name, values in draws.values.items()},
        {name: np.ascontiguousarray(values) for name, values in draws.stats.items()},
        draws.info,
    )


def _seed(seed: int, part: str) -> int:
    """A seed a part, the same whatever other parts the model has."""
    key = int.from_bytes(part.encode())
    return int(np.random.SeedSequence([seed, key]).generate_state(1, np.uint32)[0])


def _spearman(columns: Columns) -> float | None:
    """Rank correlation of paid repeat days with their mean spend."""
    if not columns:
        return None
    paid = (columns["n"] > 0) & (columns["S"] > 0)
    weight = np.broadcast_to(columns.get("weight", _weighted.ONE), paid.shape)[paid]
    if weight.sum() < 3:
        return None
    n = columns["n"][paid]
    return _weighted.rank_correlation(n, columns["S"][paid] / n, weight)


def _manifest(
    data: Customers | Attributes,
    spec: ModelSpec,
    parts: Mapping[str, Draws],
    checks: tuple[Check, ...],
    facts: Mapping[str, Any],
    seed: int,
) -> dict[str, Any]:
    buyers = data if isinstance(data, Customers) and "purchase" in spec.parts else None
    return {
        "schema_version": SCHEMA_VERSION,
        "state": "complete",
        "name": spec.name,
        "time_unit": spec.time_unit,
        "seed": seed,
        "created_at": now().isoformat(),
        "versions": _versions(),
        "as_of": data.as_of.isoformat() if isinstance(data, Customers) else None,
        "currency": data.provenance.get("policies", {}).get("currency"),
        **gates.judgement(checks),
        "facts": dict(facts),
        "scales": facts["scales"],
        "paid_share": 1.0 if buyers is None else buyers.paid_share,
        "customers": {"all": _count(data)}
        | ({} if buyers is None else {"repeat": int(buyers.counts[buyers.x > 0].sum())}),
        "trained_on": _trained_on(data, facts) if isinstance(data, Customers) else None,
        # weekly totals go into the aggregates, where small cells are merged
        "accounting": {name: v for name, v in data.provenance.items() if name != "weekly"},
        "info": {part: dict(draws.info) for part, draws in parts.items()},
    }


def _count(data: Customers | Attributes) -> int:
    return data.total if isinstance(data, Customers) else len(data)


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _PACKAGES} | {"python": platform.python_version()}


def _plan(spec: ModelSpec, fingerprint: str, seed: int) -> dict[str, Any]:
    """What makes two fits the same fit, named as people are told where it differs."""
    model = hashlib.sha256(repr(spec).encode()).hexdigest()
    return {"model": model, "data": fingerprint, "seed": seed, "program": _versions()}


def _trained_on(data: Customers, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The range of the training data, outside which a score is flagged.

    The largest frequency is one customer's own; the edge given is that of the eleven largest.
    """
    early = facts["early"]
    known, counts = _weighted.collapsed(data.x, data.counts)
    most = np.searchsorted(np.cumsum(counts[::-1]), min(SMALLEST, data.total))
    return {
        "max_x": int(known[::-1][most]),
        "max_t_end": int(data.t_end.max()),
        "early_until": early["until"] if early and early["excess"] else None,
    }


def _fingerprint(tables: Mapping[str, Table], matrix: np.ndarray) -> str:
    """Hash of the data the model saw: sorted weighted tables, so the same for any row order; no ids."""
    digest = hashlib.sha256()
    for part, table in tables.items():
        digest.update(f"{part} {table.rows} {table.customers}".encode())
        for values in table.arrays.values():
            digest.update(np.ascontiguousarray(values).tobytes())
    order = np.lexsort(matrix.T[::-1]) if matrix.size else slice(None)
    digest.update(np.ascontiguousarray(matrix[order], dtype="<f8").tobytes())
    return digest.hexdigest()


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start


def _clocked(value: Any, timed: bool = False) -> Any:
    """``value``, its seconds nought where ``SOURCE_DATE_EPOCH`` stops the clock."""
    if "SOURCE_DATE_EPOCH" not in os.environ:
        return value
    if isinstance(value, Mapping):
        return {k: _clocked(v, timed or str(k).startswith("seconds")) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_clocked(item, timed) for item in value]
    return 0.0 if timed else value


def _json_able(value: Any) -> Any:
    """Plain JSON: NumPy scalars become numbers, numbers that are not finite become null."""
    convert: Mapping[type, Callable[[Any], Any]] = {date: date.isoformat}
    if isinstance(value, Mapping):
        return {str(name): _json_able(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_able(item) for item in value]
    if isinstance(value, np.ndarray):
        return _json_able(value.tolist())
    if isinstance(value, np.generic):
        return _json_able(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return convert.get(type(value), lambda same: same)(value)
