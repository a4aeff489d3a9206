"""Figures of registration, head motion, tissue values, and of the quality of
many people.
"""

import textwrap
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmssl.plotting.look import (
    ANATOMY,
    BASELINE,
    COMPETITOR,
    OUTLINES,
    UNUSUAL,
    canvas,
)
from mmssl.plotting.slices import name_sides

LINES = OUTLINES
_TISSUES = ("#555555", "#AAAAAA")  # as they look: grey and white
"""Colours of the contours, in their order."""

_COLUMNS = 4

_UNITS = {
    "normalised_mutual_information": "ratio",
    "correlation": "r",
    "dice": "overlap",
    "falff_coverage": "share of the brain",
    "falff": "fALFF",
    "temporal_snr": "ratio",
}
"""What is counted by figures of quality, by the beginning of their names."""


def overlay(
    volumes: Mapping[str, np.ndarray],
    contours: Mapping[str, np.ndarray],
    slices: int = 3,
) -> Figure:
    """Draw registered volumes with outlines of the template over them, L and
    R beside.

    Parameters
    ----------
    volumes : mapping
        Row title -> (X, Y, Z), all on one grid.
    contours : mapping
        Legend -> (X, Y, Z) tissue fraction or mask; drawn where it crosses one
        half.
    slices : int
        Slices of each of the three directions, spread over the middle of the
        first contour.
    """
    cuts = _cuts(next(iter(contours.values())), slices)
    figure, axes = canvas(
        len(volumes), len(cuts), 1.15 * len(cuts), 1.35 * len(volumes) + 0.3
    )
    for row, (title, volume) in zip(axes, volumes.items(), strict=True):
        positive = volume[volume > 0]
        low, high = 0, 1
        if positive.size:
            low, high = np.percentile(positive, [1, 99.5])
        for axis, (direction, index) in zip(row, cuts, strict=True):
            axis.imshow(
                np.take(volume, index, direction).T,
                cmap=ANATOMY,
                origin="lower",
                vmin=min(0, low),
                vmax=high,
            )
            _draw_contours(axis, contours.values(), direction, index)
            name_sides(axis, direction)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(title)
    for colour, name in zip(LINES, contours, strict=False):
        axes[0, 0].plot([], [], color=colour, label=name)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
    )
    return figure


def _cuts(shape: np.ndarray, slices: int) -> list[tuple[int, int]]:
    """(direction, index) of slices spread over the middle of a shape."""
    inside = np.argwhere(shape > 0.5)
    low, high = inside.min(axis=0), inside.max(axis=0)
    cuts = []
    for direction in range(3):
        length = high[direction] - low[direction]
        for part in np.linspace(0.38, 0.7, slices):
            cuts.append((direction, int(low[direction] + part * length)))
    return cuts


def _draw_contours(
    axis: Axes, contours: Iterable[np.ndarray], direction: int, index: int
) -> None:
    """Draw where each contour crosses one half in a slice, if it does."""
    for colour, shape in zip(LINES, contours, strict=False):
        outline = np.take(shape, index, direction).T
        if outline.min() < 0.5 < outline.max():
            axis.contour(outline, [0.5], colors=[colour], linewidths=0.7)


def head_motion(parameters: pd.DataFrame) -> Figure:
    """Draw translations, rotations and framewise displacement against the
    volume.

    Parameters
    ----------
    parameters : DataFrame
        Of `mmssl.preprocessing.motion.realign`.
    """
    figure, ((shifts, turns, displacement),) = canvas(1, 3, 9.0, 2.6)
    volume = parameters["volume"]
    for name, dashes in zip("xyz", ("-", "--", ":"), strict=True):
        own = {"color": COMPETITOR, "ls": dashes, "label": name}
        shifts.plot(volume, parameters[f"{name}_mm"], **own)
        turns.plot(volume, np.rad2deg(parameters[f"{name}_rad"]), **own)
    displacement.plot(
        volume, parameters["framewise_displacement"], color=COMPETITOR
    )
    lines, names = shifts.get_legend_handles_labels()
    figure.legend(lines, names, loc="outside right center")
    shifts.set(title="translation (mm)", xlabel="volume")
    turns.set(title="rotation (degrees)", xlabel="volume")
    displacement.set(title="framewise displacement (mm)", xlabel="volume")
    return figure


def tissue_histogram(
    volume: np.ndarray, tissues: Mapping[str, np.ndarray], label: str
) -> Figure:
    """Draw the distribution of a map's values in each tissue, with its mean.

    Parameters
    ----------
    volume : (X, Y, Z) array.
    tissues : mapping
        Name -> (X, Y, Z) bool array.
    label : str
        Of the value axis.
    """
    figure, ((axis,),) = canvas(1, 1, 6.0, 2.8)
    for name, colour in zip(tissues, _TISSUES, strict=False):
        values = volume[tissues[name]]
        axis.hist(
            values,
            60,
            density=True,
            histtype="step",
            color=colour,
            label=name,
            lw=1.8,
        )
        axis.axvline(values.mean(), color=colour, ls=":", lw=1)
    axis.set(xlabel=label, ylabel="density")
    axis.legend()
    return figure


def quality_distributions(
    figures: pd.DataFrame,
    unusual: pd.Series,
    reference: pd.DataFrame | None = None,
) -> Figure:
    """Draw every person's figures of quality, an axis a figure.

    Parameters
    ----------
    figures : DataFrame
        A row a pair, a column a figure; missing where there is none.
    unusual : Series
        Names of each row's unusual figures and their side, joined by ", ":
        "noise (high), dice (low)".
    reference : DataFrame, optional
        The same figures of other people, drawn in grey beside.

    Returns
    -------
    Figure
        As MRIQC's group report: a dot a pair, with its row beside a dot that
        is unusual; the line is the median.
    """
    names = [name for name in figures if figures[name].notna().any()]
    rows = -(-len(names) // _COLUMNS)  # rounded up
    figure, axes = canvas(rows, _COLUMNS, 9.5, 2.1 * rows)
    for axis, name in zip(axes.flat, names, strict=False):
        others = None
        if reference is not None and name in reference:
            others = reference[name]
        flagged = unusual.fillna("").map(
            lambda own, name=name: name in _named(own)
        )
        _draw_quality(axis, figures[name], flagged, others)
        unit = _unit(name)
        words = name.removesuffix(f"_{unit}").replace("_", " ")
        axis.set_title(textwrap.fill(words, 24), fontsize=9.5, loc="left")
        axis.set_ylabel(unit, fontsize=8.5)
    for axis in axes.flat[len(names) :]:
        axis.set_axis_off()
    return figure


def _unit(name: str) -> str:
    """What the axis of a figure counts."""
    for beginning, unit in _UNITS.items():
        if name.startswith(beginning):
            return unit
    return "mm" if name.endswith("_mm") else ""


def _named(unusual: str) -> list[str]:
    """The names of figures, without their side."""
    return [one.rsplit(" (", 1)[0] for one in unusual.split(", ")]


def _draw_quality(
    axis: Axes,
    values: pd.Series,
    flagged: pd.Series,
    others: pd.Series | None,
) -> None:
    """Dots of one figure; whoever is unusual in colour and by its row."""
    # spread by a number of each row, the same in every drawing
    spread = (np.arange(len(values)) * 0.618) % 1 - 0.5
    shade = np.where(flagged, UNUSUAL, COMPETITOR)
    axis.scatter(0.5 * spread, values, s=14, c=shade, zorder=3)
    axis.hlines(values.median(), -0.35, 0.35, color=COMPETITOR, lw=1)
    for place, value, row in zip(
        spread[flagged], values[flagged], values.index[flagged], strict=True
    ):
        axis.annotate(
            str(row),
            (0.5 * place, value),
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=7,
            va="center",
        )
    labels = ["this dataset"]
    if others is not None:
        apart = (np.arange(len(others)) * 0.618) % 1 - 0.5
        axis.scatter(1 + 0.5 * apart, others, s=8, color=BASELINE, alpha=0.6)
        axis.hlines(others.median(), 0.65, 1.35, color=BASELINE, lw=1)
        labels.append("simulated heads")
    axis.set_xticks(range(len(labels)), labels, fontsize=8)
    axis.set_xlim(-0.5, len(labels) - 0.5)
    axis.tick_params(axis="y", labelsize=8)
