"""The figure of parts of a population."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmssl.plotting.look import FLOOR, canvas, colour


def subgroup_gaps(table: pd.DataFrame, margin: float) -> Figure:
    """Draw each part's AUC minus that of the largest part, an axis per part.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.subgroups.gaps`.
    margin : float
        Of the equivalence test: the grey band.

    Returns
    -------
    Figure
        Dots with their intervals, a colour a modality; filled where the verdict is "equivalent" or
        "different".
    """
    found = table.dropna(subset="gap")
    rows = list(dict.fromkeys(found["row"]))[::-1]
    modalities = list(dict.fromkeys(found["modality"]))
    panels = list(found.groupby(["covariate", "part", "reference"], sort=False))
    count = max(1, len(panels))
    figure, axes = canvas(1, count, 1.6 + 1.9 * count, 1.2 + 0.36 * len(rows), sharey=True,
                          sharex=True)  # fmt: skip
    if not panels:
        axes[0, 0].set_axis_off()
        axes[0, 0].text(0, 0.5, "no part of enough people", color=FLOOR)
        return figure
    for axis, ((name, part, reference), of) in zip(axes[0], panels, strict=False):
        axis.axvspan(-margin, margin, color=FLOOR, alpha=0.18, lw=0)
        for k, m in enumerate(modalities):
            lines = of[of["modality"] == m].set_index("row").reindex(rows)
            height = np.arange(len(rows)) + 0.26 * ((len(modalities) - 1) / 2 - k)
            axis.hlines(height, lines["gap_low"], lines["gap_high"], color=colour(m), lw=1.4)
            fill = np.where(lines["verdict"] == "undecided", "white", colour(m))
            axis.scatter(lines["gap"], height, c=fill, edgecolors=colour(m), s=20, zorder=3)
            axis.plot([], [], marker="o", color=colour(m), label=m)
        axis.axvline(0.0, color=FLOOR, ls=":", lw=1)
        axis.set_title(f"{name}\n{part}\nminus {reference}", loc="left", fontsize=9)
        axis.set(yticks=np.arange(len(rows)), yticklabels=rows, ylim=(-0.6, len(rows) - 0.4),
                 xlabel="gap of AUC")  # fmt: skip
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2,
                  frameon=False)  # fmt: skip
    return figure
