"""Intensity steps against TorchIO, on unequal shapes."""

import numpy as np
import pytest
import torch
import torchio as tio

from mmssl.preprocessing import intensity

SHAPE = (7, 8, 9)


@pytest.fixture
def volumes():
    """(5, 7, 8, 9) float32: skewed positive images of different scale, half of
    each empty.
    """
    rng = np.random.default_rng(0)
    images = rng.gamma(3.0, 20.0, (5, *SHAPE)) * rng.uniform(
        0.5, 4.0, (5, 1, 1, 1)
    )
    return (images * (rng.uniform(size=(5, *SHAPE)) < 0.5)).astype(np.float32)


@pytest.fixture
def mask():
    return np.random.default_rng(1).uniform(size=SHAPE) < 0.6


def torchio_landmarks(volumes, folder, affine, mask=None):
    paths = [folder / f"{row}.nii.gz" for row in range(len(volumes))]
    for path, volume in zip(paths, volumes, strict=True):
        tio.ScalarImage(tensor=volume[None], affine=affine).save(path)
    select = None if mask is None else lambda _: mask[None]
    train = tio.HistogramStandardization.train
    return train(paths, masking_function=select, progress=False)


def torchio_apply(transform, volume, mask=None):
    images = {"image": tio.ScalarImage(tensor=torch.as_tensor(volume[None]))}
    if mask is not None:
        images["mask"] = tio.LabelMap(tensor=torch.as_tensor(mask[None]))
    return transform(tio.Subject(images))["image"].data.numpy()[0]


@pytest.mark.parametrize("masked", [False, True])
def test_landmarks_equal_torchio(volumes, mask, masked, tmp_path, affine):
    chosen = mask if masked else None
    expected = torchio_landmarks(volumes, tmp_path, affine, chosen)
    found = intensity.histogram_landmarks(volumes, chosen)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)
    assert found[0] == 0 and found[-1] == pytest.approx(100)


@pytest.mark.parametrize("masked", [False, True])
def test_standardise_equals_torchio(volumes, mask, masked):
    chosen = mask if masked else None
    landmarks = intensity.histogram_landmarks(volumes, chosen)
    method = "mask" if masked else None
    transform = tio.HistogramStandardization(
        {"image": landmarks}, masking_method=method
    )
    expected = np.stack([torchio_apply(transform, v, chosen) for v in volumes])
    found = intensity.standardise(volumes, landmarks, chosen)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


def test_z_normalise_equals_torchio(volumes):
    transform = tio.ZNormalization(masking_method=tio.ZNormalization.mean)
    expected = np.stack([torchio_apply(transform, v) for v in volumes])
    found = intensity.z_normalise(volumes)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_z_normalise_over_a_mask_equals_torchio(volumes, mask):
    transform = tio.ZNormalization(masking_method="mask")
    expected = np.stack([torchio_apply(transform, v, mask) for v in volumes])
    found = intensity.z_normalise(volumes, mask)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_mask_a_volume_is_a_mask_for_each_alone(volumes):
    masks = volumes > 20
    landmarks = intensity.histogram_landmarks(volumes, masks)
    for step in (
        lambda v, m: intensity.standardise(v, landmarks, m),
        intensity.z_normalise,
    ):
        together = step(volumes, masks)
        for row, volume in enumerate(volumes):
            alone = step(volume[None], masks[row])
            np.testing.assert_array_equal(together[row], alone[0])


def test_standardise_undoes_gain_and_offset(volumes, mask):
    """A volume and its linear rescaling share one histogram shape: they must
    come out equal.
    """
    volumes = np.random.default_rng(2).gamma(3.0, 20.0, volumes.shape)
    landmarks = intensity.histogram_landmarks(volumes, mask)
    gain = np.array([0.5, 1, 2, 3, 10.0]).reshape(-1, 1, 1, 1)
    first = intensity.standardise(volumes, landmarks, mask)
    second = intensity.standardise(gain * volumes + 7, landmarks, mask)
    np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-2)


def test_each_volume_is_independent_of_its_batch(volumes, mask):
    landmarks = intensity.histogram_landmarks(volumes, mask)
    whole = intensity.z_normalise(
        intensity.standardise(volumes, landmarks, mask)
    )
    alone = intensity.z_normalise(
        intensity.standardise(volumes[3:4], landmarks, mask)
    )
    np.testing.assert_array_equal(whole[3], alone[0])


def test_half_precision_memmap_is_accepted(volumes, tmp_path):
    np.save(tmp_path / "v.npy", volumes.astype(np.float16))
    stored = np.load(tmp_path / "v.npy", mmap_mode="r")
    found = intensity.z_normalise(stored)
    np.testing.assert_allclose(
        found, intensity.z_normalise(volumes), atol=5e-3
    )


def test_mostly_background_stays_finite(volumes):
    """More than half of a volume at one value makes percentiles coincide
    (TorchIO issue 620).
    """
    volumes[:, :, :6] = 0
    landmarks = intensity.histogram_landmarks(volumes)
    found = intensity.standardise(volumes, landmarks)
    assert np.isfinite(landmarks).all() and np.isfinite(found).all()
    transform = tio.HistogramStandardization({"image": landmarks})
    np.testing.assert_allclose(
        found[0], torchio_apply(transform, volumes[0]), atol=1e-4
    )


def test_bad_input_is_named(volumes, mask):
    constant = volumes.copy()
    constant[2] = 5
    broken = volumes.copy()
    broken[4] = np.nan
    with pytest.raises(ValueError, match=r"volumes\[2\].*equal"):
        intensity.histogram_landmarks(constant)
    with pytest.raises(ValueError, match=r"volumes\[2\].*variation"):
        intensity.z_normalise(constant)
    with pytest.raises(ValueError, match=r"volumes\[4\].*not finite"):
        intensity.histogram_landmarks(broken, mask)
    with pytest.raises(ValueError, match=r"volumes\[4\].*not finite"):
        intensity.z_normalise(broken)
    with pytest.raises(ValueError, match="0 volumes"):
        intensity.histogram_landmarks(volumes[:0])
    with pytest.raises(ValueError, match="mask"):
        intensity.histogram_landmarks(volumes, mask[1:])
    with pytest.raises(ValueError, match="landmarks"):
        intensity.standardise(volumes, np.arange(11.0))
