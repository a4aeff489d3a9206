"""How often a method was right in worlds of known truth, beside how often it
promised to be.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmssl.plotting.look import BASELINE, PALETTE, canvas

_KEPT, _BROKEN = PALETTE[2], PALETTE[1]
_ROW = 0.19  # inches

_AXIS = {
    0.05: ("worlds with such a finding", 0.0),
    0.5: ("worlds that say so", 0.0),
    0.9: ("worlds with the right finding", 0.0),
    0.95: ("intervals that hold the truth", 0.8),
}


def promises(table: pd.DataFrame) -> Figure:
    """Draw the share of worlds in which each method was right, with what was
    promised.

    Parameters
    ----------
    table : DataFrame
        Columns simulation, setting, method, share, low, high (99 %), promised,
        holds (NaN for a method without a promise, which is there to compare).

    Returns
    -------
    Figure
        A panel for each share promised, dotted; a dot and line a method. The
        axis of false alarms is a square root, so that 5 % and 100 % both have
        room.
    """
    shares = sorted(table["promised"].unique(), reverse=True)
    parts = [table[table["promised"] == share] for share in shares]
    heights = [
        len(part)
        + part[["simulation", "setting"]].drop_duplicates().shape[0]
        + 1.5
        for part in parts
    ]
    figure, axes = canvas(
        len(parts),
        1,
        9.0,
        0.9 + _ROW * sum(heights) + 0.35 * len(parts),
        height_ratios=heights,
    )
    for axis, share, part in zip(axes[:, 0], shares, parts, strict=True):
        name, least = _AXIS.get(share, ("worlds", 0.0))
        if share < 0.5:
            axis.set_xscale("function", functions=(_root, np.square))
            axis.set_xticks([0, 0.01, 0.05, 0.1, 0.25, 0.5, 1])
        axis.set(
            xlim=(min(least, part["low"].min()), 1.0),
            xlabel=f"share of {name}; dotted: {100 * share:.0f} %",
        )
        axis.axvline(share, color=BASELINE, ls=":", lw=1.2)
        _rows(axis, part)
    looks = {
        "not contradicted": _KEPT,
        "contradicted": _BROKEN,
        "to compare": BASELINE,
    }
    figure.legend(
        handles=[
            Line2D([], [], color=tint, marker="o", ms=4, label=label)
            for label, tint in looks.items()
        ],
        loc="outside upper right",
        ncols=3,
        fontsize=8,
    )
    return figure


def _rows(axis, part: pd.DataFrame) -> None:
    """One line a method, under a heading of simulation and setting."""
    labels, height = [], 0
    for (simulation, setting), methods in part.groupby(
        ["simulation", "setting"], sort=False
    ):
        labels.append((height, f"{simulation}: {setting}", "bold"))
        for one in methods.itertuples():
            height -= 1
            tint = (
                BASELINE
                if pd.isna(one.holds)
                else _KEPT
                if one.holds
                else _BROKEN
            )
            axis.hlines(height, one.low, one.high, color=tint, lw=2)
            axis.scatter(
                one.share, height, color=tint, s=18, zorder=3, clip_on=False
            )
            labels.append((height, one.method, "normal"))
        height -= 1
    axis.set(
        yticks=[place for place, _, _ in labels], ylim=(height + 0.4, 0.9)
    )
    ticks = axis.set_yticklabels([text for _, text, _ in labels], fontsize=7)
    for tick, (_, _, weight) in zip(ticks, labels, strict=True):
        tick.set_fontweight(weight)
    axis.tick_params(axis="y", length=0)


def _root(x):
    return np.sqrt(np.maximum(x, 0))
