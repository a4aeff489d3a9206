"""Figure of what frozen representations are worth."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t as student

from mmssl.plotting.look import (
    BASELINE,
    COMPETITOR,
    DOTTED,
    MEASURES,
    PHONE,
    WAY,
    canvas,
    colour,
    name_lines,
)


def linear_evaluation(
    table: pd.DataFrame, ceiling: float | None = None, measure: str = "auc"
) -> Figure:
    """Draw how well the hold-out is told from every objective and baseline,
    and the gain over untrained encoders.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.evaluate.results.results_table`, one protocol, or of
        `mmssl.evaluate.regression.regression_table`.
    ceiling : float, optional
        The best AUC that anybody could reach, where the truth is known.
    measure : "auc" or "r2"
        Column of the table.

    Returns
    -------
    Figure
        A row of axes per modality. Left: the measure with interval, and one
        standard deviation over folds and initialisations as ticks where there
        are several (004, figure 6). Untrained encoders are grey and below; all
        else is sorted by its mean over modalities (001, figure 2), principal
        components in black among the objectives they compete with. Right: the
        paired difference to the mean of the untrained encoders; the shaded
        band is what this hold-out could not have detected, the whole axis
        where not even an AUC of 1 would have been.
    """
    modalities = list(dict.fromkeys(table["modality"]))
    order = _models_in_order(table, measure)
    name, chance = MEASURES[measure]
    inches = len(modalities) * (0.8 + 0.3 * len(order))
    figure, axes = canvas(len(modalities), 2, PHONE, inches, sharex="col")
    for (left, right), modality in zip(axes, modalities, strict=True):
        lines = table[table["modality"] == modality].set_index("model")
        lines = lines.reindex(order)
        colours = _colours(lines, modality)
        _estimates(left, lines, colours, measure)
        left.axvline(chance, **DOTTED)
        if ceiling is not None:
            left.axvline(ceiling, color=COMPETITOR, ls="--", lw=1)
        _gains(right, lines, colours)
        name_lines(left, order)
        left.tick_params(axis="y", labelsize=9)
        name_lines(right, order, shown=False)
        # the rows are tall: each has numbers at its own axes
        left.tick_params(axis="x", labelbottom=True)
        right.tick_params(axis="x", labelbottom=True)
        left.set_title(modality)
    limits = table[["difference_low", "difference_high"]]
    reach = 1.1 * limits.abs().max(axis=None)
    axes[-1, 0].set_xlabel(f"hold-out {name}", fontsize=9)
    if measure == "auc":
        axes[-1, 0].set_xlim(None, 1.02)
    axes[-1, 1].set_xlabel("gain over untrained", fontsize=9)
    axes[-1, 1].set_xlim(-reach, reach)
    # more of them would touch each other
    step = 10 ** np.floor(np.log10(0.9 * reach))
    outermost = step * np.floor(0.9 * reach / step)
    axes[-1, 1].set_xticks([-outermost, 0, outermost])
    return figure


def _models_in_order(table: pd.DataFrame, measure: str) -> list[str]:
    """Untrained encoders, then all else by its mean over modalities."""
    means = table.groupby("model")[measure].mean().sort_values()
    untrained = set(table.loc[table["difference"].isna(), "model"])
    return sorted(means.index, key=lambda model: model not in untrained)


def _colours(lines: pd.DataFrame, modality: str) -> list[str]:
    """Grey for untrained encoders, black for a baseline that competes."""
    colours = []
    for line in lines.itertuples():
        chosen = colour(modality)
        if np.isnan(line.difference):
            chosen = BASELINE
        elif line.baseline:
            chosen = COMPETITOR
        colours.append(chosen)
    return colours


def _estimates(
    axis: Axes, lines: pd.DataFrame, colours: list[str], measure: str
) -> None:
    """A measure with its interval, and its spread over folds."""
    height = np.arange(len(lines))
    axis.hlines(height, lines["low"], lines["high"], color=colours)
    # where a probe has no coefficient, .5 is no estimate
    estimated = lines[measure].where(lines["low"].notna())
    axis.scatter(estimated, height, color=colours, zorder=3)
    for sign in (-1, 1):
        spread = lines[measure] + sign * lines[f"{measure}_sd"]
        axis.scatter(spread, height, marker="|", color=colours, zorder=3)


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


def crops_and_shortcuts(table: pd.DataFrame) -> Figure:
    """Draw what encoders learned under several choices of crops, a dot a
    cohort, with the mean and its Student-t interval.

    Parameters
    ----------
    table : DataFrame
        Of one objective, of ``book/training_choices.tsv``: choice, seed,
        modality, quantity, value, chance.

    Returns
    -------
    Figure
        Three axes over the choices: how often held-out pairs match, cropped in
        the same way, separately, and not at all; how well the crop is read
        from z; and the diagnosis. Dotted, chance.
    """
    panels = {
        "held-out pairs matched": {
            "matched, same": WAY[0],
            "matched, separate": WAY[1],
            "matched, none": BASELINE,
        },
        "crop read from z (R²)": {"crop, R2": None},
        "diagnosis (ROC-AUC)": {"diagnosis, AUC": None},
    }
    choices = list(dict.fromkeys(table["choice"]))
    figure, (axes,) = canvas(1, len(panels), 11.0, 3.2)
    for axis, (title, quantities) in zip(axes, panels.items(), strict=True):
        series = {}
        for quantity, shade in quantities.items():
            lines = table[table["quantity"] == quantity]
            for modality, part in lines.groupby("modality", sort=False):
                label = quantity.split(", ")[1] if shade else modality
                series[label] = (part, shade or colour(modality))
        for number, (label, (part, shade)) in enumerate(series.items()):
            shift = 0.22 * (number - (len(series) - 1) / 2)
            _dots(axis, part, choices, shift, shade, label)
            axis.axhline(part["chance"].iloc[0], **DOTTED)
        names = [choice.replace(" crops, ", "\n") for choice in choices]
        axis.set(xticks=np.arange(len(choices)), xticklabels=names)
        axis.set_xlabel("crops")
        axis.set_title(title)
        axis.legend(fontsize=9, loc="lower right")
    axes[0].legend(fontsize=9, loc="upper right")
    return figure


def _dots(
    axis: Axes,
    lines: pd.DataFrame,
    choices: list[str],
    shift: float,
    shade: str,
    label: str,
) -> None:
    """Values of one quantity by choice, their mean and its interval."""
    for place, choice in enumerate(choices):
        values = lines.loc[lines["choice"] == choice, "value"].to_numpy()
        at = place + shift
        axis.scatter(
            np.full(len(values), at), values, s=8, color=shade, alpha=0.4
        )
        reach = 0.0
        if len(values) > 1:
            error = values.std(ddof=1) / np.sqrt(len(values))
            reach = student.ppf(0.975, len(values) - 1) * error
        axis.errorbar(
            at,
            values.mean(),
            reach,
            fmt="_",
            color=shade,
            capsize=2,
            label=label if place == 0 else None,
        )
