"""Customers summed up and scored on Spark, for the files and the fit of this machine. L10."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg.cli.flags import ScoreFlags, SourceFlags, SparkFlags, SummaryFlags, argv
from bayesseg.cli.said import say_provenance
from bayesseg.cli.shell import Shell
from bayesseg.cli.steps.reading import Loaded
from bayesseg.cli.steps.scoring import say_document, say_settings, write_batches
from bayesseg.errors import InputRejected, UsageError

if TYPE_CHECKING:
    from bayesseg.posterior import Posterior
    from bayesseg.spark import Summary
    from bayesseg.spec import ModelSpec

_COLUMNS = ("customer_id", "date", "amount", "order_id", "cost", "group", "extract")
_POLICIES = ("tz", "refunds", "dedupe", "min_date", "keep_id", "drop_missing_id", "max_bad")
_TEXT = ("delimiter", "encoding")


def summed(data: str, source: SourceFlags, spark: SparkFlags, shell: Shell) -> Summary:
    """The purchase lines at ``data`` summed up by Spark, every line accounted for."""
    from bayesseg.ingest.columns import resolve
    from bayesseg.spark import summary

    _only(source, (*_COLUMNS, *_POLICIES, *_TEXT, "as_of"), "a purchase log on Spark")
    if source.as_of is None:
        raise UsageError("the last day observed is not given", fix="give --as-of DAY")
    lines = _rows(data, source, spark)
    options = source.options()
    roles = resolve(lines.columns, options)
    columns: dict[str, Any] = {
        role: name if role in ("amount", "cost") and roles.origin[role] == "given" else f'"{name}"'
        for role, name in roles.values.items()
        if role in _COLUMNS
    }
    if roles.currency is not None:
        raise InputRejected(
            f"{roles.currency!r} looks like a column of currencies, which Spark does not convert here",
            fix="give --currency none where all amounts are in one, or convert them in a view",
            code="currencies_mixed",
        )
    policies: dict[str, Any] = {name: getattr(options, name) for name in _POLICIES}
    made = summary(lines, **columns, as_of=source.as_of, **policies)
    made = replace(made, provenance={**made.provenance, "columns": roles.record()})
    say_provenance(made.provenance, shell)
    return made


def loaded(
    data: str, source: SourceFlags, spark: SparkFlags, spec: ModelSpec, shell: Shell
) -> Loaded:
    """What a fit on this machine needs of the purchase lines at ``data``."""
    from bayesseg.spark import collected

    _refuse_clients(spec)
    # a mixture is fitted to each customer, the rest to distinct ones and their numbers
    customers = collected(summed(data, source, spark, shell), weighted="segments" not in spec.parts)
    shell.say(f"{customers.total:,} customers from Spark, {len(customers):,} distinct rows to fit")
    shell.warn(
        "a summary carries no backtest: forecasts stay unassessed (bayesseg validate reads a log)"
    )
    return Loaded(customers)


def score(
    posterior: Posterior,
    data: str,
    source: SourceFlags,
    summary: SummaryFlags,
    spark: SparkFlags,
    settings: ScoreFlags,
    target: str,
    kind: str,
    shell: Shell,
    released: Mapping[str, str],
    *,
    raw: bool,
    force: bool,
) -> tuple[list[Path], dict[str, Any]]:
    """Score on Spark and write one file with its document; return what was written and what it says."""
    from bayesseg.spark import scored

    _refuse_clients(posterior.spec)
    customers: Any
    if summary.summary is None:
        customers = summed(data, source, spark, shell)
    else:
        if summary.time_unit is not None:
            raise UsageError(
                "--time-unit is not for Spark", fix="give x, t_x, t_end in days: bayesseg sql"
            )
        _only(source, ("as_of", *_TEXT), "a summary on Spark")
        customers = _rows(data, source, spark)
    say_settings(posterior, settings, shell)
    given = {} if summary.summary is None else {"as_of": source.as_of, "money": summary.money}
    with scored(customers, posterior, settings.settings(), released=released, **given) as found:
        say_document(found.document, shell)
        written = write_batches(
            found.batches(),
            found.schema,
            found.document,
            target,
            kind,
            shell,
            raw=raw,
            force=force,
        )
    return written, dict(found.document)


def _rows(data: str, source: SourceFlags, spark: SparkFlags) -> Any:
    """The table of Spark at ``data``."""
    from bayesseg.spark import rows, start

    return rows(start(spark.master), data, delimiter=source.delimiter, encoding=source.encoding)


def _only(source: SourceFlags, known: tuple[str, ...], what: str) -> None:
    """Refuse flags that mean something for a file read here and nothing for Spark."""
    unset: dict[str, Any] = {name: getattr(SourceFlags(), name) for name in known}
    if source.currency == "none":
        unset["currency"] = None
    if others := argv(replace(source, **unset)):
        raise UsageError(
            f"{others[0]} is not for {what}",
            fix="do it in a view and give that, or leave --engine spark out",
        )


def _refuse_clients(spec: ModelSpec) -> None:
    if "purchase" not in spec.parts:
        raise UsageError(
            f"model {spec.name!r} reads no purchases: there is nothing to sum up",
            fix="leave --engine spark out; from Python, bayesseg.spark.score takes a table of clients",
        )
