"""Where a map points, in mm: peaks, clusters, regions, and how well it finds a planted mask.

Voxel indices become world coordinates by the map's own affine, oblique or not, and nothing else
here knows of left or right. A map is scored against a known truth by its ranking of voxels, so
that maps in different units (effect sizes, gradients, edges) can stand in one table; an edge
detector that saw no label is the floor of that table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd
from nibabel.affines import apply_affine
from scipy import ndimage
from scipy.spatial import cKDTree

from mmssl import atomic

FACES, CORNERS = 1, 3
"""What makes two voxels one cluster: a shared face (6 neighbours) or a corner (26)."""

KEYS = ("source", "modality", "sign")
"""What names a map in tables: what it was made from, of which images, of which dimension."""

PLANTED = {"T1": ("ventricles", "temporal_lobe"), "fALFF": ("default_mode",)}
"""Files of the regions in which a simulated disease acts, by modality."""

Maps = Mapping[tuple[str, str, str], tuple[np.ndarray, np.ndarray]]


class Atlas(NamedTuple):
    """Named regions.

    labels : (X, Y, Z) integers, 0 outside.
    affine : (4, 4) voxel to world in mm, of the atlas's own grid.
    names : {label: name}
    """

    labels: np.ndarray
    affine: np.ndarray
    names: Mapping[int, str]

    def at(self, points) -> np.ndarray:
        """Label of the nearest atlas voxel of points (…, 3) in mm; 0 outside the atlas.

        This is nearest-neighbour resampling of the atlas, at the points alone.
        """
        voxels = np.rint(apply_affine(np.linalg.inv(self.affine), points)).astype(int)
        inside = ((voxels >= 0) & (voxels < self.labels.shape)).all(axis=-1)
        i, j, k = np.moveaxis(np.where(inside[..., None], voxels, 0), -1, 0)
        return np.where(inside, self.labels[i, j, k], 0)

    def region(self, points) -> str:
        """Names of the regions that points (n, 3) lie in, with their shares; "" where in none."""
        labels = np.atleast_1d(self.at(np.atleast_2d(points)))
        found, counts = np.unique(labels[labels > 0], return_counts=True)
        order = np.lexsort((found, -counts))
        if len(labels) == 1:
            return "".join(self.names[int(n)] for n in found)
        return ", ".join(f"{self.names[int(found[i])]} {counts[i] / len(labels):.0%}"
                         for i in order)


def read_atlas(image: str | Path, names: str | Path) -> Atlas:
    """Read an atlas: a NIfTI of integer labels and a text file with their names.

    Parameters
    ----------
    image, names : path
        A line of ``names`` is either "number name" (further columns are left out) or a name alone,
        which then belongs to the label of its line number.

    Raises
    ------
    ValueError
        If the image is not 3D or holds no labels, or a label has no name.
    """
    loaded = nib.load(image)
    labels = np.asarray(loaded.dataobj)
    if labels.ndim != 3 or (labels < 0).any() or not np.array_equal(labels, np.rint(labels)):
        raise ValueError(f"{image}: expected a 3D image of labels 0, 1, 2, …, found shape "
                         f"{labels.shape}, values from {labels.min()} to {labels.max()}")
    labels, known = labels.astype(np.int64), {}
    lines = [line for line in Path(names).read_text().splitlines() if line.strip()]
    for number, line in enumerate(lines, 1):
        numbered = re.match(r"\s*(\d+)[\s,]+(\S+)", line)
        known[int(numbered[1]) if numbered else number] = numbered[2] if numbered else line.strip()
    if missing := sorted(set(np.unique(labels).tolist()) - {0} - set(known)):
        raise ValueError(f"{names}: no name for label {missing[0]} of {image}")
    return Atlas(labels, loaded.affine, known)


def to_volume(values, mask, fill: float = 0.0) -> np.ndarray:
    """Values of the mask's voxels, (voxels,), as an image (X, Y, Z) float32; ``fill`` elsewhere.

    Raises
    ------
    ValueError
        If there are not as many values as voxels.
    """
    values, mask = np.asarray(values), np.asarray(mask, dtype=bool)
    if values.shape != (int(mask.sum()),):
        raise ValueError(f"values: shape {values.shape}, expected ({int(mask.sum())},) as the mask "
                         "has voxels")
    volume = np.full(mask.shape, fill, dtype=np.float32)
    volume[mask] = values
    return volume


def save(path: str | Path, volume, affine) -> Path:
    """Write a map as NIfTI with its true affine, at once or not at all.

    Parameters
    ----------
    path : path, ending in .nii or .nii.gz
    volume : array, shape (X, Y, Z)
    affine : array, shape (4, 4)
        Voxel to RAS+ world in mm.

    Raises
    ------
    ValueError
        If the volume is not 3D, or the affine no invertible (4, 4) matrix.
    """
    volume, affine = np.asarray(volume), np.asarray(affine, dtype=np.float64)
    if volume.ndim != 3:
        raise ValueError(f"{path}: a map of shape {volume.shape}, expected (X, Y, Z)")
    if affine.shape != (4, 4) or np.linalg.det(affine[:3, :3]) == 0:
        raise ValueError(f"{path}: affine {affine.tolist()}, expected an invertible (4, 4)")
    kept = volume.astype(np.uint8 if volume.dtype == bool else np.float32)
    image = nib.Nifti1Image(kept, affine)
    image.header.set_xyzt_units("mm")
    with atomic.file(path) as temporary:
        image.to_filename(temporary)
    return Path(path)


def read(path: str | Path, shape, affine) -> np.ndarray:
    """Read a map or mask that must lie on the given grid, (X, Y, Z) float32.

    Raises
    ------
    ValueError
        If its shape or its affine (beyond 0.001) is another, naming file, found and expected.
    """
    image = nib.load(path)
    if image.shape != tuple(shape):
        raise ValueError(f"{path}: shape {image.shape}, expected {tuple(shape)}")
    if not np.allclose(image.affine, affine, atol=1e-3):
        raise ValueError(f"{path}: affine {image.affine.tolist()}, expected "
                         f"{np.asarray(affine).tolist()}")
    return np.asarray(image.dataobj, dtype=np.float32)


def planted(cohort) -> dict[str, np.ndarray]:
    """Where a simulated disease acts, {modality: bool (X, Y, Z)}; empty for real people.

    Parameters
    ----------
    cohort : Cohort
        With a folder ``truth`` of masks where it is simulated.
    """
    folder = cohort.path / "truth"
    if not folder.is_dir():
        return {}
    return {m: np.any([read(folder / f"{name}.nii.gz", cohort.mask.shape, cohort.affine)
                       for name in names], axis=0) & cohort.mask for m, names in PLANTED.items()}


def peak(volume, affine, mask=None) -> tuple[np.ndarray, tuple[int, int, int]]:
    """World coordinates (3,) in mm, and voxel, of the largest absolute value of a map (X, Y, Z)."""
    size = np.abs(np.asarray(volume, dtype=np.float64))
    size = size if mask is None else np.where(mask, size, -1.0)
    voxel = np.unravel_index(int(size.argmax()), size.shape)
    return apply_affine(affine, voxel), tuple(int(i) for i in voxel)


def peaks(maps: Maps, affine, mask=None, atlas: Atlas | None = None,
          level: float = 0.05) -> pd.DataFrame:
    """The absolute peak of several maps and how much of each survives, a row a map.

    Parameters
    ----------
    maps : mapping
        (source, modality, sign) -> (values, corrected p), each (X, Y, Z).
    affine, mask, atlas
        As in `peak` and `clusters`.
    level : float
        Of the corrected p.

    Returns
    -------
    DataFrame
        source, modality, sign, x, y, z (mm), peak, p, voxels (with p below the level), region.
    """
    lines = []
    for key, (values, p) in maps.items():
        point, voxel = peak(values, affine, mask)
        line = dict(zip((*KEYS, *"xyz"), (*key, *point), strict=True))
        line |= {"peak": values[voxel], "p": p[voxel], "voxels": int((p < level).sum())}
        lines.append(line if atlas is None else line | {"region": atlas.region(point)})
    return pd.DataFrame(lines)


def surviving(maps: Maps, affine, atlas: Atlas | None = None, level: float = 0.05) -> pd.DataFrame:
    """Clusters of what survives in several maps: source, modality, sign of the dimension, and those
    of `clusters`, whose own sign is named ``effect`` here. Arguments as in `peaks`."""
    tables = []
    for key, (values, p) in maps.items():
        table = clusters(values, p < level, affine, atlas, p=p).rename(columns={"sign": "effect"})
        for place, (name, value) in enumerate(zip(KEYS, key, strict=True)):
            table.insert(place, name, value)
        tables.append(table)
    return pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)


def clusters(volume, region, affine, atlas: Atlas | None = None, connected: int = FACES,
             p=None) -> pd.DataFrame:
    """Connected pieces of a region in a map, positive and negative apart, largest first.

    Parameters
    ----------
    volume : array, shape (X, Y, Z)
        The map, for instance RBC.
    region : array of bool, same shape
        For instance where the corrected p is below .05.
    affine : array, shape (4, 4)
    atlas : Atlas, optional
        Adds ``region``, of the peak, and ``regions``, shares of the cluster's voxels.
    connected : {1, 2, 3}
        Neighbours share a face, an edge or a corner.
    p : array, same shape, optional
        Adds the ``p`` of the peak.

    Returns
    -------
    DataFrame
        cluster, sign, voxels, mm3, x, y, z (mm, of the absolute peak), peak (value), …; no rows
        where the region is empty.

    Raises
    ------
    ValueError
        If shapes differ.
    """
    volume, region = np.asarray(volume, dtype=np.float64), np.asarray(region, dtype=bool)
    if volume.shape != region.shape or volume.ndim != 3:
        raise ValueError(f"region: shape {region.shape}, expected {volume.shape} as the map")
    cubic_mm = abs(float(np.linalg.det(np.asarray(affine)[:3, :3])))
    structure, lines = ndimage.generate_binary_structure(3, connected), []
    for sign, side in ((1, volume > 0), (-1, volume < 0)):
        labels, number = ndimage.label(region & side, structure)
        for n, box in enumerate(ndimage.find_objects(labels, number), 1):
            voxels = np.argwhere(labels[box] == n) + [s.start for s in box]
            at = voxels[np.abs(volume[tuple(voxels.T)]).argmax()]
            x, y, z = apply_affine(affine, at)
            line = {"sign": sign, "voxels": len(voxels), "mm3": len(voxels) * cubic_mm,
                    "x": x, "y": y, "z": z, "peak": volume[tuple(at)]}
            line |= {} if p is None else {"p": np.asarray(p)[tuple(at)]}
            if atlas is not None:
                points = apply_affine(affine, voxels)
                line |= {"region": atlas.region((x, y, z)), "regions": atlas.region(points)}
            lines.append(line)
    columns = ["sign", "voxels", "mm3", "x", "y", "z", "peak", *([] if p is None else ["p"]),
               *([] if atlas is None else ["region", "regions"])]
    table = pd.DataFrame(lines, columns=columns)
    table = table.sort_values("voxels", ascending=False, kind="stable", ignore_index=True)
    table.insert(0, "cluster", np.arange(1, len(table) + 1))
    return table


class Overlap(NamedTuple):
    """How well a map finds a mask.

    auprc : area under the precision-recall curve (average precision); the chance level is `chance`.
    chance : share of the searched voxels that are in the mask.
    dice : of the mask and as many of the map's largest voxels.
    distance : mm from the map's absolute peak to the nearest voxel of the mask, 0 inside.
    """

    auprc: float
    chance: float
    dice: float
    distance: float


def overlap(volume, truth, mask, affine) -> Overlap:
    """Score the absolute value of a map against the mask it should find, within the brain.

    Ties share evenly what is theirs, so that a constant map scores the chance level, whatever the
    order of voxels.

    Parameters
    ----------
    volume : array, shape (X, Y, Z)
    truth, mask : array of bool, same shape
        The planted mask, and where it is searched.
    affine : array, shape (4, 4)

    Raises
    ------
    ValueError
        If shapes differ, a value in the brain is not finite, or the truth is empty or everything.
    """
    from sklearn.metrics import average_precision_score  # a second, which few callers need

    volume, truth, mask = np.asarray(volume), np.asarray(truth, bool), np.asarray(mask, bool)
    if not volume.shape == truth.shape == mask.shape:
        raise ValueError(f"truth and mask: shapes {truth.shape} and {mask.shape}, expected "
                         f"{volume.shape} as the map")
    score, wanted = np.abs(volume[mask].astype(np.float64)), truth[mask]
    if not np.isfinite(score).all():
        raise ValueError(f"map: {int((~np.isfinite(score)).sum())} values in the mask are not "
                         "finite")
    size = int(wanted.sum())
    if size in (0, len(wanted)):
        raise ValueError(f"truth: {size} of {len(wanted)} voxels of the brain, expected some but "
                         "not all")
    limit = np.partition(score, -size)[-size]
    above, tied = score > limit, score == limit
    share = (size - above.sum()) / tied.sum()  # of the voxels at the limit that there is room for
    found = wanted[above].sum() + share * wanted[tied].sum()
    points = apply_affine(affine, np.argwhere(mask))
    distances, _ = cKDTree(points[wanted]).query(points[score == score.max()])
    return Overlap(float(average_precision_score(wanted, score)), size / len(wanted),
                   float(found / size), float(distances.mean()))


def overlaps(maps: Mapping[tuple[str, str, str], np.ndarray], truth: Mapping[str, np.ndarray], mask,
             affine) -> pd.DataFrame:
    """`overlap` of several maps, (source, modality, sign) -> (X, Y, Z), with modality -> truth."""
    lines = [(*key, *overlap(values, truth[key[1]], mask, affine))
             for key, values in maps.items() if key[1] in truth]
    return pd.DataFrame(lines, columns=[*KEYS, *Overlap._fields])


def edges(images, sigma: float = 1.0) -> np.ndarray:
    """Gradient magnitude of the mean image, (X, Y, Z): an edge detector, which knows no label.

    Parameters
    ----------
    images : array, shape (n, X, Y, Z)
    sigma : float
        Of the Gaussian whose derivatives are taken, in voxels.
    """
    images = np.asarray(images)
    if images.ndim != 4:
        raise ValueError(f"images: shape {images.shape}, expected (n, X, Y, Z)")
    return ndimage.gaussian_gradient_magnitude(images.mean(axis=0, dtype=np.float64), sigma)
