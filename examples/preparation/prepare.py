"""One company of several accounts, and guesses for facts that are missing: before bayesseg."""

import numpy as np
import pandas as pd
from rapidfuzz import fuzz, process, utils
from scipy.sparse.csgraph import connected_components
from sklearn.ensemble import RandomForestRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 - its import allows the next
from sklearn.impute import IterativeImputer, KNNImputer

ALIKE = 95  # of 100; look at the pairs just above and below before you believe in it
FACTS = ["staff", "surface", "energy"]

accounts = pd.read_csv("accounts.csv", dtype={"account": str})

# names as like as two spellings of one: their accounts are one company
names = accounts["name"]
likeness = process.cdist(
    names, names, scorer=fuzz.token_sort_ratio, processor=utils.default_process, score_cutoff=ALIKE
)
count, company = connected_components(likeness > 0)
accounts["company"] = [f"F{number:04}" for number in company]
accounts[["account", "name", "company"]].to_csv("companies.csv", index=False)
orders = pd.read_csv("orders.csv", dtype={"account": str})
orders.merge(accounts[["account", "company"]]).to_csv("grouped.csv", index=False)
print(f"{len(accounts)} accounts are {count} companies")

# one row a company; what is missing stays marked, for a guess is no fact
facts = np.log(
    accounts.rename(columns={"company": "customer_id"}).groupby("customer_id")[FACTS].mean()
)
forest = RandomForestRegressor(100, min_samples_leaf=3, random_state=1)
FILLERS = {
    "knn": KNNImputer(n_neighbors=8, weights="distance"),
    "forest": IterativeImputer(forest, max_iter=4, tol=0.05, random_state=1),
}
for name, filler in FILLERS.items():
    filled = np.exp(pd.DataFrame(filler.fit_transform(facts), facts.index, FACTS))
    guessed = facts.isna().rename(columns="{}_guessed".format).astype(int)
    filled.round(1).join(guessed).to_csv(f"filled-{name}.csv")
print(f"filled {int(facts.isna().sum().sum())} of {facts.size} facts")
