"""Diagnostics by ArviZ: the numbers from ``arviz_stats``, the pictures from ``arviz_plots``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bayesseg.report.figures import INK, WIDTH, encoded, style

KEPT = 250
"""Draws a chain in a picture; more cannot be told apart at that size."""


type Labels = Mapping[str, Sequence[Sequence[str]]]
"""By variable: the names along each axis after (chain, draw)."""


def scalars(dataset: Any, labels: Labels) -> dict[str, np.ndarray]:
    """Every free scalar of a posterior group, (chain, draw) each: ``r``, ``mean[S1, recency]``."""
    return dict(_scalars(dataset, labels))


def _scalars(dataset: Any, labels: Labels) -> Iterator[tuple[str, np.ndarray]]:
    for name, array in dataset.data_vars.items():
        shape = array.shape[2:]
        if not shape:
            yield str(name), array.values
            continue
        axes = labels.get(str(name), ())
        if tuple(map(len, axes)) != shape:
            axes = [[str(i) for i in range(length)] for length in shape]
        for index in np.ndindex(*shape):
            inside = ", ".join(axis[i] for axis, i in zip(axes, index, strict=True))
            yield f"{name}[{inside}]", array.values[(..., *index)]


def summary(values: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """R-hat, effective sizes and Monte Carlo error of each scalar, by ``arviz_stats.summary``.

    Of a point (one chain of one draw) there is the value alone.
    """
    if points(values):
        beside = dict.fromkeys(("sd", "lo", "hi", "r_hat", "ess_bulk", "ess_tail", "mcse"))
        return [{"name": n, "mean": _finite(v.item())} | beside for n, v in values.items()]
    import arviz_base
    import arviz_stats

    # one variable with an axis of scalars: ArviZ's cost is per variable
    tree = arviz_base.from_dict({"posterior": {"all": np.stack(list(values.values()), axis=-1)}})
    with np.errstate(all="ignore"):  # a chain that never moved is reported, not warned of
        table = arviz_stats.summary(
            tree, kind="all", ci_kind="eti", ci_prob=0.9, round_to="none", fmt="wide"
        )
    keep = {
        "mean": "mean",
        "sd": "sd",
        "eti90_lb": "lo",
        "eti90_ub": "hi",
        "r_hat": "r_hat",
        "ess_bulk": "ess_bulk",
        "ess_tail": "ess_tail",
        "mcse_mean": "mcse",
    }
    return [
        {"name": name} | {new: _finite(row[old]) for old, new in keep.items()}
        for name, (_, row) in zip(values, table.iterrows(), strict=True)
    ]


def points(values: Mapping[str, np.ndarray]) -> bool:
    """There is one draw of everything, and nothing to diagnose."""
    return all(array.size == 1 for array in values.values())


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def pictures(values: Mapping[str, np.ndarray], stats: Mapping[str, np.ndarray]) -> dict[str, str]:
    """Rank, trace and (where there is an energy) energy plots as data URIs, by name."""
    import arviz_base
    import arviz_plots
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    step = max(1, next(iter(values.values())).shape[1] // KEPT)
    groups = {"posterior": {name: array[:, ::step] for name, array in values.items()}}
    if "diverging" in stats:
        groups["sample_stats"] = {"diverging": stats["diverging"][:, ::step]}
    tree = arviz_base.from_dict(groups)
    columns = min(2, len(values))
    ink = {"title": {"color": INK}, "xlabel": {"color": INK}}
    grid = {"backend": "matplotlib", "col_wrap": columns, "visuals": ink}
    size = (WIDTH, 1.9 * -(-len(values) // columns) + 0.2)
    plots: dict[str, Callable[[], Any]] = {
        "rank": lambda: arviz_plots.plot_rank(tree, **grid, figure_kwargs=_inches(size)),
        "trace": lambda: arviz_plots.plot_trace(tree, **grid, figure_kwargs=_inches(size)),
    }
    if "energy" in stats:
        energy = arviz_base.from_dict({"sample_stats": {"energy": stats["energy"]}})
        plots["energy"] = lambda: arviz_plots.plot_energy(
            energy,
            backend="matplotlib",
            show_bfmi=False,
            visuals={"title": False},
            figure_kwargs=_inches((WIDTH, 2.4)),
        )
    found = {}
    # ArviZ takes its greys from the colour of the ground, which has to be one; it is not drawn
    with mpl.rc_context(style(**{"lines.linewidth": 0.9, "figure.facecolor": "white"})):
        for name, plot in plots.items():
            figure = plot().viz["figure"].item()
            found[name] = encoded(figure)
            plt.close(figure)
    return found


def _inches(size: tuple[float, float]) -> dict[str, Any]:
    return {"figsize": size, "figsize_units": "inches"}
