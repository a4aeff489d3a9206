"""The precision that losses compute in."""

import torch
from torch import Tensor


def promote(x: Tensor) -> Tensor:
    """Turn half precision into fp32; fp32 and fp64 stay what they are."""
    return x if x.dtype == torch.float64 else x.float()
