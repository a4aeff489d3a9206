"""Figures of robustness: AUC, or R2, by population and its parts, along each
panel of distortions, the images.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmssl.plotting.look import (
    ANATOMY,
    BASELINE,
    COMPETITOR,
    DIVERGING,
    DOTTED,
    MEASURES,
    MODEL,
    ROLE,
    LiteralFigure,
    canvas,
    colour,
    name_lines,
    style,
)
from mmssl.plotting.slices import name_sides

_DASHES = ("-", "--", ":", "-.")
_COLOURS = MODEL
_COLUMNS = 3


def subgroup_gaps(table: pd.DataFrame, margin: float) -> Figure:
    """Draw each part's AUC minus that of the largest part, an axis per part.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.evaluate.subgroups.compare_subgroups`.
    margin : float
        Of the equivalence test: the grey band.

    Returns
    -------
    Figure
        Dots with their intervals, a colour a modality; filled where the
        conclusion is "equivalent" or "different".
    """
    gaps = table.dropna(subset="gap")
    models = list(dict.fromkeys(gaps["model"]))[::-1]
    panels = list(gaps.groupby(["covariate", "part", "reference"], sort=False))
    count = max(1, len(panels))
    figure, axes = canvas(
        1,
        count,
        1.6 + 1.9 * count,
        1.2 + 0.36 * len(models),
        sharey=True,
        sharex=True,
    )
    if not panels:
        axes[0, 0].set_axis_off()
        axes[0, 0].text(0, 0.5, "no part of enough people", color=BASELINE)
        return figure
    modalities = list(dict.fromkeys(gaps["modality"]))
    for axis, (names, panel) in zip(axes[0], panels, strict=True):
        axis.axvspan(-margin, margin, color=BASELINE, alpha=0.18, lw=0)
        for k, modality in enumerate(modalities):
            offset = 0.26 * ((len(modalities) - 1) / 2 - k)
            lines = panel[panel["modality"] == modality]
            lines = lines.set_index("model").reindex(models)
            _draw_gaps(axis, lines, offset, colour(modality), modality)
        axis.axvline(0.0, **DOTTED)
        covariate, part, reference = names
        title = f"{covariate}\n{part}\nminus {reference}"
        axis.set_title(title, loc="left", fontsize=9)
        name_lines(axis, models)
        axis.set_xlabel("gap of AUC")
    _legend_above(figure, axes[0, 0])
    return figure


def population_gaps(
    table: pd.DataFrame,
    margin: float,
    names: Sequence[str] = ("hold-out", "second population"),
    measure: str = "auc",
) -> Figure:
    """Draw AUC in two populations and the gap between them, a line of axes per
    modality.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.robustness.shift.compare_populations`.
    margin : float
        Of the equivalence test: the band on the right.
    names : two str
        Of the populations.
    measure : "auc" or "r2"

    Returns
    -------
    Figure
        Figure 1, right, of "Tasting the cake", with intervals; and what it
        leaves to the eye, the gap. A filled point: the conclusion is
        "equivalent" or "different".
    """
    modalities = list(table["modality"].unique())
    models = list(table["model"].unique())[::-1]
    inches = 0.6 + len(modalities) * (0.5 + 0.34 * len(models))
    figure, axes = canvas(len(modalities), 2, 8.5, inches, sharex="col")
    height = np.arange(len(models))
    scale, chance = MEASURES[measure]
    for (left, right), modality in zip(axes, modalities, strict=True):
        lines = table[table["modality"] == modality]
        lines = lines.set_index("model").loc[models]
        _draw_population(
            left, lines, "source", height + 0.14, ROLE["holdout"], names[0]
        )
        _draw_population(
            left, lines, "shift", height - 0.14, ROLE["shift"], names[1]
        )
        left.axvline(chance, **DOTTED)
        name_lines(left, models)
        left.set_title(modality, loc="left")
        right.axvspan(-margin, margin, color=BASELINE, alpha=0.18, lw=0)
        _draw_gaps(right, lines, 0.0, COMPETITOR)
        right.axvline(0.0, **DOTTED)
        name_lines(right, models, shown=False)
    axes[-1, 0].set(xlabel=scale, xlim=(None, 1.02))
    axes[-1, 1].set(xlabel=f"gap: {names[1]} minus {names[0]}")
    _legend_above(figure, axes[0, 0])
    return figure


def robustness_curves(
    table: pd.DataFrame, modality: str, baselines: Sequence[str] = ()
) -> Figure:
    """Draw AUC against the parameter in every panel, for one modality.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.robustness.comparison.curves`.
    modality : str
    baselines : sequence of str
        Models drawn in grey.

    Returns
    -------
    Figure
        Figures 2 and 3 of "Tasting the cake", with the percentile band of the
        subject bootstrap. Small ticks on the left of each panel: the
        undistorted AUC of each model. Grey: values whose images have
        collapsed to a few voxels, which no area counts.
    """
    lines = table[table["modality"] == modality]
    undistorted = lines[lines["distortion"] == "none"]
    measure = "r2" if "r2" in table else "auc"
    scale, chance = MEASURES[measure]
    undistorted = undistorted.set_index("model")[measure]
    distorted = lines[lines["distortion"] != "none"]
    panels = list(distorted.groupby(["distortion", "parameter"], sort=False))
    looks = line_styles(list(undistorted.index), baselines)
    rows = -(-len(panels) // _COLUMNS)  # rounded up
    figure, axes = canvas(rows, _COLUMNS, 9.5, 1.0 + 1.75 * rows, sharey=True)
    for axis, (names, panel) in zip(axes.flat, panels, strict=False):
        for model, curve in panel.groupby("model", sort=False):
            look = looks[model]
            _draw_curve(axis, curve, measure, model, look)
            _mark_left_edge(axis, undistorted[model], look["color"])
        _shade_collapsed(axis, panel)
        axis.axhline(chance, **DOTTED)
        title = panel_name(*names, panel["unit"].iloc[0])
        axis.set_title(title, fontsize=9.5, loc="left")
        axis.tick_params(labelsize=8)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis in axes[:, 0]:
        axis.set_ylabel(scale, fontsize=9)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=min(5, len(looks)),
        fontsize=8.5,
        frameon=False,
    )
    figure.suptitle(modality, x=0.02, ha="left")
    return figure


def panel_name(distortion: str, parameter: str, unit: str) -> str:
    """Return what a panel of distortions is called; a user's own one,
    "module:Class", by its class.
    """
    shown = distortion.rpartition(":")[2]
    name = f"{shown}: {parameter.replace('_', ' ')}"
    return f"{name} ({unit})" if unit else name


def line_styles(
    models: Sequence[str], baselines: Sequence[str]
) -> dict[str, dict]:
    """Return the colour, the dash and the width of the curve of each model.

    Parameters
    ----------
    models : sequence of str
    baselines : sequence of str
        Those of the models that are thin and grey.

    Returns
    -------
    {model: dict}
        ``color``, ``ls`` and ``lw`` of matplotlib.
    """
    styles = {}
    pretrained = [model for model in models if model not in baselines]
    for i, model in enumerate(pretrained):
        styles[model] = {
            "color": _COLOURS[i % len(_COLOURS)],
            "ls": _DASHES[i // len(_COLOURS) % len(_DASHES)],
            "lw": 1.6,
        }
    drawn_grey = [model for model in models if model in baselines]
    for i, model in enumerate(drawn_grey):
        styles[model] = {
            "color": BASELINE,
            "ls": _DASHES[(i + 1) % len(_DASHES)],
            "lw": 1.2,
        }
    return styles


def collapsed_spans(panel: pd.DataFrame) -> list[tuple[float, float]]:
    """Return where the values lie whose images have collapsed.

    Parameters
    ----------
    panel : DataFrame
        Of one distortion and parameter: value, collapsed.

    Returns
    -------
    list of (float, float)
        Of each such value, from half way to the one before it to half way to
        the one behind it.
    """
    points = panel.drop_duplicates("value").sort_values("value")
    values = points["value"].to_numpy()
    between = (values[1:] + values[:-1]) / 2
    edges = np.r_[values[0], between, values[-1]]
    cells = np.flatnonzero(points["collapsed"])
    return [(edges[cell], edges[cell + 1]) for cell in cells]


def robustness_comparisons(
    table: pd.DataFrame, areas: pd.DataFrame, measure: str = "auc"
) -> Figure:
    """Draw mean AUC under distortion and who is more robust than whom, a line
    per modality.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.robustness.comparison.pairwise_comparisons`, one panel ("mean
        of panels").
    areas : DataFrame
        Of `mmssl.robustness.comparison.areas`.
    measure : "auc" or "r2"

    Returns
    -------
    Figure
        Left: area under the curves averaged over the panels, with its
        interval, and the undistorted AUC (open). Right: the difference, row
        minus column; bold where the corrected test says which is more robust,
        pale where it does not.
    """
    modalities = list(table["modality"].unique())
    means = areas[areas["panel"] == table["panel"].iloc[0]]
    inches = 1.5 + 0.34 * means["model"].nunique()
    figure, axes = canvas(
        len(modalities), 2, 9.0, inches * len(modalities), sharey="row"
    )
    scale, chance = MEASURES[measure]
    largest = table["difference"].abs().max() or 1.0
    lowest = np.nanmin(means[["low", "high"]].to_numpy())
    for (left, right), modality in zip(axes, modalities, strict=True):
        lines = means[means["modality"] == modality]
        lines = lines.sort_values("area", ascending=False)
        models = list(lines["model"])
        height = np.arange(len(models))
        _draw_areas(left, lines, height)
        left.axvline(chance, **DOTTED)
        left.set(xlim=(lowest - 0.03, 1.02))
        left.set_title(modality, loc="left")
        pairs = table[table["modality"] == modality]
        image = _draw_differences(right, pairs, models, largest)
        left.set(
            yticks=height, yticklabels=models, ylim=(len(models) - 0.5, -0.5)
        )
    axes[-1, 0].set_xlabel(f"mean {scale} over the panels")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside upper left",
        ncols=2,
        frameon=False,
    )
    figure.colorbar(image, ax=axes[:, 1], shrink=0.6, label="row minus column")
    return figure


def distortion_gallery(
    images: Mapping[str, Mapping[str, np.ndarray]], undistorted: np.ndarray
) -> Figure:
    """Draw slices of one distorted volume: a line per panel, weak to strong.

    Parameters
    ----------
    images : {panel: {title: array (X, Y, Z)}}, RAS+.
    undistorted : array (X, Y, Z)
        The volume as it is; its range is the grey scale of all.

    Returns
    -------
    Figure
        As figure 4 of "Tasting the cake": axial slices through the middle, the
        person's left on the left, anterior up. Two panels stand side by side.
    """
    widest = max(len(panel) for panel in images.values())
    rows = -(-len(images) // 2)  # rounded up
    size = (9.0, 0.25 + 1.32 * rows)
    with style():
        figure = LiteralFigure(figsize=size, layout="constrained")
    axes = figure.subplots(
        rows,
        2 * widest + 1,
        squeeze=False,
        width_ratios=[1] * widest + [0.12] + [1] * widest,
    )
    for axis in axes.flat:
        axis.set_axis_off()
    low, high = np.percentile(undistorted, [1, 99.8])
    for k, (name, panel) in enumerate(images.items()):
        shown = name.rpartition(":")[2]  # of "module:Class parameter"
        first = (k // rows) * (widest + 1)
        panel_axes = axes[k % rows][first:]
        for axis, (title, volume) in zip(
            panel_axes, panel.items(), strict=False
        ):
            middle = volume[:, :, volume.shape[2] // 2]
            axis.imshow(
                middle.T, cmap=ANATOMY, vmin=low, vmax=high, origin="lower"
            )
            name_sides(axis)
            axis.set_title(title, fontsize=8.5, loc="center", pad=2)
        panel_axes[0].text(
            -0.06,
            0.5,
            shown.replace(" ", "\n", 1).replace("_", "\n"),
            fontsize=8.5,
            ha="right",
            va="center",
            transform=panel_axes[0].transAxes,
        )
    return figure


def _draw_population(
    axis: Axes,
    lines: pd.DataFrame,
    population: str,
    height: np.ndarray,
    shade: str,
    label: str,
) -> None:
    """AUC of one population with interval, a line of the table a dot."""
    low, high = lines[f"{population}_low"], lines[f"{population}_high"]
    axis.hlines(height, low, high, color=shade)
    axis.scatter(
        lines[population], height, color=shade, s=22, zorder=3, label=label
    )


def _draw_gaps(
    axis: Axes,
    lines: pd.DataFrame,
    offset: float,
    shade: str,
    label: str | None = None,
) -> None:
    """Gaps with their intervals; open where the conclusion is undecided."""
    height = np.arange(len(lines)) + offset
    axis.hlines(
        height, lines["gap_low"], lines["gap_high"], color=shade, lw=1.4
    )
    undecided = lines["conclusion"] == "undecided"
    axis.scatter(
        lines["gap"],
        height,
        c=np.where(undecided, "white", shade),
        edgecolors=shade,
        s=22,
        zorder=3,
    )
    if label:
        axis.plot([], [], marker="o", color=shade, label=label)


def _draw_curve(
    axis: Axes, curve: pd.DataFrame, measure: str, model: str, look: Mapping
) -> None:
    """A measure of a model along a panel, with the band of its interval."""
    curve = curve.drop_duplicates("value")
    axis.plot(curve["value"], curve[measure], label=model, **look)
    axis.fill_between(
        curve["value"],
        curve["low"],
        curve["high"],
        lw=0,
        alpha=0.08,
        color=look["color"],
    )


def _shade_collapsed(axis: Axes, panel: pd.DataFrame) -> None:
    """Grey behind the values of a panel whose images have collapsed."""
    for first, last in collapsed_spans(panel):
        axis.axvspan(first, last, color=BASELINE, alpha=0.25, lw=0)


def _mark_left_edge(axis: Axes, auc: float, shade: str) -> None:
    """A tick across the left edge."""
    axis.plot(
        [-0.015, 0.015],
        [auc, auc],
        color=shade,
        lw=2.2,
        clip_on=False,
        transform=axis.get_yaxis_transform(),
    )


def _draw_areas(axis: Axes, lines: pd.DataFrame, height: np.ndarray) -> None:
    """Mean AUC over the panels with its interval, and the undistorted AUC."""
    axis.hlines(height, lines["low"], lines["high"], color=MODEL[0])
    axis.scatter(
        lines["area"],
        height,
        color=MODEL[0],
        zorder=3,
        label="under distortion",
    )
    axis.scatter(
        lines["area"] + lines["loss"],
        height,
        facecolors="none",
        zorder=4,
        s=30,
        edgecolors=COMPETITOR,
        label="undistorted",
    )


def _draw_differences(
    axis: Axes, table: pd.DataFrame, models: Sequence[str], largest: float
):
    """Matrix of differences; pale where nothing was resolved."""
    shape = (len(models), len(models))
    matrix = np.full(shape, np.nan)
    resolved = np.zeros(shape, bool)
    for pair in table.itertuples():
        i, j = models.index(pair.first), models.index(pair.second)
        matrix[i, j] = pair.difference
        matrix[j, i] = -pair.difference
        resolved[i, j] = resolved[j, i] = pair.comparison != "not resolved"
    image = axis.imshow(
        matrix,
        cmap=DIVERGING,
        vmin=-largest,
        vmax=largest,
        alpha=np.where(resolved, 1.0, 0.25),
        origin="upper",
        aspect="auto",
    )
    for i, j in np.argwhere(~np.isnan(matrix)):
        # black on the ends of the scale cannot be read
        is_dark = resolved[i, j] and abs(matrix[i, j]) > 0.6 * largest
        axis.text(
            j,
            i,
            _short(matrix[i, j]),
            color="white" if is_dark else "black",
            ha="center",
            va="center",
            fontsize=7,
            weight="bold" if resolved[i, j] else "normal",
        )
    axis.set_xticks(
        range(len(models)),
        models,
        rotation=40,
        ha="right",
        rotation_mode="anchor",
    )
    axis.tick_params(labelleft=False)
    return image


def _short(difference: float) -> str:
    """A difference with two digits behind the point and none before it; what
    rounds to 0 has no sign.
    """
    text = f"{difference:+z.2f}".replace("0.", ".").replace("-", "−")
    return text.lstrip("+") if text == "+.00" else text


def _legend_above(figure: Figure, axis: Axes) -> None:
    """The entries of one axis above the figure."""
    figure.legend(
        *axis.get_legend_handles_labels(),
        loc="outside upper right",
        ncols=2,
        frameon=False,
    )
