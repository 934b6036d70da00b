"""What the report says of the training data, as aggregates made at fit time. L7.

No ids and no single customers: nothing here is about fewer than 11 of them.
"""

from bayesseg.aggregates.cells import merged
from bayesseg.aggregates.merging import merge_tree
from bayesseg.aggregates.training import (
    against_prior,
    histogram,
    prior_draws,
    rootogram,
    training_aggregates,
    weekly_repeats,
)

__all__ = [
    "against_prior",
    "histogram",
    "merge_tree",
    "merged",
    "prior_draws",
    "rootogram",
    "training_aggregates",
    "weekly_repeats",
]
