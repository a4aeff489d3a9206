"""The standard space: the MNI152 template that ships with nilearn, on the
project's cubic grids.

Every cohort lives on a cube of ``size`` voxels that covers 192 mm of MNI
space, so that 64 voxels are the 3 mm, 64x64x64 images of Fedorov et al. 2021
(application to Alzheimer's disease) and 32 voxels are the same brains at 6 mm.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from mmssl.preprocessing import space

FIELD_OF_VIEW = 192.0  # mm, the side of the cube
CENTRE = np.array([0.0, -18.0, 6.0])  # MNI mm, of the brain's bounding box


class Template(NamedTuple):
    """The MNI152 template and its tissue maps on one grid.

    Arrays (X, Y, Z), RAS+, read-only.

    Attributes
    ----------
    t1 : float32 array, brain only (skull-stripped), intensity in [0, 1].
    mask : bool array, the brain.
    grey, white, csf : float32 arrays, tissue fraction in [0, 1]; at 1 mm they
        sum to 1 in the mask.
    affine : (4, 4) array, voxel indices to MNI mm.
    """

    t1: np.ndarray
    mask: np.ndarray
    grey: np.ndarray
    white: np.ndarray
    csf: np.ndarray
    affine: np.ndarray


def grid(size: int) -> np.ndarray:
    """Affine of the cubic grid of ``size`` voxels a side over the common field
    of view.

    Parameters
    ----------
    size : voxels along each axis, at least 8; 64 gives 3 mm and 32 gives 6 mm.

    Returns
    -------
    (4, 4) float64 array, voxel indices to MNI mm, RAS+.

    Raises
    ------
    ValueError
        If ``size`` is not an integer of at least 8.
    """
    if isinstance(size, bool) or size != int(size) or size < 8:
        raise ValueError(
            f"size: found {size!r}, expected an integer of at least 8"
        )
    side = FIELD_OF_VIEW / size
    affine = np.diag([side, side, side, 1.0])
    affine[:3, 3] = CENTRE - side * (size - 1) / 2
    return affine


@lru_cache(maxsize=1)
def full() -> Template:
    """The template as nilearn ships it: 1 mm, 197 x 233 x 189 voxels.

    The cerebrospinal fluid is what the brain mask holds beyond grey and white
    matter; nilearn ships no map of it.
    """
    from nilearn import datasets

    image = datasets.load_mni152_template(resolution=1)
    mask = datasets.load_mni152_brain_mask(resolution=1).get_fdata() > 0.5
    grey = datasets.load_mni152_gm_template(resolution=1)
    white = datasets.load_mni152_wm_template(resolution=1)
    t1 = image.get_fdata(dtype=np.float32) * mask
    grey = grey.get_fdata(dtype=np.float32) * mask
    white = white.get_fdata(dtype=np.float32) * mask
    total = np.maximum(grey + white, 1.0)
    grey = grey / total
    white = white / total
    csf = np.where(mask, 1.0 - grey - white, 0.0)
    csf = csf.clip(0.0, 1.0).astype(np.float32)
    affine = np.asarray(image.affine, dtype=np.float64)
    return read_only(Template(t1, mask, grey, white, csf, affine))


@lru_cache(maxsize=4)
def template(size: int) -> Template:
    """The template averaged down to the grid of ``size`` voxels a side.

    Parameters
    ----------
    size : voxels along each axis, see `grid`.

    Returns
    -------
    Template with arrays (size, size, size); shared and read-only, copy before
    writing.

    Raises
    ------
    ValueError
        If ``size`` is not an integer of at least 8.
    """
    return averaged(full(), size)


def averaged(source: Template, size: int) -> Template:
    """Maps on the template's 1 mm grid, averaged down to the grid of ``size``
    voxels a side; result and errors as `template`.
    """
    return read_only(
        Template(
            t1=to_grid(source.t1, size),
            mask=to_grid(source.mask, size) > 0.5,
            grey=to_grid(source.grey, size),
            white=to_grid(source.white, size),
            csf=to_grid(source.csf, size),
            affine=grid(size),
        )
    )


def to_grid(volume: np.ndarray, size: int) -> np.ndarray:
    """Average a map in the template's 1 mm space down to a cubic grid.

    The map is smoothed with a Gaussian of one new voxel full width at half
    maximum before it is sampled, because picking every third or sixth
    millimetre would alias the cortex.

    Parameters
    ----------
    volume : (197, 233, 189) array, aligned with `full`.
    size : voxels along each axis, see `grid`.

    Returns
    -------
    (size, size, size) float32 array.
    """
    source, affine = full().affine, grid(size)
    to_source = np.linalg.inv(source) @ affine
    sigma = affine[0, 0] / space.FWHM / source[0, 0]
    smooth = ndimage.gaussian_filter(
        volume.astype(np.float32), sigma, mode="constant"
    )
    return ndimage.affine_transform(
        smooth, to_source[:3, :3], to_source[:3, 3], (size,) * 3, order=1
    )


def read_only(maps: Template) -> Template:
    """Forbid to write into maps: cached arrays are shared by all callers."""
    for array in maps:
        array.setflags(write=False)
    return maps
