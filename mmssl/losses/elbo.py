r"""Importance-weighted evidence bounds of a mixture of experts, and the
Laplace density.

For a row with images :math:`x`, K samples :math:`z_{m,k}` from the posterior
of each of M modalities and log weights :math:`w_{m,k} = \log p(x, z_{m,k}) -
\log q(z_{m,k} \mid x)`, the "looser" bound averages over modalities outside
the logarithm,

.. math:: \frac{1}{M} \sum_m \log \frac{1}{K} \sum_k e^{w_{m,k}},

and the tight one inside, :math:`\log \frac{1}{MK} \sum_{m,k} e^{w_{m,k}}`.
Source: Shi et al. 2019 ("Variational mixture-of-experts autoencoders", section
3.1), the MMVAE of 001 and 004.
"""

import math

import torch
from torch import Tensor

from mmssl.losses.precision import promote


def importance_weighted_bound(
    log_weights: Tensor, looser: bool = True, present: Tensor | None = None
) -> Tensor:
    """Lower bound on the log evidence of each row, a quantity to maximise.

    Parameters
    ----------
    log_weights : Tensor, shape (modalities, K, B)
        Log importance weights; half precision is promoted to fp32.
    looser : bool
        Average over modalities outside the logarithm (the papers' choice) or
        inside. By Jensen's inequality the looser bound is never above the
        tight one; they agree for one modality.
    present : Tensor of bool, shape (modalities, B), optional
        Which modalities a row has: M counts these, at least one, and the log
        weights of the others are not read. All by default.

    Returns
    -------
    Tensor, shape (B,)

    Raises
    ------
    ValueError
        For another number of dimensions, or no modality or sample.
    """
    if log_weights.dim() != 3 or 0 in log_weights.shape[:2]:
        raise ValueError(
            f"evidence bound: log_weights {tuple(log_weights.shape)}, "
            "expected (modalities, K, B), at least one modality and sample"
        )
    log_weights = promote(log_weights)
    modalities, samples, _ = log_weights.shape
    if present is not None:
        return _bound_of_present(log_weights, looser, present)
    if looser:
        return (log_weights.logsumexp(1) - math.log(samples)).mean(0)
    log_sum = log_weights.flatten(0, 1).logsumexp(0)
    return log_sum - math.log(modalities * samples)


def _bound_of_present(
    log_weights: Tensor, looser: bool, present: Tensor
) -> Tensor:
    """The bound of rows that each have some of the modalities."""
    # (modalities, B)
    of_each = log_weights.logsumexp(1) - math.log(log_weights.shape[1])
    count = present.sum(0)
    if looser:
        return of_each.where(present, 0.0).sum(0) / count
    return of_each.where(present, -torch.inf).logsumexp(0) - count.log()


def laplace_log_density(
    x: Tensor, loc: Tensor | float, scale: Tensor | float
) -> Tensor:
    """Log density of independent Laplace variables, summed over the last axis.

    Computed in at least fp32 and summed in fp64: the sum over a volume has a
    quarter of a million terms, and its differences between samples decide
    their weights.

    Parameters
    ----------
    x : Tensor, shape (..., n)
    loc, scale : Tensor or float
        Broadcast against ``x``; the variance is twice the scale squared.

    Returns
    -------
    Tensor of float64, shape (...)
    """
    scale = torch.as_tensor(scale, dtype=promote(x).dtype, device=x.device)
    distance = (promote(x) - loc).abs() / scale
    return -(distance + torch.log(2 * scale)).sum(-1, dtype=torch.float64)
