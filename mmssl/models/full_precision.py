"""Where half precision is not to be trusted, whatever the rest computes in."""

import torch
from torch import Tensor, nn


def applied(block: nn.Module, x: Tensor, stride: int = 1) -> Tensor:
    """What a block of convolutions of kernel 3 gives; in fp32 for maps of
    which it sees or leaves a side of 2 or 1, on a CPU.

    There oneDNN leaves parts of bfloat16 maps and of the gradient of bfloat16
    weights unset (torch 2.13, AVX-512 with bfloat16): of volumes, and behind a
    stride of images too. They hold whatever was in memory.

    Parameters
    ----------
    block : Module
    x : Tensor, shape (B, channels, *sides)
    stride : int
        Of the block's first convolution.
    """
    small = any(side <= 2 * stride for side in x.shape[2:])
    if small and x.device.type == "cpu":
        with torch.autocast("cpu", enabled=False):
            return block(x.float() if x.dtype == torch.bfloat16 else x)
    return block(x)
