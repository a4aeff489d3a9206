"""Maps of the brain that a reader of the book can move through.

Where the book is served, a script beside it (``book/_static/viewer.js``) draws
the maps that a page leaves, as NIfTI files, over the template. In a notebook,
and in a book opened from a disk, the page's own figure of them is all there
is, and the book says so.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex

from mmssl.plotting.look import DIVERGING, MAGNITUDE
from mmssl.plotting.script_figure import ScriptFigure

STOPS = np.linspace(0, 1, 9)
"""Where a colour map is sampled, from no effect to the largest."""


class ViewerMap(NamedTuple):
    """A map as the viewer shows it.

    Attributes
    ----------
    file : str
        Name of the NIfTI among the maps that its page leaves.
    peak : tuple of float
        Of the largest absolute value, in mm to the right, front and top.
    limit : float
        The largest absolute value.
    caption : str
        What stands below the map while it is shown.
    """

    file: str
    peak: tuple[float, ...]
    limit: float
    caption: str


class BrainViewer(ScriptFigure):
    """A place of a page that a script in the book fills.

    Parameters
    ----------
    choices : {what the menu calls it: {modality: ViewerMap}}
        The maps of one choice are shown together, with one cross; the first
        is shown at first.
    scale : str
        What the values are called.
    symmetric : bool
        Whether values lie around 0 and have the colours of effects, or above
        it and have those of amounts.
    share : float
        Of the largest value of a choice, where the threshold stands at first.
    """

    kind = "brain"

    def __init__(
        self,
        choices: Mapping[str, Mapping[str, ViewerMap]],
        scale: str,
        symmetric: bool,
        share: float = 0.5,
    ) -> None:
        above, below = _colours(symmetric)
        shown = []
        for name, maps in choices.items():
            volumes = {m: drawn._asdict() for m, drawn in maps.items()}
            shown.append({"name": name, "volumes": volumes})
        super().__init__(
            {
                "choices": shown,
                "scale": scale,
                "above": above,
                "below": below,
                "share": share,
            }
        )


def _colours(symmetric: bool) -> tuple[list[str], list[str]]:
    """Colours of values above 0 and below it, from none to the largest."""
    if not symmetric:
        return [to_hex(c) for c in colormaps[MAGNITUDE](STOPS)], []
    both = colormaps[DIVERGING]
    above = [to_hex(c) for c in both(0.5 + STOPS / 2)]
    below = [to_hex(c) for c in both(0.5 - STOPS / 2)]
    return above, below
