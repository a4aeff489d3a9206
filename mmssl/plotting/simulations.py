"""How often a method was right in simulations, beside the rate that it
states.
"""

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
        headings = part[["simulation", "setting"]].drop_duplicates()
        heights.append(len(part) + len(headings) + 1.5)
    figure, axes = canvas(
        len(parts),
        1,
        9.0,
        0.9 + _LINE_HEIGHT * sum(heights) + 0.35 * len(parts),
        height_ratios=heights,
    )
    for axis, rate, part in zip(axes[:, 0], rates, parts, strict=True):
        if rate < 0.5:
            axis.set_xscale("function", functions=(_root, np.square))
            axis.set_xticks([0, 0.01, 0.05, 0.1, 0.25, 0.5, 1])
        left = 0.8 if rate == 0.95 else 0.0
        label = _LABELS.get(rate, "worlds")
        axis.set(
            xlim=(min(left, part["low"].min()), 1.0),
            xlabel=f"share of {label}; dotted: {100 * rate:.0f} %",
        )
        axis.axvline(rate, color=BASELINE, ls=":", lw=1.2)
        _draw_methods(axis, part)
    _draw_legend(figure)
    return figure


def _draw_methods(axis: Axes, part: pd.DataFrame) -> None:
    """One line a method, under a heading of simulation and setting."""
    places, texts, weights = [], [], []
    height = 0
    headings = part.groupby(["simulation", "setting"], sort=False)
    for (simulation, setting), methods in headings:
        places.append(height)
        texts.append(f"{simulation}: {setting}")
        weights.append("bold")
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
            weights.append("normal")
        height -= 1
    axis.set(yticks=places, ylim=(height + 0.4, 0.9))
    ticks = axis.set_yticklabels(texts, fontsize=7)
    for tick, weight in zip(ticks, weights, strict=True):
        tick.set_fontweight(weight)
    axis.tick_params(axis="y", length=0)


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
        handles=handles, loc="outside upper right", ncols=3, fontsize=8
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
