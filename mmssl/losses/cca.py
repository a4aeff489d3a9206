r"""Canonical correlation between two representations, as a quantity to
maximise.

With the batch's columns centred and covariances :math:`\Sigma_{11} = H_1^\top
H_1/(n-1) + rI`, :math:`\Sigma_{22}` likewise and :math:`\Sigma_{12} = H_1^\top
H_2/(n-1)`, the canonical correlations are the singular values of :math:`T =
\Sigma_{11}^{-1/2}\Sigma_{12}\Sigma_{22}^{-1/2}`. Deep CCA maximises their sum,
the nuclear norm of T (Andrew et al. 2013; the objective that 004 adds to
others); the public code of 004 takes the Frobenius norm.
"""

import warnings

import torch
from torch import Tensor

NORMS = ("nuclear", "frobenius")


def canonical_correlation(
    h1: Tensor, h2: Tensor, ridge: float = 1e-3, norm: str = "nuclear"
) -> Tensor:
    """Sum (or root of the sum of squares) of the canonical correlations of a
    batch.

    Computed in fp64. The roots of the covariances are Cholesky factors: T then
    differs from the symmetric form by rotations, which no norm sees, and has a
    gradient at repeated eigenvalues.

    Parameters
    ----------
    h1, h2 : Tensor, shape (n, d1), (n, d2)
    ridge : float
        r added to the diagonals; 0 makes the result invariant to invertible
        linear maps.
    norm : {"nuclear", "frobenius"}

    Returns
    -------
    Tensor
        Scalar in [0, min(d1, d2)] (its root for "frobenius"): the correlation,
        not its negative. NaN for input that is not finite.

    Raises
    ------
    ValueError
        For shapes that disagree, fewer than 2 rows or an unknown norm.

    Warns
    -----
    UserWarning
        When n is below four times the larger dimension: independent batches
        then reach a large value too (61 of 64 at n = d = 64), and the
        objective has little to gain.
    """
    if h1.dim() != 2 or h2.dim() != 2 or len(h1) != len(h2) or len(h1) < 2:
        raise ValueError(
            f"CCA: shapes {tuple(h1.shape)} and {tuple(h2.shape)}, "
            "expected (n, d1) and (n, d2), n > 1"
        )
    if norm not in NORMS:
        raise ValueError(f"CCA: norm={norm!r}, expected one of {NORMS}")
    if not (h1.isfinite().all() and h2.isfinite().all()):
        # LAPACK would raise; the training loop reports a NaN with its place
        return (h1.sum() + h2.sum()).double() * torch.nan
    n = len(h1)
    largest = max(h1.shape[1], h2.shape[1])
    if n < 4 * largest:
        warnings.warn(
            f"CCA over {n} rows of {largest} dimensions: unrelated batches "
            "correlate as well; use a larger batch or the memory of the CCA "
            "term",
            stacklevel=2,
        )
    # autocast leaves fp64 alone
    h1 = h1.double() - h1.double().mean(0)
    h2 = h2.double() - h2.double().mean(0)
    root1 = _covariance_root(h1, ridge)
    root2 = _covariance_root(h2, ridge)
    cross = h1.T @ h2 / (n - 1)
    whitened = torch.linalg.solve_triangular(root1, cross, upper=False)
    t = torch.linalg.solve_triangular(root2, whitened.T, upper=False)
    if norm == "nuclear":
        return torch.linalg.svdvals(t).sum()
    return torch.linalg.norm(t)


def _covariance_root(centred: Tensor, ridge: float) -> Tensor:
    """Cholesky factor of the regularised covariance: (n, d) -> (d, d)."""
    n, dimensions = centred.shape
    diagonal = ridge * torch.eye(dimensions).to(centred)
    return torch.linalg.cholesky(centred.T @ centred / (n - 1) + diagonal)
