"""Resampling against closed forms, on oblique and unequal grids."""

import numpy as np
from moved_template import similarity
from scipy import ndimage

from mmssl.preprocessing import space


def test_resampling_carries_a_linear_image_exactly(affine):
    """Oracle: trilinear interpolation of a plane is the plane, at any grid."""
    shape = (17, 18, 19)
    plane = np.array([0.3, -0.2, 0.5])
    volume = space.apply(affine, np.argwhere(np.ones(shape))) @ plane
    inner = similarity((4, 3, 2), (0, 0, 0), 0.8) @ np.diag([2.0, 2.0, 2.0, 1])
    inner[:3, 3] = space.apply(affine, [8, 8, 9]) - inner[:3, :3] @ [3, 3.5, 4]
    found = space.resample(
        volume.reshape(shape), affine, np.eye(4), inner, (7, 8, 9)
    )
    expected = space.apply(inner, np.argwhere(np.ones((7, 8, 9)))) @ plane
    np.testing.assert_allclose(found.ravel(), expected, atol=1e-3)


def test_resampling_in_a_mask_keeps_constants_and_bounds(rng, affine):
    shape = (17, 18, 19)
    mask = ndimage.gaussian_filter(rng.normal(size=shape), 2) > 0
    values = np.where(mask, 0.4, 77.0)
    grid = affine @ np.diag([2, 2, 2, 1.0])
    found = space.resample(
        values, affine, np.eye(4), grid, (8, 9, 9), mask=mask
    )
    np.testing.assert_allclose(found[found != 0], 0.4, atol=1e-4)


def test_coarsening_keeps_the_centre_of_mass(rng):
    volume = ndimage.gaussian_filter(rng.random((40, 44, 42)), 3) ** 8
    affine = np.diag([0.5, 0.6, 0.7, 1])
    affine[:3, 3] = 5
    coarse, grid = space.coarsen(volume, affine, 0.8)
    np.testing.assert_allclose(space.spacing(grid), 1)
    middle = space.apply(affine, (np.array(volume.shape) - 1) / 2)
    coarse_middle = space.apply(grid, (np.array(coarse.shape) - 1) / 2)
    assert np.abs(coarse_middle - middle).max() < 0.5
    corner = space.apply(affine, [-0.5] * 3)
    np.testing.assert_allclose(corner, space.apply(grid, [-0.5] * 3))
    assert space.coarsen(volume, affine, 0.4)[0] is volume
