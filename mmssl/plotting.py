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


def linear_evaluation(table: pd.DataFrame, ceiling: float | None = None) -> Figure:
    """Draw hold-out ROC-AUC of every objective and floor, and its gain over the random floor.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.evaluate.results_table`.
    ceiling : float, optional
        The best AUC that anybody could reach, where the truth is known.

    Returns
    -------
    Figure
        A row of axes per modality. Left: AUC with its interval; floors are grey and below,
        objectives above them, sorted by their mean over modalities as in Fedorov et al. 2021
        ("Application to Alzheimer's disease", figure 2). Right: the paired difference to the random
        encoder; the shaded band is what this hold-out could not have detected, the whole axis
        where not even an AUC of 1 would have been.
    """
    modalities = list(dict.fromkeys(table["modality"]))
    means = table.groupby(["floor", "row"])["auc"].mean().sort_values()
    order = [row for floor in (True, False) for row in means.get(floor, pd.Series()).index]
    inches = len(modalities) * (0.8 + 0.3 * len(order))
    figure, axes = canvas(len(modalities), 2, 8.5, inches, sharex="col")
    reach = 1.1 * table[["difference_low", "difference_high"]].abs().max(axis=None)
    height = np.arange(len(order))
    for (left, right), m in zip(axes, modalities, strict=True):
        lines = table[table["modality"] == m].set_index("row").reindex(order)
        colours = [FLOOR if floor else colour(m) for floor in lines["floor"]]
        for axis, value, low, high in (
            (left, "auc", "low", "high"),
            (right, "difference", "difference_low", "difference_high"),
        ):
            axis.hlines(height, lines[low], lines[high], color=colours)
            axis.scatter(lines[value], height, color=colours, zorder=3)
            axis.set(yticks=height, yticklabels=order if axis is left else [],
                     ylim=(-0.6, len(order) - 0.4))  # fmt: skip
        unseen = lines["minimum_detectable"].fillna(1.0).where(lines["difference"].notna())
        right.barh(height, 2 * unseen, left=-unseen, height=0.7, color=FLOOR, alpha=0.18, lw=0)
        left.axvline(0.5, color=FLOOR, ls=":", lw=1)
        right.axvline(0.0, color=FLOOR, ls=":", lw=1)
        if ceiling is not None:
            left.axvline(ceiling, color=PALETTE[7], ls="--", lw=1)
        left.set_title(m)
    axes[-1, 0].set(xlabel="hold-out ROC-AUC", xlim=(None, 1.02))
    axes[-1, 1].set(xlabel="gain over the random encoder", xlim=(-reach, reach))
    return figure


def overlay(
    volumes: Mapping[str, np.ndarray], contours: Mapping[str, np.ndarray], slices: int = 3
) -> Figure:
    """Draw registered volumes with outlines of the template over them.

    Parameters
    ----------
    volumes : mapping
        Row title -> (X, Y, Z), all on one grid.
    contours : mapping
        Legend -> (X, Y, Z) tissue fraction or mask; drawn where it crosses one half.
    slices : int
        Slices of each of the three directions, spread over the middle of the first contour.
    """
    inside = np.argwhere(next(iter(contours.values())) > 0.5)
    low, high = inside.min(axis=0), inside.max(axis=0)
    cuts = [(axis, int(low[axis] + part * (high[axis] - low[axis])))
            for axis in range(3) for part in np.linspace(0.38, 0.7, slices)]  # fmt: skip
    figure, axes = canvas(len(volumes), len(cuts), 1.15 * len(cuts), 1.35 * len(volumes) + 0.3)
    for row, (title, volume) in zip(axes, volumes.items(), strict=True):
        seen = volume[volume > 0]
        limits = np.percentile(seen, [1, 99.5]) if seen.size else (0, 1)
        for axis, (direction, index) in zip(row, cuts, strict=True):
            image = np.take(volume, index, direction).T
            axis.imshow(
                image, cmap=ANATOMY, origin="lower", vmin=min(0, limits[0]), vmax=limits[1]
            )
            for line, shape in zip(PALETTE[1::3], contours.values(), strict=False):
                outline = np.take(shape, index, direction).T
                if outline.min() < 0.5 < outline.max():
                    axis.contour(outline, [0.5], colors=[line], linewidths=0.7)
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(title)
    for line, name in zip(PALETTE[1::3], contours, strict=False):
        axes[0, 0].plot([], [], color=line, label=name)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def head_motion(parameters: pd.DataFrame) -> Figure:
    """Draw translations, rotations and framewise displacement against the volume.

    Parameters
    ----------
    parameters : DataFrame
        Of `mmssl.preprocessing.motion.realign`.
    """
    figure, (axes,) = canvas(1, 3, 9.0, 2.6)
    for name, line in zip("xyz", PALETTE, strict=False):
        axes[0].plot(parameters["volume"], parameters[f"{name}_mm"], color=line, label=name)
        degrees = np.rad2deg(parameters[f"{name}_rad"])
        axes[1].plot(parameters["volume"], degrees, color=line, label=name)
    axes[2].plot(parameters["volume"], parameters["framewise_displacement"], color=PALETTE[7])
    axes[0].legend(ncols=3)
    titles = ("translation (mm)", "rotation (degrees)", "framewise displacement (mm)")
    for axis, title in zip(axes, titles, strict=True):
        axis.set(title=title, xlabel="volume")
    return figure


def tissue_histogram(volume: np.ndarray, tissues: Mapping[str, np.ndarray], label: str) -> Figure:
    """Draw the distribution of a map's values in each tissue, with its mean.

    Parameters
    ----------
    volume : (X, Y, Z) array.
    tissues : mapping
        Name -> (X, Y, Z) bool array.
    label : str
        Of the value axis.
    """
    figure, ((axis,),) = canvas(1, 1, 6.0, 2.8)
    for (name, inside), line in zip(tissues.items(), PALETTE, strict=False):
        values = volume[inside]
        axis.hist(values, 60, density=True, histtype="step", color=line, label=name, lw=1.8)
        axis.axvline(values.mean(), color=line, ls=":", lw=1)
    axis.set(xlabel=label, ylabel="density")
    axis.legend()
    return figure


GROUP: Mapping[str, str] = MappingProxyType({"HC": "#0072B2", "AD": "#D55E00", "other": "#999999"})
"""The colour of a diagnosis in every figure."""


def people(participants: pd.DataFrame, severity: pd.Series) -> Figure:
    """Draw who is in a simulated cohort.

    Parameters
    ----------
    participants : DataFrame
        participant_id, group, age, population.
    severity : Series
        The true disease severity of the same rows.

    Returns
    -------
    Figure
        Counts by group and population; ages; severity by group.
    """
    figure, (axes,) = canvas(1, 3, 9.5, 2.8)
    counts = pd.crosstab(participants["population"], participants["group"])
    bottom = np.zeros(len(counts))
    for group in (g for g in GROUP if g in counts):
        axes[0].bar(counts.index, counts[group], bottom=bottom, color=GROUP[group], label=group)
        bottom += counts[group].to_numpy()
        chosen = participants["group"] == group
        for axis, values in ((axes[1], participants["age"]), (axes[2], severity)):
            bins = np.linspace(values.min(), values.max(), 16)
            axis.hist(values[chosen], bins, density=True, histtype="step", lw=1.8,
                      color=GROUP[group])  # fmt: skip
    axes[0].set(title="people", xlabel="population")
    axes[0].legend()
    axes[1].set(title="age", xlabel="years", ylabel="density")
    axes[2].set(title="severity (hidden)", xlabel="standard deviations", ylabel="density")
    return figure


def planted(background: np.ndarray, masks: Mapping[str, np.ndarray]) -> Figure:
    """Draw where an effect was planted: axial above, sagittal below.

    Parameters
    ----------
    background : (X, Y, Z) array, RAS+.
    masks : mapping
        Name -> (X, Y, Z) bool; the slices go where the mask is largest.
    """
    figure, axes = canvas(2, len(masks), 2.6 * len(masks), 5.2)
    for column, (name, mask) in zip(axes.T, masks.items(), strict=True):
        for axis, across in zip(column, (2, 0), strict=True):
            here = int(mask.sum(axis=tuple({0, 1, 2} - {across})).argmax())
            axis.imshow(np.take(background, here, across).T, cmap=ANATOMY, origin="lower")
            axis.contour(np.take(mask, here, across).T, [0.5], colors=PALETTE[1])
            axis.set(xticks=[], yticks=[])
        column[0].set_title(name)
    return figure


def scans(volumes: Mapping[str, Mapping[str, np.ndarray]], slice_: int) -> Figure:
    """Draw axial slices of several people, one row a modality, one column a person or a mean.

    Parameters
    ----------
    volumes : mapping
        Title -> {modality: (X, Y, Z) array, RAS+}; left of the image is the person's left.
    slice_ : index along the last axis.
    """
    rows = list(next(iter(volumes.values())))
    figure, axes = canvas(len(rows), len(volumes), 1.8 * len(volumes), 2.1 * len(rows))
    for line, m in zip(axes, rows, strict=True):
        map_ = ANATOMY if m == "T1" else MAGNITUDE
        seen = np.stack([by_modality[m][..., slice_] for by_modality in volumes.values()])
        seen = seen.astype(np.float32)
        low, high = np.percentile(seen[seen > 0], [1, 99])
        for axis, image, title in zip(line, seen, volumes, strict=True):
            image = np.where(image > 0, image, np.nan)
            axis.imshow(image.T, cmap=map_, vmin=low, vmax=high, origin="lower")
            axis.set(xticks=[], yticks=[])
            axis.set_title(title if m == rows[0] else "", fontsize=9)
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(m)
    return figure


def roles(table: pd.DataFrame) -> Figure:
    """Draw how many people of each group stand in each role.

    Parameters
    ----------
    table : DataFrame
        Index: role ("fold 0", …, "hold-out", "shift"); one column of counts a group.
    """
    figure, axes = canvas(1, 1, 7.0, 2.6)
    bottom = np.zeros(len(table))
    for group in table:
        bars = axes[0, 0].bar(table.index, table[group], bottom=bottom, color=GROUP[group],
                              label=group)  # fmt: skip
        labels = [str(n) if n else "" for n in table[group]]
        axes[0, 0].bar_label(bars, labels, label_type="center", color="white", fontsize=8)
        bottom += table[group].to_numpy()
    axes[0, 0].set(ylabel="people")
    axes[0, 0].legend(ncols=3, loc="upper left", bbox_to_anchor=(0, 1.2))
    return figure
