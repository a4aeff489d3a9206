r"""The contrast with a queue (He et al. 2020), which PCRL sums with three
reconstructions (003, section 3.3).

With a query :math:`q` of a row, its key :math:`k` and the earlier features
:math:`k_j` in the queue, all of length 1,

.. math::
    \ell = -\log \frac{e^{q \cdot k / \tau}}{e^{q \cdot k / \tau} +
    \sum_{j=1}^{N} e^{q \cdot k_j / \tau}},

a mean over rows. 003's equation 7 has no positive in the denominator, so that
its loss has no lower bound; `positive=False` computes it as printed.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mmssl.losses.precision import promote


def queue_contrast(
    query: Tensor,
    key: Tensor,
    queue: Tensor,
    temperature: float = 0.2,
    positive: bool = True,
) -> Tensor:
    """Contrast each row with its key against a queue.

    Parameters
    ----------
    query, key : Tensor, shape (B, D)
        Of any length: only directions count.
    queue : Tensor, shape (N, D)
        Earlier features; at least one.
    temperature : float
        tau, above 0; .2 in the public code.
    positive : bool
        Whether the row's own key is in the denominator too.

    Returns
    -------
    Tensor
        Scalar in fp32 (fp64 for fp64 input), in nats.

    Raises
    ------
    ValueError
        For shapes that disagree, an empty queue, or a temperature that is not
        above 0.
    """
    if query.shape != key.shape or query.dim() != 2:
        raise ValueError(
            f"queue contrast: query {tuple(query.shape)} and key "
            f"{tuple(key.shape)}, expected (B, D) each"
        )
    if queue.dim() != 2 or queue.shape[1:] != query.shape[1:]:
        raise ValueError(
            f"queue contrast: queue {tuple(queue.shape)}, expected (N, "
            f"{query.shape[1]})"
        )
    if not len(queue):
        raise ValueError(
            "queue contrast: the queue is empty, expected one feature at "
            "least: without negatives the loss is 0 whatever is learned"
        )
    if not temperature > 0:
        raise ValueError(
            f"queue contrast: temperature={temperature}, expected above 0"
        )
    with torch.autocast(query.device.type, enabled=False):
        q = F.normalize(promote(query), dim=1)
        k = F.normalize(promote(key), dim=1)
        negatives = F.normalize(promote(queue), dim=1)
        own = (q * k).sum(1, keepdim=True) / temperature
        others = q @ negatives.T / temperature
        against = torch.cat([own, others], 1) if positive else others
        return (against.logsumexp(1) - own[:, 0]).mean()


def queue_chance_level(length: int, positive: bool = True) -> float:
    """Loss of `queue_contrast` where all scores are equal, in nats.

    Parameters
    ----------
    length : int
        N.
    positive : bool
        As in `queue_contrast`.
    """
    return math.log(length + positive)
