"""MBG/NBD: a customer may leave after each purchase, the first one included.

So one-time buyers too have a P(alive) between 0 and 1.
"""

from bayesseg.families._betageometric import beta_geometric

FAMILY = beta_geometric(
    "mbgnbd",
    "MBG/NBD",
    m=1,
    references=(
        "Batislam, Denizel & Filiztekin (2007), Empirical validation of customer base models",
        "Hoppe & Wagner (2007), Customer base analysis: the case for a central variant",
    ),
)
