"""Spatial maps of TorchIO and ITK, as voxel coordinates: where each voxel's
value is taken from.

Worlds are ITK's (LPS, mm). A map carries a voxel of the output to the point of
the input that it samples, ``x' = A^{-1} T(A x)`` with A from voxels to the
world.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    import SimpleITK as sitk

_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# voxels; rounding must not push a point on the border of the volume over it
_EDGE = 1e-9


class SamplingGrid(NamedTuple):
    """Where each voxel of an output samples the input.

    grid : float32 (1, X, Y, Z, 3), as `torch.nn.functional.grid_sample` takes
        it.
    inside : bool (X, Y, Z), whether that point lies in the input.
    """

    grid: Tensor
    inside: Tensor


def sampling_grid(coordinates: Tensor) -> SamplingGrid:
    """Make a sampling grid of voxel coordinates (X, Y, Z, 3) in a volume of
    the same shape.
    """
    sides = torch.tensor(
        coordinates.shape[:3],
        dtype=coordinates.dtype,
        device=coordinates.device,
    )
    above = coordinates >= -0.5 - _EDGE
    below = coordinates < sides - 0.5 - _EDGE
    inside = (above & below).all(-1)
    # grid_sample counts from -1 to 1, in the order (z, y, x)
    grid = (2 * coordinates / (sides - 1) - 1).to(torch.float32).flip(-1)
    return SamplingGrid(grid[None], inside)


def sample_volume(volume: Tensor, sampling: SamplingGrid) -> Tensor:
    """Sample a volume (X, Y, Z) with linear interpolation and ITK's borders.

    Up to half a voxel past the last centre the edge is repeated; beyond is the
    image's minimum.
    """
    values = F.grid_sample(
        volume[None, None],
        sampling.grid,
        padding_mode="border",
        align_corners=True,
    )[0, 0]
    return torch.where(sampling.inside, values, volume.min())


def matrix_sampling(
    world_map: np.ndarray, affine: np.ndarray, shape, device
) -> SamplingGrid:
    """Sampling grid of a (4, 4) map of the world."""
    to_world = _LPS @ affine
    matrix = np.linalg.inv(to_world) @ world_map @ to_world
    coordinates = _voxels(shape) @ matrix[:3, :3].T + matrix[:3, 3]
    return sampling_grid(torch.from_numpy(coordinates).to(device))


def scale_rotate_shift(
    affine, shape, scale: float, degrees: float, translation: float
) -> np.ndarray:
    """RandomAffine: scale, turn about each axis and shift, around the image's
    centre, (4, 4).

    Forward, q = s (R (p - c) + t) + c; the inverse is what a resampler needs.
    """
    # TorchIO draws its parameters in float32
    scale = float(np.float32(scale))
    degrees = float(np.float32(degrees))
    translation = float(np.float32(translation))
    middle = np.append((np.array(shape) - 1) / 2, 1)
    centre = ((_LPS @ affine) @ middle)[:3]
    rotation = _rotation(np.radians(degrees) * np.array([-1, -1, 1]))
    shift = translation * np.array([-1, -1, 1])
    inverse = np.eye(4)
    inverse[:3, :3] = rotation.T / scale
    inverse[:3, 3] = centre - rotation.T @ (centre / scale + shift)
    return inverse


def head_movement(degrees: float, translation: float) -> np.ndarray:
    """RandomMotion's one movement, (4, 4): turn about the origin of the world,
    then shift.
    """
    movement = np.eye(4)
    movement[:3, :3] = _rotation(np.radians(np.full(3, degrees)))
    movement[:3, 3] = translation
    return movement


def spline_sampling(
    affine, shape, number: int, device
) -> Callable[[Tensor], SamplingGrid]:
    """Cubic B-splines over the image: from displacements of control points to
    a sampling grid.

    Parameters
    ----------
    number : int
        Control points an axis.

    Returns
    -------
    callable
        Displacements in mm, (number, number, number, 3), to `SamplingGrid`.
    """
    to_world = _LPS @ affine
    control_grid = _coefficient_grid(to_world, shape, number)
    spacing = np.array(control_grid.GetSpacing())
    corner = np.array(control_grid.GetOrigin())
    direction = np.array(control_grid.GetDirection()).reshape(3, 3)
    from_world = direction.T / spacing[:, None]
    slope = from_world @ to_world[:3, :3]
    start = from_world @ (to_world[:3, 3] - corner)

    # ITK may order the control points unlike the voxels
    axes = np.abs(slope).argmax(1)
    options = {"device": device, "dtype": torch.float32}
    bases = []
    for control_axis, axis in enumerate(axes):
        index = np.arange(shape[axis])[:, None]
        position = slope[control_axis, axis] * index + start[control_axis]
        basis = _cubic_spline(position - np.arange(number))
        bases.append(torch.as_tensor(basis, **options))
    to_voxels = torch.as_tensor(np.linalg.inv(to_world[:3, :3]).T, **options)
    voxels = torch.as_tensor(_voxels(shape), **options)
    order = np.argsort(axes).tolist()

    def sampling(displacements: Tensor) -> SamplingGrid:
        """Where each voxel looks, of control points' displacements in mm."""
        field = displacements.to(device) @ to_voxels
        field = torch.einsum("abcv,xa,yb,zc->xyzv", field, *bases)
        return sampling_grid(voxels + field.permute(*order, 3))

    return sampling


def _coefficient_grid(to_world: np.ndarray, shape, number: int) -> sitk.Image:
    """Where ITK puts the control points of an image."""
    import SimpleITK as sitk

    image = sitk.Image([int(side) for side in shape], sitk.sitkUInt8)
    spacing = np.linalg.norm(to_world[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((to_world[:3, :3] / spacing).flatten().tolist())
    image.SetOrigin(to_world[:3, 3].tolist())
    mesh = [number - 3] * 3
    transform = sitk.BSplineTransformInitializer(image, mesh)
    return transform.GetCoefficientImages()[0]


def _cubic_spline(t: np.ndarray) -> np.ndarray:
    """The cubic B-spline at t, in units of the spacing of its knots."""
    t = np.abs(t)
    inner = 2 / 3 - t**2 + t**3 / 2
    outer = np.clip(2 - t, 0, None) ** 3 / 6
    return np.where(t < 1, inner, outer)


def _rotation(radians: np.ndarray) -> np.ndarray:
    """ITK's Euler angles: about y first, then x, then z."""
    cos_x, cos_y, cos_z = np.cos(radians)
    sin_x, sin_y, sin_z = np.sin(radians)
    about_x = np.array([[1, 0, 0], [0, cos_x, -sin_x], [0, sin_x, cos_x]])
    about_y = np.array([[cos_y, 0, sin_y], [0, 1, 0], [-sin_y, 0, cos_y]])
    about_z = np.array([[cos_z, -sin_z, 0], [sin_z, cos_z, 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


def _voxels(shape) -> np.ndarray:
    """Index of every voxel, float64 (X, Y, Z, 3)."""
    axes = [np.arange(side) for side in shape]
    index = np.meshgrid(*axes, indexing="ij")
    return np.stack(index, -1).astype(np.float64)
