"""Figures of saliency: dimensions over anatomy, the best pair, its null, and
forgetting.

Slices are drawn by their affine in the neurological convention: left of the
figure is the person's left, and every figure says so.
"""

from collections.abc import Mapping, Sequence

import nibabel as nib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from nibabel.affines import apply_affine

from mmssl.plotting.look import (
    DIVERGING,
    BASELINE,
    MAGNITUDE,
    PALETTE,
    canvas,
    colour,
    style,
)

CONVENTION = "neurological convention: the person's left is on the left"


def saliency_maps(
    maps: Mapping[str, Mapping[str, np.ndarray]],
    background: np.ndarray,
    affine: np.ndarray,
    threshold: float = 0.75,
) -> Figure:
    """Draw maps of several latent dimensions over anatomy, an axial slice
    each, at the map's peak.

    Parameters
    ----------
    maps : mapping
        {line: {title: array (X, Y, Z), from 0}}; a title may repeat in the
        next line.
    background : array (X, Y, Z), on the same grid.
    affine : array (4, 4), voxel to RAS+ world in mm.
    threshold : float
        Quantile, of the voxels above 0 of each map, below which anatomy shows.
    """
    columns = max(len(line) for line in maps.values())
    width, height, side = 1.9 * columns + 0.4, 2.3 * len(maps) + 0.25, 1.9
    with style():
        figure = Figure(figsize=(width, height), layout="none")
    for i, (line, across) in enumerate(maps.items()):
        bottom = height - 2.3 * (i + 1)
        figure.text(
            0.05 / width,
            (bottom + side / 2) / height,
            line,
            rotation=90,
            va="center",
        )
        for j, (title, values) in enumerate(across.items()):
            box = (
                (0.35 + 1.9 * j) / width,
                bottom / height,
                side / width,
                side / height,
            )
            z = _peak(values, affine)[2]
            _slices(
                figure, box, values, background, affine, "z", [z], threshold
            )
            figure.text(
                box[0] + 0.08 / width,
                (bottom + side + 0.08) / height,
                title,
                fontsize=9,
            )
    figure.text(
        0.35 / width, 0.995, CONVENTION, fontsize=8, color=BASELINE, va="top"
    )
    return figure


def best_pair(
    maps: Mapping[str, np.ndarray],
    dimensions: Mapping[str, int],
    background: np.ndarray,
    affine: np.ndarray,
    threshold: float = 0.9,
    truth: Mapping[str, np.ndarray] | None = None,
) -> Figure:
    """Draw the thresholded mean saliency of a pair of dimensions, cut through
    each one's peak.

    As figure 3 of Fedorov et al. 2021 ("Application to Alzheimer's disease"),
    which names neither its threshold nor its scale.

    Parameters
    ----------
    maps : mapping
        {modality: array (X, Y, Z), in [0, 1], 0 outside the brain}.
    dimensions : mapping
        {modality: index}, for the titles.
    background : array (X, Y, Z), on the same grid.
    affine : array (4, 4), voxel to RAS+ world in mm.
    threshold : float
        Quantile of a map's voxels above 0; what is below is not drawn.
    truth : mapping, optional
        {modality: bool array (X, Y, Z)}, drawn as a contour.
    """
    width, height = 6.6, 2.65 * len(maps) + 0.3
    with style():
        figure = Figure(figsize=(width, height), layout="none")
    for i, (m, values) in enumerate(maps.items()):
        bottom, cuts = height - 2.65 * (i + 1), _peak(values, affine)
        box = (0.02, bottom / height, 5.6 / width, 2.1 / height)
        view = _slices(
            figure, box, values, background, affine, "ortho", cuts, threshold
        )
        if truth and m in truth:
            view.add_contours(
                _image(truth[m], affine),
                levels=[0.5],
                colors=[PALETTE[1]],
                linewidths=1.2,
            )
        x, y, z = cuts
        title = f"{m}, dimension {dimensions[m]}; peak ({x:.0f}, {y:.0f}, {z:.0f}) mm"
        figure.text(0.03, (bottom + 2.17) / height, title, fontsize=9.5)
        low = _limit(values, threshold)
        axis = figure.add_axes(
            (5.85 / width, (bottom + 0.3) / height, 0.1 / width, 1.5 / height)
        )
        figure.colorbar(
            ScalarMappable(Normalize(low, values.max() or 1), MAGNITUDE),
            cax=axis,
        )
        axis.tick_params(labelsize=8)
        axis.set_title("saliency", fontsize=8, loc="center")
    figure.text(0.03, 0.995, CONVENTION, fontsize=8, color=BASELINE, va="top")
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
    image = axes[0].imshow(
        correlation,
        cmap=DIVERGING,
        vmin=-size,
        vmax=size,
        origin="upper",
        aspect="auto",
    )
    axes[0].add_patch(
        Rectangle(
            (best[1] - 1, best[0] - 1), 2, 2, fill=False, ec="black", lw=1.5
        )
    )
    axes[0].set(
        title=f"best pair: {modalities[0]} {best[0]}, {modalities[1]} {best[1]}",
        ylabel=f"{modalities[0]} dimension",
        xlabel=f"{modalities[1]} dimension",
    )
    figure.colorbar(image, ax=axes[0], label="correlation across people")
    axes[1].hist(null, 40, color=BASELINE, alpha=0.6, label="people shuffled")
    axes[1].axvline(size, color=PALETTE[1], label="observed")
    axes[1].set(
        title="largest of all pairs",
        xlabel="|correlation|",
        ylabel="permutations",
    )
    axes[1].set_ylim(0, 1.2 * axes[1].get_ylim()[1])  # room for the legend
    axes[1].legend(ncols=2, loc="upper center", frameon=False)
    return figure


def forgetting(kept: Mapping[str, np.ndarray]) -> Figure:
    """Draw how alike maps stay to the trained ones as layers are initialised
    anew.

    Parameters
    ----------
    kept : mapping
        {modality: (layers + 1, people, dimensions)} rank correlations, of
        `mmssl.saliency.parameter_randomisation.cascade`. Drawn are the median
        and the middle half.
    """
    figure, ((axis,),) = canvas(1, 1, 5.6, 3.0)
    for m, values in kept.items():
        low, middle, high = np.nanquantile(
            values, [0.25, 0.5, 0.75], axis=(1, 2)
        )
        layers = np.arange(len(values))
        axis.fill_between(layers, low, high, color=colour(m), alpha=0.2, lw=0)
        axis.plot(layers, middle, "o-", color=colour(m), label=m)
    axis.axhline(0, color=BASELINE, ls=":", lw=1)
    axis.set(
        xlabel="layers initialised anew, from the last one down",
        xticks=layers,
        ylabel="rank correlation\nwith the trained map",
        ylim=(None, 1.05),
    )
    axis.legend(frameon=False)
    return figure


def _slices(figure, box, values, background, affine, mode, cuts, threshold):
    """One map in a box of the figure; nilearn cuts it by its affine and writes
    L and R.
    """
    # two seconds, which pages without a brain should not wait
    from nilearn import plotting

    return plotting.plot_stat_map(
        _image(values, affine),
        bg_img=_image(background, affine),
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


def _peak(values: np.ndarray, affine: np.ndarray) -> tuple[float, ...]:
    """World coordinates in mm of the largest value."""
    voxel = np.unravel_index(int(values.argmax()), values.shape)
    return tuple(float(c) for c in apply_affine(affine, voxel))


def _image(volume: np.ndarray, affine: np.ndarray) -> nib.Nifti1Image:
    return nib.Nifti1Image(np.asarray(volume, dtype=np.float32), affine)
