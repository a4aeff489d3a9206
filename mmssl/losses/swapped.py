r"""Online clustering by swapped prediction (Caron et al. 2020, SwAV; 002,
section III-A).

Scores are products of features :math:`z_b` and prototypes :math:`c_k`, all of
length 1. Codes assign rows to prototypes such that each prototype gets its
share of them,

.. math::
    \max_Q \operatorname{Tr}(Q^\top C^\top Z) + \epsilon H(Q)

over the :math:`Q` whose rows sum to 1 and whose columns sum to B / K (002,
equation 3): an optimal transport with entropy, which Sinkhorn and Knopp's
iterations solve (Cuturi 2013). A view then predicts the codes of another
(equation 1),

.. math::
    \ell(z_1, q_2) = -\sum_k q_2^{(k)} \log
    \frac{e^{z_1 \cdot c_k / \tau}}{\sum_j e^{z_1 \cdot c_j / \tau}}.
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mmssl.losses.precision import promote


def sinkhorn(
    scores: Tensor, epsilon: float = 0.03, iterations: int = 3
) -> Tensor:
    """Codes of a batch: soft assignments that use all prototypes alike.

    Two vectors of factors for rows and columns are found; where their kernel
    would underflow the iterations go on in logarithms, so neither large scores
    nor a small epsilon overflow. Adding a number to all scores changes
    nothing. After any number of iterations rows sum to 1; columns to B / K
    only in the limit.

    Parameters
    ----------
    scores : Tensor, shape (B, K)
        Of B rows with K prototypes.
    epsilon : float
        Weight of the entropy, above 0; .03 in 002, .05 in SwAV.
    iterations : int
        3 in 002.

    Returns
    -------
    Tensor, shape (B, K)
        In fp32 (fp64 for fp64 input).

    Raises
    ------
    ValueError
        For another shape, no row, an epsilon that is not above 0, or no
        iteration.
    """
    if scores.dim() != 2 or not scores.numel():
        raise ValueError(
            f"Sinkhorn: scores {tuple(scores.shape)}, expected (B, K) of a "
            "row and a prototype at least"
        )
    if not epsilon > 0 or iterations < 1:
        raise ValueError(
            f"Sinkhorn: epsilon={epsilon}, iterations={iterations}; expected "
            "above 0, and 1 at least"
        )
    with torch.autocast(scores.device.type, enabled=False):
        logs = promote(scores) / epsilon
        lowest, highest = logs.aminmax()
        # the smallest entry, squared, is above the smallest number
        if highest - lowest < -math.log(torch.finfo(logs.dtype).tiny) / 2:
            return _scaled((logs - highest).exp_(), iterations)
        for _ in range(iterations):
            logs = logs - logs.logsumexp(0)
            logs = logs - logs.logsumexp(1, keepdim=True)
        return logs.exp()


def _scaled(kernel: Tensor, iterations: int) -> Tensor:
    """Rows and columns of a positive kernel (B, K) scaled in turns, without
    its being written before the end.
    """
    rows = kernel.new_ones(len(kernel))
    # what a column gets; with 1 the factors would grow at every turn
    share = kernel.shape[0] / kernel.shape[1]
    for _ in range(iterations):
        columns = share / (rows @ kernel)
        rows = 1 / (kernel @ columns)
    return kernel.mul_(rows[:, None]).mul_(columns)


def swapped_prediction(
    codes: Mapping[int, Tensor],
    scores: Sequence[Tensor],
    temperature: float = 0.1,
) -> Tensor:
    """Cross-entropy of the codes of some views with what all others predict.

    A mean over the views with codes of a mean over the other views, as in
    SwAV's code; 002's equation 1, a sum over two views, is twice that.

    Parameters
    ----------
    codes : mapping of int to Tensor, shape (B, K)
        Number of a view -> its codes; gradients do not pass through them.
    scores : sequence of Tensor, shape (B, K)
        Of every view, two at least.
    temperature : float
        tau, above 0; .1 in 002.

    Returns
    -------
    Tensor
        Scalar in fp32 (fp64 for fp64 input), in nats, a mean over rows.

    Raises
    ------
    ValueError
        For fewer than two views, no codes, a code of a view that is not there,
        shapes that disagree, or a temperature that is not above 0.
    """
    shapes = {tuple(score.shape) for score in scores}
    shapes |= {tuple(code.shape) for code in codes.values()}
    if len(scores) < 2 or len(shapes) > 1:
        raise ValueError(
            f"swapped prediction: {len(scores)} views of the shapes "
            f"{sorted(shapes)}, expected two at least of one shape (B, K)"
        )
    if not codes or not set(codes) <= set(range(len(scores))):
        raise ValueError(
            f"swapped prediction: codes of the views {sorted(codes)}, "
            f"expected some from 0 to {len(scores) - 1}"
        )
    if not temperature > 0:
        raise ValueError(
            f"swapped prediction: temperature={temperature}, expected above 0"
        )
    with torch.autocast(scores[0].device.type, enabled=False):
        logs = [(promote(s) / temperature).log_softmax(1) for s in scores]
        losses = []
        for number, code in codes.items():
            code = promote(code.detach())
            others = [log for k, log in enumerate(logs) if k != number]
            each = [-(code * log).sum(1).mean() for log in others]
            losses.append(torch.stack(each).mean())
        return torch.stack(losses).mean()


def swapped_chance_level(prototypes: int) -> float:
    """Loss of `swapped_prediction` where all scores are equal, in nats."""
    return math.log(prototypes)
