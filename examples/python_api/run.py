"""Forecast the second nine months of CDNOW from the first nine, and look at what came."""

from io import StringIO

import pandas as pd

import bayesseg as bs
from bayesseg.cli.demo import cdnow_csv

orders = pd.read_csv(StringIO(cdnow_csv()), dtype={"customer_id": str}, parse_dates=["date"])

# What was known on 30 September 1997, and a posterior given that.
customers = bs.summarise(orders, as_of="1997-09-30")
posterior = bs.fit(customers, model="bgnbd", seed=1)

# The gates say whether the numbers below may be believed.
for check in bs.check(posterior):
    if not check.passed:
        print(f"{check.severity}: {check.detail}")

scores = bs.score(posterior, customers, horizon="39w", margin=1.0, annual_discount=0.1)
forecast = scores["expected_purchases"].sum()

# What came: purchase days of the same customers in the next 39 weeks.
later = orders[(orders["date"] > "1997-09-30") & (orders["date"] <= "1998-06-30")]
came = later.drop_duplicates(["customer_id", "date"]).shape[0]
print(f"forecast {forecast:,.0f} purchases in 39 weeks, {came:,} came")

best = scores.nlargest(5, "clv")[["customer_id", "p_alive", "clv", "clv_pred_lo", "clv_pred_hi"]]
print(best.to_string(index=False, float_format="{:.2f}".format))

print("written", bs.save(posterior, "run"))
