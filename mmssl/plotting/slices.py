"""What figures of brain maps share: a volume with its place, its peak, the
template below it, and which side is which; a slice with outlines.
"""

from collections.abc import Iterable
from functools import lru_cache

import nibabel as nib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke
from nibabel.affines import apply_affine

from mmssl.plotting.look import (
    ANATOMY,
)


def image(volume: np.ndarray, affine: np.ndarray) -> nib.Nifti1Image:
    """A volume (X, Y, Z) as nilearn draws it, in float32."""
    return nib.Nifti1Image(np.asarray(volume, dtype=np.float32), affine)


@lru_cache(maxsize=1)
def template() -> nib.Nifti1Image:
    """The MNI152 T1 template at 2 mm, in [0, 1], as nilearn ships it, cropped
    to the brain; what maps are drawn over.
    """
    # two seconds, which pages without a brain should not wait
    from nilearn import datasets
    from nilearn.image import crop_img

    return crop_img(datasets.load_mni152_template(resolution=2))


def on_template(volume: np.ndarray, affine: np.ndarray) -> nib.Nifti1Image:
    """A map at the voxels of the template, placed by its own affine.

    Between the map's voxels values are linear, so none is larger than the
    map's largest; beyond its grid they are 0.

    Parameters
    ----------
    volume : array (X, Y, Z), in MNI space.
    affine : array (4, 4), voxel to RAS+ world in mm.
    """
    from nilearn.image import resample_to_img

    return resample_to_img(
        image(volume, affine), template(), interpolation="linear"
    )


def peak_coordinates(
    volume: np.ndarray, affine: np.ndarray
) -> tuple[float, ...]:
    """World coordinates in mm of the largest absolute value."""
    largest = int(np.abs(volume).argmax())
    voxel = np.unravel_index(largest, volume.shape)
    return tuple(float(c) for c in apply_affine(affine, voxel))


def cut_coordinates(
    volume: np.ndarray, affine: np.ndarray
) -> tuple[float, ...]:
    """The peak in mm, or the place of the template that is next to it: beside
    the template there is nothing to cut.
    """
    below = template()
    farthest = np.subtract(below.shape, 1)
    corners = apply_affine(below.affine, [np.zeros(3), farthest])
    peak = peak_coordinates(volume, affine)
    nearest = np.clip(peak, corners.min(axis=0), corners.max(axis=0))
    return tuple(nearest.tolist())


def name_sides(axis: Axes, direction: int = 2) -> None:
    """Write L and R into a slice of a RAS+ volume drawn with x from left to
    right.

    Parameters
    ----------
    axis : Axes
    direction : int
        Across which the slice was taken: 2 axial, 1 coronal; a sagittal one,
        0, has no sides.
    """
    if direction == 0:
        return
    for side, place, align in (("L", 0.02, "left"), ("R", 0.98, "right")):
        letter = axis.text(
            place,
            0.98,
            side,
            transform=axis.transAxes,
            ha=align,
            va="top",
            fontsize=8,
            color="white",
        )
        # read on any grey
        edge = withStroke(linewidth=2, foreground="black")
        letter.set_path_effects([edge])


def outlined_slice(
    axis: Axes, image: np.ndarray, outlines: Iterable[tuple[np.ndarray, str]]
) -> None:
    """Draw an axial slice, front up, with the outlines of masks.

    Parameters
    ----------
    axis : Axes
    image : array, shape (X, Y)
        Of a RAS+ volume.
    outlines : iterable of (array of bool, shape (X, Y), colour)
        One of no voxel has none.
    """
    axis.imshow(image.T, cmap=ANATOMY, origin="lower")
    for mask, colour in outlines:
        if mask.any():
            axis.contour(
                mask.T.astype(float), [0.5], colors=[colour], linewidths=1.2
            )
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    name_sides(axis)
