"""The anatomy that the simulated people share: maps of a real one on a grid of
twice the resolution.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from mmssl.cohorts.simulated import real_anatomy
from mmssl.cohorts.simulated.planted_masks import (
    NETWORKS,
    network,
    temporal_lobe,
    ventricles,
)
from mmssl.cohorts.simulated.real_anatomy import MNI152
from mmssl.preprocessing import space, template

FIELD_SIGMA = 7.0  # mm, smoothness of the field that widens the ventricles


class Anatomy(NamedTuple):
    """Maps of an anatomy on a source grid, and the points of a target grid.

    The source grid has twice the resolution of the target grid.

    Attributes
    ----------
    size : side of the target grid, voxels.
    affine : (4, 4) voxel to MNI mm of the target grid.
    inside : (size, size, size) bool, target voxels that a brain may reach.
    points : (n, 3) MNI mm of those voxels.
    to_source : (4, 4) MNI mm to source voxel.
    maps : {name: source array}: t1, grey, white, mask, lobe (medial temporal,
        weighted), the networks, and push_x, push_y, push_z (mm per unit): the
        field that points into the ventricles.
    """

    size: int
    affine: np.ndarray
    inside: np.ndarray
    points: np.ndarray
    to_source: np.ndarray
    maps: dict[str, np.ndarray]

    def sample(self, names: list[str], points: np.ndarray) -> np.ndarray:
        """Read maps at points of MNI space.

        Parameters
        ----------
        names : of the maps.
        points : (n, 3) MNI mm.

        Returns
        -------
        (len(names), n) float32 array, linearly interpolated, 0 outside.
        """
        rotation, offset = self.to_source[:3, :3], self.to_source[:3, 3:]
        voxels = (rotation @ points.T + offset).astype(np.float32)
        values = [
            ndimage.map_coordinates(self.maps[name], voxels, order=1)
            for name in names
        ]
        return np.stack(values)


@lru_cache(maxsize=2)
def anatomy(size: int, name: str = MNI152) -> Anatomy:
    """The shared anatomy, one of `mmssl.cohorts.simulated.real_anatomy`, for
    images on the grid of ``size`` voxels a side.

    Cached and read-only.
    """
    affine = template.grid(size)
    fine_size = 2 * size
    fine = template.grid(fine_size)
    source = real_anatomy.on_grid(name, fine_size)
    maps = {
        "t1": source.t1,
        "grey": source.grey,
        "white": source.white,
        "mask": source.mask.astype(np.float32),
        "lobe": template.to_grid(temporal_lobe(name), fine_size),
    }
    for one in NETWORKS:
        maps[one] = network(one, fine, source.mask.shape) * source.grey
    # The source is smoothed to half a target voxel already.
    blur = np.sqrt(0.75) * 2 / space.FWHM
    for one, values in maps.items():
        values = values.astype(np.float32)
        maps[one] = ndimage.gaussian_filter(values, blur)
    maps.update(_push(fine_size, name))
    for values in maps.values():
        values.setflags(write=False)
    brain = template.template(size).mask
    inside = ndimage.binary_dilation(brain, iterations=max(2, size // 16))
    voxels = np.argwhere(inside)
    points = voxels @ affine[:3, :3].T + affine[:3, 3]
    return Anatomy(size, affine, inside, points, np.linalg.inv(fine), maps)


def _push(size: int, name: str) -> dict[str, np.ndarray]:
    """Field into the ventricles: the gradient of their smoothed mask, scaled
    so that its longest arrow is 1.
    """
    side = template.grid(size)[0, 0]
    mask = template.to_grid(ventricles(name), size)
    smooth = ndimage.gaussian_filter(mask, FIELD_SIGMA / side)
    field = np.stack(np.gradient(smooth))
    field /= np.sqrt((field**2).sum(axis=0)).max()
    return {
        f"push_{axis}": component.astype(np.float32)
        for axis, component in zip("xyz", field, strict=True)
    }
