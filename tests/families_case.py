"""What the tests of purchase and spend families share: CDNOW by plain pandas, and golden numbers."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from bayesseg.families import FAMILIES
from bayesseg.priors import scales_of
from bayesseg.spec import load_spec

GOLDEN = json.loads((Path(__file__).parent / "golden" / "clv.json").read_text())
BETA_GEOMETRIC = ("bgnbd", "mbgnbd")
PURCHASE = (*BETA_GEOMETRIC, "paretonbd")
THETA = {
    "bgnbd": (0.243, 4.414, 0.793, 2.426),
    "mbgnbd": (0.525, 6.183, 0.891, 1.614),
    "paretonbd": (0.553, 10.578, 0.606, 11.669),
}
"""Near the published fits of the CDNOW sample, weeks."""
NAMES = (*PURCHASE, "gammagamma")
MODEL = {"bgnbd": ("bgnbd", "purchase"), "mbgnbd": ("retail", "purchase")}
MODEL |= {"paretonbd": ("paretonbd", "purchase"), "gammagamma": ("retail", "spend")}


def summary(path: Path, skip: int = 0) -> dict[str, np.ndarray]:
    """x, t_x, T (weeks), n, S at 1997-09-30, independent of the package's own summary."""
    log = pd.read_csv(path, sep=r"\s+", header=None, skiprows=skip).iloc[:, [-4, -3, -1]]
    log.columns = ["id", "date", "money"]
    log["date"] = pd.to_datetime(log["date"].astype(str), format="%Y%m%d")
    log = log[log["date"] <= "1997-09-30"]
    days = log.groupby(["id", "date"], as_index=False)["money"].sum()
    first = days.groupby("id")["date"].transform("min")
    repeat = days[days["date"] > first]
    ids = days["id"].unique()
    start, last = days.groupby("id")["date"].min(), days.groupby("id")["date"].max()
    paid = repeat[repeat["money"] > 0].groupby("id")["money"]
    columns = {
        "x": repeat.groupby("id").size(),
        "t_x": (last - start).dt.days / 7,
        "T": (pd.Timestamp("1997-09-30") - start).dt.days / 7,
        "n": paid.size(),
        "S": paid.sum(),
    }
    return {n: c.reindex(ids, fill_value=0).to_numpy(dtype=float) for n, c in columns.items()}


def part_of(name: str):
    """The part of a shipped model that uses the family."""
    model, part = MODEL[name]
    return load_spec(model).parts[part]


def scales(columns: Mapping[str, np.ndarray]) -> dict[str, float]:
    return scales_of(columns)


def draws(name: str, *vectors) -> dict[str, np.ndarray]:
    """Textbook vectors to the mapping quantities take, one draw a vector."""
    return dict(zip(FAMILIES[name].textbook, np.array(vectors, dtype=float).T, strict=True))


def rows(*triples) -> dict[str, np.ndarray]:
    """(x, t_x, T) triples to columns."""
    return dict(zip(("x", "t_x", "T"), np.array(triples, dtype=float).T, strict=True))
