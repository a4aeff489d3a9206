"""Half precision where oneDNN leaves parts of maps and gradients unset."""

import pytest
import torch
from torch import nn

from mmssl.models.full_precision import applied


@pytest.mark.parametrize(
    ("block", "shape"),
    [
        (nn.Conv2d(8, 4, 3, 2, 1), (1, 8, 9, 2)),
        (nn.Conv2d(16, 32, 3, 2, 1), (3, 16, 4, 1)),
        (nn.Conv3d(64, 8, 3, 2, 1), (1, 64, 6, 8, 2)),
        (nn.Conv3d(5, 1, 3, 1, 1), (1, 5, 1, 5, 1)),
    ],
    ids=str,
)
def test_small_maps_are_convolved_in_full_precision_on_a_cpu(block, shape):
    torch.manual_seed(0)
    x = torch.randn(shape)
    expected = block(x)
    for _ in range(3):
        used = [torch.full((2**k,), float("nan")) for k in range(5, 18)]
        del used
        with torch.autocast("cpu", torch.bfloat16):
            found = applied(block, x.bfloat16(), block.stride[0])
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)
    # sides that it would leave small count too
    least = 2 * block.stride[0]
    for side, kind in ((least, torch.float32), (least + 1, torch.bfloat16)):
        x = torch.randn(1, shape[1], side, *(9,) * (len(shape) - 3))
        with torch.autocast("cpu", torch.bfloat16):
            assert applied(block, x, block.stride[0]).dtype == kind
