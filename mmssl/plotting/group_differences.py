"""Figures of group differences in the brain: slices at the peak, overlap with
truth, cascades.

No map is drawn without its corrected p and its verdict
(`mmssl.ledger.artefacts.defended`). nilearn's plotting takes two seconds to
import, so it waits until a map is drawn.
"""

import html
from collections.abc import Mapping

import nibabel as nib
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from nibabel.affines import apply_affine

from mmssl.ledger.artefacts import SanityReport, check_report
from mmssl.plotting.look import (
    DIVERGING,
    BASELINE,
    PALETTE,
    canvas,
    colour,
    style,
)

SURVIVES, TRUTH = PALETTE[7], PALETTE[2]
"""Colours of the contours: what survives correction, and what was planted."""

SIGNS = {"positive": ("o", "-"), "negative": ("s", "--")}
"""Marker and line of the dimension with the largest positive and negative
coefficient.
"""

_LINE, _TITLE, _LEFT, _RIGHT = 1.75, 0.58, 0.1, 0.75  # inches


def group_maps(
    maps: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray, SanityReport]]],
    background: np.ndarray,
    affine: np.ndarray,
    truth: Mapping[str, np.ndarray] | None = None,
    level: float = 0.05,
) -> Figure:
    """Draw maps of group differences, each cut at its absolute peak; left is
    the person's left.

    Parameters
    ----------
    maps : mapping
        {line: {column: (rbc, p, verdict)}}, arrays (X, Y, Z): effect sizes, 0
        outside the brain, their corrected p, 1 outside, and what the saliency
        court says of them.
    background : array (X, Y, Z), on the same grid.
    affine : array (4, 4), voxel to RAS+ world in mm.
    truth : mapping, optional
        {line: bool array (X, Y, Z)} of what was planted, where it is known.
    level : float
        Of the corrected p.

    Returns
    -------
    Figure
        As figure 4 of Fedorov et al. 2021 ("Application to Alzheimer's
        disease"). One scale, symmetric about 0, for all; small effects fade
        into the anatomy. Black contour: what survives; the title says if
        nothing does, and the verdict. Green contour: ``truth``.

    Raises
    ------
    ValueError
        For a map without corrected p, or without the verdict that was given on
        it.
    """
    for line, across in maps.items():
        for column, given in across.items():
            check_report(*(*given, None, None)[:3], what=f"{line}, {column}")
    limit = (
        max(
            np.abs(rbc).max()
            for line in maps.values()
            for rbc, *_ in line.values()
        )
        or 1.0
    )
    columns, inches = max(len(line) for line in maps.values()), _LINE + _TITLE
    width, height = 4.3 * columns + _LEFT + _RIGHT, inches * len(maps)
    with style():
        figure = Figure(figsize=(width, height), layout="none")
    for i, (line, across) in enumerate(maps.items()):
        for j, (column, (rbc, p, verdict)) in enumerate(across.items()):
            box = (
                (_LEFT + 4.3 * j) / width,
                (height - inches * (i + 1)) / height,
                4.2 / width,
                _LINE / height,
            )
            x, y, z = _cuts(rbc, affine)
            survives = p < level
            count = (
                f"{int(survives.sum())} voxels with $p_{{FWE}}$ < {level:g}"
                if survives.any()
                else f"nothing survives $p_{{FWE}}$ < {level:g}"
            )
            _slices(
                figure,
                box,
                rbc,
                survives,
                (truth or {}).get(line),
                background,
                affine,
                limit,
            )
            figure.text(
                box[0],
                box[1] + (_LINE + 0.05) / height,
                f"{line}, {column}\n"
                f"peak ({x:.0f}, {y:.0f}, {z:.0f}) mm; {count}\n{verdict}",
                fontsize=8.5,
                va="bottom",
                linespacing=1.25,
            )
    bar = figure.add_axes(
        (1 - 0.62 / width, 0.25 / height, 0.12 / width, 1.5 / height)
    )
    figure.colorbar(
        ScalarMappable(Normalize(-limit, limit), DIVERGING), cax=bar
    )
    bar.set_title("RBC", fontsize=9, loc="center")
    bar.tick_params(labelsize=8)
    return figure


def interactive(
    volume: np.ndarray,
    p: np.ndarray,
    verdict: SanityReport,
    affine: np.ndarray,
    background: np.ndarray,
    background_affine: np.ndarray,
    title: str = "",
    share: float = 0.5,
):
    """Let a reader walk through one map: nilearn's viewer, opened at the
    absolute peak.

    Parameters
    ----------
    volume, p, verdict
        As in `group_maps`.
    affine : array (4, 4), of the map.
    background, background_affine : array and (4, 4)
        Anatomy; the map is shown on its grid, so that 4 mm voxels keep the
        page small.
    title : str
        Begins the caption, in which the share shown, what survives and the
        verdict follow.
    share : float
        Of the largest absolute effect; where it is smaller, anatomy shows.

    Returns
    -------
    nilearn.plotting.html_stat_map.StatMapView
        Shows itself at the end of a cell; nothing is fetched from elsewhere.

    Raises
    ------
    ValueError
        As `group_maps`.
    """
    from nilearn import plotting

    check_report(volume, p, verdict, what=title or "map")
    peak = float(np.abs(volume).max()) or 1.0
    view = plotting.view_img(
        _image(volume, affine),
        bg_img=_image(background, background_affine),
        cut_coords=_cuts(volume, affine),
        cmap=DIVERGING,
        vmax=peak,
        symmetric_cmap=True,
        threshold=share * peak,
        black_bg=False,
        resampling_interpolation="nearest",
        title="",
        width_view=600,
    )
    said = (
        f"{title}: |RBC| above {share * peak:.2f}; {int((p < 0.05).sum())} voxels with "
        f"corrected p below .05; {verdict}"
    )
    caption = (
        f'<p style="font: 14px sans-serif; margin: 0">{html.escape(said)}</p>'
    )
    # its own title has one line
    view.html = view.html.replace("</body>", f"{caption}</body>")
    view.resize(660, 350)
    return view


def overlap_with_truth(table: pd.DataFrame) -> Figure:
    """Draw how well each map finds the planted mask, a line of axes per
    modality.

    Parameters
    ----------
    table : DataFrame
        modality, source, baseline (bool), sign ("positive", "negative" or other),
        and the fields of `mmssl.groupmaps.overlap.Overlap`; sources are drawn
        from the top in the order they come.
    """
    modalities, order = (
        list(table["modality"].unique()),
        list(table["source"].unique())[::-1],
    )
    measures = {
        "auprc": "AUPRC",
        "dice": "Dice at matched volume",
        "distance": "peak to mask (mm)",
    }
    inches = len(modalities) * (0.7 + 0.3 * len(order))
    figure, axes = canvas(len(modalities), 3, 9.5, inches, sharex="col")
    for line, m in zip(axes, modalities, strict=True):
        rows = table[table["modality"] == m]
        for axis, (measure, label) in zip(line, measures.items(), strict=True):
            for row in rows.itertuples():
                mark = SIGNS.get(row.sign, ("D", "-"))[0]
                shade = BASELINE if row.baseline else colour(m)
                axis.plot(
                    getattr(row, measure),
                    order.index(row.source),
                    mark,
                    color=shade,
                    fillstyle="none" if row.sign == "negative" else "full",
                )
            if measure != "distance":
                axis.axvline(
                    rows["chance"].iloc[0], color=BASELINE, ls=":", lw=1
                )
            axis.set(
                yticks=range(len(order)),
                yticklabels=order if axis is line[0] else [],
                ylim=(-0.6, len(order) - 0.4),
            )
            axis.set_xlabel(label if m == modalities[-1] else "")
            axis.grid(axis="y", alpha=0.25)
        line[0].set_title(m)
    for axis, right in zip(axes[-1], (1.02, 1.02, None), strict=True):
        axis.set_xlim(-0.02 if right else -2, right)
    return figure


def cascade(table: pd.DataFrame) -> Figure:
    """Draw what becomes of a map as its encoder forgets, layer by layer from
    the top.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.saliency.parameter_randomisation.map_cascade`: source,
        modality, sign, layers, correlation.
    """
    rows = list(table["source"].unique())
    figure, axes = canvas(
        1, len(rows), 1.2 + 3.2 * len(rows), 2.8, sharey=True
    )
    for axis, row in zip(axes[0], rows, strict=True):
        lines = table[table["source"] == row].groupby(
            ["modality", "sign"], sort=False
        )
        for (m, sign), line in lines:
            mark, dash = SIGNS.get(sign, ("D", "-"))
            axis.plot(
                line["layers"],
                line["correlation"],
                mark + dash,
                color=colour(m),
                label=f"{m}, {sign}",
                markersize=4,
            )
        axis.axhline(0.0, color=BASELINE, ls=":", lw=1)
        axis.set(
            title=row,
            xlabel="layers re-initialised",
            ylim=(-1.05, 1.05),
            xticks=sorted(table["layers"].unique()),
        )
    axes[0, 0].set_ylabel("correlation of RBC maps")
    axes[0, -1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
    return figure


def _slices(
    figure, box, rbc, survives, truth, background, affine, limit
) -> None:
    """One map through its peak in a box of the figure."""
    from nilearn import plotting

    image = _image(rbc, affine)
    view = plotting.plot_stat_map(
        image,
        bg_img=_image(background, affine),
        cut_coords=_cuts(rbc, affine),
        figure=figure,
        axes=box,
        cmap=colormaps[DIVERGING],
        vmax=limit,
        vmin=-limit,
        symmetric_cbar=True,
        threshold=None,
        transparency=_image(np.abs(rbc), affine),
        transparency_range=[0.1 * limit, 0.6 * limit],
        resampling_interpolation="nearest",
        colorbar=False,
        annotate=True,
        draw_cross=False,
        black_bg=False,
        dim=-0.3,
    )
    for region, shade in ((truth, TRUTH), (survives, SURVIVES)):
        if region is not None and region.any():
            view.add_contours(
                _image(region, affine),
                levels=[0.5],
                colors=[shade],
                linewidths=1.2,
            )


def _cuts(volume: np.ndarray, affine: np.ndarray) -> tuple[float, ...]:
    """World coordinates in mm of the absolute peak."""
    voxel = np.unravel_index(int(np.abs(volume).argmax()), volume.shape)
    return tuple(float(c) for c in apply_affine(affine, voxel))


def _image(volume: np.ndarray, affine: np.ndarray) -> nib.Nifti1Image:
    return nib.Nifti1Image(np.asarray(volume, dtype=np.float32), affine)
