r"""Threshold-free cluster enhancement: a voxel counts for more in the company
of its neighbours.

.. math:: \mathrm{TFCE}(v) = \int_0^{s_v} e(h)^E h^H \, dh

with e(h) the number of voxels of the cluster around v at threshold h, E = 1/2
and H = 2 (Smith & Nichols 2009). The statistic is the rank-biserial
correlation, which lies in [-1, 1], so the same thresholds serve every map.

Clusters only grow as the threshold falls. So it is taken from the top down,
for many maps at once: at each level new voxels join, and only pairs of
neighbours that meet at this level can merge what was apart. Nothing is
labelled anew.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from tqdm.auto import tqdm

from mmssl.groupmaps.mann_whitney import centred_ranks, checked_maps
from mmssl.stats.permutation import corrected_p, labellings, two_groups

STEP = 0.02
_ELEMENTS = 1 << 19  # voxels of the maps enhanced at once


class Enhanced(NamedTuple):
    """Enhanced maps of two groups; arrays of the shape of one person's maps.

    enhanced : TFCE of the rank-biserial correlation, with its sign.
    corrected : family-wise over all maps and voxels together.
    """

    enhanced: np.ndarray
    corrected: np.ndarray


def enhance(
    maps, mask, extent: float = 0.5, height: float = 2.0, step: float = STEP
) -> np.ndarray:
    """TFCE of maps, positive and negative clusters apart, the sign kept.

    Parameters
    ----------
    maps : array-like, shape (…, voxels)
        Each map is enhanced by itself.
    mask : array of bool, shape (X, Y, Z)
        Where the voxels are. Clusters are of voxels in it that share a face.
    extent, height : float
        E and H.
    step : float
        dh; thresholds are its multiples, the sum one of rectangles.

    Returns
    -------
    array, shape (…, voxels)

    Raises
    ------
    ValueError
        For maps that do not fit the mask or are not finite, or a step that is
        not positive.
    """
    maps, mask = (
        np.asarray(maps, dtype=np.float64),
        np.asarray(mask, dtype=bool),
    )
    if (
        not maps.ndim
        or maps.shape[-1] != mask.sum()
        or not np.isfinite(maps).all()
    ):
        raise ValueError(
            f"maps: shape {maps.shape}, expected finite (…, {mask.sum()}) as the mask "
            "has voxels"
        )
    if not step > 0:
        raise ValueError(f"step is {step}, expected above 0")
    flat, pairs = maps.reshape(-1, maps.shape[-1]), _neighbours(mask)
    rows = max(1, _ELEMENTS // max(1, flat.shape[1]))
    parts = [
        _enhanced(flat[start : start + rows], pairs, extent, height, step)
        for start in range(0, len(flat), rows)
    ]
    return np.concatenate(parts).reshape(maps.shape) if parts else maps.copy()


def tfce_test(
    values,
    labels,
    mask,
    permutations: int = 1000,
    seed: int = 0,
    *,
    strata=None,
    progress: bool = True,
) -> Enhanced:
    """Enhanced maps of two groups and their family-wise corrected p.

    Parameters
    ----------
    values : array-like, shape (n, …, voxels)
        A person's maps on the voxels of the mask; as in
        `mmssl.groupmaps.mann_whitney.compare`, whatever stands in the middle
        belongs to the family.
    labels, permutations, seed, strata, progress
        As in `mmssl.groupmaps.mann_whitney.max_statistic_test`.
    mask : array of bool, shape (X, Y, Z)

    Returns
    -------
    Enhanced
        Corrected by the permutation null of the largest absolute enhanced
        value.
    """
    shape, mask = tuple(np.shape(values)[1:]), np.asarray(mask, dtype=bool)
    if not shape or shape[-1] != mask.sum():
        raise ValueError(
            f"values: shape {np.shape(values)}, expected (people, …, {mask.sum()}) as "
            "the mask has voxels"
        )
    if permutations < 1:
        raise ValueError(
            f"permutations is {permutations}, expected at least 1"
        )
    flat = checked_maps(values.reshape(len(values), -1), "values")
    group = two_groups(labels, len(flat))
    ranks, _ = centred_ranks(flat)
    # (n, maps * voxels)
    ranks = ranks.T / (int(group.sum()) * int((~group).sum()))

    def enhanced(g: np.ndarray) -> np.ndarray:
        return enhance((g.astype(float) @ ranks).reshape(len(g), *shape), mask)

    draws = labellings(group, permutations, seed, strata)
    blocks = np.array_split(
        draws, -(-draws.shape[0] * ranks.shape[1] // _ELEMENTS)
    )
    largest = [
        np.abs(enhanced(some)).reshape(len(some), -1).max(axis=1)
        for some in tqdm(
            blocks, desc="enhanced maps", leave=False, disable=not progress
        )
    ]
    observed = enhanced(group[None])[0]
    # sums in another order differ in their last digits
    p = corrected_p(
        np.maximum(np.abs(observed) - 1e-12, 0), np.concatenate(largest)
    )
    return Enhanced(observed, p)


def _neighbours(mask: np.ndarray) -> np.ndarray:
    """Pairs of voxels of the mask that share a face, (pairs, 2), by their
    place in it.
    """
    place = np.full(mask.shape, -1)
    place[mask] = np.arange(mask.sum())
    found = []
    for axis in range(mask.ndim):
        first, second = (
            np.delete(place, end, axis).ravel() for end in (-1, 0)
        )
        inside = (first >= 0) & (second >= 0)
        found.append(np.stack([first[inside], second[inside]], axis=1))
    return np.concatenate(found)


def _enhanced(
    maps: np.ndarray,
    pairs: np.ndarray,
    extent: float,
    height: float,
    step: float,
):
    """Enhance (B, voxels): from the highest level down, joined by pairs of
    neighbours.
    """
    flat = maps.ravel()
    level = (np.abs(flat) / step + 1e-9).astype(np.int32)
    first, second = (
        (np.arange(len(maps))[:, None] * maps.shape[1] + side).ravel()
        for side in pairs.T
    )
    meeting = np.where(
        (flat[first] > 0) == (flat[second] > 0),
        np.minimum(level[first], level[second]),
        0,
    )
    voxels, reached = _from_the_top(level)
    edges, met = _from_the_top(meeting)
    cluster, sizes = np.zeros(len(flat), dtype=np.int32), np.zeros(0)
    result = np.zeros(len(flat))
    for k in range(level.max(initial=0), 0, -1):
        new, active = voxels[reached[k + 1] : reached[k]], voxels[: reached[k]]
        cluster[new] = len(sizes) + np.arange(len(new))
        sizes = np.append(sizes, np.ones(len(new)))
        here = edges[met[k + 1] : met[k]] if k + 1 < len(met) else edges[:0]
        joined = sparse.coo_array(
            (
                np.ones(len(here), bool),
                (cluster[first[here]], cluster[second[here]]),
            ),
            shape=(len(sizes), len(sizes)),
        )
        number, merged = connected_components(joined, directed=False)
        sizes = np.bincount(merged, weights=sizes, minlength=number)
        cluster[active] = merged[cluster[active]]
        result[active] += (step * (k * step) ** height * sizes**extent)[
            cluster[active]
        ]
    return (np.sign(flat) * result).reshape(maps.shape)


def _from_the_top(level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices from the highest level to 1, and how many there are from each
    level up.
    """
    counts = np.bincount(level)
    # whole numbers of 16 bits are sorted by counting
    short = np.min_scalar_type(-len(counts))
    order = np.argsort((-level).astype(short), kind="stable")
    return order, np.append(np.cumsum(counts[::-1])[::-1], 0)
