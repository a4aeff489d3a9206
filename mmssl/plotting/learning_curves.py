"""Figure of many runs while they trained."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmssl.plotting.look import DOTTED, canvas, colour

_COLUMNS = 6


def learning_curves(curves: pd.DataFrame) -> Figure:
    """Draw the probe of every run against the epoch, a panel for each run.

    Parameters
    ----------
    curves : DataFrame
        Of `mmssl.evaluate.run_histories.neighbour_curves`: model, modality,
        epoch, auc.

    Returns
    -------
    Figure
        All panels have the same axes. A line with dots for each modality, in
        its colour; pale, the median of all runs after as many epochs, as far
        as half of them went. Dotted, chance.
    """
    models = list(dict.fromkeys(curves["model"]))
    columns = min(_COLUMNS, len(models))
    rows = -(-len(models) // columns)  # rounded up
    # beside one run alone there is room for the names, too
    width = max(4.5, 0.6 + 1.33 * columns)
    height = max(2.7, 0.8 + 1.3 * rows)
    figure, axes = canvas(
        rows, columns, width, height, sharex=True, sharey=True
    )
    for axis, model in zip(axes.flat, models, strict=False):
        _draw_run(axis, curves, model)
    for axis in axes.flat[len(models) :]:
        axis.set_axis_off()
    _name_axes(figure, axes, len(models))
    return figure


def _draw_run(axis: Axes, curves: pd.DataFrame, model: str) -> None:
    """The lines of one run over the medians of all."""
    for modality, lines in curves.groupby("modality", sort=False):
        shade = colour(modality)
        at_epoch = lines.groupby("epoch")["auc"]
        # a few runs that went on longer are not what is usual
        many = at_epoch.count() >= lines["model"].nunique() / 2
        usual = at_epoch.median()[many]
        axis.plot(
            usual, color=shade, alpha=0.35, lw=1, label=f"{modality}, median"
        )
        own = lines[lines["model"] == model]
        axis.plot(
            own["epoch"],
            own["auc"],
            color=shade,
            lw=1.6,
            marker="o",
            ms=2.5,
            label=modality,
        )
    axis.axhline(0.5, **DOTTED)
    axis.set_title(model, fontsize=8.5, loc="left")
    axis.tick_params(labelsize=8)
    axis.xaxis.get_major_locator().set_params(integer=True, nbins=4)


def _name_axes(figure: Figure, axes: np.ndarray, count: int) -> None:
    """Numbers below the lowest panel of each column, one name for each side,
    and what the lines are.
    """
    for axis in axes.flat[max(0, count - axes.shape[1]) : count]:
        axis.tick_params(labelbottom=True)
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("ROC-AUC of neighbours", fontsize=9)
    figure.legend(
        *axes[0, 0].get_legend_handles_labels(),
        loc="outside upper left",
        ncols=4 if axes.shape[1] > 3 else 2,
        fontsize=8.5,
        frameon=False,
    )
