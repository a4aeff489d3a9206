"""TFCE against nilearn, an integral by hand, and null maps."""

import numpy as np
import pytest
from nilearn.mass_univariate._utils import calculate_tfce
from scipy.ndimage import gaussian_filter, generate_binary_structure
from scipy.stats import binom

from mmssl import enhancement, groupmaps


def test_it_is_nilearns_times_the_step(rng):
    volume = gaussian_filter(rng.normal(size=(7, 8, 9)), 1.0)
    volume *= 0.96 / np.abs(volume).max()  # a multiple of the step, as nilearn's last threshold
    faces = generate_binary_structure(3, 1)
    peer = calculate_tfce(volume[..., None].copy(), faces, dh=0.02)[..., 0] * 0.02
    assert np.allclose(enhancement.enhance(volume), peer, atol=1e-10)


def test_a_box_has_the_integral_of_its_height():
    volume = np.zeros((7, 8, 9))
    volume[2:4, 3:6, 1:5] = 0.6
    volume[6, 7, 8] = -0.3
    found = enhancement.enhance(volume, step=1e-3)
    assert found[2, 3, 1] == pytest.approx(24**0.5 * 0.6**3 / 3, rel=0.01)
    assert found[6, 7, 8] == pytest.approx(-(0.3**3) / 3, rel=0.01)
    assert np.array_equal(enhancement.enhance(-volume), -enhancement.enhance(volume))
    assert (found == 0).sum() == volume.size - 25


def test_broad_weak_differences_gain_and_scattered_ones_do_not():
    rng = np.random.default_rng(1)
    mask = np.zeros((9, 10, 11), bool)
    mask[1:-1, 1:-1, 1:-1] = True
    labels = np.arange(40) < 14
    maps = gaussian_filter(rng.normal(size=(40, *mask.shape)), (0, 1, 1, 1))
    maps[labels, 2:7, 2:7, 2:7] += 0.16
    values = maps[:, mask]
    _, corrected = enhancement.tfce_test(values, labels, mask, 120, progress=False)
    plain = groupmaps.max_statistic_test(values, labels, 120, progress=False)
    inside = np.zeros(mask.shape, bool)
    inside[2:7, 2:7, 2:7] = True
    assert (corrected[inside[mask]] < 0.05).sum() > 2 * (plain[inside[mask]] < 0.05).sum()
    assert (corrected[inside[mask]] < 0.05).mean() > 0.2


def test_null_maps_hold_the_level():
    mask, found = np.ones((5, 6, 7), bool), 0
    labels = np.arange(20) < 8
    for world in range(40):
        rng = np.random.default_rng([4, world])
        maps = gaussian_filter(rng.normal(size=(20, 5, 6, 7)), (0, 1, 1, 1))
        _, p = enhancement.tfce_test(maps[:, mask], labels, mask, 19, world, progress=False)
        found += (p <= 0.05).any()
    assert found <= binom.ppf(0.995, 40, 0.05)


def test_bad_input_is_named():
    mask = np.ones((3, 4, 5), bool)
    with pytest.raises(ValueError, match=r"expected finite \(people, 60\)"):
        enhancement.tfce_test(np.zeros((20, 59)), np.arange(20) < 8, mask)
    with pytest.raises(ValueError, match="expected finite"):
        enhancement.enhance(np.full((3, 4, 5), np.inf))
    with pytest.raises(ValueError, match="step is 0"):
        enhancement.enhance(np.zeros((3, 4, 5)), step=0)
