"""The planes of representations, for a reader of the book who chooses which
one is shown and what colours it.

A script beside the book (``book/_static/planes.js``) draws the points as SVG.
What leaves the page is what such a figure shows: places and shades of points,
in an order that says nothing of people, and none of their values.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import to_hex

from mmssl.plotting.embedding_scatter import shades_of
from mmssl.plotting.look import BASELINE
from mmssl.plotting.script_figure import ScriptFigure

GRID = 1000
"""Steps of a place along each side."""

STEPS = 9
"""Shades of a number, from its 2nd to its 98th percentile."""


class InteractivePlanes(ScriptFigure):
    """People in the plane of one representation, to be chosen by menus.

    Parameters
    ----------
    planes : DataFrame
        Of `mmssl.evaluate.principal_planes.principal_planes`.
    known : DataFrame
        One column for each thing that is known of people; index: ``row`` of
        the planes.
    """

    kind = "plane"

    def __init__(self, planes: pd.DataFrame, known: pd.DataFrame) -> None:
        super().__init__({"planes": [], "colours": []})
        # by place, so that it is not the order of a table of people
        places = planes.groupby("row")["first"].mean()
        order = places.reindex(known.index).sort_values(kind="stable").index
        for name in known:
            self.content["colours"].append(_coloured(known.loc[order, name]))
        groups = planes.groupby(["modality", "model"], sort=False)
        for (modality, model), people in groups:
            points = people.set_index("row")[["first", "second"]]
            points = points.reindex(order).to_numpy()
            plane = {"modality": str(modality), "model": str(model)}
            plane["share"] = f"{people['share'].iloc[0]:.0%}"
            plane["points"] = _places(points)
            self.content["planes"].append(plane)


def _places(points: np.ndarray) -> list[list[int] | None]:
    """Whole numbers from 0 to `GRID`, one scale for both axes, None where a
    person has no such image.
    """
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    spread = (high - low).max() or 1.0
    scaled = GRID * ((points - (low + high) / 2) / spread + 0.5)
    places: list[list[int] | None] = []
    for point in scaled:
        is_there = np.isfinite(point).all()
        places.append([round(v) for v in point] if is_there else None)
    return places


def _coloured(values: pd.Series) -> dict[str, Any]:
    """The shades of people, each by its number, and what they mean."""
    shades, scale = shades_of(values)
    named = {"name": str(values.name)}
    if not isinstance(scale, ScalarMappable):
        own = [to_hex(shade) for shade in scale.values()]
        of = [own.index(to_hex(shade)) for shade in shades]
        return named | {"shades": own, "words": [*scale], "of": of}
    low, high = scale.get_clim()
    own = [to_hex(c) for c in scale.to_rgba(np.linspace(low, high, STEPS))]
    share = (values.to_numpy(float) - low) / ((high - low) or 1.0)
    steps = np.rint(np.clip(share, 0, 1) * (STEPS - 1))
    steps = np.where(np.isnan(steps), STEPS, steps).astype(int)
    ends = [f"{low:.3g}", f"{high:.3g}"]
    shown = {
        "shades": [*own, to_hex(BASELINE)],
        "ends": ends,
        "of": steps.tolist(),
    }
    return named | shown
