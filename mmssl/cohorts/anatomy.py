"""The anatomy that the simulated people share, and where the disease is planted in it.

All maps come from what ships with nilearn: the MNI152 T1 and tissue templates, and the network
coordinates of Seitzman et al. 2018. The planted regions are defined here, in MNI mm:

- ventricles: deep cerebrospinal fluid of the template, connected, |x| < 36, -52 < y < 32,
  -14 < z < 36 mm;
- medial temporal lobe: grey matter in two ellipsoids around (-28, -20, -17) and (28, -20, -17);
  the left one is hit harder (``LEFT``), which also fixes what is left in every image;
- default-mode network, visual, somatomotor and frontoparietal networks: grey matter around the
  published nodes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from nilearn import datasets
from scipy import ndimage
from scipy.spatial import cKDTree

from mmssl.preprocessing import template

LEFT, RIGHT = 1.25, 0.75
"""How strongly severity thins the left and the right medial temporal lobe."""

NETWORKS = {"default": "DefaultMode", "visual": "Visual", "motor": "SomatomotorDorsal",
            "control": "FrontoParietal"}
NODE_SIGMA = 9.0  # mm, Gaussian blob around a network's node
FIELD_SIGMA = 7.0  # mm, smoothness of the field that widens the ventricles


class Anatomy(NamedTuple):
    """Maps on a source grid of twice the resolution, and the points of the target grid.

    Attributes
    ----------
    size : side of the target grid.
    affine : (4, 4) voxel to MNI mm of the target grid.
    inside : (size, size, size) bool, target voxels that a brain may reach.
    points : (n, 3) MNI mm of those voxels.
    to_source : (4, 4) MNI mm to source voxel.
    maps : {name: source array}: t1, grey, white, mask, lobe (medial temporal, weighted), the
        networks, and push_x, push_y, push_z (mm per unit): the field that points into the
        ventricles.
    """

    size: int
    affine: np.ndarray
    inside: np.ndarray
    points: np.ndarray
    to_source: np.ndarray
    maps: dict[str, np.ndarray]

    def sample(self, names: list[str], points: np.ndarray) -> np.ndarray:
        """(len(names), n) float32: maps at ``points`` (n, 3) in MNI mm, linear, 0 outside."""
        voxels = (self.to_source[:3, :3] @ points.T + self.to_source[:3, 3:]).astype(np.float32)
        return np.stack([ndimage.map_coordinates(self.maps[n], voxels, order=1) for n in names])


@lru_cache(maxsize=1)
def ventricles() -> np.ndarray:
    """(197, 233, 189) bool at 1 mm: the lateral and third ventricles of the template."""
    full = template.full()
    x, y, z = _world(full.affine, full.mask.shape, sparse=True)
    box = (abs(x) < 36) & (y > -52) & (y < 32) & (z > -14) & (z < 36)
    near = ndimage.find_objects(box.astype(np.uint8))[0]
    near = tuple(slice(s.start - 13, s.stop + 13) for s in near)  # what 12 mm can see
    deep = np.zeros_like(full.mask)
    deep[near] = ndimage.distance_transform_edt(full.mask[near]) > 12
    fluid = (full.csf > 0.5) & (full.t1 < 0.45) & box & deep
    labels, _ = ndimage.label(fluid)
    home = np.linalg.inv(full.affine) @ [[8, -8], [0, 0], [16, 16], [1, 1]]
    seeds = labels[tuple(np.round(home[:3]).astype(int))]
    return np.isin(labels, seeds[seeds > 0])


@lru_cache(maxsize=1)
def temporal_lobe() -> np.ndarray:
    """(197, 233, 189) float32 at 1 mm: grey matter of the medial temporal lobes, weighted."""
    full = template.full()
    x, y, z = _world(full.affine, full.mask.shape, sparse=True)
    ellipsoid = ((abs(x) - 27) / 11) ** 2 + ((y + 20) / 19) ** 2 + ((z + 17) / 12) ** 2
    weight = np.where(x < 0, LEFT, RIGHT) * (ellipsoid < 1)
    return (full.grey * weight).astype(np.float32)


def network(name: str, affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """(X, Y, Z) float32 in [0, 1]: nearness to the published nodes of a network."""
    atlas = datasets.fetch_coords_seitzman_2018()
    chosen = np.asarray(atlas.networks == NETWORKS[name])
    nodes = np.asarray(atlas.rois[["x", "y", "z"]], dtype=float)[chosen]
    tree = cKDTree(nodes)
    points = np.stack(_world(affine, shape), axis=-1).reshape(-1, 3)
    distance, _ = tree.query(points, distance_upper_bound=4 * NODE_SIGMA)
    return np.exp(-(distance**2) / (2 * NODE_SIGMA**2)).reshape(shape).astype(np.float32)


def to_grid(volume: np.ndarray, affine: np.ndarray, size: int) -> np.ndarray:
    """A 1 mm template map averaged down to the grid of ``size``, as the template itself is."""
    full = template.full()
    to_source = np.linalg.inv(full.affine) @ affine
    sigma = affine[0, 0] / np.sqrt(8 * np.log(2))
    smooth = ndimage.gaussian_filter(volume.astype(np.float32), sigma)
    return ndimage.affine_transform(smooth, to_source[:3, :3], to_source[:3, 3], (size,) * 3,
                                    order=1)


def truth_masks(size: int) -> dict[str, np.ndarray]:
    """{"ventricles", "temporal_lobe", "default_mode"}: (size,)*3 bool, where severity acts."""
    affine = template.grid(size)
    lobe = to_grid(temporal_lobe() > 0.3, affine, size) > 0.4
    nodes = network("default", affine, (size,) * 3) * template.template(size).grey
    return {
        "ventricles": to_grid(ventricles(), affine, size) > 0.4,
        "temporal_lobe": lobe,
        "default_mode": nodes > 0.35,
    }


@lru_cache(maxsize=2)
def anatomy(size: int) -> Anatomy:
    """The shared anatomy for images on the grid of ``size``; cached, read-only."""
    affine, fine = template.grid(size), template.grid(2 * size)
    source = template.template(2 * size)
    blur = np.sqrt(0.75) * 2 / np.sqrt(8 * np.log(2))  # source is at half a voxel already
    maps = {"t1": source.t1, "grey": source.grey, "white": source.white,
            "mask": source.mask.astype(np.float32),
            "lobe": to_grid(temporal_lobe(), fine, 2 * size)}
    for name in NETWORKS:
        maps[name] = network(name, fine, source.mask.shape) * source.grey
    maps = {name: ndimage.gaussian_filter(m.astype(np.float32), blur) for name, m in maps.items()}
    maps |= _push(fine, 2 * size)
    for m in maps.values():
        m.setflags(write=False)
    inside = ndimage.binary_dilation(template.template(size).mask, iterations=max(2, size // 16))
    voxels = np.argwhere(inside)
    points = voxels @ affine[:3, :3].T + affine[:3, 3]
    return Anatomy(size, affine, inside, points, np.linalg.inv(fine), maps)


def _push(affine: np.ndarray, size: int) -> dict[str, np.ndarray]:
    """Unit-free field into the ventricles: gradient of their smoothed mask, longest arrow 1."""
    smooth = to_grid(ventricles(), affine, size)
    smooth = ndimage.gaussian_filter(smooth, FIELD_SIGMA / affine[0, 0])
    field = np.stack(np.gradient(smooth))
    field /= np.sqrt((field**2).sum(axis=0)).max()
    return {f"push_{axis}": g.astype(np.float32) for axis, g in zip("xyz", field, strict=True)}


def _world(affine: np.ndarray, shape: tuple[int, ...], sparse: bool = False) -> list[np.ndarray]:
    """World coordinates of every voxel, one array per axis (axis-aligned affines only)."""
    axes = [affine[a, a] * np.arange(n) + affine[a, 3] for a, n in enumerate(shape)]
    return np.meshgrid(*axes, indexing="ij", sparse=sparse)
