"""How many times faster than its peer each hot path is."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from mmssl.plotting.look import BASELINE, PALETTE, canvas

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
    ratios = [
        (f"{path['name']}: {name.removesuffix(RATIO)}", value)
        for path in paths
        for name, value in path["figures"].items()
        if name.endswith(RATIO)
    ]
    figure, axes = canvas(1, 1, 9.0, 0.9 + 0.26 * len(ratios))
    (axis,) = axes.ravel()
    for height, (_, value) in enumerate(reversed(ratios)):
        axis.hlines(height, 1, value, color=PALETTE[0], lw=2)
        axis.scatter(value, height, color=PALETTE[0], s=24, zorder=3)
        text = f"{value:.3g}" if value < 100 else f"{value:,.0f}"
        axis.annotate(
            text,
            (max(1, value), height),
            (7, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axis.axvline(1, color=BASELINE, ls=":")
    axis.set(
        xscale="log",
        xlabel="times faster than the peer",
        ylim=(-0.6, len(ratios) - 0.4),
        yticks=range(len(ratios)),
        yticklabels=[name for name, _ in reversed(ratios)],
    )
    axis.margins(x=0.08)
    return figure
