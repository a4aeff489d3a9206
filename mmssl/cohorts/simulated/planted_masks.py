"""Where the simulated disease acts: regions planted in a real anatomy, MNI152
where nothing is said, and their masks.

All are derived from its T1 and tissue maps, and the network coordinates of
Seitzman et al. 2018, which ship with nilearn. In MNI mm:

- ventricles: deep cerebrospinal fluid of the template, connected, |x| < 36,
  -52 < y < 32, -14 < z < 36 mm;
- medial temporal lobe: grey matter in two ellipsoids around (-27, -20, -17)
  and (27, -20, -17); the left one thins more (``LEFT``), so that left and
  right can be told apart in every image;
- default-mode network, visual, somatomotor and frontoparietal networks: grey
  matter around the published nodes.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from mmssl.cohorts.simulated import real_anatomy
from mmssl.cohorts.simulated.real_anatomy import ANATOMIES, MNI152
from mmssl.ledger.artefacts import read_map
from mmssl.preprocessing import template

PLANTED = {"T1": ("ventricles", "temporal_lobe"), "fALFF": ("default_mode",)}
"""Names of the regions in which the simulated disease acts, by modality."""

LEFT, RIGHT = 1.25, 0.75
"""How strongly severity thins the left and the right medial temporal lobe."""

NETWORKS = {
    "default": "DefaultMode",
    "visual": "Visual",
    "motor": "SomatomotorDorsal",
    "control": "FrontoParietal",
}
"""Networks of the simulated BOLD and their names in Seitzman et al. 2018."""

NODE_SIGMA = 9.0  # mm, of the Gaussian around a network's node


def planted(cohort) -> dict[str, np.ndarray]:
    """Where the simulated disease acts in a cohort.

    Parameters
    ----------
    cohort : Cohort
        With a folder ``truth`` of masks where it is simulated.

    Returns
    -------
    dict
        {modality: (X, Y, Z) bool, inside the cohort's mask}; empty for a
        cohort that is not simulated.
    """
    regions = planted_regions(cohort)
    if not regions:
        return {}
    masks = {}
    for modality, names in PLANTED.items():
        masks[modality] = np.any([regions[name] for name in names], axis=0)
    return masks


def planted_regions(cohort) -> dict[str, np.ndarray]:
    """The single regions of :func:`planted`, by their names in `PLANTED`.

    Parameters and result as there, {region: (X, Y, Z) bool}.
    """
    names = [region for regions in PLANTED.values() for region in regions]
    if not (cohort.path / "truth" / f"{names[0]}.nii.gz").is_file():
        return {}
    regions = {}
    for name in names:
        file = cohort.file(f"truth/{name}.nii.gz")
        mask = read_map(file, cohort.mask.shape, cohort.affine)
        regions[name] = (mask > 0) & cohort.mask
    return regions


@lru_cache(maxsize=len(ANATOMIES))
def ventricles(anatomy: str = MNI152) -> np.ndarray:
    """(197, 233, 189) bool at 1 mm: the lateral and third ventricles of an
    anatomy.
    """
    full = real_anatomy.full(anatomy)
    x, y, z = world_coordinates(full.affine, full.mask.shape, sparse=True)
    box = (abs(x) < 36) & (y > -52) & (y < 32) & (z > -14) & (z < 36)
    edges = ndimage.find_objects(box.astype(np.uint8))[0]
    # A distance of 12 mm is exact inside the box if a rim of 13 mm is seen.
    near = tuple(slice(edge.start - 13, edge.stop + 13) for edge in edges)
    deep = np.zeros_like(full.mask)
    deep[near] = ndimage.distance_transform_edt(full.mask[near]) > 12
    fluid = (full.csf > 0.5) & (full.t1 < 0.45) & box & deep
    labels, _ = ndimage.label(fluid)
    # The bodies of the right and the left lateral ventricle, as columns.
    seeds = np.array([[8, -8], [0, 0], [16, 16], [1, 1]])
    voxels = np.round(np.linalg.inv(full.affine) @ seeds)[:3].astype(int)
    seed_labels = labels[tuple(voxels)]
    return np.isin(labels, seed_labels[seed_labels > 0])


@lru_cache(maxsize=len(ANATOMIES))
def temporal_lobe(anatomy: str = MNI152) -> np.ndarray:
    """(197, 233, 189) float32 at 1 mm: grey matter of the medial temporal
    lobes, weighted by how much severity thins it.
    """
    full = real_anatomy.full(anatomy)
    x, y, z = world_coordinates(full.affine, full.mask.shape, sparse=True)
    across = ((abs(x) - 27) / 11) ** 2
    along = ((y + 20) / 19) ** 2
    up = ((z + 17) / 12) ** 2
    weight = np.where(x < 0, LEFT, RIGHT) * (across + along + up < 1)
    return (full.grey * weight).astype(np.float32)


def network(
    name: str, affine: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
    """How near every voxel is to the published nodes of a network.

    Parameters
    ----------
    name : key of `NETWORKS`.
    affine : (4, 4), voxels to MNI mm, aligned with the axes.
    shape : (X, Y, Z).

    Returns
    -------
    (X, Y, Z) float32 array in [0, 1]; 1 at a node.
    """
    from nilearn import datasets

    atlas = datasets.fetch_coords_seitzman_2018()
    inside = np.asarray(atlas.networks == NETWORKS[name])
    nodes = np.asarray(atlas.rois[["x", "y", "z"]], dtype=float)[inside]
    tree = cKDTree(nodes)
    points = np.stack(world_coordinates(affine, shape), axis=-1).reshape(-1, 3)
    distance, _ = tree.query(points, distance_upper_bound=4 * NODE_SIGMA)
    nearness = np.exp(-(distance**2) / (2 * NODE_SIGMA**2))
    return nearness.reshape(shape).astype(np.float32)


def truth_masks(size: int, anatomy: str = MNI152) -> dict[str, np.ndarray]:
    """Where severity acts in an anatomy, on the grid of ``size``.

    Returns
    -------
    dict
        "ventricles", "temporal_lobe" and "default_mode": (size, size, size)
        bool arrays.
    """
    fluid = template.to_grid(ventricles(anatomy), size)
    lobe = template.to_grid(temporal_lobe(anatomy) > 0.3, size)
    grey = real_anatomy.on_grid(anatomy, size).grey
    nearness = network("default", template.grid(size), (size,) * 3)
    return {
        "ventricles": fluid > 0.4,
        "temporal_lobe": lobe > 0.4,
        "default_mode": nearness * grey > 0.35,
    }


def world_coordinates(
    affine: np.ndarray, shape: tuple[int, ...], sparse: bool = False
) -> list[np.ndarray]:
    """World coordinates (mm) of every voxel, one array per axis.

    The affine must be aligned with the axes; sparse arrays broadcast.
    """
    axes = []
    for axis, count in enumerate(shape):
        side, origin = affine[axis, axis], affine[axis, 3]
        axes.append(side * np.arange(count) + origin)
    return np.meshgrid(*axes, indexing="ij", sparse=sparse)
