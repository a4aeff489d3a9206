"""How often a method was right in simulations, beside the rate that it
states.
"""

from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmssl.plotting.look import (
    BASELINE,
    VERDICT,
    canvas,
)

_NOT_CONTRADICTED = VERDICT["supported"]
_CONTRADICTED = VERDICT["contradicted"]
_LINE_HEIGHT = 0.19  # inches
_LETTERS = 9  # points, which a telephone can show
_LETTERS_A_LINE = 56
_GAP = 0.4  # lines above a heading

_LABELS = {
    0.05: "worlds with such a finding",
    0.5: "worlds that say so",
    0.9: "worlds with the right finding",
    0.95: "intervals that hold the truth",
}
"""What is counted, by the nominal rate."""


def simulation_rates(table: pd.DataFrame) -> Figure:
    """Draw the share of simulated worlds in which each method was right,
    beside the nominal rate.

    Parameters
    ----------
    table : DataFrame
        Columns simulation, setting, method, share, low, high (99 %), promised
        (the nominal rate), holds (NaN for a method without one, which is there
        to compare).

    Returns
    -------
    Figure
        A panel for each nominal rate, dotted; a dot and line a method. The
        axis of false alarms is a square root, so that 5 % and 100 % both have
        room.
    """
    rates = sorted(table["promised"].unique(), reverse=True)
    parts = [table[table["promised"] == rate] for rate in rates]
    heights = []
    for part in parts:
        headings = part.groupby(["simulation", "setting"], sort=False)
        lines = sum(len(_heading(*names)) for names, _ in headings)
        gaps = _GAP * len(headings)
        heights.append(len(part) + lines + gaps + 1.5)
    figure, axes = canvas(
        len(parts),
        1,
        4.8,
        0.9 + _LINE_HEIGHT * sum(heights) + 0.35 * len(parts),
        height_ratios=heights,
    )
    for axis, rate, part in zip(axes[:, 0], rates, parts, strict=True):
        if rate < 0.5:
            axis.set_xscale("function", functions=(_root, np.square))
            ticks = [0, 0.05, 0.25, 0.5, 1]
            axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        left = 0.8 if rate == 0.95 else 0.0
        label = _LABELS.get(rate, "worlds")
        axis.set_xlim(min(left, part["low"].min()), 1.0)
        axis.set_xlabel(
            f"share of {label}\n(dotted: {100 * rate:.0f} %)", loc="right"
        )
        axis.axvline(rate, color=BASELINE, ls=":", lw=1.2)
        _draw_methods(axis, part)
    _draw_legend(figure)
    return figure


def _draw_methods(axis: Axes, part: pd.DataFrame) -> None:
    """One line a method, under a heading of simulation and setting."""
    places, texts = [], []
    height = 1
    headings = part.groupby(["simulation", "setting"], sort=False)
    for names, methods in headings:
        height -= _GAP
        for line in _heading(*names):
            height -= 1
            _write_heading(axis, line, height)
        for method in methods.itertuples():
            height -= 1
            colour = _colour(method.holds)
            axis.hlines(height, method.low, method.high, color=colour, lw=2)
            axis.scatter(
                method.share,
                height,
                color=colour,
                s=18,
                zorder=3,
                clip_on=False,
            )
            places.append(height)
            texts.append(method.method)
    axis.set(yticks=places, ylim=(height - 0.6, 0.9))
    axis.set_yticklabels(texts, fontsize=_LETTERS)
    axis.tick_params(axis="y", length=0)
    axis.spines.left.set_visible(False)


def _heading(simulation: str, setting: str) -> list[str]:
    """Lines that name what was simulated."""
    return wrap(f"{simulation}: {setting}", _LETTERS_A_LINE)


def _write_heading(axis: Axes, line: str, height: float) -> None:
    """From the left of the figure, over names and dots."""
    heading = axis.annotate(
        line,
        (0.01, height),
        xycoords=("figure fraction", "data"),
        va="center",
        weight="bold",
        fontsize=_LETTERS,
        annotation_clip=False,
        bbox={"fc": "white", "lw": 0, "pad": 1},
    )
    # the dots keep their room
    heading.set_in_layout(False)


def _draw_legend(figure: Figure) -> None:
    colours = {
        "not contradicted": _NOT_CONTRADICTED,
        "contradicted": _CONTRADICTED,
        "to compare": BASELINE,
    }
    handles = [
        Line2D([], [], color=colour, marker="o", ms=4, label=label)
        for label, colour in colours.items()
    ]
    figure.legend(
        handles=handles,
        loc="outside upper right",
        ncols=3,
        fontsize=_LETTERS,
        columnspacing=1,
        frameon=False,
        handletextpad=0.4,
    )


def _colour(holds) -> str:
    """Colour of a method: whether its nominal rate holds, or grey without
    one.
    """
    if pd.isna(holds):
        return BASELINE
    return _NOT_CONTRADICTED if holds else _CONTRADICTED


def _root(x):
    return np.sqrt(np.maximum(x, 0))
