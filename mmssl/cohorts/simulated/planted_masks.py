"""Where the simulated disease acts: regions planted in the MNI152 anatomy, and
their masks.

All come from what ships with nilearn: the MNI152 T1 and tissue templates, and
the network coordinates of Seitzman et al. 2018. In MNI mm:

- ventricles: deep cerebrospinal fluid of the template, connected, |x| < 36,
  -52 < y < 32, -14 < z < 36 mm;
- medial temporal lobe: grey matter in two ellipsoids around (-28, -20, -17)
  and (28, -20, -17); the left one is hit harder (``LEFT``), which also fixes
  what is left in every image;
- default-mode network, visual, somatomotor and frontoparietal networks: grey
  matter around the published nodes.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from mmssl.ledger.artefacts import read_map
from mmssl.preprocessing import template

PLANTED = {"T1": ("ventricles", "temporal_lobe"), "fALFF": ("default_mode",)}
"""Files of the regions in which a simulated disease acts, by modality."""


def planted(cohort) -> dict[str, np.ndarray]:
    """Where a simulated disease acts, {modality: bool (X, Y, Z)}; empty for
    real people.

    Parameters
    ----------
    cohort : Cohort
        With a folder ``truth`` of masks where it is simulated.
    """
    folder = cohort.path / "truth"
    if not folder.is_dir():
        return {}
    return {
        m: np.any(
            [
                read_map(
                    folder / f"{name}.nii.gz", cohort.mask.shape, cohort.affine
                )
                for name in names
            ],
            axis=0,
        )
        & cohort.mask
        for m, names in PLANTED.items()
    }


LEFT, RIGHT = 1.25, 0.75
"""How strongly severity thins the left and the right medial temporal lobe."""

NETWORKS = {
    "default": "DefaultMode",
    "visual": "Visual",
    "motor": "SomatomotorDorsal",
    "control": "FrontoParietal",
}

NODE_SIGMA = 9.0  # mm, Gaussian blob around a network's node


@lru_cache(maxsize=1)
def ventricles() -> np.ndarray:
    """(197, 233, 189) bool at 1 mm: the lateral and third ventricles of the
    template.
    """
    full = template.full()
    x, y, z = world_coordinates(full.affine, full.mask.shape, sparse=True)
    box = (abs(x) < 36) & (y > -52) & (y < 32) & (z > -14) & (z < 36)
    near = ndimage.find_objects(box.astype(np.uint8))[0]
    # what 12 mm can see
    near = tuple(slice(s.start - 13, s.stop + 13) for s in near)
    deep = np.zeros_like(full.mask)
    deep[near] = ndimage.distance_transform_edt(full.mask[near]) > 12
    fluid = (full.csf > 0.5) & (full.t1 < 0.45) & box & deep
    labels, _ = ndimage.label(fluid)
    home = np.linalg.inv(full.affine) @ [[8, -8], [0, 0], [16, 16], [1, 1]]
    seeds = labels[tuple(np.round(home[:3]).astype(int))]
    return np.isin(labels, seeds[seeds > 0])


@lru_cache(maxsize=1)
def temporal_lobe() -> np.ndarray:
    """(197, 233, 189) float32 at 1 mm: grey matter of the medial temporal
    lobes, weighted.
    """
    full = template.full()
    x, y, z = world_coordinates(full.affine, full.mask.shape, sparse=True)
    ellipsoid = (
        ((abs(x) - 27) / 11) ** 2 + ((y + 20) / 19) ** 2 + ((z + 17) / 12) ** 2
    )
    weight = np.where(x < 0, LEFT, RIGHT) * (ellipsoid < 1)
    return (full.grey * weight).astype(np.float32)


def network(
    name: str, affine: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
    """(X, Y, Z) float32 in [0, 1]: nearness to the published nodes of a
    network.
    """
    from nilearn import datasets

    atlas = datasets.fetch_coords_seitzman_2018()
    chosen = np.asarray(atlas.networks == NETWORKS[name])
    nodes = np.asarray(atlas.rois[["x", "y", "z"]], dtype=float)[chosen]
    tree = cKDTree(nodes)
    points = np.stack(world_coordinates(affine, shape), axis=-1).reshape(-1, 3)
    distance, _ = tree.query(points, distance_upper_bound=4 * NODE_SIGMA)
    return (
        np.exp(-(distance**2) / (2 * NODE_SIGMA**2))
        .reshape(shape)
        .astype(np.float32)
    )


def truth_masks(size: int) -> dict[str, np.ndarray]:
    """{"ventricles", "temporal_lobe", "default_mode"}: (size,)*3 bool, where
    severity acts.
    """
    affine = template.grid(size)
    lobe = to_grid(temporal_lobe() > 0.3, affine, size) > 0.4
    nodes = (
        network("default", affine, (size,) * 3) * template.template(size).grey
    )
    return {
        "ventricles": to_grid(ventricles(), affine, size) > 0.4,
        "temporal_lobe": lobe,
        "default_mode": nodes > 0.35,
    }


def to_grid(volume: np.ndarray, affine: np.ndarray, size: int) -> np.ndarray:
    """A 1 mm template map averaged down to the grid of ``size``, as the
    template itself is.
    """
    full = template.full()
    to_source = np.linalg.inv(full.affine) @ affine
    sigma = affine[0, 0] / np.sqrt(8 * np.log(2))
    smooth = ndimage.gaussian_filter(volume.astype(np.float32), sigma)
    return ndimage.affine_transform(
        smooth, to_source[:3, :3], to_source[:3, 3], (size,) * 3, order=1
    )


def world_coordinates(
    affine: np.ndarray, shape: tuple[int, ...], sparse: bool = False
) -> list[np.ndarray]:
    """World coordinates of every voxel, one array per axis (axis-aligned
    affines only).
    """
    axes = [
        affine[a, a] * np.arange(n) + affine[a, 3] for a, n in enumerate(shape)
    ]
    return np.meshgrid(*axes, indexing="ij", sparse=sparse)
