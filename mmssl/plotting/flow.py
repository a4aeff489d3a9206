"""A flow diagram: boxes, and arrows from one to the next."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from mmssl.plotting.look import BASELINE, COMPETITOR, FORMULA, PHONE, canvas

LEARNED = "#E6E6E6"
"""The ground of what has weights."""

LETTERS = 9.5
"""Points."""

LINE = 0.18
"""Inches from one line of a text to the next."""

GAP = 0.25
"""Inches from a row to the next."""

Place = tuple[float, float]


class Box(NamedTuple):
    """A box of a flow diagram.

    Attributes
    ----------
    text : str
        Lines; formulas stand between dollar signs.
    left, wide : float
        Inches.
    colour : str
        Of the frame.
    learned : bool
        Whether it has weights: its ground is grey then.
    bold : bool
        Whether the frame is thick, as that of a loss.
    """

    text: str
    left: float
    wide: float
    colour: str = COMPETITOR
    learned: bool = False
    bold: bool = False

    @property
    def right(self) -> float:
        """Where its frame ends."""
        return self.left + self.wide

    @property
    def high(self) -> float:
        """As its lines need."""
        return LINE * (self.text.count("\n") + 1) + 0.13


class Flow(NamedTuple):
    """An arrow of a flow diagram.

    Attributes
    ----------
    start, end : str
        Names of boxes. The arrow runs down to a later row, and sideways within
        a row.
    label : str
        Stands beside an arrow that runs down, and above one that runs
        sideways.
    left : float, optional
        Where it runs down, in inches; by default in the middle of the narrower
        box.
    dashed : bool
        Of what is no flow of images.
    style : str
        Of its heads, matplotlib's.
    """

    start: str
    end: str
    label: str = ""
    left: float | None = None
    dashed: bool = False
    style: str = "-|>"


def flow_diagram(
    rows: Sequence[Mapping[str, Box]], flows: Sequence[Flow]
) -> Figure:
    """Draw rows of boxes, and arrows from one box to the next.

    Parameters
    ----------
    rows : sequence of {name: Box}
        From above; names are not shown.
    flows : sequence of Flow

    Returns
    -------
    Figure
        As wide as a telephone's page, and as high as the rows need.

    Raises
    ------
    ValueError
        For a box that reaches beyond the figure.
    """
    boxes: dict[str, Box] = {}
    tops: dict[str, float] = {}
    height = 0.03
    for row in rows:
        boxes |= row
        tops |= dict.fromkeys(row, height)
        height += max(box.high for box in row.values()) + GAP
    for name, box in boxes.items():
        if box.left < 0 or box.right > PHONE:
            raise ValueError(
                f"box {name!r}: from {box.left:.2f} to {box.right:.2f} inches,"
                f" expected within 0 and {PHONE}"
            )
    height -= GAP - 0.03
    figure, ((axis,),) = canvas(1, 1, PHONE, height)
    axis.set(xlim=(0, PHONE), ylim=(height, 0), aspect="equal")
    axis.axis("off")
    for flow in flows:
        start = boxes[flow.start], tops[flow.start]
        _draw_flow(axis, start, (boxes[flow.end], tops[flow.end]), flow)
    for name, box in boxes.items():
        _draw_box(axis, box, tops[name])
    return figure


def _draw_box(axis: Axes, box: Box, top: float) -> None:
    frame = Rectangle(
        (box.left, top),
        box.wide,
        box.high,
        fc=LEARNED if box.learned else "white",
        ec=box.colour,
        lw=2.2 if box.bold else 1.2,
        zorder=2,
    )
    axis.add_patch(frame)
    middle = box.left + box.wide / 2, top + box.high / 2
    _write(axis, middle, box.text, ha="center", va="center")


def _draw_flow(
    axis: Axes,
    first: tuple[Box, float],
    last: tuple[Box, float],
    flow: Flow,
) -> None:
    """Draw an arrow between two boxes, each with its top."""
    start, end = _ends(first, last, flow.left)
    arrow = FancyArrowPatch(
        start,
        end,
        arrowstyle=flow.style,
        mutation_scale=9,
        color=BASELINE,
        ls="--" if flow.dashed else "-",
        lw=1.2,
        shrinkA=0,
        shrinkB=0,
        zorder=1,
    )
    axis.add_patch(arrow)
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    if start[0] == end[0]:
        _write(axis, (x + 0.07, y), flow.label, ha="left", va="center")
    else:
        _write(axis, (x, y - 0.05), flow.label, ha="center", va="bottom")


def _ends(
    first: tuple[Box, float], last: tuple[Box, float], left: float | None
) -> tuple[Place, Place]:
    """Where an arrow starts and ends: on the frames, down or sideways."""
    (start, start_top), (end, end_top) = first, last
    if start_top < end_top:
        narrow = min(start, end, key=lambda box: box.wide)
        if left is None:
            left = narrow.left + narrow.wide / 2
        return (left, start_top + start.high), (left, end_top)
    y = start_top + min(start.high, end.high) / 2
    if start.left < end.left:
        return (start.right, y), (end.left, y)
    return (start.left, y), (end.right, y)


def _write(axis: Axes, place: Place, text: str, **looks) -> None:
    axis.text(*place, text, fontsize=LETTERS, gid=FORMULA, **looks)
