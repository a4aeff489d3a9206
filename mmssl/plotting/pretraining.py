"""Figures of a training run."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmssl.plotting.look import (
    ANATOMY,
    BASELINE,
    COMPETITOR,
    canvas,
    colour,
)
from mmssl.plotting.slices import name_sides


def pair_views(
    images: Mapping[str, Mapping[str, np.ndarray]], flipped: bool = False
) -> Figure:
    """Draw several views of one pair of images, one row a modality.

    Parameters
    ----------
    images : mapping
        Title -> {modality: array (X, Y, Z) or (H, W)}; of a volume the middle
        slice of the last axis is drawn, x to the right and y up, of an image
        its first row on top.
    flipped : bool
        Whether views may be mirrored, so that no side can be named.

    Returns
    -------
    Figure
        One grey scale a modality, so that the columns compare.
    """
    modalities = list(next(iter(images.values())))
    rows, columns = len(modalities), len(images)
    figure, axes = canvas(rows, columns, 2.2 * columns, 2.3 * rows)
    for row, m in enumerate(modalities):
        of_modality = [views[m] for views in images.values()]
        # views may have fewer voxels than the image
        values = np.concatenate([np.ravel(view) for view in of_modality])
        low, high = np.percentile(values, [1, 99.5])
        for axis, image in zip(axes[row], of_modality, strict=True):
            origin = "upper"
            if image.ndim == 3:
                origin = "lower"
                if not flipped:
                    name_sides(axis)
                image = image[..., image.shape[-1] // 2].T
            axis.imshow(
                image, cmap=ANATOMY, vmin=low, vmax=high, origin=origin
            )
            axis.set(xticks=[], yticks=[])
        axes[row, 0].set_ylabel(m)
    for axis, title in zip(axes[0], images, strict=True):
        axis.set_title(title)
    return figure


def training_history(
    history: pd.DataFrame, modalities: Sequence[str], keep: str = "best"
) -> Figure:
    """Draw loss, nearest-neighbour probe, effective rank and learning rate of
    a run against the epoch, the first of which is 1.

    Parameters
    ----------
    history : DataFrame
        ``history.csv`` of a run: epoch, lr, train/loss, valid/loss,
        rankme/<modality>; knn/<modality> where the people have labels.
    modalities : sequence of str
    keep : {"best", "last"}
        Which epoch's encoders the run kept.

    Returns
    -------
    Figure
        Dotted: the loss of features that say nothing, where every term has
        such a value, and the ROC-AUC of chance.
    """
    figure, ((loss, probe, rank, rate),) = canvas(1, 4, 11.0, 2.8)
    epoch = history["epoch"] + 1
    _loss(loss, history, keep)
    for m in modalities:
        rank.plot(epoch, history[f"rankme/{m}"], color=colour(m), label=m)
        if f"knn/{m}" in history:
            probe.plot(epoch, history[f"knn/{m}"], color=colour(m), label=m)
    probe.axhline(0.5, ls=":", color=BASELINE)
    probe.set(title="ROC-AUC of neighbours", xlabel="epoch")
    rank.set(title="effective rank of z", xlabel="epoch", ylim=(0, None))
    rank.legend()
    rate.semilogy(epoch, history["lr"], color=COMPETITOR)
    rate.set(title="learning rate", xlabel="epoch")
    for axis in (loss, probe, rank, rate):
        axis.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _loss(axis: Axes, history: pd.DataFrame, keep: str) -> None:
    """Total loss on training and validation pairs, its chance level, and the
    epoch that is kept.
    """
    epoch = history["epoch"] + 1
    train = history["train/loss"]
    axis.plot(epoch, train, color=COMPETITOR, label="training")
    if "valid/loss" in history:
        valid = history["valid/loss"]
        axis.plot(epoch, valid, "--", color=BASELINE, label="validation")
        kept = valid.idxmin() if keep == "best" else valid.index[-1]
        axis.plot(
            epoch[kept],
            valid[kept],
            "o",
            color=BASELINE,
            label="kept encoder",
        )
    for role, shade in (("train", COMPETITOR), ("valid", BASELINE)):
        if f"{role}/chance" in history:
            axis.plot(epoch, history[f"{role}/chance"], ":", color=shade)
    axis.set(title="total loss", xlabel="epoch")
    axis.legend()


def term_history(history: pd.DataFrame) -> Figure:
    """Draw each named term of a run on training pairs, unweighted, with its
    chance level in grey and the penalty dotted.

    Parameters
    ----------
    history : DataFrame
        ``history.csv`` of a run, with columns ``train/<term>/loss`` and, where
        the term has them, ``train/<term>/penalty`` and
        ``train/<term>/chance``.
    """
    terms = history.filter(regex="^train/.+/loss$")
    names = [column.split("/")[1] for column in terms]
    figure, (axes,) = canvas(1, len(names), max(4.0, 2.6 * len(names)), 2.5)
    for axis, name in zip(axes, names, strict=True):
        _term(axis, name, history)
    axes[0].set_ylabel("loss")
    if history.filter(regex="^train/.+/penalty$").size:
        axes[0].set_ylabel("loss; penalty (dotted, right)")
    return figure


def _term(axis: Axes, name: str, history: pd.DataFrame) -> None:
    """Loss of one term with its chance level, and its penalty on an axis of
    its own.
    """
    epoch = history["epoch"] + 1
    loss = history[f"train/{name}/loss"]
    axis.plot(epoch, loss, color=COMPETITOR, label="loss")
    if f"train/{name}/chance" in history:
        chance = history[f"train/{name}/chance"]
        axis.plot(epoch, chance, color=BASELINE, label="chance")
    if f"train/{name}/penalty" in history:
        right = axis.twinx()
        penalty = history[f"train/{name}/penalty"]
        right.plot(epoch, penalty, ":", color=COMPETITOR)
        right.spines["right"].set_visible(True)
    axis.set(title=name, xlabel="epoch")
    axis.xaxis.get_major_locator().set_params(integer=True)
