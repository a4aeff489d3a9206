"""Figures of what frozen representations are worth."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmssl.plotting.look import BASELINE, PALETTE, canvas, colour


def linear_evaluation(
    table: pd.DataFrame, ceiling: float | None = None
) -> Figure:
    """Draw hold-out ROC-AUC of every objective and baseline, and its gain over
    the untrained baseline.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.evaluate.linear_evaluation.results_table`, one protocol.
    ceiling : float, optional
        The best AUC that anybody could reach, where the truth is known.

    Returns
    -------
    Figure
        A row of axes per modality. Left: AUC with its interval, and one
        standard deviation over folds as ticks where there are several (004,
        figure 6); baselines are grey and below, objectives above them, sorted by
        their mean over modalities (001, figure 2). Right: the paired
        difference to the random encoder; the shaded band is what this hold-out
        could not have detected, the whole axis where not even an AUC of 1
        would have been.
    """
    modalities = list(dict.fromkeys(table["modality"]))
    means = table.groupby(["baseline", "model"])["auc"].mean().sort_values()
    order = [
        row
        for baseline in (True, False)
        for row in means.get(baseline, pd.Series()).index
    ]
    inches = len(modalities) * (0.8 + 0.3 * len(order))
    figure, axes = canvas(len(modalities), 2, 8.5, inches, sharex="col")
    reach = 1.1 * table[["difference_low", "difference_high"]].abs().max(
        axis=None
    )
    height = np.arange(len(order))
    for (left, right), m in zip(axes, modalities, strict=True):
        lines = table[table["modality"] == m].set_index("model").reindex(order)
        colours = [
            BASELINE if baseline else colour(m)
            for baseline in lines["baseline"]
        ]
        for axis, value, low, high in (
            (left, "auc", "low", "high"),
            (right, "difference", "difference_low", "difference_high"),
        ):
            axis.hlines(height, lines[low], lines[high], color=colours)
            axis.scatter(lines[value], height, color=colours, zorder=3)
            axis.set(
                yticks=height,
                yticklabels=order if axis is left else [],
                ylim=(-0.6, len(order) - 0.4),
            )
        for limit in (
            lines["auc"] - lines["auc_sd"],
            lines["auc"] + lines["auc_sd"],
        ):
            left.scatter(limit, height, marker="|", color=colours, zorder=3)
        unseen = (
            lines["minimum_detectable"]
            .fillna(1.0)
            .where(lines["difference"].notna())
        )
        right.barh(
            height,
            2 * unseen,
            left=-unseen,
            height=0.7,
            color=BASELINE,
            alpha=0.18,
            lw=0,
        )
        left.axvline(0.5, color=BASELINE, ls=":", lw=1)
        right.axvline(0.0, color=BASELINE, ls=":", lw=1)
        if ceiling is not None:
            left.axvline(ceiling, color=PALETTE[7], ls="--", lw=1)
        left.set_title(m)
    axes[-1, 0].set(xlabel="hold-out ROC-AUC", xlim=(None, 1.02))
    axes[-1, 1].set(
        xlabel="gain over the random encoder", xlim=(-reach, reach)
    )
    return figure
