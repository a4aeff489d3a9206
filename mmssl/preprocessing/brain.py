"""The brain mask of a registered T1, with or without the skull."""

import numpy as np
from scipy import ndimage

from mmssl.preprocessing import quality, space, template

# Farthest that a brain may lie outside the template's, mm: a similarity
# transform leaves this much.
_MARGIN = 6.0
# Depth inside the template's brain from which every voxel is brain, mm.
_CORE_DEPTH = 8.0
# Half the width of the bridges between brain and skull that are cut, mm.
_BRIDGE = 2.5
# How far the mask grows back after the cut, which also closes the sulci, mm.
_REGROWTH = 4.2
# Darker than this share of the brain's median is background.
_DARK = 0.2
# The skull is gone if less than this share of the shell around the brain is
# brighter than background.
_BRIGHT_SHARE = 0.15


def brain_mask(
    t1: np.ndarray, affine: np.ndarray, matrix: np.ndarray
) -> np.ndarray:
    """Mask of the brain in native space.

    The similarity transform carries the template's depth map (distance to the
    brain's surface) into native space. If the shell just outside it is empty,
    the skull has been removed already and the mask is what is not background.
    Otherwise the voxels as bright as grey and white matter (k-means in the
    carried mask) are opened, which cuts the bridges to skull and dura; the
    component that holds the brain's core is kept and closed over the sulci,
    never further out than 6 mm.

    Parameters
    ----------
    t1 : (X, Y, Z) array.
    affine : (4, 4), voxels to native mm.
    matrix : (4, 4), MNI mm to native mm, from `registration.to_template`.

    Returns
    -------
    (X, Y, Z) bool array, one component without holes.

    Raises
    ------
    ValueError
        If the carried mask and the image do not meet: the registration has
        failed.
    """
    depth = _depth(np.linalg.inv(matrix), affine, t1.shape)
    if not (t1[depth > 0] > 0).any():
        raise ValueError(
            "t1: found no signal where the template's brain lies, "
            "expected a brain"
        )
    nearby = (depth > -2 * _CORE_DEPTH).astype(np.int8)
    box = ndimage.find_objects(nearby)[0]
    mask = np.zeros(t1.shape, bool)
    mask[box] = _fitted_mask(t1[box], depth[box], space.spacing(affine))
    return mask


def _fitted_mask(
    t1: np.ndarray, depth: np.ndarray, sides: np.ndarray
) -> np.ndarray:
    """Mask of the brain, given every voxel's depth in the carried template
    (mm) and the voxel's sides (mm).
    """
    near = depth > -_MARGIN
    core = depth > _CORE_DEPTH
    if _skull_is_gone(t1, depth):
        median = np.median(t1[depth > 0])
        mask = near & (t1 > _DARK / 4 * median)
        return ndimage.binary_fill_holes(_component(mask | core, core))
    labels = quality.tissues(t1, depth > 0)
    border = 0.5 * (t1[labels == 1].mean() + t1[labels == 2].mean())
    tissue = near & (t1 > border) | core
    opened = ndimage.distance_transform_edt(tissue, sides) > _BRIDGE
    outside = ~_component(opened, core)
    grown = ndimage.distance_transform_edt(outside, sides) <= _REGROWTH
    # Filling makes the ventricles part of the brain.
    return ndimage.binary_fill_holes(_component(grown & near | core, core))


def _skull_is_gone(t1: np.ndarray, depth: np.ndarray) -> bool:
    """Whether almost nothing is bright 4 to 16 mm outside the brain."""
    shell = (depth < -_CORE_DEPTH / 2) & (depth > -2 * _CORE_DEPTH)
    background = _DARK * np.median(t1[depth > 0])
    return bool((t1[shell] > background).mean() < _BRIGHT_SHARE)


def _depth(matrix: np.ndarray, affine: np.ndarray, shape: tuple) -> np.ndarray:
    """Distance of every native voxel to the surface of the template's brain.

    In mm, positive inside; ``matrix`` maps native mm to MNI mm.
    """
    mni = template.template(96)
    side = mni.affine[0, 0]
    depth = ndimage.distance_transform_edt(mni.mask, side)
    depth -= ndimage.distance_transform_edt(~mni.mask, side)
    to_voxel = np.linalg.inv(mni.affine) @ matrix @ affine
    return ndimage.affine_transform(
        depth.astype(np.float32),
        to_voxel[:3, :3],
        to_voxel[:3, 3],
        shape,
        order=1,
        cval=-99.0,
    )


def _component(mask: np.ndarray, core: np.ndarray) -> np.ndarray:
    """The connected part of the mask that holds most of the core."""
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    core_voxels = np.bincount(labels[core], minlength=count + 1)
    core_voxels[0] = 0
    return labels == core_voxels.argmax()
