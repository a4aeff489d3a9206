"""Figure of people in the plane in which their representations vary most."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmssl.plotting.look import (
    BASELINE,
    GROUP,
    MAGNITUDE,
    SITE,
    canvas,
    colour,
)

_COLUMNS = 6
_CELL, _NAME = 1.15, 0.22
"""Inches of a panel, and of its name above it."""

_SHARE = 0.17
"""Part of a panel, at its foot, in which the share of variance stands."""

_LETTERS = 15
"""Of a name in 8 points that fits above a panel."""

_UNKNOWN = "not known"


def embedding_scatter(planes: pd.DataFrame, values: pd.Series) -> Figure:
    """Draw people in the plane of every model, coloured by one thing that is
    known of them.

    Parameters
    ----------
    planes : DataFrame
        Of `mmssl.evaluate.principal_planes.principal_planes`.
    values : Series
        Named; index: ``row`` of the planes. Numbers have a colour bar, from
        their 2nd to their 98th percentile; words a legend. Who has none is
        grey.

    Returns
    -------
    Figure
        A block for each modality, in it a panel for each model in the order
        of the table, of which each axis has a scale of its own; at its foot,
        the share of the variance in that plane.
    """
    modalities = list(dict.fromkeys(planes["modality"]))
    count = planes["model"].nunique()
    height = -(-count // _COLUMNS) * (_CELL + _NAME)  # rounded up
    figure, axes = canvas(
        len(modalities),
        1,
        _COLUMNS * _CELL + 0.2,
        len(modalities) * (height + 0.3) + 0.6,
    )
    shades, scale = shades_of(values)
    for axis, modality in zip(axes[:, 0], modalities, strict=True):
        of_modality = planes[planes["modality"] == modality]
        _panels(axis, of_modality, shades)
        axis.set_title(modality, color=colour(modality), loc="left")
    if isinstance(scale, ScalarMappable):
        figure.colorbar(
            scale,
            ax=axes[:, 0],
            location="bottom",
            label=values.name,
            anchor=(0.0, 1.0),
            fraction=0.05,
            pad=0.01,
            aspect=40,
            shrink=0.5,
            extend="both",
        )
    else:
        figure.legend(
            handles=[_dot(shade, name) for name, shade in scale.items()],
            title=values.name,
            loc="outside lower left",
            ncols=len(scale),
            frameon=False,
        )
    return figure


def _panels(axis: Axes, planes: pd.DataFrame, shades: pd.Series) -> None:
    """The panels of one modality, all in one axis: a hundred axes take ten
    times as long.
    """
    groups = planes.groupby("model", sort=False)
    for number, (model, people) in enumerate(groups):
        line, column = divmod(number, _COLUMNS)
        left, top = column * _CELL, -line * (_CELL + _NAME)
        places = people[["first", "second"]].to_numpy()
        low, spread = places.min(axis=0), np.ptp(places, axis=0)
        places = (places - low) / np.where(spread > 0, spread, 1)
        # above the line in which the share stands
        places = [0.06, _SHARE] + [0.88, 0.94 - _SHARE] * places
        axis.scatter(
            left + 0.05 + (_CELL - 0.1) * places[:, 0],
            top - _CELL + _CELL * places[:, 1],
            s=5,
            lw=0,
            alpha=0.8,
            color=shades.loc[people["row"]].tolist(),
            label=model,
        )
        corners = np.array([[0.05, 0], [1, 0], [1, 1], [0.05, 1], [0.05, 0]])
        corners[:, 0] = np.clip(_CELL * corners[:, 0], 0, _CELL - 0.05)
        corners[:, 1] = _CELL * corners[:, 1] - _CELL
        axis.plot(*(corners + [left, top]).T, color=BASELINE, lw=0.5)
        # a long name ends where the next panel begins
        letters = 8 * min(1.0, _LETTERS / len(model))
        axis.text(
            left + 0.06, top + 0.03, model, fontsize=letters, va="bottom"
        )
        axis.text(
            left + _CELL - 0.08,
            top - _CELL + 0.02,
            f"{people['share'].iloc[0]:.0%}",
            fontsize=7.5,
            ha="right",
            va="bottom",
            color=BASELINE,
        )
    axis.set(
        xlim=(0, _COLUMNS * _CELL),
        ylim=(top - _CELL - 0.05, _NAME),
        aspect="equal",
        anchor="W",
    )
    axis.axis("off")


def shades_of(
    values: pd.Series,
) -> tuple[pd.Series, ScalarMappable | dict[str, str]]:
    """Return the colour of everybody, and what explains them.

    Parameters
    ----------
    values : Series
        Named, as of `embedding_scatter`.

    Returns
    -------
    shades : Series
    scale : ScalarMappable or {word: colour}
        Of numbers, from their 2nd to their 98th percentile; of words.
    """
    if pd.api.types.is_numeric_dtype(values):
        low, high = np.nanpercentile(values, [2, 98])
        scale = ScalarMappable(Normalize(low, high), MAGNITUDE)
        shades = [tuple(shade) for shade in scale.to_rgba(values)]
        shades = pd.Series(shades, index=values.index)
        shades[values.isna()] = BASELINE
        return shades, scale
    words = values.astype(object).where(values.notna(), _UNKNOWN).astype(str)
    colours = _word_colours(sorted(words.unique()), values.name)
    return words.map(colours), colours


def _word_colours(words: list[str], name: str) -> dict[str, str]:
    """Those of groups are the book's; words beyond a scale share the grey of
    what is not known.
    """
    scale: Mapping[str, str] = GROUP if name == "group" else {}
    free = list(GROUP.values() if name == "group" else SITE)
    named = {word: scale[word] for word in scale if word in words}
    free = [shade for shade in free if shade not in named.values()]
    for word in words:
        if word not in named:
            is_known = word != _UNKNOWN and free
            named[word] = free.pop(0) if is_known else BASELINE
    return named


def _dot(shade: str, name: str) -> Line2D:
    return Line2D([], [], ls="", marker="o", ms=5, color=shade, label=name)
