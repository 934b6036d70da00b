"""What became of the customers on each list: the truth of a holdout beside the lists that were drawn.

    python tests/benchmarks/lists.py cdnow                                   # CDNOW master, 39 weeks
    python tests/benchmarks/lists.py online_retail_ii.parquet --cut 2011-06-12 --days 180

A script, not a test. The purchase and the spend part of the model ``retail`` are fitted to what was
known at the cut, customers are scored there (churn over the holdout, money over a year), and each rule
draws its list of the same size. Nobody was contacted, so this says whom a list holds, not what
contacting brings.
"""

from __future__ import annotations

import argparse
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

import bayesseg as bs
from bayesseg.customers import activity, summarise
from bayesseg.decide import ranked
from bayesseg.ingest import Options, Purchases, read_purchases
from bayesseg.spec import load_spec, parse_spec

RULES = {
    "save": "value at risk among those more likely here than gone",
    "win-back": "value if back, among those silent beyond their rhythm",
    "RFM at risk": "R of 1 or 2, F and M of 3 to 5 (fifths of everybody); largest spend so far first",
    "recency": "longest silent first; largest spend so far breaks ties",
    "p_churn": "most likely to buy nothing in the holdout first",
    "CLV": "largest CLV first",
    "past spend": "largest spend so far first",
}


def cdnow() -> Purchases:
    """CDNOW master, which comes with lifetimes."""
    spec = find_spec("lifetimes")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    path = Path(spec.submodule_search_locations[0]) / "datasets" / "CDNOW_master.txt"
    names = ["customer_id", "date", "cds", "amount"]
    return read_purchases(
        pd.read_csv(path, sep=r"\s+", skiprows=1, header=None, names=names, dtype=str)
    )


def retail(path: str) -> Purchases:
    """Online Retail II, both sheets."""
    options = Options(
        extract="sheet", amount="Quantity * UnitPrice", order_id="InvoiceNo", drop_missing_id=True
    )
    return read_purchases(path, options)


def table_of(purchases: Purchases, cut: date, days: int, seed: int) -> pd.DataFrame:
    """One row a customer known at the cut: the scores, the past by day and what came."""
    known = summarise(purchases, as_of=cut)
    text = load_spec("retail").text
    alone = text.partition("[segments]")[0] + "[inference]" + text.partition("[inference]")[2]
    posterior = bs.fit(known, parse_spec(alone), seed=seed)
    scores = bs.score(posterior, known, horizon=days).set_index("customer_id")
    past = pd.Series(known.repeat_spend / np.maximum(known.t_end, 1) * days, index=known.ids)
    spent = pd.Series(known.first_spend + known.repeat_spend, index=known.ids)
    ids, bought, spend = activity(purchases, cut, cut + timedelta(days=days))
    came = pd.DataFrame({"bought": bought, "spend": spend}, index=ids).reindex(scores.index)
    return scores.assign(past=past, spent=spent, **came.fillna(0)).reset_index()


def fifth(values: pd.Series) -> pd.Series:
    """1 to 5 by rank among everybody; equal values share a fifth."""
    return np.ceil(values.rank(pct=True) * 5).astype(int)


def lists_of(table: pd.DataFrame, count: int) -> dict[str, pd.Index]:
    """The rows of each rule's list."""
    at = pd.Series(table.index, index=table["customer_id"])
    own = {w: pd.Index(at[ranked(table, w, count)["customer_id"]]) for w in ("save", "win-back")}
    r, f, m = fifth(-table["days_since_last"]), fifth(table["frequency"]), fifth(table["spent"])

    def top(rows: pd.DataFrame, *by: str) -> pd.Index:
        keys = [*by, "customer_id"]
        return rows.sort_values(keys, ascending=[False] * len(by) + [True]).index[:count]

    return own | {
        "RFM at risk": top(table[(r <= 2) & (f >= 3) & (m >= 3)], "spent"),
        "recency": top(table, "days_since_last", "spent"),
        "p_churn": top(table, "p_churn", "spent"),
        "CLV": top(table, "clv"),
        "past spend": top(table, "spent"),
    }


def outcome(rows: pd.DataFrame) -> list[str]:
    """One line: what was expected of these customers, what came, what their past had promised."""
    lapsed = rows["bought"] == 0
    lost = (rows["past"] - rows["spend"]).clip(lower=0)
    return [
        f"{len(rows):,}",
        f"{rows['frequency'].mean():.1f}",
        f"{rows['days_since_last'].median():.0f}",
        f"{rows['expected_purchases'].sum():,.0f}",
        f"{rows['bought'].sum():,.0f}",
        f"{rows['p_churn'].mean():.0%}",
        f"{lapsed.mean():.0%}",
        f"{rows['past'].sum():,.0f}",
        f"{rows['spend'].sum():,.0f}",
        f"{lost.sum():,.0f}",
        f"{lost[lapsed].sum():,.0f}",
    ]


HEADERS = [
    "list",
    "customers",
    "repeat purchases so far",
    "days silent (median)",
    "purchases expected",
    "purchases that came",
    "p_churn (mean)",
    "bought nothing",
    "spend at the past rate",
    "spend that came",
    "spend lost",
    "of it by those who bought nothing",
]


def printed(header: list[str], lines: list[list[str]]) -> None:
    """One table in Markdown."""
    for line in (header, ["---"] * len(header), *lines):
        print("| " + " | ".join(line) + " |")
    print()


def main() -> None:
    """Print what became of each list, and how far the lists overlap."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", help="cdnow, or the path of online_retail_ii.parquet")
    parser.add_argument("--cut", type=date.fromisoformat, default=date(1997, 9, 30))
    parser.add_argument("--days", type=int, default=273)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    purchases = cdnow() if asked.data == "cdnow" else retail(asked.data)
    table = table_of(purchases, asked.cut, asked.days, asked.seed)
    lists = lists_of(table, asked.count)
    print(f"cut {asked.cut}, {asked.days} days, {len(table):,} customers\n")
    rows = [[name, *outcome(table.loc[chosen])] for name, chosen in lists.items()]
    printed(HEADERS, [*rows, ["everybody", *outcome(table)]])

    def jaccard(one: pd.Index, other: pd.Index) -> str:
        return f"{len(one.intersection(other)) / len(one.union(other)):.2f}"

    overlap = [
        [name, *(jaccard(one, two) for two in lists.values())] for name, one in lists.items()
    ]
    printed(["Jaccard", *lists], overlap)


if __name__ == "__main__":
    main()
