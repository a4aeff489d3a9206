"""Figures of preservational learning: lesions, what features know, and what
labels are saved.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mmssl.plotting.look import (
    BASELINE,
    COMPETITOR,
    DOTTED,
    MODEL,
    OUTLINES,
    PHONE,
    TRUTH,
    canvas,
    dots_with_intervals,
    model_colours,
    name_lines,
)
from mmssl.plotting.slices import outlined_slice

_FOUND = OUTLINES[0]


def lesion_gallery(
    images: np.ndarray, masks: np.ndarray, titles: Sequence[str]
) -> Figure:
    """Draw the axial slice of each person in which most of a mask lies, with
    its outline.

    Parameters
    ----------
    images : array, shape (people, X, Y, Z)
        RAS+.
    masks : array of bool, same shape
        Without any voxel, the middle slice is drawn.
    titles : sequence of str
    """
    count = len(images)
    figure, axes = canvas(1, count, 1.75 * count, 2.1)
    for axis, image, mask, title in zip(
        axes[0], images, masks, titles, strict=True
    ):
        _outlined(axis, image, mask, [(mask, TRUTH)])
        axis.set_title(title, fontsize=9)
    return figure


def segmentation_gallery(
    images: np.ndarray,
    truth: np.ndarray,
    found: Mapping[str, np.ndarray],
    dice: Mapping[str, np.ndarray],
) -> Figure:
    """Draw what models found beside what is there (003, figure 5): one row a
    model, one column a person.

    Parameters
    ----------
    images : array, shape (people, X, Y, Z)
    truth : array of bool, same shape
    found : {model: array of bool, same shape}
    dice : {model: (people,)}
        Written above each.
    """
    rows, columns = len(found), len(images)
    figure, axes = canvas(rows, columns, 1.75 * columns, 2.0 * rows)
    for line, (model, masks) in zip(axes, found.items(), strict=True):
        for person, axis in enumerate(line):
            outlines = [
                (truth[person], TRUTH),
                (masks[person], _FOUND),
            ]
            _outlined(axis, images[person], truth[person], outlines)
            axis.set_title(f"Dice {dice[model][person]:.2f}", fontsize=9)
        line[0].set_ylabel(model)
    handles = []
    for colour, label in ((TRUTH, "planted"), (_FOUND, "found")):
        handles += axes[0, 0].plot([], [], color=colour, label=label)
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def contrast_levels(table: pd.DataFrame) -> Figure:
    """Draw the loss of a contrast on people held out beside that of another
    person's key and of equal scores.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.evaluate.pretext.contrast_table` of several models, with a
        column ``model``.
    """
    names = []
    for line in table.itertuples():
        same = line.query == line.key
        pair = line.query if same else f"{line.query}, {line.key}"
        names.append(f"{line.model} ({pair})")
    figure, axes = canvas(1, 1, PHONE, 1.5 + 0.4 * len(table))
    axis = axes[0, 0]
    for place, line in enumerate(table.itertuples()):
        if np.isfinite(line.low):
            axis.plot([line.low, line.high], [place] * 2, color=COMPETITOR)
        axis.plot(line.loss, place, "o", color=COMPETITOR, label="own key")
        axis.plot(
            line.others,
            place,
            "o",
            mfc="none",
            color=BASELINE,
            label="another person's, in the same crop",
        )
        axis.plot(
            line.chance, place, "|", ms=14, color=BASELINE, label="chance"
        )
    name_lines(axis, names)
    axis.set_xlabel("contrast with the queue, nats")
    handles, labels = axis.get_legend_handles_labels()
    first = dict(zip(labels, handles, strict=True))
    figure.legend(first.values(), first.keys(), loc="outside lower center")
    return figure


def pretext_accuracy(table: pd.DataFrame) -> Figure:
    """Draw how often a linear layer on frozen features tells a rotation and a
    relative position (003, table 1).

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.evaluate.pretext.pretext_table`.
    """
    tasks = list(table["task"].unique())
    height = 1.0 + 0.35 * table["model"].nunique()
    figure, axes = canvas(1, len(tasks), PHONE, height)
    for number, (axis, task) in enumerate(zip(axes[0], tasks, strict=True)):
        lines = table[table["task"] == task]
        dots_with_intervals(axis, lines, "accuracy", number == 0)
        axis.axvline(lines["chance"].iloc[0], **DOTTED)
        axis.set(title=task, xlabel="accuracy")
    return figure


def label_efficiency(table: pd.DataFrame) -> Figure:
    """Draw what fine-tuned models reach at each number of labelled people, and
    what they gain over training from scratch: a row a task.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.evaluate.label_efficiency.efficiency_table`.
    """
    tasks = list(table["task"].unique())
    colours = model_colours(table)
    height = 0.8 + 0.25 * np.ceil(len(colours) / 3) + 2.2 * len(tasks)
    figure, axes = canvas(len(tasks), 2, PHONE, height)
    for (left, right), task in zip(axes, tasks, strict=True):
        of_task = table[table["task"] == task]
        _efficiency(left, right, of_task, colours)
        measure = of_task["measure"].iloc[0]
        left.set(title=task, ylabel=measure)
        right.set(ylabel=f"gain in {measure}")
        if measure == "AUC":
            left.axhline(0.5, **DOTTED)
    axes[0, 1].set_title("gain over scratch")
    for axis in axes[-1]:
        axis.set_xlabel("labelled people")
    handles = []
    for number, (model, shade) in enumerate(colours.items()):
        look = {"marker": _mark(number), "color": shade, "label": model}
        handles.append(Line2D([], [], lw=1, **look))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, fontsize=9
    )
    return figure


def _efficiency(
    left: Axes, right: Axes, table: pd.DataFrame, colours: Mapping[str, str]
) -> None:
    """One task: values and gains of all models side by side, at each number of
    labelled people.
    """
    ratios = sorted(table["ratio"].unique())
    step = 0.8 / len(colours)
    for place, (model, shade) in enumerate(colours.items()):
        lines = table[table["model"] == model].sort_values("ratio")
        x = np.array([ratios.index(ratio) for ratio in lines["ratio"]])
        x = x + step * (place - (len(colours) - 1) / 2)
        own = {"color": shade}
        dots = {"ls": "", "marker": _mark(place), "ms": 5, **own}
        left.plot(x, lines["value"], label=model, **dots)
        left.vlines(x, lines["low"], lines["high"], lw=1, **own)
        right.plot(x, lines["difference"], **dots)
        low, high = lines["difference_low"], lines["difference_high"]
        right.vlines(x, low, high, lw=1, **own)
    people = table.groupby("ratio")["labelled"].first()
    names = [f"{people[ratio]}\n({ratio:.0%})" for ratio in ratios]
    for axis in (left, right):
        axis.set_xticks(range(len(ratios)), names)
        axis.set_xlim(-0.6, len(ratios) - 0.4)
    right.axhline(0, **DOTTED)


def _mark(number: int) -> str:
    """Of a model, as there may be more of them than colours."""
    return "o" if number <= len(MODEL) else "^"


def _outlined(
    axis: Axes, image: np.ndarray, mask: np.ndarray, outlines
) -> None:
    """The axial slice in which most of a mask lies, with outlines."""
    depth = image.shape[2] // 2
    if mask.any():
        depth = int(mask.sum((0, 1)).argmax())
    drawn = [(outline[..., depth], colour) for outline, colour in outlines]
    outlined_slice(axis, image[..., depth], drawn)
