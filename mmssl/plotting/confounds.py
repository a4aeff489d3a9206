"""Figures of what else could explain a result."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmssl.plotting.look import FLOOR, PALETTE, canvas, colour


def covariate_floor(baselines: pd.DataFrame, gains: pd.DataFrame) -> Figure:
    """Draw how well covariates alone tell the classes, beside the rows of a results table.

    Parameters
    ----------
    baselines, gains : DataFrame
        Of `mmssl.confounds.baselines` and `mmssl.confounds.gains`.

    Returns
    -------
    Figure
        Left: hold-out ROC-AUC with its interval, covariates in grey below, rows above them, a
        colour a modality; the dashed line is that of all covariates together. Right: the paired
        difference to it.
    """
    rows = list(dict.fromkeys(gains["row"]))[::-1]
    below = list(baselines["covariates"])[::-1]
    names = [*(f"{name} alone" if name != "all" else "all covariates" for name in below), *rows]
    figure, ((left, right),) = canvas(1, 2, 8.5, 0.9 + 0.34 * len(names), sharey=True)
    lines = baselines.set_index("covariates").loc[below]
    _intervals(left, lines, ("auc", "low", "high"), np.arange(len(below)), FLOOR)
    modalities = list(dict.fromkeys(gains["modality"]))
    for k, m in enumerate(modalities):
        of = gains[gains["modality"] == m].set_index("row").reindex(rows)
        height = len(below) + np.arange(len(rows)) + 0.26 * ((len(modalities) - 1) / 2 - k)
        _intervals(left, of, ("auc", "low", "high"), height, colour(m), m)
        _intervals(right, of, ("gain", "gain_low", "gain_high"), height, colour(m))
    left.axvline(0.5, color=FLOOR, ls=":", lw=1)
    left.axvline(lines.loc["all", "auc"], color=PALETTE[7], ls="--", lw=1)
    right.axvline(0.0, color=PALETTE[7], ls="--", lw=1)
    left.set(yticks=np.arange(len(names)), yticklabels=names, ylim=(-0.6, len(names) - 0.4),
             xlabel="hold-out ROC-AUC")  # fmt: skip
    right.set(xlabel="gain over all covariates")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper right", ncols=2,
                  frameon=False)  # fmt: skip
    return figure


def covariates_in_z(predicted: pd.DataFrame) -> Figure:
    """Draw how well every row's z tells each covariate, beside what shuffled people give.

    Parameters
    ----------
    predicted : DataFrame
        Lines of `mmssl.confounds.predicted`, with row and modality.

    Returns
    -------
    Figure
        An axis a covariate. Dots: R2 (numbers) or AUC (words) on held-out people with their
        interval; the pale bar reaches to the 95th percentile of the shuffled null; dotted, what
        knows nothing: 0 or .5. An axis of R2 ends at -.5.
    """
    names = list(dict.fromkeys(predicted["covariate"]))
    rows = list(dict.fromkeys(predicted["row"]))[::-1]
    modalities = list(dict.fromkeys(predicted["modality"]))
    inches = 1.1 + 0.38 * len(rows)
    figure, axes = canvas(1, len(names), 1.6 + 2.1 * len(names), inches, sharey=True)
    for axis, name in zip(axes[0], names, strict=True):
        of = predicted[predicted["covariate"] == name]
        nothing, end = (0.0, -0.5) if of["measure"].iloc[0] == "R2" else (0.5, 0.2)
        for k, m in enumerate(modalities):
            lines = of[of["modality"] == m].set_index("row").reindex(rows)
            height = np.arange(len(rows)) + 0.26 * ((len(modalities) - 1) / 2 - k)
            axis.barh(height, lines["by_chance_95"] - end, left=end, height=0.2, color=FLOOR,
                      alpha=0.25, lw=0)  # fmt: skip
            _intervals(axis, lines, ("value", "low", "high"), height, colour(m), m)
        axis.axvline(nothing, color=FLOOR, ls=":", lw=1)
        axis.set(xlabel="R²" if nothing == 0 else "AUC", xlim=(end, 1.04))
        axis.set_title(name, loc="left")
    axes[0, 0].set(yticks=np.arange(len(rows)), yticklabels=rows, ylim=(-0.6, len(rows) - 0.4))
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2,
                  frameon=False)  # fmt: skip
    return figure


def _intervals(axis, lines: pd.DataFrame, columns, height, shade: str, label: str = "") -> None:
    """Dots with their intervals."""
    value, low, high = (lines[c] for c in columns)
    axis.hlines(height, low, high, color=shade, lw=1.6)
    axis.scatter(value, height, color=shade, s=20, zorder=3, label=label)
