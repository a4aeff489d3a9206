"""Figures of what a probability is worth."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmssl.plotting.look import FLOOR, PALETTE, canvas

_WAYS = PALETTE[1], PALETTE[0], PALETTE[2]
_SLOPES = (-1.0, 4.0)  # drawn; what lies beyond is an arrow at the edge


def reliability(table: pd.DataFrame, diagrams: pd.DataFrame, row: str) -> Figure:
    """Draw the reliability diagram of one row, and slope and expected error of all.

    Parameters
    ----------
    table, diagrams : DataFrame
        Of `mmssl.probabilities.table` and `mmssl.probabilities.diagrams`.
    row : str
        Whose diagram is drawn.

    Returns
    -------
    Figure
        A line of axes per modality. Left: share of class 1 against the mean probability of a bin,
        with Wilson intervals. Middle: slope of the recalibration, 1 is perfect; an arrow where it
        lies outside the axis. Right: expected calibration error; the tick is the mean of perfectly
        calibrated probabilities of the same values and number.
    """
    modalities, order = list(dict.fromkeys(table["modality"])), list(dict.fromkeys(table["row"]))
    inches = 0.5 + len(modalities) * max(2.6, 0.8 + 0.4 * len(order))
    figure, axes = canvas(len(modalities), 3, 10.0, inches, sharex="col")
    for (diagram, slope, error), m in zip(axes, modalities, strict=True):
        for k, (way, colour) in enumerate(zip(dict.fromkeys(table["way"]), _WAYS, strict=False)):
            bins = diagrams.query("row == @row and modality == @m and way == @way")
            diagram.vlines(bins["predicted"], bins["low"], bins["high"], color=colour, lw=1.2)
            diagram.plot(bins["predicted"], bins["observed"], marker="o", ms=4, color=colour,
                         label=way)  # fmt: skip
            lines = table[(table["modality"] == m) & (table["way"] == way)]
            lines = lines.set_index("row").reindex(order[::-1])
            height = np.arange(len(order)) + 0.22 * (1 - k)
            _dots(slope, lines, "slope", height, colour, _SLOPES)
            _dots(error, lines, "ece", height, colour)
            error.scatter(lines["ece_by_chance"], height, marker="|", color=FLOOR, s=60)
        diagram.plot([0, 1], [0, 1], color=FLOOR, ls=":", lw=1)
        diagram.set(ylabel="observed share", ylim=(-0.03, 1.03))
        diagram.set_title(f"{m}: {row}", loc="left")
        slope.axvline(1.0, color=FLOOR, ls=":", lw=1)
        for axis, names in ((slope, order[::-1]), (error, [])):
            axis.set(yticks=np.arange(len(order)), yticklabels=names,
                     ylim=(-0.6, len(order) - 0.4))  # fmt: skip
    axes[-1, 0].set(xlabel="probability", xlim=(-0.03, 1.03))
    axes[-1, 1].set(xlabel="slope", xlim=_SLOPES)
    axes[-1, 2].set(xlabel="expected calibration error", xlim=(0, None))
    handles = dict(zip(*reversed(axes[0, 0].get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles, loc="outside upper right", ncols=3, frameon=False)
    return figure


def _dots(axis: Axes, lines: pd.DataFrame, name: str, height, colour: str, limits=None) -> None:
    """Estimates with intervals; those outside of limits as arrows at the edge."""
    value = lines[name]
    inside = value.between(*limits) if limits else value.notna()
    axis.hlines(height, lines[f"{name}_low"], lines[f"{name}_high"], color=colour, lw=1.4)
    axis.scatter(value[inside], height[inside], color=colour, s=18, zorder=3)
    for edge, marker, beyond in zip(limits or (), "<>", (value.lt, value.gt), strict=False):
        out = beyond(edge).to_numpy()
        axis.scatter(np.full(out.sum(), edge), height[out], color=colour, marker=marker, s=30,
                     clip_on=False, zorder=4)  # fmt: skip
