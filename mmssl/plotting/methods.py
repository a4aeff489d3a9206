"""The figures of the page on methods: what a method does, before its
equation.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mmssl.plotting.look import BASELINE, COMPETITOR, FORMULA, canvas

FAINT = "#E6E6E6"
"""The ground of what has a part, but not the first."""

WIDTH = 4.8
"""Inches of a figure, few enough for a telephone."""


def contrast_scores(roles: np.ndarray) -> Figure:
    """Draw the matrix of scores of a contrast, and the part of each in a loss.

    Parameters
    ----------
    roles : ndarray, shape (B, B, L)
        Of anchor a and location l of sample b: 1 where the score is raised,
        -1 where it is lowered, 0 where it is left out.

    Returns
    -------
    Figure
        A row an anchor, a column a location, samples side by side: a black
        square with a plus, a grey one with a minus, a hatched one.
    """
    batch, _, locations = roles.shape
    figure, ((axis,),) = canvas(1, 1, WIDTH, 0.27 * (batch + 2.9))
    for a, b, place in np.ndindex(roles.shape):
        corner = (b * (locations + 0.5) + place, -a)
        _draw_role(axis, corner, roles[a, b, place])
    for sample in range(batch):
        left = sample * (locations + 0.5)
        name = f"$x_{{{sample + 1},l}}$"
        _write(axis, left + locations / 2, 1.45, name)
        _write(axis, -0.6, 0.5 - sample, f"$y_{{{sample + 1}}}$")
    names = {1: "positive", -1: "negative", 0: "left out"}
    for number, (role, name) in enumerate(names.items()):
        left = number * 5.2
        _draw_role(axis, (left, -batch - 0.7), role)
        axis.text(left + 1.3, -batch - 0.2, name, va="center")
    right = batch * (locations + 0.5) - 0.5
    axis.set(
        xlim=(-1.2, right + 0.1),
        ylim=(-batch - 0.9, 2),
        aspect="equal",
    )
    axis.axis("off")
    return figure


def _draw_role(axis: Axes, corner: tuple[float, float], role: int) -> None:
    """A square of side .9 for a score that is raised, lowered or left out."""
    looks = {
        1: {"fc": COMPETITOR, "ec": COMPETITOR},
        -1: {"fc": FAINT, "ec": BASELINE},
        0: {"fc": "white", "ec": BASELINE, "hatch": "////"},
    }
    axis.add_patch(Rectangle(corner, 0.9, 0.9, lw=0.8, **looks[role]))
    if role:
        sign, ink = ("+", "white") if role > 0 else ("−", COMPETITOR)
        middle = corner[0] + 0.45, corner[1] + 0.43
        axis.text(*middle, sign, color=ink, ha="center", va="center")


def _write(axis: Axes, x: float, y: float, formula: str) -> None:
    axis.text(
        x, y, formula, ha="center", va="center", fontsize=12, gid=FORMULA
    )
