"""Scores: family quantities averaged over a posterior, one row a customer. L7.

Customers with one history share one row, and each quantity is computed once for the distinct values of
the columns it reads. Arrays draws x rows live only inside a block and are reduced there. A customer's
numbers depend on the posterior, the settings and the customer alone, never on who else is in the file,
on the order, on the chunk or on the number of threads (but for ``priority_rank`` and
``p_top_decile``, which are about the file). No PyMC is imported here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import numpy as np

from bayesseg._types import OnProgress, Progress
from bayesseg.customers import Attributes, Customers, money_of
from bayesseg.errors import InputRejected, UsageError
from bayesseg.features import absent
from bayesseg.posterior import Posterior
from bayesseg.scoring.document import document_of
from bayesseg.scoring.kernel import kernel_of, scored
from bayesseg.scoring.newcomer import newcomer
from bayesseg.scoring.pieces import merged
from bayesseg.scoring.sample import sample_of
from bayesseg.scoring.settings import FEWEST_DRAWS, LEVEL, TOP_SHARE, Scores, Settings
from bayesseg.scoring.table import COLUMNS, meaning_of, ranks, unit_of

__all__ = [
    "COLUMNS",
    "FEWEST_DRAWS",
    "LEVEL",
    "TOP_SHARE",
    "Scores",
    "Settings",
    "meaning_of",
    "score",
    "unit_of",
]

_USUAL = Settings()
_NONE: Mapping[str, str] = {}


def score(
    posterior: Posterior,
    data: Customers | Attributes,
    settings: Settings = _USUAL,
    *,
    threads: int | None = None,
    released: Mapping[str, str] = _NONE,
    on_progress: OnProgress | None = None,
) -> Scores:
    """Score every customer of ``data``, those unseen at the fit included.

    The columns of a part that failed its gates are there and null, unless it is ``released``; value
    needs purchases and spend.

    More draws than ``settings`` asks for are kept where a thinned chain would be worth fewer, and as
    many as there are where a part holds fewer; the document says which and how precise that is.

    Args:
        posterior: what ``fit`` or ``load`` returned.
        data: customers, or attributes for a model of segments alone.
        settings: horizons, money and draws.
        threads: all cores by default; the numbers are the same for any.
        released: parts that failed and are scored all the same, each with the reason, which the
            document repeats.
        on_progress: told how many customers are done.

    Raises:
        InputRejected: the data do not fit the model (no purchases, an as-of before the training
            data's, no feature column; one that is missing, where the model refuses missing values;
            money, currency, zone of the day or size of amounts unlike those of the fit).
        UsageError: a ``margin`` of money that is margin already.
    """
    accept_columns(posterior, data)
    accept(
        posterior, settings, data.provenance, data.as_of if isinstance(data, Customers) else None
    )
    if not (data.ids[:-1] <= data.ids[1:]).all():
        data = data.take(np.argsort(data.ids, kind="stable"))
    sample = sample_of(data, posterior.manifest["seed"])
    as_of = data.as_of if isinstance(data, Customers) else None

    def done(count: int) -> None:
        if on_progress:
            on_progress(Progress("score", count, len(data)))

    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        kernel = kernel_of(posterior, settings, as_of, released=released, sample=sample, pool=pool)
        table, piece = scored(kernel, data, pool, done)
        fresh = newcomer(kernel, pool)
    if kernel.plan.valued:
        table["priority_rank"] = ranks(table["value_at_risk"].to_numpy())
    document = document_of(posterior, kernel, merged([piece]), list(map(str, table)), sample)
    return Scores(table, document | {"newcomer": fresh, "released": dict(released)})


def accept(
    posterior: Posterior, settings: Settings, provenance: Mapping[str, Any], as_of: date | None
) -> None:
    """Refuse data that are not of the kind the model was fitted on, whoever has them.

    Raises:
        InputRejected: no purchases where the model needs them, an as-of before the fit's; money,
            currency, zone of the day or size of amounts unlike those of the fit.
        UsageError: a ``margin`` of money that is margin already.
    """
    if "purchase" in posterior.spec.parts:
        _accept_day(posterior, as_of)
    _accept_money(posterior, provenance, settings)
    _accept_units(posterior, provenance)


def _accept_money(posterior: Posterior, provenance: Mapping[str, Any], settings: Settings) -> None:
    """Money of one kind throughout, and no margin of a margin."""
    trained, given = money_of(posterior.manifest.get("accounting")), money_of(provenance)
    if trained and given and trained != given:
        raise InputRejected(
            f"the model was fitted on {trained}, the data hold {given}",
            fix="read the data with --cost as at the fit"
            if trained == "margin"
            else "read the data without --cost, as at the fit",
            code="money_differs",
        )
    if trained == "margin" and settings.margin != 1:
        raise UsageError(
            f"--margin {settings.margin:g}, but the money is margin already: --cost took the costs off",
            fix="leave --margin out",
        )


_RESCALED = 30.0
"""Factor between median amounts that no change of habit explains; cents for euros make 100."""


def _accept_units(posterior: Posterior, given: Mapping[str, Any]) -> None:
    """Amounts and days mean what they meant at the fit, as far as both sides say it."""
    trained = posterior.manifest.get("accounting") or {}
    now, then = given.get("policies", {}), trained.get("policies", {})
    for key, what, fix in (
        ("currency", "amounts in", "turn them into that currency: --rates FILE"),
        ("day", "days of the zone", "give the --tz of the fit"),
    ):
        said = {then.get(key), now.get(key)} - {None, "as written"}
        if len(said) > 1:
            raise InputRejected(
                f"the model was fitted on {what} {then[key]}, the data hold {what} {now[key]}",
                fix=fix,
                code=f"{key}_differs",
            )
    medians = [
        side.get("quality", {}).get("amounts", {}).get("median") for side in (trained, given)
    ]
    if all(medians) and not 1 / _RESCALED < medians[1] / medians[0] < _RESCALED:
        raise InputRejected(
            f"half of the amounts are above {medians[1]:,.4g}, at the fit above {medians[0]:,.4g}: "
            "another unit, such as cents, or another currency",
            fix="give --amount the column in the unit of the fit, or fit a model of these amounts",
            code="unit_differs",
        )


def accept_columns(posterior: Posterior, data: Customers | Attributes) -> None:
    """Refuse data without a customer, without names, or without a column that the model needs.

    Raises:
        InputRejected: any of these.
    """
    if len(data) == 0:
        raise InputRejected("there is no customer to score", code="empty")
    if isinstance(data, Customers) and data.n is not None:
        raise InputRejected(
            "the summary has no ids: whose scores would these be?",
            fix="give one row a customer with an id (bayesseg sql without --histogram)",
            code="columns_unknown",
        )
    if posterior.features is not None:
        gone, _ = absent(data, posterior.features)
        if gone and posterior.spec.parts["segments"].options["missing"] == "reject":
            raise InputRejected(
                f"the data have no value of {', '.join(map(repr, gone))}, and the model refuses "
                "missing values",
                fix='give the column, or fit a model with missing = "model"',
                code="missing_column",
            )


def _accept_day(posterior: Posterior, as_of: date | None) -> None:
    if as_of is None:
        raise InputRejected(
            f"model {posterior.spec.name!r} reads purchases, not a table of clients",
            fix="give the purchase log",
        )
    trained = date.fromisoformat(posterior.manifest["as_of"])
    if as_of < trained:
        raise InputRejected(
            f"the data end on {as_of}, the model was fitted on data to {trained}",
            fix="score data that reach at least as far, or fit again with --as-of",
        )
