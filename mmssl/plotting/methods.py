"""The figures of the page on methods: what a method does, before its
equation.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from mmssl.plotting.look import (
    BASELINE,
    COMPETITOR,
    DIVERGING,
    DOTTED,
    FORMULA,
    GROUP,
    MAGNITUDE,
    OUTLINES,
    PHONE,
    canvas,
    role_look,
)

FAINT = "#E6E6E6"
"""The ground of what has a part, but not the first."""


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
    figure, ((axis,),) = canvas(1, 1, PHONE, 0.27 * (batch + 2.9))
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


def encoder_layers(
    shapes: Sequence[tuple[int, int]],
    local: int,
    embeddings: tuple[int, int],
    latent: int,
) -> Figure:
    """Draw the layers of a DCGAN encoder of volumes.

    Parameters
    ----------
    shapes : sequence of (channels, side)
        Of the input, then of each strided layer.
    local : int
        Which of them is the local feature map.
    embeddings : (D, L)
        What the head makes of it.
    latent : int
        Length of z.

    Returns
    -------
    Figure
        From the left one cube a layer, the representation z, and below the
        local map its embeddings c.
    """
    figure, ((axis,),) = canvas(1, 1, PHONE, 2.0)
    step = (PHONE - 0.9) / len(shapes)
    middles = [(0.5 + step * n, 0.0) for n in range(len(shapes) + 1)]
    halves = [0.038 * side**0.5 for _, side in shapes]
    for (channels, side), middle, half in zip(
        shapes, middles, halves, strict=False
    ):
        _draw_cube(axis, middle, half)
        _label(axis, middle[0], -0.52, f"{channels} × {side}³")
    for number, half in enumerate(halves):
        (x, y), (last, _) = middles[number], middles[number + 1]
        end = halves[number + 1] if number + 1 < len(halves) else 0.07
        _arrow(axis, (x + half + 0.1, y), (last - end - 0.02, y))
    _draw_bar(axis, middles[-1], 0.14, 0.44)
    _label(axis, middles[-1][0], -0.52, f"{latent}")
    _label(axis, middles[-1][0], 0.5, "$z$", 13, FORMULA)
    _label(axis, middles[0][0], 0.5, "$x$", 13, FORMULA)
    x = middles[local][0]
    _arrow(axis, (x, -0.66), (x, -1.03))
    _label(axis, x + 0.1, -0.84, "head", side="left")
    _draw_bar(axis, (x, -1.16), 0.6, 0.2)
    size, places = embeddings
    _label(axis, x - 0.4, -1.18, "$c$", 13, FORMULA, side="right")
    _label(axis, x + 0.4, -1.18, f"{size} × {places} places", side="left")
    axis.set(xlim=(0, PHONE - 0.05), ylim=(-1.32, 0.65), aspect="equal")
    axis.axis("off")
    return figure


def relabelled_maps(
    people: np.ndarray,
    groups: Sequence[str],
    rbc: np.ndarray,
    corrected: np.ndarray,
    largest: np.ndarray,
) -> Figure:
    """Draw how maps of people become a map of groups, and its test.

    Parameters
    ----------
    people : ndarray, shape (4, X, Y)
        A slice of the saliency of four people.
    groups : sequence of str
        Theirs.
    rbc, corrected : ndarray, shape (X, Y)
        Rank-biserial correlation, and its p corrected over all voxels.
    largest : ndarray, shape (P,)
        The largest absolute correlation of each relabelling.

    Returns
    -------
    Figure
        From the left: the people framed in the colour of their group, the map
        with an outline of what is found, and the histogram with the largest
        correlation that was observed and the limit of 5 %.
    """
    figure, ((maps, effect, null),) = canvas(
        1, 3, PHONE, 2.3, width_ratios=(1, 1, 1.05)
    )
    side = people.shape[-1] + 3
    for number, (image, group) in enumerate(zip(people, groups, strict=True)):
        left, below = side * (number % 2), side * (1 - number // 2)
        limits = left, left + side - 3, below, below + side - 3
        shown = maps.imshow(
            image.T,
            cmap=MAGNITUDE,
            vmin=0,
            vmax=1,
            extent=limits,
            origin="lower",
        )
        frame = Rectangle(
            (left, below), side - 3, side - 3, fc="none", ec=GROUP[group], lw=2
        )
        maps.add_patch(frame)
    for number, group in enumerate(dict.fromkeys(groups)):
        maps.text(
            side * number,
            -1.5,
            group,
            va="top",
            color=GROUP[group],
            weight="bold",
        )
    _bar(figure, maps, shown, "saliency", (0, 1))
    maps.set(xlim=(-1, 2 * side - 2), ylim=(-6, 2 * side - 2))
    shown = effect.imshow(
        rbc.T, cmap=DIVERGING, vmin=-1, vmax=1, origin="lower"
    )
    effect.contour(corrected.T <= 0.05, [0.5], colors=OUTLINES[0])
    _bar(figure, effect, shown, "RBC", (-1, 0, 1))
    null.hist(largest, bins=15, color=BASELINE)
    null.axvline(np.abs(rbc).max(), color=COMPETITOR)
    null.axvline(np.quantile(largest, 0.95), **DOTTED)
    null.set(xlabel="largest |RBC|", yticks=[])
    null.spines.left.set_visible(False)
    for axis, title in ((maps, "1 people"), (effect, "2 groups")):
        axis.axis("off")
        axis.set_title(title, fontsize=10, loc="left")
    null.set_title("3 relabelled", fontsize=10, loc="left")
    return figure


def _bar(
    figure: Figure,
    axis: Axes,
    image: ScalarMappable,
    name: str,
    ticks: Sequence[float],
) -> None:
    """A colour bar below an image."""
    bar = figure.colorbar(image, ax=axis, location="bottom", ticks=ticks)
    bar.set_label(name)


def fold_roles(folds: np.ndarray, groups: Sequence[str]) -> Figure:
    """Draw who trains, who validates and who is tested, fold by fold.

    Parameters
    ----------
    folds : ndarray of str, shape (folds, people)
        "train", "valid" or "holdout".
    groups : sequence of str
        One a person.

    Returns
    -------
    Figure
        A row a fold, a column a person, whose group stands above.
    """
    rows, people = folds.shape
    figure, ((axis,),) = canvas(1, 1, PHONE, 0.24 * rows + 1.35)
    for number, group in enumerate(groups):
        axis.plot(number + 0.45, 0.8, "o", ms=5, color=GROUP[group])
    for row, number in np.ndindex(folds.shape):
        _draw_person(axis, (number, -1.6 * (row + 0.5)), folds[row, number])
    for row in range(rows):
        _label(axis, -0.8, -1.6 * row - 0.25, f"fold {row}", side="right")
    for number, group in enumerate(dict.fromkeys(groups)):
        axis.plot(7 * number + 0.45, 2.4, "o", ms=5, color=GROUP[group])
        axis.text(7 * number + 1.5, 2.3, group, va="center")
    uses = {
        "train": "trains the encoder and the probe",
        "valid": "chooses the epoch",
        "holdout": "is scored, and seen by nothing before",
    }
    for number, (role, use) in enumerate(uses.items()):
        height = -1.6 * rows - 1.8 * number - 0.9
        _draw_person(axis, (0, height), role)
        axis.text(1.5, height + 0.6, use, va="center")
    axis.set(
        xlim=(-5, people + 0.2), ylim=(-1.6 * rows - 5, 3.2), aspect="auto"
    )
    axis.axis("off")
    return figure


def _draw_person(axis: Axes, corner: tuple[float, float], role: str) -> None:
    """A square in the colour of a role, hatched for who validates."""
    axis.add_patch(Rectangle(corner, 0.8, 1.2, lw=0.6, **role_look(role)))


def _draw_cube(axis: Axes, middle: tuple[float, float], half: float) -> None:
    """Two squares of half a side, the second behind the first."""
    for shift in (0.06, 0):
        corner = middle[0] - half + shift, middle[1] - half + shift
        square = Rectangle(
            corner, 2 * half, 2 * half, fc=FAINT, ec=COMPETITOR, lw=1
        )
        axis.add_patch(square)


def _draw_bar(
    axis: Axes, middle: tuple[float, float], wide: float, high: float
) -> None:
    """A rectangle around its middle."""
    corner = middle[0] - wide / 2, middle[1] - high / 2
    bar = Rectangle(corner, wide, high, fc=FAINT, ec=COMPETITOR, lw=1.5)
    axis.add_patch(bar)


def _label(
    axis: Axes,
    x: float,
    y: float,
    text: str,
    size: float = 9,
    gid: str | None = None,
    side: str = "center",
) -> None:
    axis.text(x, y, text, fontsize=size, ha=side, va="center", gid=gid)


def _arrow(
    axis: Axes, start: tuple[float, float], end: tuple[float, float]
) -> None:
    arrow = FancyArrowPatch(
        start,
        end,
        arrowstyle="-|>",
        mutation_scale=9,
        color=BASELINE,
        shrinkA=0,
        shrinkB=0,
    )
    axis.add_patch(arrow)


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
