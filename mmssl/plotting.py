"""One look for every figure: a tidy table or an image in, a Figure out, no pyplot state.

Colours are Okabe and Ito's, which people with any of the common colour deficiencies tell
apart; diverging maps are ``RdBu_r``, magnitudes ``viridis``, anatomy ``gray``.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

import matplotlib
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")

MODALITY: Mapping[str, str] = MappingProxyType(
    {"T1": "#0072B2", "fALFF": "#D55E00", "view1": "#009E73", "view2": "#CC79A7"}
)
"""The colour of a modality in every figure."""

FLOOR = "#7F7F7F"
"""The colour of what an objective must beat: chance, untrained encoders, PCA."""

ANATOMY, MAGNITUDE, DIVERGING = "gray", "viridis", "RdBu_r"
"""Colour maps of images, of amounts from zero, and of amounts around zero."""

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
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.grid": False,
    "image.cmap": ANATOMY,
    "image.origin": "lower",
    "image.interpolation": "nearest",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


@contextmanager
def style() -> Iterator[None]:
    """Apply the look inside a ``with`` block and restore the caller's settings after it."""
    with matplotlib.rc_context(_RC):
        yield


def canvas(
    rows: int = 1, columns: int = 1, width: float = 7.0, height: float = 3.0, **subplots
) -> tuple[Figure, np.ndarray]:
    """Open an empty figure in the one look.

    Parameters
    ----------
    rows, columns : int
        Grid of axes.
    width, height : float
        Size of the whole figure in inches; a page of the book shows 7 inches at full width.
    **subplots
        Passed to `matplotlib.figure.Figure.subplots`.

    Returns
    -------
    (Figure, ndarray of Axes)
        The axes always as an array (rows, columns). The figure belongs to no pyplot session
        and therefore closes with its last reference.
    """
    with style():
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns, squeeze=False, **subplots)


def colour(modality: str) -> str:
    """Return the colour of a modality; one that has none gets the floor's grey."""
    return MODALITY.get(modality, FLOOR)


# The figures, in the order in which the book needs them.


def views(images: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Draw the same pair at several moments, one row a modality.

    Parameters
    ----------
    images : mapping
        Title -> {modality: array (X, Y, Z) or (H, W)}; of a volume the middle slice of the last
        axis is drawn, x to the right and y up.

    Returns
    -------
    Figure
        One grey scale a modality, so that the columns compare.
    """
    modalities = list(next(iter(images.values())))
    figure, axes = canvas(len(modalities), len(images), 2.2 * len(images), 2.3 * len(modalities))
    for row, m in enumerate(modalities):
        low, high = np.percentile([by_modality[m] for by_modality in images.values()], [1, 99.5])
        for axis, (title, by_modality) in zip(axes[row], images.items(), strict=True):
            image = by_modality[m]
            image = image[..., image.shape[-1] // 2] if image.ndim == 3 else image
            axis.imshow(image.T, cmap=ANATOMY, vmin=low, vmax=high)
            axis.set(xticks=[], yticks=[], title=title if row == 0 else "")
        axes[row, 0].set_ylabel(m)
    return figure


def training_history(history: pd.DataFrame, modalities: Sequence[str]) -> Figure:
    """Draw loss, learning rate and effective rank of a run against the epoch.

    Parameters
    ----------
    history : DataFrame
        ``history.csv`` of a run: epoch, lr, train/loss, valid/loss, rankme/<modality>.
    modalities : sequence of str
    """
    figure, (axes,) = canvas(1, 3, 9.0, 2.8)
    axes[0].plot(history["epoch"], history["train/loss"], color=PALETTE[7], label="training")
    if "valid/loss" in history:
        axes[0].plot(history["epoch"], history["valid/loss"], "--", color=FLOOR, label="validation")
        best = history["valid/loss"].idxmin()
        axes[0].plot(history["epoch"][best], history["valid/loss"][best], "o", color=FLOOR,
                     label="kept encoder")  # fmt: skip
    axes[0].set(title="total loss", xlabel="epoch")
    axes[0].legend()
    axes[1].semilogy(history["epoch"], history["lr"], color=PALETTE[7])
    axes[1].set(title="learning rate", xlabel="epoch")
    for m in modalities:
        axes[2].plot(history["epoch"], history[f"rankme/{m}"], color=colour(m), label=m)
    axes[2].set(title="effective rank of z", xlabel="epoch", ylim=(0, None))
    axes[2].legend()
    for axis in axes:
        axis.xaxis.get_major_locator().set_params(integer=True)
    return figure


def term_history(history: pd.DataFrame) -> Figure:
    """Draw each named term of a run on training pairs, unweighted, penalties dotted.

    Parameters
    ----------
    history : DataFrame
        ``history.csv`` of a run, with columns ``train/<term>/loss`` and ``train/<term>/penalty``.
    """
    names = [c.split("/")[1] for c in history if c.startswith("train/") and c.endswith("/loss")]
    names = [name for name in names if name != "loss"]
    figure, (axes,) = canvas(1, len(names), max(4.0, 2.6 * len(names)), 2.5)
    for axis, name in zip(axes, names, strict=True):
        axis.plot(history["epoch"], history[f"train/{name}/loss"], color=PALETTE[0], label="loss")
        if f"train/{name}/penalty" in history:
            other = axis.twinx()
            other.plot(history["epoch"], history[f"train/{name}/penalty"], ":", color=PALETTE[1])
            other.spines["right"].set_visible(True)
            other.tick_params(axis="y", colors=PALETTE[1])
        axis.set(title=name, xlabel="epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[0].set_ylabel("loss; penalty (dotted, right)")
    return figure
