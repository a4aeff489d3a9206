"""The brain mask of a registered T1, whether or not the skull is still
there.
"""

import numpy as np
from scipy import ndimage

from mmssl.preprocessing import quality, space, template

# mm, how far a brain may lie outside the template's after a similarity
# transform
_REACH = 6.0
_CORE = 8.0  # mm, how deep inside the template's brain every voxel is brain
# mm, half the width of the bridges between brain and skull that are cut
_NECK = 2.5
_REGROWN = 4.2  # mm, back over what the cut took and across the sulci
_DARK = 0.2  # of the brain's median: darker is background
# of the shell around the brain may be brighter if the skull is gone
_EMPTY = 0.15


def brain_mask(
    t1: np.ndarray, affine: np.ndarray, matrix: np.ndarray
) -> np.ndarray:
    """Mask of the brain in native space: the template's, carried back and
    fitted to the image.

    The similarity transform carries the template's depth map (distance to the
    brain's surface) into native space. If the shell just outside it is empty,
    the skull has been removed already and the mask is what is not background.
    Otherwise voxels as bright as grey and white matter (k-means on the carried
    mask) are opened, to cut the bridges to skull and dura, the component
    holding the brain's core is kept and closed over the sulci, never further
    out than 6 mm.

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
    ValueError : the carried mask and the image do not meet: the registration
        has failed.
    """
    depth = _depth(np.linalg.inv(matrix), affine, t1.shape)
    if not (t1[depth > 0] > 0).any():
        raise ValueError(
            "t1: found no signal where the template's brain lies, expected a brain"
        )
    box = ndimage.find_objects((depth > -2 * _CORE).astype(np.int8))[0]
    mask = np.zeros(t1.shape, bool)
    mask[box] = _fit(t1[box], depth[box], space.spacing(affine))
    return mask


def _fit(t1: np.ndarray, depth: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Mask of the brain given every voxel's depth (mm) in the carried template
    mask.
    """
    median = np.median(t1[depth > 0])
    near, core = depth > -_REACH, depth > _CORE
    if stripped(t1, depth):
        mask = near & (t1 > _DARK / 4 * median)
        return _fill(_component(mask | core, core))
    labels = quality.tissues(t1, depth > 0)
    border = 0.5 * (t1[labels == 1].mean() + t1[labels == 2].mean())
    tissue = near & (t1 > border) | core
    opened = ndimage.distance_transform_edt(tissue, sides) > _NECK
    grown = (
        ndimage.distance_transform_edt(~_component(opened, core), sides)
        <= _REGROWN
    )
    return _fill(_component(grown & near | core, core))


def stripped(t1: np.ndarray, depth: np.ndarray) -> bool:
    """Whether the skull is gone: almost nothing bright 4 to 16 mm outside the
    brain's surface.
    """
    shell = (depth < -_CORE / 2) & (depth > -2 * _CORE)
    return bool((t1[shell] > _DARK * np.median(t1[depth > 0])).mean() < _EMPTY)


def _depth(matrix: np.ndarray, affine: np.ndarray, shape: tuple) -> np.ndarray:
    """Distance to the template's surface in mm, positive inside, at every
    native voxel.
    """
    model = template.template(96)
    side = model.affine[0, 0]
    depth = ndimage.distance_transform_edt(model.mask, side)
    depth -= ndimage.distance_transform_edt(~model.mask, side)
    to_voxel = np.linalg.inv(model.affine) @ matrix @ affine
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
    held = np.bincount(labels[core], minlength=count + 1)
    held[0] = 0
    return labels == held.argmax()


def _fill(mask: np.ndarray) -> np.ndarray:
    """Close the holes of a mask: ventricles count as brain."""
    return ndimage.binary_fill_holes(mask)
