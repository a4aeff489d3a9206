"""Has a representation collapsed? The effective rank of z and the standard
deviation of its dimensions.
"""

import torch
from torch import Tensor


def rankme(z: Tensor) -> float:
    r"""Effective rank of a representation (RankMe; Garrido et al. 2023).

    .. math::
        \exp\Bigl(-\sum_k p_k \log p_k\Bigr), \qquad
        p_k = \sigma_k / \sum_j \sigma_j,

    with :math:`\sigma` the singular values of the representation: d for an
    isotropic one, 1 when all of it lies on a line.

    Parameters
    ----------
    z : Tensor, shape (n, d)

    Returns
    -------
    float
        In [1, min(n, d)]; 0 for a representation that is exactly zero.
    """
    sigma = torch.linalg.svdvals(torch.as_tensor(z, dtype=torch.float64))
    if not sigma.sum() > 0:
        return 0.0
    p = sigma / sigma.sum()
    return float(torch.exp(-torch.xlogy(p, p).sum()))


def dimension_std(z: Tensor) -> Tensor:
    """Standard deviation of each dimension over the rows: z (n, d) -> (d,),
    float64.
    """
    return torch.as_tensor(z, dtype=torch.float64).std(0)
