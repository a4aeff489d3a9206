"""Crops of other scales and intensities, against numbers one by one and
against scipy's interpolation.
"""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from mmssl.models.keyed_random import Stream
from mmssl.objectives.energy_bands import ReferenceEnergies
from mmssl.objectives.multicrop import (
    GAMMA,
    OFFSET,
    SLOPE,
    RescaledCrop,
    gamma_transformed,
    linearly_transformed,
)


def draws(*shape, background=True):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(*shape, generator=generator)
    if background:
        x[..., 0] = 0
    return x


def stream(rows):
    return Stream(torch.arange(rows), 0, 1, "crop")


def recipe(side=1.0, rescaled=(0.5, 1.12), probability=0.0, images=None):
    references = ReferenceEnergies(("T1", "fALFF"), (1.0, 2.0))
    for m in ("T1", "fALFF"):
        references.learn(m, draws(9, 1, 8, 8, 8) if images is None else images)
    return RescaledCrop(side, rescaled, references, probability)


@pytest.mark.parametrize("shape", [(3, 1, 4, 5, 6), (2, 2, 7, 3)])
def test_power_and_line_value_by_value(shape):
    images = draws(*shape)
    exponent = torch.linspace(1.8, 2.6, shape[0])
    slope = torch.linspace(0.9, 1.1, shape[0])
    offset = torch.linspace(-0.2, 0.2, shape[0])
    raised = gamma_transformed(images, exponent)
    moved = linearly_transformed(images, slope, offset)
    for row in range(shape[0]):
        flat = images[row].flatten().tolist()
        shown = [v for v in flat if v != 0]
        low, high = min(shown), max(shown)
        power, line = [], []
        for v in flat:
            share = (v - low) / (high - low)
            if v == 0:
                power.append(0.0)
                line.append(0.0)
                continue
            power.append(low + (high - low) * share ** float(exponent[row]))
            line.append(
                v * float(slope[row]) + float(offset[row]) * (high - low)
            )
        np.testing.assert_allclose(
            raised[row].flatten(), power, rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(
            moved[row].flatten(), line, rtol=1e-4, atol=1e-5
        )


def test_an_image_of_one_value_or_none_stays_finite():
    images = torch.stack([torch.zeros(1, 4, 4), torch.full((1, 4, 4), 2.0)])
    half = torch.full((2,), 0.5)
    for made in (
        gamma_transformed(images, 2 + half),
        linearly_transformed(images, half, half),
    ):
        assert made.isfinite().all() and (made[0] == 0).all()


@pytest.mark.parametrize("side", [0.5, 1.0])
def test_a_crop_is_scipys_interpolation_of_the_drawn_box(side):
    images = draws(4, 1, 8, 10, 12)
    made = recipe(side)({"T1": images}, stream(4))["T1"]
    read = [round(side * n) for n in (8, 10, 12)]
    assert made.shape == (4, 1, *read)
    own = stream(4).child("T1")
    scale = 0.5 + 0.62 * own.uniform("scale")
    place = own.uniform("place", 3)
    for row in range(4):
        grids = []
        for axis, n in enumerate((8, 10, 12)):
            length = read[axis] / float(scale[row])
            start = float(place[row, axis]) * (n - length)
            centres = np.arange(read[axis]) + 0.5
            grids.append(start + centres / float(scale[row]) - 0.5)
        points = np.stack(np.meshgrid(*grids, indexing="ij"))
        # zeros beyond the image, as between a voxel and nothing
        padded = np.pad(images[row, 0].numpy(), 20)
        expected = ndimage.map_coordinates(padded, points + 20, order=1)
        np.testing.assert_allclose(made[row, 0], expected, atol=1e-4)


def test_a_small_image_lies_wholly_in_its_crop():
    """Also where the crop shows more than the image."""
    images = torch.ones(50, 1, 8, 8)
    made = recipe(1.0, (0.5, 0.5))({"T1": images}, stream(50))["T1"]
    # a quarter of the area of the crop
    np.testing.assert_allclose(made.sum((1, 2, 3)), 16, rtol=1e-5)
    # anywhere in it
    middle = (made[:, 0].sum(1) * torch.arange(8)).sum(1) / 16
    assert middle.min() < 2.5 and middle.max() > 4.5


def test_each_change_falls_on_its_share_of_the_rows():
    images = draws(1, 1, 6, 6, 6).expand(600, -1, -1, -1, -1)
    changed = recipe(probability=0.3).with_other_intensities(
        "T1", images, stream(600)
    )
    same = (changed == images).flatten(1).all(1).float().mean()
    # none of three changes
    assert float(same) == pytest.approx(0.7**3, abs=0.06)
    always = recipe(probability=1.0).with_other_intensities(
        "T1", images, stream(600)
    )
    assert not (always == images).flatten(1).all(1).any()
    assert (always[..., 0] == 0).all()  # the background stays


def test_powers_and_lines_are_drawn_within_the_papers_limits():
    crop = recipe()
    image = torch.tensor([[[1.0, 2.0, 3.0]]]).expand(400, 1, 1, 3)
    rows = stream(400)
    raised = crop._power("T1", image, rows)[:, 0, 0, 1]
    exponent = torch.log((raised - 1) / 2) / math.log(0.5)
    moved = crop._line("T1", image, rows)[:, 0, 0]
    slope = (moved[:, 2] - moved[:, 0]) / 2
    offset = (moved[:, 0] - slope) / 2
    for drawn, (low, high) in (
        (exponent, GAMMA),
        (slope, SLOPE),
        (offset, (-OFFSET, OFFSET)),
    ):
        reach = (high - low) / 20
        assert low - 1e-3 <= drawn.min() < low + reach
        assert high - reach < drawn.max() <= high + 1e-3
        assert float(drawn.mean()) == pytest.approx(
            (low + high) / 2, abs=reach
        )


def test_a_modality_has_draws_of_its_own_and_a_row_the_same_in_any_batch():
    images = draws(6, 1, 8, 8, 8)
    crop = recipe(0.5, probability=0.5)
    made = crop({"T1": images, "fALFF": images}, stream(6))
    assert not torch.equal(made["T1"], made["fALFF"])
    part = crop({"T1": images[2:5]}, stream(6)[2:5])["T1"]
    torch.testing.assert_close(made["T1"][2:5], part, rtol=1e-4, atol=1e-5)


def test_half_precision_goes_in_and_single_comes_out():
    images = draws(2, 1, 8, 8, 8)
    made = recipe(probability=1.0)({"T1": images.half()}, stream(2))["T1"]
    assert made.dtype == torch.float32 and made.isfinite().all()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"side": 0.0}, "side 0.0"),
        ({"rescaled": (0.0, 1.0)}, r"scale \(0.0, 1.0\)"),
        ({"rescaled": (1.0, 0.5)}, r"scale \(1.0, 0.5\)"),
        ({"probability": 1.5}, "probability=1.5"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        recipe(**options)
