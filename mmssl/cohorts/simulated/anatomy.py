"""The anatomy that the simulated people share: maps of the MNI152 template on
a finer grid.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from mmssl.cohorts.simulated.planted_masks import (
    NETWORKS,
    network,
    temporal_lobe,
    to_grid,
    ventricles,
)
from mmssl.preprocessing import template

FIELD_SIGMA = 7.0  # mm, smoothness of the field that widens the ventricles


class Anatomy(NamedTuple):
    """Maps on a source grid of twice the resolution, and the points of the
    target grid.

    Attributes
    ----------
    size : side of the target grid.
    affine : (4, 4) voxel to MNI mm of the target grid.
    inside : (size, size, size) bool, target voxels that a brain may reach.
    points : (n, 3) MNI mm of those voxels.
    to_source : (4, 4) MNI mm to source voxel.
    maps : {name: source array}: t1, grey, white, mask, lobe (medial temporal,
        weighted), the
        networks, and push_x, push_y, push_z (mm per unit): the field that
        points into the ventricles.
    """

    size: int
    affine: np.ndarray
    inside: np.ndarray
    points: np.ndarray
    to_source: np.ndarray
    maps: dict[str, np.ndarray]

    def sample(self, names: list[str], points: np.ndarray) -> np.ndarray:
        """(len(names), n) float32: maps at ``points`` (n, 3) in MNI mm,
        linear, 0 outside.
        """
        voxels = (
            self.to_source[:3, :3] @ points.T + self.to_source[:3, 3:]
        ).astype(np.float32)
        return np.stack(
            [
                ndimage.map_coordinates(self.maps[n], voxels, order=1)
                for n in names
            ]
        )


@lru_cache(maxsize=2)
def anatomy(size: int) -> Anatomy:
    """The shared anatomy for images on the grid of ``size``; cached,
    read-only.
    """
    affine, fine = template.grid(size), template.grid(2 * size)
    source = template.template(2 * size)
    # source is at half a voxel already
    blur = np.sqrt(0.75) * 2 / np.sqrt(8 * np.log(2))
    maps = {
        "t1": source.t1,
        "grey": source.grey,
        "white": source.white,
        "mask": source.mask.astype(np.float32),
        "lobe": to_grid(temporal_lobe(), fine, 2 * size),
    }
    for name in NETWORKS:
        maps[name] = network(name, fine, source.mask.shape) * source.grey
    maps = {
        name: ndimage.gaussian_filter(m.astype(np.float32), blur)
        for name, m in maps.items()
    }
    maps |= _push(fine, 2 * size)
    for m in maps.values():
        m.setflags(write=False)
    inside = ndimage.binary_dilation(
        template.template(size).mask, iterations=max(2, size // 16)
    )
    voxels = np.argwhere(inside)
    points = voxels @ affine[:3, :3].T + affine[:3, 3]
    return Anatomy(size, affine, inside, points, np.linalg.inv(fine), maps)


def _push(affine: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """Unit-free field into the ventricles: gradient of their smoothed mask,
    longest arrow 1.
    """
    smooth = to_grid(ventricles(), affine, size)
    smooth = ndimage.gaussian_filter(smooth, FIELD_SIGMA / affine[0, 0])
    field = np.stack(np.gradient(smooth))
    field /= np.sqrt((field**2).sum(axis=0)).max()
    return {
        f"push_{axis}": g.astype(np.float32)
        for axis, g in zip("xyz", field, strict=True)
    }
