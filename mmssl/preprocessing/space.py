"""Images and coordinates: affines, resampling between grids, and SimpleITK's
LPS images for nibabel's RAS+ arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    import SimpleITK as sitk

# Full width at half maximum of a Gaussian, in standard deviations.
FWHM = np.sqrt(8 * np.log(2))
# RAS+ mm to LPS mm, and back.
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Largest departure from right angles that counts as rounding in the header.
_SHEAR = 1e-2


def spacing(affine: np.ndarray) -> np.ndarray:
    """(3,) voxel sides in mm of a (4, 4) affine."""
    return np.linalg.norm(np.asarray(affine, dtype=np.float64)[:3, :3], axis=0)


def direction(affine: np.ndarray) -> np.ndarray:
    """(3, 3) nearest rotation (or reflection) of the axes of a (4, 4) affine.

    Raises
    ------
    ValueError
        If the affine is sheared; SimpleITK knows only right angles.
    """
    axes = np.asarray(affine, dtype=np.float64)[:3, :3] / spacing(affine)
    left, _, right = np.linalg.svd(axes)
    # The nearest rotation: headers are rounded to single precision.
    nearest = left @ right
    shear = np.abs(nearest - axes).max()
    if shear > _SHEAR:
        raise ValueError(
            f"affine: found axes {shear:.3f} off right angles, "
            f"expected < {_SHEAR}"
        )
    return nearest


def to_sitk(volume: np.ndarray, affine: np.ndarray) -> sitk.Image:
    """Array (X, Y, Z) with its affine to RAS+ mm as a SimpleITK image in LPS.

    Raises
    ------
    ValueError
        If the affine is sheared, see `direction`.
    """
    import SimpleITK as sitk

    lps = _LPS @ np.asarray(affine, dtype=np.float64)
    values = np.asarray(volume, dtype=np.float32).transpose(2, 1, 0)
    image = sitk.GetImageFromArray(np.ascontiguousarray(values))
    image.SetSpacing(spacing(affine).tolist())
    image.SetDirection(direction(lps).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    return image


def to_matrix(transform: sitk.Transform) -> np.ndarray:
    """(4, 4) matrix on RAS+ mm of a linear SimpleITK transform on LPS mm."""
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    matrix[:3, 3] = origin
    for k, unit in enumerate(np.eye(3)):
        image = np.array(transform.TransformPoint(tuple(unit)))
        matrix[:3, k] = image - origin
    return _LPS @ matrix @ _LPS


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points (n, 3) in mm by a (4, 4) matrix."""
    return np.asarray(points) @ matrix[:3, :3].T + matrix[:3, 3]


def threads() -> int:
    """How many threads a person's images are computed by: those of ITK, of
    which each person of a batch has one.
    """
    import SimpleITK as sitk

    return sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()


def resample(
    volume: np.ndarray,
    affine: np.ndarray,
    to_world: np.ndarray,
    grid: np.ndarray,
    shape: tuple[int, int, int],
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """Sample a volume on another grid, averaging where its voxels are larger.

    The volume is smoothed with the Gaussian that takes its resolution to that
    of the grid (full width at half maximum sqrt(new^2 - old^2) on each axis),
    then interpolated linearly. With a mask both steps are weighted averages
    over the voxels inside, so that the outside does not bleed in.

    Parameters
    ----------
    volume : (X, Y, Z) array.
    affine : (4, 4), its voxels to world mm.
    to_world : (4, 4), the grid's mm to the volume's world mm.
    grid : (4, 4), the new voxels to the grid's mm.
    shape : (X', Y', Z') of the new grid.
    mask : (X, Y, Z) bool array, voxels of the volume that count; None counts
        all.

    Returns
    -------
    (X', Y', Z') float32 array; 0 where nothing of the volume (or its mask)
    reaches.
    """
    to_voxel = np.linalg.inv(affine) @ to_world @ grid
    old_sides = spacing(affine)
    new_side = spacing(to_world @ grid).mean()
    width = np.sqrt(np.maximum(new_side**2 - old_sides**2, 0))  # mm
    sigma = width / FWHM / old_sides

    def sample(values: np.ndarray) -> np.ndarray:
        """One volume, smoothed and resampled."""
        smooth = ndimage.gaussian_filter(
            values, sigma, mode="constant", truncate=3.0
        )
        return ndimage.affine_transform(
            smooth, to_voxel[:3, :3], to_voxel[:3, 3], shape, order=1
        )

    if mask is None:
        return sample(np.asarray(volume, dtype=np.float32))
    weight = sample(mask.astype(np.float32))
    weighted = sample(np.where(mask, volume, 0).astype(np.float32))
    mean = np.zeros_like(weighted)
    return np.divide(weighted, weight, out=mean, where=weight > 1e-3)


def coarsen(
    volume: np.ndarray, affine: np.ndarray, finest: float
) -> tuple[np.ndarray, np.ndarray]:
    """Average a volume to 1 mm on its own axes if a voxel side is smaller than
    ``finest``.

    Parameters
    ----------
    volume : (X, Y, Z) array.
    affine : (4, 4), voxels to world mm.
    finest : mm.

    Returns
    -------
    (X', Y', Z') array, (4, 4) affine
        The volume as it is, or the coarser one; the outer corners stay where
        they were.
    """
    sides = spacing(affine)
    if sides.min() >= finest:
        return volume, affine
    shape = np.ceil(np.array(volume.shape) * sides).astype(int)
    shape = tuple(shape.tolist())
    grid = np.eye(4)
    grid[:3, :3] = affine[:3, :3] / sides
    half_voxel = (grid[:3, :3] - affine[:3, :3]).sum(axis=1) / 2
    grid[:3, 3] = affine[:3, 3] + half_voxel
    return resample(volume, affine, np.eye(4), grid, shape), grid
