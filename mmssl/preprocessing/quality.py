"""How well a person's brain lies on the template.

The registration maximises mutual information on smoothed images. The figures
here are other ones: they are taken on the resampled image at 2 mm, and the
overlap of tissues comes from the person's own intensities alone.
"""

import numpy as np
from scipy import ndimage

from mmssl.preprocessing import space, template

# Voxels a side, 2 mm: at 3 or 6 mm the ventricles are too few voxels to
# overlap.
GRID = 96
# Fluid deeper than this below the brain's surface is ventricle, mm.
_DEEP = 20.0
# Standard deviation of the Gaussian that stands for the coil's shading, mm.
_BIAS = 20.0
_ITERATIONS = 100  # of k-means


def similarity_to_template(
    t1: np.ndarray, affine: np.ndarray, mask: np.ndarray, matrix: np.ndarray
) -> dict[str, float]:
    """The figures of one registered T1.

    Parameters
    ----------
    t1 : (X, Y, Z) array, native.
    affine : (4, 4), voxels to native mm.
    mask : (X, Y, Z) bool array, its brain.
    matrix : (4, 4), MNI mm to native mm.

    Returns
    -------
    dict
        ``normalised_mutual_information`` (1 to 2) and ``correlation`` of the
        T1 with the template inside the template's mask, after `flatten`;
        ``dice_white`` and ``dice_csf`` of the person's own segmentation with
        the template's tissue, the fluid only 20 mm and more below the surface
        (the ventricles: no two people's sulci overlap); ``dice_mask`` of the
        two masks.
    """
    mni = template.template(GRID)
    place = (affine, matrix, mni.affine, mni.mask.shape)
    brain = space.resample(mask, *place) > 0.5
    image = flatten(space.resample(t1, *place, mask=mask), brain)
    labels = tissues(image, brain)
    depth = ndimage.distance_transform_edt(mni.mask, mni.affine[0, 0])
    deep = depth > _DEEP
    return {
        "normalised_mutual_information": normalised_mutual_information(
            image, mni.t1, mni.mask
        ),
        "correlation": correlation(image, mni.t1, mni.mask),
        "dice_csf": dice((labels == 1) & deep, (mni.csf > 0.5) & deep),
        "dice_white": dice(labels == 3, (mni.white > 0.5) & mni.mask),
        "dice_mask": dice(brain, mni.mask),
    }


def temporal_snr(bold: np.ndarray, mask: np.ndarray) -> float:
    """Temporal signal-to-noise ratio of a realigned series: mean over standard
    deviation in time, the median over voxels.

    Parameters
    ----------
    bold : (X, Y, Z, T) array.
    mask : (X, Y, Z) bool array, voxels that count; those that never change do
        not.

    Returns
    -------
    float
        NaN where nothing changes.
    """
    series = bold[mask]
    spread = series.std(axis=1)
    varies = spread > 0
    if not varies.any():
        return float("nan")
    return float(np.median(series.mean(axis=1)[varies] / spread[varies]))


def flatten(t1: np.ndarray, mask: np.ndarray, side: float = 2.0) -> np.ndarray:
    """Divide a T1 by its local mean in the mask, which takes away the coil's
    slow shading.

    Parameters
    ----------
    t1 : (X, Y, Z) array.
    mask : (X, Y, Z) bool array.
    side : of a voxel, mm.

    Returns
    -------
    (X, Y, Z) float32 array, around 1 in the mask and 0 outside.
    """
    sigma = _BIAS / side
    inside = np.where(mask, t1, 0).astype(np.float32)
    weight = ndimage.gaussian_filter(mask.astype(np.float32), sigma)
    weighted_mean = ndimage.gaussian_filter(inside, sigma)
    flat = np.zeros(mask.shape, np.float32)
    where = mask & (weighted_mean > 0)
    return np.divide(t1 * weight, weighted_mean, out=flat, where=where)


def tissues(t1: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Segment a T1 by its own intensities: k-means with three classes, from
    fixed starts.

    Parameters
    ----------
    t1 : (X, Y, Z) array.
    mask : (X, Y, Z) bool array.

    Returns
    -------
    (X, Y, Z) int8 array: 0 outside, 1 cerebrospinal fluid (darkest), 2 grey, 3
    white matter.

    Raises
    ------
    ValueError
        For fewer than three different values in the mask.
    """
    values = np.asarray(t1, dtype=np.float64)[mask]
    step = max(1, len(values) // 10_000)
    if np.unique(values[::step]).size < 3:
        raise ValueError(
            "t1: found fewer than 3 intensities in the mask, expected an image"
        )
    centres = np.percentile(values, [5, 40, 85])
    for _ in range(_ITERATIONS):
        nearest = _nearest(centres, values)
        moved = centres.copy()
        for k in range(3):
            members = values[nearest == k]
            if members.size:
                moved[k] = members.mean()
        if np.abs(moved - centres).max() <= 1e-6 * np.ptp(centres):
            break
        centres = moved
    labels = np.zeros(mask.shape, np.int8)
    labels[mask] = 1 + _nearest(centres, values)
    return labels


def _nearest(centres: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(n,) index of the nearest of some rising centres for each value."""
    return np.searchsorted((centres[1:] + centres[:-1]) / 2, values)


def normalised_mutual_information(
    first: np.ndarray,
    second: np.ndarray,
    mask: np.ndarray | None = None,
    bins: int = 64,
) -> float:
    """(H(a) + H(b)) / H(a, b) of two images (Studholme, Hill and Hawkes 1999).

    Parameters
    ----------
    first, second : (X, Y, Z) arrays of one shape.
    mask : (X, Y, Z) bool array, voxels that count; None counts all.
    bins : of equal width between each image's extremes.

    Returns
    -------
    float
        1 for independent images, 2 for images that determine each other.

    Raises
    ------
    ValueError
        If the shapes differ or an image is constant in the mask.
    """
    first, second = _values_in_mask(first, second, mask)
    joint = np.histogram2d(first, second, bins)[0] / first.size
    entropy_first = _entropy(joint.sum(axis=1))
    entropy_second = _entropy(joint.sum(axis=0))
    return float((entropy_first + entropy_second) / _entropy(joint))


def correlation(
    first: np.ndarray, second: np.ndarray, mask: np.ndarray | None = None
) -> float:
    """Pearson correlation of two images (X, Y, Z) over the voxels of a mask.

    Raises
    ------
    ValueError
        If the shapes differ or an image is constant in the mask.
    """
    first, second = _values_in_mask(first, second, mask)
    first = first - first.mean()
    second = second - second.mean()
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Overlap 2 |A and B| / (|A| + |B|) of two masks of one shape; 0 if both
    are empty.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    first = np.asarray(first, dtype=bool)
    second = np.asarray(second, dtype=bool)
    if first.shape != second.shape:
        raise ValueError(
            f"masks: found shapes {first.shape} and {second.shape}, "
            "expected one"
        )
    total = first.sum() + second.sum()
    if total == 0:
        return 0.0
    return float(2 * (first & second).sum() / total)


def position_error(
    estimated: np.ndarray, true: np.ndarray, points: np.ndarray | None = None
) -> np.ndarray:
    """How far apart two transforms put the same places.

    Parameters
    ----------
    estimated, true : (4, 4) matrices, MNI mm to native mm.
    points : (n, 3) MNI mm; None takes every fifth millimetre of the template's
        brain.

    Returns
    -------
    (n,) array, mm in native space.
    """
    if points is None:
        full = template.full()
        voxels = np.argwhere(full.mask[::5, ::5, ::5]) * 5
        points = space.apply(full.affine, voxels)
    difference = space.apply(estimated, points) - space.apply(true, points)
    return np.linalg.norm(difference, axis=1)


def shifted(
    matrix: np.ndarray, shift: tuple[float, float, float]
) -> np.ndarray:
    """A registration (4, 4) made wrong on purpose by a shift in MNI mm."""
    wrong = np.eye(4)
    wrong[:3, 3] = shift
    return matrix @ wrong


def tissue_contrast(
    falff: np.ndarray, mask: np.ndarray, grey: np.ndarray, white: np.ndarray
) -> dict[str, float]:
    """Mean fALFF in grey and white matter, deep enough (fraction above 0.7) to
    be one tissue.

    Parameters
    ----------
    falff : (X, Y, Z) array.
    mask : (X, Y, Z) bool array, where it was measured.
    grey, white : (X, Y, Z) tissue fractions.

    Returns
    -------
    dict
        ``falff_grey`` and ``falff_white``, means; nan where a tissue has no
        voxel.
    """
    measured = mask & ndimage.binary_erosion(mask)
    means = {}
    for name, fraction in (("grey", grey), ("white", white)):
        values = falff[measured & (fraction > 0.7)]
        mean = float(values.mean()) if values.size else float("nan")
        means[f"falff_{name}"] = mean
    return means


def _entropy(p: np.ndarray) -> float:
    """Shannon entropy of probabilities, nats."""
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def _values_in_mask(
    first: np.ndarray, second: np.ndarray, mask: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """(voxels,) values of two images of one shape, neither constant."""
    first = np.asarray(first, np.float64)
    second = np.asarray(second, np.float64)
    if mask is None:
        mask = np.ones(first.shape, bool)
    mask = np.asarray(mask, dtype=bool)
    if not first.shape == second.shape == mask.shape:
        raise ValueError(
            f"images and mask: found shapes {first.shape}, {second.shape}, "
            f"{mask.shape}, expected one"
        )
    first, second = first[mask], second[mask]
    if first.size < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        raise ValueError(
            "images: found a constant image in the mask, expected variation"
        )
    return first, second
