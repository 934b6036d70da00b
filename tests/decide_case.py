"""People made one purchase at a time, of whom everything is known, the cost of dropout too."""

import numpy as np


def people(family, theta, spend, T, H, rng):
    """Histories to T, and what is at stake after it, by a simulation apart from the package's.

    Args:
        family: ``bgnbd``, ``mbgnbd`` or ``paretonbd``.
        theta: its textbook parameters.
        spend: p, q, v of order values.
        T: age of each, (N,).
        H: how far ahead.
        rng: generator.

    Returns:
        Columns x, t_x, T, n, S, and per customer ``alive`` at T and ``lost``: spend of the purchases
        between dropout and T + H of one who is alive at T and would buy on.
    """
    N = len(T)
    rate = rng.gamma(theta["r"], 1 / theta["alpha"], N)
    nu = rng.gamma(spend["q"], 1 / spend["v"], N)
    if family == "paretonbd":
        drop = np.zeros(N)
        end = rng.exponential(size=N) / rng.gamma(theta["s"], 1 / theta["beta"], N)
    else:
        drop = rng.beta(theta["a"], theta["b"], N)
        end = np.full(N, np.inf)
        if family == "mbgnbd":
            end[rng.random(N) < drop] = 0.0
    t = np.zeros(N)
    found = {name: np.zeros(N) for name in ("x", "t_x", "S", "lost")}
    while (t < T + H).any():  # the would-be purchases of all, those after dropout too
        t = t + rng.exponential(size=N) / rate
        order = rng.gamma(spend["p"], 1.0, N) / nu
        before = (t <= T) & (t <= end)
        found["x"] += before
        found["S"] += np.where(before, order, 0.0)
        found["t_x"] = np.where(before, t, found["t_x"])
        found["lost"] += np.where((t > end) & (t > T) & (t < T + H), order, 0.0)
        end = np.where((t <= end) & (rng.random(N) < drop), t, end)
    alive = end > T
    lost = np.where(alive, found.pop("lost"), 0.0)
    return {**found, "T": T, "n": found["x"]}, alive, lost
