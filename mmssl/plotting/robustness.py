"""Figures of robustness: AUC by population and its parts, along each panel of
distortions, the images.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmssl.plotting.look import (
    ANATOMY,
    DIVERGING,
    BASELINE,
    PALETTE,
    canvas,
    colour,
    style,
)


def subgroup_gaps(table: pd.DataFrame, margin: float) -> Figure:
    """Draw each part's AUC minus that of the largest part, an axis per part.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.evaluate.subgroups.gaps`.
    margin : float
        Of the equivalence test: the grey band.

    Returns
    -------
    Figure
        Dots with their intervals, a colour a modality; filled where the
        verdict is "equivalent" or "different".
    """
    found = table.dropna(subset="gap")
    rows = list(dict.fromkeys(found["model"]))[::-1]
    modalities = list(dict.fromkeys(found["modality"]))
    panels = list(
        found.groupby(["covariate", "part", "reference"], sort=False)
    )
    count = max(1, len(panels))
    figure, axes = canvas(
        1,
        count,
        1.6 + 1.9 * count,
        1.2 + 0.36 * len(rows),
        sharey=True,
        sharex=True,
    )
    if not panels:
        axes[0, 0].set_axis_off()
        axes[0, 0].text(0, 0.5, "no part of enough people", color=BASELINE)
        return figure
    for axis, ((name, part, reference), of) in zip(
        axes[0], panels, strict=False
    ):
        axis.axvspan(-margin, margin, color=BASELINE, alpha=0.18, lw=0)
        for k, m in enumerate(modalities):
            lines = of[of["modality"] == m].set_index("model").reindex(rows)
            height = np.arange(len(rows)) + 0.26 * (
                (len(modalities) - 1) / 2 - k
            )
            axis.hlines(
                height,
                lines["gap_low"],
                lines["gap_high"],
                color=colour(m),
                lw=1.4,
            )
            fill = np.where(
                lines["verdict"] == "undecided", "white", colour(m)
            )
            axis.scatter(
                lines["gap"],
                height,
                c=fill,
                edgecolors=colour(m),
                s=20,
                zorder=3,
            )
            axis.plot([], [], marker="o", color=colour(m), label=m)
        axis.axvline(0.0, color=BASELINE, ls=":", lw=1)
        axis.set_title(
            f"{name}\n{part}\nminus {reference}", loc="left", fontsize=9
        )
        axis.set(
            yticks=np.arange(len(rows)),
            yticklabels=rows,
            ylim=(-0.6, len(rows) - 0.4),
            xlabel="gap of AUC",
        )
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside upper right",
        ncols=2,
        frameon=False,
    )
    return figure


_DASHES = ("-", "--", ":", "-.")
# thin yellow lines are lost on white
_COLOURS = [c for c in PALETTE if c != "#F0E442"]
_COLUMNS = 3


def populations(
    table: pd.DataFrame,
    margin: float,
    names: Sequence[str] = ("hold-out", "second population"),
) -> Figure:
    """Draw AUC in two populations and the gap between them, a line of axes per
    modality.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.robustness.shift.populations`.
    margin : float
        Of the equivalence test: the band on the right.
    names : two str
        Of the populations.

    Returns
    -------
    Figure
        Figure 1, right, of "Tasting the cake", with intervals; and what it
        leaves to the eye, the gap. A filled point: the verdict is "equivalent"
        or "different".
    """
    modalities, order = (
        list(table["modality"].unique()),
        list(table["model"].unique())[::-1],
    )
    inches = 0.6 + len(modalities) * (0.5 + 0.34 * len(order))
    figure, axes = canvas(len(modalities), 2, 8.5, inches, sharex="col")
    height = np.arange(len(order))
    for (left, right), m in zip(axes, modalities, strict=True):
        lines = table[table["modality"] == m].set_index("model").loc[order]
        for name, label, shade, up in zip(
            ("source", "shift"),
            names,
            (PALETTE[0], PALETTE[1]),
            (0.14, -0.14),
            strict=True,
        ):
            left.hlines(
                height + up,
                lines[f"{name}_low"],
                lines[f"{name}_high"],
                color=shade,
            )
            left.scatter(
                lines[name],
                height + up,
                color=shade,
                s=22,
                zorder=3,
                label=label,
            )
        right.axvspan(-margin, margin, color=BASELINE, alpha=0.18, lw=0)
        right.hlines(
            height, lines["gap_low"], lines["gap_high"], color=PALETTE[7]
        )
        known = lines["verdict"] != "undecided"
        right.scatter(
            lines["gap"],
            height,
            s=26,
            zorder=3,
            edgecolors=PALETTE[7],
            c=np.where(known, PALETTE[7], "white"),
        )
        for axis, middle in ((left, 0.5), (right, 0.0)):
            axis.axvline(middle, color=BASELINE, ls=":", lw=1)
            axis.set(
                yticks=height,
                yticklabels=order if axis is left else [],
                ylim=(-0.6, len(order) - 0.4),
            )
        left.set_title(m, loc="left")
    axes[-1, 0].set(xlabel="ROC-AUC", xlim=(None, 1.02))
    axes[-1, 1].set(xlabel=f"gap: {names[1]} minus {names[0]}")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside upper right",
        ncols=2,
        frameon=False,
    )
    return figure


def robustness_curves(
    table: pd.DataFrame, modality: str, baselines: Sequence[str] = ()
) -> Figure:
    """Draw AUC against the parameter in the 15 panels, for one modality.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.robustness.comparison.curves`.
    modality : str
    baselines : sequence of str
        Rows drawn in grey.

    Returns
    -------
    Figure
        Figures 2 and 3 of "Tasting the cake", with the percentile band of the
        subject bootstrap. Small ticks on the left of each panel: the
        undistorted AUC of each model.
    """
    lines = table[table["modality"] == modality]
    clean = lines[lines["distortion"] == "none"].set_index("model")["auc"]
    panels = lines[lines["distortion"] != "none"].groupby(
        ["distortion", "parameter"], sort=False
    )
    looks = _looks(list(clean.index), baselines)
    height = 1.0 + 1.75 * -(-len(panels) // _COLUMNS)
    figure, axes = canvas(
        -(-len(panels) // _COLUMNS), _COLUMNS, 9.5, height, sharey=True
    )
    for axis, ((distortion, parameter), panel) in zip(
        axes.flat, panels, strict=False
    ):
        for row, points in panel.groupby("model", sort=False):
            points, look = points.drop_duplicates("value"), looks[row]
            axis.plot(points["value"], points["auc"], label=row, **look)
            axis.fill_between(
                points["value"],
                points["low"],
                points["high"],
                lw=0,
                alpha=0.08,
                color=look["color"],
            )
            axis.plot(
                [-0.015, 0.015],
                [clean[row]] * 2,
                color=look["color"],
                lw=2.2,
                clip_on=False,
                transform=axis.get_yaxis_transform(),
            )
        unit = panel["unit"].iloc[0]
        axis.axhline(0.5, color=BASELINE, ls=":", lw=1)
        axis.set_title(
            f"{distortion}: {parameter.replace('_', ' ')}{f' ({unit})' if unit else ''}",
            fontsize=9.5,
            loc="left",
        )
        axis.tick_params(labelsize=8)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis in axes[:, 0]:
        axis.set_ylabel("ROC-AUC", fontsize=9)
    entries = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        *entries,
        loc="outside lower center",
        ncols=min(5, len(looks)),
        fontsize=8.5,
        frameon=False,
    )
    figure.suptitle(modality, x=0.02, ha="left")
    return figure


def robustness_verdict(table: pd.DataFrame, areas: pd.DataFrame) -> Figure:
    """Draw mean AUC under distortion and who is more robust than whom, a line
    per modality.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.robustness.comparison.verdict`, one panel ("mean of panels").
    areas : DataFrame
        Of `mmssl.robustness.comparison.areas`.

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
    reach = table["difference"].abs().max() or 1.0
    seen = means[["low", "high"]].to_numpy()
    for (left, right), m in zip(axes, modalities, strict=True):
        lines = means[means["modality"] == m].sort_values(
            "area", ascending=False
        )
        order = list(lines["model"])
        height = np.arange(len(order))
        left.hlines(height, lines["low"], lines["high"], color=PALETTE[0])
        left.scatter(
            lines["area"],
            height,
            color=PALETTE[0],
            zorder=3,
            label="under distortion",
        )
        left.scatter(
            lines["area"] + lines["loss"],
            height,
            facecolors="none",
            zorder=4,
            s=30,
            edgecolors=PALETTE[7],
            label="undistorted",
        )
        left.axvline(0.5, color=BASELINE, ls=":", lw=1)
        left.set(xlim=(np.nanmin(seen) - 0.03, 1.02))
        left.set_title(m, loc="left")
        image = _differences(
            right, table[table["modality"] == m], order, reach
        )
        left.set(
            yticks=height, yticklabels=order, ylim=(len(order) - 0.5, -0.5)
        )
    axes[-1, 0].set_xlabel("mean ROC-AUC over the panels")
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside upper left",
        ncols=2,
        frameon=False,
    )
    figure.colorbar(image, ax=axes[:, 1], shrink=0.6, label="row minus column")
    return figure


def distortion_gallery(
    images: Mapping[str, Mapping[str, np.ndarray]], clean: np.ndarray
) -> Figure:
    """Draw slices of one distorted volume: a line per panel, weak to strong.

    Parameters
    ----------
    images : {panel: {title: array (X, Y, Z)}}, RAS+.
    clean : array (X, Y, Z)
        The undistorted volume; its range is the grey scale of all.

    Returns
    -------
    Figure
        As figure 4 of "Tasting the cake": axial slices through the middle, the
        person's left on the left, anterior up. Two panels stand side by side.
    """
    widest = max(len(line) for line in images.values())
    lines = -(-len(images) // 2)
    with style():
        figure = Figure(
            figsize=(9.0, 0.25 + 1.32 * lines), layout="constrained"
        )
    axes = figure.subplots(
        lines,
        2 * widest + 1,
        squeeze=False,
        width_ratios=[*(1,) * widest, 0.12, *(1,) * widest],
    )
    for axis in axes.flat:
        axis.set_axis_off()
    low, high = np.percentile(clean, [1, 99.8])
    for k, (panel, line) in enumerate(images.items()):
        block, start = axes[k % lines], (k // lines) * (widest + 1)
        for axis, (title, volume) in zip(
            block[start:], line.items(), strict=False
        ):
            middle = volume[:, :, volume.shape[2] // 2]
            axis.imshow(
                middle.T, cmap=ANATOMY, vmin=low, vmax=high, origin="lower"
            )
            axis.set_title(title, fontsize=7.5, loc="center", pad=2)
        block[start].text(
            -0.06,
            0.5,
            panel.replace(" ", "\n", 1).replace("_", "\n"),
            fontsize=7.5,
            ha="right",
            va="center",
            transform=block[start].transAxes,
        )
    return figure


def _looks(rows: Sequence[str], baselines: Sequence[str]) -> dict[str, dict]:
    """Colour and dash of each row; baselines are thin and grey."""
    looks, real = {}, [row for row in rows if row not in baselines]
    for i, row in enumerate(real):
        dash = _DASHES[i // len(_COLOURS) % len(_DASHES)]
        looks[row] = {
            "color": _COLOURS[i % len(_COLOURS)],
            "ls": dash,
            "lw": 1.6,
        }
    for i, row in enumerate(row for row in rows if row in baselines):
        looks[row] = {
            "color": BASELINE,
            "ls": _DASHES[(i + 1) % len(_DASHES)],
            "lw": 1.2,
        }
    return looks


def _differences(
    axis, table: pd.DataFrame, order: Sequence[str], reach: float
):
    """Matrix of differences; pale where nothing was resolved."""
    matrix, known = (
        np.full((len(order),) * 2, np.nan),
        np.zeros((len(order),) * 2, bool),
    )
    for line in table.itertuples():
        i, j = order.index(line.first), order.index(line.second)
        matrix[i, j], matrix[j, i] = line.difference, -line.difference
        known[i, j] = known[j, i] = line.verdict != "not resolved"
    alpha = np.where(known, 1.0, 0.25)
    image = axis.imshow(
        matrix,
        cmap=DIVERGING,
        vmin=-reach,
        vmax=reach,
        alpha=alpha,
        origin="upper",
        aspect="auto",
    )
    for i, j in np.argwhere(~np.isnan(matrix)):
        axis.text(
            j,
            i,
            f"{matrix[i, j]:+.2f}",
            ha="center",
            va="center",
            fontsize=7,
            weight="bold" if known[i, j] else "normal",
        )
    axis.set_xticks(
        range(len(order)),
        order,
        rotation=40,
        ha="right",
        rotation_mode="anchor",
    )
    axis.tick_params(labelleft=False)
    return image
