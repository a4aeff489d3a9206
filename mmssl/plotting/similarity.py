"""Figures of how alike two modalities are, never without what chance alone
would show.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mmssl.plotting.look import BASELINE, GROUP, PALETTE, canvas, colour

ROLE = {"train": PALETTE[2], "holdout": PALETTE[3]}
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
"""Rows that are no sum of the four connections: baselines, then Taxonomy's figure
3.
"""


def similarity_measures(table: pd.DataFrame, group: str = "all") -> Figure:
    """Draw every measure on train and hold-out for every objective (Taxonomy,
    figure 7).

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.similarity.inference.table`.
    group : str
        Whose lines are drawn.

    Returns
    -------
    Figure
        A panel per measure in the paper's order, debiased CKA last; a line per
        objective. Dots have their jackknife interval; the pale bar ends at the
        95th percentile of the same codes with people shuffled; dashed, the
        chance level of isotropic codes at that n and d. Each in the colour of
        its role.
    """
    table = table[table["group"] == group]
    table = table.assign(line=_lines(table))
    names, measures = _order(table), list(dict.fromkeys(table["measure"]))
    figure, axes = canvas(
        1, len(measures), 2.0 * len(measures), 1.5 + 0.34 * len(names)
    )
    for axis, measure in zip(axes[0], measures, strict=True):
        for (role, tint), shift in zip(
            ROLE.items(), (0.18, -0.18), strict=True
        ):
            lines = table[
                (table["measure"] == measure) & (table["role"] == role)
            ]
            _dots(axis, lines.set_index("line").reindex(names), tint, shift)
        axis.set(
            title=measure,
            ylim=(-0.6, len(names) - 0.4),
            yticks=range(len(names)),
            yticklabels=names if axis is axes[0, 0] else [],
        )
        _reach(axis, table[table["measure"] == measure])
    sizes = table.groupby("role")["n"].max()
    labels = {
        role: f"{'hold-out' if role == 'holdout' else role} (n = {sizes.get(role, 0)})"
        for role in ROLE
    }
    _legend(figure, {labels[role]: tint for role, tint in ROLE.items()})
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
        Of `mmssl.similarity.inference.table`; its hold-out lines are drawn,
        "all" left out.
    measures : sequence of str

    Returns
    -------
    Figure
        Objectives from the top by their mean AUC over modalities. Left: AUC
        with its interval, squares in the modality's colour. Right: a panel per
        measure with the groups in their colours; bars and dashed lines as in
        `similarity_measures`, one per group, since chance depends on n.
    """
    if "protocol" in auc:
        auc = auc[auc["protocol"] == "logistic regression"]
    held_out = table[(table["role"] == "holdout") & (table["group"] != "all")]
    auc = auc[auc["model"].isin(held_out["model"])]
    names = list(auc.groupby("model")["auc"].mean().sort_values().index)
    figure, axes = canvas(
        1,
        1 + len(measures),
        2.4 * (1 + len(measures)),
        1.5 + 0.36 * len(names),
    )
    modalities = list(dict.fromkeys(auc["modality"]))
    for m, shift in zip(modalities, _shifts(len(modalities)), strict=True):
        lines, at = (
            auc[auc["modality"] == m].set_index("model").reindex(names),
            np.arange(len(names)),
        )
        axes[0, 0].hlines(
            at + shift, lines["low"], lines["high"], color=colour(m)
        )
        axes[0, 0].scatter(
            lines["auc"],
            at + shift,
            s=20,
            marker="s",
            color=colour(m),
            zorder=3,
        )
    axes[0, 0].axvline(0.5, color=BASELINE, ls=":", lw=1)
    axes[0, 0].set(
        title="hold-out ROC-AUC",
        yticks=range(len(names)),
        yticklabels=names,
        ylim=(-0.6, len(names) - 0.4),
    )
    groups = held_out.groupby("group", sort=False)["n"].max()
    tints = {group: GROUP.get(group, BASELINE) for group in groups.index}
    for axis, measure in zip(axes[0, 1:], measures, strict=True):
        of_measure = held_out[held_out["measure"] == measure]
        for (group, tint), shift in zip(
            tints.items(), _shifts(len(tints)), strict=True
        ):
            lines = of_measure[of_measure["group"] == group].drop_duplicates(
                "model"
            )
            _dots(axis, lines.set_index("model").reindex(names), tint, shift)
        axis.set(
            title=measure,
            yticks=range(len(names)),
            yticklabels=[],
            ylim=(-0.6, len(names) - 0.4),
        )
        _reach(axis, of_measure)
    _legend(
        figure,
        {f"{group} (n = {n})": tints[group] for group, n in groups.items()},
        squares={f"AUC {m}": colour(m) for m in modalities},
    )
    return figure


def sham_difference(simulated: pd.DataFrame) -> Figure:
    """Draw group differences that measures find where there are none.

    Parameters
    ----------
    simulated : DataFrame
        Of `mmssl.similarity.inference.no_difference`.

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
    for axis, measure in zip(axes[0], measures, strict=True):
        lines = simulated[simulated["measure"] == measure]
        for place, (column, tint) in enumerate(
            (("difference", PALETTE[1]), ("matched_difference", PALETTE[0]))
        ):
            across = place + np.linspace(-0.22, 0.22, len(lines))
            axis.scatter(
                across, lines[column], s=10, color=tint, alpha=0.7, lw=0
            )
            axis.hlines(
                lines[column].mean(), place - 0.32, place + 0.32, color="black"
            )
        axis.axhline(0, color=BASELINE, ls=":", lw=1)
        axis.set(
            title=measure,
            xticks=(0, 1),
            xticklabels=("own\nsizes", "matched\nsizes"),
            xlim=(-0.6, 1.6),
        )
    axes[0, 0].set_ylabel("group difference")
    return figure


def _dots(axis, lines: pd.DataFrame, tint: str, shift: float) -> None:
    """Estimates with intervals, over the reach of shuffled people and the
    chance level.
    """
    at = np.arange(len(lines)) + shift
    axis.barh(
        at, lines["shuffle_95"], height=0.3, color=tint, alpha=0.18, lw=0
    )
    axis.hlines(at, lines["low"], lines["high"], color=tint)
    axis.scatter(lines["estimate"], at, s=22, color=tint, zorder=3)
    line = np.arange(len(lines))  # a step where a code has fewer dimensions
    axis.vlines(
        lines["chance"], line - 0.5, line + 0.5, color=tint, ls="--", lw=1
    )


def _reach(axis, lines: pd.DataFrame) -> None:
    """Everything in sight; a biased measure from 0 to 1."""
    lowest = min(0.0, np.nanmin([lines["low"].min(), 0.0]))
    axis.set_xlim(lowest - 0.03, 1.04)


def _shifts(count: int) -> np.ndarray:
    return (np.arange(count)[::-1] - (count - 1) / 2) * 0.36


def _lines(table: pd.DataFrame) -> pd.Series:
    """A line's name: the objective, with the two modalities where there are
    several pairs.
    """
    return (
        table["model"]
        if table["pair"].nunique() < 2
        else table["model"] + ", " + table["pair"]
    )


def _order(table: pd.DataFrame) -> list[str]:
    """Lines from the bottom: sums of connections by length, above them the
    other objectives.
    """
    rank = {row: place for place, row in enumerate(FIRST)}
    rows = table.drop_duplicates("line")
    keys = {
        line: (rank.get(row, len(FIRST)), row.count("-"), row, line)
        for line, row in zip(rows["line"], rows["model"], strict=True)
    }
    return sorted(keys, key=keys.get, reverse=True)


def _legend(
    figure: Figure, dots: dict[str, str], squares: dict[str, str] | None = None
) -> None:
    """Colours, and what bar and dashes mean, below the panels."""
    handles = [
        Line2D([], [], color=tint, marker=marker, ms=5, label=label)
        for marker, tints in (("s", squares or {}), ("o", dots))
        for label, tint in tints.items()
    ]
    handles += [
        Patch(color=BASELINE, alpha=0.3, lw=0, label="shuffled people, 95 %"),
        Line2D(
            [], [], color=BASELINE, ls="--", lw=1, label="chance at this n, d"
        ),
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles),
        fontsize=9,
        frameon=False,
    )
