"""BG/NBD: a customer may leave after each repeat purchase.

One-time buyers have P(alive) = 1 by construction: nothing they did could have ended them.
"""

from bayesseg.families._betageometric import beta_geometric

FAMILY = beta_geometric(
    "bgnbd",
    "BG/NBD",
    m=0,
    references=(
        "Fader, Hardie & Lee (2005), Counting Your Customers the Easy Way, equations 3-10",
        "Fader & Hardie, brucehardie.com notes 004, 021, 027",
    ),
)
