"""From a run and distinct histories to the two tables that a warehouse joins its customers with. L10."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesseg._files import refuse_existing, sha256_of, write_blocks
from bayesseg.cli import scorefile
from bayesseg.cli.flags import ScoreFlags, SourceFlags, SummaryFlags, argv, is_address
from bayesseg.cli.progress import progress
from bayesseg.cli.said import say_provenance
from bayesseg.cli.shell import Shell
from bayesseg.cli.steps import reading
from bayesseg.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from bayesseg.posterior import Posterior
    from bayesseg.summary import Histories

_READ = ("table", "query_file", "encoding", "delimiter", "decimal", "as_of")


def asked(data: str | None, source: SourceFlags, summary: SummaryFlags) -> bool:
    """Whether ``--table`` stands alone: the distinct histories are then all there is to read."""
    return source.table is not None and data is source.from_ is summary.summary is None


def spend_beside(path: Path) -> Path:
    """Where the table of spend goes: ``lookup.parquet`` has ``lookup.spend.parquet``."""
    return path.with_name(f"{path.stem}.spend{path.suffix}")


def read(source: SourceFlags, shell: Shell, others: Mapping[str, object]) -> Histories:
    """The histories that ``--table`` names; ``others`` are options that a lookup has no use for."""
    from bayesseg.summary import read_histories

    unset: dict[str, Any] = dict.fromkeys(_READ)
    given = [*(name for name, value in others.items() if value), *argv(replace(source, **unset))]
    if given:
        raise UsageError(
            f"{given[0]} is about customers, and distinct histories are nobody's",
            fix="leave it out, or score customers: bayesseg score RUN DATA",
        )
    where = reading.resolved(source.table or "", "--table", shell)
    if not is_address(where) and where != "-" and not Path(where).exists():
        raise UsageError(
            f"there is no DATA, and --table {where} is no file",
            fix="give DATA or --from to score customers, or a file of distinct histories",
        )
    kept = {name: getattr(source, name) for name in ("as_of", "encoding", "delimiter", "decimal")}
    with reading.opened(where) as path:
        histories = read_histories(path, query=source.query, **kept)
    say_provenance(histories.provenance, shell)
    if histories.provenance["ids"]:
        shell.warn(
            "the table has a column of customers, and --table takes the distinct histories in it: "
            "--summary scores its customers"
        )
    return histories


def write(
    posterior: Posterior,
    histories: Histories,
    flags: ScoreFlags,
    target: str,
    kind: str,
    shell: Shell,
    released: Mapping[str, str],
    *,
    force: bool,
) -> tuple[list[Path], dict[str, Any]]:
    """Write the two tables and the document beside them; return what was written and what it says."""
    from bayesseg.scoring import lookup

    path = Path(target)
    refuse_existing(spend_beside(path), force=force, file=True)
    kernel = lookup.lookup_of(posterior, histories, flags.settings(), released)
    spend = lookup.spend(kernel, int(histories.x.max()))
    with progress() as on_progress:
        rows = lookup.rows(kernel, histories, on_progress=on_progress)
        tables = (
            ("table", path, lookup.schema_of(lookup.COLUMNS), rows, len(histories)),
            ("spend", spend_beside(path), spend.schema, iter([spend]), len(spend)),
        )
        described: dict[str, Any] = {}
        for name, place, schema, batches, count in tables:
            write_blocks(place, _encoded(batches, schema, kind))
            described[name] = {"rows": count, "sha256": sha256_of(place)}
    document = lookup.document_of(posterior, kernel, histories)
    document |= {"released": dict(released), **described}
    scorefile.write_document(scorefile.sidecar(path), scorefile.sealed(document), force=force)
    written = [path, spend_beside(path), scorefile.sidecar(path)]
    shell.say(
        f"{len(histories):,} distinct histories of {document['customers']:,} customers; bayesseg sql "
        "--dialect NAME --summary TABLE --lookup TABLE prints the query that joins them, with the spend "
        "in a table of the lookup's name and _spend, or --spend TABLE"
    )
    for one in written:
        shell.say(f"wrote {one}")
    return written, document


def _encoded(batches: Iterator[pa.RecordBatch], schema: pa.Schema, kind: str) -> Iterator[bytes]:
    """The bytes of a table, a batch at a time."""
    if kind == "parquet":
        yield from scorefile.parquet_blocks(batches, schema)
        return
    for i, batch in enumerate(batches):
        yield scorefile.encoded(batch.to_pandas(), kind, header=i == 0)
