"""Spatial maps of TorchIO and ITK, as voxel coordinates: where each voxel's
value is taken from.

Worlds are ITK's (LPS, mm). A map carries a voxel of the output to the place in
the input that it reads, ``x' = A^{-1} T(A x)`` with A from voxels to the
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
# voxels; rounding must not push a place on the border of the grid over it
_EDGE = 1e-9


class Places(NamedTuple):
    """Where each voxel of an output reads: grid_sample's grid, and whether
    that is in the image.
    """

    grid: Tensor
    inside: Tensor


def places(at: Tensor) -> Places:
    """Places of voxel coordinates (X, Y, Z, 3) of a volume of the same
    shape.
    """
    sides = torch.tensor(at.shape[:3], dtype=at.dtype, device=at.device)
    inside = ((at >= -0.5 - _EDGE) & (at < sides - 0.5 - _EDGE)).all(-1)
    # grid_sample counts (z, y, x)
    grid = (2 * at / (sides - 1) - 1).to(torch.float32).flip(-1)
    return Places(grid[None], inside)


def pull(volume: Tensor, where: Places) -> Tensor:
    """Linear interpolation with ITK's borders, (X, Y, Z).

    Up to half a voxel past the last centre the edge is repeated; beyond is the
    image's minimum.
    """
    found = F.grid_sample(
        volume[None, None],
        where.grid,
        padding_mode="border",
        align_corners=True,
    )[0, 0]
    return torch.where(where.inside, found, volume.min())


def moved(motion: np.ndarray, affine: np.ndarray, shape, device) -> Places:
    """Places that a (4, 4) map of the world reads from."""
    to_world = _LPS @ affine
    matrix = np.linalg.inv(to_world) @ motion @ to_world
    at = _voxels(shape) @ matrix[:3, :3].T + matrix[:3, 3]
    return places(torch.from_numpy(at).to(device))


def similarity(
    affine, shape, scale: float, degrees: float, translation: float
) -> np.ndarray:
    """RandomAffine: scale, turn about each axis and shift, around the image's
    centre, (4, 4).

    Forward, q = s (R (p - c) + t) + c; the inverse is what a resampler needs.
    """
    scale, degrees, translation = (
        float(np.float32(v)) for v in (scale, degrees, translation)
    )
    centre = ((_LPS @ affine) @ np.append((np.array(shape) - 1) / 2, 1))[:3]
    turn = _rotation(np.radians(degrees) * np.array([-1, -1, 1]))
    shift = translation * np.array([-1, -1, 1])
    inverse = np.eye(4)
    inverse[:3, :3] = turn.T / scale
    inverse[:3, 3] = centre - turn.T @ (centre / scale + shift)
    return inverse


def head(degrees: float, translation: float) -> np.ndarray:
    """RandomMotion's one movement, (4, 4): turn about the origin of the world,
    then shift.
    """
    motion = np.eye(4)
    motion[:3, :3] = _rotation(np.radians(np.full(3, degrees)))
    motion[:3, 3] = translation
    return motion


def spline(affine, shape, number: int, device) -> Callable[[Tensor], Places]:
    """Cubic B-splines over the image: from displacements of control points to
    places.

    Parameters
    ----------
    number : int
        Control points an axis.

    Returns
    -------
    callable
        Displacements in mm, (number, number, number, 3), to `Places`.
    """
    to_world = _LPS @ affine
    grid = _coefficient_grid(to_world, shape, number)
    spacing, corner = np.array(grid.GetSpacing()), np.array(grid.GetOrigin())
    inverse = np.array(grid.GetDirection()).reshape(3, 3).T / spacing[:, None]
    slope, start = (
        inverse @ to_world[:3, :3],
        inverse @ (to_world[:3, 3] - corner),
    )
    # ITK may order the control points unlike the voxels
    axes = np.abs(slope).argmax(1)
    lines = [
        slope[g, a] * np.arange(shape[a])[:, None] + start[g]
        for g, a in enumerate(axes)
    ]
    kinds = {"device": device, "dtype": torch.float32}
    bases = [
        torch.as_tensor(_cubic(line - np.arange(number)), **kinds)
        for line in lines
    ]
    to_voxels = torch.as_tensor(np.linalg.inv(to_world[:3, :3]).T, **kinds)
    voxels = torch.as_tensor(_voxels(shape), **kinds)

    def spread(control: Tensor) -> Places:
        field = control.to(device) @ to_voxels
        field = torch.einsum("abcv,xa,yb,zc->xyzv", field, *bases)
        return places(voxels + field.permute(*np.argsort(axes).tolist(), 3))

    return spread


def _coefficient_grid(to_world: np.ndarray, shape, number: int) -> sitk.Image:
    """Where ITK puts the control points of an image."""
    import SimpleITK as sitk

    image = sitk.Image([int(s) for s in shape], sitk.sitkUInt8)
    spacing = np.linalg.norm(to_world[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((to_world[:3, :3] / spacing).flatten().tolist())
    image.SetOrigin(to_world[:3, 3].tolist())
    return sitk.BSplineTransformInitializer(
        image, [number - 3] * 3
    ).GetCoefficientImages()[0]


def _cubic(t: np.ndarray) -> np.ndarray:
    """The cubic B-spline."""
    t = np.abs(t)
    return np.where(
        t < 1, 2 / 3 - t**2 + t**3 / 2, np.clip(2 - t, 0, None) ** 3 / 6
    )


def _rotation(radians: np.ndarray) -> np.ndarray:
    """ITK's Euler angles: about y first, then x, then z."""
    (a, b, c), (x, y, z) = np.cos(radians), np.sin(radians)
    about_x = np.array([[1, 0, 0], [0, a, -x], [0, x, a]])
    about_y = np.array([[b, 0, y], [0, 1, 0], [-y, 0, b]])
    about_z = np.array([[c, -z, 0], [z, c, 0], [0, 0, 1]])
    return about_z @ about_x @ about_y


def _voxels(shape) -> np.ndarray:
    """Index of every voxel, (X, Y, Z, 3)."""
    return np.stack(
        np.meshgrid(*map(np.arange, shape), indexing="ij"), -1
    ).astype(np.float64)
