"""The Dice loss against a slow loop, and what it does at its ends."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmssl.losses import dice_loss


def slow_dice(logits, target):
    """Equation of the module, a class and a voxel at a time."""
    classes = logits.shape[1]
    terms = []
    for k in range(1, classes):
        overlap = found = there = 0.0
        for row in range(len(logits)):
            p = logits[row].softmax(0)[k].flatten().tolist()
            g = (target[row] == k).flatten().tolist()
            overlap += sum(a * b for a, b in zip(p, g, strict=True))
            found += sum(p)
            there += sum(g)
        terms.append(2 * overlap / (found + there))
    return 1 - sum(terms) / len(terms)


@given(st.integers(2, 4), st.integers(0, 9))
def test_it_is_the_slow_loop(classes, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, classes, 2, 3, 4, generator=generator).double()
    target = torch.randint(classes, (3, 2, 3, 4), generator=generator)
    loss = dice_loss(logits, target)
    assert loss.item() == pytest.approx(slow_dice(logits, target))
    order = torch.randperm(3, generator=generator)
    assert dice_loss(logits[order], target[order]).item() == pytest.approx(
        loss.item()
    )


def test_gradients_are_right_and_half_precision_is_promoted():
    logits = torch.randn(2, 3, 2, 3, dtype=torch.float64, requires_grad=True)
    target = torch.randint(3, (2, 2, 3))
    assert torch.autograd.gradcheck(lambda x: dice_loss(x, target), logits)
    half = dice_loss(logits.detach().bfloat16(), target)
    assert half.dtype == torch.float32


def test_its_ends():
    target = torch.tensor([[[0, 1], [2, 1]]])
    right = 50.0 * torch.nn.functional.one_hot(target, 3).movedim(-1, 1)
    assert dice_loss(right, target).item() == pytest.approx(0, abs=1e-6)
    wrong = right.roll(1, 1)
    assert dice_loss(wrong, target).item() == pytest.approx(1, abs=1e-6)
    # nothing to be found: all that is called so is wrong
    assert dice_loss(wrong, 0 * target).item() == pytest.approx(1)


@pytest.mark.parametrize("shape", [(2, 3, 3), (1, 2, 3), (2, 2, 4)])
def test_shapes_that_disagree_are_refused(shape):
    with pytest.raises(ValueError, match="Dice loss: logits"):
        dice_loss(torch.zeros(2, 3, 2, 3), torch.zeros(shape).long())
    with pytest.raises(ValueError, match="two classes"):
        dice_loss(torch.zeros(2, 1, 2, 3), torch.zeros(2, 2, 3).long())
