"""The panels of robustness, for a reader of the book who chooses the panel and
the models, and reads values off.

A script beside the book (``book/_static/curves.js``) draws the chosen panel as
SVG.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_hex
from matplotlib.ticker import MaxNLocator

from mmssl.plotting.look import MEASURES
from mmssl.plotting.robustness import (
    collapsed_spans,
    line_styles,
    panel_name,
)
from mmssl.plotting.script_figure import ScriptFigure

STEPS = 1000
"""Of a unit of the measure; the script shows two digits."""

_DASHES = {"-": "", "--": "8 4", ":": "2 3", "-.": "8 3 2 3"}
"""A dash of matplotlib's as SVG has it."""


class InteractiveCurves(ScriptFigure):
    """A measure along a parameter of a distortion, with its interval, for the
    models that a reader chooses.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.robustness.comparison.curves`.
    baselines : sequence of str, optional
        Models drawn in grey.
    """

    kind = "curve"

    def __init__(
        self, table: pd.DataFrame, baselines: Sequence[str] = ()
    ) -> None:
        measure = "r2" if "r2" in table else "auc"
        scale, chance = MEASURES[measure]
        models = list(dict.fromkeys(table["model"]))
        looks = line_styles(models, baselines)
        lines = []
        for name, look in looks.items():
            line = {"name": name, "shade": to_hex(look["color"])}
            lines.append(line | {"dash": _DASHES[look["ls"]]})
        names = ["distortion", "parameter"]
        distorted = table[table["distortion"] != "none"]
        panels = []
        for about, panel in distorted.groupby(names, sort=False):
            panels.append(_panel(about, panel, measure, list(looks)))
        undistorted = table[table["distortion"] == "none"]
        whole = undistorted.drop_duplicates(["modality", "model"])
        shown = table[[measure, "low", "high"]].to_numpy(float)
        low, high = np.nanmin(shown), np.nanmax(shown)
        super().__init__(
            {
                "measure": scale,
                "chance": chance,
                "range": [float(low), float(high)],
                "ticks": _ticks(low, high),
                "models": lines,
                "panels": panels,
                "undistorted": _by_modality(whole, [measure], list(looks)),
            }
        )


def _panel(
    about: tuple[str, str],
    panel: pd.DataFrame,
    measure: str,
    models: Sequence[str],
) -> dict[str, Any]:
    """A panel: its values, and what each model reaches on each modality."""
    distortion, parameter = about
    unit = panel["unit"].iloc[0]
    panel = panel.drop_duplicates(["value", "modality", "model"])
    values = np.sort(panel["value"].unique())
    by_value = panel.sort_values("value")
    columns = [measure, "low", "high"]
    return {
        "name": panel_name(distortion, parameter, unit),
        "parameter": parameter.replace("_", " "),
        "unit": unit,
        "values": [float(value) for value in values],
        "told": [_written(value) for value in values],
        "ticks": _ticks(values[0], values[-1]),
        "collapsed": [[*map(float, s)] for s in collapsed_spans(panel)],
        "curves": _by_modality(by_value, columns, models),
    }


def _by_modality(
    lines: pd.DataFrame, columns: Sequence[str], models: Sequence[str]
) -> dict[str, list]:
    """{modality: for each model the columns of its lines, in `STEPS`}; None
    where a value is missing.
    """
    found: dict[str, list] = {}
    for modality, of_modality in lines.groupby("modality", sort=False):
        of_model = dict(iter(of_modality.groupby("model")))
        found[str(modality)] = [
            [_steps(of_model[model][column]) for column in columns]
            for model in models
        ]
    return found


def _steps(values: pd.Series) -> list[int | None]:
    scaled = STEPS * values.to_numpy(float)
    return [round(v) if np.isfinite(v) else None for v in scaled]


def _ticks(low: float, high: float) -> list[list]:
    """Round numbers from one value to another, and how they are written."""
    locator = MaxNLocator(6, steps=[1, 2, 5, 10])
    places = locator.tick_values(low, high).round(9)
    inside = places[(places >= low) & (places <= high)]
    return [[float(place), _written(place)] for place in inside]


def _written(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")
