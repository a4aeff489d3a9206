"""Figures of what a probability is worth, and of what else could explain a
result.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmssl.plotting.look import (
    BASELINE,
    COMPETITOR,
    DOTTED,
    WAY,
    canvas,
    colour,
    name_lines,
)

# as fitted, with the share of the training people, recalibrated
_CONVERSION_COLOURS = COMPETITOR, *WAY
_SLOPES = (-1.0, 4.0)  # drawn; what lies beyond is an arrow at the edge


def calibration_of_probes(
    table: pd.DataFrame, diagrams: pd.DataFrame, model: str
) -> Figure:
    """Draw the reliability diagram of one model, and slope and expected
    calibration error of all.

    Parameters
    ----------
    table, diagrams : DataFrame
        Of `mmssl.evaluate.probabilities.calibration_table` and
        `mmssl.evaluate.probabilities.reliability_table`.
    model : str
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
    modalities = list(dict.fromkeys(table["modality"]))
    order = list(dict.fromkeys(table["model"]))[::-1]
    conversions = list(dict.fromkeys(table["conversion"]))
    inches = 0.5 + len(modalities) * max(2.6, 0.8 + 0.4 * len(order))
    figure, axes = canvas(len(modalities), 3, 10.0, inches, sharex="col")
    for (diagram, slope, error), modality in zip(
        axes, modalities, strict=True
    ):
        lines = table[table["modality"] == modality]
        bins = diagrams[diagrams["modality"] == modality]
        bins = bins[bins["model"] == model]
        for k, conversion in enumerate(conversions):
            shade = _CONVERSION_COLOURS[k]
            chosen = bins[bins["conversion"] == conversion]
            _reliability_curve(diagram, chosen, shade, conversion)
            chosen = lines[lines["conversion"] == conversion]
            chosen = chosen.set_index("model").reindex(order)
            height = np.arange(len(order)) + 0.22 * (1 - k)
            _estimates(slope, chosen, "slope", height, shade, _SLOPES)
            _estimates(error, chosen, "ece", height, shade)
            chance = chosen["ece_by_chance"]
            error.scatter(chance, height, marker="|", color=BASELINE, s=60)
        diagram.plot([0, 1], [0, 1], **DOTTED)
        diagram.set(ylabel="observed share", ylim=(-0.03, 1.03))
        diagram.set_title(f"{modality}: {model}", loc="left")
        slope.axvline(1.0, **DOTTED)
        name_lines(slope, order)
        name_lines(error, order, shown=False)
    axes[-1, 0].set(xlabel="probability", xlim=(-0.03, 1.03))
    axes[-1, 1].set(xlabel="slope", xlim=_SLOPES)
    axes[-1, 2].set(xlabel="expected calibration error", xlim=(0, None))
    _legend(figure, axes[0, 0], 3)
    return figure


def covariate_baseline(aucs: pd.DataFrame, gains: pd.DataFrame) -> Figure:
    """Draw how well covariates alone tell the classes, beside the models of a
    results table.

    Parameters
    ----------
    aucs, gains : DataFrame
        Of `mmssl.evaluate.confounds.covariate_aucs` and
        `mmssl.evaluate.confounds.gain_over_covariates`.

    Returns
    -------
    Figure
        Left: hold-out ROC-AUC with its interval, covariates in grey below,
        models above them, a colour a modality; the dashed line is that of all
        covariates together. Right: the paired difference to it.
    """
    models = list(dict.fromkeys(gains["model"]))[::-1]
    covariates = list(aucs["covariates"])[::-1]
    names = [f"{name} alone" for name in covariates]
    names = ["all covariates" if n == "all alone" else n for n in names]
    names += models
    inches = 0.9 + 0.34 * len(names)
    figure, axes = canvas(1, 2, 8.5, inches, sharey=True)
    left, right = axes[0]
    lines = aucs.set_index("covariates").loc[covariates]
    columns = ("auc", "low", "high")
    _intervals(left, lines, columns, np.arange(len(covariates)), BASELINE)
    modalities = list(dict.fromkeys(gains["modality"]))
    for k, modality in enumerate(modalities):
        chosen = gains[gains["modality"] == modality]
        chosen = chosen.set_index("model").reindex(models)
        height = len(covariates) + _heights(len(models), k, len(modalities))
        shade = colour(modality)
        _intervals(left, chosen, columns, height, shade, modality)
        columns_of_gain = ("gain", "gain_low", "gain_high")
        _intervals(right, chosen, columns_of_gain, height, shade)
    left.axvline(0.5, **DOTTED)
    left.axvline(lines.loc["all", "auc"], color=COMPETITOR, ls="--", lw=1)
    right.axvline(0.0, color=COMPETITOR, ls="--", lw=1)
    name_lines(left, names)
    left.set(xlabel="hold-out ROC-AUC")
    right.set(xlabel="gain over all covariates")
    _legend(figure, left, 2)
    return figure


def covariates_in_z(decoded: pd.DataFrame) -> Figure:
    """Draw how well each covariate is decoded from the z of every model,
    beside what shuffled people give.

    Parameters
    ----------
    decoded : DataFrame
        Lines of `mmssl.evaluate.confounds.decode_covariates`, with model and
        modality.

    Returns
    -------
    Figure
        An axis a covariate. Dots: R2 (numbers) or AUC (words) on held-out
        people with their interval; the pale bar reaches to the 95th percentile
        of the shuffled null; dotted, what knows nothing: 0 or .5. Each axis
        shows the range of its own values, R2 from -1 on.
    """
    covariates = list(dict.fromkeys(decoded["covariate"]))
    models = list(dict.fromkeys(decoded["model"]))[::-1]
    inches = 1.1 + 0.38 * len(models)
    width = 1.6 + 2.1 * len(covariates)
    figure, axes = canvas(1, len(covariates), width, inches, sharey=True)
    for axis, name in zip(axes[0], covariates, strict=True):
        _decoded_covariate(axis, decoded[decoded["covariate"] == name], models)
        axis.set_title(name, loc="left")
    name_lines(axes[0, 0], models)
    _legend(figure, axes[0, 0], 2)
    return figure


def _decoded_covariate(
    axis: Axes, decoded: pd.DataFrame, models: list[str]
) -> None:
    """One covariate of `covariates_in_z`."""
    label, nothing, lowest = "AUC", 0.5, 0.0
    if decoded["measure"].iloc[0] == "R2":
        label, nothing, lowest = "R²", 0.0, -1.0
    drawn = decoded[["low", "high", "by_chance_95"]].to_numpy()
    first = min(np.nanmin(drawn), nothing)
    last = max(np.nanmax(drawn), nothing)
    around = 0.08 * (last - first)
    end = max(first - around, lowest)
    modalities = list(dict.fromkeys(decoded["modality"]))
    for k, modality in enumerate(modalities):
        lines = decoded[decoded["modality"] == modality]
        lines = lines.set_index("model").reindex(models)
        height = _heights(len(models), k, len(modalities))
        axis.barh(
            height,
            lines["by_chance_95"] - end,
            left=end,
            height=0.2,
            color=BASELINE,
            alpha=0.25,
            lw=0,
        )
        columns = ("value", "low", "high")
        shade = colour(modality)
        _intervals(axis, lines, columns, height, shade, modality)
    axis.axvline(nothing, **DOTTED)
    axis.set(xlabel=label, xlim=(end, last + around))
    axis.locator_params(axis="x", nbins=4)


def _reliability_curve(
    axis: Axes, bins: pd.DataFrame, shade: str, label: str
) -> None:
    """Observed share against probability, with intervals."""
    predicted = bins["predicted"]
    axis.vlines(predicted, bins["low"], bins["high"], color=shade, lw=1.2)
    axis.plot(
        predicted,
        bins["observed"],
        marker="o",
        ms=4,
        color=shade,
        label=label,
    )


def _estimates(
    axis: Axes,
    lines: pd.DataFrame,
    name: str,
    height: np.ndarray,
    shade: str,
    limits: tuple[float, float] | None = None,
) -> None:
    """Estimates with intervals; those outside of limits as arrows at the
    edge.
    """
    value = lines[name]
    low, high = lines[f"{name}_low"], lines[f"{name}_high"]
    axis.hlines(height, low, high, color=shade, lw=1.4)
    if limits is None:
        axis.scatter(value, height, color=shade, s=18, zorder=3)
        return
    inside = value.between(*limits)
    axis.scatter(value[inside], height[inside], color=shade, s=18, zorder=3)
    below = (value < limits[0]).to_numpy()
    above = (value > limits[1]).to_numpy()
    for edge, marker, outside in (
        (limits[0], "<", below),
        (limits[1], ">", above),
    ):
        axis.scatter(
            np.full(outside.sum(), edge),
            height[outside],
            color=shade,
            marker=marker,
            s=30,
            clip_on=False,
            zorder=4,
        )


def _intervals(
    axis: Axes,
    lines: pd.DataFrame,
    columns: tuple[str, str, str],
    height: np.ndarray,
    shade: str,
    label: str = "",
) -> None:
    """Dots with their intervals: columns are value, low and high."""
    value, low, high = (lines[name] for name in columns)
    axis.hlines(height, low, high, color=shade, lw=1.6)
    axis.scatter(value, height, color=shade, s=20, zorder=3, label=label)


def _heights(lines: int, k: int, series: int) -> np.ndarray:
    """Heights of the k-th of several series, side by side on each line."""
    return np.arange(lines) + 0.26 * ((series - 1) / 2 - k)


def _legend(figure: Figure, axis: Axes, columns: int) -> None:
    """Legend above the axes, each label once."""
    handles, labels = axis.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    figure.legend(
        once.values(),
        once.keys(),
        loc="outside upper right",
        ncols=columns,
        frameon=False,
    )
