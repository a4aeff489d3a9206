"""Quality figures of a registration against oracles, and that an error shows
in them.
"""

import numpy as np
import pytest
from moved_template import POSES, native
from sklearn.metrics import mutual_info_score

from mmssl.preprocessing import quality


def test_normalised_mutual_information_equals_scikit_learn(rng):
    first = rng.normal(size=(7, 8, 9))
    second = first**2 + 0.3 * rng.normal(size=(7, 8, 9))
    mask = rng.uniform(size=(7, 8, 9)) < 0.7
    codes = []
    for volume in (first, second):
        values = volume[mask]
        unit = (values - values.min()) / np.ptp(values)
        codes.append(np.clip(unit * 16, 0, 15).astype(int))
    entropies = [mutual_info_score(code, code) for code in codes]
    shared = mutual_info_score(*codes)
    expected = sum(entropies) / (sum(entropies) - shared)
    found = quality.normalised_mutual_information(first, second, mask, bins=16)
    assert found == pytest.approx(expected, rel=1e-9)
    same = quality.normalised_mutual_information(first, -3 * first)
    assert same == pytest.approx(2)


def test_correlation_and_dice(rng):
    first, second = rng.normal(size=(2, 7, 8, 9))
    expected = np.corrcoef(first.ravel(), second.ravel())[0, 1]
    assert quality.correlation(first, second) == pytest.approx(expected)
    a, b = first > 0, second > 0.5
    both = sum(x and y for x, y in zip(a.ravel(), b.ravel(), strict=True))
    assert quality.dice(a, b) == pytest.approx(2 * both / (a.sum() + b.sum()))
    assert quality.dice(a & False, b & False) == 0
    with pytest.raises(ValueError, match="constant"):
        quality.correlation(first, np.ones_like(first))
    with pytest.raises(ValueError, match="shapes"):
        quality.dice(a, b[1:])


def test_tissues_are_told_apart_by_their_own_intensities(rng):
    truth = rng.integers(1, 4, (7, 8, 9))
    mask = rng.uniform(size=(7, 8, 9)) < 0.8
    noise = rng.normal(0, 20, truth.shape)
    volume = np.array([0, 100, 300, 450])[truth] + noise
    found = quality.tissues(volume, mask)
    np.testing.assert_array_equal(found, np.where(mask, truth, 0))


def test_five_millimetres_make_every_figure_clearly_worse():
    """On the template moved by a known transform, with the true one and with
    it made wrong.
    """
    truth = POSES["tilted"]
    volume, affine, mask = native(truth)
    right = quality.similarity_to_template(volume, affine, mask, truth)
    assert right["correlation"] > 0.9
    assert right["dice_csf"] > 0.65
    assert right["dice_mask"] > 0.97
    least = {
        "normalised_mutual_information": 0.05,
        "correlation": 0.15,
        "dice_csf": 0.15,
        "dice_white": 0.1,
    }
    for shift in np.eye(3) * 5:
        moved = quality.shifted(truth, shift)
        assert np.allclose(quality.position_error(moved, truth), 5 * 1.05)
        wrong = quality.similarity_to_template(volume, affine, mask, moved)
        for figure, difference in least.items():
            assert right[figure] - wrong[figure] > difference, figure


def test_temporal_snr_of_known_noise(rng):
    signal = rng.uniform(50, 200, (6, 7, 8, 1))
    noise = rng.normal(size=(6, 7, 8, 4000))
    mask = rng.random((6, 7, 8)) > 0.3
    bold = signal * (1 + noise / 25)
    bold[~mask] = 0
    assert quality.temporal_snr(bold, mask) == pytest.approx(25, rel=0.03)
    # what never changes is no voxel of a brain
    bold[3] = 100
    assert quality.temporal_snr(bold, mask) == pytest.approx(25, rel=0.03)
    assert np.isnan(quality.temporal_snr(0 * bold, mask))
