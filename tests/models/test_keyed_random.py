"""Keyed randomness: against a pure-Python SplitMix64, and the properties it
exists for.
"""

import math
import zlib

import numpy as np
import pytest
import torch
from scipy import stats

from mmssl.models.keyed_random import Stream

MASK = 2**64 - 1


def splitmix(x):
    """Finaliser of SplitMix64 in unbounded Python integers."""
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def test_equals_python_integers():
    golden = 0x9E3779B97F4A7C15
    rows = torch.tensor([0, 9, 2**40])
    numbers = Stream(rows, seed=7, step=11, purpose="a").uniform("b", 3)
    for row, values in zip(rows.tolist(), numbers.tolist(), strict=True):
        key = 0
        for part in (7, 11, zlib.crc32(b"a/b"), row):
            key = splitmix((key + part + golden) & MASK)
        expected = [
            splitmix((key + i * golden) & MASK) >> 40 for i in (1, 2, 3)
        ]
        assert values == [e * 2.0**-24 for e in expected]


@pytest.mark.parametrize("shape", [(2, 4), (3, 3)])
def test_noise_is_four_numbers_of_each_hash(shape):
    rows = torch.tensor([0, 9, 2**40])
    stream = Stream(rows, seed=7, step=11)
    found = stream.noise("b", *shape)
    hashes = stream.bits("b", 3).numpy()[:, : -(-math.prod(shape) // 4)]
    parts = hashes.view(np.int16)[:, : math.prod(shape)]
    expected = (parts.astype(float) + 2**15) / 2**16
    np.testing.assert_array_equal(found.flatten(1), expected)
    many = Stream(torch.arange(1000), 1, 2).noise("n", 7).numpy()
    assert stats.kstest(many.ravel(), "uniform").pvalue > 1e-3
    between = np.corrcoef(many.T) - np.eye(7)
    assert np.abs(between).max() < 0.12
    assert many.min() >= 0 and many.max() < 1
    low, high = torch.tensor([[-3.0], [0.0], [2.0]]), torch.tensor([[5.0]])
    scaled = stream.noise("b", *shape, low=low, high=high).flatten(1)
    expected = low + (high - low) * found.flatten(1)
    torch.testing.assert_close(scaled, expected)
    assert (scaled >= low).all() and (scaled < high).all()


def test_a_row_does_not_depend_on_its_batch():
    whole = Stream(torch.arange(10), 0, 3).normal("noise", 4, 5)
    part = Stream(torch.tensor([7, 2]), 0, 3).normal("noise", 4, 5)
    assert torch.equal(part, whole[[7, 2]])


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"step": 1}, {"purpose": "x"}]
)
def test_keys_separate_streams(change):
    key = {"seed": 0, "step": 0, "purpose": ""}
    rows = torch.arange(2000)
    one = Stream(rows, **key).uniform("u").numpy()
    other = Stream(rows, **{**key, **change}).uniform("u").numpy()
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.08
    assert (one == other).mean() < 0.01


def test_distributions():
    stream = Stream(torch.arange(4000), 5, 6)
    assert (
        stats.kstest(stream.uniform("u", 5).numpy().ravel(), "uniform").pvalue
        > 1e-3
    )
    assert (
        stats.kstest(stream.normal("n", 5).numpy().ravel(), "norm").pvalue
        > 1e-3
    )
    counts = np.bincount(
        stream.integers("i", 17, 5).numpy().ravel(), minlength=17
    )
    assert len(counts) == 17
    assert stats.chisquare(counts).pvalue > 1e-3
