"""Purchase logs as frames, and the customer table by another road: pandas, whole cents, no SQL."""

import pandas as pd


def sample_frame(path):
    names = ["master", "customer_id", "date", "cds", "amount"]
    return pd.read_csv(path, sep=r"\s+", header=None, names=names, dtype=str)[names[1:]]


def master_frame(path):
    names = ["customer_id", "date", "cds", "amount"]
    return pd.read_csv(path, sep=r"\s+", skiprows=1, header=None, names=names, dtype=str)


def in_cents(frame):
    cents = (frame["amount"].astype(float) * 100).round().astype("int64")
    day = pd.to_datetime(frame["date"], format="%Y%m%d")
    return pd.DataFrame({"customer_id": frame["customer_id"], "day": day, "cents": cents})


def retail_lines(shared):
    """Online Retail II, both sheets; ids as text, missing ones None."""
    lines = pd.read_parquet(shared / "data" / "online_retail_ii.parquet")
    ids = lines["CustomerID"].astype("Int64").astype("str").where(lines["CustomerID"].notna(), None)
    return lines.assign(CustomerID=ids)


def each_order_once(lines):
    """Lines of Online Retail II without those of orders that the first sheet holds too."""
    sheets = lines.groupby("InvoiceNo")["sheet"].nunique()
    twice = lines["InvoiceNo"].isin(sheets[sheets > 1].index) & (lines["sheet"] == "2010-2011")
    return lines[~twice].reset_index(drop=True)


def in_mills(lines):
    """Lines of Online Retail II that have a customer: day, order and worth in thousandths."""
    lines = lines[lines["CustomerID"].notna()]
    mills = lines["Quantity"].astype("int64") * (lines["UnitPrice"] * 1000).round().astype("int64")
    return pd.DataFrame(
        {
            "customer_id": lines["CustomerID"].astype(str),
            "day": lines["InvoiceDate"].dt.normalize(),
            "cents": mills,
            "order": lines["InvoiceNo"].astype(str),
        }
    )


def by_pandas(rows, as_of, unit=100):
    """The customer table of ``rows`` (customer_id, day, cents, order where orders have ids)."""
    rows = rows[rows["day"] <= pd.Timestamp(as_of)]
    if "order" in rows:
        rows = rows.sort_values("day")
        sold = rows[rows["cents"] >= 0].assign(sold=rows["day"])
        sold = sold[["customer_id", "order", "day", "sold"]].drop_duplicates()
        rows = pd.merge_asof(rows, sold, on="day", by=["customer_id", "order"])
        back = (rows["cents"] < 0) & rows["sold"].notna()
        rows["day"] = rows["day"].mask(back, rows["sold"])
    daily = rows.groupby(["customer_id", "day"])["cents"].agg(["sum", "min", "size"]).reset_index()
    daily["orders"] = 1
    if "order" in rows:
        sold = rows[rows["cents"] >= 0].groupby(["customer_id", "day"])["order"].nunique()
        daily["orders"] = daily.merge(
            sold.rename("n").reset_index(), on=["customer_id", "day"], how="left"
        )["n"]
    daily = daily[(daily["sum"] > 0) | ((daily["sum"] == 0) & (daily["min"] >= 0))].copy()
    first = daily.groupby("customer_id")["day"].transform("min")
    daily["repeat"] = daily["day"] > first
    daily["paid"] = daily["repeat"] & (daily["sum"] > 0)
    daily["spent"] = daily["sum"].where(daily["repeat"], 0)
    table = daily.groupby("customer_id").agg(
        x=("repeat", "sum"),
        first=("day", "min"),
        last=("day", "max"),
        x_paid=("paid", "sum"),
        repeat=("spent", "sum"),
        total=("sum", "sum"),
        n_orders=("orders", "sum"),
    )
    table = table.sort_index()
    return {
        "ids": table.index.tolist(),
        "x": table["x"].tolist(),
        "t_x": (table["last"] - table["first"]).dt.days.tolist(),
        "t_end": (pd.Timestamp(as_of) - table["first"]).dt.days.tolist(),
        "x_paid": table["x_paid"].tolist(),
        "repeat_spend": (table["repeat"] / unit).tolist(),
        "first_spend": ((table["total"] - table["repeat"]) / unit).tolist(),
        "n_orders": table["n_orders"].astype(int).tolist(),
    }
