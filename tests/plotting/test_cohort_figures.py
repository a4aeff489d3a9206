"""Bars of people in the colours of their roles."""

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from mmssl.plotting import GROUP, ROLE, roles

COUNTS = pd.DataFrame(
    {"HC": [7, 9, 5], "AD": [0, 3, 2]}, index=["fold 0", "hold-out", "shift"]
)
KINDS = ("valid", "holdout", "shift")


def test_every_bar_has_the_length_and_the_colour_of_its_role():
    axes = roles(COUNTS, KINDS).axes
    edges = [ROLE["train"], ROLE["holdout"], ROLE["shift"]]
    for axis, group in zip(axes, COUNTS, strict=True):
        title = axis._left_title
        assert title.get_text() == group and title.get_color() == GROUP[group]
        bars = axis.patches
        assert [bar.get_width() for bar in bars] == list(COUNTS[group])
        assert [to_hex(bar.get_edgecolor()) for bar in bars] == [
            shade.lower() for shade in edges
        ]
        numbers = [text.get_text() for text in axis.texts]
        assert numbers == [str(count) for count in COUNTS[group]]
        # the first role stands above
        heights = [
            axis.transData.transform((0, bar.get_y()))[1] for bar in bars
        ]
        assert heights == sorted(heights, reverse=True)
    assert [bar.get_hatch() is not None for bar in axes[0].patches] == [
        True,
        False,
        False,
    ]
    names = [text.get_text() for text in axes[0].get_yticklabels()]
    assert names == list(COUNTS.index)


def test_every_line_needs_its_role():
    with pytest.raises(ValueError, match="zip"):
        roles(COUNTS, KINDS[:2])
