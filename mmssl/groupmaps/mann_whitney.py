r"""The voxelwise Mann-Whitney test of two groups, and its permutation test by
the largest effect.

A map per person becomes ranks over people, voxel by voxel; every statistic
here is then a product of labels and ranks. With doubled midranks centred on 0,
:math:`R = 2 r - (n + 1)`, and labels :math:`g_i = 1` in the first group,

.. math::
    \mathrm{RBC} = \frac{2 U}{n_1 n_0} - 1 = \frac{\sum_i g_i R_i}{n_1 n_0},

so a permutation test of a whole brain is one matrix product G R (permutations
x people times people x voxels). Both matrices hold integers, so that products
are exact, and so is the comparison of an observed value with permuted ones.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import ndtr
from scipy.stats import false_discovery_control
from tqdm.auto import tqdm

from mmssl.groupmaps.clusters import to_volumes
from mmssl.stats.permutation import (
    check_group_sizes,
    labellings,
    permutation_p,
    two_groups,
)

# bytes that ranking holds at once beside its input and result
_RANK_BYTES = 1 << 22
# numbers in one block of G R; on a CPU what fits the cache of a core
_ELEMENTS = {"cpu": 1 << 20}
_ELEMENTS_ELSEWHERE = 1 << 27


class RankBiserial(NamedTuple):
    """Voxelwise Mann-Whitney test of two groups; arrays (voxels,), float64.

    u : U of the first group: pairs of people in which the first is larger,
        ties one half.
    rbc : 2 U / (n1 n0) - 1 = 2 AUC - 1, in [-1, 1]; positive where the first
        group is larger.
    p : two-sided, uncorrected for the number of voxels.
    """

    u: np.ndarray
    rbc: np.ndarray
    p: np.ndarray


def rank_biserial(first, second) -> RankBiserial:
    r"""Mann-Whitney U, rank-biserial correlation and asymptotic p of every
    voxel.

    .. math::
        U = \sum_{i \in \mathrm{first}} r_i - \frac{n_1 (n_1 + 1)}{2}, \quad
        \mathrm{RBC} = \frac{2 U}{n_1 n_0} - 1, \quad
        \sigma^2 = \frac{n_1 n_0}{12}
        \Bigl(n + 1 - \frac{\sum_t t^3 - t}{n (n - 1)}\Bigr)

    with midranks r and ties of t people; p is that of the normal distribution
    with a continuity correction of one half, as in
    `scipy.stats.mannwhitneyu(method="asymptotic")`.

    Parameters
    ----------
    first, second : array-like, shapes (n1, voxels) and (n0, voxels)
        One row a person; NumPy or torch.

    Returns
    -------
    RankBiserial
        A voxel that is the same in everybody says nothing: its rbc is 0 and
        its p 1.

    Raises
    ------
    ValueError
        For fewer than 4 people in a group, shapes that differ, or a map with a
        value that is not finite, naming it.
    """
    first = checked_maps(first, "first")
    second = checked_maps(second, "second")
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"first has {first.shape[1]} voxels, second {second.shape[1]}: "
            "one mask for both is expected"
        )
    n1, n0 = len(first), len(second)
    check_group_sizes(n1, n0)
    twice, ties = _rank_sums(np.concatenate([first, second]), n1)
    n = n1 + n0
    variance = n1 * n0 / 12 * (n + 1 - ties / (n * (n - 1)))
    # of U over its mean, less the continuity correction
    excess = (np.abs(twice) - 1) / 2
    constant = variance <= 0
    z = excess / np.sqrt(np.where(constant, 1.0, variance))
    p = np.where(constant, 1.0, np.minimum(1.0, 2 * ndtr(-z)))
    return RankBiserial((twice + n1 * n0) / 2, twice / (n1 * n0), p)


def resampled_rank_biserial(first, second, weights) -> np.ndarray:
    r"""Rank-biserial correlation of every voxel with people counted more than
    once or not at all, as a bootstrap draws them.

    .. math::
        \mathrm{RBC}_b = \frac{\sum_{i, j} w_{b,i}\, w_{b,j}\,
        \mathrm{sign}(x_i - x_j)}{\sum_{i, j} w_{b,i}\, w_{b,j}}

    Parameters
    ----------
    first, second : array-like, shapes (n1, voxels) and (n0, voxels)
    weights : pair of arrays, shapes (draws, n1) and (draws, n0)
        How often each person is in each draw.

    Returns
    -------
    array, shape (draws, voxels)
    """
    first = np.asarray(first, dtype=np.float32)
    second = np.asarray(second, dtype=np.float32)
    pairs = np.einsum("bi,bj->bij", *weights)
    pairs = pairs.reshape(len(pairs), -1).astype(np.float32)
    pairs /= pairs.sum(axis=1, keepdims=True)
    block = max(1, _RANK_BYTES // pairs.shape[1])
    effects = []
    for start in range(0, first.shape[1], block):
        voxels = slice(start, start + block)
        signs = np.sign(first[:, None, voxels] - second[None, :, voxels])
        effects.append(pairs @ signs.reshape(pairs.shape[1], -1))
    return np.concatenate(effects, axis=1)


def max_statistic_test(
    values,
    labels,
    permutations: int = 10_000,
    seed: int = 0,
    *,
    strata=None,
    progress: bool = True,
) -> np.ndarray:
    r"""Family-wise corrected p of every voxel, from the permutation null of
    the largest \|RBC\|.

    .. math::
        p_v = \frac{1 + \#\{b : \max_w |\mathrm{RBC}_{b,w}| \ge
        |\mathrm{RBC}_v|\}}{1 + P}

    (Nichols & Holmes 2002): the chance of one false voxel anywhere in
    ``values`` is at most the level. The 1 is the observed labelling itself, so
    that no p is 0 (Phipson & Smyth 2010). Several maps set side by side as
    more columns are corrected as one family.

    Parameters
    ----------
    values : array-like, shape (n, voxels)
        One row a person; a torch tensor is tested on its own device.
    labels : array-like, shape (n,)
        Two values, at least 4 people each.
    permutations : int
        Random relabellings. Where no more than that many exist, each is used
        once instead and the test is exact.
    seed : int
    strata : array-like, shape (n,), optional
        Labels move only between people of the same stratum, such as sex or
        site.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    array, shape (voxels,)
        In [1 / (1 + P), 1]; 1 where a voxel is the same in everybody.

    Raises
    ------
    ValueError
        As `rank_biserial`; also for labels that are not two-valued, a length
        that differs, permutations below 1, or strata within which nothing can
        be permuted.
    """
    device = torch.device("cpu")
    if isinstance(values, torch.Tensor):
        device = values.device
    values = checked_maps(values, "values")
    group = two_groups(labels, len(values))
    draws = labellings(group, permutations, seed, strata)
    ranks, _ = centred_ranks(values)
    largest = largest_deviations(ranks, draws, device, progress)
    observed = np.abs(ranks @ group.astype(np.int64))
    return permutation_p(observed, largest)


def smallest_p(
    values,
    labels,
    permutations: int = 10_000,
    seed: int = 0,
    *,
    strata=None,
) -> float:
    """Corrected p of a voxel that tells the groups apart without an error,
    among these maps: no voxel of theirs can have a smaller one.

    Where few people are compared it is above .05, and the test can find
    nothing, whatever is there.

    Parameters and errors as in `max_statistic_test`.
    """
    values = checked_maps(values, "values")
    group = two_groups(labels, len(values))
    family = np.column_stack([values, group])
    return float(
        max_statistic_test(
            family, labels, permutations, seed, strata=strata, progress=False
        )[-1]
    )


class GroupDifference(NamedTuple):
    """Maps of two groups compared as one family; arrays of the shape of one
    person's maps.

    rbc : positive where the group with the larger label has the larger values.
    p : of each voxel alone.
    corrected : family-wise over all maps and voxels together.
    fdr : p adjusted for the false discovery rate of each map by itself
        (Benjamini & Hochberg 1995): with those at or below .05 called
        findings, at most 5 % of a map's findings are false on average over
        studies, counting a map without findings as 0. More voxels are found
        than with ``corrected``, and less is known of each.
    """

    rbc: np.ndarray
    p: np.ndarray
    corrected: np.ndarray
    fdr: np.ndarray

    def volumes(self, mask) -> list[tuple[np.ndarray, np.ndarray]]:
        """(rbc, corrected p) of every map as images (X, Y, Z); outside the
        mask 0 and 1.
        """
        return to_volumes(self.rbc, self.corrected, mask)


def compare(
    values,
    labels,
    permutations: int = 10_000,
    seed: int = 0,
    *,
    strata=None,
    progress: bool = True,
) -> GroupDifference:
    """Both tests of this module on several maps a person, corrected together.

    Parameters
    ----------
    values : array-like, shape (n, …, voxels)
        A person's maps; whatever stands in the middle, such as modality and
        dimension, belongs to the family.
    labels, permutations, seed, strata, progress
        As in `max_statistic_test`.

    Returns
    -------
    GroupDifference

    Raises
    ------
    ValueError
        As `max_statistic_test`.
    """
    shape = tuple(values.shape[1:])
    flat = values.reshape(len(values), -1)
    corrected = max_statistic_test(
        flat, labels, permutations, seed, strata=strata, progress=progress
    )
    group = two_groups(labels, len(flat))
    effect = rank_biserial(flat[group], flat[~group])
    # of each map: among all maps together, a strong one would open the door to
    # noise of the others
    fdr = false_discovery_control(effect.p.reshape(-1, shape[-1]), axis=-1)
    return GroupDifference(
        effect.rbc.reshape(shape),
        effect.p.reshape(shape),
        corrected.reshape(shape),
        fdr.reshape(shape),
    )


def checked_maps(values, name: str) -> np.ndarray:
    """(n, voxels) with float32 at least, or a ValueError naming what and which
    map is wrong.
    """
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    values = np.asarray(values)
    if values.dtype in (np.float16, bool):
        values = values.astype(np.float32)
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(
            f"{name}: shape {values.shape}, expected (people, voxels), none "
            "of them 0"
        )
    for row, one in enumerate(values):
        if not np.isfinite(one).all():
            bad = np.flatnonzero(~np.isfinite(one))
            raise ValueError(
                f"{name}: map {row} holds {len(bad)} values that are not "
                f"finite, the first at voxel {bad[0]}: {one[bad[0]]}"
            )
    return values


def _rank_sums(values: np.ndarray, n1: int) -> tuple[np.ndarray, np.ndarray]:
    """n1 n0 RBC of every voxel, whole numbers, of the first n1 rows against
    the others; and the tie terms. Both (voxels,).

    Sorting is most of it, and three times faster where no index goes along: of
    a float32 as float64 the last bit is free, and says which group it is of.
    """
    if values.dtype != np.float32:
        ranks, ties = centred_ranks(values)
        return ranks[:, :n1].sum(axis=1, dtype=np.int64), ties
    n, voxels = values.shape
    position = np.arange(1.0 - n, n, 2.0)
    twice, ties = np.empty(voxels, dtype=np.int64), np.zeros(voxels)
    block = max(1, _RANK_BYTES // (40 * n))

    def sum_ranks(start: int) -> None:
        """Of a block of voxels."""
        columns = values[:, start : start + block].T.astype(float, order="C")
        bits = columns.view(np.int64)
        bits[:, :n1] |= 1
        columns.sort(axis=1)
        is_first = (bits & 1).astype(np.float64)
        # sums of whole numbers: exact
        sums = is_first @ position
        bits &= -2
        # ties, or the last of a voxel and the first of the next
        flat = columns.ravel()
        if (flat[1:] == flat[:-1]).any():
            equal = columns[:, 1:] == columns[:, :-1]
            tied = np.flatnonzero(equal.any(axis=1))
            midranks, ties[start + tied] = _midranks(equal[tied])
            sums[tied] = (is_first[tied] * midranks).sum(axis=1)
        twice[start : start + block] = sums

    # NumPy sorts outside of the interpreter's lock
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        list(pool.map(sum_ranks, range(0, voxels, block)))
    return twice, ties


def centred_ranks(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Doubled, centred midranks over people, (voxels, n) int32, and the tie
    terms, (voxels,).

    Voxels become rows first: a sort is then over neighbours in memory.
    """
    n, voxels = values.shape
    ranks, ties = np.empty((voxels, n), dtype=np.int32), np.zeros(voxels)
    block = max(1, _RANK_BYTES // (40 * n))
    for start in range(0, voxels, block):
        columns = np.ascontiguousarray(values[:, start : start + block].T)
        order = np.argsort(columns, axis=1)
        ordered = np.take_along_axis(columns, order, axis=1)
        position = np.broadcast_to(
            np.arange(1 - n, n, 2, dtype=np.int32), ordered.shape
        )
        equal = ordered[:, 1:] == ordered[:, :-1]
        tied = np.flatnonzero(equal.any(axis=1))
        if len(tied):
            position = position.copy()
            position[tied], ties[start + tied] = _midranks(equal[tied])
        np.put_along_axis(
            ranks[start : start + block], order, position, axis=1
        )
    return ranks, ties


def _midranks(equal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ranks and sum of t^3 - t of sorted rows, from which neighbours are
    equal, (rows, n - 1).
    """
    rows, n = len(equal), equal.shape[1] + 1
    new = np.ones((rows, n), dtype=bool)
    np.logical_not(equal, out=new[:, 1:])
    # of the runs of equal values, row after row
    starts = np.flatnonzero(new).astype(np.int32)
    t = np.diff(starts, append=np.int32(rows * n))
    row, first = np.divmod(starts, np.int32(n))
    ties = np.bincount(
        row, weights=t.astype(np.float64) ** 3 - t, minlength=rows
    )
    return np.repeat(2 * first + t - np.int32(n), t).reshape(rows, n), ties


def largest_deviations(
    ranks: np.ndarray,
    draws: np.ndarray,
    device: torch.device,
    progress: bool = False,
    scale: np.ndarray | None = None,
) -> np.ndarray:
    """The largest |n1 n0 RBC| over voxels of every labelling, (P,), in blocks
    of G R.

    Parameters
    ----------
    ranks : array, shape (voxels, n)
        Of `centred_ranks`.
    draws : array, shape (P, n)
        Labels, or ranks of a number (`mmssl.groupmaps.spearman`).
    device : torch.device
    progress : bool
    scale : array, shape (voxels,), optional
        What the products of a voxel are multiplied by.
    """
    voxels, n = ranks.shape
    # |R| < n: integers up to 256 are exact in every format a device may
    # multiply fp32 in
    dtype = torch.float32 if n <= 256 else torch.float64
    g = torch.from_numpy(draws).to(device, dtype)
    largest = torch.zeros(len(g), dtype=dtype, device=device)
    elements = _ELEMENTS.get(device.type, _ELEMENTS_ELSEWHERE)
    rows = min(len(g), int(elements**0.5))
    columns = max(1, elements // rows)
    if scale is not None:
        scale = torch.from_numpy(scale).to(device, dtype)
    for start in tqdm(
        range(0, voxels, columns),
        desc="permutations",
        leave=False,
        disable=not progress,
    ):
        block = torch.from_numpy(ranks[start : start + columns])
        block = block.to(device, dtype).T.contiguous()
        parts = zip(g.split(rows), largest.split(rows), strict=True)
        for labels, maxima in parts:
            deviations = (labels @ block).abs_()
            if scale is not None:
                deviations *= scale[start : start + columns]
            torch.maximum(maxima, deviations.amax(dim=1), out=maxima)
    return largest.cpu().numpy()
