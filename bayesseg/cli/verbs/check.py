"""``bayesseg check``: is this log fit to be fitted?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bayesseg.cli.flags import (
    LANGUAGE,
    Facts,
    Force,
    Lang,
    MaybeData,
    MaybeHtml,
    SourceFlags,
    SummaryFlags,
    argv,
    command_line,
    spoken,
)
from bayesseg.cli.said import say_findings, say_provenance
from bayesseg.cli.shell import Outcome, Shell
from bayesseg.cli.steps import reading, segmenting
from bayesseg.cli.text import quality_table, table
from bayesseg.errors import BayessegError, InputRejected

if TYPE_CHECKING:
    from bayesseg.customers import Customers
    from bayesseg.ingest import Purchases


def check(
    source: SourceFlags,
    summary: SummaryFlags,
    shell: Shell,
    data: MaybeData = None,
    attributes: Facts = None,
    out: MaybeHtml = None,
    show_ids: Annotated[
        bool, typer.Option("--show-ids", help="Name the customers of the examples too.")
    ] = False,
    lang: Lang = LANGUAGE,
    force: Force = False,
) -> Outcome:
    """Judge the data: rows accounted for, findings, readiness.

    Fits nothing, says everything at once; exit 3 where the data cannot be used. Of a --summary there
    is less to say: it has no rows and no days. (validate judges forecasts, verify files.)

    Example: bayesseg check orders.csv --as-of 2025-06-30
    """
    from bayesseg.ingest import together
    from bayesseg.report.quality import build

    where = reading.source_of(data, source, shell, summary)
    segmenting.refuse_page(out, force=force)
    document, refused = _examined(
        where, source, summary, attributes or (), shell, show_ids=show_ids
    )
    given = argv(replace(source, from_=None, quarantine=None, rates=None, keep_id=None), summary)
    given += [word for path in attributes or () for word in ("--attributes", path)]
    command = command_line(
        "check", *(("DATA",) if data else ()), *given, *spoken(lang), "-o", "OUT.html"
    )
    document = segmenting.written(build, document, command, out, shell, lang=lang, force=force)
    return Outcome(document, together(refused) if refused else None)


def _examined(
    data: str,
    source: SourceFlags,
    summary: SummaryFlags,
    attributes: Sequence[str],
    shell: Shell,
    *,
    show_ids: bool,
) -> tuple[dict[str, Any], list[InputRejected]]:
    """Everything that can be said of the data, and what refuses them."""
    from bayesseg.customers import summarise
    from bayesseg.ingest import collected, pseudonyms

    refused: list[InputRejected] = []
    purchases, customers = None, None
    with collected(refused):
        if summary.summary is not None:
            customers = reading.buyers(reading.load_summary(data, source, summary, shell))
        else:
            purchases = reading.examined(data, source, shell)
            refused += purchases.refused
            customers = summarise(purchases, as_of=source.as_of)
    document: dict[str, Any] = {"readiness": {"level": "blocked", "gates": []}, "findings": []}
    if purchases is not None:
        document |= purchases.provenance
        say_provenance((customers or purchases).provenance, shell)
        shell.show(quality_table(purchases.provenance) + "\n")
    if customers is not None:
        with collected(refused):
            customers = reading.joined(customers, attributes, source, shell)
        judged_too, error = _judged(customers, shell)
        document |= judged_too
        refused += [error] if error is not None else []
        more, facts = _apart(customers, show_ids=show_ids)
        say_findings(more, shell)
        document["findings"] = [*document["findings"], *more]
        document["quality"] = {**document.get("quality", {}), "customers": facts}
    document["findings"] = [
        _placed(one, document, purchases if show_ids else None)
        for one in [*document["findings"], *map(_refusal, refused)]
    ]
    if show_ids and (key := source.key()) is not None:
        for one in document["findings"]:
            if one.get("ids"):
                one["ids"] = pseudonyms(one["ids"], key).tolist()
    if show_ids and (named := [one for one in document["findings"] if one.get("ids")]):
        rows = [(one["code"], ", ".join(one["ids"])) for one in named]
        shell.show("\n" + table(("finding", "ids, for example"), rows))
    if refused:
        document["readiness"] = {**document["readiness"], "level": "blocked"}
    return document, refused


def judged(loaded: reading.Loaded, shell: Shell) -> tuple[dict[str, Any], BayessegError | None]:
    """Accounting and readiness as a document; an error where the data cannot identify a model."""
    return _judged(reading.buyers(loaded), shell)


def _judged(customers: Customers, shell: Shell) -> tuple[dict[str, Any], InputRejected | None]:
    from bayesseg.readiness import readiness, require_ready

    gates = readiness(customers)
    level = gates[0].level
    marks = {"ready": "ok", "caution": "caution", "blocked": "BLOCKED"}
    shell.show(table(("", "readiness"), [(marks[gate.level], gate.message) for gate in gates]))
    document = {
        **customers.provenance,
        "customers": {
            **customers.provenance["customers"],
            "all": customers.total,
            "repeat": int(customers.counts[customers.x > 0].sum()),
        },
        "readiness": {"level": level, "gates": [asdict(gate) for gate in gates]},
    }
    try:
        require_ready(customers)
    except InputRejected as error:
        return document, error
    return document, None


def _apart(
    customers: Customers, *, show_ids: bool
) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """Customers unlike all others, as a finding and as numbers."""
    from bayesseg.ingest import finding, many
    from bayesseg.segmentation.outliers import ANOMALY, FEATURES, TAIL, apart

    found = apart(customers)
    if found is None:
        return [], None
    far, isolated = len(found.mahalanobis), len(found.forest)
    facts = {
        "features": list(FEATURES),
        "mahalanobis": {"customers": far, "asked": found.asked, "quantile": TAIL},
        "isolation_forest": {
            "customers": isolated,
            "asked": found.asked_of_forest,
            "limit": ANOMALY,
        },
    }
    message = (
        f"{many(far, 'customer')} of {found.asked:,} far from the others (Mahalanobis), {isolated:,} of "
        f"{found.asked_of_forest:,} easily told apart (isolation forest): flagged, kept"
    )
    one = finding("customers_apart", "note", max(far, isolated), message)
    if show_ids:
        one["ids"] = customers.ids[[*found.forest[:5], *found.mahalanobis[:5]]].tolist()
    return [one] if one["count"] else [], facts


def _refusal(error: InputRejected) -> dict[str, Any]:
    from bayesseg.ingest import finding

    return finding(error.code, "reject", 1, error.message, error.fix)


def _placed(
    one: Mapping[str, Any], document: Mapping[str, Any], purchases: Purchases | None
) -> dict[str, Any]:
    """A finding with its number in the catalogue, its column and, where asked for, ids."""
    from bayesseg.ingest import CATALOGUE

    roles = {"id": "customer_id", "date": "date", "amount": "amount", "currency": "currency"}
    role = roles.get(one["code"].partition("_")[0])
    column = document.get("columns", {}).get(role, {}).get("value")
    ids = purchases.ids_of(one["records"]) if purchases and one["records"] else None
    return {
        **one,
        "case": CATALOGUE.get(one["code"]),
        "column": column,
        **({"ids": ids} if ids else {}),
    }
