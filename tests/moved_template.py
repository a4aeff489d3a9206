"""A person whose brain is the template's, moved by a known similarity."""

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from mmssl.preprocessing import space, template


def similarity(degrees, shift, scale):
    """(4, 4) rotation about x, y, z, scale and shift in mm."""
    rotation = Rotation.from_euler("xyz", degrees, degrees=True)
    matrix = np.eye(4)
    matrix[:3, :3] = scale * rotation.as_matrix()
    matrix[:3, 3] = shift
    return matrix


POSES = {
    "wrong origin": similarity((0, 0, 0), (30, -30, 30), 1.0),
    "tilted": similarity((20, -5, 5), (0, 10, -10), 1.05),
    "tilted back, small": similarity((-20, 8, -6), (-15, 20, 30), 0.9),
}


def native(
    matrix, skull=True, sides=(2.1, 2.0, 2.3), shape=(92, 112, 96), seed=0
):
    """(volume, affine, true mask) of the template moved by ``matrix``, with a
    shell of scalp, bias and noise.
    """
    full = template.full()
    turn = Rotation.from_euler("z", 7, degrees=True).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(sides)
    centre = space.apply(matrix, template.CENTRE)
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    place = (full.affine, np.linalg.inv(matrix), affine, shape)
    mask = space.resample(full.mask, *place) > 0.5
    volume = space.resample(full.t1, *place)
    if skull:
        depth = ndimage.distance_transform_edt(~mask, sides)
        volume[(depth > 8) & (depth < 14)] = 0.8
    rng = np.random.default_rng(seed)
    slopes = rng.normal(0, 0.15, 3)
    place = np.indices(shape) / 100 - 0.5
    bias = np.exp(np.einsum("i...,i", place, slopes))
    noise = rng.normal(0, 0.02, (2, *shape))
    return 900 * np.hypot(volume * bias + noise[0], noise[1]), affine, mask
