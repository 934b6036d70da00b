"""Business figures: matplotlib under one style sheet, as SVG that follows the page's light or dark."""

from __future__ import annotations

import base64
import io
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#8A8A3C", "#7F7F7F")
"""Okabe and Ito's colours, told apart by readers who see fewer of them; yellow darkened to show."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
WIDTH = 5.2
INK, PAPER, _GRID = "#3a4149", "#fefefe", "#dadde2"
_DARK = {
    INK: "#c9d0d8",
    PAPER: "#12151a",
    _GRID: "#3a424d",
    "#0072b2": "#3f9fd8",
    "#d55e00": "#ee8434",
}
"""Colours that change on a dark ground, and what they become."""

_DIGITS, _BREAKS = re.compile(r"(?<=\d\.\d\d)\d+(?![\d.]*\))"), re.compile(r"\s*\n\s*")
"""Decimals beyond a hundredth of a point, scales of letters aside; line breaks. A quarter of a file."""

_STYLE: Mapping[str, Any] = {
    "axes.edgecolor": _GRID,
    "axes.facecolor": "none",
    "axes.formatter.useoffset": False,
    "axes.grid": False,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "path.simplify_threshold": 0.5,
    "svg.hashsalt": "bayesseg",
    "text.color": INK,
    "xtick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": INK,
    "ytick.labelsize": 8.5,
}

type Interval = Mapping[str, float]
type Write = Callable[[float], str]
"""How a number is written in the page's language."""
type WriteDay = Callable[[date], str]
"""How a day is written on an axis."""


def style(**more: Any) -> Any:
    """Matplotlib's settings for every figure of the page, for ``rc_context``."""
    from cycler import cycler

    return {**_STYLE, "axes.prop_cycle": cycler(color=PALETTE), **more}


def drawn(height: float, draw: Callable[[Any], None], width: float = WIDTH) -> str:
    """Let ``draw`` fill a figure of that size (inches) and return it as a data URI."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(style()):
        figure = Figure(figsize=(width, height))
        draw(figure)
        return encoded(figure)


def encoded(figure: Any) -> str:
    """A figure as an SVG data URI, the same bytes for the same picture.

    Some colours become CSS variables, so that the picture follows the reader's colour scheme.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = _BREAKS.sub(" ", _DIGITS.sub("", text[text.index("<svg") :]))
    for colour in _DARK:
        text = text.replace(colour, f"var(--c{colour[1:]})")
    start = text.index(">") + 1
    light = ";".join(f"--c{colour[1:]}:{colour}" for colour in _DARK)
    dark = ";".join(f"--c{colour[1:]}:{other}" for colour, other in _DARK.items())
    scheme = f"<style>:root{{{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}</style>"
    text = text[:start] + scheme + text[start:]
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


_TITLE = 26  # letters of a line over one of two panels
_LABEL = 19  # characters beside a row, so that the panels keep room for their titles


def ticks(axis: Any, write: Write, most: int = 5) -> None:
    """At most ``most`` intervals, fewer where two of their ends would read the same."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    low, high = sorted(axis.get_view_interval())
    for count in range(most, 0, -1):
        places = MaxNLocator(count, min_n_ticks=1).tick_values(low, high)
        read = [write(place) for place in places if low <= place <= high]
        if len(set(read)) == len(read):
            break
    axis.set_major_locator(MaxNLocator(count, min_n_ticks=1))
    axis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))


def _days(axis: Any, write: WriteDay) -> None:
    """At most five days."""
    from matplotlib.dates import AutoDateLocator, num2date
    from matplotlib.ticker import FuncFormatter

    axis.set_major_locator(AutoDateLocator(maxticks=5))  # type: ignore[no-untyped-call]
    axis.set_major_formatter(FuncFormatter(lambda at, _: write(num2date(at).date())))  # type: ignore[no-untyped-call]


def dots(
    panels: Sequence[tuple[str, Sequence[Mapping[str, Any]], Write]],
    names: Sequence[str],
    *,
    marks: Sequence[int] | None = None,
) -> str:
    """One panel a quantity, one row a name: a dot at the mean, a line over the interval.

    An interval may have another ``beside`` it, whose mean is an upright stroke. Each row has the colour
    and shape of its segment: those of ``marks``, by default its place.
    """
    columns = 2 if len(panels) > 1 else 1
    rows = -(-len(panels) // columns)
    labels = [textwrap.fill(name, _LABEL) for name in names]
    lines = max(label.count("\n") + 1 for label in labels)

    def draw(figure: Any) -> None:
        figure.get_layout_engine().set(h_pad=0.1)
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for ax, (title, values, write) in zip(axes.flat, panels, strict=False):
            for row, one in enumerate(values):
                mark = row if marks is None else marks[row]
                colour, marker = PALETTE[mark % len(PALETTE)], MARKERS[mark % len(MARKERS)]
                ax.plot([one["lo"], one["hi"]], [row, row], color=colour, lw=3, alpha=0.45)
                ax.plot(one["mean"], row, marker, color=colour, ms=6.5)
                if beside := one.get("beside"):
                    ax.plot(beside["mean"], row, "|", color=colour, ms=13, mew=1.8)
            ax.set_title("\n".join(textwrap.fill(line, _TITLE) for line in title.split("\n")))
            ax.grid(axis="y")
            ax.set_yticks(range(len(names)), labels)
            ax.set_ylim(len(names) - 0.4, -0.6)
            ax.margins(x=0.12)
            ticks(ax.xaxis, write, 4)
            ax.tick_params(axis="y", length=0)
            ax.spines["left"].set_visible(False)
        for ax in axes.flat[len(panels) :]:
            ax.set_visible(False)

    return drawn(rows * (0.75 + (0.2 + 0.1 * lines) * len(names)), draw)


def histograms(panels: Sequence[tuple[str, Sequence[float], Sequence[int]]], write: Write) -> str:
    """One panel a quantity: (title, edges, counts); areas are proportional to customers."""

    def draw(figure: Any) -> None:
        figure.get_layout_engine().set(h_pad=0.1)
        axes = figure.subplots(-(-len(panels) // 2), 2, squeeze=False)
        for ax, (title, edges, counts) in zip(axes.flat, panels, strict=False):
            ax.stairs(
                np.asarray(counts) / np.diff(edges), edges, fill=True, color=PALETTE[0], alpha=0.75
            )
            ax.set_title(title)
            ax.set_yticks([])
            ax.spines["left"].set_visible(False)
            ticks(ax.xaxis, write, 4)
        for ax in axes.flat[len(panels) :]:
            ax.set_visible(False)

    return drawn(1.8 * -(-len(panels) // 2), draw)


def rootogram(
    labels: Sequence[str],
    observed: Sequence[float],
    predicted: Sequence[Interval],
    legend: Sequence[str],
) -> str:
    """Observed counts as bars, predicted ones as dots with intervals, on a square-root scale."""

    def draw(figure: Any) -> None:
        ax = figure.subplots()
        at = np.arange(len(labels))
        ax.bar(at, observed, color=PALETTE[5], alpha=0.5, width=0.75, label=legend[0])
        mean = np.array([one["mean"] for one in predicted])
        low = mean - [one["lo"] for one in predicted]
        high = np.array([one["hi"] for one in predicted]) - mean
        ax.errorbar(at, mean, [low, high], fmt="o", color=PALETTE[3], ms=5, lw=2, label=legend[1])
        ax.set_yscale("function", functions=_ROOT)
        ax.set_ylim(0)
        ax.set_xticks(at, labels)
        ax.set_xlabel(legend[2])
        ax.set_ylabel(legend[3])
        ax.grid(axis="y")
        ax.set_axisbelow(True)
        ax.legend()

    return drawn(3.0, draw)


def tracking(
    days: Sequence[str],
    actual: Sequence[float | None],
    expected: Sequence[Interval],
    legend: Sequence[str],
    write_day: WriteDay,
) -> str:
    """A series that came, as a line, over the one expected, as a band around its mean."""

    def draw(figure: Any) -> None:
        ax = figure.subplots()
        at = np.array(days, dtype="datetime64[D]")
        came = np.array([np.nan if v is None else v for v in actual], dtype=float)
        ax.plot(at, came, color=PALETTE[0], lw=1.4, marker=".", ms=4, label=legend[0])
        if expected:
            low, mean, high = (np.array([e[k] for e in expected]) for k in ("lo", "mean", "hi"))
            ax.fill_between(at, low, high, color=PALETTE[3], alpha=0.25, lw=0)
            ax.plot(at, mean, color=PALETTE[3], ls="--", label=legend[1])
        ax.set_ylim(0)
        ax.set_ylabel(legend[2])
        _days(ax.xaxis, write_day)
        ax.grid(axis="y")
        ax.legend()

    return drawn(2.7, draw)


def forecasts(
    names: Sequence[str],
    actual: Sequence[float],
    predicted: Sequence[Interval],
    legend: Sequence[str],
    write: Write,
    wider: Sequence[Interval | None] = (),
) -> str:
    """One row a past forecast: its interval, its mean, and a mark for what came.

    ``wider`` intervals are thin lines around the thick ones.
    """

    def draw(figure: Any) -> None:
        ax = figure.subplots()
        for row, one in enumerate(wider):
            if one is not None:
                ax.plot([one["lo"], one["hi"]], [row, row], color=PALETTE[0], lw=1.2)
        for row, one in enumerate(predicted):
            ax.plot([one["lo"], one["hi"]], [row, row], color=PALETTE[0], lw=5, alpha=0.4)
            mean = np.nan if one["mean"] is None else one["mean"]
            ax.plot(mean, row, "o", color=PALETTE[0], ms=7, label=legend[0] if row == 0 else None)
        ax.plot(actual, range(len(names)), "D", color=PALETTE[3], ms=7, ls="none", label=legend[1])
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_xlabel(legend[2])
        ax.margins(x=0.1)
        ticks(ax.xaxis, write, 6)
        ax.grid(axis="y")
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)

    return drawn(1.5 + 0.35 * len(names), draw)


def concentration(
    share: Sequence[float], value: Sequence[float], legend: Sequence[str], write: Write
) -> str:
    """The share of all expected value held by the most valuable customers."""

    def draw(figure: Any) -> None:
        from matplotlib.ticker import FuncFormatter

        ax = figure.subplots()
        ax.fill_between(share, value, color=PALETTE[2], alpha=0.18, lw=0)
        ax.plot([0, 1], [0, 1], color=INK, lw=0.8, ls=":")
        ax.plot(share, value, color=PALETTE[2])
        for axis, text in ((ax.xaxis, legend[0]), (ax.yaxis, legend[1])):
            axis.set_major_formatter(FuncFormatter(lambda share, _: write(share)))
            axis.set_label_text(text)
        ax.set(xlim=(0, 1), ylim=(0, 1.02))
        ax.grid()

    return drawn(3.1, draw)


def courses(
    days: Sequence[str],
    panels: Sequence[tuple[str, Sequence[float | None], Sequence[Sequence[Sequence[float]]]]],
    names: Sequence[str],
    mark: str,
    legend: Sequence[str],
    write: Write,
    write_day: WriteDay,
) -> str:
    """Panels under one another over the same days: what came, and one line a forecast.

    Each panel is (title, what came, forecasts in the order of ``names``: mean, low and high); of one
    forecast the band is drawn. A vertical line stands at the day ``mark``. ``legend`` names what came
    and the mark.
    """

    def draw(figure: Any) -> None:
        axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
        at = np.array(days, dtype="datetime64[D]")
        for ax, (title, came, forecasts) in zip(axes, panels, strict=True):
            ax.axvline(np.datetime64(mark), color=INK, lw=0.9, ls=":", label=legend[1])
            for row, (mean, low, high) in enumerate(forecasts):
                if len(forecasts) == 1:
                    ax.fill_between(at, low, high, color=_of_forecast(row), alpha=0.25, lw=0)
                dash = _DASHES[row % len(_DASHES)]
                ax.plot(at, mean, label=names[row], lw=1.6, ls=dash, c=_of_forecast(row))
            known = np.array([value is not None for value in came])
            values = np.array([value for value in came if value is not None], dtype=float)
            ax.plot(at[known], values, color=PALETTE[0], lw=1.4, label=legend[0])
            ax.set_title(title)
            ax.set_ylim(0)
            ax.grid(axis="y")
            ticks(ax.yaxis, write)
        _days(axes[-1].xaxis, write_day)
        handles, _ = axes[0].get_legend_handles_labels()
        order = [handles[-1], *handles[1:-1], handles[0]]  # what came, forecasts, the mark
        figure.legend(handles=order, loc="outside upper left", ncols=4)

    return drawn(0.5 + 2.0 * len(panels), draw)


_DASHES = ("--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)))


def _of_forecast(row: int) -> str:
    """The colour of a forecast wherever it is drawn; the first one is that of what came."""
    return PALETTE[1 + row % (len(PALETTE) - 1)]


def reliability(
    panels: Sequence[tuple[str, Sequence[float], Sequence[Interval]]],
    legend: Sequence[str],
    write: Write,
) -> str:
    """One panel a forecast: observed shares with intervals against forecast probabilities.

    Points of a forecast that keeps its word lie on the diagonal. The scale is a square root, for most
    shares are small. ``legend`` names the two axes.
    """

    def draw(figure: Any) -> None:
        from matplotlib.ticker import FixedLocator, FuncFormatter

        axes = _grid_of(figure, len(panels))
        most = min(1.0, 1.05 * max(max(o["hi"] for o in one) for _, _, one in panels))
        marked = _roots(most)
        for row, (ax, (title, forecast, observed)) in enumerate(zip(axes, panels, strict=True)):
            low, mean, high = (np.array([one[k] for one in observed]) for k in ("lo", "mean", "hi"))
            ax.plot([0, 1], [0, 1], color=INK, lw=0.8, ls=":")
            ax.errorbar(
                forecast,
                mean,
                [np.maximum(mean - low, 0), np.maximum(high - mean, 0)],
                fmt=MARKERS[row % len(MARKERS)],
                color=_of_forecast(row),
                ms=5,
                lw=1.6,
            )
            ax.set_title(title)
            ax.set_xscale("function", functions=_ROOT)
            ax.set_yscale("function", functions=_ROOT)
            ax.set(xlim=(0, most), ylim=(0, most), box_aspect=1)
            for axis in (ax.xaxis, ax.yaxis):
                axis.set_major_locator(FixedLocator(marked))
                axis.set_major_formatter(FuncFormatter(lambda share, _: write(share)))
            ax.grid()
            _outer(ax, row, len(panels), *legend)

    columns = _columns_of(len(panels))
    return drawn((0.4 + 5.0 / columns) * -(-len(panels) // columns), draw)


_ROOT = (lambda v: np.sqrt(np.maximum(v, 0)), np.square)
"""A square-root scale and its inverse."""


def _roots(most: float) -> list[float]:
    """Round shares up to ``most``, so far apart on a square-root scale that they can be read."""
    found = [0.0]
    for share in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0):
        if share <= most and share**0.5 - found[-1] ** 0.5 >= 0.18 * most**0.5:
            found.append(share)
    return found


def uniform(
    panels: Sequence[tuple[str, Sequence[float]]],
    band: tuple[float, float],
    legend: str,
    write: Write,
) -> str:
    """One panel a forecast: its PIT histogram, as multiples of a flat one, over the noise band."""

    def draw(figure: Any) -> None:
        axes = _grid_of(figure, len(panels))
        top = max([band[1], *(max(heights) for _, heights in panels)])
        for row, (ax, (title, heights)) in enumerate(zip(axes, panels, strict=True)):
            edges = np.linspace(0, 1, len(heights) + 1)
            ax.stairs(heights, edges, fill=True, color=_of_forecast(row), alpha=0.6)
            ax.axhspan(*band, color=PALETTE[7], alpha=0.35, lw=0)
            for end in band:
                ax.axhline(end, color=INK, lw=0.8, ls="--")
            ax.axhline(1, color=INK, lw=0.8, ls=":")
            ax.set_title(title)
            ax.set(xlim=(0, 1), ylim=(0, 1.08 * top))
            for axis in (ax.xaxis, ax.yaxis):
                ticks(axis, write, 4)
            _outer(ax, row, len(panels), legend)

    return drawn(1.9 * -(-len(panels) // _columns_of(len(panels))), draw)


def _grid_of(figure: Any, panels: int) -> list[Any]:
    """Axes in two or three columns that share their scales; the outer ones carry the numbers."""
    columns = _columns_of(panels)
    axes = list(figure.subplots(-(-panels // columns), columns, sharex=True, sharey=True).flat)
    for at, ax in enumerate(axes):
        ax.set_visible(at < panels)
        ax.tick_params(labelbottom=at + columns >= panels)
    return axes[:panels]


def _columns_of(panels: int) -> int:
    return 2 if panels in (1, 2, 4) else 3


def _outer(ax: Any, at: int, panels: int, x: str, y: str = "") -> None:
    """Name the axes of panel ``at`` where nothing stands below it or left of it."""
    columns = _columns_of(panels)
    ax.set_xlabel(x if at + columns >= panels else "")
    ax.set_ylabel(y if at % columns == 0 else "")


def means(
    labels: Sequence[str],
    came: Sequence[float],
    forecasts: Sequence[Sequence[float]],
    names: Sequence[str],
    legend: Sequence[str],
    write: Write,
) -> str:
    """What came by group as bars, one mark a forecast beside; ``legend``: came, x axis, y axis."""

    def draw(figure: Any) -> None:
        ax = figure.subplots()
        at = np.arange(len(labels))
        ax.bar(at, came, color=PALETTE[5], alpha=0.5, width=0.75, label=legend[0])
        for row, values in enumerate(forecasts):
            ax.plot(
                at + (row - (len(forecasts) - 1) / 2) * 0.16,
                values,
                MARKERS[row % len(MARKERS)],
                color=_of_forecast(row),
                ms=5.5,
                label=names[row],
            )
        ax.set_xticks(at, labels)
        ax.set_xlabel(legend[1])
        ax.set_ylabel(legend[2])
        ax.grid(axis="y")
        ax.set_axisbelow(True)
        ticks(ax.yaxis, write)
        ax.legend()

    return drawn(3.0, draw)


def benefit(points: Sequence[Mapping[str, Any]], legend: Sequence[str], write: Write) -> str:
    """Net benefit against cost, with its band; ``legend``: cost, net benefit, band."""

    def draw(figure: Any) -> None:
        ax = figure.subplots()
        cost = [one["cost"] for one in points]
        net = [one["net_benefit"] for one in points]
        if points[0]["lo"] is not None:
            low, high = ([one[end] for one in points] for end in ("lo", "hi"))
            ax.fill_between(cost, low, high, color=PALETTE[2], alpha=0.22, lw=0, label=legend[2])
        ax.axhline(0, color=INK, lw=0.8, ls=":")
        ax.plot(cost, net, color=PALETTE[2], label=legend[1])
        best = max(range(len(net)), key=net.__getitem__)
        ax.plot(cost[best], net[best], "o", color=PALETTE[2], ms=7)
        ax.set_xlabel(legend[0])
        ax.set_ylabel(legend[1])
        ax.grid(axis="y")
        ticks(ax.xaxis, write)
        ticks(ax.yaxis, write)
        ax.legend()

    return drawn(3.0, draw)
