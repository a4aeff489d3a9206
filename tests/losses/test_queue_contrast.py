"""The contrast with a queue, against a loop over the equation."""

import math

import pytest
import torch

from mmssl.losses import queue_contrast
from mmssl.losses.preservation import queue_chance_level


def draws(batch=5, length=11, depth=4, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    sizes = (batch, depth), (batch, depth), (length, depth)
    return [
        torch.randn(size, generator=generator, dtype=dtype) for size in sizes
    ]


def unit(x):
    return [value / math.sqrt(sum(v * v for v in x)) for value in x]


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("temperature", [0.2, 1.3])
def test_the_equation_row_by_row(positive, temperature):
    query, key, queue = draws()
    losses = []
    for q, k in zip(query.tolist(), key.tolist(), strict=True):
        q, k = unit(q), unit(k)
        own = sum(a * b for a, b in zip(q, k, strict=True)) / temperature
        others = []
        for earlier in queue.tolist():
            j = unit(earlier)
            score = sum(a * b for a, b in zip(q, j, strict=True))
            others.append(math.exp(score / temperature))
        below = sum(others) + (math.exp(own) if positive else 0.0)
        losses.append(math.log(below) - own)
    found = queue_contrast(query, key, queue, temperature, positive)
    assert float(found) == pytest.approx(sum(losses) / len(losses), rel=1e-12)


def test_only_directions_count_and_the_order_of_the_queue_does_not():
    query, key, queue = draws()
    expected = queue_contrast(query, key, queue)
    order = torch.randperm(len(queue))
    found = queue_contrast(3 * query, key / 7, 2 * queue[order])
    torch.testing.assert_close(found, expected)


def test_chance_is_the_loss_of_equal_scores():
    one = torch.ones(3, 4)
    for positive in (True, False):
        found = queue_contrast(one, one, torch.ones(9, 4), positive=positive)
        assert float(found) == pytest.approx(queue_chance_level(9, positive))
    # neither is told of the positive pair
    found = queue_contrast(one, one, torch.ones(9, 4))
    assert float(found) == pytest.approx(queue_chance_level(9))
    # what is told apart from the queue lies below, without bound as printed
    told = queue_contrast(one, one, -torch.ones(9, 4))
    assert 0 < float(told) < 1e-3
    assert float(queue_contrast(one, one, -one, positive=False)) < -5


def test_half_precision_is_promoted_and_the_gradient_is_finite():
    query, key, queue = draws(dtype=torch.bfloat16)
    query.requires_grad_()
    loss = queue_contrast(query, key, queue, temperature=1e-3)
    assert loss.dtype == torch.float32
    loss.backward()
    assert query.grad.isfinite().all()
    assert torch.autograd.gradcheck(
        lambda q: queue_contrast(q, *draws()[1:]),
        draws()[0].requires_grad_(),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": torch.zeros(4, 4)}, r"query \(5, 4\) and key \(4, 4\)"),
        ({"queue": torch.zeros(0, 4)}, "the queue is empty"),
        ({"queue": torch.zeros(7, 3)}, r"queue \(7, 3\), expected \(N, 4\)"),
        ({"temperature": 0.0}, "temperature=0.0, expected above 0"),
    ],
)
def test_what_cannot_be_contrasted_is_named(change, message):
    query, key, queue = draws()
    arguments = {"query": query, "key": key, "queue": queue}
    with pytest.raises(ValueError, match=message):
        queue_contrast(**(arguments | change))
