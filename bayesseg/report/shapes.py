"""Pictures of segments: where they lie, who goes with whom, what would merge, who moved."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayesseg.report.figures import INK, MARKERS, PALETTE, PAPER, Interval, Write, drawn, ticks

_TURN = np.linspace(0, 2 * np.pi, 49)
_SHADES = 8
_TINY = 1e-9


def _colour(k: int) -> str:
    return PALETTE[k % len(PALETTE)]


def _ellipse(one: Mapping[str, Any], radius: float) -> Any:
    """Points on the ellipse of that many standard deviations: (2, 49)."""
    values, vectors = np.linalg.eigh(np.array(one["covariance"], dtype=float))
    ring = np.sqrt(np.maximum(values, 0.0))[:, None] * np.stack([np.cos(_TURN), np.sin(_TURN)])
    return np.array(one["centre"])[:, None] + radius * vectors @ ring


def plane(found: Mapping[str, Any], ids: Sequence[str], legend: Sequence[str], write: Write) -> str:
    """Ellipses of each segment over groups of customers, the paler the less certain.

    ``found`` is what ``aggregates`` made; ``legend`` names the two axes.
    """
    at = np.array([one["at"] for one in found["cells"]], dtype=float).reshape(-1, 2)
    centres = np.array([one["centre"] for one in found["segments"]])
    low, high = (pick(np.vstack([at, centres]), axis=0) for pick in (np.min, np.max))
    span = np.maximum(high - low, _TINY)
    rings = np.hstack([_ellipse(one, one["radii"][-1]) for one in found["segments"]])
    # ellipses in full, unless one of them would push all the rest together
    low = np.maximum(np.minimum(low, rings.min(1)), low - 0.8 * span)
    high = np.minimum(np.maximum(high, rings.max(1)), high + 0.8 * span)
    margin = 0.05 * (high - low)
    ratio = float(np.clip((high - low)[1] / max((high - low)[0], _TINY), 0.45, 0.9))

    def draw(figure: Any) -> None:
        ax = figure.subplots()
        for k, one in enumerate(found["segments"]):
            colour, (inner, outer) = _colour(k), one["radii"]
            for other in one["draws"]:
                ax.plot(*_ellipse(other, outer), color=colour, lw=0.5, alpha=0.3)
            ax.fill(*_ellipse(one, inner), color=colour, alpha=0.1, lw=0)
            ax.plot(*_ellipse(one, inner), color=colour, lw=1.0, ls=(0, (3, 2)))
            ax.plot(*_ellipse(one, outer), color=colour, lw=1.4)
            own = [cell for cell in found["cells"] if cell["segment"] == k]
            if own:
                place = np.array([cell["at"] for cell in own])
                size = np.array([cell["customers"] for cell in own])
                sure = _above_chance([cell["certainty"] for cell in own], len(ids))
                typical = np.median([cell["customers"] for cell in found["cells"]])
                ax.scatter(
                    *place.T,
                    s=16 * np.clip(size / typical, 0.5, 3),
                    marker=MARKERS[k % len(MARKERS)],
                    color=colour,
                    alpha=0.12 + 0.73 * sure,
                    linewidths=0,
                    zorder=2.5,
                )
        for k, one in enumerate(found["segments"]):
            ax.text(
                *one["centre"],
                ids[k],
                ha="center",
                va="center",
                weight="bold",
                zorder=4,
                bbox={"boxstyle": "round,pad=0.2", "fc": PAPER, "ec": _colour(k), "lw": 0.9},
            )
        ax.set(
            xlim=(low[0] - margin[0], high[0] + margin[0]),
            ylim=(low[1] - margin[1], high[1] + margin[1]),
            xlabel=_wrapped(f"→ {legend[0]}", 64),
        )
        ax.set_title(_wrapped(f"↑ {legend[1]}", 64), weight="normal", size=9)
        for axis in (ax.xaxis, ax.yaxis):
            ticks(axis, write, 6)
        ax.grid()
        ax.set_axisbelow(True)

    return drawn(0.9 + 4.4 * ratio, draw)


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.fill(line, width) for line in text.split("\n"))


def _above_chance(certainty: Sequence[float], segments: int) -> Any:
    """0 where any segment is as likely as another, 1 where there is no doubt."""
    if segments == 1:
        return np.ones(len(certainty))
    least = 1.0 / segments
    return np.clip((np.array(certainty) - least) / (1.0 - least), 0.0, 1.0)


def together(matrix: Sequence[Sequence[float]], segment: Sequence[int], ids: Sequence[str]) -> str:
    """Groups of customers against groups, the darker the likelier both are of one segment.

    ``segment`` is that of each group, in order; ``ids`` those of the segments, by place.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    values = np.array(matrix)
    level = np.round(values * _SHADES).astype(int)
    same = np.equal.outer(segment, segment)
    colour = np.where(same, np.array(segment)[:, None], -1)
    starts = [k for k, one in enumerate(segment) if not k or one != segment[k - 1]]

    def draw(figure: Any) -> None:
        ax = figure.subplots()
        for shade in range(1, _SHADES + 1):
            for own in np.unique(colour):
                cells = _runs((level == shade) & (colour == own))
                if not cells:
                    continue
                path = Path.make_compound_path(
                    *(
                        Path([(a, i), (b, i), (b, i + 1), (a, i + 1), (a, i)], closed=True)
                        for i, a, b in cells
                    )
                )
                paint = INK if own < 0 else _colour(int(own))
                ax.add_patch(PathPatch(path, fc=paint, alpha=shade / _SHADES, lw=0))
        n = len(segment)
        for start in (*starts, n):
            ax.axhline(start, color=INK, lw=0.5)
            ax.axvline(start, color=INK, lw=0.5)
        middle = [(a + b) / 2 for a, b in zip(starts, [*starts[1:], n], strict=True)]
        names = [ids[segment[start]] for start in starts]
        ax.set(xlim=(0, n), ylim=(n, 0), aspect="equal", anchor="W")
        ax.set_xticks(middle, names)
        ax.set_yticks(middle, names)
        ax.xaxis.tick_top()
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)

    return drawn(4.0, draw)


def _runs(mask: Any) -> list[tuple[int, int, int]]:
    """Row, start and end of each run of true cells."""
    found = []
    for i, row in enumerate(np.pad(mask, ((0, 0), (1, 1))).astype(int)):
        turns = np.flatnonzero(np.diff(row))
        found += [(i, int(a), int(b)) for a, b in turns.reshape(-1, 2)]
    return found


def tree(
    merges: Sequence[tuple[Sequence[int], Sequence[int], float]],
    names: Sequence[str],
    legend: str,
    write: Write,
) -> str:
    """A dendrogram to the right: (one group, the other, height) in the order of merging."""
    last: dict[int, tuple[float, float]] = {}  # a leaf's group: where it ends, how far out
    order = _leaves(merges, len(names))
    for row, k in enumerate(order):
        last[k] = (row, 0.0)
    labels = [textwrap.fill(name, 22) for name in names]
    lines = max(label.count("\n") + 1 for label in labels)

    def draw(figure: Any) -> None:
        from matplotlib.ticker import FuncFormatter

        ax = figure.subplots()
        for one, other, height in merges:
            (y1, x1), (y2, x2) = last[one[0]], last[other[0]]
            ax.plot([x1, height, height, x2], [y1, y1, y2, y2], color=INK, lw=1.4)
            for k in (*one, *other):
                last[k] = ((y1 + y2) / 2, height)
        for row, k in enumerate(order):
            ax.plot(0, row, MARKERS[k % len(MARKERS)], color=_colour(k), ms=7, clip_on=False)
        ax.set_yticks(range(len(order)), [labels[k] for k in order])
        ax.set(xlim=(0, 1.02), ylim=(len(order) - 0.5, -0.5), xlabel=legend)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0, pad=8)
        ax.spines["left"].set_visible(False)

    return drawn(0.7 + (0.22 + 0.14 * lines) * len(names), draw)


def _leaves(merges: Sequence[tuple[Sequence[int], Sequence[int], float]], count: int) -> list[int]:
    """Segments in an order in which no branches cross."""
    held = {k: [k] for k in range(count)}
    for one, other, _ in merges:
        joined = held[one[0]] + held[other[0]]
        for k in joined:
            held[k] = joined
    return held[0]


def flows(
    before: Sequence[float],
    after: Sequence[float],
    moved: Sequence[Sequence[Interval]],
    sure: Sequence[Sequence[bool]],
    names: tuple[Sequence[str], Sequence[str]],
    legend: tuple[str, str],
) -> str:
    """Bars of customers before and after, and who went where as bands between them.

    Args:
        before: customers on the left, those who came later last.
        after: customers on the right, those who left last.
        moved: customers from each on the left to each on the right.
        sure: whether more went there than uncertainty alone would move; others are pale.
        names: of the bars on either side.
        legend: titles of the sides.
    """
    amount = np.array([[one["mean"] for one in row] for row in moved])
    gap = 0.03 * max(sum(before), _TINY)
    tops = [np.cumsum([0.0, *(v + gap for v in side)])[:-1] for side in (before, after)]

    def draw(figure: Any) -> None:
        ax = figure.subplots()
        out, into = tops[0].copy(), tops[1].copy()
        for j in range(len(before)):
            for k in range(len(after)):
                if amount[j, k] > 0:
                    strong = bool(sure[j][k])
                    _band(ax, out[j], into[k], amount[j, k], _bar(j, len(before)), strong)
                out[j] += amount[j, k]
                into[k] += amount[j, k]
        for x, side, top, labels, align in (
            (0, before, tops[0], names[0], "right"),
            (1, after, tops[1], names[1], "left"),
        ):
            for k, height in enumerate(side):
                if not height:
                    continue
                ax.fill(
                    [x - 0.012, x + 0.012, x + 0.012, x - 0.012],
                    [top[k], top[k], top[k] + height, top[k] + height],
                    color=_bar(k, len(side)),
                    lw=0,
                )
                ax.text(
                    x + (0.03 if x else -0.03),
                    top[k] + height / 2,
                    textwrap.fill(labels[k], 20),
                    ha=align,
                    va="center",
                )
        bottom = max(t[-1] + s[-1] for t, s in zip(tops, (before, after), strict=True))
        ax.text(0, -1.5 * gap, legend[0], ha="center", weight="bold")
        ax.text(1, -1.5 * gap, legend[1], ha="center", weight="bold")
        ax.set(xlim=(-0.55, 1.55), ylim=(bottom + gap, -3.5 * gap))
        ax.axis("off")

    return drawn(1.2 + 0.62 * max(len(before), len(after)), draw)


def _bar(k: int, count: int) -> str:
    """The last bar on either side stands for those who are not in the other period."""
    return PALETTE[7] if k == count - 1 else _colour(k)


def _band(ax: Any, left: float, right: float, width: float, colour: str, strong: bool) -> None:
    t = np.linspace(0, 1, 25)
    bend = left + (right - left) * (t * t * (3 - 2 * t))
    x = 0.012 + t * (1 - 0.024)
    ax.fill_between(x, bend, bend + width, color=colour, alpha=0.55 if strong else 0.16, lw=0)


def shade(away: float) -> int:
    """The shade of a table's cell for a distance in standard deviations: -4 to 4."""
    size = sum(abs(away) >= limit for limit in (0.25, 0.75, 1.25, 2.0))
    return int(math.copysign(size, away)) if size else 0
