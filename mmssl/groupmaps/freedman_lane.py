r"""Where two groups differ beyond age, sex or site: permutation of what
covariates leave over.

Permuting labels pretends that people are exchangeable; they are not where
patients are older. Freedman & Lane (1983) permute instead what the covariates
leave of the maps, add back what they explain, and fit the whole model again
(Winkler et al. 2014). With ranks y of the people at a voxel, :math:`R_Z` the
projection off the covariates Z and the constant, :math:`e = R_Z y`, :math:`x =
R_Z g` and labels g, the partial correlation of one permutation P is

.. math:: r_P = \frac{x^\top P e}{|x| \, |R_Z P e|}, \quad |R_Z P e|^2 = |e|^2 - |Q^\top P e|^2,

Q an orthonormal basis of Z: no model is fitted anew, a block of permutations
is a few matrix products. Without covariates and ties r is the rank-biserial
correlation times a constant.

The other way is to exchange labels only between people who are alike
(`strata`), which assumes no model of what a covariate does, and spends more
people.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata
from scipy.stats import t as student
from tqdm.auto import tqdm

from mmssl.stats.permutation import two_groups

_VOXELS = 4096  # of a block
_DRAWS = 64


class Adjusted(NamedTuple):
    """Group difference of every voxel, given the covariates; arrays (voxels,).

    correlation : partial rank correlation with the group, positive where the
        group with the larger
        label has larger values; 0 where nothing is left to explain.
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
) -> Adjusted:
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

    Raises
    ------
    ValueError
        Values not finite, rows that differ in number, permutations below 1, or
        covariates that leave nothing of the labels or no freedom.
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
            f"covariates of rank {basis.shape[1]} explain the labels of {len(values)} "
            "people completely: nothing is left to test"
        )
    x = x / np.linalg.norm(x)
    rng = np.random.default_rng(seed)
    orders = np.stack(
        [rng.permutation(len(values)) for _ in range(permutations)]
    )
    correlation, largest = np.empty(values.shape[1]), np.zeros(permutations)
    for start in tqdm(
        range(0, values.shape[1], _VOXELS),
        desc="permutations",
        leave=False,
        disable=not progress,
    ):
        part = slice(start, start + _VOXELS)
        e = _left_over(values[:, part], basis)
        correlation[part] = x @ e
        for some in range(0, permutations, _DRAWS):
            rows = slice(some, some + _DRAWS)
            largest[rows] = np.maximum(
                largest[rows], _maxima(e, x, basis, orders[rows])
            )
    size = np.abs(correlation)
    t = size * np.sqrt(freedom / np.maximum(1 - size**2, 1e-12))
    # rounding may put a permutation that changes nothing just below what was
    # observed
    reached = permutations - np.searchsorted(np.sort(largest), size - 1e-9)
    return Adjusted(
        correlation,
        2 * student.sf(t, freedom),
        (1 + reached) / (1 + permutations),
    )


def _basis(covariates, n: int) -> np.ndarray:
    """Orthonormal columns (n, rank) that span the covariates less their
    mean.
    """
    import pandas as pd

    table = pd.get_dummies(pd.DataFrame(covariates), dtype=float).to_numpy(
        dtype=np.float64
    )
    if len(table) != n or not np.isfinite(table).all():
        raise ValueError(
            f"covariates: shape {table.shape}, expected {n} rows of finite values"
        )
    centred = table - table.mean(0)
    scale = np.linalg.norm(centred, axis=0)
    centred = centred[:, scale > 1e-9] / scale[scale > 1e-9]
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    return left[:, size > 1e-9]


def _left_over(values: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Ranks less what constant and covariates explain, columns of length 1, or
    0 if all is.
    """
    ranks = rankdata(values, axis=0) - (len(values) + 1) / 2
    e = ranks - basis @ (basis.T @ ranks)
    length = np.linalg.norm(e, axis=0)
    kept = length > 1e-9 * len(values) ** 1.5
    return np.where(kept, e / np.where(kept, length, 1), 0.0)


def _maxima(
    e: np.ndarray, x: np.ndarray, basis: np.ndarray, orders: np.ndarray
) -> np.ndarray:
    """Largest |r| over voxels of every permutation, (P,)."""
    top = np.abs(x[orders] @ e)  # (P, voxels)
    explained = np.zeros_like(top)
    for column in basis.T:
        explained += (column[orders] @ e) ** 2
    return (top / np.sqrt(np.maximum(1 - explained, 1e-12))).max(axis=1)
