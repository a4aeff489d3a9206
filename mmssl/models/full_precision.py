"""Where half precision is not to be trusted, whatever the rest computes in."""

import torch
from torch import Tensor, nn


def applied(block: nn.Module, x: Tensor) -> Tensor:
    """What a block of convolutions of kernel 3 gives; in fp32 for volumes of
    which the first side is 2, on a CPU.

    There oneDNN leaves a part of the gradient of bfloat16 weights unset (torch
    2.13, AVX-512 with bfloat16): it holds whatever was in memory.
    """
    if x.dim() == 5 and x.shape[2] == 2 and x.device.type == "cpu":
        with torch.autocast("cpu", enabled=False):
            return block(x.float() if x.dtype == torch.bfloat16 else x)
    return block(x)
