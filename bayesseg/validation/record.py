"""The track record: what scores promised, held against what came, one entry a score file. L8.

An entry is made once the horizon has passed in full; money joins it when the value horizon has. It names
nobody. The log is JSON lines, and the same scores judged again replace their entry.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bayesseg._files import lock, write_text
from bayesseg._types import DAYS_PER_YEAR, SMALLEST, Array, IntArray
from bayesseg.aggregates.cells import hidden
from bayesseg.customers import purchase_days
from bayesseg.errors import ArtefactBad, InputRejected
from bayesseg.ingest import Purchases
from bayesseg.posterior import now
from bayesseg.validation import metrics

if TYPE_CHECKING:
    import pandas as pd

type Entry = Mapping[str, Any]
type Mask = npt.NDArray[np.bool_]
type Named = Callable[[npt.NDArray[np.object_]], npt.NDArray[np.object_]]


def _as_they_are(ids: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    return ids


SCHEMA_VERSION = 1
LEVEL = 0.90
"""Of every interval of a score file."""
_Z = 1.6448536269514722
_KEYS = {"scores", "scored_at", "as_of", "until", "customers", "totals", "each", "segments"}
CLOSED_DAYS = 5
"""With which a log of what came may begin before its first purchase: a shop has holidays."""
_UNUSUAL = 0.05
"""A number of misses less likely than this, were the intervals right, fails the record."""


@dataclass(frozen=True, slots=True)
class _Came:
    """What the customers of a score file did within a window after it, (N,) each.

    ``covered`` says of whom the data can tell: they are in them, or their last purchase before the
    scores is older than the data, which are then the log of what came and no more.
    """

    purchases: IntArray
    spend: Array
    discounted: Array
    before: IntArray
    covered: Mask
    unscored: int
    newcomers: int


def judge(
    scores: pd.DataFrame,
    document: Mapping[str, Any],
    purchases: Purchases,
    last: date,
    named: Named = _as_they_are,
) -> Entry:
    """Hold the forecasts of a score file against what came.

    Args:
        scores: the score table.
        document: what stands beside it.
        purchases: a log that reaches from the as-of day of the scores over their whole horizon; it may
            begin long before.
        last: the last day observed.
        named: gives the ids of ``purchases`` as the scores have them, where those hold pseudonyms.

    Returns:
        JSON-able: ``totals`` (``purchases``, and ``money`` once it can be judged) beside their
        intervals at 90 %, ``each`` customer's forecasts (errors, coverage, calibration of ``p_churn``),
        ``segments`` of at least eleven customers, and who was counted. Money is discounted and
        multiplied by the margin as the forecast was. Where some customers cannot be judged, totals
        are those of the others, their intervals scaled by the share of the forecast they hold.

    Raises:
        InputRejected: the scores hold no forecast, the horizon has not passed, the log begins within
            it, or holds none of their customers.
    """
    if document.get("as_of") is None or "p_churn" not in scores or scores["p_churn"].isna().all():
        raise InputRejected(
            "these scores forecast no purchases", fix="give scores of a model of purchases"
        )
    as_of, settings = date.fromisoformat(document["as_of"]), document["settings"]
    until, paid_until = (
        as_of + timedelta(days=settings[name]) for name in ("horizon_days", "value_horizon_days")
    )
    if last < until:
        raise InputRejected(
            f"the scores of {as_of} forecast up to {until}, and the data end on {last}",
            fix=f"judge them with data up to {until} or later ({(until - last).days} days more)",
            code="too_early",
        )
    refuse_late(purchases, as_of + timedelta(days=1))
    came = _came(scores, purchases, as_of, until, settings, named)
    if not (came.purchases.any() or came.before.any()):
        raise InputRejected(
            "no customer of the scores is in the data",
            fix="give the log that was scored, as it is now, with ids written in the same way",
            code="ids_differ",
        )
    judged = scores[came.covered]
    bought = came.purchases[came.covered]
    money, value = None, {}
    if last >= paid_until and "clv" in judged and judged["clv"].notna().any():
        paid = _came(scores, purchases, as_of, paid_until, settings, named)
        known = came.covered & scores["clv"].notna().to_numpy()
        spent = paid.discounted[known]
        money = _total(document, "clv", scores, known, spent)
        value = {"clv": _errors(scores[known], "clv", "clv_pred", spent)}
    return {
        "schema_version": SCHEMA_VERSION,
        "scores": document["table"]["sha256"],
        "scored_at": document["scored_at"],
        "judged_at": now().isoformat(),
        "model": document["model"],
        "model_id": document["model_id"],
        "verdict": document["verdict"],
        "as_of": as_of.isoformat(),
        "until": until.isoformat(),
        "horizon_days": settings["horizon_days"],
        "value_horizon_days": settings["value_horizon_days"],
        "money_from": paid_until.isoformat(),
        "money_is": document["money"],
        "level": LEVEL,
        "customers": {
            "scored": len(scores),
            "judged": len(judged),
            "absent": int((~came.covered).sum()),
            "unscored": came.unscored,
            "newcomers": came.newcomers,
            "changed": int(
                ((came.before != scores["frequency"] + 1) & came.covered & (came.before > 0)).sum()
            ),
        },
        "totals": {
            "purchases": _total(document, "expected_purchases", scores, came.covered, bought),
            "money": money,
        },
        "each": {
            "purchases": _errors(judged, "expected_purchases", "purchases_pred", bought),
            "active": metrics.active(
                1 - judged["p_churn"].to_numpy(), judged["expected_purchases"].to_numpy(), bought
            )
            | {"actual": int((bought > 0).sum())},
            "reliability": metrics.reliability(1 - judged["p_churn"].to_numpy(), bought),
            **value,
        },
        "segments": _segments(judged, bought),
    }


def refuse_late(purchases: Purchases, first: date) -> None:
    """Refuse a log that begins after ``first``, from when on purchases are to be counted.

    Raises:
        InputRejected: it does, by more than ``CLOSED_DAYS``.
    """
    begun = date.fromisoformat(purchases.provenance["days"]["first"])
    if begun > first + timedelta(days=CLOSED_DAYS):
        raise InputRejected(
            f"purchases are to be counted from {first} on, and the data begin on {begun}",
            fix=f"give the log from {first} or earlier",
            code="too_late",
        )


def _came(
    scores: pd.DataFrame,
    purchases: Purchases,
    as_of: date,
    until: date,
    settings: Mapping[str, Any],
    named: Named,
) -> _Came:
    import pandas as pd

    ids, customer, day, net = purchase_days(purchases, until)
    after = day > as_of.toordinal()
    rate = math.log1p(settings["annual_discount"]) / DAYS_PER_YEAR
    discount = np.exp(-rate * (day - as_of.toordinal())) * settings["margin"]

    def each(rows: Mask, weights: Array | None = None) -> Array:
        own = None if weights is None else weights[rows]
        return np.bincount(customer[rows], weights=own, minlength=len(ids)).astype(np.float64)

    found = {
        "purchases": each(after),
        "spend": each(after, net),
        "discounted": each(after, net * discount),
        "before": each(~after),
    }
    place = pd.Index(named(ids)).get_indexer(pd.Index(scores["customer_id"]))
    here = place >= 0
    at = {
        name: np.where(here, np.append(values, 0.0)[place], 0.0) for name, values in found.items()
    }
    first = date.fromisoformat(purchases.provenance["days"]["first"]).toordinal()
    older = as_of.toordinal() - scores["days_since_last"].to_numpy() < first
    others = np.ones(len(ids), dtype=bool)
    others[place[here]] = False
    old = others & (found["before"] > 0)
    return _Came(
        purchases=at["purchases"].astype(np.int64),
        spend=at["spend"],
        discounted=at["discounted"],
        before=at["before"].astype(np.int64),
        covered=here | older,
        unscored=int(old.sum()),
        newcomers=int((others & ~old).sum()),
    )


def _total(
    document: Mapping[str, Any],
    name: str,
    scores: pd.DataFrame,
    judged: Mask,
    actual: Array | IntArray,
) -> dict[str, Any]:
    """A total, the interval of what comes and the one widened by past misses, beside what came."""
    forecast, expected = document["totals"][name], scores[name].to_numpy(dtype=float)
    share = float(np.nansum(expected[judged]) / np.nansum(expected))
    came = float(actual.sum())
    found: dict[str, Any] = {"actual": came, "mean": share * forecast["mean"]}
    for prefix, key in (("pred_", ""), ("widened_", "widened_")):
        low, high = (forecast.get(f"{prefix}{end}") for end in ("lo", "hi"))
        known = low is not None and high is not None
        found |= {
            f"{key}lo": share * low if known else None,
            f"{key}hi": share * high if known else None,
            f"{key}inside": share * low <= came <= share * high if known else None,
        }
    found["bias"] = found["mean"] / came - 1 if came else None
    return found


def _errors(
    judged: pd.DataFrame, name: str, interval: str, actual: Array | IntArray
) -> dict[str, Any]:
    """Errors over customers, and how many lie within their interval, ends included."""
    found: dict[str, Any] = metrics.points(
        judged[name].to_numpy(dtype=float), actual.astype(np.float64), logarithms=False
    )
    low, high = (judged[f"{interval}_{end}"].to_numpy(dtype=float) for end in ("lo", "hi"))
    known = ~np.isnan(low)
    within = (low <= actual) & (actual <= high)
    found["coverage"] = float(within[known].mean()) if known.any() else None
    return found


def _segments(judged: pd.DataFrame, bought: IntArray) -> list[dict[str, Any]]:
    """By likeliest segment: those who bought nothing, foretold and counted, and purchases.

    ``chance_lo`` and ``chance_hi`` hold the share with 90 % probability where every ``p_churn`` is
    right: the spread of independent customers, and no more.
    """
    if "segment" not in judged or judged["segment"].isna().all():
        return []
    found = []
    each = judged.assign(came=bought).groupby(["segment", "segment_name"])
    sizes = each.size().to_numpy()
    gone = hidden(sizes, sizes < SMALLEST)  # and one more, if need be: the total is known
    for ((segment, name), rows), small in zip(each, gone, strict=True):
        if small:
            continue
        count, p = len(rows), rows["p_churn"].to_numpy()
        spread = _Z * float(np.sqrt((p * (1 - p)).sum())) / count
        found.append(
            {
                "id": segment,
                "name": name,
                "customers": count,
                "silent": float((rows["came"] == 0).mean()),
                "p_churn": float(p.mean()),
                "chance_lo": max(0.0, float(p.mean()) - spread),
                "chance_hi": min(1.0, float(p.mean()) + spread),
                "purchases": int(rows["came"].sum()),
                "expected_purchases": float(rows["expected_purchases"].sum()),
            }
        )
    return found


def append(path: Path, entry: Entry) -> list[Entry]:
    """Put ``entry`` into the log at ``path``, in place of one about the same scores; all entries.

    The log is rewritten as a whole: a reader sees the old one or the new.

    Raises:
        ArtefactBad: what is there is no such log.
        Locked: somebody else is writing to it.
    """
    with lock(path):
        others = [one for one in read(path) if one["scores"] != entry["scores"]]
        entries = sorted([*others, entry], key=_order)
        write_text(path, "".join(json.dumps(one, allow_nan=False) + "\n" for one in entries))
    return entries


def read(path: Path) -> list[Entry]:
    """The entries of a log, oldest first; none where there is no file.

    Raises:
        ArtefactBad: a line is no entry, or was written by a later version.
    """
    if not path.exists():
        return []
    entries = []
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            entry = json.loads(line)
            if entry["schema_version"] > SCHEMA_VERSION:
                raise ArtefactBad(
                    f"line {number} of {path} was written by a later version of bayesseg",
                    fix="update bayesseg",
                )
            if not entry.keys() >= _KEYS:
                raise KeyError(number)
            entries.append(entry)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtefactBad(
            f"{path} is no track record: line {len(entries) + 1} cannot be read",
            fix="give the log that bayesseg validate --scores writes, or another name for a new one",
        ) from error
    return sorted(entries, key=_order)


def _order(entry: Entry) -> tuple[str, str, str]:
    return entry["as_of"], entry["scored_at"], entry["scores"]


def apart(entries: Sequence[Entry], until: str = "until") -> list[Entry]:
    """Entries whose horizons do not overlap, the oldest first: overlapping ones share what came.

    ``until`` names the end of a horizon: that of purchases, or ``money_from``, that of value.
    """
    found: list[Entry] = []
    for entry in sorted(entries, key=_order):
        if not found or entry["as_of"] >= found[-1][until]:
            found.append(entry)
    return found


def verdict(entries: Sequence[Entry]) -> dict[str, Any]:
    """What the log says of the totals of purchases.

    ``failed``: among the horizons ``apart``, so many lie outside even their widened interval (the plain
    one, where there is none) that intervals that are right would do so with a probability below 5 %;
    one alone never does. ``caution``: some plain interval missed, or the last horizon's did. Else
    ``passed``; ``not-assessed`` where no entry has an interval.
    """
    from scipy.stats import binom

    single = [one["totals"]["purchases"] for one in apart(entries)]
    single = [one for one in single if one["inside"] is not None]
    latest = [one["totals"]["purchases"] for one in entries][-1:]
    inside = [bool(one["inside"]) for one in single]
    wide = [
        one["inside"] if one["widened_inside"] is None else one["widened_inside"] for one in single
    ]
    misses = wide.count(False)
    chance = float(binom.sf(misses - 1, len(wide), 1 - LEVEL)) if wide else None
    missed = not all(inside) or any(one["inside"] is False for one in latest)
    word = "passed" if not missed else "caution"
    if not wide:
        word = "not-assessed"
    elif misses and chance is not None and chance < _UNUSUAL:
        word = "failed"
    return {
        "verdict": word,
        "entries": len(entries),
        "apart": len(single),
        "inside": sum(inside),
        "widened_inside": len(wide) - misses,
        "p": chance,
    }
