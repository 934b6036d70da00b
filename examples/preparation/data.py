"""Make accounts.csv, orders.csv and truth.csv: 200 firms, some with two accounts, facts missing."""

import numpy as np
import pandas as pd

rng = np.random.default_rng(7)
FIRST = [
    "Atelier",
    "Boulangerie",
    "Garage",
    "Librairie",
    "Menuiserie",
    "Pharmacie",
    "Quincaillerie",
    "Serrurerie",
]
SECOND = [
    "Aubin",
    "Berthier",
    "Castel",
    "Delorme",
    "Espinasse",
    "Fournier",
    "Guichard",
    "Hamelin",
    "Imbert",
    "Jourdan",
]
TOWNS = ["Annecy", "Bayonne", "Cahors", "Dinan", "Evreux"]
firms = [f"{a} {b} {town}" for a in FIRST for b in SECOND for town in TOWNS]
firms = list(rng.choice(firms, 200, replace=False))


def misspelt(name: str) -> str:
    """The name as another clerk types it: one letter lost, words in capitals or swapped."""
    at = int(rng.integers(1, len(name) - 1))
    typed = name[:at] + name[at + 1 :]
    words = typed.split()
    return rng.choice([typed.upper(), " ".join([*words[1:], words[0]])])


size = rng.normal(0, 1, 200)
truth = pd.DataFrame(
    {
        "staff": np.exp(2 + 0.8 * size + rng.normal(0, 0.2, 200)).round(1),
        "surface": np.exp(5 + 0.7 * size + rng.normal(0, 0.2, 200)).round(),
        "energy": np.exp(8 + 0.9 * size + rng.normal(0, 0.2, 200)).round(),
    }
)
again = rng.choice(200, 40, replace=False)
owner = [*range(200), *again]
accounts = pd.DataFrame(
    {
        "account": [f"K{i:04}" for i in range(240)],
        "name": [*firms, *map(misspelt, np.array(firms)[again])],
    }
)
known = truth.iloc[owner].reset_index(drop=True).mask(rng.random((240, 3)) < 0.15)
pd.concat([accounts, known], axis=1).to_csv("accounts.csv", index=False)
pd.concat([accounts.assign(firm=owner), truth.iloc[owner].reset_index(drop=True)], axis=1).to_csv(
    "truth.csv", index=False
)
buyer = rng.integers(0, 240, 3_000)
days = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 365, 3_000), "D")
amounts = rng.lognormal(3, 0.5, 3_000).round(2)
orders = pd.DataFrame({"account": accounts["account"].iloc[buyer], "date": days, "amount": amounts})
orders.to_csv("orders.csv", index=False)
