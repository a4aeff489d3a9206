"""The one look: colours, fonts and an empty figure.

Each colour means one thing: modalities, groups, models, roles of people,
sites, ways to do one thing and verdicts have a scale each, and no two share
one. People with any of the common colour deficiencies tell those of a scale
apart. Diverging maps are ``RdBu_r``, magnitudes ``viridis``, anatomy ``gray``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from zlib import crc32

import matplotlib
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis, Tick
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter, ScalarFormatter

MODALITY: Mapping[str, str] = MappingProxyType(
    {
        "T1": "#0072B2",
        "fALFF": "#D55E00",
        # of the digits: the first modality, and the second
        "view1": "#0072B2",
        "view2": "#D55E00",
    }
)
"""The colour of a modality in every figure; with `GROUP`, Okabe and Ito's."""

GROUP: Mapping[str, str] = MappingProxyType(
    {"HC": "#009E73", "AD": "#CC79A7", "other": "#8C7B5A"}
)
"""The colour of a diagnosis in every figure."""

MODEL = (
    "#332288",
    "#882255",
    "#999933",
    "#661100",
    "#88CCEE",
    "#BBCC33",
    "#AA4499",
    "#117733",
)
"""The colours of models and of the terms of an objective, after Tol's muted
scheme.
"""

TERM: Mapping[str, str] = MappingProxyType(
    {
        # these four stand in one figure more often than any others
        "CR": "#332288",
        "XX": "#AA4499",
        "CC": "#999933",
        "RR": "#661100",
        "AE": "#117733",
        "CCA": "#88CCEE",
        "MMVAE": "#882255",
        "CE": "#BBCC33",
        "PCRL": "#003C4B",
        "SwAV": "#0000FF",
    }
)
"""The colour of a term of the package in every figure."""

OWN_TERM = ("#F09687", "#FF0069", "#00C300", "#FF0FFF")
"""The colours of terms that the package does not have, see `term_colours`."""

ROLE: Mapping[str, str] = MappingProxyType(
    {"train": "#6A51A3", "holdout": "#A6761D", "shift": "#00868B"}
)
"""The colour of the people who are measured: those that an encoder was trained
on, those held out, and a second population.
"""

SITE = ("#3D5AFE", "#8EE000", "#3E2723", "#F7A8B8", "#D50000")
"""The colours of sites, and of other words that are known of people; red and
green only where there are many.
"""

WAY = ("#5A0F5A", "#78965A")
"""The colours of ways to do one thing, beside the usual one or none: images
cropped alike and apart, probabilities mended in two ways.
"""

MARKS = (
    ("o", "-"),
    ("s", "--"),
    ("^", "-."),
    ("D", ":"),
    ("v", (0, (5, 1, 1, 1, 1, 1))),
    ("P", (0, (1, 3))),
)
"""Marks and dashes of lines that have no colour of their own: the stages of a
computation, the sides of its volumes.
"""

VERDICT: Mapping[str, str] = MappingProxyType(
    {
        "supported": "#01665E",
        "contradicted": "#8C510A",
        "not resolvable at this sample size": "#DFC27D",
        "not computed in this edition": "#80CDC1",
        "not testable here": "#BBBBBB",
    }
)
"""The colour of a verdict on a claim, in the order in which figures show
them; from ColorBrewer's BrBG.
"""

TRUTH = "#5CE65C"
"""The outline of what was planted, on any image."""

OUTLINES = ("#F0E442", "#00E5FF")
"""Other outlines on an image: what was found or the template's brain, and the
template's fluid.
"""

UNUSUAL = "#E69F00"
"""What should be looked at."""

COMPETITOR = "#000000"
"""The colour of a baseline that a model must beat, and of what has no colour
of its own.
"""

BASELINE = "#7F7F7F"
"""The colour of what an objective must beat: chance, untrained encoders,
PCA.
"""

MEASURES: Mapping[str, tuple[str, float]] = MappingProxyType(
    {"auc": ("ROC-AUC", 0.5), "r2": ("R²", 0.0)}
)
"""{column of a table: (what an axis calls it, what chance reaches)}."""

DOTTED: Mapping = MappingProxyType({"color": BASELINE, "ls": ":", "lw": 1})
"""The line of a value that says nothing: chance, no difference, no gain."""

ANATOMY, MAGNITUDE, DIVERGING = "gray", "viridis", "RdBu_r"
"""Colour maps of images, of amounts from zero, and of amounts around zero."""

FORMULA = "formula"
"""The gid of a text that holds a formula between dollar signs."""

PHONE = 4.8
"""Inches of a figure that a telephone shows whole, so that letters of nine
points have nine pixels there.
"""

_RC = {
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 110,
    "savefig.facecolor": "white",
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titlelocation": "left",
    "axes.labelsize": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=MODEL),
    "axes.grid": False,
    "image.cmap": ANATOMY,
    "image.origin": "lower",
    "image.interpolation": "nearest",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


class LiteralFigure(Figure):
    """A figure whose texts are shown as they stand.

    matplotlib takes what stands between two dollar signs for a formula, also
    in the name of a model or of a class. Here only numbers at ticks and texts
    with the gid `FORMULA` have any.
    """

    def draw(self, renderer: RendererBase) -> None:
        """Draw the figure, its names without a formula."""
        with_formula = set(self.findobj(_is_formula))
        for axis in self.findobj(Axis):
            formatter = axis.get_major_formatter()
            if isinstance(formatter, ScalarFormatter | LogFormatter):
                for tick in axis.findobj(Tick):
                    with_formula |= {tick.label1, tick.label2}
        for text in self.findobj(Text):
            if text not in with_formula:
                text.set_parse_math(False)
        super().draw(renderer)

    def _ipython_display_(self) -> None:
        """Show the figure in a notebook with twice the pixels of its size, for
        the screens that have them, and with its label where it has one, for
        its caption.
        """
        from IPython.core.pylabtools import retina_figure
        from IPython.display import display

        image, size = retina_figure(self, base64=True)
        shown = {"image/png": image, "text/plain": repr(self)}
        about = {"image/png": size}
        if self.get_label():
            about["label"] = self.get_label()
        display(shown, metadata=about, raw=True)


def _is_formula(artist: Artist) -> bool:
    return artist.get_gid() == FORMULA


def literal(name: str) -> str:
    """Return a name as a text that also holds a formula shows it literally."""
    return name.replace("$", r"\$")


@contextmanager
def style() -> Iterator[None]:
    """Apply the look inside a ``with`` block and restore the caller's settings
    after it.
    """
    with matplotlib.rc_context(_RC):
        yield


def canvas(
    rows: int = 1,
    columns: int = 1,
    width: float = 7.0,
    height: float = 3.0,
    **subplots,
) -> tuple[Figure, np.ndarray]:
    """Open an empty figure in the one look.

    Parameters
    ----------
    rows, columns : int
        Grid of axes.
    width, height : float
        Size of the whole figure in inches; a page of the book shows 7 inches
        at full width.
    **subplots
        Passed to `matplotlib.figure.Figure.subplots`.

    Returns
    -------
    (Figure, ndarray of Axes)
        The axes always as an array (rows, columns). The figure belongs to no
        pyplot session and therefore closes with its last reference.
    """
    with style():
        figure = LiteralFigure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(
            rows, columns, squeeze=False, **subplots
        )


def name_lines(axis: Axes, names: Sequence[str], shown: bool = True) -> None:
    """Give every line of an axis its height, the first below, and its name if
    it is shown.
    """
    count = len(names)
    axis.set(yticks=range(count), ylim=(-0.6, count - 0.4))
    axis.set_yticklabels(names if shown else [])


def dots_with_intervals(
    axis: Axes,
    lines: pd.DataFrame,
    column: str,
    names_shown: bool = True,
    colours: Mapping[str, str] | None = None,
) -> None:
    """Draw one point a model, with its interval.

    Parameters
    ----------
    axis : Axes
    lines : DataFrame
        One a model: model, baseline, the column, and ``low`` and ``high``; of
        a difference, those of the same name behind ``difference_``.
    column : str
    names_shown : bool
        Whether the models are named.
    colours : mapping, optional
        Of each model; by default one for all, and the baseline's.
    """
    limits = ("low", "high")
    if column == "difference":
        limits = ("difference_low", "difference_high")
    for place, line in enumerate(lines.to_dict("records")):
        colour = BASELINE if line["baseline"] else MODEL[0]
        if colours is not None:
            colour = colours[line["model"]]
        ends = [line[name] for name in limits]
        if np.isfinite(ends).all():
            axis.plot(ends, [place] * 2, color=colour)
        axis.plot(line[column], place, "o", color=colour)
    name_lines(axis, list(lines["model"]), names_shown)


def colour(modality: str) -> str:
    """Return the colour of a modality; one that has none gets the baseline's
    grey.
    """
    return MODALITY.get(modality, BASELINE)


def term_colours(terms: Iterable[str]) -> dict[str, str]:
    """Return the colours of terms, which do not depend on what else is drawn.

    Parameters
    ----------
    terms : iterable of str
        Names. One that the package does not have gets one of `OWN_TERM` by its
        name alone, and the next of them only where two such names meet; they
        begin again where there are more of them than colours.

    Returns
    -------
    dict
        {term: colour}, in the order of the terms.
    """
    names = list(dict.fromkeys(terms))
    colours = dict(TERM)
    free = list(OWN_TERM)
    for name in sorted({*names} - {*TERM}):
        wanted = OWN_TERM[crc32(name.encode()) % len(OWN_TERM)]
        colours[name] = wanted if wanted in free else free[0]
        free.remove(colours[name])
        free = free or list(OWN_TERM)
    return {name: colours[name] for name in names}


def role_look(role: str) -> dict[str, str]:
    """Return how a bar or a square of the people of a role is filled.

    Parameters
    ----------
    role : {"train", "valid", "holdout", "shift"}
        Who validates takes part in a training: hatched in its colour.
    """
    if role == "valid":
        return {"fc": "white", "ec": ROLE["train"], "hatch": "////////"}
    return {"fc": ROLE[role], "ec": ROLE[role]}


def model_colours(table: pd.DataFrame) -> dict[str, str]:
    """Return the colours of the models of a table, those of baselines grey.

    Parameters
    ----------
    table : DataFrame
        Columns model and baseline; models in the order of their first line.
    """
    colours: dict[str, str] = {}
    for model in table["model"].unique():
        is_baseline = table.loc[table["model"] == model, "baseline"].all()
        number = len([c for c in colours.values() if c != BASELINE])
        shade = MODEL[number % len(MODEL)]
        colours[model] = BASELINE if is_baseline else shade
    return colours
