"""What is said of a source: what was inferred, what was left out and why. L10."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bayesseg.cli.shell import Shell
from bayesseg.cli.text import table


def say_provenance(provenance: Mapping[str, Any], shell: Shell) -> None:
    """Say the dialect, the columns, the accounting of rows and every finding."""
    roles = [(f"{role} column", entry) for role, entry in provenance["columns"].items()]
    settled = [*provenance["dialect"].items(), *roles]
    shell.say(
        table(
            ("reading", "value", "because", "change by"),
            [
                ("source", *_source(provenance["source"])),
                *(
                    (
                        name.replace("_", " "),
                        _mark(entry["value"]),
                        entry.get("evidence") or entry["origin"],
                        entry["flag"],
                    )
                    for name, entry in settled
                ),
            ],
        )
    )
    shell.say(accounting(provenance))
    say_findings(provenance.get("findings", ()), shell)
    if "schema" in provenance:
        say_schema(provenance["schema"], shell)
    if provenance.get("policies", {}).get("money") == "margin":
        shell.say("money is margin: each amount less its cost")
    elif "summary" in provenance:
        shell.say("money is revenue")
    for column, levels in provenance.get("shares", {}).items():
        shell.say(f"shares of spend by {column}: {', '.join([*levels, '(other)'])}")
    if "as_of" in provenance:
        why = provenance["as_of_origin"]
        change = (
            "" if why == "column as_of" else "; change by --as-of"
        )  # a summary is of its one day
        shell.say(f"as of {provenance['as_of']} ({why}){change}")


def say_schema(schema: Mapping[str, Any], shell: Shell) -> None:
    """Say what each column of a table of clients is taken for, and which say the same."""
    rows = [
        (name, one["kind"], f"{one['distinct']:,}", f"{one['missing']:,}")
        for name, one in schema["columns"].items()
    ]
    if rows:
        shell.say(table(("column", "taken for", "distinct", "missing"), rows))
    for pair in schema["collinear"]:
        first, second = pair["columns"]
        shell.say(
            f"note: {first} and {second} say the same (correlation {pair['correlation']:.2f})"
        )


def say_findings(findings: Iterable[Mapping[str, Any]], shell: Shell) -> None:
    """Say each finding with its fix; warnings as such."""
    for one in findings:
        said = f"{one['message']}; {one['fix']}" if one["fix"] else one["message"]
        if one["level"] == "note":
            shell.say(f"note: {said}")
        else:
            shell.warn(said)


_KINDS = {
    "csv": "delimited text",
    "jsonlines": "JSON lines",
    "parquet": "Parquet",
    "excel": "workbook",
    "duckdb": "DuckDB file",
    "postgres": "PostgreSQL",
    "frame": "frame",
    "spark": "table on Spark",
}


def _source(info: Mapping[str, Any]) -> tuple[str, str, str]:
    """Kind and name of a source, why it is taken for that, the flag that changes it."""
    kind = _KINDS[info["kind"]]
    if "sheet" in info:
        return f"{kind}, sheet {info['sheet']!r}", "content and name", "--sheet"
    if info.get("table"):
        return f"{kind}, table {info['table']}", "given", "--table"
    if "query_sha256" in info:
        return f"{kind}, query {info['query_sha256'][:12]}", "given", "--query-file"
    return kind, "content", "DATA"


def accounting(provenance: Mapping[str, Any]) -> str:
    """``6,919 rows in = 6,900 used + 19 date_missing``; of a summary, the customers they stand for."""
    rows = provenance["rows"]
    excluded = [f"{count:,} {reason}" for reason, count in rows["excluded"].items() if count]
    of = f" ({provenance['customers']['seen']:,} customers)" if "summary" in provenance else ""
    return " + ".join([f"{rows['in']:,} rows in = {rows['used']:,} used{of}", *excluded])


def _mark(value: str | None) -> str:
    return {"\t": "TAB", None: "–"}.get(value, str(value))
