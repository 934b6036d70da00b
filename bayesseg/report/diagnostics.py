"""Diagnostics by ArviZ: the numbers from ``arviz_stats``, the pictures from ``arviz_plots``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bayesseg.gates.prior import sensitivity as moved
from bayesseg.report.figures import INK, PALETTE, WIDTH, encoded, style

KEPT = 150
"""Draws a chain in a picture; more cannot be told apart at that size."""
_WEIGHED = 500  # draws a chain that are weighed anew
_DIFFERENCE = "Difference"
_NUMBER, _TEN = re.compile(r"\d+\.\d+"), float(np.log(10.0))


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


def sensitivity(values: Mapping[str, np.ndarray], stats: Mapping[str, np.ndarray]) -> list[Any]:
    """How far each scalar moves when prior or likelihood counts more (see ``gates.prior``).

    Returns:
        ``name``, ``prior`` and ``likelihood``; nothing where the two densities were not kept.
    """
    if not _weighable(values, stats):
        return []
    step = max(1, next(iter(values.values())).shape[1] // _WEIGHED)
    kinds = ("prior", "likelihood")
    return [
        {"name": name}
        | {kind: moved(array[:, ::step], stats[f"log_{kind}"][:, ::step]) for kind in kinds}
        for name, array in values.items()
    ]


def mobility(stats: Mapping[str, np.ndarray]) -> list[float]:
    """E-BFMI of each chain: below 0.3 the sampler moved too slowly through the tails."""
    import arviz_base
    import arviz_stats

    tree = arviz_base.from_dict({"sample_stats": {"energy": stats["energy"]}})
    return [float(one) for one in np.ravel(arviz_stats.bfmi(tree)["energy"])]


def pictures(
    values: Mapping[str, np.ndarray],
    stats: Mapping[str, np.ndarray],
    before: Mapping[str, np.ndarray],
    texts: Mapping[str, str],
    write: Callable[[float], str],
) -> dict[str, str]:
    """ArviZ's pictures as data URIs, by name: those that can be drawn, in the order to show them.

    Args:
        values: scalars, (chain, draw) each.
        stats: of ``diverging``, ``energy``, ``log_likelihood`` and ``log_prior`` what was kept.
        before: draws of the same scalars from their prior, (draw,); without them these are no
            parameters of a prior, and neither they nor their pairs are drawn.
        texts: what ArviZ writes in English -> what to write.
        write: how a number is written.
    """
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
    size = _inches(1.9 * -(-len(values) // columns) + 0.2)
    plots: dict[str, Callable[[], Any]] = {
        "rank": lambda: arviz_plots.plot_rank(tree, **grid, figure_kwargs=size),
        "trace": lambda: arviz_plots.plot_trace(tree, **grid, figure_kwargs=size),
    }
    if "energy" in stats:
        energy = arviz_base.from_dict({"sample_stats": {"energy": stats["energy"]}})
        plots["energy"] = lambda: arviz_plots.plot_energy(
            energy,
            backend="matplotlib",
            show_bfmi=False,
            visuals={"title": False},
            figure_kwargs=_inches(2.4),
        )
    smooth = before and all(np.isfinite(v).all() and np.ptp(v) > 0 for v in values.values())
    if smooth and len(values) > 1:
        plots["pair"] = lambda: arviz_plots.plot_pair(
            tree,
            backend="matplotlib",
            marginal_kind="kde",
            levels=[0.5, 0.9],
            visuals={"scatter": False, "contourf": False, "contour": {"color": PALETTE[0]}},
            figure_kwargs=_inches(1.1 * len(values)),
        )
    if smooth:
        beside = _beside(values, before)
        plots["prior"] = lambda: arviz_plots.plot_prior_posterior(
            beside,
            kind="kde",
            backend="matplotlib",
            col_wrap=columns,
            visuals={"title": ink["title"]},
            figure_kwargs=size,
        )
    if smooth and _weighable(values, stats):
        powered = _powered(values, stats)
        plots["sensitivity"] = lambda: arviz_plots.plot_psense_dist(
            powered,
            backend="matplotlib",
            kind="kde",
            color=[PALETTE[0], INK, PALETTE[1]],
            visuals={
                "title": {"color": INK},
                "credible_interval": False,
                "point_estimate": False,
            },
            figure_kwargs=_inches(1.25 * len(values)),
        )
    found = {}
    # ArviZ takes its greys from the colour of the ground, which has to be one; it is not drawn
    with mpl.rc_context(style(**{"lines.linewidth": 0.9, "figure.facecolor": "white"})):
        for name, plot in plots.items():
            figure = plot().viz["figure"].item()
            if name == "rank":
                for ax in figure.axes[::columns]:
                    ax.set_ylabel(_DIFFERENCE)
            every = step if name == "trace" else 1
            _said(figure, texts, write, logarithms=name == "prior", every=every)
            found[name] = encoded(figure)
            plt.close(figure)
    return found


def _weighable(values: Mapping[str, np.ndarray], stats: Mapping[str, np.ndarray]) -> bool:
    """Whether the draws can be weighed anew: both densities of each were kept."""
    both = [stats.get("log_likelihood"), stats.get("log_prior")]
    found = [array for array in (*both, *values.values()) if array is not None]
    return len(found) == len(values) + 2 and all(np.isfinite(array).all() for array in found)


def _powered(values: Mapping[str, np.ndarray], stats: Mapping[str, np.ndarray]) -> Any:
    """Draws with both densities; names that ArviZ would take for its own power get a blank."""
    import arviz_base

    step = max(1, next(iter(values.values())).shape[1] // _WEIGHED)
    own = {f"{n} " if n == "alpha" else n: v[:, ::step] for n, v in values.items()}
    densities = {f"log_{k}": {"all": stats[f"log_{k}"][:, ::step]} for k in ("likelihood", "prior")}
    return arviz_base.from_dict({"posterior": own, **densities})


def _beside(values: Mapping[str, np.ndarray], before: Mapping[str, np.ndarray]) -> Any:
    """Posterior and prior as logarithms, the outer hundredth of a long-tailed prior left out."""
    import arviz_base

    def kept(draws: np.ndarray) -> np.ndarray:
        low, high = np.quantile(draws, [0.01, 0.99])
        inner: np.ndarray = draws[(draws >= low) & (draws <= high)]
        return np.sort(inner)[None, :]

    own = {name: np.log(v) for name, v in values.items()}
    prior = {name: kept(np.log(before[name])) for name in values}
    fewest = min(v.shape[1] for v in prior.values())
    return arviz_base.from_dict(
        {"posterior": own, "prior": {n: v[:, :fewest] for n, v in prior.items()}}
    )


def _said(
    figure: Any,
    texts: Mapping[str, str],
    write: Callable[[float], str],
    *,
    logarithms: bool,
    every: int,
) -> None:
    """Put what ArviZ wrote into the language of the page, and values for their ``logarithms``.

    Of draws each ``every``-th is shown, and counted as one of all.
    """

    def plainly(value: float, _: int) -> str:
        return write(value)

    def along(value: float, _: int) -> str:
        return write(float(np.exp(value)) if logarithms else every * value)

    from matplotlib.text import Text
    from matplotlib.ticker import FixedLocator, FuncFormatter

    legends = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
    written = [one for legend in legends for one in (legend.get_title(), *legend.get_texts())]
    for ax in figure.axes:
        written += [ax.title, *ax.texts]
        written += [ax.xaxis.label, ax.yaxis.label]
    written += [  # titles stand left, centred or right
        one
        for one in figure.findobj(Text)
        if one not in written and not texts.keys().isdisjoint(one.get_text().split("\n"))
    ]
    for one in written:
        lines = [texts.get(line, line) for line in one.get_text().split("\n")]
        text = _NUMBER.sub(lambda found: write(float(found[0])), "\n".join(lines))
        one.set_text(text.replace("(α", " (α").rstrip())
    for ax in figure.axes:
        if logarithms:
            ax.xaxis.set_major_locator(FixedLocator(_round_logarithms(*ax.get_xlim())))
        ax.xaxis.set_major_formatter(FuncFormatter(along))
        ax.yaxis.set_major_formatter(FuncFormatter(plainly))


def _round_logarithms(low: float, high: float) -> list[float]:
    """Logarithms of at most five round numbers within the limits."""
    powers = 10.0 ** np.arange(np.floor(low / _TEN), np.ceil(high / _TEN) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = np.sort(np.log(np.outer(powers, steps).ravel()))
        ticks = ticks[(low <= ticks) & (ticks <= high)]
        if len(ticks) <= 5:
            break
    return list(ticks[:: -(-len(ticks) // 5)])


def _inches(height: float) -> dict[str, Any]:
    return {"figsize": (WIDTH, height), "figsize_units": "inches"}
