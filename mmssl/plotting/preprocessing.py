"""Figures of registration, head motion and tissue values."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmssl.plotting.look import ANATOMY, PALETTE, canvas


def overlay(
    volumes: Mapping[str, np.ndarray],
    contours: Mapping[str, np.ndarray],
    slices: int = 3,
) -> Figure:
    """Draw registered volumes with outlines of the template over them.

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
    inside = np.argwhere(next(iter(contours.values())) > 0.5)
    low, high = inside.min(axis=0), inside.max(axis=0)
    cuts = [
        (axis, int(low[axis] + part * (high[axis] - low[axis])))
        for axis in range(3)
        for part in np.linspace(0.38, 0.7, slices)
    ]
    figure, axes = canvas(
        len(volumes), len(cuts), 1.15 * len(cuts), 1.35 * len(volumes) + 0.3
    )
    for row, (title, volume) in zip(axes, volumes.items(), strict=True):
        seen = volume[volume > 0]
        limits = np.percentile(seen, [1, 99.5]) if seen.size else (0, 1)
        for axis, (direction, index) in zip(row, cuts, strict=True):
            image = np.take(volume, index, direction).T
            axis.imshow(
                image,
                cmap=ANATOMY,
                origin="lower",
                vmin=min(0, limits[0]),
                vmax=limits[1],
            )
            for line, shape in zip(
                PALETTE[1::3], contours.values(), strict=False
            ):
                outline = np.take(shape, index, direction).T
                if outline.min() < 0.5 < outline.max():
                    axis.contour(outline, [0.5], colors=[line], linewidths=0.7)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(title)
    for line, name in zip(PALETTE[1::3], contours, strict=False):
        axes[0, 0].plot([], [], color=line, label=name)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
    )
    return figure


def head_motion(parameters: pd.DataFrame) -> Figure:
    """Draw translations, rotations and framewise displacement against the
    volume.

    Parameters
    ----------
    parameters : DataFrame
        Of `mmssl.preprocessing.motion.realign`.
    """
    figure, (axes,) = canvas(1, 3, 9.0, 2.6)
    for name, line in zip("xyz", PALETTE, strict=False):
        axes[0].plot(
            parameters["volume"],
            parameters[f"{name}_mm"],
            color=line,
            label=name,
        )
        degrees = np.rad2deg(parameters[f"{name}_rad"])
        axes[1].plot(parameters["volume"], degrees, color=line, label=name)
    axes[2].plot(
        parameters["volume"],
        parameters["framewise_displacement"],
        color=PALETTE[7],
    )
    axes[0].legend(ncols=3)
    titles = (
        "translation (mm)",
        "rotation (degrees)",
        "framewise displacement (mm)",
    )
    for axis, title in zip(axes, titles, strict=True):
        axis.set(title=title, xlabel="volume")
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
    for (name, inside), line in zip(tissues.items(), PALETTE, strict=False):
        values = volume[inside]
        axis.hist(
            values,
            60,
            density=True,
            histtype="step",
            color=line,
            label=name,
            lw=1.8,
        )
        axis.axvline(values.mean(), color=line, ls=":", lw=1)
    axis.set(xlabel=label, ylabel="density")
    axis.legend()
    return figure
