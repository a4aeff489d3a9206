"""Figures of online clustering: who lies nearest to which prototype, and how
fast fine-tuning converges.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmssl.plotting.look import (
    DOTTED,
    PHONE,
    canvas,
    colour,
    model_colours,
)


def prototype_shares(assignments: pd.DataFrame) -> Figure:
    """Draw the share of people that lie nearest to each prototype, the most
    used first, beside what equal shares would be.

    Parameters
    ----------
    assignments : DataFrame
        Of `mmssl.evaluate.prototypes.prototype_assignments`.
    """
    modalities = list(assignments["modality"].unique())
    figure, axes = canvas(1, len(modalities), PHONE, 2.4, sharey=True)
    for axis, m in zip(axes[0], modalities, strict=True):
        own = assignments[assignments["modality"] == m]
        number = int(own["prototypes"].iloc[0])
        counts = np.bincount(own["nearest"], minlength=number)
        shares = np.sort(counts / counts.sum())[::-1]
        axis.bar(np.arange(1, 1 + number), shares, color=colour(m))
        axis.axhline(1 / number, **DOTTED)
        axis.set(title=m, xlabel="prototype, by use")
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[0, 0].set_ylabel("share of people")
    return figure


def validation_curves(curves: pd.DataFrame) -> Figure:
    """Draw how the AUC on validation people grows in fine-tuning (002, figures
    5 and 8): a line a model, the mean over trainings; the band is their
    standard deviation.

    Parameters
    ----------
    curves : DataFrame
        Of `mmssl.evaluate.label_efficiency.curve_table`, of one task.
    """
    ratios = sorted(curves["ratio"].unique())
    figure, axes = canvas(1, len(ratios), PHONE, 3.2, sharey=True)
    for model, line in model_colours(curves).items():
        own = curves[curves["model"] == model]
        for axis, ratio in zip(axes[0], ratios, strict=True):
            of_step = own[own["ratio"] == ratio].groupby("step")["auc"]
            mean = of_step.mean()
            sd = of_step.std().fillna(0.0)
            axis.plot(mean.index, mean, color=line, label=model)
            axis.fill_between(
                mean.index, mean - sd, mean + sd, color=line, alpha=0.2, lw=0
            )
    for axis, ratio in zip(axes[0], ratios, strict=True):
        axis.axhline(0.5, **DOTTED)
        axis.set(title=f"{ratio:.0%} of the labels", xlabel="step")
    axes[0, 0].set_ylabel("AUC, validation people")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=3, fontsize=9
    )
    return figure
