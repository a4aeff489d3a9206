r"""The Freedman-Lane test: where two groups differ beyond age, sex or site.

Permuting labels pretends that people are exchangeable; they are not where
patients are older. Freedman & Lane (1983) permute instead what the covariates
leave of the maps, add back what they explain, and fit the whole model again
(Winkler et al. 2014). With ranks y of the people at a voxel, :math:`R_Z` the
projection off the covariates Z and the constant, :math:`e = R_Z y`, :math:`x =
R_Z g` and labels g, the partial correlation of one permutation P is

.. math::
    r_P = \frac{x^\top P e}{|x| \, |R_Z P e|}, \quad
    |R_Z P e|^2 = |e|^2 - |Q^\top P e|^2,

Q an orthonormal basis of Z: no model is fitted anew, a block of permutations
is a few matrix products. Without covariates and ties r is the rank-biserial
correlation times a constant.

The other way is to exchange labels only between people who are alike
(`mmssl.stats.permutation.strata`), which assumes no model of what a covariate
does, but leaves fewer people to exchange.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata
from scipy.stats import t as student
from tqdm.auto import tqdm

from mmssl.stats.missing import all_known
from mmssl.stats.mixed import numbers_or_words
from mmssl.stats.permutation import permutation_p, two_groups

# voxels and permutations of one block
_VOXELS = 4096
_DRAWS = 64


class AdjustedDifference(NamedTuple):
    """Group difference of every voxel, given the covariates; arrays (voxels,).

    correlation : partial rank correlation with the group, positive where the
        group with the larger label has larger values; 0 where nothing is left
        to explain.
    p : two-sided, uncorrected, by Student's t.
    corrected : family-wise, from the permutation null of the largest absolute
        correlation.
    """

    correlation: np.ndarray
    p: np.ndarray
    corrected: np.ndarray


def freedman_lane(
    values,
    labels,
    covariates,
    permutations: int = 1000,
    seed: int = 0,
    *,
    progress: bool = True,
) -> AdjustedDifference:
    """Compare two groups voxel by voxel, adjusted for covariates.

    Parameters
    ----------
    values : array-like, shape (n, voxels)
        One row a person.
    labels : array-like, shape (n,)
        Two values, at least 4 people each.
    covariates : DataFrame or array, n rows
        Numbers as they are, words as one column a word; a constant is always
        there.
    permutations, seed : int
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    AdjustedDifference

    Raises
    ------
    ValueError
        Values not finite, rows that differ in number, permutations below 1, a
        covariate that somebody lacks or that is numbers and words
        (`mmssl.stats.mixed.numbers_or_words`), or covariates that leave
        nothing of the labels or no freedom.
    """
    values = np.asarray(values)
    group = two_groups(labels, len(values))
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError(
            f"values: shape {values.shape}, expected finite (people, voxels)"
        )
    if permutations < 1:
        raise ValueError(
            f"permutations is {permutations}, expected at least 1"
        )
    basis = _basis(covariates, len(values))
    x = group - group.mean() - basis @ (basis.T @ group)
    freedom = len(values) - basis.shape[1] - 2
    if freedom < 1 or np.linalg.norm(x) < 1e-6:
        raise ValueError(
            f"covariates of rank {basis.shape[1]} explain the labels of "
            f"{len(values)} people completely: nothing is left to test"
        )
    x = x / np.linalg.norm(x)
    rng = np.random.default_rng(seed)
    orders = np.stack(
        [rng.permutation(len(values)) for _ in range(permutations)]
    )
    correlation = np.empty(values.shape[1])
    largest = np.zeros(permutations)
    for start in tqdm(
        range(0, values.shape[1], _VOXELS),
        desc="permutations",
        leave=False,
        disable=not progress,
    ):
        part = slice(start, start + _VOXELS)
        residuals = _residuals(values[:, part], basis)
        correlation[part] = x @ residuals
        for first in range(0, permutations, _DRAWS):
            draws = slice(first, first + _DRAWS)
            maxima = _maxima(residuals, x, basis, orders[draws])
            largest[draws] = np.maximum(largest[draws], maxima)
    size = np.abs(correlation)
    t = size * np.sqrt(freedom / np.maximum(1 - size**2, 1e-12))
    return AdjustedDifference(
        correlation,
        2 * student.sf(t, freedom),
        permutation_p(size, largest),
    )


def _basis(covariates, n: int) -> np.ndarray:
    """Orthonormal columns (n, rank) that span the covariates less their
    mean.
    """
    import pandas as pd

    covariates = numbers_or_words(covariates)
    # a missing word would be a column of zeros: the word that comes first
    for _, column in covariates.items():
        all_known(column, "covariates")
    columns = pd.get_dummies(covariates, dtype=float)
    table = columns.to_numpy(dtype=np.float64)
    if len(table) != n or not np.isfinite(table).all():
        raise ValueError(
            f"covariates: shape {table.shape}, expected {n} rows of finite "
            "values"
        )
    centred = table - table.mean(0)
    scale = np.linalg.norm(centred, axis=0)
    varies = scale > 1e-9
    unit = centred[:, varies] / scale[varies]
    left, size, _ = np.linalg.svd(unit, full_matrices=False)
    return left[:, size > 1e-9]


def _residuals(values: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Ranks less what constant and covariates explain, (n, voxels), columns of
    length 1; 0 where they explain everything.
    """
    ranks = rankdata(values, axis=0) - (len(values) + 1) / 2
    residuals = ranks - basis @ (basis.T @ ranks)
    length = np.linalg.norm(residuals, axis=0)
    varies = length > 1e-9 * len(values) ** 1.5
    return np.where(varies, residuals / np.where(varies, length, 1), 0.0)


def _maxima(
    residuals: np.ndarray, x: np.ndarray, basis: np.ndarray, orders: np.ndarray
) -> np.ndarray:
    """Largest |r| over voxels of every permutation, (P,)."""
    numerator = np.abs(x[orders] @ residuals)  # (P, voxels)
    explained = np.zeros_like(numerator)
    for column in basis.T:
        explained += (column[orders] @ residuals) ** 2
    length = np.sqrt(np.maximum(1 - explained, 1e-12))
    return (numerator / length).max(axis=1)
