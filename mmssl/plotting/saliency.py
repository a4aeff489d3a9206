"""Figures of saliency: dimensions over anatomy, the best pair and its null,
randomised weights.

Slices are drawn by their affine in the neurological convention: left of the
figure is the person's left, and every figure says so.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedFormatter

from mmssl.plotting.look import (
    BASELINE,
    COMPETITOR,
    DIVERGING,
    DOTTED,
    MAGNITUDE,
    TRUTH,
    LiteralFigure,
    canvas,
    colour,
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

CONVENTION = "neurological convention: the person's left is on the left"

_COLUMN, _LINE, _SIDE, _BAR = 1.9, 2.3, 1.9, 0.7
"""Inches of `saliency_maps`: between columns, between lines, of a slice, and
below for the colour bar.
"""


def saliency_maps(
    maps: Mapping[str, Mapping[str, np.ndarray]],
    affine: np.ndarray,
    threshold: float = 0.75,
) -> Figure:
    """Draw maps of several latent dimensions over the MNI152 template, an
    axial slice each, at the map's peak.

    Parameters
    ----------
    maps : mapping
        {line: {title: array (X, Y, Z), from 0}}; a title may repeat in the
        next line.
    affine : array (4, 4), voxel to RAS+ world in mm, MNI space.
    threshold : float
        Quantile, of the voxels above 0 of each map, below which anatomy shows.

    Returns
    -------
    Figure
        Each map has a scale of its own, from its threshold to its largest.
    """
    columns = max(len(line) for line in maps.values())
    width = _COLUMN * columns + 0.4
    height = _LINE * len(maps) + 0.25 + _BAR
    with style():
        figure = LiteralFigure(figsize=(width, height), layout="none")
    for i, (name, line) in enumerate(maps.items()):
        bottom = height - _LINE * (i + 1)
        middle = (bottom + _SIDE / 2) / height
        figure.text(0.05 / width, middle, name, rotation=90, va="center")
        for j, (title, values) in enumerate(line.items()):
            left = 0.35 + _COLUMN * j
            box = (
                left / width,
                bottom / height,
                _SIDE / width,
                _SIDE / height,
            )
            z = cut_coordinates(values, affine)[2]
            _slices(figure, box, values, affine, "z", [z], threshold)
            top = (bottom + _SIDE + 0.08) / height
            figure.text((left + 0.08) / width, top, title, fontsize=9)
    _name_convention(figure, 0.35 / width)
    box = (0.6 / width, 0.42 / height, 1.5 / width, 0.1 / height)
    bar = figure.add_axes(box)
    figure.colorbar(
        ScalarMappable(cmap=MAGNITUDE),
        cax=bar,
        orientation="horizontal",
        ticks=[0, 1],
        format=FixedFormatter([f"quantile {threshold:g}", "largest"]),
    )
    bar.tick_params(labelsize=8)
    bar.set_title("saliency, of each map", fontsize=8)
    return figure


def best_pair(
    maps: Mapping[str, np.ndarray],
    dimensions: Mapping[str, int],
    affine: np.ndarray,
    threshold: float = 0.9,
    truth: Mapping[str, np.ndarray] | None = None,
) -> Figure:
    """Draw the thresholded mean saliency of a pair of dimensions over the
    MNI152 template, cut through each one's peak.

    As figure 3 of Fedorov et al. 2021 ("Application to Alzheimer's disease"),
    which names neither its threshold nor its scale.

    Parameters
    ----------
    maps : mapping
        {modality: array (X, Y, Z), in [0, 1], 0 outside the brain}.
    dimensions : mapping
        {modality: index}, for the titles.
    affine : array (4, 4), voxel to RAS+ world in mm, MNI space.
    threshold : float
        Quantile of a map's voxels above 0; what is below is not drawn.
    truth : mapping, optional
        {modality: bool array (X, Y, Z)}, drawn as a contour.
    """
    width, line_height = 6.6, 2.65
    height = line_height * len(maps) + 0.3
    with style():
        figure = LiteralFigure(figsize=(width, height), layout="none")
    for i, (modality, values) in enumerate(maps.items()):
        bottom = height - line_height * (i + 1)
        x, y, z = peak_coordinates(values, affine)
        box = (0.02, bottom / height, 5.6 / width, 2.1 / height)
        view = _slices(
            figure,
            box,
            values,
            affine,
            "ortho",
            cut_coordinates(values, affine),
            threshold,
        )
        if truth and modality in truth:
            view.add_contours(
                image(truth[modality], affine),
                levels=[0.5],
                colors=[TRUTH],
                linewidths=1.2,
            )
        title = (
            f"{modality}, dimension {dimensions[modality]}; "
            f"peak ({x:.0f}, {y:.0f}, {z:.0f}) mm"
        )
        figure.text(0.03, (bottom + 2.17) / height, title, fontsize=9.5)
        axis = figure.add_axes(
            (5.85 / width, (bottom + 0.3) / height, 0.1 / width, 1.5 / height)
        )
        shown = Normalize(_limit(values, threshold), values.max() or 1)
        figure.colorbar(ScalarMappable(shown, MAGNITUDE), cax=axis)
        axis.tick_params(labelsize=8)
        axis.set_title("saliency", fontsize=8, loc="center")
    _name_convention(figure, 0.03)
    return figure


def dimension_pairs(
    correlation: np.ndarray,
    best: tuple[int, int],
    null: np.ndarray,
    modalities: Sequence[str],
) -> Figure:
    """Draw every correlation of two modalities' dimensions, and the null of
    the largest.

    Parameters
    ----------
    correlation : array (d1, d2)
    best : (i, j), marked in the matrix.
    null : array (permutations,)
        Largest absolute correlation with people shuffled.
    modalities : two names, of the rows and of the columns.
    """
    figure, (axes,) = canvas(1, 2, 9.0, 3.9, width_ratios=(1.15, 1))
    size = abs(correlation[best])
    matrix, histogram = axes
    drawn = matrix.imshow(
        correlation,
        cmap=DIVERGING,
        vmin=-size,
        vmax=size,
        origin="upper",
        aspect="auto",
    )
    corner = (best[1] - 1, best[0] - 1)
    matrix.add_patch(Rectangle(corner, 2, 2, fill=False, ec="black", lw=1.5))
    first, second = modalities
    matrix.set(
        title=f"best pair: {first} {best[0]}, {second} {best[1]}",
        ylabel=f"{first} dimension",
        xlabel=f"{second} dimension",
    )
    figure.colorbar(drawn, ax=matrix, label="correlation across people")
    histogram.hist(
        null, 40, color=BASELINE, alpha=0.6, label="people shuffled"
    )
    histogram.axvline(size, color=COMPETITOR, label="observed")
    histogram.set(
        title="largest of all pairs",
        xlabel="|correlation|",
        ylabel="permutations",
    )
    top = histogram.get_ylim()[1]
    histogram.set_ylim(0, 1.2 * top)  # room for the legend
    histogram.legend(ncols=2, loc="upper center", frameon=False)
    return figure


def interactive_saliency(
    maps: Mapping[str, np.ndarray],
    files: Mapping[str, str],
    affine: np.ndarray,
    threshold: float = 0.9,
) -> BrainViewer:
    """Let a reader walk through the mean saliency of one dimension of each
    modality.

    Parameters
    ----------
    maps : {modality: array (X, Y, Z), in [0, 1], 0 outside the brain}
    files : {modality: name of the NIfTI that the page leaves}
    affine : array (4, 4), voxel to RAS+ world in mm.
    threshold : float
        As in `best_pair`; the lowest of the maps' own is where the viewer's
        threshold stands at first.
    """
    shown, limits = {}, []
    for modality, values in maps.items():
        largest = float(values.max())
        limits.append(_limit(values, threshold) / (largest or 1.0))
        peak = peak_coordinates(values, affine)
        shown[modality] = ViewerMap(
            files[modality],
            tuple(round(c, 1) for c in peak),
            round(largest, 4),
            "",
        )
    return BrainViewer(
        {"mean saliency": shown},
        "saliency",
        symmetric=False,
        share=min(limits),
    )


def person_randomisation(correlations: Mapping[str, np.ndarray]) -> Figure:
    """Draw how alike people's maps stay to those of the trained encoder as
    its layers are initialised anew.

    Parameters
    ----------
    correlations : mapping
        {modality: (layers + 1, people, dimensions)} rank correlations, of
        `mmssl.saliency.parameter_randomisation.person_map_correlations`. Drawn
        are the median and the middle half.
    """
    figure, ((axis,),) = canvas(1, 1, 5.6, 3.0)
    for modality, values in correlations.items():
        quartiles = np.nanquantile(values, [0.25, 0.5, 0.75], axis=(1, 2))
        low, middle, high = quartiles
        layers = np.arange(len(values))
        shade = colour(modality)
        axis.fill_between(layers, low, high, color=shade, alpha=0.2, lw=0)
        axis.plot(layers, middle, "o-", color=shade, label=modality)
    axis.axhline(0, **DOTTED)
    axis.set(
        xlabel="layers initialised anew, from the last one down",
        xticks=layers,
        ylabel="rank correlation\nwith the trained map",
        ylim=(None, 1.05),
    )
    axis.legend(frameon=False)
    return figure


def _name_convention(figure: Figure, left: float) -> None:
    figure.text(left, 0.995, CONVENTION, fontsize=8, color=BASELINE, va="top")


def _slices(figure, box, values, affine, mode, cuts, threshold):
    """One map in a box of the figure; nilearn cuts it by its affine and writes
    L and R.
    """
    # two seconds, which pages without a brain should not wait
    from nilearn import plotting

    return plotting.plot_stat_map(
        on_template(values, affine),
        bg_img=template(),
        display_mode=mode,
        cut_coords=cuts,
        figure=figure,
        axes=box,
        cmap=MAGNITUDE,
        vmin=_limit(values, threshold),
        vmax=float(values.max()) or 1.0,
        threshold=_limit(values, threshold),
        colorbar=False,
        resampling_interpolation="nearest",
        annotate=True,
        draw_cross=False,
        black_bg=False,
        dim=-0.3,
        radiological=False,
    )


def _limit(values: np.ndarray, threshold: float) -> float:
    """Quantile of the voxels above 0; a map without any has none."""
    above = values[values > 0]
    return float(np.quantile(above, threshold)) if above.size else 1e-6
