r"""Where a number and the images go together: Spearman's correlation of every
voxel with an age or a test score, and its permutation test by the largest
effect.

The sibling of `mmssl.groupmaps.mann_whitney` for a number instead of two
groups. With doubled midranks over people centred on 0, R of a voxel and S of
the number,

.. math:: \rho = \frac{\sum_i R_i S_i}{\sqrt{\sum_i R_i^2 \sum_i S_i^2}},

so that a permutation test of a whole brain is one matrix product of permuted S
and R, whose integers make it exact.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from scipy.special import betainc
from scipy.stats import false_discovery_control

from mmssl.groupmaps.clusters import to_volumes
from mmssl.groupmaps.mann_whitney import (
    centred_ranks,
    checked_maps,
    largest_deviations,
)
from mmssl.stats.missing import all_known
from mmssl.stats.permutation import permutation_p

SMALLEST_SAMPLE = 8
"""People below whom nothing is correlated."""


class Correlation(NamedTuple):
    """Maps that were correlated with a number as one family; arrays of the
    shape of one person's maps.

    rho : Spearman's, positive where people with the larger number have the
        larger values; 0 where a voxel is the same in everybody.
    p : of each voxel alone, of Student's t, as in `scipy.stats.spearmanr`.
    corrected : family-wise over all maps and voxels together.
    fdr : p adjusted for the false discovery rate of each map by itself
        (Benjamini & Hochberg 1995).
    """

    rho: np.ndarray
    p: np.ndarray
    corrected: np.ndarray
    fdr: np.ndarray

    def volumes(self, mask) -> list[tuple[np.ndarray, np.ndarray]]:
        """(rho, corrected p) of every map as images (X, Y, Z); outside the
        mask 0 and 1.
        """
        return to_volumes(self.rho, self.corrected, mask)


def correlate(
    values,
    number,
    permutations: int = 10_000,
    seed: int = 0,
    *,
    strata=None,
    progress: bool = True,
) -> Correlation:
    r"""Correlate every voxel of several maps a person with a number, corrected
    together.

    .. math::
        p_v = \frac{1 + \#\{b : \max_w |\rho_{b,w}| \ge |\rho_v|\}}{1 + P}

    over P permutations of the number among people, as
    `mmssl.groupmaps.mann_whitney.max_statistic_test`.

    Parameters
    ----------
    values : array-like, shape (n, …, voxels)
        A person's maps; whatever stands in the middle belongs to the family. A
        torch tensor is tested on its own device.
    number : array-like, shape (n,)
    permutations, seed : int
    strata : array-like, shape (n,), optional
        The number moves only between people of the same stratum, such as sex
        or site.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Correlation

    Raises
    ------
    ValueError
        For fewer than 8 people, a number of another length, that is missing or
        the same in everybody, a map that is not finite, permutations below 1,
        or strata of another length.
    """
    shape = tuple(values.shape[1:])
    device = torch.device("cpu")
    if isinstance(values, torch.Tensor):
        device = values.device
    flat = checked_maps(values.reshape(len(values), -1), "values")
    number = _checked_number(number, len(flat))
    draws = _permuted(number, permutations, seed, strata)
    ranks, _ = centred_ranks(flat)
    own, _ = centred_ranks(number[:, None])
    squares = (ranks.astype(np.int64) ** 2).sum(axis=1)
    size = np.sqrt(squares) * np.sqrt(float((own.astype(np.int64) ** 2).sum()))
    scale = np.zeros_like(size)
    np.divide(1, size, out=scale, where=size > 0)

    products = ranks @ own[0].astype(np.int64)
    # as the permuted ones are rounded, so that equal ones are equal
    dtype = np.float32 if len(flat) <= 256 else np.float64
    observed = np.abs(products).astype(dtype) * scale.astype(dtype)
    largest = largest_deviations(ranks, own[0][draws], device, progress, scale)
    rho = np.clip(products * scale, -1, 1)
    p = _students_p(rho, len(flat))
    p[size == 0] = 1.0
    maps = p.reshape(-1, shape[-1])
    return Correlation(
        rho.reshape(shape),
        p.reshape(shape),
        permutation_p(observed, largest).reshape(shape),
        false_discovery_control(maps, axis=-1).reshape(shape),
    )


def _checked_number(number, people: int) -> np.ndarray:
    """(n,) float64, or a ValueError."""
    number = all_known(number, "number")
    if number.shape != (people,):
        raise ValueError(
            f"number: shape {number.shape}, expected ({people},) as values "
            "has rows"
        )
    number = number.astype(np.float64)
    if people < SMALLEST_SAMPLE:
        raise ValueError(
            f"{people} people, expected at least {SMALLEST_SAMPLE}"
        )
    if not np.isfinite(number).all() or np.ptp(number) == 0:
        raise ValueError(
            f"number: from {number.min()} to {number.max()}, expected finite "
            "ones that differ"
        )
    return number


def _permuted(
    number: np.ndarray, permutations: int, seed: int, strata
) -> np.ndarray:
    """Whose number each person gets, (permutations, n)."""
    if permutations < 1:
        raise ValueError(
            f"permutations is {permutations}, expected at least 1"
        )
    if strata is None:
        strata = np.zeros(len(number))
    strata = all_known(strata, "strata")
    if strata.shape != number.shape:
        raise ValueError(
            f"strata: shape {strata.shape}, expected {number.shape} as the "
            "number"
        )
    rng = np.random.default_rng(seed)
    draws = np.empty((permutations, len(number)), dtype=np.int64)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        copies = np.tile(members, (permutations, 1))
        draws[:, members] = rng.permuted(copies, axis=1)
    return draws


def _students_p(rho: np.ndarray, people: int) -> np.ndarray:
    """Two-sided p of Student's t, of correlations of so many people: a beta
    distribution of the correlation itself, which may be 1.
    """
    half = people / 2 - 1
    return 2 * betainc(half, half, (1 - np.abs(rho)) / 2)
