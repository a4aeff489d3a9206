"""How well a map finds a planted mask: precision-recall, Dice, distance of the
peak.

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

    # a second, which few callers need
    from sklearn.metrics import average_precision_score

    volume, truth, mask = (
        np.asarray(volume),
        np.asarray(truth, bool),
        np.asarray(mask, bool),
    )
    if not volume.shape == truth.shape == mask.shape:
        raise ValueError(
            f"truth and mask: shapes {truth.shape} and {mask.shape}, expected "
            f"{volume.shape} as the map"
        )
    score, wanted = np.abs(volume[mask].astype(np.float64)), truth[mask]
    if not np.isfinite(score).all():
        raise ValueError(
            f"map: {int((~np.isfinite(score)).sum())} values in the mask are not "
            "finite"
        )
    size = int(wanted.sum())
    if size in (0, len(wanted)):
        raise ValueError(
            f"truth: {size} of {len(wanted)} voxels of the brain, expected some but "
            "not all"
        )
    limit = np.partition(score, -size)[-size]
    above, tied = score > limit, score == limit
    # of the voxels at the limit that there is room for
    share = (size - above.sum()) / tied.sum()
    found = wanted[above].sum() + share * wanted[tied].sum()
    points = apply_affine(affine, np.argwhere(mask))
    distances, _ = cKDTree(points[wanted]).query(points[score == score.max()])
    return Overlap(
        float(average_precision_score(wanted, score)),
        size / len(wanted),
        float(found / size),
        float(distances.mean()),
    )


def overlaps(
    maps: Mapping[tuple[str, str, str], np.ndarray],
    truth: Mapping[str, np.ndarray],
    mask,
    affine,
) -> pd.DataFrame:
    """`overlap` of several maps, (source, modality, sign) -> (X, Y, Z), with
    modality -> truth.
    """
    import pandas as pd

    lines = [
        (*key, *overlap(values, truth[key[1]], mask, affine))
        for key, values in maps.items()
        if key[1] in truth
    ]
    return pd.DataFrame(lines, columns=[*KEYS, *Overlap._fields])


def edges(images, sigma: float = 1.0) -> np.ndarray:
    """Gradient magnitude of the mean image, (X, Y, Z): an edge detector, which
    knows no label.

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
