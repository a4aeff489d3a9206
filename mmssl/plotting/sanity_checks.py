"""Figures of the sanity checks: randomised weights, null maps, deletion
curves.
"""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from mmssl.ledger.artefacts import KEYS
from mmssl.plotting.group_differences import MARKERS, OTHER_MARKER
from mmssl.plotting.look import (
    BASELINE,
    DOTTED,
    canvas,
    colour,
)


def group_randomisation(table: pd.DataFrame) -> Figure:
    """Draw how alike maps of groups stay to those of the trained encoder as
    its layers are initialised anew.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.saliency.parameter_randomisation.group_map_correlations`:
        source, modality, sign, layers, correlation.
    """
    sources = list(table["source"].unique())
    width = 1.2 + 3.2 * len(sources)
    figure, axes = canvas(1, len(sources), width, 2.8, sharey=True)
    for axis, source in zip(axes[0], sources, strict=True):
        of_source = table[table["source"] == source]
        maps = of_source.groupby(["modality", "sign"], sort=False)
        for (modality, sign), line in maps:
            marker, dash = MARKERS.get(sign, OTHER_MARKER)
            axis.plot(
                line["layers"],
                line["correlation"],
                marker + dash,
                color=colour(modality),
                label=f"{modality}, {sign}",
                markersize=4,
            )
        axis.axhline(0.0, **DOTTED)
        axis.set(
            title=source,
            xlabel="layers re-initialised",
            ylim=(-1.05, 1.05),
            xticks=sorted(table["layers"].unique()),
        )
    axes[0, 0].set_ylabel("correlation of RBC maps")
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
    return figure


def null_maps(table: pd.DataFrame, alike: float = 0.5) -> Figure:
    """Draw each map among its null maps: strength above, likeness below.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.saliency.sanity_checks.compare_with_null_maps`: source,
        modality, sign, check, correlation, null_strength, map_strength.
    alike : float
        Absolute correlation from which maps count as alike, a dotted line.
    """
    sources = list(table["source"].unique())
    checks = list(table["check"].unique())
    width = 0.8 + 4.2 * len(sources)
    figure, axes = canvas(
        2, len(sources), width, 4.6, sharey="row", sharex=True
    )
    places = list(table.groupby(["modality", "sign"], sort=False).groups)
    groups = table.groupby([*KEYS, "check"], sort=False)
    draws_of = dict(list(groups))
    for (strength, likeness), source in zip(axes.T, sources, strict=True):
        for place, (modality, sign) in enumerate(places):
            for i, check in enumerate(checks):
                key = (source, modality, sign, check)
                draws = draws_of.get(key, table[:0])
                x = place + 0.36 * (i - 0.5 * (len(checks) - 1))
                _draw_null_maps(strength, likeness, draws, x, modality, sign)
        names = [f"{modality}\n{sign}" for modality, sign in places]
        likeness.set(
            xticks=range(len(places)), xticklabels=names, ylim=(0, 1.03)
        )
        likeness.axhline(alike, **DOTTED)
        strength.set_title(source)
    axes[0, 0].set_ylabel("largest |RBC|")
    axes[1, 0].set_ylabel("|correlation| of maps")
    figure.supxlabel(
        f"grey: null maps; left of each pair {checks[0]}, right {checks[-1]}",
        fontsize=9,
    )
    return figure


def _draw_null_maps(
    strength, likeness, draws: pd.DataFrame, x: float, modality: str, sign: str
) -> None:
    """The null maps of one map and one check, around x."""
    marker, _ = MARKERS.get(sign, OTHER_MARKER)
    spread = x + np.linspace(-0.1, 0.1, len(draws))
    correlation = draws["correlation"].abs()
    dots = {"color": BASELINE, "ms": 4}
    strength.plot(spread, draws["null_strength"], ".", **dots)
    likeness.plot(spread, correlation, ".", **dots)
    median = correlation.median()
    likeness.plot(
        [x - 0.12, x + 0.12], [median, median], color=colour(modality)
    )
    if len(draws):
        own = draws["map_strength"].iloc[0]
        strength.plot(x, own, marker, color=colour(modality), ms=6)


def deletion_curves(curves: pd.DataFrame, areas: pd.DataFrame) -> Figure:
    """Draw what is left of the probe's separation as voxels are deleted, by
    map and in random order.

    Parameters
    ----------
    curves, areas : DataFrame
        Of `mmssl.saliency.deletion_curves.measure_deletion`.
    """
    sources = list(curves["source"].unique())
    modalities = list(curves["modality"].unique())
    figure, axes = canvas(
        len(sources),
        len(modalities),
        8.0,
        0.4 + 2.3 * len(sources),
        sharex=True,
        sharey=True,
    )
    shares = sorted(curves["fraction"].unique())
    labels = ["0", *(f"1/{round(1 / share)}" for share in shares[1:])]
    areas = areas.set_index(list(KEYS))
    groups = curves.groupby(["source", "modality"], sort=False)
    for (source, modality), lines in groups:
        axis = axes[sources.index(source), modalities.index(modality)]
        for sign, curve in lines.groupby("sign", sort=False):
            marker, dash = MARKERS.get(sign, OTHER_MARKER)
            axis.plot(
                range(len(curve)),
                curve["map"],
                marker + dash,
                color=colour(modality),
                ms=4,
                label=_area_label(sign, areas.loc[(source, modality, sign)]),
            )
        # random orders are those of the modality, the same for both signs
        axis.plot(
            range(len(curve)),
            curve["random"],
            color=BASELINE,
            label="random order",
        )
        axis.axhline(0.5, **DOTTED)
        axis.set(title=f"{source}, {modality}", xticks=range(len(shares)))
        axis.set_xticklabels(labels)
        axis.legend(fontsize=7.5, loc="lower left")
    low = min(curves["map"].min(), curves["random"].min(), 0.5)
    # the axes share their limits: room for the legends below the curves
    for axis in axes[:, 0]:
        axis.set(ylabel="AUC of the probe", ylim=(low - 0.16, None))
    for axis in axes[-1]:
        axis.set_xlabel("share of the brain deleted")
    return figure


def _area_label(sign: str, area: pd.Series) -> str:
    if not np.isfinite(area["area"]):
        return f"{sign}: too few people"
    interval = f"[{area['low']:.3f}, {area['high']:.3f}]"
    return f"{sign}: {area['area']:+.3f} {interval}"
