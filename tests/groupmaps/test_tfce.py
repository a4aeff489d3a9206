"""TFCE against its definition, nilearn, an integral by hand, and null maps."""

import numpy as np
import pytest
from nilearn.mass_univariate._utils import calculate_tfce
from scipy import ndimage
from scipy.stats import binom, mannwhitneyu

from mmssl.groupmaps import tfce
from mmssl.groupmaps.mann_whitney import max_statistic_test
from mmssl.stats.permutation import labellings

FACES = ndimage.generate_binary_structure(3, 1)


@pytest.fixture
def mask(rng):
    """Give a mask with holes and a part that hangs on by a face."""
    mask = np.zeros((7, 8, 9), bool)
    mask[1:6, 1:7, 2:8] = True
    mask[6, 4, 5] = True
    return mask & (rng.random(mask.shape) > 0.15)


@pytest.fixture
def maps(rng, mask):
    """Give maps (2, 3, voxels): broad and narrow clusters, of both signs, one
    of them nothing.
    """
    width = rng.uniform(0.4, 1.5, size=6)
    maps = np.stack(
        [
            ndimage.gaussian_filter(rng.normal(size=mask.shape), w)
            for w in width
        ]
    )
    maps *= (0.95 / np.abs(maps).max(axis=(1, 2, 3)) * rng.uniform(0.3, 1, 6))[
        :, None, None, None
    ]
    maps[4] = 0.0
    return maps[:, mask].reshape(2, 3, -1)


def by_labelling(volume, step, extent=0.5, height=2.0):
    """The definition: label what is above each threshold, add up."""
    result = np.zeros_like(volume)
    for sign in (1.0, -1.0):
        for k in range(1, int((sign * volume).max() / step + 1e-9) + 1):
            clusters, number = ndimage.label(
                sign * volume >= k * step - 1e-12, FACES
            )
            sizes = np.bincount(clusters.ravel(), minlength=number + 1).astype(
                float
            )
            sizes[0] = 0
            result += (
                sign * step * (k * step) ** height * (sizes**extent)[clusters]
            )
    return result


@pytest.mark.parametrize(
    ("step", "extent", "height"), [(0.02, 0.5, 2.0), (0.07, 1.0, 0.5)]
)
def test_every_map_is_labelled_threshold_by_threshold(
    maps, mask, step, extent, height
):
    found = tfce.enhance(maps, mask, extent, height, step)
    assert found.shape == maps.shape and (found[1, 1] == 0).all()
    for i, j in np.ndindex(2, 3):
        volume = np.zeros(mask.shape)
        volume[mask] = maps[i, j]
        expected = by_labelling(volume, step, extent, height)[mask]
        assert np.allclose(found[i, j], expected, rtol=0, atol=1e-10)


def test_a_map_does_not_depend_on_its_block(maps, mask, monkeypatch):
    whole = tfce.enhance(maps, mask)
    monkeypatch.setattr(tfce, "_ELEMENTS", 2 * maps.shape[-1])
    assert np.array_equal(whole, tfce.enhance(maps, mask))
    assert np.array_equal(whole[1, 2], tfce.enhance(maps[1, 2], mask))


def test_it_is_nilearns_times_the_step(rng):
    volume = ndimage.gaussian_filter(rng.normal(size=(7, 8, 9)), 1.0)
    # a multiple of the step, as nilearn's last threshold
    volume *= 0.96 / np.abs(volume).max()
    peer = (
        calculate_tfce(volume[..., None].copy(), FACES, dh=0.02)[..., 0] * 0.02
    )
    found = tfce.enhance(volume.ravel(), np.ones(volume.shape, bool))
    assert np.allclose(found, peer.ravel(), atol=1e-10)


def test_a_box_has_the_integral_of_its_height():
    volume = np.zeros((7, 8, 9))
    volume[2:4, 3:6, 1:5] = 0.6
    volume[6, 7, 8] = -0.3
    everywhere = np.ones(volume.shape, bool)
    found = tfce.enhance(volume[everywhere], everywhere, step=1e-3).reshape(
        volume.shape
    )
    assert found[2, 3, 1] == pytest.approx(24**0.5 * 0.6**3 / 3, rel=0.01)
    assert found[6, 7, 8] == pytest.approx(-(0.3**3) / 3, rel=0.01)
    assert (found == 0).sum() == volume.size - 25


def test_what_the_mask_parts_is_apart():
    mask = np.ones((1, 2, 7), bool)
    mask[0, :, 3] = False
    found = tfce.enhance(np.full(12, 0.5), mask, step=0.01)
    assert found == pytest.approx(np.full(12, 6**0.5 * 0.5**3 / 3), rel=0.05)


def test_p_is_a_loop_over_labellings(rng, mask):
    values, group = rng.normal(size=(19, 2, mask.sum())), np.arange(19) < 8
    found = tfce.tfce_test(values, group, mask, 30, seed=4, progress=False)

    def slow(chosen):
        sizes = []
        for maps in values.transpose(1, 0, 2):
            u = mannwhitneyu(
                maps[chosen], maps[~chosen], method="asymptotic"
            ).statistic
            volume = np.zeros(mask.shape)
            volume[mask] = 2 * u / 88 - 1
            sizes.append(by_labelling(volume, tfce.STEP)[mask])
        return np.stack(sizes)

    observed = slow(group)
    null = np.array([abs(slow(g)).max() for g in labellings(group, 30, 4)])
    assert np.allclose(found.enhanced, observed, atol=1e-10)
    expected = (1 + (null[:, None, None] >= abs(observed) - 1e-9).sum(0)) / 31
    assert np.allclose(found.corrected, expected)


def test_broad_weak_differences_gain_and_scattered_ones_do_not():
    rng = np.random.default_rng(1)
    mask = np.zeros((9, 10, 11), bool)
    mask[1:-1, 1:-1, 1:-1] = True
    labels = np.arange(40) < 14
    maps = ndimage.gaussian_filter(
        rng.normal(size=(40, *mask.shape)), (0, 1, 1, 1)
    )
    maps[labels, 2:7, 2:7, 2:7] += 0.16
    values = maps[:, mask]
    corrected = tfce.tfce_test(
        values, labels, mask, 120, progress=False
    ).corrected
    plain = max_statistic_test(values, labels, 120, progress=False)
    inside = np.zeros(mask.shape, bool)
    inside[2:7, 2:7, 2:7] = True
    assert (corrected[inside[mask]] < 0.05).sum() > 2 * (
        plain[inside[mask]] < 0.05
    ).sum()
    assert (corrected[inside[mask]] < 0.05).mean() > 0.2


def test_null_maps_hold_the_level():
    mask, found = np.ones((5, 6, 7), bool), 0
    labels = np.arange(20) < 8
    for world in range(120):
        rng = np.random.default_rng([4, world])
        maps = ndimage.gaussian_filter(
            rng.normal(size=(20, 5, 6, 7)), (0, 1, 1, 1)
        )
        p = tfce.tfce_test(
            maps[:, mask], labels, mask, 19, world, progress=False
        ).corrected
        found += (p <= 0.05).any()
    assert binom.ppf(0.005, 120, 0.05) <= found <= binom.ppf(0.995, 120, 0.05)


def test_bad_input_is_named():
    mask = np.ones((3, 4, 5), bool)
    with pytest.raises(ValueError, match=r"expected \(people, …, 60\)"):
        tfce.tfce_test(np.zeros((20, 59)), np.arange(20) < 8, mask)
    with pytest.raises(ValueError, match="permutations is 0"):
        tfce.tfce_test(np.zeros((20, 60)), np.arange(20) < 8, mask, 0)
    with pytest.raises(ValueError, match="values: map 3 holds 60 values"):
        tfce.tfce_test(
            np.where(np.arange(20)[:, None] == 3, np.nan, np.zeros((20, 60))),
            np.arange(20) < 8,
            mask,
        )
    with pytest.raises(ValueError, match="expected finite"):
        tfce.enhance(np.full(60, np.inf), mask)
    with pytest.raises(ValueError, match=r"maps: shape \(59,\)"):
        tfce.enhance(np.zeros(59), mask)
    with pytest.raises(ValueError, match="step is 0"):
        tfce.enhance(np.zeros(60), mask, step=0)
