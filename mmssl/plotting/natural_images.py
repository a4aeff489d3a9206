"""Figures of natural images: example pairs, and accuracy per view."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmssl.plotting.look import (
    ANATOMY,
    BASELINE,
    DOTTED,
    MODALITY,
    canvas,
)

ORDER = (
    "Supervised",
    "AE",
    "DCCAE",
    "CR-CCA",
    "RR-AE",
    "MMVAE",
    "CR",
    "XX",
    "CC",
    "RR",
    "CR-XX",
    "CR-CC",
    "CR-RR",
    "XX-CC",
    "XX-RR",
    "CC-RR",
    "CR-XX-CC",
    "CR-XX-RR",
    "CR-CC-RR",
    "XX-CC-RR",
    "CR-XX-CC-RR",
)
"""Baselines as listed with figure 3 of "Taxonomy", then its figure 2: edges,
then their sums.
"""

_SIDES = (MODALITY["view1"], MODALITY["view2"])


def example_pairs(
    volumes: Mapping[str, np.ndarray], labels: np.ndarray
) -> Figure:
    """Draw pairs side by side, one column a pair and one row a modality.

    Parameters
    ----------
    volumes : mapping
        Modality -> (pairs, rows, columns) or (pairs, 3, rows, columns), in [0,
        1].
    labels : array, shape (pairs,)
        Written above each pair.
    """
    width, height = 0.75 * len(labels) + 0.6, 0.8 * len(volumes)
    figure, axes = canvas(len(volumes), len(labels), width, height)
    for line, (modality, images) in zip(axes, volumes.items(), strict=True):
        images = np.asarray(images, np.float32)
        if images.ndim == 4:  # colours last
            images = np.moveaxis(images, 1, 3)
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image, cmap=ANATOMY, vmin=0, vmax=1, origin="upper")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(modality)
    for axis, label in zip(axes[0], labels, strict=True):
        axis.set_title(label, fontsize=9, loc="center")
    return figure


def accuracy_per_view(
    table: pd.DataFrame, classes: int = 10, order: Sequence[str] = ORDER
) -> Figure:
    """Draw hold-out accuracy of every objective in each view (Fedorov et al.
    2021, figures 4, 5).

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.evaluate.linear_evaluation.accuracy_table`, of one data set,
        with a column ``baseline``: baselines stand at the left, on grey
        ground.
    classes : int
        For the line of chance.
    order : sequence of str
        Objectives from left to right; those it does not name come last.

    Returns
    -------
    Figure
        One point an objective and view, with its interval.
    """
    models, baselines = _in_order(table, order)
    figure, axes = canvas(1, 1, 8.5, 3.6)
    axis = axes[0, 0]
    modalities = list(dict.fromkeys(table["modality"]))
    for k, (modality, shade) in enumerate(
        zip(modalities, _SIDES, strict=False)
    ):
        lines = table[table["modality"] == modality]
        lines = lines.set_index("model").reindex(models)
        offset = 0.24 * (k - (len(modalities) - 1) / 2)
        place = np.arange(len(models)) + offset
        axis.vlines(place, lines["low"], lines["high"], color=shade, lw=2)
        axis.scatter(
            place,
            lines["accuracy"],
            color=shade,
            zorder=3,
            label=modality,
            s=28,
        )
    axis.axvspan(-0.6, len(baselines) - 0.5, color=BASELINE, alpha=0.15, lw=0)
    axis.axhline(1 / classes, **DOTTED)
    axis.set(
        xlim=(-0.6, len(models) - 0.4),
        ylim=(0, 1.02),
        ylabel="hold-out accuracy",
    )
    axis.set_xticks(
        range(len(models)),
        models,
        rotation=45,
        ha="right",
        rotation_mode="anchor",
    )
    axis.legend(
        ncols=len(modalities), loc="upper left", bbox_to_anchor=(0, 1.14)
    )
    return figure


def _in_order(
    table: pd.DataFrame, order: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Models from left to right, and which of them are baselines."""
    is_baseline = table["baseline"].astype(bool)
    baselines = list(dict.fromkeys(table.loc[is_baseline, "model"]))
    objectives = list(dict.fromkeys(table.loc[~is_baseline, "model"]))
    place = {name: i for i, name in enumerate(order)}
    objectives.sort(key=lambda name: place.get(name, len(place)))
    return baselines + objectives, baselines
