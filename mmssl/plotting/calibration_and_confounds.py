"""Figures of chapter 13: what a probability is worth, and what else could
explain a result.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmssl.plotting.look import BASELINE, PALETTE, canvas, colour


def covariate_baseline(baselines: pd.DataFrame, gains: pd.DataFrame) -> Figure:
    """Draw how well covariates alone tell the classes, beside the rows of a
    results table.

    Parameters
    ----------
    baselines, gains : DataFrame
        Of `mmssl.evaluate.confounds.baselines` and
        `mmssl.evaluate.confounds.gains`.

    Returns
    -------
    Figure
        Left: hold-out ROC-AUC with its interval, covariates in grey below,
        rows above them, a colour a modality; the dashed line is that of all
        covariates together. Right: the paired difference to it.
    """
    rows = list(dict.fromkeys(gains["model"]))[::-1]
    below = list(baselines["covariates"])[::-1]
    names = [
        *(
            f"{name} alone" if name != "all" else "all covariates"
            for name in below
        ),
        *rows,
    ]
    figure, ((left, right),) = canvas(
        1, 2, 8.5, 0.9 + 0.34 * len(names), sharey=True
    )
    lines = baselines.set_index("covariates").loc[below]
    _intervals(
        left, lines, ("auc", "low", "high"), np.arange(len(below)), BASELINE
    )
    modalities = list(dict.fromkeys(gains["modality"]))
    for k, m in enumerate(modalities):
        of = gains[gains["modality"] == m].set_index("model").reindex(rows)
        height = (
            len(below)
            + np.arange(len(rows))
            + 0.26 * ((len(modalities) - 1) / 2 - k)
        )
        _intervals(left, of, ("auc", "low", "high"), height, colour(m), m)
        _intervals(
            right, of, ("gain", "gain_low", "gain_high"), height, colour(m)
        )
    left.axvline(0.5, color=BASELINE, ls=":", lw=1)
    left.axvline(lines.loc["all", "auc"], color=PALETTE[7], ls="--", lw=1)
    right.axvline(0.0, color=PALETTE[7], ls="--", lw=1)
    left.set(
        yticks=np.arange(len(names)),
        yticklabels=names,
        ylim=(-0.6, len(names) - 0.4),
        xlabel="hold-out ROC-AUC",
    )
    right.set(xlabel="gain over all covariates")
    figure.legend(
        *left.get_legend_handles_labels(),
        loc="outside upper right",
        ncols=2,
        frameon=False,
    )
    return figure


def covariates_in_z(predicted: pd.DataFrame) -> Figure:
    """Draw how well every row's z tells each covariate, beside what shuffled
    people give.

    Parameters
    ----------
    predicted : DataFrame
        Lines of `mmssl.evaluate.confounds.predicted`, with row and modality.

    Returns
    -------
    Figure
        An axis a covariate. Dots: R2 (numbers) or AUC (words) on held-out
        people with their interval; the pale bar reaches to the 95th percentile
        of the shuffled null; dotted, what knows nothing: 0 or .5. An axis of
        R2 ends at -.5.
    """
    names = list(dict.fromkeys(predicted["covariate"]))
    rows = list(dict.fromkeys(predicted["model"]))[::-1]
    modalities = list(dict.fromkeys(predicted["modality"]))
    inches = 1.1 + 0.38 * len(rows)
    figure, axes = canvas(
        1, len(names), 1.6 + 2.1 * len(names), inches, sharey=True
    )
    for axis, name in zip(axes[0], names, strict=True):
        of = predicted[predicted["covariate"] == name]
        nothing, end = (
            (0.0, -0.5) if of["measure"].iloc[0] == "R2" else (0.5, 0.2)
        )
        for k, m in enumerate(modalities):
            lines = of[of["modality"] == m].set_index("model").reindex(rows)
            height = np.arange(len(rows)) + 0.26 * (
                (len(modalities) - 1) / 2 - k
            )
            axis.barh(
                height,
                lines["by_chance_95"] - end,
                left=end,
                height=0.2,
                color=BASELINE,
                alpha=0.25,
                lw=0,
            )
            _intervals(
                axis, lines, ("value", "low", "high"), height, colour(m), m
            )
        axis.axvline(nothing, color=BASELINE, ls=":", lw=1)
        axis.set(xlabel="R²" if nothing == 0 else "AUC", xlim=(end, 1.04))
        axis.set_title(name, loc="left")
    axes[0, 0].set(
        yticks=np.arange(len(rows)),
        yticklabels=rows,
        ylim=(-0.6, len(rows) - 0.4),
    )
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside upper right",
        ncols=2,
        frameon=False,
    )
    return figure


def _intervals(
    axis, lines: pd.DataFrame, columns, height, shade: str, label: str = ""
) -> None:
    """Dots with their intervals."""
    value, low, high = (lines[c] for c in columns)
    axis.hlines(height, low, high, color=shade, lw=1.6)
    axis.scatter(value, height, color=shade, s=20, zorder=3, label=label)


_WAYS = PALETTE[1], PALETTE[0], PALETTE[2]
_SLOPES = (-1.0, 4.0)  # drawn; what lies beyond is an arrow at the edge


def reliability(
    table: pd.DataFrame, diagrams: pd.DataFrame, row: str
) -> Figure:
    """Draw the reliability diagram of one row, and slope and expected error of
    all.

    Parameters
    ----------
    table, diagrams : DataFrame
        Of `mmssl.evaluate.probabilities.table` and
        `mmssl.evaluate.probabilities.diagrams`.
    row : str
        Whose diagram is drawn.

    Returns
    -------
    Figure
        A line of axes per modality. Left: share of class 1 against the mean
        probability of a bin, with Wilson intervals. Middle: slope of the
        recalibration, 1 is perfect; an arrow where it lies outside the axis.
        Right: expected calibration error; the tick is the mean of perfectly
        calibrated probabilities of the same values and number.
    """
    modalities, order = (
        list(dict.fromkeys(table["modality"])),
        list(dict.fromkeys(table["model"])),
    )
    inches = 0.5 + len(modalities) * max(2.6, 0.8 + 0.4 * len(order))
    figure, axes = canvas(len(modalities), 3, 10.0, inches, sharex="col")
    for (diagram, slope, error), m in zip(axes, modalities, strict=True):
        for k, (way, colour) in enumerate(
            zip(dict.fromkeys(table["way"]), _WAYS, strict=False)
        ):
            bins = diagrams.query(
                "model == @row and modality == @m and way == @way"
            )
            diagram.vlines(
                bins["predicted"],
                bins["low"],
                bins["high"],
                color=colour,
                lw=1.2,
            )
            diagram.plot(
                bins["predicted"],
                bins["observed"],
                marker="o",
                ms=4,
                color=colour,
                label=way,
            )
            lines = table[(table["modality"] == m) & (table["way"] == way)]
            lines = lines.set_index("model").reindex(order[::-1])
            height = np.arange(len(order)) + 0.22 * (1 - k)
            _dots(slope, lines, "slope", height, colour, _SLOPES)
            _dots(error, lines, "ece", height, colour)
            error.scatter(
                lines["ece_by_chance"],
                height,
                marker="|",
                color=BASELINE,
                s=60,
            )
        diagram.plot([0, 1], [0, 1], color=BASELINE, ls=":", lw=1)
        diagram.set(ylabel="observed share", ylim=(-0.03, 1.03))
        diagram.set_title(f"{m}: {row}", loc="left")
        slope.axvline(1.0, color=BASELINE, ls=":", lw=1)
        for axis, names in ((slope, order[::-1]), (error, [])):
            axis.set(
                yticks=np.arange(len(order)),
                yticklabels=names,
                ylim=(-0.6, len(order) - 0.4),
            )
    axes[-1, 0].set(xlabel="probability", xlim=(-0.03, 1.03))
    axes[-1, 1].set(xlabel="slope", xlim=_SLOPES)
    axes[-1, 2].set(xlabel="expected calibration error", xlim=(0, None))
    handles = dict(
        zip(*reversed(axes[0, 0].get_legend_handles_labels()), strict=True)
    )
    figure.legend(
        handles.values(),
        handles,
        loc="outside upper right",
        ncols=3,
        frameon=False,
    )
    return figure


def _dots(
    axis: Axes,
    lines: pd.DataFrame,
    name: str,
    height,
    colour: str,
    limits=None,
) -> None:
    """Estimates with intervals; those outside of limits as arrows at the
    edge.
    """
    value = lines[name]
    inside = value.between(*limits) if limits else value.notna()
    axis.hlines(
        height,
        lines[f"{name}_low"],
        lines[f"{name}_high"],
        color=colour,
        lw=1.4,
    )
    axis.scatter(value[inside], height[inside], color=colour, s=18, zorder=3)
    for edge, marker, beyond in zip(
        limits or (), "<>", (value.lt, value.gt), strict=False
    ):
        out = beyond(edge).to_numpy()
        axis.scatter(
            np.full(out.sum(), edge),
            height[out],
            color=colour,
            marker=marker,
            s=30,
            clip_on=False,
            zorder=4,
        )
