"""Figures of how alike two modalities are, never without what chance alone
would show.
"""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mmssl.plotting.look import (
    BASELINE,
    COMPETITOR,
    DOTTED,
    GROUP,
    ROLE,
    canvas,
    colour,
    name_lines,
)

ROLE_NAME = {"train": "train", "holdout": "hold-out"}
FIRST = (
    "random encoder",
    "PCA-64",
    "Supervised",
    "AE",
    "DCCAE",
    "CR-CCA",
    "RR-AE",
    "MMVAE",
)
"""Models that are no sum of the four connections: baselines, then those of
Taxonomy's figure 3.
"""


def similarity_measures(table: pd.DataFrame, group: str = "all") -> Figure:
    """Draw every measure on train and hold-out for every model (Taxonomy,
    figure 7).

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.similarity.tables.similarity_table`.
    group : str
        Whose lines are drawn.

    Returns
    -------
    Figure
        A panel per measure in the paper's order, debiased CKA last; a line per
        model. Dots have their jackknife interval; the pale bar ends at the
        95th percentile of the same codes with people shuffled; dashed, the
        chance level of isotropic codes at that n and d. Each in the colour of
        its role.
    """
    table = table[table["group"] == group]
    table = table.assign(label=_labels(table))
    labels = _ordered_labels(table)
    measures = list(dict.fromkeys(table["measure"]))
    figure, axes = canvas(
        1, len(measures), 2.0 * len(measures), 1.5 + 0.34 * len(labels)
    )
    shifts = dict(zip(ROLE_NAME, (0.18, -0.18), strict=True))
    for axis, measure in zip(axes[0], measures, strict=True):
        lines = table[table["measure"] == measure]
        for role in ROLE_NAME:
            of_role = lines[lines["role"] == role].set_index("label")
            _draw_estimates(
                axis, of_role.reindex(labels), ROLE[role], shifts[role]
            )
        name_lines(axis, labels, shown=axis is axes[0, 0])
        axis.set_title(measure)
        _set_limits(axis, lines)
    sizes = table.groupby("role")["n"].max()
    dots = {}
    for role, name in ROLE_NAME.items():
        dots[f"{name} (n = {sizes.get(role, 0)})"] = ROLE[role]
    _legend(figure, dots)
    return figure


def similarity_and_auc(
    auc: pd.DataFrame,
    table: pd.DataFrame,
    measures: Sequence[str] = ("CKA", "SVCCA", "debiased CKA"),
) -> Figure:
    """Draw hold-out ROC-AUC beside the similarity in each group (Application,
    figure 2).

    Parameters
    ----------
    auc : DataFrame
        Of `mmssl.evaluate.linear_evaluation.results_table`; of several
        protocols, the logistic regression's.
    table : DataFrame
        Of `mmssl.similarity.tables.similarity_table`; its hold-out lines are
        drawn, "all" left out.
    measures : sequence of str

    Returns
    -------
    Figure
        Models from the top by their mean AUC over modalities. Left: AUC with
        its interval, squares in the modality's colour. Right: a panel per
        measure with the groups in their colours; bars and dashed lines as in
        `similarity_measures`, one per group, since chance depends on n; of
        several pairs of modalities, all, in the order of the table.
    """
    if "protocol" in auc:
        auc = auc[auc["protocol"] == "logistic regression"]
    held_out = table[(table["role"] == "holdout") & (table["group"] != "all")]
    auc = auc[auc["model"].isin(held_out["model"])]
    models = list(auc.groupby("model")["auc"].mean().sort_values().index)
    panels = 1 + len(measures)
    figure, axes = canvas(1, panels, 2.4 * panels, 1.5 + 0.36 * len(models))
    _draw_auc(axes[0, 0], auc, models)
    sizes = held_out.groupby("group", sort=False)["n"].max()
    tints = {group: GROUP.get(group, BASELINE) for group in sizes.index}
    pairs = list(dict.fromkeys(held_out["pair"]))
    for axis, measure in zip(axes[0, 1:], measures, strict=True):
        lines = held_out[held_out["measure"] == measure]
        marks = list(product(tints, pairs))
        for (group, pair), shift in zip(
            marks, _shifts(len(marks)), strict=True
        ):
            shown = (lines["group"] == group) & (lines["pair"] == pair)
            of_pair = lines[shown].set_index("model").reindex(models)
            _draw_estimates(axis, of_pair, tints[group], shift)
        name_lines(axis, models, shown=False)
        axis.set_title(measure)
        _set_limits(axis, lines)
    dots = {f"{group} (n = {n})": tints[group] for group, n in sizes.items()}
    squares = {f"AUC {m}": colour(m) for m in dict.fromkeys(auc["modality"])}
    _legend(figure, dots, squares)
    return figure


def spurious_differences(simulated: pd.DataFrame) -> Figure:
    """Draw the group differences that measures show where there are none.

    Parameters
    ----------
    simulated : DataFrame
        Of `mmssl.similarity.simulations.studies_without_difference`.

    Returns
    -------
    Figure
        A panel per measure, a dot per simulated study: second minus first
        group at their own sizes, and with the larger drawn at the size of the
        smaller. The truth is 0, dotted.
    """
    measures = list(dict.fromkeys(simulated["measure"]))
    figure, axes = canvas(
        1, len(measures), 1.8 * len(measures), 2.9, sharey=True
    )
    columns = {"difference": COMPETITOR, "matched_difference": BASELINE}
    for axis, measure in zip(axes[0], measures, strict=True):
        lines = simulated[simulated["measure"] == measure]
        for place, (column, tint) in enumerate(columns.items()):
            across = place + np.linspace(-0.22, 0.22, len(lines))
            axis.scatter(
                across, lines[column], s=10, color=tint, alpha=0.7, lw=0
            )
            axis.hlines(
                lines[column].mean(), place - 0.32, place + 0.32, color="black"
            )
        axis.axhline(0, **DOTTED)
        axis.set(
            title=measure,
            xticks=(0, 1),
            xticklabels=("own\nsizes", "matched\nsizes"),
            xlim=(-0.6, 1.6),
        )
    axes[0, 0].set_ylabel("group difference")
    return figure


def _draw_estimates(
    axis: Axes, lines: pd.DataFrame, tint: str, shift: float
) -> None:
    """Draw estimates with intervals over the reach of shuffled people and the
    chance level.
    """
    places = np.arange(len(lines))
    at = places + shift
    axis.barh(
        at, lines["shuffle_95"], height=0.3, color=tint, alpha=0.18, lw=0
    )
    axis.hlines(at, lines["low"], lines["high"], color=tint)
    axis.scatter(lines["estimate"], at, s=22, color=tint, zorder=3)
    # a step where a code has fewer dimensions
    axis.vlines(
        lines["chance"], places - 0.5, places + 0.5, color=tint, ls="--", lw=1
    )


def _draw_auc(axis: Axes, auc: pd.DataFrame, models: list[str]) -> None:
    """Draw the AUC of every model, a square in the colour of the modality."""
    modalities = list(dict.fromkeys(auc["modality"]))
    shifts = _shifts(len(modalities))
    for modality, shift in zip(modalities, shifts, strict=True):
        lines = auc[auc["modality"] == modality].set_index("model")
        lines = lines.reindex(models)
        at = np.arange(len(lines)) + shift
        tint = colour(modality)
        axis.hlines(at, lines["low"], lines["high"], color=tint)
        axis.scatter(lines["auc"], at, s=20, marker="s", color=tint, zorder=3)
    axis.axvline(0.5, **DOTTED)
    axis.set_title("hold-out ROC-AUC")
    name_lines(axis, models)


def _set_limits(axis: Axes, lines: pd.DataFrame) -> None:
    """Show everything; a biased measure from 0 to 1."""
    lowest = min(0.0, np.nanmin([lines["low"].min(), 0.0]))
    axis.set_xlim(lowest - 0.03, 1.04)


def _shifts(count: int) -> np.ndarray:
    """How far each of several marks on one line stands from it."""
    step = min(0.36, 0.72 / max(1, count - 1))
    return (np.arange(count)[::-1] - (count - 1) / 2) * step


def _labels(table: pd.DataFrame) -> pd.Series:
    """The model, with the two modalities where there are several pairs."""
    if table["pair"].nunique() < 2:
        return table["model"]
    return table["model"] + ", " + table["pair"]


def _ordered_labels(table: pd.DataFrame) -> list[str]:
    """Lines from the bottom: sums of connections by length, above them the
    other models.
    """
    rank = {model: place for place, model in enumerate(FIRST)}
    lines = table.drop_duplicates("label")
    keys = {}
    for label, model in zip(lines["label"], lines["model"], strict=True):
        place = rank.get(model, len(FIRST))
        keys[label] = (place, model.count("-"), model, label)
    return sorted(keys, key=keys.get, reverse=True)


def _legend(
    figure: Figure,
    dots: Mapping[str, str],
    squares: Mapping[str, str] | None = None,
) -> None:
    """Colours, and what bar and dashes mean, below the panels."""
    handles = []
    for marker, tints in (("s", squares or {}), ("o", dots)):
        for label, tint in tints.items():
            handles.append(
                Line2D([], [], color=tint, marker=marker, ms=5, label=label)
            )
    handles += [
        Patch(color=BASELINE, alpha=0.3, lw=0, label="shuffled people, 95 %"),
        Line2D(
            [], [], color=BASELINE, ls="--", lw=1, label="chance at this n, d"
        ),
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(6, len(handles)),
        fontsize=9,
        frameon=False,
    )
