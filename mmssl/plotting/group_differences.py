"""Figures of group differences in the brain: slices at the peak, a viewer,
overlap with the truth.

No map is drawn without its corrected p and the report of its sanity checks
(`mmssl.ledger.artefacts.check_report`). nilearn's plotting takes two seconds
to import, so it waits until a map is drawn.
"""

import textwrap
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mmssl.ledger.artefacts import (
    POSITIVE_CONTROL,
    SanityReport,
    check_report,
    map_name,
)
from mmssl.plotting.look import (
    BASELINE,
    COMPETITOR,
    DIVERGING,
    DOTTED,
    FORMULA,
    TRUTH,
    LiteralFigure,
    canvas,
    colour,
    literal,
    name_lines,
    style,
)
from mmssl.plotting.slices import (
    cut_coordinates,
    image,
    on_template,
    peak_coordinates,
    template,
)
from mmssl.plotting.viewer import BrainViewer, ViewerMap

SURVIVES = COMPETITOR
"""Colours of the contours: what survives correction, and what was planted."""

MARKERS = {"positive": ("o", "-"), "negative": ("s", "--")}
"""Marker and line of the dimension with the largest positive and negative
coefficient.
"""

OTHER_MARKER = ("D", "-")
"""Of a map that needs no dimension."""

_COLUMN, _LINE, _TITLE, _LEFT, _RIGHT = 4.3, 1.75, 0.72, 0.1, 0.75
"""Inches of `group_maps`."""

_WRAP = 58
"""Characters of a title's line that fit a column of `group_maps`."""

_FILES = {"RBC": "rbc", "ρ": "rho"}
"""How the files of effects end."""

_IMAGES = "no encoder: the images themselves"
"""Said of a map of the images that controls no test of groups."""

GroupMap = tuple[np.ndarray, np.ndarray, SanityReport]
"""Effect sizes and corrected p, (X, Y, Z) each, and the report."""


def group_maps(
    maps: Mapping[str, Mapping[str, GroupMap]],
    affine: np.ndarray,
    truth: Mapping[str, np.ndarray] | None = None,
    level: float = 0.05,
    effect: str = "RBC",
) -> Figure:
    """Draw maps of group differences over the MNI152 template, each cut at
    its absolute peak; left is the person's left.

    Parameters
    ----------
    maps : mapping
        {line: {column: (rbc, p, report)}}, arrays (X, Y, Z): effect sizes, 0
        outside the brain, their corrected p, 1 outside, and the report of the
        sanity checks.
    affine : array (4, 4), voxel to RAS+ world in mm, MNI space.
    truth : mapping, optional
        {line: bool array (X, Y, Z)} of what was planted, where it is known.
    level : float
        Of the corrected p.
    effect : str
        What the scale is called.

    Returns
    -------
    Figure
        As figure 4 of Fedorov et al. 2021 ("Application to Alzheimer's
        disease"). One scale, symmetric about 0, for all; small effects fade
        into the anatomy. Black contour: what survives; the title says if
        nothing does, and the report in one line. Green contour: ``truth``.

    Raises
    ------
    ValueError
        For a map without corrected p, or without the report of that very map.
    """
    truth = truth or {}
    largest = []
    for name, line in maps.items():
        for column, given in line.items():
            rbc, p, report = _padded(given)
            check_report(rbc, p, report, what=f"{name}, {column}")
            largest.append(np.abs(rbc).max())
    limit = max(largest) or 1.0
    columns = max(len(line) for line in maps.values())
    line_height = _LINE + _TITLE
    width = _COLUMN * columns + _LEFT + _RIGHT
    height = line_height * len(maps)
    with style():
        figure = LiteralFigure(figsize=(width, height), layout="none")
    for i, (name, line) in enumerate(maps.items()):
        for j, (column, (rbc, p, report)) in enumerate(line.items()):
            box = (
                (_LEFT + _COLUMN * j) / width,
                (height - line_height * (i + 1)) / height,
                (_COLUMN - 0.1) / width,
                _LINE / height,
            )
            survives = p < level
            _slices(
                figure,
                box,
                rbc,
                survives,
                truth.get(name),
                affine,
                limit,
            )
            figure.text(
                box[0],
                box[1] + (_LINE + 0.05) / height,
                _title(
                    f"{name}, {column}",
                    rbc,
                    survives,
                    _checks(report, effect),
                    affine,
                    level,
                ),
                fontsize=8.5,
                va="bottom",
                linespacing=1.25,
                gid=FORMULA,
            )
    bar = figure.add_axes(
        (1 - 0.62 / width, 0.25 / height, 0.12 / width, 1.5 / height)
    )
    scale = ScalarMappable(Normalize(-limit, limit), DIVERGING)
    figure.colorbar(scale, cax=bar)
    bar.set_title(effect, fontsize=9, loc="center")
    bar.tick_params(labelsize=8)
    return figure


def _padded(given: tuple) -> tuple:
    """Map, p and report; None for what is not given."""
    missing = 3 - len(given)
    return (*given, *[None] * missing)


def _checks(report: SanityReport, effect: str) -> str:
    """What is said of the checks of a map."""
    if report.exemption == POSITIVE_CONTROL and effect != "RBC":
        return _IMAGES
    return str(report)


def _title(
    name: str,
    rbc: np.ndarray,
    survives: np.ndarray,
    checks: str,
    affine: np.ndarray,
    level: float,
) -> str:
    """Which map; its peak and how many voxels survive; what the checks found,
    each on a line of its own, the last on two where it is long.
    """
    x, y, z = peak_coordinates(rbc, affine)
    passing = f"$p_{{FWE}}$ < {level:g}"
    count = f"nothing survives {passing}"
    if survives.any():
        count = f"{int(survives.sum())} voxels with {passing}"
    name = literal(name)
    checks = textwrap.fill(checks, _WRAP)
    peak = f"peak ({x:z.0f}, {y:z.0f}, {z:z.0f}) mm"
    return f"{name}\n{peak}; {count}\n{checks}"


def interactive_maps(
    maps: Mapping[tuple[str, str, str], tuple[np.ndarray, np.ndarray]],
    reports: Mapping[tuple[str, str, str], SanityReport],
    affine: np.ndarray,
    first: tuple[str, str, str],
    effect: str = "RBC",
) -> BrainViewer:
    """Let a reader walk through maps of group differences, those of a model's
    modalities together.

    Parameters
    ----------
    maps : {(source, modality, sign): (rbc, corrected p)}, (X, Y, Z) each
        As `mmssl.ledger.Provenance.save_group_maps` saves them.
    reports : {the same: SanityReport}
    affine : array (4, 4), of the maps.
    first : one of the keys
        Shown at first, with its other modalities.
    effect : "RBC" or "ρ"
        What the scale is called.

    Returns
    -------
    BrainViewer
        Shows itself at the end of a cell; nothing is fetched from elsewhere.

    Raises
    ------
    ValueError
        As `group_maps`.
    """
    choices: dict[str, dict[str, ViewerMap]] = {}
    for key in sorted(maps, key=lambda key: key[::2] != first[::2]):
        rbc, p = maps[key]
        report = reports.get(key)
        check_report(rbc, p, report, what=", ".join(key))
        source, modality, sign = key
        name = source if source == sign else f"{source}, {sign} β"
        peak = peak_coordinates(rbc, affine)
        survivors = int((p < 0.05).sum())
        choices.setdefault(name, {})[modality] = ViewerMap(
            map_name(key, _FILES[effect]),
            tuple(round(c, 1) for c in peak),
            round(float(np.abs(rbc).max()), 4),
            f"{survivors} voxels with corrected p below .05; "
            f"{_checks(report, effect)}",
        )
    return BrainViewer(choices, effect, symmetric=True)


def voxel_by_voxel(
    pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], labels: tuple[str, str]
) -> Figure:
    """Draw two maps of the same people against each other, an axis per pair.

    Parameters
    ----------
    pairs : {title: two arrays (voxels,)}
        Effect sizes in [-1, 1].
    labels : two str
        Of the horizontal and of the vertical axis.

    Returns
    -------
    Figure
        Hexagons, darker where more voxels lie; on the grey diagonal both maps
        agree. The title gives their correlation over voxels.
    """
    columns = min(4, len(pairs))
    rows = -(-len(pairs) // columns)  # rounded up
    figure, axes = canvas(
        rows, columns, 2.4 * columns, 2.6 * rows, sharex=True, sharey=True
    )
    for axis in axes.flat[len(pairs) :]:
        axis.set_axis_off()
    limit = max(np.abs(pair).max() for pair in pairs.values()) or 1.0
    for axis, (title, pair) in zip(axes.flat, pairs.items(), strict=False):
        axis.hexbin(
            *pair,
            gridsize=40,
            bins="log",
            mincnt=1,
            cmap="Greys",
            extent=(-limit, limit, -limit, limit),
        )
        axis.axline((0, 0), slope=1, color=BASELINE, lw=0.8)
        axis.set_aspect("equal")
        agreement = "one is constant"
        if min(np.ptp(values) for values in pair) > 0:
            agreement = f"r = {np.corrcoef(*pair)[0, 1]:.2f}"
        axis.set_title(f"{title}\n{agreement}", fontsize=8, loc="left")
    for axis in axes[:, 0]:
        axis.set_ylabel(labels[1], fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel(labels[0], fontsize=8)
    return figure


def overlap_with_truth(table: pd.DataFrame) -> Figure:
    """Draw how well each map finds the planted mask, a line of axes per
    modality.

    Parameters
    ----------
    table : DataFrame
        modality, source, baseline (bool), sign ("positive", "negative" or
        other), and the fields of `mmssl.groupmaps.overlap.Overlap`; sources
        are drawn from the top in the order they come.
    """
    modalities = list(table["modality"].unique())
    order = list(table["source"].unique())[::-1]
    measures = {
        "auprc": "AUPRC",
        "dice": "Dice at matched volume",
        "distance": "peak to mask (mm)",
    }
    inches = len(modalities) * (0.7 + 0.3 * len(order))
    figure, axes = canvas(len(modalities), 3, 9.5, inches, sharex="col")
    for line, modality in zip(axes, modalities, strict=True):
        maps = table[table["modality"] == modality]
        for axis, measure in zip(line, measures, strict=True):
            _draw_overlaps(axis, maps, measure, order)
            if modality == modalities[-1]:
                axis.set_xlabel(measures[measure])
        name_lines(line[0], order)
        line[0].set_title(modality)
    auprc, dice, distance = axes[-1]
    auprc.set_xlim(-0.02, 1.02)
    dice.set_xlim(-0.02, 1.02)
    distance.set_xlim(-2, None)
    return figure


def overlap_beyond_untrained(table: pd.DataFrame) -> Figure:
    """Draw by how much each trained encoder's maps find the planted mask
    better than those of untrained encoders.

    Parameters
    ----------
    table : DataFrame
        Of `mmssl.saliency.planted_overlap.overlap_gains`.

    Returns
    -------
    Figure
        Left: AUPRC, with the mean of the untrained encoders as a grey line,
        one standard deviation of theirs to either side as a grey band, and
        the chance level dotted. Right: the difference with its interval.
    """
    order = list(table["source"].unique())[::-1]
    modalities = list(table["modality"].unique())
    inches = len(modalities) * (0.8 + 0.3 * len(order))
    figure, axes = canvas(len(modalities), 2, 8.0, inches, sharex="col")
    for (left, right), modality in zip(axes, modalities, strict=True):
        lines = table[table["modality"] == modality].set_index("source")
        lines = lines.loc[order]
        height = np.arange(len(order))
        mean, spread = lines["untrained"].mean(), lines["untrained_sd"].mean()
        left.axvspan(mean - spread, mean + spread, color=BASELINE, alpha=0.3)
        left.axvline(mean, color=BASELINE)
        left.axvline(lines["chance"].iloc[0], **DOTTED)
        shade = colour(modality)
        left.plot(lines["auprc"], height, "o", color=shade)
        right.hlines(height, lines["low"], lines["high"], color=shade)
        right.plot(lines["difference"], height, "o", color=shade)
        right.axvline(0.0, **DOTTED)
        name_lines(left, order)
        name_lines(right, order, shown=False)
        left.set_title(modality, loc="left")
        left.locator_params(axis="x", nbins=5)
        right.locator_params(axis="x", nbins=5)
    axes[-1, 0].set_xlabel("AUPRC")
    axes[-1, 1].set_xlabel("minus mean of untrained encoders")
    return figure


def _draw_overlaps(
    axis, maps: pd.DataFrame, measure: str, order: list
) -> None:
    """One measure of the maps of one modality, a line a source."""
    for row in maps.itertuples():
        marker, _ = MARKERS.get(row.sign, OTHER_MARKER)
        axis.plot(
            getattr(row, measure),
            order.index(row.source),
            marker,
            color=BASELINE if row.baseline else colour(row.modality),
            fillstyle="none" if row.sign == "negative" else "full",
        )
    if measure != "distance":
        chance = maps["chance"].iloc[0]
        axis.axvline(chance, **DOTTED)
    name_lines(axis, order, shown=False)
    axis.grid(axis="y", alpha=0.25)


def _slices(figure, box, rbc, survives, truth, affine, limit) -> None:
    """One map through its peak in a box of the figure; its contours follow
    its own voxels.
    """
    from nilearn import plotting

    view = plotting.plot_stat_map(
        on_template(rbc, affine),
        bg_img=template(),
        cut_coords=cut_coordinates(rbc, affine),
        figure=figure,
        axes=box,
        cmap=colormaps[DIVERGING],
        vmax=limit,
        vmin=-limit,
        symmetric_cbar=True,
        threshold=None,
        transparency=on_template(np.abs(rbc), affine),
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
                image(region, affine),
                levels=[0.5],
                colors=[shade],
                linewidths=1.2,
            )
