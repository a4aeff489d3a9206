"""Head motion: realignment of a BOLD series and framewise displacement.

`realign` aligns every volume rigidly to the first; `framewise_displacement`
says how far the head moved from one volume to the next (Power et al. 2012).

The alignment is least squares by inverse-compositional Gauss-Newton steps
(Baker and Matthews 2004): the derivative is that of one reference volume, made
once, so that a step costs one interpolation and a 7 x 7 system.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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
# Shares of a step that are tried until one lessens the cost.
_SHARES = (1.0, 0.5, 0.25, 0.1)
# Share of the compared points that must lie inside a volume.
_INSIDE = 0.5
# Share of a volume's variance that may be something else than the head.
_UNEXPLAINED = 0.5
# Signal of the steady state: near the median of the series by this share, or
# by so many robust standard deviations.
_STEADY = 0.05
_OUTLYING = 3.5
_VOXELS_OF_SIGNAL = 20_000


class Motion(NamedTuple):
    """A realigned series and the movement that was removed.

    Attributes
    ----------
    bold : (X, Y, Z, T) float32 array on the grid of the first volume.
    parameters : table of T rows: volume, x_mm, y_mm, z_mm, x_rad, y_rad, z_rad
        (RAS+; the pose of the head relative to the first volume, rotations
        about the volume's centre), framewise_displacement (mm; nan where it
        is not known), steady and aligned (bool).
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

    Minimises the squared differences over a rough brain mask, up to a gain and
    an offset of the whole volume, on images smoothed by 8 and then 4 mm. A
    step that does not lessen them is shortened or not taken. Each volume
    starts from the pose of the one before, or from where the series began if
    that suits it better. A volume in which less than half of the variance is
    the head's in any pose could not be aligned: it keeps the last pose that
    was found and spoils no other. The volumes are interpolated once, with
    cubic B-splines.

    The volumes are compared with the first one in the steady state, and the
    poses then expressed relative to the first volume.

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
        If ``bold`` is not 4D with at least two volumes, not finite, its
        first volume is constant, or fewer than half of the volumes can be
        aligned.

    Warns
    -----
    UserWarning
        With their numbers, if the first volumes are not in the steady state
        or volumes could not be aligned.
    """
    bold = np.asarray(bold)
    _check(bold)
    affine = np.asarray(affine, dtype=np.float64)
    steady, alike = steadiness(bold)
    first = int((steady & alike).argmax())  # 0 without one
    references = [
        _reference(bold[..., first], affine, *level) for level in _LEVELS
    ]
    poses, aligned = [np.eye(4)], []
    for t in tqdm(range(bold.shape[3]), desc="motion", disable=not progress):
        pose, found = np.eye(4), True
        if t != first:
            starts = [poses[-1], np.eye(4)]
            pose, found = _align(references, bold[..., t], affine, starts)
        poses.append(pose if found else poses[-1])
        aligned.append(found)
    poses, aligned = np.stack(poses[1:]), np.array(aligned)
    _report(steady, aligned)
    # A first volume without a pose of its own is taken to lie where the
    # volume lies that the others were compared with.
    poses = poses @ np.linalg.inv(poses[0])
    table = motion_table(poses, affine, bold.shape[:3], steady, aligned)
    return Motion(_resampled(bold, affine, poses), table, poses)


def motion_table(
    poses: np.ndarray,
    affine: np.ndarray,
    shape: Sequence[int],
    steady: np.ndarray,
    aligned: np.ndarray,
) -> pd.DataFrame:
    """The parameters of `Motion`, of the poses of a series.

    Parameters
    ----------
    poses : (T, 4, 4) array, world mm of the first volume to world mm of each.
    affine : (4, 4), voxels to world mm.
    shape : (X, Y, Z).
    steady, aligned : (T,) bool arrays.
    """
    import pandas as pd

    centre = space.apply(affine, (np.array(shape) - 1) / 2)
    parameters = np.stack([_parameters(pose, centre) for pose in poses])
    table = pd.DataFrame(parameters, columns=COLUMNS)
    table.insert(0, "volume", np.arange(len(table)))
    displacement = framewise_displacement(parameters)
    table["framewise_displacement"] = np.where(aligned, displacement, np.nan)
    table["steady"] = steady
    table["aligned"] = aligned
    return table


def _resampled(
    bold: np.ndarray, affine: np.ndarray, poses: np.ndarray
) -> np.ndarray:
    """(X, Y, Z, T) float32 series, every volume on the grid of the first."""
    realigned = np.empty(bold.shape, np.float32)
    realigned[..., 0] = bold[..., 0]

    def fill(t: int) -> None:
        """Interpolate one volume."""
        to_voxel = np.linalg.inv(affine) @ poses[t] @ affine
        realigned[..., t] = ndimage.affine_transform(
            np.asarray(bold[..., t], np.float32),
            to_voxel[:3, :3],
            to_voxel[:3, 3],
            order=3,
            mode="nearest",
        )

    # SciPy interpolates outside of the interpreter's lock.
    with ThreadPoolExecutor(space.threads()) as pool:
        for _ in pool.map(fill, range(1, bold.shape[3])):
            pass
    return realigned


def steadiness(bold: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two (T,) bool arrays: volumes in the steady state, and volumes that
    look like most of the series.

    The first volumes of a series are brighter, until the magnetisation is
    saturated. They are those before the first whose mean signal lies near the
    median of the series: within 5 %, or within 3.5 robust standard deviations
    (median absolute deviation).
    """
    voxels = bold.reshape(-1, bold.shape[3])
    step = max(1, len(voxels) // _VOXELS_OF_SIGNAL)
    series = voxels[::step].T.astype(np.float64)  # (T, voxels)
    typical = np.median(series, axis=0)
    brain = typical > typical.mean()
    if brain.sum() < 2:
        every = np.ones(len(series), bool)
        return every, every
    signal = series[:, brain].mean(axis=1)
    usual = np.median(signal)
    away = np.abs(signal - usual)
    spread = 1.4826 * np.median(away)
    near = (away <= _STEADY * usual) | (away <= _OUTLYING * spread)
    steady = np.ones(len(series), bool)
    steady[: near.argmax() if near.any() else 0] = False
    typical = typical - typical.mean()
    series -= series.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(series, axis=1) * np.linalg.norm(typical)
    likeness = np.divide(
        series @ typical, norms, out=np.zeros_like(norms), where=norms > 0
    )
    return steady, likeness > 0.5 * np.median(likeness)


def _report(steady: np.ndarray, aligned: np.ndarray) -> None:
    """Name the volumes that are not in the steady state or not aligned."""
    failed = np.flatnonzero(~aligned).tolist()
    if 2 * len(failed) > len(aligned):
        raise ValueError(
            f"bold: found {len(failed)} of {len(aligned)} volumes that do not "
            f"resemble the others in any pose ({_numbers(failed)}), expected "
            "a series of one head"
        )
    unsteady = np.flatnonzero(~steady).tolist()
    if unsteady:
        warnings.warn(
            f"bold: volumes {_numbers(unsteady)} (from 0) have another signal "
            "than the series, before the steady state; dummy_scans="
            f"{len(unsteady)} leaves them out",
            stacklevel=3,
        )
    if failed:
        warnings.warn(
            f"bold: volumes {_numbers(failed)} (from 0) could not be aligned "
            "and keep the pose of the volume before",
            stacklevel=3,
        )


def _numbers(volumes: list[int]) -> str:
    """Numbers of volumes in words, the first twenty."""
    text = ", ".join(str(t) for t in volumes[:20])
    return text if len(volumes) <= 20 else f"{text}, ..."


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
    """The volume that the others are compared with, at one resolution.

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
    """A volume smoothed to ``width`` (mm, full width at half maximum)
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
    references: list[_Reference],
    volume: np.ndarray,
    affine: np.ndarray,
    starts: list[np.ndarray],
) -> tuple[np.ndarray, bool]:
    """(4, 4) pose of one volume, world mm of the reference to its own, and
    whether the head is found there.

    The best of the starts is improved at every level.
    """
    fit = None
    for reference in references:
        image = _Image(volume, affine, reference)
        fits = [image.fit(start) for start in starts]
        fit = image.improved(min(fits, key=_cost))
        starts = [fit.pose]
    return fit.pose, fit.cost <= _UNEXPLAINED


class _Fit(NamedTuple):
    """A volume compared with the reference in one pose.

    Attributes
    ----------
    pose : (4, 4), world mm of the reference to the volume's own.
    cost : share of the variance that neither the head in this pose nor a gain
        and an offset explain, 0 to 1; infinite if too few points lie inside
        the volume or the gain is not positive.
    step : (6,) movement that would lower the cost, as `_rigid` takes it.
    """

    pose: np.ndarray
    cost: float
    step: np.ndarray


def _cost(fit: _Fit) -> float:
    return fit.cost


class _Image:
    """One volume, smoothed as a reference is, to be compared with it.

    The spline coefficients are made once: a comparison only evaluates them.
    """

    def __init__(
        self, volume: np.ndarray, affine: np.ndarray, reference: _Reference
    ):
        smooth = ndimage.gaussian_filter(
            np.asarray(volume, np.float32), reference.sigma
        )
        self.coefficients = ndimage.spline_filter(
            smooth, order=3, mode="mirror"
        )
        self.to_voxel = np.linalg.inv(affine)
        self.last = np.array(volume.shape)[:, None] - 1
        self.reference = reference

    def fit(self, pose: np.ndarray) -> _Fit:
        """The comparison in one pose."""
        reference = self.reference
        voxels = space.apply(self.to_voxel @ pose, reference.points).T
        inside = ((voxels >= 0) & (voxels <= self.last)).all(axis=0)
        nowhere = _Fit(pose, np.inf, np.zeros(6))
        if inside.mean() < _INSIDE:
            return nowhere
        values = ndimage.map_coordinates(
            self.coefficients,
            voxels[:, inside],
            order=3,
            prefilter=False,
            mode="mirror",
        )
        values = values - values.mean(dtype=np.float64)
        expected = reference.values[inside]
        expected = expected - expected.mean()
        variance = values @ values
        product = values @ expected
        if variance == 0 or product <= 0:
            return nowhere
        explained = product**2 / variance / (expected @ expected)
        jacobian = reference.jacobian[inside]
        jacobian = jacobian - jacobian.mean(axis=0)  # any offset
        step, *_ = np.linalg.lstsq(
            jacobian.T @ jacobian, jacobian.T @ values, rcond=None
        )
        # The slopes of the volume are those of the reference times the gain.
        gain = step[6]
        if gain <= 0:
            return nowhere
        return _Fit(pose, 1 - explained, step[:6] / gain)

    def improved(self, fit: _Fit) -> _Fit:
        """The fit after steps that each lessen the cost, until they vanish."""
        for _ in range(_ITERATIONS):
            if np.isinf(fit.cost):
                return fit
            translation = np.abs(fit.step[:3]).max()
            arc = HEAD_RADIUS * np.abs(fit.step[3:]).max()
            if translation + arc < self.reference.smallest_step:
                return fit._replace(pose=self._moved(fit, 1.0))
            for share in _SHARES:
                moved = self.fit(self._moved(fit, share))
                if moved.cost < fit.cost:
                    break
            else:
                return fit
            fit = moved
        return fit

    def _moved(self, fit: _Fit, share: float) -> np.ndarray:
        """(4, 4) pose after a share of the fit's step."""
        step = _rigid(share * fit.step, self.reference.centre)
        return fit.pose @ np.linalg.inv(step)


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
