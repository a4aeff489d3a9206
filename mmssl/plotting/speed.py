"""How many times faster than its peer each hot path is, how near to the
machine's limits, and how its cost grows.
"""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmssl.plotting.look import (
    BASELINE,
    COMPETITOR,
    DOTTED,
    MAGNITUDE,
    PHONE,
    canvas,
    name_lines,
)

RATIO = ", ratio"
"""How the names of ratios end."""

LETTERS = 9
"""Points."""

LINE = 0.33
"""Inches from one path to the next, enough for a name of two lines."""


def speed(paths: Sequence[dict[str, Any]]) -> Figure:
    """Draw every ratio of a report of speed, the peer's time through ours.

    Parameters
    ----------
    paths : sequence of dict
        Of each hot path its name and figures, {name: value}; names of ratios
        end in ", ratio".

    Returns
    -------
    Figure
        A dot a ratio on a logarithmic axis, the dotted line where both are
        equally fast.
    """
    labels, ratios = [], []
    for path in paths:
        for name, value in path["figures"].items():
            if name.endswith(RATIO):
                labels.append(f"{path['name']}: {name.removesuffix(RATIO)}")
                ratios.append(value)
    # the first one on top
    labels.reverse()
    ratios.reverse()
    figure, axes = canvas(1, 1, PHONE, 0.9 + LINE * len(ratios))
    axis = axes[0, 0]
    for height, ratio in enumerate(ratios):
        axis.hlines(height, 1, ratio, color=COMPETITOR, lw=2)
        axis.scatter(ratio, height, color=COMPETITOR, s=24, zorder=3)
        axis.annotate(
            f"{ratio:.3g}" if ratio < 100 else f"{ratio:,.0f}",
            (max(1, ratio), height),
            (6, 0),
            textcoords="offset points",
            va="center",
            fontsize=LETTERS,
        )
    axis.axvline(1, color=BASELINE, ls=":")
    axis.set(xscale="log", xlabel="times faster than the peer")
    _name_paths(axis, labels)
    axis.margins(x=0.2)  # with the last number
    return figure


def machine_limits(lines: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw how much of a path's time the machine cannot do without, and how
    much its library calls take by themselves.

    Parameters
    ----------
    lines : sequence of mapping
        Of each path ``name``, ``fraction`` (of its time, the limit set by
        matrix products and copies) and ``fraction alone`` (of its time, the
        library's calls; None where there are none).

    Returns
    -------
    Figure
        Two dots a path on a logarithmic axis, the dotted line at half.
    """
    lines = lines[::-1]  # the first one on top
    figure, axes = canvas(1, 1, PHONE, 1.2 + LINE * len(lines))
    axis = axes[0, 0]
    heights = range(len(lines))
    shares = [line["fraction"] for line in lines]
    axis.scatter(shares, heights, color=COMPETITOR, label="machine's limit")
    known = [i for i in heights if lines[i]["fraction alone"] is not None]
    alone = [lines[i]["fraction alone"] for i in known]
    label = "in libraries"
    axis.scatter(alone, known, color=BASELINE, marker="|", s=90, label=label)
    axis.axvline(0.5, **DOTTED)
    axis.set(xscale="log", xlabel="share of a path's time")
    _name_paths(axis, [line["name"] for line in lines])
    figure.legend(
        loc="outside upper right", fontsize=LETTERS, ncols=2, frameon=False
    )
    return figure


def cost_growth(lines: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the time of each cost against its size, a panel a kind of size.

    Parameters
    ----------
    lines : sequence of mapping
        Of each cost ``name``, ``against`` (what grows), ``points`` (size, s,
        MB) and ``last exponent``.

    Returns
    -------
    Figure
        Both axes logarithmic; seconds are relative to those of the smallest
        size, dotted lines proportional to it. The darker a line and the
        earlier its name, the larger its last exponent.
    """
    kinds = list(dict.fromkeys(line["against"] for line in lines))
    parts = [[n for n in lines if n["against"] == kind] for kind in kinds]
    heights = [2.5 + 0.18 * len(part) for part in parts]
    figure, axes = canvas(
        len(kinds), 1, PHONE, sum(heights), height_ratios=heights
    )
    for axis, kind, part in zip(axes.flat, kinds, parts, strict=True):
        # darker, and earlier in the legend, the faster it grows in the end
        part = sorted(part, key=lambda line: -line["last exponent"])
        for number, line in enumerate(part):
            sizes, seconds, _ = zip(*line["points"], strict=True)
            relative = [second / seconds[0] for second in seconds]
            axis.plot(
                sizes,
                relative,
                marker="o",
                ms=3,
                color=colormaps[MAGNITUDE](number / len(part)),
                label=f"{line['name']} ({line['last exponent']:.2g})",
            )
        largest = max(sizes) / min(sizes)
        axis.plot((min(sizes), max(sizes)), (1, largest), **DOTTED)
        axis.set(xscale="log", yscale="log", xlabel=kind)
        axis.set_ylabel("times the smallest")
        # above, where the lines are not
        axis.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            fontsize=LETTERS,
            frameon=False,
        )
    return figure


def _name_paths(axis: Axes, names: Sequence[str]) -> None:
    """Give every line of an axis its height and name, in two lines if it is
    long.
    """
    lines = ["\n".join(wrap(name, 28)) for name in names]
    name_lines(axis, lines)
    for tick in axis.get_yticklabels():
        tick.set(fontsize=LETTERS, linespacing=1)
