"""Canonical correlation against closed forms, SciPy's eigenvalues and its
invariances.
"""

import warnings

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


def test_four_times_as_many_rows_as_dimensions_are_enough(rng):
    x, y = (torch.from_numpy(rng.normal(size=(12, d))) for d in (2, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 0 < float(canonical_correlation(x, y)) < 2
    for rows in (x[:11], y[:11]), (y[:11], x[:11]):
        with pytest.warns(UserWarning, match="CCA over 11 rows of 3"):
            canonical_correlation(*rows)


def test_two_rows_correlate_perfectly():
    x = torch.tensor([[1.0], [3.0]])
    found = canonical_correlation(x, 2 - x, ridge=0)
    assert float(found) == pytest.approx(1)


def test_values_that_are_not_finite_give_nan():
    broken = CROSS.clone()
    broken[2, 1] = torch.inf
    assert canonical_correlation(broken, CROSS).isnan()
    assert canonical_correlation(CROSS, broken).isnan()


def test_autocast_changes_nothing():
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 20, 3, generator=draw)
    with torch.autocast("cpu", torch.bfloat16):
        inside = canonical_correlation(x, y)
    assert inside == canonical_correlation(x, y)


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ((4, 2), (5, 2), {}, "shapes"),
        ((1, 2), (1, 2), {}, "n > 1"),
        ((4, 2, 1), (4, 2), {}, "shapes"),
        ((4, 2), (4,), {}, "shapes"),
        ((4, 2), (4, 2), {"norm": "l1"}, "l1"),
    ],
)
def test_bad_input(a, b, options, message):
    with pytest.raises(ValueError, match=message):
        canonical_correlation(torch.zeros(a), torch.zeros(b), **options)
