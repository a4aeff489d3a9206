r"""Threshold-free cluster enhancement: a voxel counts for more in the company of its neighbours.

.. math:: \mathrm{TFCE}(v) = \int_0^{s_v} e(h)^E h^H \, dh

with e(h) the number of voxels of the cluster around v at threshold h, E = 1/2 and H = 2 (Smith &
Nichols 2009). The statistic is the rank-biserial correlation, which lies in [-1, 1], so the same
thresholds serve every map.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.stats import rankdata
from tqdm.auto import tqdm

from mmssl.groupmaps import labellings, two_groups

STEP = 0.02


def enhance(volume, extent: float = 0.5, height: float = 2.0, step: float = STEP) -> np.ndarray:
    """TFCE of a map, positive and negative clusters apart, the sign kept.

    Parameters
    ----------
    volume : array, shape (X, Y, Z)
        0 outside the mask.
    extent, height : float
        E and H.
    step : float
        dh; thresholds are its multiples, the sum one of rectangles.

    Returns
    -------
    array, shape (X, Y, Z)
        Clusters are of voxels that share a face.
    """
    volume = np.asarray(volume, dtype=np.float64)
    if volume.ndim != 3 or not np.isfinite(volume).all():
        raise ValueError(f"volume: shape {volume.shape}, expected finite (X, Y, Z)")
    if not step > 0:
        raise ValueError(f"step is {step}, expected above 0")
    result = np.zeros_like(volume)
    for sign in (1.0, -1.0):
        for k in range(1, int((sign * volume).max() / step + 1e-9) + 1):
            clusters, number = ndimage.label(sign * volume >= k * step - 1e-12)
            sizes = np.bincount(clusters.ravel(), minlength=number + 1).astype(np.float64)
            sizes[0] = 0
            result += sign * step * (k * step) ** height * (sizes**extent)[clusters]
    return result


def tfce_test(
    values, labels, mask, permutations: int = 1000, seed: int = 0, *, strata=None,
    progress: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Enhanced map of two groups and its family-wise corrected p.

    Parameters
    ----------
    values : array-like, shape (n, voxels)
        One row a person, the voxels of the mask.
    mask : array of bool, shape (X, Y, Z)
    labels, permutations, seed, strata
        As in `mmssl.groupmaps.max_statistic_test`.

    Returns
    -------
    enhanced, corrected : arrays, shape (voxels,)
        Corrected by the permutation null of the largest absolute enhanced value.
    """
    values, mask = np.asarray(values), np.asarray(mask, dtype=bool)
    if values.ndim != 2 or values.shape[1] != mask.sum() or not np.isfinite(values).all():
        raise ValueError(f"values: shape {values.shape}, expected finite (people, {mask.sum()}) as "
                         "the mask has voxels")
    group = two_groups(labels, len(values))
    box = ndimage.find_objects(mask.astype(np.uint8))[0]

    ranks = 2 * rankdata(values, axis=0) - (len(values) + 1)
    pairs = int(group.sum()) * int((~group).sum())

    def enhanced(g: np.ndarray) -> np.ndarray:
        volume = np.zeros(mask.shape)
        volume[mask] = g.astype(float) @ ranks / pairs  # the rank-biserial correlation
        return enhance(volume[box])[mask[box]]

    observed = enhanced(group)
    draws = labellings(group, permutations, seed, strata)
    largest = [np.abs(enhanced(g)).max()
               for g in tqdm(draws, desc="enhanced maps", leave=False, disable=not progress)]
    reached = len(draws) - np.searchsorted(np.sort(largest), np.abs(observed) - 1e-12)
    return observed, (1 + reached) / (1 + len(draws))
