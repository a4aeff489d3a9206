"""A linear map along one axis of a batch of images: filters and interpolations
that are separable, one axis after the other.
"""

import torch
from torch import Tensor

NEGLIGIBLE = 1e-12
"""Weights of a filter below it are 0: no float32 sum notices, and products of
smaller ones leave the normal numbers, which costs a CPU ten times as long.
"""


def along_axis(images: Tensor, weights: Tensor, axis: int) -> Tensor:
    """Replace the values on each line of an axis by weighted sums of them.

    Parameters
    ----------
    images : Tensor, shape (B, C, *sides)
    weights : Tensor, shape (new, side) or (B, new, side)
        The same for all rows, or of each row.
    axis : int
        2 or above.

    Returns
    -------
    Tensor
        The images' shape, with the new side on that axis.
    """
    sides = list(images.shape)
    before = images.shape[1:axis].numel()
    after = images.shape[axis + 1 :].numel()
    shape = len(images), before, sides[axis], after
    sides[axis] = weights.shape[-2]
    # a copy where the axis comes last would take longer than the product
    if axis == images.dim() - 1:
        lines = images.reshape(shape[:-1])
        return (lines @ weights.mT).view(sides)
    lines = images.reshape(shape)
    if weights.dim() == 3:
        weights = weights[:, None]
    return torch.matmul(weights, lines).view(sides)
