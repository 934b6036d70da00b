"""2,000 customers who buy at their own pace and stop one day, one row a purchase."""

import numpy as np
import pandas as pd

DAYS, START = 365, np.datetime64("2024-01-01")
rng = np.random.default_rng(1)
parts = []
for name in range(2_000):
    day = rng.integers(0, DAYS)
    rate, drop = rng.gamma(0.6, 1 / 20), rng.beta(1.0, 2.5)
    days = [day]
    while rng.uniform() > drop and (day := day + 1 + int(rng.exponential(1 / rate))) < DAYS:
        days.append(day)
    spent = rng.gamma(6.0, rng.gamma(4.0, 2.0), size=len(days))
    parts.append(
        pd.DataFrame({"customer_id": f"c{name:04}", "date": START + days, "amount": spent.round(2)})
    )
orders = pd.concat(parts, ignore_index=True)
orders["date"] = pd.to_datetime(orders["date"]).dt.date
orders.to_parquet("orders.parquet", index=False)
