"""Scores of more customers than fit in memory: on disk throughout, on all cores. L7.

A row group of the roster is a piece of work. Whoever does it writes the scores into a file of its own,
cut where the parts of the score file begin; a part is then gathered from all of them, sorted, ranked and
handed on. No memory depends on the number of customers.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bayesseg._types import IntArray, OnProgress, Progress
from bayesseg.customers import Customers
from bayesseg.posterior import Posterior
from bayesseg.roster import GROUP, Roster, ranks
from bayesseg.scoring import accept, accept_columns
from bayesseg.scoring.document import document_of
from bayesseg.scoring.kernel import Kernel, customers_of, described, kernel_of, schema_of, scored
from bayesseg.scoring.newcomer import newcomer
from bayesseg.scoring.pieces import Piece, merged
from bayesseg.scoring.sample import lowest
from bayesseg.scoring.settings import Settings
from bayesseg.scoring.workers import shared_out

PART = 2 * GROUP
"""Rows of a part of the score file: a row group of it."""
_PROCESSES = 2
"""Beside the one that waits for them they stay within 1 GiB; further cores are threads of theirs."""
_OURS = ("place", "line", "name")
_RANK = "priority_rank"
_CHUNK = 500
"""Distinct rows at a time, in place of ``Settings.chunk``: 5 % slower, 80 MB a process less."""


_NONE: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Large:
    """Scores on disk.

    Attributes:
        document: what belongs beside the table.
        schema: its columns, each with unit and description.
        parts: its rows, in their order, a part at a time; once.
    """

    document: dict[str, Any]
    schema: pa.Schema
    parts: Iterator[pa.RecordBatch]


def score_large(
    posterior: Posterior,
    roster: Roster,
    settings: Settings,
    folder: Path,
    *,
    cores: int | None = None,
    part: int = PART,
    released: Mapping[str, str] = _NONE,
    on_progress: OnProgress | None = None,
) -> Large:
    """Score every customer of ``roster`` as ``score`` does; see there for settings and errors.

    The rows are those of ``score`` to the last bit or two, in the same order. Only the intervals of
    realised totals differ, within their Monte-Carlo error: see ``pieces.merged``.

    Args:
        posterior: the run, of a model with purchases.
        roster: the customers, without attributes.
        settings: horizons, money and draws.
        folder: an empty one, with room for the scores; its owner removes it.
        cores: all by default; the numbers are the same for any.
        part: rows of a part of the score file.
        released: parts that failed and are scored all the same, each with the reason.
        on_progress: told how many customers are done; called every now and then, so that it may stop.

    Raises:
        ResourcesMissing: no memory or disk space; a process was killed.
    """
    accept(posterior, settings, roster.provenance, roster.as_of)
    sample = _sample(roster, posterior.manifest["seed"])
    accept_columns(posterior, sample)
    cores = cores or os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        kernel = kernel_of(
            posterior, settings, roster.as_of, released=released, sample=sample, pool=pool
        )
        fresh = newcomer(kernel, pool)
    schema = schema_of(kernel)
    threads = max(cores // _PROCESSES, 1)
    work = _Work(_frugal(kernel), roster.path, folder, schema, part, threads)
    done = 0

    def report() -> None:
        if on_progress:
            on_progress(Progress("score", min(done * roster.group, len(roster)), len(roster)))

    def pieces() -> Iterator[Piece]:
        nonlocal done
        for piece in shared_out(work, roster.groups, min(cores, _PROCESSES), report):
            done += 1
            yield piece

    document = document_of(posterior, kernel, merged(pieces()), schema.names, sample)
    ranked = kernel.plan.valued
    found = [folder / f"{group}.arrow" for group in range(roster.groups)]
    parts = _parts(found, folder, math.ceil(len(roster) / part), part if ranked else None)
    return Large(document | {"newcomer": fresh, "released": dict(released)}, schema, parts)


def _frugal(kernel: Kernel) -> Kernel:
    """The same kernel, by which no number changes, at the price of some time."""
    own = replace(kernel.plan.settings, chunk=min(kernel.plan.settings.chunk, _CHUNK))
    return replace(kernel, plan=replace(kernel.plan, settings=own))


def _sample(roster: Roster, seed: int) -> Customers:
    """The customers of the lowest keys, in the order of their ids."""
    kept: list[pa.RecordBatch] = []
    with pq.ParquetFile(roster.path) as file:
        for batch in file.iter_batches(PART):
            both = pa.Table.from_batches([*kept, batch])
            kept = both.take(lowest(both["customer_id"].to_numpy(), seed)).to_batches()
    (sample,) = pa.Table.from_batches(kept).sort_by("place").combine_chunks().to_batches()
    customers = customers_of(_bare(sample), roster.as_of)
    assert isinstance(customers, Customers)
    return customers


def _bare(batch: pa.RecordBatch) -> pa.RecordBatch:
    """What the kernel reads of a row group."""
    return batch.drop_columns([name for name in _OURS if name in batch.schema.names])


@dataclass(frozen=True, slots=True)
class _Work:
    """What a process is given once: scores of a row group of ``roster`` go into ``folder``."""

    kernel: Kernel
    roster: Path
    folder: Path
    schema: pa.Schema
    part: int
    threads: int

    def __call__(self, group: int) -> Piece:
        with pq.ParquetFile(self.roster) as file:
            (batch,) = file.read_row_group(group).combine_chunks().to_batches()
            rows = file.metadata.num_rows
        customers = customers_of(_bare(batch), self.kernel.as_of)
        with ThreadPoolExecutor(self.threads) as pool:
            table, piece = scored(self.kernel, customers, pool if self.threads > 1 else None)
        scores = described(self.kernel, table).cast(self.schema)
        line = batch.column("place")
        if "line" in batch.schema.names:
            line = batch.column("line")
            id_field = self.schema.field(0)
            scores = scores.set_column(0, id_field, batch.column("name").cast(id_field.type))
        scores = scores.append_column("place", batch.column("place")).append_column("line", line)
        order = np.argsort(line.to_numpy())
        scores, line = scores.take(pa.array(order)), line.to_numpy()[order]
        edges = np.searchsorted(line, np.arange(0, rows + self.part, self.part))
        with pa.ipc.new_file(self.folder / f"{group}.arrow", scores.schema) as file:
            for start, stop in pairwise(edges):
                file.write_batch(scores.slice(start, stop - start))
        return piece


def _parts(
    found: Sequence[Path], folder: Path, count: int, ranked: int | None
) -> Iterator[pa.RecordBatch]:
    """Gather the rows of each part in their order, with the ranks of ``ranked`` at a time."""
    every: Iterable[IntArray | None] = repeat(None, count)
    if ranked is not None:
        every = ranks(_values(found, count), folder, ranked)
    for part, own in zip(range(count), every, strict=True):
        table = pa.Table.from_batches(_batches(found, part)).sort_by("line")
        if own is not None:
            at = table.schema.get_field_index(_RANK)
            table = table.set_column(at, table.schema.field(at), pa.array(own))
        (rows,) = table.drop_columns(["place", "line"]).combine_chunks().to_batches()
        yield rows


def _values(found: Sequence[Path], count: int) -> pa.RecordBatchReader:
    """What ranks are made of, as DuckDB reads it."""
    names = ["line", "place", "value_at_risk"]
    with pa.OSFile(str(found[0])) as file:
        schema = pa.ipc.open_file(file).schema
    options = pa.ipc.IpcReadOptions(
        included_fields=[schema.get_field_index(name) for name in names]
    )

    def batches() -> Iterator[pa.RecordBatch]:
        for path in found:
            with pa.OSFile(str(path)) as file:
                reader = pa.ipc.open_file(file, options=options)
                for part in range(count):
                    yield reader.get_batch(part).select(names)

    return pa.RecordBatchReader.from_batches(
        pa.schema([schema.field(name) for name in names]), batches()
    )


def _batches(found: Sequence[Path], part: int) -> Iterator[pa.RecordBatch]:
    for path in found:
        with pa.OSFile(str(path)) as file:
            yield pa.ipc.open_file(file).get_batch(part)
