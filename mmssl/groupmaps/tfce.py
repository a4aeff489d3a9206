r"""Threshold-free cluster enhancement (TFCE): a voxel counts for more where
its neighbours show the same.

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
from mmssl.stats.permutation import labellings, permutation_p, two_groups

STEP = 0.02
_ELEMENTS = 1 << 19  # voxels of the maps enhanced at once


class EnhancedDifference(NamedTuple):
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
    maps = np.asarray(maps, dtype=np.float64)
    mask = np.asarray(mask, dtype=bool)
    fits = maps.ndim > 0 and maps.shape[-1] == mask.sum()
    if not fits or not np.isfinite(maps).all():
        raise ValueError(
            f"maps: shape {maps.shape}, expected finite (…, {mask.sum()}) as "
            "the mask has voxels"
        )
    if not step > 0:
        raise ValueError(f"step is {step}, expected above 0")
    flat = maps.reshape(-1, maps.shape[-1])
    pairs = _neighbours(mask)
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
) -> EnhancedDifference:
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
    EnhancedDifference
        Corrected by the permutation null of the largest absolute enhanced
        value.

    Raises
    ------
    ValueError
        As `mmssl.groupmaps.mann_whitney.max_statistic_test`; also for maps
        that do not fit the mask.
    """
    shape = tuple(np.shape(values)[1:])
    mask = np.asarray(mask, dtype=bool)
    if not shape or shape[-1] != mask.sum():
        raise ValueError(
            f"values: shape {np.shape(values)}, expected (people, …, "
            f"{mask.sum()}) as the mask has voxels"
        )
    flat = checked_maps(values.reshape(len(values), -1), "values")
    group = two_groups(labels, len(flat))
    draws = labellings(group, permutations, seed, strata)
    ranks, _ = centred_ranks(flat)
    # (n, maps * voxels)
    ranks = ranks.T / (int(group.sum()) * int((~group).sum()))

    def enhanced(groups: np.ndarray) -> np.ndarray:
        """Enhanced maps of some labellings."""
        rbc = groups.astype(float) @ ranks
        return enhance(rbc.reshape(len(groups), *shape), mask)

    # rounded up
    number = -(-draws.shape[0] * ranks.shape[1] // _ELEMENTS)
    largest = []
    for block in tqdm(
        np.array_split(draws, number),
        desc="enhanced maps",
        leave=False,
        disable=not progress,
    ):
        sizes = np.abs(enhanced(block)).reshape(len(block), -1)
        largest.append(sizes.max(axis=1))
    observed = enhanced(group[None])[0]
    p = permutation_p(np.abs(observed), np.concatenate(largest))
    return EnhancedDifference(observed, p)


def _neighbours(mask: np.ndarray) -> np.ndarray:
    """Pairs of voxels of the mask that share a face, (pairs, 2), by their
    place in it.
    """
    place = np.full(mask.shape, -1)
    place[mask] = np.arange(mask.sum())
    pairs = []
    for axis in range(mask.ndim):
        first = np.delete(place, -1, axis).ravel()
        second = np.delete(place, 0, axis).ravel()
        inside = (first >= 0) & (second >= 0)
        pairs.append(np.stack([first[inside], second[inside]], axis=1))
    return np.concatenate(pairs)


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
    # the same pairs in every map, by their place among the voxels of all maps
    offset = np.arange(len(maps))[:, None] * maps.shape[1]
    first = (offset + pairs[:, 0]).ravel()
    second = (offset + pairs[:, 1]).ravel()
    signed = np.where(flat > 0, level, -level)
    ends = _taken(signed, first), _taken(signed, second)
    # the lower level of two of one sign, 0 of others
    meeting = np.maximum(np.minimum(*ends), -np.maximum(*ends))
    meeting = np.maximum(meeting, 0)
    voxels, reached = _by_falling_level(level)
    edges, met = _by_falling_level(meeting)
    cluster = np.zeros(len(flat), dtype=np.int32)
    sizes = np.zeros(0)
    # of each level: what the clusters above and then its new voxels become,
    # and what a voxel of each of its clusters gains
    becomes, gains = [], []
    for k in range(level.max(initial=0), 0, -1):
        new = voxels[reached[k + 1] : reached[k]]
        active = voxels[: reached[k]]
        cluster[new] = len(sizes) + np.arange(len(new))
        sizes = np.append(sizes, np.ones(len(new)))
        here = edges[:0]
        if k + 1 < len(met):
            here = edges[met[k + 1] : met[k]]
        ends = [_taken(cluster, _taken(end, here)) for end in (first, second)]
        joined = sparse.coo_array(
            (np.ones(len(here), bool), ends), shape=(len(sizes), len(sizes))
        )
        number, merged = connected_components(joined, directed=False)
        sizes = np.bincount(merged, weights=sizes, minlength=number)
        cluster[active] = _taken(merged, _taken(cluster, active))
        becomes.append(merged)
        gains.append(step * (k * step) ** height * sizes**extent)
    result = np.zeros(len(flat))
    total = np.zeros(1)
    below = np.zeros(len(flat), dtype=np.int32)
    # a voxel gains at the level where it is new and at all below
    for k, (merged, gain) in enumerate(
        zip(becomes[::-1], gains[::-1], strict=True), start=1
    ):
        total = gain + _taken(total, below[: len(gain)])
        new = voxels[reached[k + 1] : reached[k]]
        result[new] = _taken(total, merged[len(merged) - len(new) :])
        below = merged
    return (np.sign(flat) * result).reshape(maps.shape)


def _taken(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Values at some places, which are all inside; faster than an index."""
    return np.take(values, places, mode="clip")


def _by_falling_level(level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices from the highest level to the lowest, and how many there are
    from each level up.
    """
    counts = np.bincount(level)
    # whole numbers of 16 bits are sorted by counting
    short = np.min_scalar_type(-len(counts))
    order = np.argsort((-level).astype(short), kind="stable")
    return order, np.append(np.cumsum(counts[::-1])[::-1], 0)
