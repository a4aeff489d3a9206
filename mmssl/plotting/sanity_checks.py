"""Figures of the saliency court: a map among its rivals, and what deletion
takes away.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmssl.ledger.artefacts import KEYS
from mmssl.plotting.group_differences import SIGNS
from mmssl.plotting.look import BASELINE, canvas, colour


def rivals(table: pd.DataFrame, alike: float = 0.5) -> Figure:
    """Draw each map among the maps that others got: strength above, likeness
    below.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.saliency.sanity_checks.against`: source, modality, sign,
        test, correlation, strength, own.
    alike : float
        Absolute correlation from which maps count as alike, a dotted line.
    """
    rows, tests = list(table["source"].unique()), list(table["test"].unique())
    figure, axes = canvas(
        2, len(rows), 0.8 + 4.2 * len(rows), 4.6, sharey="row", sharex=True
    )
    maps = list(table.groupby(["modality", "sign"], sort=False).groups)
    each = dict(list(table.groupby([*KEYS, "test"], sort=False)))
    for column, row in zip(axes.T, rows, strict=True):
        for place, (m, sign) in enumerate(maps):
            mark = SIGNS.get(sign, ("D", "-"))[0]
            for i, test in enumerate(tests):
                some = each.get((row, m, sign, test), table[:0])
                x = place + 0.36 * (i - 0.5 * (len(tests) - 1))
                spread = x + np.linspace(-0.1, 0.1, len(some))
                column[0].plot(
                    spread, some["strength"], ".", color=BASELINE, ms=4
                )
                column[1].plot(
                    spread,
                    some["correlation"].abs(),
                    ".",
                    color=BASELINE,
                    ms=4,
                )
                column[1].plot(
                    [x - 0.12, x + 0.12],
                    [some["correlation"].abs().median()] * 2,
                    color=colour(m),
                )
                if len(some):
                    column[0].plot(
                        x, some["own"].iloc[0], mark, color=colour(m), ms=6
                    )
        names = [f"{m}\n{sign}" for m, sign in maps]
        column[1].set(
            xticks=range(len(maps)), xticklabels=names, ylim=(0, 1.03)
        )
        column[1].axhline(alike, color=BASELINE, ls=":", lw=1)
        column[0].set_title(row)
    axes[0, 0].set_ylabel("largest |RBC|")
    axes[1, 0].set_ylabel("|correlation| of maps")
    figure.supxlabel(
        f"grey: rivals; left of each pair {tests[0]}, right {tests[-1]}",
        fontsize=9,
    )
    return figure


def deletion(curves: pd.DataFrame, areas: pd.DataFrame) -> Figure:
    """Draw what is left of the probe's separation as voxels are deleted, by
    map and by blobs.

    Parameters
    ----------
    curves, areas : DataFrame
        Of `mmssl.saliency.deletion_curves.deletion`.
    """
    lines = dict(list(curves.groupby(["source", "modality"], sort=False)))
    rows, modalities = (
        list(curves[name].unique()) for name in ("source", "modality")
    )
    figure, axes = canvas(
        len(rows),
        len(modalities),
        8.0,
        0.4 + 2.3 * len(rows),
        sharex=True,
        sharey=True,
    )
    shares, areas = (
        sorted(curves["fraction"].unique()),
        areas.set_index(list(KEYS)),
    )
    for (row, m), line in lines.items():
        axis = axes[rows.index(row), modalities.index(m)]
        for sign, curve in line.groupby("sign", sort=False):
            mark, dash = SIGNS.get(sign, ("D", "-"))
            one = areas.loc[(row, m, sign)]
            axis.plot(
                range(len(curve)),
                curve["map"],
                mark + dash,
                color=colour(m),
                ms=4,
                label=f"{sign}: {one['area']:+.3f} [{one['low']:.3f}, {one['high']:.3f}]"
                if np.isfinite(one["area"])
                else f"{sign}: too few people",
            )
        axis.plot(
            range(len(curve)), curve["blobs"], color=BASELINE, label="blobs"
        )
        axis.axhline(0.5, color=BASELINE, ls=":", lw=1)
        axis.set(title=f"{row}, {m}", xticks=range(len(shares)))
        axis.set_xticklabels(
            ["0", *(f"1/{round(1 / share)}" for share in shares[1:])]
        )
        axis.legend(fontsize=7.5, loc="lower left")
    low = min(curves["map"].min(), curves["blobs"].min(), 0.5)
    # the axes share their limits: room for the legends below the curves
    for axis in axes[:, 0]:
        axis.set(ylabel="AUC of the probe", ylim=(low - 0.16, None))
    for axis in axes[-1]:
        axis.set_xlabel("share of the brain deleted")
    return figure
