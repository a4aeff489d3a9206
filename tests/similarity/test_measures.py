"""CKA, CCA, SVCCA and PWCCA against loops, libraries and closed forms."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh
from sklearn.decomposition import PCA
from statsmodels.multivariate.cancorr import CanCorr

from mmssl.similarity.measures import (
    MEASURES,
    cca,
    cka,
    measures,
    pwcca,
    svcca,
)

SQUARE = np.array([[1, 0], [0, 1], [-1, 0], [0, -1.0]])


SHEARED = np.array([[2, 1], [0, 1], [-2, -1], [0, -1.0]])


def cka_by_loop(x, y):
    """HSIC of two Gram matrices, centred entry by entry."""

    def hsic(p, q):
        n, total = len(p), 0.0
        k, m = p @ p.T, q @ q.T
        for i in range(n):
            for j in range(n):
                centred = k[i, j] - k[i].mean() - k[:, j].mean() + k.mean()
                total += centred * m[i, j]
        return total

    return hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))


def hsic1_by_quadruples(x, y):
    """The U-statistic itself: the mean of K_ij (L_ij + L_qr - 2 L_iq) over
    distinct i, j, q, r.
    """
    k, m = x @ x.T, y @ y.T
    values = [
        k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q])
        for i, j, q, r in permutations(range(len(x)), 4)
    ]
    return np.mean(values)


def hsic1_by_gram(x, y):
    """Song et al. 2012 as printed, with n by n matrices."""
    n, one = len(x), np.ones(len(x))
    k, m = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0), np.fill_diagonal(m, 0)
    middle = one @ k @ one * (one @ m @ one) / ((n - 1) * (n - 2))
    return (np.trace(k @ m) + middle - 2 / (n - 2) * one @ k @ m @ one) / (
        n * (n - 3)
    )


def ratio(hsic, x, y):
    return hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))


def pwcca_by_eigenvectors(x, y):
    """Canonical weights from the generalised eigenproblem, then Morcos' sum,
    one by one.
    """
    x, y = x - x.mean(0), y - y.mean(0)
    sxy, sxx, syy = x.T @ y, x.T @ x, y.T @ y
    squared, weights = eigh(sxy @ np.linalg.solve(syy, sxy.T), sxx)
    count, total, mass = min(x.shape[1], y.shape[1]), 0.0, 0.0
    for i in range(len(squared) - count, len(squared)):
        variate = x @ weights[:, i]
        variate /= np.linalg.norm(variate)
        alpha = sum(abs(variate @ x[:, j]) for j in range(x.shape[1]))
        total, mass = total + alpha * np.sqrt(max(squared[i], 0)), mass + alpha
    return total / mass


def test_numbers_worked_by_hand():
    assert cka(SQUARE, SHEARED) == pytest.approx(0.8017837257, abs=1e-9)
    assert cca(SQUARE, SHEARED) == pytest.approx(1.0)
    assert pwcca(SQUARE, SQUARE) == pytest.approx(1.0)
    assert cka(SQUARE, SQUARE[:, :1]) == pytest.approx(1 / np.sqrt(2))
    line = np.arange(5.0)[:, None]
    assert cca(line, line**2) == pytest.approx(
        np.corrcoef(line[:, 0], line[:, 0] ** 2)[0, 1]
    )


def test_cka_is_the_loop(codes, rng):
    x, y = codes(rng)
    assert cka(x, y) == pytest.approx(cka_by_loop(x, y), abs=1e-12)


def test_debiased_cka_is_the_u_statistic_and_songs_formula(codes, rng):
    x, y = codes(rng, n=7)
    assert cka(x, y, debiased=True) == pytest.approx(
        ratio(hsic1_by_quadruples, x, y), abs=1e-10
    )
    for shape in ((40, 4, 6), (9, 30, 2), (4, 3, 5)):
        x, y = codes(rng, *shape)
        # the trace cancels badly far from the origin
        x, y = x - x.mean(0), y - y.mean(0)
        assert cka(x, y, debiased=True) == pytest.approx(
            ratio(hsic1_by_gram, x, y), abs=1e-9
        )


@pytest.mark.parametrize(("d1", "d2"), [(3, 90), (90, 90), (3, 4)])
def test_features_and_gram_matrices_agree(rng, d1, d2):
    """More dimensions than people and fewer take different ways."""
    x, y = rng.normal(size=(25, d1)), rng.normal(size=(25, d2))
    assert cka(x, y) == pytest.approx(cka_by_loop(x, y), abs=1e-12)
    assert cka(x, y, True) == pytest.approx(
        ratio(hsic1_by_gram, x, y), abs=1e-10
    )


@pytest.mark.parametrize(("d1", "d2"), [(4, 6), (6, 4), (5, 5), (1, 3)])
def test_cca_and_pwcca_against_statsmodels_and_eigenvectors(
    codes, rng, d1, d2
):
    x, y = codes(rng, 40, d1, d2)
    reference = CanCorr(y, x).cancorr
    assert cca(x, y) == pytest.approx(
        reference[: min(d1, d2)].mean(), abs=1e-9
    )
    assert pwcca(x, y) == pytest.approx(pwcca_by_eigenvectors(x, y), abs=1e-7)
    if d1 != d2 and min(d1, d2) > 1:  # one correlation needs no weights
        assert pwcca(x, y) != pytest.approx(pwcca(y, x), abs=1e-4)


def test_svcca_keeps_the_fewest_components_that_hold_the_variance(rng):
    x = rng.normal(size=(60, 8)) * np.linspace(0.2, 1, 8) + 3.0
    y = x[:, :7] + rng.normal(size=(60, 7)) * np.linspace(0.1, 2, 7)
    for threshold in (0.5, 0.8, 0.99):
        kept = []
        for z in (x, y):
            share = np.cumsum(PCA().fit(z).explained_variance_ratio_)
            kept.append(
                PCA(int(np.argmax(share >= threshold)) + 1).fit_transform(z)
            )
        fewer = min(k.shape[1] for k in kept)
        reference = CanCorr(kept[1], kept[0]).cancorr[:fewer].mean()
        assert svcca(x, y, threshold) == pytest.approx(reference, abs=1e-9)
    assert svcca(x, y, 1.0) == pytest.approx(cca(x, y), abs=1e-12)


def test_svcca_counts_variance_after_centring_and_keeps_at_least_one():
    """Three faults of a public implementation: uncentred, singular values, one
    too few.
    """
    u = np.linalg.qr(
        np.c_[np.ones(9), np.random.default_rng(3).normal(size=(9, 4))]
    )[0][:, 1:]
    x = u[:, :2] * np.sqrt([99, 1])  # the first alone holds exactly 99 %
    y = u[:, [0, 2]] * np.sqrt([50, 50])
    # one component against two: sees the shared one
    assert svcca(x, y) == pytest.approx(1.0)
    assert svcca(x, y, 0.9901) == pytest.approx(0.5)
    assert svcca(x + 1e3, y - 1e3) == pytest.approx(1.0)
    assert svcca(u[:, :1], u[:, 1:2]) == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(8, 20),
    st.integers(1, 6),
    st.integers(1, 6),
    st.floats(0.01, 100),
)
def test_invariances(seed, n, d1, d2, scale):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d1)), rng.normal(size=(n, d2))
    turned = scale * x @ np.linalg.qr(rng.normal(size=(d1, d1)))[
        0
    ] + rng.normal(size=d1)
    linear = (
        x @ (np.eye(d1) + 0.3 * np.tril(rng.normal(size=(d1, d1)), -1)) + 7.0
    )
    order = rng.permutation(n)
    # ties included
    assert pwcca(x[order], y[order]) == pytest.approx(pwcca(x, y), abs=1e-7)
    for measure in (cka, lambda a, b: cka(a, b, True), cca, svcca):
        assert measure(turned, y) == pytest.approx(measure(x, y), abs=1e-8)
        assert measure(x, turned) == pytest.approx(1.0)
        assert measure(y, x) == pytest.approx(measure(x, y), abs=1e-10)
        assert measure(x[order], y[order]) == pytest.approx(
            measure(x, y), abs=1e-10
        )
        assert -1 - 1e-9 <= measure(x, y) <= 1 + 1e-9
    assert pwcca(x, turned) == pytest.approx(1.0)
    assert cca(linear, y) == pytest.approx(cca(x, y), abs=1e-7)
    together = measures(x, y)
    alone = (cca(x, y), svcca(x, y), pwcca(x, y), cka(x, y), cka(x, y, True))
    assert tuple(together) == MEASURES
    np.testing.assert_allclose(list(together.values()), alone, atol=1e-9)


def test_cka_sees_linear_maps_that_cca_does_not(codes, rng):
    x, y = codes(rng)
    stretched = x * np.array([100, 1, 1, 1])
    assert cca(stretched, y) == pytest.approx(cca(x, y))
    assert abs(cka(stretched, y) - cka(x, y)) > 0.01


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_dependent_columns_are_no_dimensions(codes, rng, kind):
    x, y = codes(rng, 50, 4, 5)
    double = np.c_[x, x @ rng.normal(size=(4, 3)), np.full(50, 2.0)].astype(
        kind
    )
    y = y.astype(kind)
    assert cca(double, y) == pytest.approx(cca(x, y), abs=1e-4)
    assert cca(double, double) == pytest.approx(1.0)
    assert pwcca(double, double) == pytest.approx(1.0)


def test_a_small_dimension_counts_in_double_precision(rng):
    """Rounding is that of what was given: in float32 the second is noise."""
    large, small = rng.normal(size=(2, 50, 1))
    x = np.c_[large, 1e-9 * small]
    assert cca(x, small) == pytest.approx(1.0)
    assert cca(x.astype(np.float32), small) < 0.5


def test_no_measure_of_a_code_with_itself_exceeds_1(rng):
    small = [(n, 4) for n in range(5, 45)]
    # sums of this many terms are rounded up as often as down
    large = [(150, d) for d in range(20, 60)]
    for shape in small + large:
        x = rng.normal(size=shape)
        assert max(cca(x, x), svcca(x, x), pwcca(x, x)) <= 1.0


def test_tensors_lists_and_halves_are_read_as_arrays(codes, rng):
    x, y = (z.astype(np.float32) for z in codes(rng))
    whole = measures(x, y)
    tensors = (torch.tensor(x, requires_grad=True), torch.tensor(y).double())
    for name, value in measures(*tensors).items():
        assert value == pytest.approx(whole[name], abs=1e-6)
    half = torch.tensor(x).bfloat16()
    assert cka(half, y) == pytest.approx(
        cka(half.float().numpy(), y), abs=1e-12
    )
    assert isinstance(cka([[1, 2], [3, 5], [0, 1]], [[1], [2], [0]]), float)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.eye(5), np.eye(6), "x has 5 rows and y 6"),
        (np.ones((5, 2)) * np.nan, np.eye(5), "x: 10 values are NaN"),
        (np.eye(5), np.full((5, 3), 0.1), "y: all 5 rows are equal"),
        (np.zeros((5, 2)), np.eye(5), "x: all 5 rows are equal"),
        (np.full((12, 2), -0.1), np.eye(12), "x: all 12 rows are equal"),
        (np.full((12, 2), 1e6 / 3), np.eye(12), "x: all 12 rows are equal"),
        (np.eye(5)[0], np.eye(5), r"x: shape \(5,\)"),
        (np.eye(5), np.eye(5).astype(str), "y: shape"),
        (np.eye(1), np.eye(1), "1 rows, expected at least 2"),
    ],
)
def test_bad_codes_are_named(x, y, message):
    for measure in (cka, cca, svcca, pwcca):
        with pytest.raises(ValueError, match=message):
            measure(x, y)


def test_other_errors(codes, rng):
    x, y = codes(rng, 6)
    with pytest.raises(ValueError, match="3 rows, expected at least 4"):
        cka(x[:3], y[:3], debiased=True)
    with pytest.raises(ValueError, match="3 rows, expected at least 4"):
        measures(x[:3], y[:3])
    one_row = np.zeros((6, 1))
    one_row[2] = 1
    with pytest.raises(ValueError, match="x: one row differs"):
        cka(one_row, y, debiased=True)
    with pytest.raises(ValueError, match="x: one row differs"):
        measures(one_row, y)
    with pytest.raises(ValueError, match="y: one row differs"):
        measures(y, np.tile(0.1 + 3 * one_row, 3).astype(np.float32))
    for threshold in (0.0, 1.2):
        with pytest.raises(ValueError, match="threshold"):
            svcca(x, y, threshold)
