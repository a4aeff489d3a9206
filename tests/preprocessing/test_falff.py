"""fALFF against a voxel loop written from the definition, and against signals
of known spectrum.
"""

import importlib
import warnings

import numpy as np
import pytest
import torch

from mmssl import preprocessing
from mmssl.preprocessing.falff import falff

SHAPE = (7, 8, 9)
TR = 2.0


def slow_falff(bold, tr, low, high):
    """One voxel after another, each frequency by its own sum of cosines and
    sines.
    """
    volumes = bold.shape[3]
    time = np.arange(volumes) * tr
    out = np.zeros(bold.shape[:3])
    for voxel in np.ndindex(*bold.shape[:3]):
        series = bold[voxel].astype(np.float64)
        inside = total = 0.0
        for k in range(1, volumes // 2 + 1):
            f = k / (volumes * tr)
            real = np.sum(series * np.cos(2 * np.pi * f * time))
            imaginary = np.sum(series * np.sin(2 * np.pi * f * time))
            amplitude = np.hypot(real, imaginary)
            total += amplitude
            inside += amplitude if low <= round(f, 12) <= high else 0.0
        out[voxel] = inside / total
    return out


@pytest.mark.parametrize("volumes", [60, 61])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)]
)
def test_equals_a_voxel_loop(rng, volumes, dtype, tolerance):
    bold = (1000 + 10 * rng.normal(size=(3, 4, 5, volumes))).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = falff(bold, TR)
    assert found.dtype == dtype
    np.testing.assert_allclose(
        found, slow_falff(bold, TR, 0.01, 0.1), atol=tolerance
    )


@pytest.mark.parametrize(
    ("cycles", "expected"),
    [(1, 0), (2, 1), (11, 1), (20, 1), (21, 0), (50, 0)],
)
def test_sinusoids_are_in_or_out(cycles, expected):
    """100 volumes of 2 s: k cycles are k / 200 Hz, the band 0.01-0.1 Hz is k =
    2 to 20.
    """
    wave = np.cos(2 * np.pi * cycles * np.arange(100) / 100 + 0.3)
    bold = np.broadcast_to(500 + wave, (2, 3, 4, 100))
    np.testing.assert_allclose(falff(bold, TR), expected, atol=1e-9)


def test_two_sinusoids_share_by_amplitude():
    """Amplitudes 3 inside and 1 outside give 3 / 4; their powers would give 9
    / 10.
    """
    time = np.arange(200)
    wave = 3 * np.sin(2 * np.pi * 10 * time / 200) + np.sin(
        2 * np.pi * 70 * time / 200
    )
    bold = np.broadcast_to(wave, (2, 3, 4, 200))
    np.testing.assert_allclose(falff(bold, TR), 0.75, atol=1e-9)


def test_nyquist_is_counted_once():
    """cos(pi t) has amplitude T at the Nyquist frequency, sin has T / 2 below
    it.
    """
    time = np.arange(100)
    wave = np.cos(np.pi * time) + np.sin(2 * np.pi * 10 * time / 100)
    bold = np.broadcast_to(wave, (2, 3, 4, 100))
    np.testing.assert_allclose(falff(bold, TR), 1 / 3, atol=1e-9)


def test_white_noise_gives_the_share_of_frequencies(rng):
    bold = rng.normal(size=(20, 20, 20, 200))
    # f = k / 400 Hz: 37 of the 100 frequencies above 0 lie in 0.01-0.1 Hz
    assert falff(bold, TR).mean() == pytest.approx(37 / 100, abs=2e-3)


def test_scale_and_shift_do_not_matter(rng):
    bold = rng.normal(size=(*SHAPE, 80))
    found = falff(1e3 * bold + 1e4, TR)
    np.testing.assert_allclose(found, falff(bold, TR), atol=1e-9)
    assert ((found > 0) & (found < 1)).all()


def test_constant_and_outside_are_zero(rng):
    bold = rng.normal(size=(*SHAPE, 80)).astype(np.float32)
    bold[2, 3, 4] = 1234.567
    mask = rng.uniform(size=SHAPE) < 0.5
    mask[2, 3, 4] = True
    found = falff(bold, TR, mask=mask)
    assert found[2, 3, 4] == 0 and (found[~mask] == 0).all()
    mask[2, 3, 4] = False
    np.testing.assert_array_equal(found[mask], falff(bold, TR)[mask])


def test_blocks_and_layouts_give_one_map(rng, monkeypatch):
    bold = rng.normal(size=(*SHAPE, 80))
    whole = falff(bold, TR)
    # the room's attribute of this name is the function, not the file
    file = importlib.import_module("mmssl.preprocessing.falff")
    monkeypatch.setattr(file, "_BLOCK_BYTES", 8 * 9 * 80 * 8 * 2)
    monkeypatch.setattr(file.space, "threads", lambda: 3)
    np.testing.assert_array_equal(falff(bold, TR), whole)
    np.testing.assert_array_equal(falff(np.asfortranarray(bold), TR), whole)
    np.testing.assert_array_equal(falff(torch.as_tensor(bold), TR), whole)


def test_too_short_for_the_band(rng):
    bold = rng.normal(size=(2, 3, 4, 12))
    with pytest.raises(
        ValueError, match="bold: found 9 volumes of 2 s, 1 frequencies"
    ):
        falff(bold[..., :9], TR)
    with pytest.warns(
        UserWarning, match="24 s, less than one period of 0.01 Hz"
    ):
        falff(bold, TR)
    with pytest.warns(UserWarning, match="Nyquist"):
        falff(rng.normal(size=(2, 3, 4, 60)), 6.0)


def test_the_rooms_attribute_is_the_function():
    assert preprocessing.falff is falff


@pytest.mark.parametrize("tr", [0, -2.0, float("nan"), float("inf")])
def test_bad_repetition_time(rng, tr):
    with pytest.raises(ValueError, match="tr: found"):
        falff(rng.normal(size=(2, 3, 4, 60)), tr)


def test_bad_input_is_named(rng):
    bold = rng.normal(size=(2, 3, 4, 60))
    with pytest.raises(ValueError, match=r"bold: found shape \(3, 4, 60\)"):
        falff(bold[0], TR)
    with pytest.raises(ValueError, match="mask: found shape"):
        falff(bold, TR, mask=np.ones((3, 3, 4), bool))
    with pytest.raises(ValueError, match="low, high"):
        falff(bold, TR, low=0.2, high=0.1)
    bold[1, 1, 1, 5] = np.inf
    with pytest.raises(ValueError, match="1 voxels with NaN or Inf"):
        falff(bold, TR)
