"""Head motion: realignment of a BOLD series and framewise displacement.

`realign` aligns every volume rigidly to the first; `framewise_displacement`
says how far the head moved from one volume to the next (Power et al. 2012).

The alignment is least squares by inverse-compositional Gauss-Newton steps
(Baker and Matthews 2004): the derivative is that of the first volume, made
once, so that a step costs one interpolation and a 7 x 7 system.
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

# Coarse to fine: full width at half maximum of the smoothing (mm), voxels
# compared (regularly spaced), and the step of the head's surface (mm) below
# which a level is done.
_LEVELS = ((8.0, 3_000, 0.05), (4.0, 12_000, 0.003))
_ITERATIONS = 25  # at most, a level and volume


class Motion(NamedTuple):
    """A realigned series and the movement that was removed.

    Attributes
    ----------
    bold : (X, Y, Z, T) float32 array on the grid of the first volume.
    parameters : table of T rows: volume, x_mm, y_mm, z_mm, x_rad, y_rad, z_rad
        (RAS+; the pose of the head relative to the first volume, rotations
        about the volume's centre) and framewise_displacement (mm).
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
    the whole volume, on images smoothed by 8 and then 4 mm; each volume starts
    from the pose of the one before. The volumes are interpolated once, with
    cubic B-splines.

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
    ValueError
        If ``bold`` is not 4D with at least two volumes, not finite, or its
        first volume is constant.
    """
    import pandas as pd

    bold = np.asarray(bold)
    _check(bold)
    affine = np.asarray(affine, dtype=np.float64)
    references = [
        _reference(bold[..., 0], affine, *level) for level in _LEVELS
    ]
    realigned = np.empty(bold.shape, np.float32)
    realigned[..., 0] = bold[..., 0]
    poses = [np.eye(4)]
    volumes = range(1, bold.shape[3])
    for t in tqdm(volumes, desc="motion", disable=not progress):
        pose = poses[-1]
        for reference in references:
            pose = _align(reference, bold[..., t], affine, pose)
        poses.append(pose)
        to_voxel = np.linalg.inv(affine) @ pose @ affine
        realigned[..., t] = ndimage.affine_transform(
            np.asarray(bold[..., t], np.float32),
            to_voxel[:3, :3],
            to_voxel[:3, 3],
            order=3,
            mode="nearest",
        )
    centre = space.apply(affine, (np.array(bold.shape[:3]) - 1) / 2)
    parameters = np.stack([_parameters(pose, centre) for pose in poses])
    table = pd.DataFrame(parameters, columns=COLUMNS)
    table.insert(0, "volume", np.arange(len(table)))
    table["framewise_displacement"] = framewise_displacement(parameters)
    return Motion(realigned, table, np.stack(poses))


def _check(bold: np.ndarray) -> None:
    """ValueError for a series that cannot be realigned."""
    if bold.ndim != 4 or bold.shape[3] < 2:
        raise ValueError(
            f"bold: found shape {bold.shape}, "
            "expected (X, Y, Z, T) with T >= 2"
        )
    if not np.isfinite(bold).all():
        raise ValueError("bold: found NaN or Inf, expected finite values")
    if bold[..., 0].min() == bold[..., 0].max():
        raise ValueError(
            "bold: found a constant first volume, "
            "expected an image to align to"
        )


def framewise_displacement(
    parameters: np.ndarray, radius: float = HEAD_RADIUS
) -> np.ndarray:
    """How far the head moved since the volume before (Power et al. 2012).

    The sum of the absolute changes of the three translations d and of the
    three rotations r, the rotations as arcs on a sphere of the head's radius::

        FD_t = sum_k abs(d_tk - d_(t-1)k) + radius * sum_k abs(r_tk - r_(t-1)k)

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
    ValueError
        For another shape than (T, 6).
    """
    parameters = np.asarray(parameters, dtype=np.float64)
    if parameters.ndim != 2 or parameters.shape[1] != 6:
        raise ValueError(
            f"parameters: found shape {parameters.shape}, expected (T, 6)"
        )
    change = np.abs(np.diff(parameters, axis=0, prepend=parameters[:1]))
    return change[:, :3].sum(axis=1) + radius * change[:, 3:].sum(axis=1)


class _Reference(NamedTuple):
    """The first volume at one resolution.

    Attributes
    ----------
    sigma : (3,) standard deviation of the smoothing, voxels.
    points : (n, 3) places that are compared, mm.
    values : (n,) of the smoothed volume there.
    jacobian : (n, 7) derivative of the values per mm of translation, per rad
        of rotation about the centre and per unit of gain.
    centre : (3,) of the points, mm.
    smallest_step : mm, below it the level is done.
    """

    sigma: np.ndarray
    points: np.ndarray
    values: np.ndarray
    jacobian: np.ndarray
    centre: np.ndarray
    smallest_step: float


def _reference(
    volume: np.ndarray,
    affine: np.ndarray,
    width: float,
    count: int,
    smallest_step: float,
) -> _Reference:
    """The first volume smoothed to ``width`` (mm, full width at half maximum)
    and compared at about ``count`` points.
    """
    sigma = width / space.FWHM / space.spacing(affine)
    smooth = ndimage.gaussian_filter(np.asarray(volume, np.float64), sigma)
    brain = ndimage.binary_dilation(smooth > smooth.mean(), iterations=2)
    voxels = np.argwhere(brain)
    voxels = voxels[:: max(1, len(voxels) // count)]
    index = tuple(voxels.T)
    values = smooth[index]
    slopes = np.stack([slope[index] for slope in np.gradient(smooth)], axis=1)
    slopes = slopes @ np.linalg.inv(affine[:3, :3])  # per voxel to per mm
    points = space.apply(affine, voxels)
    centre = points.mean(axis=0)
    rotation = np.cross(points - centre, slopes)
    jacobian = np.concatenate([slopes, rotation, values[:, None]], axis=1)
    return _Reference(sigma, points, values, jacobian, centre, smallest_step)


def _align(
    reference: _Reference,
    volume: np.ndarray,
    affine: np.ndarray,
    pose: np.ndarray,
) -> np.ndarray:
    """(4, 4) pose of one volume, world mm of the first to its own, improved
    from ``pose`` until the steps vanish.
    """
    smooth = ndimage.gaussian_filter(
        np.asarray(volume, np.float32), reference.sigma
    )
    # The spline coefficients are made once: every step only evaluates them.
    coefficients = ndimage.spline_filter(smooth, order=3, mode="mirror")
    to_voxel = np.linalg.inv(affine)
    last = np.array(volume.shape)[:, None] - 1
    for _ in range(_ITERATIONS):
        voxels = space.apply(to_voxel @ pose, reference.points).T
        inside = ((voxels >= 0) & (voxels <= last)).all(axis=0)
        values = ndimage.map_coordinates(
            coefficients,
            voxels[:, inside],
            order=3,
            prefilter=False,
            mode="mirror",
        )
        jacobian = reference.jacobian[inside]
        residual = values - reference.values[inside]
        step, *_ = np.linalg.lstsq(
            jacobian.T @ jacobian, jacobian.T @ residual, rcond=None
        )
        pose = pose @ np.linalg.inv(_rigid(step[:6], reference.centre))
        translation = np.abs(step[:3]).max()
        arc = HEAD_RADIUS * np.abs(step[3:6]).max()
        if translation + arc < reference.smallest_step:
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
    """(6,) translations of the centre (mm) and Euler angles about the fixed
    axes x, y, z (rad).
    """
    shift = space.apply(matrix, centre) - centre
    angles = Rotation.from_matrix(matrix[:3, :3]).as_euler("xyz")
    return np.concatenate([shift, angles])
