"""How well a map finds a planted mask: precision and recall, Dice coefficient,
distance of the peak.

A map is scored by its ranking of voxels, so that maps in different units
(effect sizes, gradients, edges) can stand in one table; an edge detector that
saw no label is the baseline of that table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from mmssl.ledger.artefacts import KEYS

if TYPE_CHECKING:
    import pandas as pd


class Overlap(NamedTuple):
    """How well a map finds a mask.

    auprc : area under the precision-recall curve (average precision); the
        chance level is `chance`.
    chance : share of the searched voxels that are in the mask.
    dice : of the mask and as many of the map's largest voxels.
    distance : mm from the map's absolute peak to the nearest voxel of the
        mask, 0 inside.
    """

    auprc: float
    chance: float
    dice: float
    distance: float


def overlap(volume, truth, mask, affine) -> Overlap:
    """Score the absolute value of a map against the mask it should find,
    within the brain.

    Ties share evenly what is theirs, so that a constant map scores the chance
    level, whatever the order of voxels.

    Parameters
    ----------
    volume : array, shape (X, Y, Z)
    truth, mask : array of bool, same shape
        The planted mask, and where it is searched.
    affine : array, shape (4, 4)

    Raises
    ------
    ValueError
        If shapes differ, a value in the brain is not finite, or the truth is
        empty or everything.
    """
    from nibabel.affines import apply_affine
    from sklearn.metrics import average_precision_score

    volume = np.asarray(volume)
    truth = np.asarray(truth, bool)
    mask = np.asarray(mask, bool)
    if not volume.shape == truth.shape == mask.shape:
        raise ValueError(
            f"truth and mask: shapes {truth.shape} and {mask.shape}, expected "
            f"{volume.shape} as the map"
        )
    score = np.abs(volume[mask].astype(np.float64))
    planted = truth[mask]
    if not np.isfinite(score).all():
        number = int((~np.isfinite(score)).sum())
        raise ValueError(f"map: {number} values in the mask are not finite")
    size = int(planted.sum())
    if size in (0, len(planted)):
        raise ValueError(
            f"truth: {size} of {len(planted)} voxels of the brain, expected "
            "some but not all"
        )
    limit = np.partition(score, -size)[-size]
    above = score > limit
    tied = score == limit
    # of the voxels at the limit that there is room for
    share = (size - above.sum()) / tied.sum()
    found = planted[above].sum() + share * planted[tied].sum()
    points = apply_affine(affine, np.argwhere(mask))
    peaks = points[score == score.max()]
    distances, _ = cKDTree(points[planted]).query(peaks)
    return Overlap(
        float(average_precision_score(planted, score)),
        size / len(planted),
        float(found / size),
        float(distances.mean()),
    )


def overlaps(
    maps: Mapping[tuple[str, str, str], np.ndarray],
    truth: Mapping[str, np.ndarray],
    mask,
    affine,
) -> pd.DataFrame:
    """`overlap` of several maps.

    Parameters
    ----------
    maps : {(source, modality, sign): array (X, Y, Z)}
    truth : {modality: array of bool (X, Y, Z)}
        Maps of other modalities are left out.
    mask, affine
        As in `overlap`.

    Returns
    -------
    DataFrame
        A line a map: source, modality, sign, auprc, chance, dice, distance.
    """
    import pandas as pd

    lines = []
    for key, values in maps.items():
        source, modality, sign = key
        if modality in truth:
            scores = overlap(values, truth[modality], mask, affine)
            lines.append((source, modality, sign, *scores))
    return pd.DataFrame(lines, columns=[*KEYS, *Overlap._fields])


def edges(images, sigma: float = 1.0) -> np.ndarray:
    """Gradient magnitude of the mean image, (X, Y, Z): an edge detector, which
    uses no label and is therefore the baseline.

    Parameters
    ----------
    images : array, shape (n, X, Y, Z)
    sigma : float
        Of the Gaussian whose derivatives are taken, in voxels.
    """
    images = np.asarray(images)
    if images.ndim != 4:
        raise ValueError(
            f"images: shape {images.shape}, expected (n, X, Y, Z)"
        )
    return ndimage.gaussian_gradient_magnitude(
        images.mean(axis=0, dtype=np.float64), sigma
    )
