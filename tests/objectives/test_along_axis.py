"""Linear maps along an axis, against sums one by one."""

import pytest
import torch

from mmssl.objectives.along_axis import along_axis


@pytest.mark.parametrize("shape", [(3, 2, 4, 5, 6), (2, 1, 5, 3)])
@pytest.mark.parametrize("of_each_row", [False, True])
def test_each_line_becomes_its_weighted_sums(shape, of_each_row):
    draw = torch.Generator().manual_seed(0)
    images = torch.randn(shape, generator=draw, dtype=torch.float64)
    for axis in range(2, len(shape)):
        own = (shape[0],) if of_each_row else ()
        weights = torch.randn(
            *own, 7, shape[axis], generator=draw, dtype=torch.float64
        )
        found = along_axis(images, weights, axis)
        for row in range(shape[0]):
            matrix = weights[row] if of_each_row else weights
            lines = images[row].movedim(axis - 1, 0)
            for place in range(7):
                total = 0.0
                for k in range(shape[axis]):
                    total = total + matrix[place, k] * lines[k]
                torch.testing.assert_close(
                    found[row].select(axis - 1, place), total
                )


def test_a_batch_without_rows():
    nothing = along_axis(torch.zeros(0, 1, 4, 5), torch.zeros(3, 4), 2)
    assert nothing.shape == (0, 1, 3, 5)
    nothing = along_axis(torch.zeros(0, 1, 4, 5), torch.zeros(0, 3, 5), 3)
    assert nothing.shape == (0, 1, 4, 3)
