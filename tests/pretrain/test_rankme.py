"""Effective rank against representations whose spectrum is known."""

import numpy as np
import pytest
import torch

from mmssl.pretrain.rankme import dimension_std, rankme


def test_rankme_of_known_spectra(rng):
    q = torch.from_numpy(np.linalg.qr(rng.normal(size=(50, 7)))[0])
    assert rankme(3 * q) == pytest.approx(7)
    line = q[:, :1] @ torch.from_numpy(rng.normal(size=(1, 5)))
    assert rankme(line) == pytest.approx(1)
    sigma = np.array([3.0, 1.0])
    p = sigma / 4
    expected = np.exp(-(p * np.log(p)).sum())
    assert rankme(q[:, :2] * torch.from_numpy(sigma)) == pytest.approx(
        expected
    )
    assert rankme(torch.zeros(4, 3)) == 0


def test_dimension_std_is_that_of_each_column(rng):
    z = rng.normal(size=(9, 4)) * np.arange(4)
    expected = z.std(axis=0, ddof=1)
    np.testing.assert_allclose(dimension_std(torch.from_numpy(z)), expected)
