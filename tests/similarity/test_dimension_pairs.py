"""Pairs of dimensions against loops, and the null of the largest."""

import numpy as np
import pytest

from mmssl.similarity import dimension_pairs


def test_correlations_and_null_equal_a_loop(rng):
    x, y = rng.normal(size=(9, 3)), rng.normal(size=(9, 4))
    y[:, 2] -= 2 * x[:, 1]
    found = dimension_pairs.correlate_dimensions(x, y, permutations=40, seed=6)
    expected = np.array([[np.corrcoef(a, b)[0, 1] for b in y.T] for a in x.T])
    np.testing.assert_allclose(found.correlation, expected, atol=1e-12)
    assert found.best == (1, 2)
    draws = np.random.default_rng(6)
    null = []
    for _ in range(40):
        shuffled = x[draws.permutation(9)]
        null.append(
            max(abs(np.corrcoef(a, b)[0, 1]) for a in shuffled.T for b in y.T)
        )
    np.testing.assert_allclose(found.null, null, atol=1e-12)
    p = [
        [(1 + sum(n >= abs(r) for n in null)) / 41 for r in row]
        for row in expected
    ]
    np.testing.assert_allclose(found.p, p)


def test_the_null_of_the_maximum_is_calibrated():
    """Independent codes: the best of 20 pairs has p below .2 in a fifth of
    studies, not in most.
    """
    rng = np.random.default_rng(1)
    best = [
        dimension_pairs.correlate_dimensions(
            rng.normal(size=(15, 4)), rng.normal(size=(15, 5)), 99, s
        ).p.min()
        for s in range(300)
    ]
    assert abs(np.mean(np.array(best) <= 0.2) - 0.2) < 0.07


def test_a_shared_factor_is_found_whatever_its_sign(rng):
    x, y = rng.normal(size=(60, 8)), rng.normal(size=(60, 8))
    y[:, 5] = -x[:, 3] + 0.5 * rng.normal(size=60)
    found = dimension_pairs.correlate_dimensions(x, y, permutations=500)
    first = found.table("T1", "fALFF").iloc[0]
    assert (first["T1"], first["fALFF"], first["p"]) == (3, 5, 1 / 501)
    assert first["correlation"] == pytest.approx(
        np.corrcoef(x[:, 3], y[:, 5])[0, 1]
    )
    assert (
        found.best == (3, 5)
        and found.p[3, 5] == 1 / 501
        and (found.p < 0.05).sum() == 1
    )


def test_constant_dimensions_take_no_part(rng):
    x, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 2))
    x[:, 1] = 1e6 / 3
    found = dimension_pairs.correlate_dimensions(x, y, permutations=50)
    assert np.isnan(found.correlation[1]).all() and np.isnan(found.p[1]).all()
    assert np.isfinite(found.null).all() and found.best[0] != 1
    with pytest.raises(ValueError, match="nothing to correlate"):
        dimension_pairs.correlate_dimensions(np.ones((12, 3)), y)


def test_four_people_are_enough(rng):
    found = dimension_pairs.correlate_dimensions(*rng.normal(size=(2, 4, 3)))
    assert np.isfinite(found.correlation).all()


def test_bad_codes_are_refused(rng):
    x = rng.normal(size=(12, 3))
    for first, second, message in (
        (x[:3], x[:3], "at least 4 people"),
        (x, x[:9], "not the same"),
        (x * np.nan, x, "finite"),
        (x[0], x, "first: shape"),
    ):
        with pytest.raises(ValueError, match=message):
            dimension_pairs.correlate_dimensions(first, second)
    with pytest.raises(ValueError, match="permutations=0"):
        dimension_pairs.correlate_dimensions(x, x, permutations=0)


def test_of_three_modalities_the_two_that_are_related_are_found(rng):
    shared = rng.normal(size=40)
    codes = {m: rng.normal(size=(40, 3)) for m in ("a", "b", "c")}
    codes["a"][:, 2] += 3 * shared
    codes["c"][:, 1] -= 3 * shared
    modalities, pairs = dimension_pairs.strongest_modalities(codes, 99, 5)
    alone = dimension_pairs.correlate_dimensions(codes["a"], codes["c"], 99, 5)
    assert modalities == ("a", "c") and pairs.best == (2, 1)
    np.testing.assert_array_equal(pairs.p, np.minimum(1, 3 * alone.p))
    np.testing.assert_array_equal(pairs.correlation, alone.correlation)
    del codes["b"]
    modalities, pairs = dimension_pairs.strongest_modalities(codes, 99, 5)
    np.testing.assert_array_equal(pairs.p, alone.p)
    by_default = dimension_pairs.strongest_modalities(codes, 99)[1]
    seeded = dimension_pairs.strongest_modalities(codes, 99, 0)[1]
    np.testing.assert_array_equal(by_default.null, seeded.null)
    with pytest.raises(ValueError, match="codes of a, expected two modalit"):
        dimension_pairs.strongest_modalities({"a": codes["a"]})
