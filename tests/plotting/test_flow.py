"""Arrows of a flow diagram end on the frames of its boxes."""

import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch, Rectangle

from mmssl.plotting import flow
from mmssl.plotting.flow import Box, Flow, flow_diagram
from mmssl.plotting.look import PHONE

ROWS = [
    {"a": Box("an image", 0.1, 4.0), "b": Box("$b$", 4.3, 0.4)},
    {"c": Box("two\nlines", 0.1, 1.0, "#0072B2", learned=True)},
    {"d": Box("a loss", 0.5, 4.2, bold=True)},
]


def parts_of(figure):
    """Return the frames and the arrows of a diagram."""
    (axis,) = figure.axes
    kinds = {Rectangle: [], FancyArrowPatch: []}
    for patch in axis.patches:
        kinds[type(patch)].append(patch)
    return kinds[Rectangle], kinds[FancyArrowPatch]


def ends_of(arrow):
    """Return where an arrow starts and ends."""
    return arrow._posA_posB


def test_arrows_run_down_and_sideways_from_frame_to_frame():
    flows = [
        Flow("a", "c"),
        Flow("a", "b"),
        Flow("b", "a"),
        Flow("b", "d"),
        Flow("c", "d", left=0.9),
    ]
    frames, arrows = parts_of(flow_diagram(ROWS, flows))
    places = dict(zip("abcd", frames, strict=True))
    a, b, c, d = places.values()
    down = [ends_of(arrows[number]) for number in (0, 3, 4)]
    for (start, end), first, last, left in (
        (down[0], a, c, 0.6),  # the middle of the narrower
        (down[1], b, d, 4.5),
        (down[2], c, d, 0.9),
    ):
        assert start == pytest.approx(
            (left, first.get_y() + first.get_height())
        )
        assert end == pytest.approx((left, last.get_y()))
    y = a.get_y() + a.get_height() / 2
    assert ends_of(arrows[1]) == [pytest.approx((4.1, y)), (4.3, y)]
    assert ends_of(arrows[2]) == [(4.3, y), pytest.approx((4.1, y))]


def test_a_frame_says_what_a_box_is():
    frames, _ = parts_of(flow_diagram(ROWS, []))
    grounds = [to_hex(frame.get_facecolor()) for frame in frames]
    learned = flow.LEARNED.lower()
    assert grounds == ["#ffffff", "#ffffff", learned, "#ffffff"]
    assert to_hex(frames[2].get_edgecolor()) == "#0072b2"
    widths = [frame.get_linewidth() for frame in frames]
    assert widths[3] > max(widths[:3])
    assert frames[2].get_height() > frames[0].get_height()


def test_rows_lie_below_each_other_and_all_within_the_figure():
    figure = flow_diagram(ROWS, [])
    frames, _ = parts_of(figure)
    a, b, c, d = frames
    assert a.get_y() == b.get_y()
    for above, below in ((a, c), (c, d)):
        bottom = above.get_y() + above.get_height()
        assert below.get_y() - bottom == pytest.approx(flow.GAP)
    low, high = sorted(figure.axes[0].get_ylim())
    assert low < a.get_y() and d.get_y() + d.get_height() < high
    assert figure.get_size_inches()[0] == PHONE


@pytest.mark.parametrize(("left", "wide"), [(-0.1, 1), (4.0, 1.0)])
def test_a_box_beyond_the_figure_is_refused(left, wide):
    rows = [{"far": Box("text", left, wide)}]
    with pytest.raises(ValueError, match="box 'far'.*expected within 0 and"):
        flow_diagram(rows, [])
