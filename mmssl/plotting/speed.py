"""How many times faster than its peer each hot path is."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from mmssl.plotting.look import BASELINE, PALETTE, canvas, name_lines

RATIO = ", ratio"
"""How the names of ratios end."""


def speed(paths: Sequence[dict[str, Any]]) -> Figure:
    """Draw every ratio of a report of speed, the peer's time through ours.

    Parameters
    ----------
    paths : sequence of dict
        Of each hot path its name and figures, {name: value}; names of ratios
        end in ", ratio".

    Returns
    -------
    Figure
        A dot a ratio on a logarithmic axis, the dotted line where both are
        equally fast.
    """
    labels, ratios = [], []
    for path in paths:
        for name, value in path["figures"].items():
            if name.endswith(RATIO):
                labels.append(f"{path['name']}: {name.removesuffix(RATIO)}")
                ratios.append(value)
    # the first one on top
    labels.reverse()
    ratios.reverse()
    figure, axes = canvas(1, 1, 9.0, 0.9 + 0.26 * len(ratios))
    axis = axes[0, 0]
    for height, ratio in enumerate(ratios):
        axis.hlines(height, 1, ratio, color=PALETTE[0], lw=2)
        axis.scatter(ratio, height, color=PALETTE[0], s=24, zorder=3)
        axis.annotate(
            f"{ratio:.3g}" if ratio < 100 else f"{ratio:,.0f}",
            (max(1, ratio), height),
            (7, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axis.axvline(1, color=BASELINE, ls=":")
    axis.set(xscale="log", xlabel="times faster than the peer")
    name_lines(axis, labels)
    axis.margins(x=0.08)
    return figure
