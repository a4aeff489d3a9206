"""How well a person's brain lies on the template, in figures the registration
did not optimise.

A similarity transform is fitted by mutual information on smoothed images; the
figures here are taken on the resampled image at 2 mm, and the tissue overlap
comes from the subject's own intensities alone.
"""

import numpy as np
from scipy import ndimage

from mmssl.preprocessing import space, template

GRID = 96  # 2 mm: at 3 or 6 mm the ventricles are too few voxels to overlap
_DEEP = 20.0  # mm below the brain's surface
# mm, standard deviation of the Gaussian that stands for the coil's sensitivity
_BIAS = 20.0
_ITERATIONS = 100


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
    dict : ``normalised_mutual_information`` (1 to 2) and ``correlation`` of
        the T1 with the
        template inside the template's mask, after `flatten`; ``dice_white``
        and ``dice_csf`` of the subject's own segmentation with the template's
        tissue, the fluid only 20 mm and more below the surface (the
        ventricles: no two people's sulci overlap); ``dice_mask`` of the two
        masks.
    """
    model = template.template(GRID)
    shape = model.mask.shape
    own = space.resample(mask, affine, matrix, model.affine, shape) > 0.5
    image = flatten(
        space.resample(t1, affine, matrix, model.affine, shape, mask=mask), own
    )
    labels = tissues(image, own)
    inside = model.mask
    deep = ndimage.distance_transform_edt(inside, model.affine[0, 0]) > _DEEP
    return {
        "normalised_mutual_information": normalised_mutual_information(
            image, model.t1, inside
        ),
        "correlation": correlation(image, model.t1, inside),
        "dice_csf": dice((labels == 1) & deep, (model.csf > 0.5) & deep),
        "dice_white": dice(labels == 3, (model.white > 0.5) & inside),
        "dice_mask": dice(own, inside),
    }


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
    weight = ndimage.gaussian_filter(mask.astype(np.float32), _BIAS / side)
    local = ndimage.gaussian_filter(
        np.where(mask, t1, 0).astype(np.float32), _BIAS / side
    )
    use = mask & (local > 0)
    return np.divide(
        t1 * weight, local, out=np.zeros(mask.shape, np.float32), where=use
    )


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
    ValueError : fewer than three different values in the mask.
    """
    values = np.asarray(t1, dtype=np.float64)[mask]
    if np.unique(values[:: max(1, len(values) // 10_000)]).size < 3:
        raise ValueError(
            "t1: found fewer than 3 intensities in the mask, expected an image"
        )
    centres = np.percentile(values, [5, 40, 85])
    for _ in range(_ITERATIONS):
        nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, values)
        moved = np.array(
            [
                values[nearest == k].mean()
                if (nearest == k).any()
                else centres[k]
                for k in range(3)
            ]
        )
        if np.abs(moved - centres).max() <= 1e-6 * np.ptp(centres):
            break
        centres = moved
    labels = np.zeros(mask.shape, np.int8)
    labels[mask] = 1 + np.searchsorted(
        (centres[1:] + centres[:-1]) / 2, values
    )
    return labels


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
    float : 1 for independent images, 2 for images that determine each other.

    Raises
    ------
    ValueError : the shapes differ or an image is constant in the mask.
    """
    first, second = _pair(first, second, mask)
    joint = np.histogram2d(first, second, bins)[0] / first.size
    rows, columns = _entropy(joint.sum(axis=1)), _entropy(joint.sum(axis=0))
    return float((rows + columns) / _entropy(joint))


def correlation(
    first: np.ndarray, second: np.ndarray, mask: np.ndarray | None = None
) -> float:
    """Pearson correlation of two images (X, Y, Z) over the voxels of a mask.

    Raises
    ------
    ValueError : the shapes differ or an image is constant in the mask.
    """
    first, second = _pair(first, second, mask)
    first, second = first - first.mean(), second - second.mean()
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Overlap 2 |A and B| / (|A| + |B|) of two masks of one shape; 0 if both
    are empty.

    Raises
    ------
    ValueError : the shapes differ.
    """
    first, second = (
        np.asarray(first, dtype=bool),
        np.asarray(second, dtype=bool),
    )
    if first.shape != second.shape:
        raise ValueError(
            f"masks: found shapes {first.shape} and {second.shape}, expected one"
        )
    total = first.sum() + second.sum()
    return float(2 * (first & second).sum() / total) if total else 0.0


def position_error(
    found: np.ndarray, true: np.ndarray, points: np.ndarray | None = None
):
    """How far apart two transforms put the same places.

    Parameters
    ----------
    found, true : (4, 4) matrices, MNI mm to native mm.
    points : (n, 3) MNI mm; None takes every fifth millimetre of the template's
        brain.

    Returns
    -------
    (n,) array, mm in native space.
    """
    if points is None:
        model = template.full()
        points = space.apply(
            model.affine, np.argwhere(model.mask[::5, ::5, ::5]) * 5
        )
    return np.linalg.norm(
        space.apply(found, points) - space.apply(true, points), axis=1
    )


def shifted(
    matrix: np.ndarray, shift: tuple[float, float, float]
) -> np.ndarray:
    """The same registration made wrong on purpose by a shift in MNI mm; (4, 4)
    in and out.
    """
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
    dict : ``falff_grey`` and ``falff_white``, means; nan where a tissue has no
        voxel.
    """
    measured = mask & ndimage.binary_erosion(mask)
    out = {}
    for name, fraction in (("grey", grey), ("white", white)):
        values = falff[measured & (fraction > 0.7)]
        out[f"falff_{name}"] = (
            float(values.mean()) if values.size else float("nan")
        )
    return out


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def _pair(first, second, mask) -> tuple[np.ndarray, np.ndarray]:
    first, second = (
        np.asarray(first, np.float64),
        np.asarray(second, np.float64),
    )
    mask = (
        np.ones(first.shape, bool)
        if mask is None
        else np.asarray(mask, dtype=bool)
    )
    if not first.shape == second.shape == mask.shape:
        raise ValueError(
            f"images and mask: found shapes {first.shape}, {second.shape},"
            f" {mask.shape}, expected one"
        )
    first, second = first[mask], second[mask]
    if first.size < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        raise ValueError(
            "images: found a constant image in the mask, expected variation"
        )
    return first, second
