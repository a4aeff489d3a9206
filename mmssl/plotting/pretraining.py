"""Figures of a training run."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmssl.plotting.look import ANATOMY, BASELINE, PALETTE, canvas, colour


def views(images: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Draw the same pair at several moments, one row a modality.

    Parameters
    ----------
    images : mapping
        Title -> {modality: array (X, Y, Z) or (H, W)}; of a volume the middle
        slice of the last axis is drawn, x to the right and y up.

    Returns
    -------
    Figure
        One grey scale a modality, so that the columns compare.
    """
    modalities = list(next(iter(images.values())))
    figure, axes = canvas(
        len(modalities), len(images), 2.2 * len(images), 2.3 * len(modalities)
    )
    for row, m in enumerate(modalities):
        low, high = np.percentile(
            [by_modality[m] for by_modality in images.values()], [1, 99.5]
        )
        for axis, (title, by_modality) in zip(
            axes[row], images.items(), strict=True
        ):
            image = by_modality[m]
            image = (
                image[..., image.shape[-1] // 2] if image.ndim == 3 else image
            )
            axis.imshow(image.T, cmap=ANATOMY, vmin=low, vmax=high)
            axis.set(xticks=[], yticks=[], title=title if row == 0 else "")
        axes[row, 0].set_ylabel(m)
    return figure


def training_history(
    history: pd.DataFrame, modalities: Sequence[str]
) -> Figure:
    """Draw loss, learning rate and effective rank of a run against the epoch.

    Parameters
    ----------
    history : DataFrame
        ``history.csv`` of a run: epoch, lr, train/loss, valid/loss,
        rankme/<modality>.
    modalities : sequence of str
    """
    figure, (axes,) = canvas(1, 3, 9.0, 2.8)
    axes[0].plot(
        history["epoch"],
        history["train/loss"],
        color=PALETTE[7],
        label="training",
    )
    if "valid/loss" in history:
        axes[0].plot(
            history["epoch"],
            history["valid/loss"],
            "--",
            color=BASELINE,
            label="validation",
        )
        best = history["valid/loss"].idxmin()
        axes[0].plot(
            history["epoch"][best],
            history["valid/loss"][best],
            "o",
            color=BASELINE,
            label="kept encoder",
        )
    axes[0].set(title="total loss", xlabel="epoch")
    axes[0].legend()
    axes[1].semilogy(history["epoch"], history["lr"], color=PALETTE[7])
    axes[1].set(title="learning rate", xlabel="epoch")
    for m in modalities:
        axes[2].plot(
            history["epoch"], history[f"rankme/{m}"], color=colour(m), label=m
        )
    axes[2].set(title="effective rank of z", xlabel="epoch", ylim=(0, None))
    axes[2].legend()
    for axis in axes:
        axis.xaxis.get_major_locator().set_params(integer=True)
    return figure


def term_history(history: pd.DataFrame) -> Figure:
    """Draw each named term of a run on training pairs, unweighted, penalties
    dotted.

    Parameters
    ----------
    history : DataFrame
        ``history.csv`` of a run, with columns ``train/<term>/loss`` and
        ``train/<term>/penalty``.
    """
    names = [
        c.split("/")[1]
        for c in history
        if c.startswith("train/") and c.endswith("/loss")
    ]
    names = [name for name in names if name != "loss"]
    figure, (axes,) = canvas(1, len(names), max(4.0, 2.6 * len(names)), 2.5)
    for axis, name in zip(axes, names, strict=True):
        axis.plot(
            history["epoch"],
            history[f"train/{name}/loss"],
            color=PALETTE[0],
            label="loss",
        )
        if f"train/{name}/penalty" in history:
            other = axis.twinx()
            other.plot(
                history["epoch"],
                history[f"train/{name}/penalty"],
                ":",
                color=PALETTE[1],
            )
            other.spines["right"].set_visible(True)
            other.tick_params(axis="y", colors=PALETTE[1])
        axis.set(title=name, xlabel="epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[0].set_ylabel("loss; penalty (dotted, right)")
    return figure
