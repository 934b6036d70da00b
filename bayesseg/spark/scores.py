"""Scores on Spark: the one kernel on Arrow batches, ranks of the whole file, one document. L10.

What every partition adds to the document travels as rows beside its scores: a task that is tried again
replaces both, so that nobody is counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from bayesseg import spans
from bayesseg._random import customer_keys
from bayesseg.customers import Attributes, Customers
from bayesseg.errors import InputRejected, UsageError
from bayesseg.gates import standing
from bayesseg.posterior import Posterior, load
from bayesseg.scoring import Settings, accept, accept_columns
from bayesseg.scoring import kernel as one
from bayesseg.scoring.document import document_of
from bayesseg.scoring.newcomer import newcomer
from bayesseg.scoring.pieces import Piece, merged, packed, unpacked
from bayesseg.scoring.sample import SAMPLE, sample_of
from bayesseg.spark.session import configured, refuse_unlike_ids, session_of, told
from bayesseg.spark.summary import Summary

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

BATCH = 50_000
"""Customers the kernel is given at once: it reckons each distinct (x, T) of them once."""
BUCKET = 250_000
"""Customers of about one value at risk who are put in order together."""
_LEAST = 10_000
_FETCHED = 10_000
"""Rows brought here together, in tenths: a JVM of 1 GB has no room for arrays of many megabytes."""
_LINES = 100_000
"""Purchase lines that are summed up by one task, at least."""
_ROWS, _TASKS = "spark.sql.execution.arrow.maxRecordsPerBatch", "spark.sql.shuffle.partitions"
_ANSI = "spark.sql.ansi.enabled"
_PIECE = "bayesseg_piece"
_USUAL = Settings()
_NONE: Mapping[str, str] = {}
_ORDER = ("x", "t_end", "t_x", "x_paid", "repeat_spend", "customer_id")
_NEEDED = ("x", "t_x", "t_end", "x_paid", "repeat_spend")
_NO_FACT = ("row_count", "as_of", "money")
_MOST = 2**53
"""Whole numbers above it are not told apart, nor is a double infinity below it."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores, already reckoned and kept by Spark.

    Attributes:
        table: one row a customer: the columns of ``bayesseg score``, in no order.
        document: what belongs beside them: settings, totals, segments.
        schema: the columns as a score file has them, with unit and description.
    """

    table: DataFrame
    document: Mapping[str, Any]
    schema: pa.Schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows of a score file, in the order of ids; some 10,000 at a time are here."""
        parts = self.document["customers"] // _FETCHED + 1
        ordered = self.table.repartitionByRange(parts, "customer_id")
        ordered = ordered.sortWithinPartitions("customer_id")
        rows = ordered.mapInArrow(_written, "content binary")
        session = self.table.sparkSession
        # the ranking under it sorts whole rows: a bucket is to be a task of its own
        count, own = self.document["customers"], int(session.conf.get(_TASKS) or 1)
        tasks = max(count // BUCKET + 1, own) if count >= 2 * BUCKET else 1
        with told(), configured(session, {_TASKS: str(tasks), _ROWS: str(_FETCHED // 10)}):
            for content in _brought(rows):
                with pa.ipc.open_stream(content) as stream:
                    for batch in stream:
                        yield batch.cast(self.schema)


def score(
    data: DataFrame | Summary,
    run: Path | str | Posterior,
    settings: Settings = _USUAL,
    *,
    as_of: date | str | None = None,
    money: str | None = None,
    released: Mapping[str, str] = _NONE,
) -> DataFrame:
    """The scores of a customer summary: what ``bayesseg score`` gives, one row a customer.

    They are reckoned once, at once, and kept by Spark (on disk) until its session ends, for a
    rank is about the whole file; :func:`scored` gives them back earlier, with their document.

    Args:
        data: what :func:`bayesseg.spark.summary` returned, or one row a customer with ``customer_id,
            x, t_x, t_end, x_paid, repeat_spend`` in days; ``first_spend``, ``n_orders``, ``as_of``,
            ``money`` and attributes may stand beside them. For a model of attributes: these alone.
        run: run directory, or the posterior of one.
        settings: horizons, money and draws.
        as_of: last day observed; needed where no column says it.
        money: ``revenue`` or ``margin``; needed where no column says it.
        released: parts that failed their gates and are scored all the same, each with the reason.

    Raises:
        InputRejected: columns are missing, an id is there twice or of a type that has garbled it, a
            history cannot be, or the data do not fit the model.
        UsageError: no ``as_of`` or ``money``, or one that contradicts the data.
    """
    return _scored(data, run, settings, as_of, money, released)[0].table


@contextmanager
def scored(
    data: DataFrame | Summary,
    run: Path | str | Posterior,
    settings: Settings = _USUAL,
    *,
    as_of: date | str | None = None,
    money: str | None = None,
    released: Mapping[str, str] = _NONE,
) -> Iterator[Scored]:
    """As :func:`score`, with the document of the file; Spark keeps the scores inside only."""
    found, kept = _scored(data, run, settings, as_of, money, released)
    with kept:
        yield found


def _scored(
    data: DataFrame | Summary,
    run: Path | str | Posterior,
    settings: Settings,
    as_of: date | str | None,
    money: str | None,
    released: Mapping[str, str],
) -> tuple[Scored, ExitStack]:
    """The scores, and what makes Spark forget them."""
    from pyspark import StorageLevel

    frame = data.customers if isinstance(data, Summary) else data
    posterior = run if isinstance(run, Posterior) else standing(load(Path(run)))
    buys, session = "purchase" in posterior.spec.parts, session_of(frame)
    cores = session.sparkContext.defaultParallelism
    # what is no number is null, hence refused, where the ANSI mode would break off
    settled = {_ROWS: str(BATCH), _ANSI: "false"}
    if isinstance(data, Summary):  # what is kept stays in as many pieces as it is made in
        enough = sum(data.account.values()) // _LINES + cores
        settled[_TASKS] = str(min(enough, int(session.conf.get(_TASKS) or enough)))
    with ExitStack() as kept, told("the customers"), configured(session, settled):
        histories = (_histories if buys else _clients)(frame).persist()
        try:
            day, provenance, count = _checked(histories, as_of, money, buys=buys)
            if isinstance(data, Summary):
                provenance = {**provenance, **data.provenance}
            accept(posterior, settings, provenance, day)
            parts = _parts(count, cores)
            customers = histories.drop(*_NO_FACT).coalesce(parts)
            sample = _sampled(customers, posterior.manifest["seed"], count, day)
            accept_columns(posterior, sample)
            kernel = one.kernel_of(posterior, settings, day, released=released, sample=sample)
            ours = one.schema_of(kernel)
            schema = _with_piece(ours)
            order = _ORDER if buys else _ORDER[-1:]
            # neighbours share (x, T), which the kernel reckons once a batch; the id makes it one order
            ordered = customers.repartitionByRange(parts, *order).sortWithinPartitions(*order)
            raw = ordered.mapInArrow(partial(_score, kernel, schema), _spark_schema(schema))
            raw = raw.persist(StorageLevel.DISK_ONLY)  # memory is for the sorting to come
            kept.callback(raw.unpersist)
            table = raw.where(f"{_PIECE} IS NULL").drop(_PIECE)
            _refuse_changed(count, table.count())
            pieces = merged(_pieces(raw))
        finally:
            histories.unpersist()
        if kernel.plan.valued:
            table = _ranked(table, count)
        document = document_of(posterior, kernel, pieces, table.columns, sample)
        document |= {"newcomer": newcomer(kernel, one.Inline()), "released": dict(released)}
        return Scored(table, document, ours), kept.pop_all()


# ---------------------------------------------------------------- what is scored


def _histories(frame: DataFrame) -> DataFrame:
    """The columns of a customer summary under our names and types, facts beside them."""
    from pyspark.sql.functions import col, isnan, when

    names = {name.strip().lower(): name for name in frame.columns}
    _refuse_dots(frame)
    if "t_end" not in names and "t" in names:
        names["t_end"] = names.pop("t")
    if missing := [name for name in ("customer_id", *_NEEDED) if name not in names]:
        raise InputRejected(
            f"this is no customer summary: {', '.join(missing)} missing",
            fix="make it with bayesseg.spark.summary, or with the query of bayesseg sql",
            code="columns_unknown",
        )
    refuse_unlike_ids(frame, names["customer_id"], "--customer-id")
    types = {
        **dict.fromkeys((*one.COUNTS, *one.MONEY), "double"),
        **dict.fromkeys(("customer_id", "as_of", "money"), "string"),
    }
    read = {
        name: col(f"`{names[name]}`").cast(kind) for name, kind in types.items() if name in names
    }
    read |= {name: when(~isnan(read[name]), read[name]) for name in one.MONEY if name in read}
    own = [column.alias(name) for name, column in read.items()]
    taken = {names[name] for name in (*types, "row_count") if name in names}
    return frame.select(*own, *_facts(frame, taken))


def _clients(frame: DataFrame) -> DataFrame:
    """A table of clients: their ids as text, and what is known of them."""
    from pyspark.sql.functions import col

    if "customer_id" not in frame.columns:
        raise InputRejected(
            f"there is no column customer_id; the columns are {', '.join(frame.columns)}",
            fix="rename the column of ids",
            code="columns_unknown",
        )
    _refuse_dots(frame)
    refuse_unlike_ids(frame, "customer_id", "--customer-id")
    return frame.select(
        col("customer_id").cast("string").alias("customer_id"), *_facts(frame, {"customer_id"})
    )


def _refuse_dots(frame: DataFrame) -> None:
    """Refuse names that Spark reads as a field of a column."""
    if odd := [name for name in frame.columns if "." in name or "`" in name]:
        raise InputRejected(
            f"Spark cannot use the column {odd[0]!r}: it reads the mark in its name as its own",
            fix="rename it",
            code="columns_unknown",
        )


def _facts(frame: DataFrame, taken: set[str]) -> list[Column]:
    """All other columns: numbers as double, everything else as text."""
    from pyspark.sql.functions import col
    from pyspark.sql.types import NumericType

    return [
        col(f"`{field.name}`")
        .cast("double" if isinstance(field.dataType, NumericType) else "string")
        .alias(field.name)
        for field in frame.schema
        if field.name not in taken
    ]


def _checked(
    customers: DataFrame, as_of: date | str | None, money: str | None, *, buys: bool
) -> tuple[date | None, dict[str, Any], int]:
    """The day and money of the whole table, and how many customers; what cannot be is refused."""
    from pyspark.sql import functions as f

    asked = [
        f.count("*").alias("n"),
        f.countDistinct("customer_id").alias("ids"),
        f.count_if(f.expr("customer_id IS NULL OR trim(customer_id) = ''")).alias("nameless"),
    ]
    said = [name for name in ("as_of", "money") if name in customers.columns]
    for name in said:
        asked += [f.min(name).alias(f"{name}_lo"), f.max(name).alias(f"{name}_hi")]
        asked.append(f.count(name).alias(f"{name}_n"))
    wrong = _impossible(customers.columns) if buys else {}
    if buys:
        asked.append(f.max("t_end").alias("oldest"))
    if "first_spend" in customers.columns:
        asked.append(f.count("first_spend").alias("first"))
    asked += [f.count_if(f.expr(test)).alias(f"w{i}") for i, test in enumerate(wrong.values())]
    row = customers.agg(*asked).first()
    assert row is not None
    if row["n"] == 0:
        raise InputRejected("there is no customer to score", code="empty")
    if row["nameless"] or row["ids"] < row["n"]:
        twice = row["n"] - row["nameless"] - row["ids"]
        raise InputRejected(
            f"{row['nameless']:,} customers without an id, {twice:,} rows of an id that is there "
            "already",
            fix="give one row a customer",
            code="id_repeated",
        )
    for i, problem in enumerate(wrong):
        if row[f"w{i}"]:
            raise InputRejected(
                f"{row[f'w{i}']:,} customers cannot be: {problem}",
                fix="check the customer summary: x repeat days, t_x and t_end in days",
                code="impossible_history",
            )
    if "first_spend" in customers.columns and row["first"] not in (0, row["n"]):
        raise InputRejected(
            f"first_spend is there of {row['first']:,} customers of {row['n']:,}",
            fix="give it of all of them, or leave the column out",
            code="impossible_history",
        )
    if not buys:
        return None, {}, row["n"]
    for name in said:
        if row[f"{name}_n"] != row["n"]:
            raise InputRejected(
                f"{name} is there of {row[f'{name}_n']:,} customers of {row['n']:,}",
                fix="give one summary, whole, or leave the column out",
                code=f"{name}_unclear",
            )
    found = {name: (row[f"{name}_lo"], row[f"{name}_hi"]) for name in said}
    day = spans.day(_settled("as_of", found.get("as_of"), None if as_of is None else str(as_of)))
    kind = _settled("money", found.get("money"), money)
    if row["oldest"] >= day.toordinal():
        raise InputRejected(
            f"the first purchase is before the year 1: t_end is up to {row['oldest']:,.0f} days",
            fix="check the customer summary: t_end is days from the first purchase to as_of",
            code="impossible_history",
        )
    if kind not in ("revenue", "margin"):
        raise UsageError(f"--money {kind!r} is unknown", fix="choose revenue or margin")
    return day, {"policies": {"money": kind}}, row["n"]


def _impossible(columns: Iterable[str]) -> dict[str, str]:
    """What no history can be, and the test for it in SQL."""
    counts = [name for name in one.COUNTS if name in columns]
    found = {
        "a count, a day or spend is missing": " OR ".join(
            f"{name} IS NULL" for name in {*counts, "repeat_spend"}
        ),
        "a count or day is no whole number": " OR ".join(
            f"abs({n}) > {_MOST} OR {n} <> floor({n})" for n in counts
        ),
        "t_x is negative": "t_x < 0",
        "the last purchase is after the end of observation": "t_x > t_end",
        "x is 0 but t_x is not, or the reverse": "(x = 0) <> (t_x = 0)",
        "there are more purchase days than days": "x > t_x",
        "x_paid is outside 0..x": "x_paid < 0 OR x_paid > x",
        "spend is negative, or not finite": "repeat_spend < 0 OR repeat_spend = double('Infinity')",
    }
    if "n_orders" in columns:
        found["n_orders is below 1"] = "n_orders < 1"
    if "first_spend" in columns:
        first = "first_spend < 0 OR first_spend = double('Infinity')"
        found["spend of the first day is negative, or not finite"] = first
    return found


def _settled(name: str, found: tuple[str, str] | None, given: str | None) -> str:
    """The one value of a column and of what was given."""
    said = {value[:10] for value in (*(found or ()), given) if value is not None}
    if len(said) != 1:
        option = f"--{name.replace('_', '-')}"
        raise UsageError(
            f"{name} is {' and '.join(sorted(said))} at once"
            if said
            else f"nothing says the {name}",
            fix="score customers of one summary" if said else f"give {option}",
        )
    return str(said.pop())


def _sampled(
    customers: DataFrame, seed: int, count: int, day: date | None
) -> Customers | Attributes:
    """The customers of the lowest keys, here, by id: those that any other engine takes too."""
    share = min((SAMPLE + 8 * SAMPLE**0.5) / count, 1.0)  # eight standard deviations to spare
    while True:
        low = partial(_low, seed, np.uint64(share * (2**64 - 1)) if share < 1 else None)
        found = customers.mapInArrow(low, customers.schema).toArrow().combine_chunks()
        if share >= 1 or len(found) >= SAMPLE:
            break
        share = 1.0
    batch = found.to_batches()[0]
    data = sample_of(one.customers_of(batch, day), seed)
    return data.take(np.argsort(data.ids, kind="stable"))


def _parts(count: int, cores: int) -> int:
    """Pieces of work: some for each core, none too small to be worth it or too large to do again."""
    return min(max(2 * cores, count // (4 * BATCH)), count // _LEAST + 1)


def _refuse_changed(count: int, scored: int) -> None:
    if scored != count:
        raise InputRejected(
            f"there were {count:,} customers, and {scored:,} when they were scored",
            fix="write the summary to a table first, then score that: its source changes",
            code="file_changed",
        )


def _low(
    seed: int, bound: np.uint64 | None, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        ids = batch.column("customer_id").to_numpy(zero_copy_only=False)
        yield batch if bound is None else batch.filter(pa.array(customer_keys(ids, seed) < bound))


# ---------------------------------------------------------------- the kernel


def _with_piece(schema: pa.Schema) -> pa.Schema:
    """What a task hands back: the columns of a score file as Spark has them, and pieces."""
    spark = {pa.timestamp("s", tz="UTC"): pa.timestamp("us", tz="UTC")}
    fields = [pa.field(f.name, spark.get(f.type, f.type)) for f in schema]
    return pa.schema([*fields, pa.field(_PIECE, pa.binary())])


def _spark_schema(schema: pa.Schema) -> Any:
    from pyspark.sql.pandas.types import from_arrow_schema

    return from_arrow_schema(schema)


def _score(
    kernel: one.Kernel, schema: pa.Schema, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """The scores of each batch, and after them a row that holds its piece."""
    for batch in batches:
        if not batch.num_rows:
            continue
        table, piece = one.scored(kernel, one.customers_of(batch, kernel.as_of))
        found = one.described(kernel, table)
        nothing = pa.nulls(found.num_rows, pa.binary())
        yield pa.RecordBatch.from_arrays([*found.columns, nothing], schema.names).cast(schema)
        empty = [pa.nulls(1, field.type) for field in list(schema)[:-1]]
        yield pa.RecordBatch.from_arrays([*empty, pa.array([packed(piece)])], schema=schema)


def _pieces(raw: DataFrame) -> Iterator[Piece]:
    """What the batches add to the document, in the order of the partitions."""
    rows = raw.where(f"{_PIECE} IS NOT NULL").select(_PIECE)
    yield from map(unpacked, _brought(rows))


def _brought(frame: DataFrame) -> Iterator[bytes]:
    """The one column of ``frame`` here, a partition at a time, in their order.

    Not by ``toLocalIterator``: the JVM of Spark 4.3 keeps all that it hands over until the end.
    """
    rows = frame.rdd
    for part in range(rows.getNumPartitions()):
        for row in rows.context.runJob(rows, iter, [part]):
            yield bytes(row[0])


def _written(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Each batch as one value: bytes are what a driver takes over fastest."""
    for batch in batches:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as stream:
            stream.write_batch(batch)
        yield pa.RecordBatch.from_pydict({"content": [sink.getvalue().to_pybytes()]})


# ---------------------------------------------------------------- ranks


def _ranked(table: DataFrame, count: int) -> DataFrame:
    """``table`` with ``priority_rank``: 1 is the largest value at risk, ties by id, none last.

    Customers are put into buckets of about one value; the order within a bucket and the sizes of those
    before it make the rank. Which bucket depends on the value alone, whatever runs again.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    buckets = min(max(count // BUCKET, 1), 256)
    shares = [i / buckets for i in range(1, buckets)]
    edges = (
        sorted(set(table.approxQuantile("value_at_risk", shares, 0.1 / buckets))) if shares else []
    )
    value, place = f.col("value_at_risk"), f.lit(0)
    for edge in edges:
        place = place + f.when(value < edge, 1).otherwise(0)
    placed = table.withColumn(_PLACE, f.when(value.isNull(), len(edges) + 1).otherwise(place))
    sizes = np.zeros(len(edges) + 2, dtype=np.int64)
    for row in placed.groupBy(_PLACE).count().collect():
        sizes[row[_PLACE]] = row["count"]
    before = f.array(*map(f.lit, (np.cumsum(sizes) - sizes).tolist()))
    order = Window.partitionBy(_PLACE).orderBy(f.desc_nulls_last("value_at_risk"), "customer_id")
    rank = (f.get(before, f.col(_PLACE)) + f.row_number().over(order)).cast("bigint")
    return placed.withColumn("priority_rank", rank).select(*table.columns)


_PLACE = "bayesseg_place"
