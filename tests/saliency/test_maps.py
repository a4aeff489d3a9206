"""Maps of gradients: masked, smoothed and rescaled, each image by itself."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from toy_encoders import SHAPE, Linear, volumes

from mmssl.saliency.maps import average, postprocess
from mmssl.saliency.smoothgrad import smoothgrad


def smoothed_by_loop(image, mask, sigma):
    """Weighted mean over the mask's voxels within 4 sigma along each axis, one
    voxel at a time.
    """
    out, inside = np.zeros_like(image), np.argwhere(mask)
    for v in inside:
        apart = np.abs(inside - v)
        weight = np.exp(-0.5 * (apart**2).sum(1) / sigma**2) * (
            apart <= 4 * sigma
        ).all(1)
        out[tuple(v)] = (
            weight * np.abs(image[tuple(inside.T)])
        ).sum() / weight.sum()
    return out


@pytest.mark.parametrize("sigma", [0.8, 1.5])
def test_magnitude_is_the_mean_amount_around_a_voxel_inside_the_mask(
    rng, brain, sigma
):
    gradient = rng.normal(size=SHAPE)
    found = postprocess(gradient, brain, sigma)
    np.testing.assert_allclose(
        found.magnitude, smoothed_by_loop(gradient, brain, sigma), rtol=1e-10
    )
    values = found.magnitude[brain]
    np.testing.assert_allclose(
        found.scaled[brain],
        (values - values.min()) / (values.max() - values.min()),
    )


@pytest.mark.parametrize("part", ["absolute", "positive"])
def test_the_papers_order_stretches_before_it_smooths(rng, brain, part):
    gradient = rng.normal(size=(2, *SHAPE))
    found = postprocess(gradient, brain, part=part, rescale="first")
    for image, scaled in zip(gradient, found.scaled, strict=True):
        amount = np.abs(image) if part == "absolute" else image.clip(min=0)
        inside = amount[brain]
        stretched = (amount - inside.min()) / (inside.max() - inside.min())
        np.testing.assert_allclose(
            scaled, smoothed_by_loop(stretched, brain, 1.5), rtol=1e-10
        )
    usual = postprocess(gradient, brain, part=part)
    np.testing.assert_array_equal(found.magnitude, usual.magnitude)
    constant = postprocess(np.ones(SHAPE), brain, rescale="first")
    assert not constant.scaled.any()


def test_smoothing_equals_scipys_normalised_in_the_mask(rng, brain):
    gradient = rng.normal(size=(2, 3, *SHAPE)).astype(np.float32)
    found = postprocess(gradient, brain, 1.0)
    weight = ndimage.gaussian_filter(brain.astype(float), 1.0, mode="constant")
    for i, j in np.ndindex(2, 3):
        top = ndimage.gaussian_filter(
            np.abs(gradient[i, j]) * brain.astype(float), 1.0, mode="constant"
        )
        np.testing.assert_allclose(
            found.magnitude[i, j][brain], (top / weight)[brain], rtol=1e-5
        )


def test_maps_end_at_the_mask_and_fill_the_unit_interval(rng, brain):
    scales = np.array([1, 9, 0.1, 3])[:, None, None, None]
    found = postprocess(rng.normal(size=(4, *SHAPE)) * scales, brain)
    assert (found.scaled[:, ~brain] == 0).all() and (
        found.magnitude[:, ~brain] == 0
    ).all()
    assert (found.scaled.min((1, 2, 3)) == 0).all() and (
        found.scaled.max((1, 2, 3)) == 1
    ).all()


def test_what_is_outside_the_brain_does_not_leak_in(rng, brain):
    gradient = rng.normal(size=SHAPE)
    other = np.where(brain, gradient, 1e6)
    a, b = postprocess(gradient, brain), postprocess(other, brain)
    np.testing.assert_array_equal(a.magnitude, b.magnitude)


def test_an_image_does_not_depend_on_its_neighbours(rng, brain):
    many = rng.normal(size=(5, 2, *SHAPE)) * rng.exponential(
        size=(5, 1, 1, 1, 1)
    )
    for options in ({}, {"part": "positive", "quantile": 0.95}):
        together = postprocess(many, brain, **options)
        alone = postprocess(many[3, 1], brain, **options)
        np.testing.assert_array_equal(together.scaled[3, 1], alone.scaled)
        np.testing.assert_array_equal(
            together.magnitude[3, 1], alone.magnitude
        )


def test_scale_drops_out_of_scaled_and_stays_in_magnitude(rng, brain):
    gradient = rng.normal(size=SHAPE)
    one, ten = postprocess(gradient, brain), postprocess(-10 * gradient, brain)
    np.testing.assert_allclose(one.scaled, ten.scaled, atol=1e-12)
    np.testing.assert_allclose(10 * one.magnitude, ten.magnitude)


def test_constant_images_are_zero_and_flat(brain):
    found = postprocess(np.full((2, *SHAPE), [[[[3.0]]], [[[0.0]]]]), brain)
    np.testing.assert_allclose(found.magnitude[0][brain], 3.0)
    assert (found.scaled[1] == 0).all() and np.isfinite(found.scaled).all()
    assert (found.scaled[0] == 0).all()


def test_options_of_the_public_code(rng, brain):
    gradient = rng.normal(size=SHAPE)
    found = postprocess(gradient, brain, 0, part="positive", quantile=0.95)
    positive = np.clip(gradient, 0, None)
    limit = np.quantile(positive[brain], 0.95)
    expected = np.where(brain & (positive >= limit), positive, 0)
    np.testing.assert_allclose(found.magnitude, expected)
    assert abs((found.magnitude > 0).sum() - 0.05 * brain.sum()) <= 1


def test_torch_in_torch_out_and_the_same(rng, brain):
    gradient = rng.normal(size=(2, *SHAPE)).astype(np.float32)
    ours = postprocess(torch.from_numpy(gradient), torch.from_numpy(brain))
    assert (
        isinstance(ours.scaled, torch.Tensor)
        and ours.scaled.dtype == torch.float32
    )
    theirs = postprocess(gradient, brain)
    np.testing.assert_array_equal(ours.scaled.numpy(), theirs.scaled)
    half = postprocess(
        torch.from_numpy(gradient).half(), torch.from_numpy(brain)
    )
    assert half.scaled.dtype == torch.float32


def test_bad_masks_and_maps_are_refused(rng, brain):
    gradient = rng.normal(size=SHAPE)
    for mask, message in (
        (brain[:-1], r"shape \(6, 8, 9\)"),
        (brain * 0.5, "0 and 1 alone"),
        (np.zeros(SHAPE, bool), "at least one voxel"),
        (brain[0], "shape"),
    ):
        with pytest.raises(ValueError, match=f"mask: .*{message}"):
            postprocess(gradient, mask)
    with pytest.raises(ValueError, match="NaN or Inf"):
        postprocess(np.where(brain, np.nan, 0), brain)
    with pytest.raises(ValueError, match="part='both'"):
        postprocess(gradient, brain, part="both")
    with pytest.raises(ValueError, match="rescale='before'"):
        postprocess(gradient, brain, rescale="before")
    with pytest.raises(ValueError, match="sigma=-1"):
        postprocess(gradient, brain, sigma=-1)


def test_averages_equal_those_of_all_at_once(brain):
    encoder, x, seeds = Linear(), volumes(7, SHAPE), list(range(7))
    found = average(
        encoder, x, brain, 1.0, block=3, seed=seeds, dimensions=[3, 1]
    )
    gradient = smoothgrad(encoder, x, seed=seeds, dimensions=[3, 1])
    everything = postprocess(gradient.numpy(), brain, 1.0)
    for part in ("scaled", "magnitude"):
        np.testing.assert_allclose(
            getattr(found, part),
            getattr(everything, part).mean(0),
            rtol=1e-5,
            atol=1e-7,
        )
