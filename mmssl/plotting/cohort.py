"""Figures of a cohort: its people, scans, roles and planted effects."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmssl.plotting.look import ANATOMY, GROUP, MAGNITUDE, PALETTE, canvas


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
    figure, (axes,) = canvas(1, 3, 9.5, 2.8)
    counts = pd.crosstab(participants["population"], participants["group"])
    bottom = np.zeros(len(counts))
    for group in (g for g in GROUP if g in counts):
        axes[0].bar(
            counts.index,
            counts[group],
            bottom=bottom,
            color=GROUP[group],
            label=group,
        )
        bottom += counts[group].to_numpy()
        chosen = participants["group"] == group
        for axis, values in (
            (axes[1], participants["age"]),
            (axes[2], severity),
        ):
            bins = np.linspace(values.min(), values.max(), 16)
            axis.hist(
                values[chosen],
                bins,
                density=True,
                histtype="step",
                lw=1.8,
                color=GROUP[group],
            )
    axes[0].set(title="people", xlabel="population")
    axes[0].legend()
    axes[1].set(title="age", xlabel="years", ylabel="density")
    axes[2].set(
        title="severity (hidden)",
        xlabel="standard deviations",
        ylabel="density",
    )
    return figure


def planted(background: np.ndarray, masks: Mapping[str, np.ndarray]) -> Figure:
    """Draw where an effect was planted: axial above, sagittal below.

    Parameters
    ----------
    background : (X, Y, Z) array, RAS+.
    masks : mapping
        Name -> (X, Y, Z) bool; the slices go where the mask is largest.
    """
    figure, axes = canvas(2, len(masks), 2.6 * len(masks), 5.2)
    for column, (name, mask) in zip(axes.T, masks.items(), strict=True):
        for axis, across in zip(column, (2, 0), strict=True):
            here = int(mask.sum(axis=tuple({0, 1, 2} - {across})).argmax())
            axis.imshow(
                np.take(background, here, across).T,
                cmap=ANATOMY,
                origin="lower",
            )
            axis.contour(
                np.take(mask, here, across).T, [0.5], colors=PALETTE[1]
            )
            axis.set(xticks=[], yticks=[])
        column[0].set_title(name)
    return figure


def scans(
    volumes: Mapping[str, Mapping[str, np.ndarray]], slice_: int
) -> Figure:
    """Draw axial slices of several people, one row a modality, one column a
    person or a mean.

    Parameters
    ----------
    volumes : mapping
        Title -> {modality: (X, Y, Z) array, RAS+}; left of the image is the
        person's left.
    slice_ : index along the last axis.
    """
    rows = list(next(iter(volumes.values())))
    figure, axes = canvas(
        len(rows), len(volumes), 1.8 * len(volumes), 2.1 * len(rows)
    )
    for line, m in zip(axes, rows, strict=True):
        map_ = ANATOMY if m == "T1" else MAGNITUDE
        seen = np.stack(
            [by_modality[m][..., slice_] for by_modality in volumes.values()]
        )
        seen = seen.astype(np.float32)
        low, high = np.percentile(seen[seen > 0], [1, 99])
        for axis, image, title in zip(line, seen, volumes, strict=True):
            image = np.where(image > 0, image, np.nan)
            axis.imshow(
                image.T, cmap=map_, vmin=low, vmax=high, origin="lower"
            )
            axis.set(xticks=[], yticks=[])
            axis.set_title(title if m == rows[0] else "", fontsize=9)
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(m)
    return figure


def roles(table: pd.DataFrame) -> Figure:
    """Draw how many people of each group stand in each role.

    Parameters
    ----------
    table : DataFrame
        Index: role ("fold 0", …, "hold-out", "shift"); one column of counts a
        group.
    """
    figure, axes = canvas(1, 1, 7.0, 2.6)
    bottom = np.zeros(len(table))
    for group in table:
        bars = axes[0, 0].bar(
            table.index,
            table[group],
            bottom=bottom,
            color=GROUP[group],
            label=group,
        )
        labels = [str(n) if n else "" for n in table[group]]
        axes[0, 0].bar_label(
            bars, labels, label_type="center", color="white", fontsize=8
        )
        bottom += table[group].to_numpy()
    axes[0, 0].set(ylabel="people")
    axes[0, 0].legend(ncols=3, loc="upper left", bbox_to_anchor=(0, 1.2))
    return figure
