"""Figures of a cohort: its people, scans, roles and planted effects."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmssl.plotting.look import (
    ANATOMY,
    GROUP,
    MAGNITUDE,
    TRUTH,
    canvas,
    role_look,
)
from mmssl.plotting.slices import name_sides


def people(participants: pd.DataFrame, severity: pd.Series) -> Figure:
    """Draw who is in a simulated cohort.

    Parameters
    ----------
    participants : DataFrame
        participant_id, group, age, population.
    severity : Series
        The true disease severity of the same rows.

    Returns
    -------
    Figure
        Counts by group and population; ages; severity by group.
    """
    figure, ((count_axis, age_axis, severity_axis),) = canvas(1, 3, 9.5, 2.8)
    counts = pd.crosstab(participants["population"], participants["group"])
    groups = [group for group in GROUP if group in counts]
    _stacked_bars(count_axis, counts[groups])
    distributions = (
        (age_axis, participants["age"]),
        (severity_axis, severity),
    )
    for axis, values in distributions:
        bins = np.linspace(values.min(), values.max(), 16)
        for group in groups:
            axis.hist(
                values[participants["group"] == group],
                bins,
                density=True,
                histtype="step",
                lw=1.8,
                color=GROUP[group],
            )
    count_axis.set(title="people", xlabel="population")
    count_axis.legend()
    age_axis.set(title="age", xlabel="years", ylabel="density")
    severity_axis.set(
        title="severity (hidden)",
        xlabel="standard deviations",
        ylabel="density",
    )
    return figure


def planted_regions(
    background: np.ndarray, masks: Mapping[str, np.ndarray]
) -> Figure:
    """Draw where an effect was planted: axial above, sagittal below.

    Parameters
    ----------
    background : (X, Y, Z) array, RAS+.
    masks : mapping
        Name -> (X, Y, Z) bool; the slices are those where the mask is largest.

    Returns
    -------
    Figure
        One column a mask.
    """
    figure, axes = canvas(2, len(masks), 2.6 * len(masks), 5.2)
    for (axial, sagittal), name in zip(axes.T, masks, strict=True):
        _outline(axial, background, masks[name], 2)
        _outline(sagittal, background, masks[name], 0)
        axial.set_title(name)
    return figure


def _outline(
    axis: Axes, background: np.ndarray, mask: np.ndarray, direction: int
) -> None:
    """Draw the slice across a direction in which a mask is largest."""
    others = tuple({0, 1, 2} - {direction})
    index = int(mask.sum(axis=others).argmax())
    image = np.take(background, index, direction).T
    outline = np.take(mask, index, direction).T
    axis.imshow(image, cmap=ANATOMY, origin="lower")
    name_sides(axis, direction)
    axis.contour(outline, [0.5], colors=TRUTH)
    axis.set(xticks=[], yticks=[])


def scans(
    volumes: Mapping[str, Mapping[str, np.ndarray]], slice_: int
) -> Figure:
    """Draw one axial slice of several people, one row a modality.

    Parameters
    ----------
    volumes : mapping
        Title -> {modality: (X, Y, Z) array, RAS+}; left of the image is the
        person's left.
    slice_ : index along the last axis.

    Returns
    -------
    Figure
        One column a title; one scale of grey or colour in each row.
    """
    titles = list(volumes)
    modalities = list(volumes[titles[0]])
    figure, axes = canvas(
        len(modalities),
        len(titles),
        1.8 * len(titles),
        2.1 * len(modalities),
    )
    for row, modality in zip(axes, modalities, strict=True):
        images = [volumes[title][modality][..., slice_] for title in titles]
        images = np.stack(images).astype(np.float32)
        low, high = np.percentile(images[images > 0], [1, 99])
        for axis, image in zip(row, images, strict=True):
            axis.imshow(
                np.where(image > 0, image, np.nan).T,
                cmap=ANATOMY if modality == "T1" else MAGNITUDE,
                vmin=low,
                vmax=high,
                origin="lower",
            )
            name_sides(axis)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(modality)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    return figure


def roles(counts: pd.DataFrame, kinds: Sequence[str]) -> Figure:
    """Draw how many people of each group are in each role.

    Parameters
    ----------
    counts : DataFrame
        Index: what a role is called ("fold 0", …, "hold-out", "shift"); one
        column of counts a group.
    kinds : sequence of {"train", "valid", "holdout", "shift"}
        Of each line, for its colour.

    Returns
    -------
    Figure
        A panel a group, below its name in its colour; a bar a role.
    """
    groups = list(counts)
    height = 0.6 + 0.28 * len(counts)
    figure, (axes,) = canvas(
        1, len(groups), 7.0, height, sharex=True, sharey=True
    )
    looks = [role_look(kind) for kind in kinds]
    places = range(len(counts))
    for axis, group in zip(axes, groups, strict=True):
        bars = axis.barh(places, counts[group], lw=0.6)
        for bar, look in zip(bars, looks, strict=True):
            bar.set(**look)
        axis.bar_label(bars, fontsize=8, padding=3)
        axis.set_title(group, color=GROUP[group], loc="left", weight="bold")
        axis.set_xlabel("people")
        axis.xaxis.get_major_locator().set_params(integer=True)
    most = max(1, counts.to_numpy().max())
    axes[0].set(xlim=(0, 1.18 * most), yticks=places, yticklabels=counts.index)
    axes[0].invert_yaxis()
    return figure


def _stacked_bars(axis: Axes, counts: pd.DataFrame) -> None:
    """Draw one bar a line of the table, a part of it a group."""
    bottom = np.zeros(len(counts))
    for group in counts:
        axis.bar(
            counts.index,
            counts[group],
            bottom=bottom,
            color=GROUP[group],
            label=group,
        )
        bottom += counts[group].to_numpy()
