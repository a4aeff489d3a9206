"""Canonical correlation against closed forms, SciPy's eigenvalues and its
invariances.
"""

import numpy as np
import pytest
import scipy.linalg
import torch

from mmssl.losses.cca import canonical_correlation

pytestmark = pytest.mark.filterwarnings("ignore:CCA over")
CROSS = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("norm", "ridge", "expected"),
    [
        ("nuclear", 0.0, 2.0),
        ("frobenius", 0.0, 2**0.5),
        ("nuclear", 1e-3, 1.9970044933),
        ("frobenius", 1e-3, 1.4120954192),
    ],
)
def test_hand_computed_values(norm, ridge, expected):
    correlation = canonical_correlation(CROSS, CROSS, ridge, norm)
    assert float(correlation) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("ridge", [0.0, 1e-3, 0.5])
def test_equals_the_generalised_eigenproblem(rng, ridge):
    x, y = rng.normal(size=(40, 5)), rng.normal(size=(40, 7))
    y[:, :3] += x[:, :3]
    a, b = x - x.mean(0), y - y.mean(0)
    c11, c22 = (
        a.T @ a / 39 + ridge * np.eye(5),
        b.T @ b / 39 + ridge * np.eye(7),
    )
    c12 = a.T @ b / 39
    squared = scipy.linalg.eigh(
        c12 @ np.linalg.solve(c22, c12.T), c11, eigvals_only=True
    )
    inputs = torch.from_numpy(x), torch.from_numpy(y)
    nuclear = canonical_correlation(*inputs, ridge)
    frobenius = canonical_correlation(*inputs, ridge, "frobenius")
    assert float(nuclear) == pytest.approx(np.sqrt(squared).sum(), abs=1e-9)
    assert float(frobenius) == pytest.approx(np.sqrt(squared.sum()), abs=1e-9)


def test_invariant_to_invertible_maps_without_ridge(rng):
    x, y = (torch.from_numpy(rng.normal(size=(50, 4))) for _ in range(2))
    maps = [torch.from_numpy(rng.normal(size=(4, 4))) for _ in range(2)]
    moved = canonical_correlation(x @ maps[0] + 3, y @ maps[1] - 1, ridge=0)
    torch.testing.assert_close(moved, canonical_correlation(x, y, ridge=0))
    torch.testing.assert_close(moved, canonical_correlation(y, x, ridge=0))


@pytest.mark.parametrize("norm", ["nuclear", "frobenius"])
def test_gradient_also_at_repeated_eigenvalues(rng, norm):
    inputs = [
        torch.from_numpy(rng.normal(size=(9, 3))).requires_grad_()
        for _ in range(2)
    ]
    assert torch.autograd.gradcheck(
        lambda a, b: canonical_correlation(a, b, 1e-3, norm), inputs
    )
    twins = CROSS.clone().requires_grad_()
    canonical_correlation(twins, CROSS, 1e-3, norm).backward()
    assert twins.grad.isfinite().all()


def test_independent_batches_saturate_at_small_n_and_warn(rng):
    x, y = (torch.from_numpy(rng.normal(size=(64, 64))) for _ in range(2))
    with pytest.warns(UserWarning, match="CCA over 64 rows of 64"):
        assert 60 < float(canonical_correlation(x, y)) < 62
    x, y = (torch.from_numpy(rng.normal(size=(800, 64))) for _ in range(2))
    assert 15 < float(canonical_correlation(x, y)) < 16


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ((4, 2), (5, 2), {}, "shapes"),
        ((1, 2), (1, 2), {}, "n > 1"),
        ((4, 2), (4, 2), {"norm": "l1"}, "l1"),
    ],
)
def test_bad_input(a, b, options, message):
    with pytest.raises(ValueError, match=message):
        canonical_correlation(torch.zeros(a), torch.zeros(b), **options)
