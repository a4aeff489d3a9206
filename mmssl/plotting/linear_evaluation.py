"""Figure of what frozen representations are worth."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmssl.plotting.look import (
    BASELINE,
    DOTTED,
    PALETTE,
    canvas,
    colour,
    name_lines,
)


def linear_evaluation(
    table: pd.DataFrame, ceiling: float | None = None
) -> Figure:
    """Draw hold-out ROC-AUC of every objective and baseline, and its gain over
    the untrained encoder.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.evaluate.results.results_table`, one protocol.
    ceiling : float, optional
        The best AUC that anybody could reach, where the truth is known.

    Returns
    -------
    Figure
        A row of axes per modality. Left: AUC with its interval, and one
        standard deviation over folds as ticks where there are several (004,
        figure 6); baselines are grey and below, objectives above them, sorted
        by their mean over modalities (001, figure 2). Right: the paired
        difference to the random encoder; the shaded band is what this hold-out
        could not have detected, the whole axis where not even an AUC of 1
        would have been.
    """
    modalities = list(dict.fromkeys(table["modality"]))
    order = _models_in_order(table)
    inches = len(modalities) * (0.8 + 0.3 * len(order))
    figure, axes = canvas(len(modalities), 2, 8.5, inches, sharex="col")
    for (left, right), modality in zip(axes, modalities, strict=True):
        lines = table[table["modality"] == modality].set_index("model")
        lines = lines.reindex(order)
        colours = [
            BASELINE if baseline else colour(modality)
            for baseline in lines["baseline"]
        ]
        _aucs(left, lines, colours, ceiling)
        _gains(right, lines, colours)
        name_lines(left, order)
        name_lines(right, order, shown=False)
        left.set_title(modality)
    limits = table[["difference_low", "difference_high"]]
    reach = 1.1 * limits.abs().max(axis=None)
    axes[-1, 0].set(xlabel="hold-out ROC-AUC", xlim=(None, 1.02))
    axes[-1, 1].set(
        xlabel="gain over the random encoder", xlim=(-reach, reach)
    )
    return figure


def _models_in_order(table: pd.DataFrame) -> list[str]:
    """Baselines, then objectives, each by their mean AUC over modalities."""
    means = table.groupby(["baseline", "model"])["auc"].mean().sort_values()
    order = []
    for baseline in (True, False):
        order += list(means.get(baseline, pd.Series()).index)
    return order


def _aucs(
    axis: Axes, lines: pd.DataFrame, colours: list[str], ceiling: float | None
) -> None:
    """AUC with interval and spread over folds; chance and the ceiling."""
    height = np.arange(len(lines))
    axis.hlines(height, lines["low"], lines["high"], color=colours)
    axis.scatter(lines["auc"], height, color=colours, zorder=3)
    for sign in (-1, 1):
        spread = lines["auc"] + sign * lines["auc_sd"]
        axis.scatter(spread, height, marker="|", color=colours, zorder=3)
    axis.axvline(0.5, **DOTTED)
    if ceiling is not None:
        axis.axvline(ceiling, color=PALETTE[7], ls="--", lw=1)


def _gains(axis: Axes, lines: pd.DataFrame, colours: list[str]) -> None:
    """Gain with interval over the band that could not have been detected."""
    height = np.arange(len(lines))
    axis.hlines(
        height,
        lines["difference_low"],
        lines["difference_high"],
        color=colours,
    )
    axis.scatter(lines["difference"], height, color=colours, zorder=3)
    band = lines["minimum_detectable"].fillna(1.0)
    band = band.where(lines["difference"].notna())
    axis.barh(
        height,
        2 * band,
        left=-band,
        height=0.7,
        color=BASELINE,
        alpha=0.18,
        lw=0,
    )
    axis.axvline(0.0, **DOTTED)
