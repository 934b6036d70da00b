"""Write CDNOW as a log of the first nine months, and as purchase events of all of it, in five files."""

import json
from io import StringIO
from pathlib import Path

import pandas as pd

from bayesseg.cli.demo import cdnow_csv

orders = pd.read_csv(StringIO(cdnow_csv()), dtype={"customer_id": str})
orders[orders["date"] <= "1997-09-30"].to_csv("fit.csv", index=False)
orders.to_csv("all.csv", index=False)

events = [{"event_id": f"e{n}", **row} for n, row in enumerate(orders.to_dict("records"))]
twice = events + events[::20]  # what a producer that tries again sends
order = pd.Series(range(len(twice))).sample(frac=1, random_state=1)
Path("events").mkdir(exist_ok=True)
for part in range(5):
    lines = [json.dumps(twice[n]) for n in order[part::5]]
    Path(f"events/{part}.json").write_text("\n".join(lines) + "\n")
