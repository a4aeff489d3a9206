"""Voxels that go along with a number: against SciPy, slow permutations and
what must not change it.
"""

import numpy as np
import pytest
import scipy.stats
import torch

from mmssl.groupmaps import correlate

RNG = np.random.default_rng(0)
AGE = RNG.normal(70, 8, 23).round()  # with ties
MAPS = RNG.normal(size=(23, 2, 40)).astype(np.float32)
MAPS[:, 1, 7] += 0.3 * (AGE - 70).astype(np.float32)
MAPS[:, 0, 3] = 1.0
MAPS[:, 0, 4] = MAPS[:, 0, 4].round()  # ties


@pytest.fixture(scope="module")
def found():
    return correlate(MAPS, AGE, 500, progress=False)


def test_a_voxel_is_that_of_scipy(found):
    for m, v in np.ndindex(2, 40):
        if (m, v) == (0, 3):
            continue
        expected = scipy.stats.spearmanr(MAPS[:, m, v], AGE)
        assert found.rho[m, v] == pytest.approx(expected.statistic)
        assert found.p[m, v] == pytest.approx(expected.pvalue, rel=1e-6)


def test_a_voxel_that_is_the_same_in_everybody_says_nothing(found):
    assert found.rho[0, 3] == 0
    assert found.p[0, 3] == found.corrected[0, 3] == 1


def test_corrected_p_counts_permutations_whose_largest_effect_is_as_large(
    found,
):
    rng = np.random.default_rng(0)
    draws = rng.permuted(np.tile(np.arange(23), (200, 1)), axis=1)
    flat = np.delete(MAPS.reshape(23, 80), 3, axis=1)
    largest = []
    for draw in draws:
        rho = [scipy.stats.spearmanr(x, AGE[draw])[0] for x in flat.T[::4]]
        largest.append(np.abs(rho).max())
    part = correlate(flat[:, ::4], AGE, 200, progress=False)
    largest = np.array(largest)
    for rho, p in zip(part.rho, part.corrected, strict=True):
        count = (largest >= abs(rho) - 1e-9).sum()
        assert p == pytest.approx((1 + count) / 201)
    # of more maps the largest effect is larger
    assert (found.corrected.ravel()[[0, 5]] >= part.p[[0, 1]]).all()


def test_the_planted_voxel_survives_and_few_others(found):
    assert found.corrected[1, 7] < 0.05
    assert (found.corrected < 0.05).sum() <= 2
    assert found.rho[1, 7] > 0
    expected = scipy.stats.false_discovery_control(found.p, axis=-1)
    assert np.allclose(found.fdr, expected)


def test_orders_count_and_units_do_not(found):
    stretched = correlate(np.exp(MAPS), np.exp(AGE / 9), 500, progress=False)
    assert np.array_equal(found.rho, stretched.rho)
    assert np.array_equal(found.corrected, stretched.corrected)
    turned = correlate(MAPS, -AGE, 500, progress=False)
    assert np.array_equal(found.rho, -turned.rho)
    assert np.array_equal(found.corrected, turned.corrected)


def test_noise_is_found_as_often_as_the_level_says():
    rng = np.random.default_rng(5)
    false = 0
    for world in range(200):
        maps = rng.normal(size=(12, 30))
        test = correlate(maps, rng.normal(size=12), 99, world, progress=False)
        false += (test.corrected <= 0.05).any()
    assert false / 200 <= 0.09


def test_people_move_within_strata_only():
    """A number that is its site's leaves nothing to permute but noise."""
    site = np.repeat([0, 1], 10)
    number = 10.0 * site + np.random.default_rng(6).normal(size=20)
    maps = np.random.default_rng(7).normal(size=(20, 15)) + 5 * site[:, None]
    free = correlate(maps, number, 400, progress=False)
    within = correlate(maps, number, 400, strata=site, progress=False)
    assert np.array_equal(free.rho, within.rho)
    assert (free.corrected < 0.05).all()
    assert (within.corrected > 0.05).all()


def test_a_torch_tensor_and_images_are_as_good(found):
    tensor = correlate(torch.from_numpy(MAPS), AGE, 500, progress=False)
    assert np.array_equal(tensor.corrected, found.corrected)
    mask = np.zeros((4, 5, 4), bool)
    mask.flat[::2] = True
    (_, _), (rho, p) = found.volumes(mask)
    assert np.allclose(rho[mask], found.rho[1])
    assert (rho[~mask] == 0).all()
    assert (p[~mask] == 1).all()


def test_many_people_are_exact_too():
    """Above 256 people ranks need double precision."""
    rng = np.random.default_rng(8)
    number = rng.normal(size=300)
    maps = np.column_stack([number, -number, rng.normal(size=300)])
    test = correlate(maps, number, 99, progress=False)
    assert test.rho[:2] == pytest.approx([1, -1])
    assert (test.corrected[:2] == 0.01).all()
    assert (test.p[:2] == 0).all()


@pytest.mark.parametrize(
    ("values", "number", "options", "message"),
    [
        (MAPS, AGE[:-1], {}, r"number: shape \(22,\), expected \(23,\)"),
        (MAPS[:7], AGE[:7], {}, "7 people, expected at least 8"),
        (MAPS, np.full(23, 5.0), {}, "number: from 5.0 to 5.0"),
        (MAPS, np.where(AGE > 75, np.nan, AGE), {}, "have no value"),
        (MAPS, np.where(AGE > 75, np.inf, AGE), {}, "expected finite"),
        (MAPS, AGE, {"permutations": 0}, "permutations is 0"),
        (MAPS, AGE, {"strata": AGE[:4]}, r"strata: shape \(4,\)"),
        (np.where(MAPS > 2, np.nan, MAPS), AGE, {}, "not finite"),
    ],
)
def test_what_cannot_be_correlated_is_refused(
    values, number, options, message
):
    with pytest.raises(ValueError, match=message):
        correlate(values, number, progress=False, **options)
