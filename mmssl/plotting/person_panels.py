"""Figure of one person: the images, what comes back of them, and where an
encoder looks.
"""

from collections.abc import Mapping

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from mmssl.plotting.look import ANATOMY, MAGNITUDE, TRUTH, canvas, colour
from mmssl.plotting.slices import name_sides


def person_panels(
    images: Mapping[str, np.ndarray],
    reconstructions: Mapping[str, np.ndarray],
    maps: Mapping[str, np.ndarray],
    affine: np.ndarray,
    truth: Mapping[str, np.ndarray] | None = None,
    threshold: float = 0.75,
) -> Figure:
    """Draw one person's images beside their reconstruction and saliency, an
    axial slice each, front up, at the peak of the modality's saliency.

    Parameters
    ----------
    images : {modality: array (X, Y, Z)}
        As the encoder gets them, in z-scores, RAS+.
    reconstructions : {modality: array (X, Y, Z)}
        In z-scores too; empty where nothing was learned to reconstruct.
    maps : {modality: array (X, Y, Z), in [0, 1], 0 outside the brain}
    affine : array (4, 4), voxel to RAS+ world in mm, without a rotation.
    truth : {modality: bool array (X, Y, Z)}, optional
        What was planted, outlined on the image and on the map.
    threshold : float
        Quantile of a map's voxels above 0 below which the image shows.

    Returns
    -------
    Figure
        A line for each modality. Image and reconstruction share a grey scale.
    """
    titles = ["image", "reconstruction", "saliency"]
    if not reconstructions:
        titles.remove("reconstruction")
    figure, axes = canvas(
        len(images), len(titles), 2.4 * len(titles), 2.5 * len(images)
    )
    for line, (modality, volume) in zip(axes, images.items(), strict=True):
        values = maps[modality]
        cut = int(np.unravel_index(values.argmax(), values.shape)[2])
        low, high = np.percentile(volume, [1, 99.5])
        height = affine[2, 2] * cut + affine[2, 3]
        for axis, title in zip(line, titles, strict=True):
            shown = volume
            if title == "reconstruction":
                shown = reconstructions[modality]
            axis.imshow(
                shown[:, :, cut].T,
                cmap=ANATOMY,
                vmin=low,
                vmax=high,
                origin="lower",
            )
            if title == "saliency":
                above = values[values > 0]
                limit = np.quantile(above, threshold) if above.size else 1.0
                scale = Normalize(limit, max(values.max(), limit + 1e-6))
                over = np.ma.masked_less(values[:, :, cut].T, limit)
                axis.imshow(over, cmap=MAGNITUDE, norm=scale, origin="lower")
                figure.colorbar(
                    ScalarMappable(scale, MAGNITUDE),
                    ax=axis,
                    shrink=0.7,
                    label="saliency",
                )
            region = (truth or {}).get(modality)
            if title != "reconstruction" and region is not None:
                if region[:, :, cut].any():
                    axis.contour(
                        region[:, :, cut].T.astype(float),
                        [0.5],
                        colors=[TRUTH],
                        linewidths=1.2,
                    )
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            name_sides(axis)
            if axis is line[0]:
                axis.set_ylabel(modality, color=colour(modality))
                place = f"{height:z.0f}".replace("-", "−")
                axis.set_xlabel(f"z = {place} mm", fontsize=9)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, loc="left")
    return figure
