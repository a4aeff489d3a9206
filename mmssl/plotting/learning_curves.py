"""Figure of many runs while they trained."""

from itertools import product

import pandas as pd
from matplotlib.figure import Figure

from mmssl.plotting.look import BASELINE, DOTTED, MODEL, canvas, colour

_DASHES = ("-", "--", ":", "-.")


def learning_curves(curves: pd.DataFrame) -> Figure:
    """Draw the probe of every run against the epoch, all on one axis.

    Parameters
    ----------
    curves : DataFrame
        Of `mmssl.evaluate.run_histories.neighbour_curves`: model, modality,
        epoch, auc.

    Returns
    -------
    Figure
        A panel for each modality, a line for each model in the order of the
        table: colours, and dashes where there are more models than colours.
        Models beyond these are grey. Dotted, chance.
    """
    modalities = list(dict.fromkeys(curves["modality"]))
    models = list(dict.fromkeys(curves["model"]))
    kinds = [*product(_DASHES, MODEL)]
    kinds += [("-", BASELINE)] * max(0, len(models) - len(kinds))
    height = max(2.6 * len(modalities), 0.9 + 0.21 * len(models))
    figure, axes = canvas(
        len(modalities), 1, 7.0, height, sharex=True, sharey=True
    )
    for axis, modality in zip(axes[:, 0], modalities, strict=True):
        of_modality = curves[curves["modality"] == modality]
        for model, (dash, shade) in zip(models, kinds, strict=False):
            own = of_modality[of_modality["model"] == model]
            axis.plot(
                own["epoch"],
                own["auc"],
                dash,
                color=shade,
                lw=1.3,
                marker="o",
                ms=2.5,
                label=model,
            )
        axis.axhline(0.5, **DOTTED)
        axis.set_title(modality, color=colour(modality), loc="left")
        axis.set_ylabel("ROC-AUC of neighbours")
        axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_xlabel("epoch")
    lines, names = axis.get_legend_handles_labels()
    figure.legend(
        lines,
        names,
        loc="outside right upper",
        fontsize=8,
        frameon=False,
        handlelength=3,
    )
    return figure
