"""Figures of the page on scale: what a cohort costs as it grows, and what more
people are worth.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmssl.plotting.look import (
    BASELINE,
    COMPETITOR,
    DOTTED,
    MARKS,
    PHONE,
    canvas,
    model_colours,
)

_ROOM = 1.6  # of a logarithmic axis, beside its first and last tick

_UNITS = {
    "hours": "hours",
    "memory_gb": "memory (GB)",
    "disk_gb": "disk (GB)",
}
"""{column of a table of extrapolations: what an axis calls it}."""


def scaling_curve(table: pd.DataFrame, ceiling: float) -> Figure:
    """Draw the AUC of each model against the people it learned from, with its
    interval.

    Parameters
    ----------
    table : DataFrame
        Lines with people, model, modality, baseline, auc, low and high.
    ceiling : float
        The best AUC there can be.
    """
    modalities = list(table["modality"].unique())
    figure, axes = canvas(1, len(modalities), PHONE, 3.4, sharey=True)
    colours = model_colours(table)
    greys = [model for model in colours if colours[model] == BASELINE]
    marks = dict(zip(greys, "s^vDP", strict=False))
    for axis, modality in zip(axes[0], modalities, strict=True):
        lines = table[table["modality"] == modality]
        for number, (model, own) in enumerate(
            lines.groupby("model", sort=False)
        ):
            # side by side, so that no interval hides another
            sizes = own["people"] * 1.06 ** (number - 1)
            reach = own["auc"] - own["low"], own["high"] - own["auc"]
            axis.errorbar(
                sizes,
                own["auc"],
                np.abs(reach),
                marker=marks.get(model, "o"),
                color=colours[model],
                ls="--" if model in marks else "-",
                label=model,
            )
        axis.axhline(0.5, **DOTTED)
        axis.axhline(ceiling, color=COMPETITOR, ls=":", label="best there is")
        axis.set(xscale="log", xlabel="people to learn from", title=modality)
        _name_sizes(axis, table["people"])
    axes[0, 0].set_ylabel("ROC-AUC, people held out")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def cost_curves(table: pd.DataFrame) -> Figure:
    """Draw seconds and largest memory of each stage against the size of the
    cohort.

    Parameters
    ----------
    table : DataFrame
        Lines with people, stage, seconds and peak_gb.
    """
    figure, axes = canvas(1, 2, PHONE, 3.4)
    stages = table.groupby("stage", sort=False)
    for (marker, line), (stage, own) in zip(MARKS, stages, strict=False):
        look = {"marker": marker, "ls": line, "label": stage}
        for axis, column in zip(axes[0], ("seconds", "peak_gb"), strict=True):
            axis.plot(own["people"], own[column], color=COMPETITOR, **look)
    for axis, name in zip(
        axes[0], ("seconds", "largest memory (GB)"), strict=True
    ):
        axis.set(xscale="log", xlabel="people to learn from", ylabel=name)
        _name_sizes(axis, table["people"])
    axes[0, 0].set_yscale("log")
    axes[0, 1].set_ylim(0, 1.15 * table["peak_gb"].max())
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def extrapolated_costs(table: pd.DataFrame) -> Figure:
    """Draw what cohorts of each size would take, and what the machine has.

    Parameters
    ----------
    table : DataFrame
        Lines with volumes, side (voxels), hours, memory_gb, disk_gb, and
        limit_hours, limit_memory_gb, limit_disk_gb.
    """
    figure, axes = canvas(1, len(_UNITS), 7.0, 3.2)
    for axis, (column, name) in zip(axes[0], _UNITS.items(), strict=True):
        sides = table.groupby("side")
        for (marker, line), (side, own) in zip(MARKS, sides, strict=False):
            axis.plot(
                own["volumes"],
                own[column],
                marker=marker,
                ls=line,
                color=COMPETITOR,
                label=f"{side}³ voxels",
            )
        limit = table[f"limit_{column}"].iloc[0]
        axis.axhline(limit, color=BASELINE, ls=":", label="available")
        axis.set(xscale="log", yscale="log", xlabel="volumes", title=name)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _name_sizes(axis: Axes, sizes: pd.Series) -> None:
    """A tick at each size and no other, with room for its name at the ends."""
    ticks = sorted(sizes.unique())
    # so that names of neighbouring panels stay apart
    axis.set_xlim(ticks[0] / _ROOM, ticks[-1] * _ROOM)
    axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axis.set_xticks([], minor=True)
