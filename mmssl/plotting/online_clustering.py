"""Figures of online clustering: slices that show a lesion told, and lesions
found in them.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmssl.plotting.look import (
    DOTTED,
    TRUTH,
    canvas,
    dots_with_intervals,
    model_colours,
)
from mmssl.plotting.slices import outlined_slice

_COLUMNS = 5  # slices in a row


def froc_curves(table: pd.DataFrame) -> Figure:
    """Draw the sensitivity of each model at each number of false positives per
    image, and its mean (002, section IV-C and figure 5).

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.evaluate.localisation.froc_table`.
    """
    means = table[table["rate"].isna()]
    curves = table[table["rate"].notna()]
    height = 2.2 + 0.25 * len(means)
    figure, axes = canvas(1, 2, 7.0, height, width_ratios=(3, 2))
    curve, mean = axes[0]
    colours = model_colours(table)
    for model, lines in curves.groupby("model", sort=False):
        own = {"color": colours[model]}
        rates = lines["rate"]
        curve.plot(rates, lines["value"], "o-", label=model, **own)
        low, high = lines["low"], lines["high"]
        curve.fill_between(rates, low, high, alpha=0.12, lw=0, **own)
    ticks = sorted(curves["rate"].unique())
    curve.set_xscale("log")
    curve.set_xticks(ticks, [f"{rate:g}" for rate in ticks], rotation=60)
    curve.set_xticks([], minor=True)
    curve.set(
        xlabel="false positives per image", ylabel="sensitivity", ylim=(0, 1)
    )
    dots_with_intervals(mean, means, "value", colours=colours)
    mean.set(xlabel="mean sensitivity", xlim=(0, 1))
    figure.legend(
        *curve.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=4,
    )
    return figure


def slice_scores(table: pd.DataFrame) -> Figure:
    """Draw how well each model tells the slices that show a lesion, and what
    it gains over training from scratch (002, table III).

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.evaluate.slice_detection.slice_table`.
    """
    measures = list(table["measure"].unique())
    models = table["model"].nunique()
    figure, axes = canvas(2, len(measures), 7.0, 2.0 + 0.5 * models)
    for number, measure in enumerate(measures):
        above, below = axes[:, number]
        lines = table[table["measure"] == measure]
        dots_with_intervals(above, lines, "value", number == 0)
        above.set_title(measure)
        chance = {"AUC": 0.5}.get(measure)
        if measure == "mAP":
            chance = lines["positive"].iloc[0] / lines["slices"].iloc[0]
        if chance is not None:
            above.axvline(chance, **DOTTED)
        compared = lines[~lines["baseline"]]
        dots_with_intervals(below, compared, "difference", number == 0)
        below.axvline(0, **DOTTED)
        below.set_xlabel("gain over scratch")
    return figure


def slice_gallery(
    slices: np.ndarray, truth: np.ndarray, scores: Sequence[float]
) -> Figure:
    """Draw slices with the outlines of their lesions and the probability that
    they show one (002, figure 9).

    Parameters
    ----------
    slices : array, shape (n, X, Y)
        Axial, of RAS+ volumes.
    truth : array of bool, same shape
    scores : sequence of float, n
        Written above each.
    """
    columns = min(_COLUMNS, len(slices))
    rows = -(-len(slices) // columns)
    figure, axes = canvas(rows, columns, 1.4 * columns, 1.7 * rows)
    panels = axes.ravel()
    for axis, image, mask, score in zip(
        panels, slices, truth, scores, strict=False
    ):
        outlined_slice(axis, image, [(mask, TRUTH)])
        axis.set_title(f"{score:.2f}", fontsize=9)
    for axis in panels[len(slices) :]:
        axis.set_visible(False)
    return figure
