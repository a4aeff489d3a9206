r"""The Dice loss, for segmentation (Milletari et al. 2016; 003, section 4.2).

With :math:`p_{vk}` the probability of class k at voxel v and :math:`g_{vk}` 1
where k is right, else 0,

.. math::
    \ell = 1 - \frac{1}{K - 1} \sum_{k=1}^{K-1} \frac{2 \sum_v p_{vk} g_{vk}}
    {\sum_v p_{vk} + \sum_v g_{vk}},

over all classes but the background, k = 0. Sums run over the voxels of the
whole batch, so that an image in which a class does not occur counts by the
voxels that are wrongly called it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from mmssl.losses.precision import promote


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """One minus the soft Dice coefficient.

    Parameters
    ----------
    logits : Tensor, shape (B, K, *sides)
        Of K classes, the background first.
    target : Tensor of int64, shape (B, *sides)
        Class of each voxel.

    Returns
    -------
    Tensor
        Scalar in fp32 (fp64 for fp64 input), in [0, 1]; a class that the batch
        lacks counts as one that was missed.

    Raises
    ------
    ValueError
        For shapes that disagree, or fewer than two classes.
    """
    expected = (logits.shape[0], *logits.shape[2:])
    if tuple(target.shape) != expected or logits.shape[1] < 2:
        raise ValueError(
            f"Dice loss: logits {tuple(logits.shape)} and target "
            f"{tuple(target.shape)}, expected (B, K, *sides) of two classes "
            "at least and (B, *sides)"
        )
    with torch.autocast(logits.device.type, enabled=False):
        p = promote(logits).softmax(1).movedim(1, -1).flatten(0, -2)[:, 1:]
        g = F.one_hot(target.flatten(), logits.shape[1])[:, 1:].to(p.dtype)
        overlap = 2 * (p * g).sum(0)
        # p is above 0 everywhere, so the sum is
        return 1 - (overlap / (p.sum(0) + g.sum(0))).mean()
