"""Energy bands, against scipy's filters and loops over the equation."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from mmssl.models.keyed_random import Stream
from mmssl.objectives import energy_bands as module
from mmssl.objectives.energy_bands import (
    ReferenceEnergies,
    energies,
    energy_bands,
)

SIGMAS = (1.0, 2.5)


def draws(*shape):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator)


def stream(rows, step=1):
    return Stream(torch.arange(rows), 0, step, "bands")


@pytest.mark.parametrize("shape", [(3, 1, 9, 12, 7), (2, 2, 11, 8)])
def test_bands_sum_to_the_image(shape):
    images = draws(*shape)
    bands = energy_bands(images, SIGMAS)
    assert bands.shape == (3, *shape)
    torch.testing.assert_close(bands.sum(0), images, atol=1e-5, rtol=1e-5)


def test_bands_are_differences_of_scipys_filters():
    """Far from the border, where filters may differ."""
    image = draws(41, 44).numpy()
    bands = energy_bands(torch.from_numpy(image)[None, None], SIGMAS)
    smooth = [image]
    for sigma in SIGMAS:
        smooth.append(ndimage.gaussian_filter(image, sigma, truncate=8))
    inner = np.s_[20:21, 20:24]
    for k in range(2):
        expected = smooth[k] - smooth[k + 1]
        found = bands[k, 0, 0].numpy()
        np.testing.assert_allclose(found[inner], expected[inner], atol=1e-5)
    np.testing.assert_allclose(
        bands[2, 0, 0].numpy()[inner], smooth[2][inner], atol=1e-5
    )


def test_an_even_image_has_all_its_energy_in_the_rest():
    even = torch.full((1, 1, 6, 5, 4), 3.0)
    bands = energy_bands(even, SIGMAS)
    assert bands[:-1].abs().max() < 1e-5
    torch.testing.assert_close(bands[-1], even)


def test_energies_are_standard_deviations_over_an_image():
    bands = draws(3, 2, 2, 4, 5)
    for band in range(3):
        for row in range(2):
            values = bands[band, row].numpy().ravel()
            mean = values.sum() / len(values)
            expected = np.sqrt(((values - mean) ** 2).sum() / len(values))
            found = float(energies(bands)[band, row])
            assert found == pytest.approx(expected, rel=1e-5)


def test_references_are_those_of_the_images_learned():
    references = ReferenceEnergies(("T1", "fALFF"), SIGMAS)
    images = draws(70, 1, 8, 6, 7)  # more than fit one go
    references.learn("T1", images)
    own = energies(energy_bands(images, SIGMAS)).numpy()
    np.testing.assert_allclose(references.mean_T1, own.mean(1), rtol=1e-5)
    np.testing.assert_allclose(references.std_T1, own.std(1), rtol=1e-4)
    assert references.mean_fALFF.isnan().all()


def test_no_more_references_are_learned_than_the_paper_has(monkeypatch):
    monkeypatch.setattr(module, "REFERENCES", 5)
    images = draws(9, 1, 8, 6, 7)
    found, expected = (ReferenceEnergies(("T1",), SIGMAS) for _ in range(2))
    found.learn("T1", images)
    expected.learn("T1", images[:5])
    assert torch.equal(found.mean_T1, expected.mean_T1)


def test_a_normalised_image_has_energies_near_the_references():
    references = ReferenceEnergies(("T1",), SIGMAS)
    references.learn("T1", 4 * draws(20, 1, 8, 6, 7) + 1)
    images = draws(5, 1, 8, 6, 7)
    made = references.normalised("T1", images, stream(5))
    bands = energy_bands(images, SIGMAS)
    # equation 8, voxel by voxel, with the energies it must have drawn
    for row in range(5):
        own = energies(bands)[:, row]
        parts = bands[:, row].flatten(1).T.double().numpy()
        values = made[row].flatten().double().numpy()
        share, *_ = np.linalg.lstsq(parts, values, rcond=None)
        away = share * own.numpy() - references.mean_T1.numpy()
        assert (np.abs(away) <= references.std_T1.numpy() * 1.01).all()
        np.testing.assert_allclose(parts @ share, values, atol=1e-4)


def test_energies_are_drawn_evenly_within_one_standard_deviation():
    references = ReferenceEnergies(("T1",), SIGMAS)
    references.mean_T1.copy_(torch.tensor([5.0, 7.0, 9.0]))
    references.std_T1.copy_(torch.tensor([1.0, 2.0, 3.0]))
    image = draws(1, 1, 8, 6, 7).expand(500, -1, -1, -1, -1)
    made = references.normalised("T1", image, stream(500))
    bands = energy_bands(image[:1], SIGMAS).flatten(1).T.double().numpy()
    share, *_ = np.linalg.lstsq(
        bands, made.flatten(1).T.double().numpy(), rcond=None
    )
    own = energies(energy_bands(image[:1], SIGMAS)).numpy()
    drawn = (share * own - [[5.0], [7.0], [9.0]]) / [[1.0], [2.0], [3.0]]
    assert np.abs(drawn).max() <= 1.01
    np.testing.assert_allclose(drawn.mean(1), 0, atol=0.1)
    np.testing.assert_allclose(drawn.std(1), 1 / np.sqrt(3), atol=0.05)
    assert abs(np.corrcoef(drawn)[0, 1]) < 0.15


def test_a_row_gets_the_same_in_any_batch():
    references = ReferenceEnergies(("T1",), SIGMAS)
    images = draws(6, 1, 8, 6, 7)
    references.learn("T1", images)
    whole = references.normalised("T1", images, stream(6))
    part = references.normalised("T1", images[2:4], stream(6)[2:4])
    torch.testing.assert_close(whole[2:4], part, rtol=1e-4, atol=1e-5)


def test_an_empty_band_stays_empty():
    references = ReferenceEnergies(("T1",), SIGMAS)
    references.learn("T1", draws(4, 1, 6, 6, 6))
    made = references.normalised("T1", torch.zeros(2, 1, 6, 6, 6), stream(2))
    assert (made == 0).all()


def test_errors():
    with pytest.raises(ValueError, match="ascending"):
        energy_bands(draws(1, 1, 4, 4), (2.0, 1.0))
    with pytest.raises(ValueError, match="ascending"):
        energy_bands(draws(1, 1, 4, 4), ())
    with pytest.raises(ValueError, match="above 0"):
        energy_bands(draws(1, 1, 4, 4), (0.0, 1.0))
    references = ReferenceEnergies(("T1",))
    with pytest.raises(ValueError, match="T1: none are learned"):
        references.normalised("T1", draws(1, 1, 4, 4), stream(1))
