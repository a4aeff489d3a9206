"""Intensity steps of a cohort: histogram landmarks learned on the training
fold, standardisation to them, z-scores.

Both are those of TorchIO (Perez-Garcia et al. 2021), which Fedorov et al. 2021
use, on whole arrays instead of one file at a time. The landmark method is
Nyul, Udupa and Zhang 2000.
"""

import numpy as np

# The outermost percentiles are mapped to the ends of the standard scale.
PERCENTILES = np.array([1.0, 10, 20, 25, 30, 40, 50, 60, 70, 75, 80, 90, 99.0])
STANDARD_RANGE = (0.0, 100.0)
# The quartiles are learned but not used as knots of the mapping.
KNOTS = np.flatnonzero(~np.isin(PERCENTILES, (25, 75)))
# Knots closer than this are one knot, in units of intensity.
SMALLEST_WIDTH = 1e-5


class VolumeError(ValueError):
    """One of several volumes cannot be standardised.

    row : int
        Which.
    reason : str
        What was found and what is expected.
    """

    def __init__(self, row: int, reason: str):
        super().__init__(f"volumes[{row}]: {reason}")
        self.row = row
        self.reason = reason


def histogram_landmarks(
    volumes: np.ndarray, mask: np.ndarray | None = None
) -> np.ndarray:
    """Average landmarks of the volumes' histograms on the standard scale
    0-100.

    With p_i the percentiles of volume i and a_i = 100 / (p_i,99 - p_i,1), the
    landmarks are mean_i(a_i p_i) - mean_i(a_i p_i,1): each volume is stretched
    to 0-100 and then averaged.

    Parameters
    ----------
    volumes : (n, X, Y, Z) array, the training volumes only; any trailing shape
        works.
    mask : (X, Y, Z) or (n, X, Y, Z) bool array, voxels that enter the
        percentiles; None takes all.

    Returns
    -------
    (13,) float64 array, the mean position of each of `PERCENTILES`, from 0 to
    100.

    Raises
    ------
    ValueError
        For no volume, a mask of another shape or empty, a value that is not
        finite, or a volume whose 1st and 99th percentile coincide, which no
        scale can stretch.
    """
    return mean_landmarks(percentiles(volumes, mask))


def percentiles(
    volumes: np.ndarray, mask: np.ndarray | None = None
) -> np.ndarray:
    """Intensities of each volume at `PERCENTILES`.

    Parameters and errors as `histogram_landmarks`, but for a volume that no
    scale can stretch.

    Returns
    -------
    (n, 13) float64 array.
    """
    volumes, mask = _check(volumes, mask)
    found = [_percentiles(v, mask[i], i) for i, v in enumerate(volumes)]
    return np.reshape(found, (len(volumes), len(PERCENTILES)))


def mean_landmarks(found: np.ndarray) -> np.ndarray:
    """Average landmarks of volumes whose percentiles are known.

    Parameters
    ----------
    found : (n, 13) array of `percentiles`.

    Returns
    -------
    (13,) float64 array, as `histogram_landmarks`.

    Raises
    ------
    ValueError
        For no volume, or one whose 1st and 99th percentile coincide.
    """
    if len(found) == 0:
        raise ValueError(
            "volumes: found 0 volumes, expected at least one to learn "
            "landmarks from"
        )
    spread = found[:, -1] - found[:, 0]
    constant = np.flatnonzero(spread <= 0)
    if constant.size:
        low, high = found[constant[0], [0, -1]]
        raise VolumeError(
            int(constant[0]),
            f"1st and 99th percentile found equal ({low:g}, {high:g}), "
            "expected them to differ: the volume is constant where it is "
            "measured",
        )
    slopes = (STANDARD_RANGE[1] - STANDARD_RANGE[0]) / spread
    stretched = slopes[:, None] * (found - found[:, :1])
    return stretched.mean(axis=0) + STANDARD_RANGE[0]


def standardise(
    volumes: np.ndarray, landmarks: np.ndarray, mask: np.ndarray | None = None
) -> np.ndarray:
    """Map every volume's percentiles onto the landmarks, linearly between
    them.

    Values beyond the 1st and 99th percentile follow the line of the outermost
    segment. Where two percentiles of a volume coincide, as in images that are
    mostly background, the segment between them has no width: its slope is
    taken as 0 (its lower landmark), never infinite.

    Parameters
    ----------
    volumes : (n, X, Y, Z) array; any trailing shape works.
    landmarks : (13,) array from `histogram_landmarks`.
    mask : (X, Y, Z) or (n, X, Y, Z) bool array, voxels that enter the
        percentiles; every voxel is mapped. None takes all.

    Returns
    -------
    (n, X, Y, Z) float32 array.

    Raises
    ------
    ValueError
        For landmarks of another length, falling or not finite; a mask of
        another shape or empty; a value that is not finite.
    """
    volumes, mask = _check(volumes, mask)
    landmarks = np.asarray(landmarks, dtype=np.float64)
    if landmarks.shape != PERCENTILES.shape:
        raise ValueError(
            f"landmarks: found shape {landmarks.shape}, "
            f"expected {PERCENTILES.shape}"
        )
    if not np.isfinite(landmarks).all() or (np.diff(landmarks) < 0).any():
        raise ValueError(
            f"landmarks: found {landmarks}, expected finite, rising values"
        )
    targets = landmarks[KNOTS]
    out = np.empty(volumes.shape, dtype=np.float32)
    for row, volume in enumerate(volumes):
        knots = _percentiles(volume, mask[row], row)[KNOTS]
        widths = np.diff(knots)
        widths[widths < SMALLEST_WIDTH] = np.inf  # a slope of 0
        slopes = np.diff(targets) / widths
        intercepts = targets[:-1] - slopes * knots[:-1]
        values = np.asarray(volume, dtype=np.float32)
        segment = np.digitize(values, knots[1:-1])
        out[row] = slopes[segment] * values + intercepts[segment]
    return out


def z_normalise(
    volumes: np.ndarray, mask: np.ndarray | None = None
) -> np.ndarray:
    """Subtract the mean of each volume's mask and divide by its standard
    deviation.

    Parameters
    ----------
    volumes : (n, X, Y, Z) array; any trailing shape works.
    mask : (X, Y, Z) or (n, X, Y, Z) bool array, voxels that enter mean and
        standard deviation, the unbiased one; every voxel is transformed. None
        takes the voxels above the volume's own mean, as the papers do: for a
        brain on an empty background that is the brain.

    Returns
    -------
    (n, X, Y, Z) float32 array.

    Raises
    ------
    ValueError
        For a volume with a value that is not finite, with fewer than two
        voxels in the mask or with no variation among them.
    """
    own_mean = mask is None
    volumes, mask = _check(volumes, mask)
    out = np.empty(volumes.shape, dtype=np.float32)
    for row, volume in enumerate(volumes):
        values = np.asarray(volume, dtype=np.float32)
        average = values.mean(dtype=np.float64)
        _check_finite(average, row)
        inside = values[values > average if own_mean else mask[row]]
        if inside.size < 2 or inside.min() == inside.max():
            raise VolumeError(
                row,
                f"found {inside.size} voxels without variation in its "
                "foreground, expected them to vary",
            )
        mean = inside.mean(dtype=np.float64)
        out[row] = (values - mean) / inside.std(dtype=np.float64, ddof=1)
    return out


def _percentiles(volume: np.ndarray, mask: np.ndarray, row: int) -> np.ndarray:
    """(13,) percentiles of one volume.

    One volume at a time, so that memory does not grow with the cohort.
    """
    values = volume[mask]
    if not values.size:
        raise VolumeError(
            row, "found no voxel inside its mask, expected at least one"
        )
    percentiles = np.percentile(
        np.asarray(values, dtype=np.float32), PERCENTILES
    )
    _check_finite(percentiles, row)
    return percentiles


def _check_finite(statistic: np.ndarray, row: int) -> None:
    """ValueError where NaN or Inf in a volume has reached its statistic."""
    if not np.isfinite(statistic).all():
        raise VolumeError(
            row, "found values that are not finite, expected finite"
        )


def _check(
    volumes: np.ndarray, mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The volumes as an array and a mask of their shape, where they agree."""
    if not isinstance(volumes, np.ndarray):
        volumes = np.asarray(volumes)
    if volumes.ndim < 2:
        raise ValueError(
            f"volumes: found shape {volumes.shape}, expected (n, X, Y, Z)"
        )
    if mask is None:
        return volumes, np.broadcast_to(True, volumes.shape)
    mask = np.asarray(mask, dtype=bool)
    if mask.shape not in (volumes.shape, volumes.shape[1:]):
        raise ValueError(
            f"mask: found shape {mask.shape}, expected {volumes.shape[1:]}"
        )
    if not mask.any():
        raise ValueError("mask: found no voxel inside, expected at least one")
    return volumes, np.broadcast_to(mask, volumes.shape)
