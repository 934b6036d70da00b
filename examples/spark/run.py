"""The same from Python: the scores stay a table of Spark, which SQL can ask."""

from bayesseg import spark

session = spark.start("local[2]")
lines = session.read.parquet("orders.parquet")
made = spark.summary(
    lines, customer_id="customer_id", date="date", amount="amount", as_of="2024-12-30"
)
print(f"{made.account['used']:,} lines used, {made.distinct.count():,} distinct customers")
scores = spark.score(made, "run")
scores.createOrReplaceTempView("scores")
(row,) = session.sql(
    "SELECT count(*) AS n, sum(clv) AS clv FROM scores WHERE p_churn > 0.5"
).collect()
print(f"{row.n:,} customers more likely gone than not, worth {row.clv:,.0f}")
session.stop()
