"""Figure of how far predicted probabilities move when images are
transformed.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from mmssl.plotting.look import (
    DOTTED,
    canvas,
    model_colours,
)

_WIDTH = 0.8  # of the boxes of one kind together


def deviation_boxes(table: pd.DataFrame) -> Figure:
    """Draw relative deviations as box plots (002, figure 7): a panel a task, a
    group of boxes a kind of transform, a box a model.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.evaluate.finetuned_robustness.deviation_table`.

    Returns
    -------
    Figure
        Boxes are quartiles around the median, whiskers go from the 5th to the
        95th percentile, dots are the least and the largest: nothing lies
        outside the axis, which is logarithmic but for the part around 0 that
        its label names.
    """
    tasks = list(table["task"].unique())
    kinds = list(table["kind"].unique())
    colours = model_colours(table)
    figure, axes = canvas(1, len(tasks), 7.0, 3.6, sharey=True)
    linear = _linear_part(table)
    for axis, task in zip(axes[0], tasks, strict=True):
        of_task = table[table["task"] == task]
        for place, model in enumerate(colours):
            lines = of_task[of_task["model"] == model].set_index("kind")
            shift = (place + 0.5) / len(colours) - 0.5
            x = np.arange(len(kinds)) + _WIDTH * shift
            width = 0.8 * _WIDTH / len(colours)
            _boxes(axis, x, lines.loc[kinds], width, colours[model])
        axis.axhline(0, zorder=0, **DOTTED)
        axis.set_xticks(range(len(kinds)), kinds)
        axis.set(title=task, xlim=(-0.5, len(kinds) - 0.5))
        axis.set_yscale("symlog", linthresh=linear, linscale=1)
        low = min(table["least"].min(), -linear)
        high = max(table["largest"].max(), linear)
        axis.set_ylim(1.5 * low, 1.5 * high)
        axis.yaxis.set_major_formatter(_percent)
    axes[0, 0].set_ylabel(
        "relative deviation of the\n"
        f"probability (linear to ±{100 * linear:g} %)"
    )
    handles = [Patch(color=c, label=m, lw=0) for m, c in colours.items()]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=4, frameon=False
    )
    return figure


def _percent(value: float, _: int) -> str:
    return f"{100 * value:,g} %"


def _linear_part(table: pd.DataFrame) -> float:
    """A power of ten that a typical quartile reaches, not above 10 %."""
    sizes = table[["q1", "q3"]].abs().to_numpy()
    typical = max(float(np.median(sizes)), 1e-6)
    return min(0.1, 10.0 ** np.floor(np.log10(typical)))


def _boxes(
    axis: Axes,
    x: np.ndarray,
    lines: pd.DataFrame,
    width: float,
    colour: str,
) -> None:
    """One box a line."""
    boxes = []
    for line in lines.itertuples():
        boxes.append(
            {
                "med": line.median,
                "q1": line.q1,
                "q3": line.q3,
                "whislo": line.p05,
                "whishi": line.p95,
                "fliers": [line.least, line.largest],
            }
        )
    axis.bxp(
        boxes,
        positions=x,
        widths=width,
        patch_artist=True,
        manage_ticks=False,
        boxprops={"fc": colour, "ec": colour},
        whiskerprops={"color": colour, "lw": 1.2},
        capprops={"color": colour, "lw": 1.2},
        medianprops={"color": "white", "lw": 1.5},
        flierprops={"marker": ".", "ms": 4, "mfc": colour, "mec": colour},
    )
