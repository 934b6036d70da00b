"""What belongs beside a score table: settings, units, precision, totals and segments. L7."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

import numpy as np

from bayesseg._types import SMALLEST, Array
from bayesseg.customers import Attributes, Customers, money_of
from bayesseg.features import DRIFTED, Counts, drifted, lacking
from bayesseg.posterior import Posterior
from bayesseg.scoring.effects import effects
from bayesseg.scoring.kernel import Kernel
from bayesseg.scoring.medians import medians
from bayesseg.scoring.pieces import FAR, Piece
from bayesseg.scoring.plan import Plan
from bayesseg.scoring.settings import LEVEL, QUANTILES
from bayesseg.scoring.table import meanings_of, units_of
from bayesseg.scoring.widening import TESTED, Widening, said, widenings

_STALE = 2
"""Horizons after which a fit is old."""


def document_of(
    posterior: Posterior,
    kernel: Kernel,
    whole: Piece,
    names: Sequence[str],
    sample: Customers | Attributes,
) -> dict[str, Any]:
    """Facts about the whole file, JSON-able.

    Args:
        posterior: the run.
        kernel: what scored the customers.
        whole: what all pieces of the file say together.
        names: the columns of the table.
        sample: customers of the lowest keys, of whom medians are taken.

    ``totals`` have the interval of the expectation, the Monte-Carlo error of its mean, where futures
    were drawn the interval of what is realised (``pred_lo``, ``pred_hi``) and, where the fit made
    backtests, that interval widened by what they missed (``widened_lo``, ``widened_hi``);
    ``discrepancy`` holds the factor behind it, by part. From schema 2 on what is written is sealed.
    """
    plan, sums, counts = kernel.plan, whole.sums, whole.counts
    customers = counts["customers",]
    wider, margin = widenings(posterior), money_of(posterior.manifest.get("accounting")) == "margin"
    found = about(posterior, kernel, units_of(names, margin=margin), meanings_of(names)) | {
        "customers": customers,
        "notes": [
            *_notes(posterior, counts),
            *stretched(posterior, kernel, customers, counts.get(("extrapolated",), 0)),
            *(drifted(counts, posterior.features) if posterior.features else []),
            *said(wider, plan.settings),
            *_outliers(counts),
            *_empty(plan, sums),
        ],
        "without_value": counts["without_value",],
        "totals": {
            name: _total(plan, sums, name, wider.get(TESTED.get(name, "")))
            for name in ("expected_purchases", "clv", "value_at_risk")
            if name in sums
        },
        "discrepancy": {part: own and own.document() for part, own in wider.items()},
        "segments": [],
    }
    if "size" in sums:
        middle = medians(plan, sample)
        found["segments"] = [
            _segment(plan, sums, middle, k, customers) for k in range(len(plan.shown))
        ]
        assert posterior.features is not None
        found["effects"] = {
            name: {"measure": one.measure, "role": one.role, **_centred(one.values)}
            for name, one in effects(posterior.features, _beginning("effect_", sums)).items()
        }
    return found


def about(
    posterior: Posterior, kernel: Kernel, units: Mapping[str, str], columns: Mapping[str, str]
) -> dict[str, Any]:
    """What is to be said of any numbers of ``kernel``: settings, precision, model, verdicts.

    ``units`` and ``columns`` are those of the table, what each column is in and what it says.
    """
    plan, manifest = kernel.plan, posterior.manifest
    precision, revenue = plan.precision, money_of(manifest.get("accounting")) != "margin"
    return {
        "schema_version": 2,
        "settings": asdict(plan.settings) | {"draws": precision.draws},
        "monte_carlo": {
            "draws": precision.draws,
            "of": precision.of,
            "ess": precision.ess,
            "mcse_of_means": precision.means,
            "mcse_of_ends": precision.ends,
            "unit": "posterior standard deviations",
        },
        "interval_level": LEVEL,
        "money": "revenue" if plan.settings.margin == 1 and revenue else "margin",
        "units": dict(units),
        "columns": dict(columns),
        "model": posterior.spec.name,
        **{name: manifest[name] for name in ("model_id", "verdict", "verdicts", "gates")},
        "as_of": kernel.as_of and kernel.as_of.isoformat(),
        "scored_at": kernel.scored_at.isoformat(),
    }


def _notes(posterior: Posterior, counts: Counts) -> list[str]:
    """What is to be said of columns that the data lack, and of customers in groups new to the fit."""
    # parts agree mostly on who is new to them
    strangers = {
        f"{count:,} {key[2]}": None
        for key, count in counts.items()
        if key[0] == "stranger" and count
    }
    return (lacking(counts, posterior.features) if posterior.features else []) + [*strangers]


def stretched(posterior: Posterior, kernel: Kernel, customers: int, far: int) -> list[str]:
    """What is to be said where customers, ``far`` of them, lie beyond those of the fit."""
    found = []
    if kernel.as_of is not None:
        later = (kernel.as_of - date.fromisoformat(posterior.manifest["as_of"])).days
        if later > _STALE * kernel.plan.settings.horizon_days:
            found.append(
                f"the data end {later} days after those of the fit, more than {_STALE} horizons: fit "
                "again, for what has changed since is not in these forecasts"
            )
        usual = (SMALLEST - 1) / posterior.manifest["customers"]["all"]
        if far / customers > DRIFTED + usual:
            found.append(
                f"{far / customers:.0%} of customers bought more often than all but {SMALLEST - 1} at "
                "the fit, or were here longer than any then (flag extrapolated; at the fit up to "
                f"{usual:.0%}): fit again"
            )
    return found


def _outliers(counts: Counts) -> list[str]:
    """What is to be said where many customers are like no segment."""
    known, far = counts["placed",], counts["far",]
    if far < 10 * max(1.0, FAR * known):
        return []
    return [
        f"{far:,} customers of {known:,} are like no segment (outlier_p below {FAR:g}, which by "
        f"chance {FAR:.1%} are): look at them before using their segment"
    ]


def _empty(plan: Plan, sums: Mapping[str, Array]) -> list[str]:
    """What is to be said of splits that divide nobody."""
    if "size" not in sums:
        return []
    held = sums["size"].any(axis=0)
    return [
        f"no customer is in {one.id} ({one.name}): look at the rule that splits it off"
        for one, somebody in zip(plan.shown, held, strict=True)
        if one.rule and not somebody
    ]


def _total(
    plan: Plan, sums: Mapping[str, Array], name: str, widened: Widening | None
) -> dict[str, float | None]:
    error = plan.precision.means
    found = _interval(sums[name], point=bool(plan.points))
    found["mcse"] = None if error is None else error * float(sums[name].std())
    if f"realised_{name}" in sums:
        realised = _interval(sums[f"realised_{name}"])
        found |= {"pred_lo": realised["lo"], "pred_hi": realised["hi"]}
    return found if widened is None else found | widened.ends(name, sums)


def _segment(
    plan: Plan, sums: Mapping[str, Array], middle: Mapping[str, Array], k: int, count: int
) -> dict[str, Any]:
    """One segment with intervals over draws; every member counts by its membership.

    Sizes, churn and money are about these customers. ``profile``, ``medians`` and ``levels`` describe
    a kind of customer, and their intervals carry the sampling of customers too; ``known`` is the
    share of the members of whom each profiled number is known.
    """
    point = bool(plan.points)
    size = sums["size"][:, k]
    found: dict[str, Any] = {
        **asdict(plan.shown[k]),
        "customers": _interval(size),
        "share": _interval(size / count),
    }
    for name in ("p_churn", "clv"):
        if f"segment_{name}" in sums:
            found[name] = _interval(_ratio(sums[f"segment_{name}"][:, k], size), point=point)
    if "segment_value_at_risk" in sums:
        found["value_at_risk"] = _interval(sums["segment_value_at_risk"][:, k], point=point)
    profile = _beginning("profile_", sums)
    found["profile"] = {
        name: _resampled(_ratio(total[:, k], known[:, k]))
        for name, (known, total) in profile.items()
    }
    found["known"] = {
        name: _interval(_ratio(known[: len(size), k], size))["mean"]
        for name, (known, _) in profile.items()
    }
    found["medians"] = {name: _resampled(values[:, k]) for name, values in middle.items()}
    found["levels"] = {
        name: {
            level: _resampled(_ratio(counts[j, :, k], counts[:, :, k].sum(axis=0)))
            for j, level in enumerate(levels)
        }
        for name, levels in _levels(plan).items()
        for counts in (sums[f"effect_{name}"],)
    }
    return found


def _levels(plan: Plan) -> dict[str, tuple[str, ...]]:
    """The levels of each category and text."""
    state = plan.posterior.features
    assert state is not None
    return {f.column: f.levels for f in (*state.features, *state.texts) if f.levels}


def _beginning(prefix: str, sums: Mapping[str, Array]) -> dict[str, Array]:
    return {n.removeprefix(prefix): found for n, found in sums.items() if n.startswith(prefix)}


def _ratio(total: Array, of: Array) -> Array:
    """``total / of``, NaN where there is nobody."""
    return np.divide(total, of, out=np.full_like(total, np.nan), where=of > 0)


def _resampled(values: Array) -> dict[str, float | None]:
    """The mean of the first half, and the interval of the second, which reweights the customers."""
    plain, again = np.split(values, 2)
    found = _interval(again)
    return found if found["mean"] is None else found | {"mean": float(plain.mean())}


def _centred(values: Array) -> dict[str, float | None]:
    """As ``_resampled``, of an effect, less its bias (Efron & Tibshirani 1993, chapter 10).

    An effect never falls below nought, so customers drawn anew push it up; the interval moves back.
    """
    plain, again = np.split(values, 2)
    found = _interval(np.maximum(again + (plain.mean() - again.mean()), 0.0))
    return found if found["mean"] is None else found | {"mean": float(plain.mean())}


def _interval(values: Array, *, point: bool = False) -> dict[str, float | None]:
    """Mean and central interval over draws; None where it cannot be computed.

    What is expected under a ``point`` estimate has no interval.
    """
    if not np.isfinite(values).all():
        return dict.fromkeys(("mean", "lo", "hi"))
    low, high = (None, None) if point else np.quantile(values, QUANTILES).tolist()
    return {"mean": float(values.mean()), "lo": low, "hi": high}
