"""Hold the stream's last row of each customer against the batch."""

import duckdb
import pandas as pd

streamed = duckdb.sql(
    "SELECT * FROM read_parquet('stream/scores/*/*.parquet', hive_partitioning = true) "
    "QUALIFY row_number() OVER (PARTITION BY customer_id ORDER BY batch DESC) = 1 ORDER BY customer_id"
).df()
batch = pd.read_parquet("scores.parquet")
of_the_file = ("priority_rank", "p_top_decile")
same = [name for name in batch if name not in (*of_the_file, "flags", "as_of", "scored_at")]
pd.testing.assert_frame_equal(
    streamed[same], batch[same], check_dtype=False, rtol=1e-12, atol=1e-12
)
print(f"{len(streamed):,} customers, each as bayesseg score has it")
