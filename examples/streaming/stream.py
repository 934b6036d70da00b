"""Purchase events into scores by Spark Structured Streaming: the audited SQL and the one kernel.

Every micro-batch is written under its number: one that is tried again replaces what it wrote before, so
nothing counts twice. The score of a customer is the row of the last batch that has one.
"""

import argparse
from datetime import date
from functools import partial
from pathlib import Path

from pyspark.sql.pandas.types import from_arrow_schema
from topic import Topic

from bayesseg import spark
from bayesseg.posterior import load
from bayesseg.scoring import Settings
from bayesseg.scoring.kernel import kernel_of, schema_of, score_batch

EVENT = "event_id string, customer_id string, date string, amount string"

flags = argparse.ArgumentParser()
flags.add_argument("--run", default="run")
flags.add_argument("--events", help="a folder of JSON lines")
flags.add_argument("--brokers", help="a Kafka topic instead")
flags.add_argument("--topic")
flags.add_argument("--as-of", type=date.fromisoformat, default=date.today())
flags.add_argument("--out", type=Path, default=Path("stream"))
given = flags.parse_args()

kernel = kernel_of(load(Path(given.run)), Settings(), given.as_of)
schema = schema_of(kernel)
schema = schema.remove(schema.get_field_index("scored_at"))  # in seconds, which Spark does not know
session = spark.start("local[2]")
session.conf.set("spark.sql.shuffle.partitions", 2)


def rows(kernel, names, batches):
    """Score customers, a batch at a time: what each worker does."""
    return (score_batch(kernel, batch).select(names) for batch in batches if batch.num_rows)


def earlier(what, number):
    """What batches before this one wrote."""
    written = [given.out / what / f"batch={n}" for n in range(number)]
    return [str(path) for path in written if path.exists()]


def fold(batch, number):
    """Keep the events that are new, and score whom they touch."""
    if nameless := batch.where("event_id IS NULL").count():
        print(f"batch {number}: {nameless:,} without an event_id left out")
    batch = batch.where("event_id IS NOT NULL").dropDuplicates(["event_id"])
    paths = earlier("events", number)
    known = session.read.schema(EVENT).parquet(*paths) if paths else batch.limit(0)
    own = f"{given.out}/events/batch={number}"
    batch.join(known, "event_id", "left_anti").write.mode("overwrite").parquet(own)
    new = session.read.schema(EVENT).parquet(own)
    if new.isEmpty():
        return
    log = session.read.schema(EVENT).parquet(*paths, own)
    touched = log.join(new.select("customer_id").distinct(), "customer_id", "left_semi")
    summed = spark.summary(
        touched, customer_id="customer_id", date="date", amount="amount", as_of=given.as_of
    )
    read = summed.customers.drop("as_of", "money", "row_count")
    read = read.selectExpr(
        "customer_id",
        *(
            f"CAST({name} AS bigint) AS {name}"
            for name in ("x", "t_x", "t_end", "x_paid", "n_orders")
        ),
        "repeat_spend",
        "first_spend",
    )
    scores = read.mapInArrow(partial(rows, kernel, schema.names), from_arrow_schema(schema))
    scores.write.mode("overwrite").parquet(f"{given.out}/scores/batch={number}")
    print(f"batch {number}: {new.count():,} new events")


if given.brokers:
    session.dataSource.register(Topic)
    source = session.readStream.format("topic").options(brokers=given.brokers, topic=given.topic)
    events = source.load().selectExpr(f"from_json(content, '{EVENT}') AS event").select("event.*")
else:
    source = session.readStream.schema(EVENT).option("maxFilesPerTrigger", 1)
    events = source.json(given.events)
query = (
    events.writeStream.foreachBatch(fold)
    .option("checkpointLocation", f"{given.out}/checkpoint")
    .trigger(availableNow=True)  # for ever: trigger(processingTime="10 seconds")
    .start()
)
query.awaitTermination()
