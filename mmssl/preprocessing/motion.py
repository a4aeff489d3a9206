"""Head motion: every BOLD volume rigidly aligned to the first, and how far the
head went.

Least squares by inverse-compositional Gauss-Newton steps (Baker and Matthews
2004): the derivative is that of the first volume, made once, so that a step
costs one interpolation and a 7 x 7 system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation
from tqdm.auto import tqdm

from mmssl.preprocessing import space

if TYPE_CHECKING:
    import pandas as pd

HEAD_RADIUS = 50.0  # mm, Power et al. 2012
COLUMNS = ("x_mm", "y_mm", "z_mm", "x_rad", "y_rad", "z_rad")
_LEVELS = ((8.0, 3_000, 0.05), (4.0, 12_000, 0.003))

# Coarse to fine: full width at half maximum of the smoothing (mm), voxels
# compared (regularly spaced), and the step of the head's surface (mm) below
# which a level is done.
_ITERATIONS = 25


class Motion(NamedTuple):
    """Realigned series and what was undone.

    Attributes
    ----------
    bold : (X, Y, Z, T) float32 array on the grid of the first volume.
    parameters : table of T rows: volume, x_mm, y_mm, z_mm, x_rad, y_rad, z_rad
        (RAS+; the pose of
        the head relative to the first volume, rotations about the volume's
        centre) and framewise_displacement (mm).
    matrices : (T, 4, 4) array, world mm of the first volume to world mm of
        volume t.
    """

    bold: np.ndarray
    parameters: pd.DataFrame
    matrices: np.ndarray


def realign(
    bold: np.ndarray, affine: np.ndarray, progress: bool = True
) -> Motion:
    """Align every volume of a series to its first by a rigid transform.

    Minimises the squared differences over a rough brain mask, up to a gain of
    the whole volume, smoothed by 8 and then 4 mm; each volume starts from the
    pose of the one before. The volumes are interpolated once, with cubic
    B-splines.

    Parameters
    ----------
    bold : (X, Y, Z, T) array, at least two volumes.
    affine : (4, 4), voxels to world mm, RAS+.
    progress : show a progress bar.

    Returns
    -------
    Motion

    Raises
    ------
    ValueError : ``bold`` is not 4D with at least two volumes, not finite, or
        its first volume is
        constant.
    """
    import pandas as pd

    bold = np.asarray(bold)
    if bold.ndim != 4 or bold.shape[3] < 2:
        raise ValueError(
            f"bold: found shape {bold.shape}, expected (X, Y, Z, T) with T >= 2"
        )
    if not np.isfinite(bold).all():
        raise ValueError("bold: found NaN or Inf, expected finite values")
    if bold[..., 0].min() == bold[..., 0].max():
        raise ValueError(
            "bold: found a constant first volume, expected an image to align to"
        )
    affine = np.asarray(affine, dtype=np.float64)
    levels = [_reference(bold[..., 0], affine, *level) for level in _LEVELS]
    centre = space.apply(affine, (np.array(bold.shape[:3]) - 1) / 2)
    out = np.empty(bold.shape, np.float32)
    out[..., 0] = bold[..., 0]
    matrices = [np.eye(4)]
    for t in tqdm(
        range(1, bold.shape[3]), desc="motion", disable=not progress
    ):
        pose = matrices[-1]
        for level in levels:
            pose = _align(level, bold[..., t], affine, pose)
        voxels = np.linalg.inv(affine) @ pose @ affine
        out[..., t] = ndimage.affine_transform(
            np.asarray(bold[..., t], np.float32),
            voxels[:3, :3],
            voxels[:3, 3],
            order=3,
            mode="nearest",
        )
        matrices.append(pose)
    parameters = np.stack([_parameters(m, centre) for m in matrices])
    table = pd.DataFrame(parameters, columns=COLUMNS)
    table.insert(0, "volume", np.arange(len(table)))
    table["framewise_displacement"] = framewise_displacement(parameters)
    return Motion(out, table, np.stack(matrices))


def framewise_displacement(
    parameters: np.ndarray, radius: float = HEAD_RADIUS
) -> np.ndarray:
    """How far the head moved since the volume before (Power et al. 2012).

    The sum of the absolute changes of the three translations and of the three
    rotations, these as arcs on a sphere of the head's radius.

    Parameters
    ----------
    parameters : (T, 6) array, three translations in mm and three rotations in
        rad.
    radius : of the sphere, mm.

    Returns
    -------
    (T,) array, mm; 0 for the first volume.

    Raises
    ------
    ValueError : another shape than (T, 6).
    """
    parameters = np.asarray(parameters, dtype=np.float64)
    if parameters.ndim != 2 or parameters.shape[1] != 6:
        raise ValueError(
            f"parameters: found shape {parameters.shape}, expected (T, 6)"
        )
    change = np.abs(np.diff(parameters, axis=0, prepend=parameters[:1]))
    return change[:, :3].sum(axis=1) + radius * change[:, 3:].sum(axis=1)


class _Reference(NamedTuple):
    """The first volume at one resolution: where it is compared, its values and
    derivative.
    """

    sigma: np.ndarray  # (3,) voxels
    points: np.ndarray  # (n, 3) mm
    values: np.ndarray  # (n,)
    # (n, 7): per mm of translation, per rad about the centre, per gain
    jacobian: np.ndarray
    centre: np.ndarray  # (3,) mm
    small: float  # mm


def _reference(
    volume: np.ndarray,
    affine: np.ndarray,
    width: float,
    count: int,
    small: float,
) -> _Reference:
    sigma = width / space.FWHM / space.spacing(affine)
    smooth = ndimage.gaussian_filter(np.asarray(volume, np.float64), sigma)
    voxels = np.argwhere(
        ndimage.binary_dilation(smooth > smooth.mean(), iterations=2)
    )
    voxels = voxels[:: max(1, len(voxels) // count)]
    index = tuple(voxels.T)
    slopes = np.stack([g[index] for g in np.gradient(smooth)], axis=1)
    slopes = slopes @ np.linalg.inv(affine[:3, :3])  # per voxel to per mm
    points = space.apply(affine, voxels)
    centre = points.mean(axis=0)
    turn = np.cross(points - centre, slopes)
    jacobian = np.concatenate([slopes, turn, smooth[index][:, None]], axis=1)
    return _Reference(sigma, points, smooth[index], jacobian, centre, small)


def _align(
    ref: _Reference, volume: np.ndarray, affine: np.ndarray, pose: np.ndarray
) -> np.ndarray:
    """(4, 4) pose of one volume, world mm of the first to its own, improved
    until steps vanish.
    """
    # The spline coefficients are made once: every step only evaluates them.
    smooth = ndimage.gaussian_filter(np.asarray(volume, np.float32), ref.sigma)
    coefficients = ndimage.spline_filter(smooth, order=3, mode="mirror")
    to_voxel = np.linalg.inv(affine)
    for _ in range(_ITERATIONS):
        at = space.apply(to_voxel @ pose, ref.points).T
        inside = ((at >= 0) & (at <= np.array(volume.shape)[:, None] - 1)).all(
            axis=0
        )
        found = ndimage.map_coordinates(
            coefficients,
            at[:, inside],
            order=3,
            prefilter=False,
            mode="mirror",
        )
        step, *_ = np.linalg.lstsq(
            (j := ref.jacobian[inside]).T @ j,
            j.T @ (found - ref.values[inside]),
            rcond=None,
        )
        pose = pose @ np.linalg.inv(_rigid(step[:6], ref.centre))
        if (
            np.abs(step[:3]).max() + HEAD_RADIUS * np.abs(step[3:6]).max()
            < ref.small
        ):
            break
    return pose


def _rigid(parameters: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(4, 4) rotation by a rotation vector about the centre, then
    translation.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(parameters[3:]).as_matrix()
    matrix[:3, 3] = centre + parameters[:3] - matrix[:3, :3] @ centre
    return matrix


def _parameters(matrix: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(6,) translations of the centre and Euler angles about the fixed axes x,
    y, z.
    """
    shift = space.apply(matrix, centre) - centre
    return np.concatenate(
        [shift, Rotation.from_matrix(matrix[:3, :3]).as_euler("xyz")]
    )
